"""L2 norm and curvature of networks that fit true and random labels, against size.

  python mnist_l2norm.py --dataset mnist_5k --max-size 256 --seeds 2   # tiny, offline
  python mnist_l2norm.py                                    # full: 80 networks
  python mnist_l2norm.py --random-labels --optimizer sgd --target-loss 1e-2  # noise

Networks with two hidden layers of 64 (ReLU) are fitted to the first N images of a
class-balanced subset until the training accuracy is 100 % (stop `accuracy`), and on
until the training loss is at its target (stop `loss`). A seed decides everything of a
replica: images, random labels, initial weights and order; with true and with random
labels only the labels differ, and smaller sets are part of the larger. Pixels are
divided by 255 as in the script this one grew from; --inputs whitened is what the others
do. Norms are of kernels, without biases; `product_of_norms` is that of squared
Frobenius norms (Neyshabur et al. 2017), and `..._per_margin` is over the squared 10 %
margin. Curvature is of the training loss.

Writes results/NAME.csv (a line a replica and stop), results/NAME.json, figures in
results/figures/ and the first seed's saved_models/NAME_*.h5. Type it again to
continue an interrupted run: finished sizes are kept.
"""

import argparse
import functools
import time
from dataclasses import fields

import numpy as np
from tqdm import tqdm

from common import cli, command_line, corruptions, datasets, resumable
from common.experiments.mnist_l2norm import L2Norm

STOPS = ("accuracy", "loss")
SETTINGS = [field.name for field in fields(L2Norm)]


def parse(argv=None):
    """Returns settings and options in one namespace, and the run's name."""
    settings, options = command_line.parse(__doc__, __file__, argv)
    return argparse.Namespace(**vars(settings), **vars(options)), options.name


def main(argv=None):
    args, name = parse(argv)

    measure = functools.partial(run, args)
    return resumable.run("mnist_l2norm", name, args, measure, draw)


def draw(record, csv):
    """Draws the figures of a record; returns their paths."""
    from common.report import norm_figures  # here alone: it imports matplotlib

    return norm_figures.draw(record, csv)


def run(args, paths, done):
    """Trains the sizes not `done`; returns the CSV's rows and the record's fields."""
    import pandas as pd

    from common import pipelines
    from common.engine import backend
    from common.models import save
    from common.models.mlp import mlp

    backend.require_tensorflow()
    data = datasets.named(args.dataset, data_dir=args.data_dir)
    shape = pipelines.prepare(data.x_test[:1]).shape[1:]
    build = functools.partial(mlp, shape, data.num_classes, (64, 64))
    for size in args.sizes:
        if str(size) not in done:
            rows, models, seconds = one_size(args, size, data, build)
            saved = {}
            for ending, (weights, settings) in models.items():
                path = paths.model.with_name(f"{paths.model.stem}_{ending}.h5")
                digest = save(build, weights, path)
                saved[path.stem] = settings | {"sha256": digest}
            done[str(size)] = {"rows": rows, "seconds": seconds, "models": saved}
    rows = [row for size in args.sizes for row in done[str(size)]["rows"]]
    return rows, {
        "settings": {key: vars(args)[key] for key in SETTINGS},
        "parameters": build().count_params(),
        "replicas": len(rows) // 2,
        "censored": sum(not row["reached"] for row in rows),
        "verdict": verdict(pd.DataFrame(rows), args),
        "seconds": {size: done[str(size)]["seconds"] for size in args.sizes},
        # What each saved model was trained on, for analyze.py.
        "models": {k: v for size in done.values() for k, v in size["models"].items()},
    }


def one_size(args, size, data, build):
    """Returns the CSV's rows of a size, the models to keep, and seconds taken.

    A model to keep is `{end of its name: (weights, what it was trained on)}`.
    """
    import keras

    from common import pipelines
    from common.analysis.meter import Meter
    from common.engine import replicas as loop

    clock = time.perf_counter()
    who, initial, sets = [], [], []
    for seed in range(args.seed, args.seed + args.seeds):
        keras.utils.set_random_seed(seed)
        weights = build().get_weights()
        kept = datasets.balanced_order(data.y_train, seed)[:size]
        images = pipelines.prepare(data.x_train[kept], args.inputs)
        for labels in args.labels:
            y = corruptions.corrupt_labels(
                data.y_train[kept],
                float(labels == "random"),
                data.num_classes,
                seed,
                args.label_noise,
            )
            who.append((labels, seed))
            initial.append(weights)
            sets.append((images, y))
    with tqdm(
        total=100, desc=f"n = {size}", unit="%", disable=args.quiet or None
    ) as bar:

        def report(epoch, fitted, finished, losses):
            # Losses fall about exponentially, so their logarithm tells the time left.
            end, begin = np.log(args.target_loss), np.log(data.num_classes)
            left = (np.log(losses + 1e-30) - end) / max(begin - end, 1)
            left = np.nan_to_num(left, nan=1).clip(0, 1).sum()  # a diverged one's
            bar.n = max(bar.n, round(100 * (1 - left / len(who))))
            counts = f"{fitted} fitted, {finished} finished of {len(who)}"
            bar.set_postfix_str(f"epoch {epoch}, {counts}")

        stops = loop.train(
            [np.stack(w) for w in zip(*initial, strict=True)],
            np.stack([x.reshape(size, -1) for x, _ in sets]),
            np.stack([y for _, y in sets]),
            np.array([seed for _, seed in who]),
            args.opt,
            args.batch_size,
            args.max_epochs,
            args.target_loss,
            report,
        )
    seconds = {"training": round(time.perf_counter() - clock, 1)}
    rows, models, meter = [], {}, Meter(build)
    test = pipelines.prepare(data.x_test, args.inputs), data.y_test
    everyone = tqdm(
        range(len(who)), f"n = {size}, measures", disable=args.quiet or None
    )
    for i in everyone:
        for name, stop in zip(STOPS, stops[i], strict=True):
            row = {"size": size, "labels": who[i][0], "seed": who[i][1], "stop": name}
            row |= {"reached": stop.reached, "epochs": stop.epochs}
            row["updates"] = stop.epochs * -(-size // args.batch_size)
            rows.append(row | meter.measure(stop.weights, initial[i], sets[i], test))
            if who[i][1] == args.seed:
                settings = {
                    "dataset": args.dataset,
                    "train_size": size,
                    "data_seed": args.seed,
                    "label_corruption": float(who[i][0] == "random"),
                    "label_noise": args.label_noise,
                    "inputs": args.inputs,
                }
                ending = f"{size}_{who[i][0]}_{name}_seed{args.seed}"
                models[ending] = stop.weights, settings
    seconds["measures"] = round(time.perf_counter() - clock - seconds["training"], 1)
    return rows, models, seconds


def verdict(table, args):
    """Two sentences on the largest size: random against true labels, if both are."""
    table = table[table["size"] == args.sizes[-1]]
    lost = (~table.reached).sum()
    note = (
        f" ({lost} of {len(table)} stopping points were not reached.)" if lost else ""
    )
    mean = table.groupby(["labels", "stop"]).mean(numeric_only=True)
    label = args.labels[-1]

    def pair(column, stop):
        text = f"{mean[column][label, stop]:.3g}"
        if len(args.labels) == 1:
            return text
        times = mean[column][label, stop] / mean[column]["true", stop]
        return f"{text} against {mean[column]['true', stop]:.3g} ({times:.2g} times)"

    def at_both(column):
        return (
            f"{pair(column, 'accuracy')} at 100 % accuracy and "
            f"{pair(column, 'loss')} at the loss target"
        )

    than = " against true ones" if len(args.labels) > 1 else ""
    return (
        f"With {label} labels{than}, {args.sizes[-1]} images take "
        f"{pair('epochs', 'accuracy')} epochs to 100 % accuracy, and the product of "
        f"norms is {at_both('product_of_norms')}. The top Hessian eigenvalue is "
        f"{at_both('eigenvalue_1')}, and the trace {at_both('trace')}.{note}"
    )


if __name__ == "__main__":
    cli.run(main)

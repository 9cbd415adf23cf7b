"""L2 norm and curvature of networks that fit true and random labels, against size.

  python mnist_l2norm.py --dataset mnist_5k --max-size 256 --seeds 2   # tiny, offline
  python mnist_l2norm.py                                    # full: 80 networks
  python mnist_l2norm.py --random-labels --opt sgd --target-loss 1e-2  # noise only

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
import sys
import time

import keras
import numpy as np
import pandas as pd
from tqdm import tqdm

from common import cli, corruptions, datasets, pipelines, regime, resumable, training
from common.engine import backend
from common.engine import replicas as loop
from common.models.mlp import mlp

LABELS, STOPS, SIZES = ("true", "random"), ("accuracy", "loss"), (128, 256, 512, 1024)
SETTINGS = """dataset label_noise inputs opt batch_size max_epochs target_loss seed
    seeds sizes labels""".split()


def parse(argv):
    """Returns the flags and the run's name, which shows what is not the default."""
    number = regime.number
    parser = cli.parser("mnist_l2norm", __doc__)
    group = parser.add_argument_group("what is measured (decides the run's name)")
    named = {}  # destination: (default, its part of the name)

    def flag(name, default, part, text, **more):
        named[name[2:].replace("-", "_")] = default, part
        group.add_argument(
            name, default=default, help=f"{text} (default: {default})", **more
        )

    flag("--dataset", "mnist", "{}", ", ".join(datasets.NAMES), metavar="NAME")
    group.add_argument(
        "--random-labels",
        action=argparse.BooleanOptionalAction,
        help="only random labels, or only true ones (default: both)",
    )
    noises = ("uniform", "exclusive")
    flag("--label-noise", "uniform", "{}", "any class, or a wrong one", choices=noises)
    inputs = ("unit", "whitened")
    flag("--inputs", "unit", "{}", "pixels / 255, or per image", choices=inputs)
    flag("--opt", "adam", "{}", "optimizer", choices=loop.OPTIMIZERS)
    flag("--batch-size", 128, "batch{}", "images an update", type=number(int, 1))
    flag("--max-epochs", 6000, "epochs{}", "upper limit", type=number(int, 1))
    loss = number(float, 0, above=True)
    flag("--target-loss", 1e-5, "loss{:g}", "training loss, in nats", type=loss)
    flag("--seed", 0, "seed{}", "the first replica's", type=number(int, 0))
    flag("--seeds", 10, "seeds{}", "replicas of each kind", type=number(int, 1))
    size, text = number(int, 2), "training-set sizes, in place of the next two"
    group.add_argument("--size", type=size, nargs="+", metavar="N", help=text)
    text = "128 and its doubles up to N (default: 1024)"
    group.add_argument("--max-size", type=size, default=1024, metavar="N", help=text)
    text = "N, 2 N ... up to --max-size, in place of doubling"
    group.add_argument("--step", type=size, metavar="N", help=text)
    resumable.add_options(parser)
    args = parser.parse_args(argv)
    args.argv = sys.argv[1:] if argv is None else list(argv)
    doubled = [128 * 2**i for i in range(20) if 128 * 2**i <= args.max_size]
    stepped = list(range(args.step, args.max_size + 1, args.step)) if args.step else []
    args.sizes = sorted(set(args.size or stepped or ([] if args.step else doubled)))
    if not args.sizes:
        parser.error(f"no size is left with --max-size {args.max_size}: raise it.")
    args.labels = LABELS
    if args.random_labels is not None:
        args.labels = LABELS[1:] if args.random_labels else LABELS[:1]
    parts = [
        p.format(vars(args)[k]) for k, (d, p) in named.items() if vars(args)[k] != d
    ]
    parts += args.labels if len(args.labels) == 1 else ()
    if tuple(args.sizes) != SIZES:
        parts.append("n" + "-".join(map(str, args.sizes)))
    return args, "_".join(["mnist_l2norm", *parts])


def main(argv=None):
    args, name = parse(argv)
    backend.require_tensorflow()
    record, paths = resumable.run(
        "mnist_l2norm", name, args, functools.partial(run, args)
    )
    from common.report import norm_figures  # here alone: it imports matplotlib

    drawn = norm_figures.draw(record, paths.csv)
    resumable.show(record, (*drawn, paths.csv, paths.json))
    return record


def run(args, paths, done):
    """Trains the sizes not `done`; returns the CSV's rows and the record's fields."""
    data = datasets.load(args.dataset, data_dir=args.data_dir)
    if args.sizes[-1] > len(data.y_train):
        raise cli.UsageError(
            f"{args.sizes[-1]} images asked for: {args.dataset} has "
            f"{len(data.y_train)} to train on. Choose a smaller --size or --max-size."
        )
    shape = pipelines.prepare(data.x_test[:1]).shape[1:]
    build = functools.partial(mlp, shape, data.num_classes, (64, 64))
    for size in args.sizes:
        if str(size) not in done:
            rows, models, seconds = one_size(args, size, data, build)
            saved = {}
            for ending, (weights, settings) in models.items():
                path = paths.model.with_name(f"{paths.model.stem}_{ending}.h5")
                training.save(build, weights, path)
                saved[path.stem] = settings
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
    with tqdm(total=100, desc=f"n = {size}", unit="%", disable=args.quiet) as bar:

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
    rows, models, meter = [], {}, loop.Meter(build)
    test = pipelines.prepare(data.x_test, args.inputs), data.y_test
    everyone = tqdm(range(len(who)), f"n = {size}, measures", disable=args.quiet)
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

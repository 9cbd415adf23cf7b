"""Interpolation without gradient descent: the minimum-norm solution of K alpha = Y.

  python min_norm.py --dataset mnist_5k                          # tiny, offline
  python min_norm.py                                             # full: 60,000 digits
  python min_norm.py --train-size 10000 --random-labels          # noise
  python min_norm.py --features gabor                            # Gabor wavelets
  python min_norm.py --dataset cifar10 --train-size 5000 --features random_conv
  python min_norm.py --dataset cifar10 --train-size 5000 --held-out 2000 --ridge 0 0.1
  python min_norm.py --sgd                      # what SGD converges to, linear model

Zhang et al. (2017), section 5: no training, no regularization, training error 0. Y has
a column a class. K is exp(-bandwidth |x - x'|^2), on pixels / 255 (raw) or on Gabor
features scaled so that two training images are 1 apart (root mean square); or F F^T / d
+ 1 with the d standardized features F of random convolutions; or X X^T (--kernel
linear). With --ridge L it is (K + L I) alpha = Y. Several values of
--bandwidth, --filters and --ridge make a path, a line each.

The default of --bandwidth is the companion script's on MNIST; on CIFAR-10 the best of a
path on training images held out (--held-out), never on the test set, and so on Gabor
features. `rkhs_norm` is sqrt(sum_k alpha_k^T K alpha_k) for targets 0 and 1;
`rkhs_norm_signed` for -1 and 1; `misfit` is |K alpha - Y| / |Y|; `condition` estimates
the condition number of K + L I.

Writes results/NAME.csv (a line a setting), results/NAME.json, pictures in
results/figures/, with --kernel linear on pixels saved_models/NAME.h5. Memory and time
are estimated first. Finished settings are kept; of an unfinished one nothing is.
"""

import functools
import itertools
import sys

from common import cli, datasets, records, regime, resumable
from common.engine import backend, machine
from common.theory import least_squares, min_norm

BANDWIDTHS = {"raw": 0.01, "gabor": 4.0}  # but for MNIST, where raw is the companion's
FILTERS = (8192, 16384, 32000)  # the paper's, and what leads there


def parse(argv):
    """Returns the flags and the run's name, which shows what is not the default."""
    number = regime.number
    parser = cli.parser("min_norm", __doc__)
    group = parser.add_argument_group("what is measured (decides the run's name)")
    add, integer, positive = group.add_argument, number(int, 1), number(float, 0, 1e9)
    add("--dataset", default="mnist", help=", ".join(datasets.NAMES), metavar="NAME")
    text = "the first N of a seeded, class-balanced subset (default: all; --sgd: 100)"
    add("--train-size", type=integer, metavar="N", help=text)
    add("--features", default="raw", choices=("raw", "gabor", "random_conv"))
    text = "default: gaussian; linear with random_conv"
    add("--kernel", choices=("gaussian", "linear"), help=text)
    text = "of the Gaussian kernel (default: 0.02 for raw MNIST, else 0.01; gabor: 4)"
    width = number(float, 0, above=True)
    add("--bandwidth", type=width, nargs="+", metavar="G", help=text)
    text = "random filters (default: 8192 16384 32000)"
    add("--filters", type=integer, nargs="+", metavar="N", help=text)
    add("--ridge", type=positive, nargs="+", default=[0.0], metavar="L", help="path")
    text = "measure on N other training images, to choose settings, not on the test set"
    add("--held-out", type=integer, metavar="N", help=text)
    corruption = number(float, 0, 1)
    text = "replace each training label with probability P"
    add("--label-corruption", type=corruption, metavar="P", help=text)
    add("--random-labels", action="store_true", help="--label-corruption 1")
    add("--label-noise", default="uniform", choices=regime.LABEL_NOISE)
    text = "on pixels: distance of SGD to the closed form, from zero and elsewhere"
    add("--sgd", action="store_true", help=text)
    seed = regime.seed
    add("--seed", type=seed, default=0, help="filters; order and start of SGD")
    add("--data-seed", type=seed, default=0, help="corruption and subset")
    resumable.add_options(parser)
    args = parser.parse_args(argv)
    args.argv = sys.argv[1:] if argv is None else list(argv)
    _complete(args, parser)
    return args, _name(args)


def _complete(args, parser):
    """Fills in what depends on other flags; refuses what contradicts itself."""
    if args.label_corruption is None:
        args.label_corruption = float(args.random_labels)
    elif args.random_labels and args.label_corruption != 1:
        parser.error("--random-labels means --label-corruption 1: leave one out.")
    random = args.features == "random_conv"
    if random and args.kernel == "gaussian":
        parser.error("--features random_conv has the linear kernel only.")
    if args.filters and not random:
        parser.error("--filters belongs to --features random_conv.")
    path = (args.bandwidth, args.kernel, args.held_out, *args.ridge)
    if args.sgd and (args.features != "raw" or any(path)):
        parser.error("--sgd is about the linear model of pixels, without a path.")
    args.kernel = args.kernel or ("linear" if random or args.sgd else "gaussian")
    if args.bandwidth and args.kernel == "linear":
        parser.error("--bandwidth belongs to the Gaussian kernel.")
    if args.sgd:
        args.train_size = args.train_size or 100
    args.filters = sorted(set(args.filters or FILTERS)) if random else [None]
    args.usual = BANDWIDTHS.get(args.features)
    if args.features == "raw" and "mnist" in args.dataset:
        args.usual = 0.02
    given = list(dict.fromkeys(args.bandwidth or [args.usual]))
    args.bandwidth = given if args.kernel == "gaussian" else [None]
    args.ridge = sorted(set(args.ridge))


def _name(args):
    def path(values):
        return "-".join(f"{value:g}" for value in values)

    parts = {
        "sgd": args.sgd,
        args.dataset: True,
        f"n{args.train_size}": args.train_size
        and not (args.sgd and args.train_size == 100),
        args.features: args.features != "raw",
        "linear": args.kernel == "linear" and not (args.sgd or args.filters[0]),
        "labels" + path([args.label_corruption]): args.label_corruption,
        args.label_noise: args.label_noise != "uniform",
    }
    if args.kernel == "gaussian" and args.bandwidth != [args.usual]:
        parts["bandwidth" + path(args.bandwidth)] = True
    if args.filters[0] and tuple(args.filters) != FILTERS:
        parts["filters" + path(args.filters)] = True
    if args.ridge != [0.0]:
        parts["ridge" + path(args.ridge)] = True
    parts[f"heldout{args.held_out}"] = args.held_out
    parts[f"dataseed{args.data_seed}"] = args.data_seed
    return "_".join(
        ["min_norm", *(k for k, used in parts.items() if used), f"seed{args.seed}"]
    )


def main(argv=None):
    args, name = parse(argv)
    if args.sgd:
        backend.require_tensorflow()
    record, paths = resumable.run("min_norm", name, args, functools.partial(run, args))
    from common.report import kernel_figures  # here alone: it imports matplotlib

    drawn = kernel_figures.draw(record, paths.csv)
    resumable.show(record, (*drawn, paths.csv, paths.json))
    return record


def run(args, paths, done):
    """Solves what is not `done`; returns the CSV's rows and the record's fields."""
    data = min_norm.load(args)
    if args.sgd:
        rows, more = least_squares.sgd_path(data, args.seed, args.quiet, paths.model)
    else:
        settings = list(itertools.product(args.filters, args.bandwidth, args.ridge))
        for row in min_norm.path(data, args, settings, done, paths.model):
            done[str((row["filters"], row["bandwidth"], row["ridge"]))] = row
        rows, more = [done[str(setting)] for setting in settings], {}
    return rows, {
        "settings": {k: v for k, v in vars(args).items() if k in SETTINGS},
        "train_size": len(data.y_train),
        "realized_label_noise": float((data.y_train != data.y_train_true).mean()),
        "data_sha256": records.sha256(data.x_train, data.y_train),
        "rows": rows,
        **more,
        "verdict": min_norm.verdict(rows, args, len(data.y_train)),
        "peak_memory_gb": round(machine.peak_memory() / 1e9, 2),
    }


SETTINGS = """dataset train_size features kernel bandwidth filters ridge held_out
    label_corruption label_noise sgd seed data_seed""".split()


if __name__ == "__main__":
    cli.run(main)

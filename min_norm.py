"""Interpolation without gradient descent: the minimum-norm solution of K alpha = Y.

  python min_norm.py --dataset mnist_5k                          # tiny, offline
  python min_norm.py                                             # full: 60,000 digits
  python min_norm.py --train-size 10000 --random-labels          # noise
  python min_norm.py --features gabor                            # Gabor wavelets
  python min_norm.py --dataset cifar10 --train-size 5000 --features random_conv
  python min_norm.py --dataset cifar10 --train-size 5000 --held-out 2000 --ridge 0 0.1
  python min_norm.py --sgd                      # what SGD converges to, linear model
  python min_norm.py --features fourier --dataset mnist_5k --train-size 500   # tiny
  python min_norm.py --features fourier         # double descent: 10,000 digits
  python min_norm.py --leave-one-out            # which labels are memorized, exactly

Zhang et al. (2017), section 5: no training, no regularization, training error 0. Y has
a column a class. K is exp(-bandwidth |x - x'|^2), on pixels / 255 (raw) or on Gabor
features scaled so that two training images are 1 apart (root mean square); or F F^T / d
+ 1 with the d standardized features F of random convolutions; or X X^T (--kernel
linear). With --ridge L it is (K + L I) alpha = Y. Several values of
--bandwidth, --filters and --ridge make a path, a line each.

--features fourier (or relu) fits the labels by least squares on N random features, for
N from few to six times the images, under every level of label corruption, for several
draws: the solution of the smallest norm where there are many. Its `rkhs_norm` is of
features whose products tend to the kernel. --leave-one-out gives what the interpolator
predicts for each training image without it.

The default of --bandwidth is the companion script's on MNIST; on CIFAR-10 the best of a
path on training images held out (--held-out), never on the test set, and so on Gabor
features. `rkhs_norm` is sqrt(sum_k alpha_k^T K alpha_k) for targets 0 and 1;
`rkhs_norm_signed` for -1 and 1; `misfit` is |K alpha - Y| / |Y|; `condition` estimates
the condition number of K + L I.

Writes results/NAME.csv (a line a setting), results/NAME.json, pictures in
results/figures/, with --kernel linear on pixels saved_models/NAME.h5. Memory and time
are estimated first. Finished settings (draws) are saved; the one in progress is lost.
"""

import argparse
import functools
from dataclasses import fields

from common import cli, command_line, records, resumable
from common.engine import machine
from common.experiments.min_norm import RANDOM_FEATURES, MinNorm

SETTINGS = [field.name for field in fields(MinNorm)]


def parse(argv=None):
    """Returns settings and options in one namespace, and the run's name."""
    settings, options = command_line.parse(__doc__, __file__, argv)
    return argparse.Namespace(**vars(settings), **vars(options)), options.name


def main(argv=None):
    args, name = parse(argv)
    return resumable.run("min_norm", name, args, functools.partial(run, args), draw)


def draw(record, csv):
    """Draws the figures of a record; returns their paths."""
    from common.report import kernel_figures  # here alone: it imports matplotlib

    return kernel_figures.draw(record, csv)


def run(args, paths, done):
    """Solves what is not `done`; returns the CSV's rows and the record's fields."""
    from common.engine import backend
    from common.theory import least_squares, leave_one_out, min_norm, random_features

    if args.sgd:
        backend.require_tensorflow()
    data, said = min_norm.load(args, args.data_dir), None
    if args.sgd:
        rows, more = least_squares.sgd_path(data, args.seed, args.quiet, paths.model)
    elif args.leave_one_out:
        rows, more = leave_one_out.measure(data, args)
        said = leave_one_out.verdict(rows, more, data, args.label_noise)
    elif args.features in RANDOM_FEATURES:
        waiting = [draw for draw in range(args.draws) if str(draw) not in done]
        for number, part in random_features.curve(data, args, waiting, args.quiet):
            done[str(number)] = part
        parts = [done[str(number)] for number in range(args.draws)]
        rows = [row for part in parts for row in part["rows"]]
        more = {"seconds": [part["seconds"] for part in parts]}
        said = random_features.verdict(rows, len(data.y_train))
    else:
        grid = min_norm.grid(args)
        waiting = [system for system in grid if str(system) not in done]
        solved = min_norm.path(data, args, waiting, paths.model, args.quiet)
        for row in solved if waiting else ():
            done[str((row["filters"], row["bandwidth"], row["ridge"]))] = row
        rows, more = [done[str(system)] for system in grid], {}
    return rows, {
        "settings": {key: vars(args)[key] for key in SETTINGS},
        "train_size": len(data.y_train),
        "realized_label_noise": float((data.y_train != data.y_train_true).mean()),
        "data_sha256": records.sha256(data.x_train, data.y_train),
        "rows": rows,
        **more,
        "verdict": said or min_norm.verdict(rows, args, len(data.y_train)),
        "peak_memory_gb": round(machine.peak_memory() / 1e9, 2),
    }


if __name__ == "__main__":
    cli.run(main)

"""What a network could fit at all: section 4 of the paper, built and measured.

  python expressivity.py --dataset mnist_5k --sizes 64 --widths 0 4   # tiny, offline
  python expressivity.py                            # full: all three
  python expressivity.py theorem --sizes 50000      # all of CIFAR-10 as pure noise
  python expressivity.py rademacher --dataset cifar10 --components 64

theorem      Solves for the two-layer ReLU network of Theorem 1 on n images with random
             labels, without training: n + d weights and n more for each class (2n + d
             for one output). Every line is measured on its saved .h5, opened again.
             --depths spreads the largest n over more layers of n / (depth - 1) units.
rademacher   Trains one-hidden-layer networks (width 0: the linear classifier) on random
             signs. 2 * accuracy - 1, averaged over draws of the signs, estimates the
             Rademacher complexity of the network as a -1 or +1 valued classifier, from
             below, because training stops somewhere. At 1 nothing is missed, and the
             bound on generalization is vacuous. Linear functions with bounded norm,
             scaled to [-1, 1], are the case with a closed form.
memorize     Bisects for the largest n of which networks of each width reproduce random
             labels, in at least half of the draws, against their number of weights.

The last two use the first principal components of the images, in units of their
standard deviation. Writes results/NAME.csv, .json and figures/NAME_*.png for each, with
NAME = expressivity_PART_..., and continues an interrupted run.
"""

import functools
import sys
import time

import pandas as pd
from tqdm import tqdm

from common import cli, datasets, regime, resumable
from common.engine import backend
from common.theory import expressivity as theory

DEFAULTS = {  # of each part: what decides its name, with the seed
    "theorem": {
        "dataset": "cifar10",
        "sizes": [10, 30, 100, 300, 1000, 3000, 10000],
        "depths": [2, 3, 6, 11, 51],
    },
    "rademacher": {
        "dataset": "mnist",
        "sizes": [32, 128, 512, 2048],
        "widths": [0, 1, 4, 16, 64, 256],
        "components": 16,
        "draws": 10,
        "restarts": 2,
        "epochs": 2000,
    },
    "memorize": {
        "dataset": "mnist",
        "widths": [0, 2, 8, 32],
        "components": 16,
        "draws": 5,
        "restarts": 4,
        "epochs": 2000,
    },
}
FLAGS = {  # its part of the name, how it is read, what it means
    "dataset": ("{}", str, ", ".join(datasets.NAMES)),
    "sizes": ("n{}", regime.number(int, 2), "numbers of examples"),
    "depths": ("depths{}", regime.number(int, 2), "layers of weights, at the largest"),
    "widths": ("w{}", regime.number(int, 0), "hidden units; 0 is the linear one"),
    "components": ("d{}", regime.number(int, 1), "principal components as inputs"),
    "draws": ("draws{}", regime.number(int, 2), "labellings for each number"),
    "restarts": ("restarts{}", regime.number(int, 1), "initial weights a labelling"),
    "epochs": ("epochs{}", regime.number(int, 1), "full-batch updates, at most"),
}


def parse(argv):
    """Returns the flags, with `parts` as dict of part -> (settings, name), and names.

    The names are those of the records, with spaces between.
    """
    parser = cli.parser("expressivity", __doc__)
    text = f"{', '.join(DEFAULTS)} (default: all)"
    parser.add_argument("parts", nargs="*", metavar="PART", help=text)
    group = parser.add_argument_group("what is measured (decides the name)")
    for flag, (_, kind, text) in FLAGS.items():
        used = {part: d[flag] for part, d in DEFAULTS.items() if flag in d}
        text += " (default: "
        text += "; ".join(f"{p} {_spell(value, ' ')}" for p, value in used.items())
        many = "+" if flag in ("sizes", "depths", "widths") else None
        metavar = "NAME" if flag == "dataset" else "N"
        group.add_argument(
            f"--{flag}", type=kind, nargs=many, metavar=metavar, help=text + ")"
        )
    text = "images, labels, direction, initial weights (default: 0)"
    group.add_argument("--seed", type=regime.seed, default=0, metavar="N", help=text)
    resumable.add_options(parser)
    args = parser.parse_args(argv)
    args.argv = sys.argv[1:] if argv is None else list(argv)
    if unknown := set(args.parts) - set(DEFAULTS):
        parser.error(f"unknown part {min(unknown)!r}: expected {', '.join(DEFAULTS)}.")
    chosen = [part for part in DEFAULTS if part in args.parts or not args.parts]
    for flag in FLAGS:
        if vars(args)[flag] and not any(flag in DEFAULTS[part] for part in chosen):
            parser.error(f"--{flag} does not concern {', '.join(chosen)}.")
    args.parts = {part: _settings(part, args) for part in chosen}
    return args, " ".join(name for _, name in args.parts.values())


def _settings(part, args):
    settings, words = {}, []
    for flag, default in DEFAULTS[part].items():
        given = vars(args)[flag]
        value = sorted(set(given)) if isinstance(given, list) else given
        settings[flag] = default if value is None else value
        if settings[flag] != default:
            words.append(FLAGS[flag][0].format(_spell(value, "-")))
    settings["seed"] = args.seed
    return settings, "_".join(["expressivity", part, *words, f"seed{args.seed}"])


def _spell(value, between):
    return between.join(map(str, value)) if isinstance(value, list) else str(value)


def main(argv=None):
    """Returns dict of part -> record."""
    args, _ = parse(argv)
    backend.require_tensorflow()
    result = {}
    for part, (settings, name) in args.parts.items():
        measure = functools.partial(run, part, settings, args)
        result[part], paths = resumable.run("expressivity", name, args, measure)
        from common.report import theory_figures  # here alone: it imports matplotlib

        drawn = theory_figures.draw(result[part], paths.csv)
        resumable.show(result[part], (*drawn, paths.csv, paths.json))
    return result


def run(part, settings, args, paths, done):
    """Measures what is not `done`; returns the CSV's rows and the record's fields."""
    clock = time.perf_counter()
    experiment = theory.EXPERIMENTS[part](settings, args.data_dir, paths.model)
    for key in tqdm(experiment.keys, part, disable=args.quiet):
        if str(key) not in done:
            done[str(key)] = experiment.row(*key)
    rows = [done[str(key)] for key in experiment.keys]
    return rows, {
        "part": part,
        "settings": settings,
        "verdict": experiment.verdict(pd.DataFrame(rows)),
        "models": experiment.saved,
        "seconds": round(time.perf_counter() - clock, 1),
    }


if __name__ == "__main__":
    cli.run(main)

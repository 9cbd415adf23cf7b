"""What a network could fit at all: section 4 of the paper, built and measured.

  python expressivity.py --dataset mnist_5k --train-size 64 --widths 0 4 --updates 99
  python expressivity.py                              # full: all four
  python expressivity.py theorem --train-size 50000   # all of CIFAR-10 as pure noise
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
             labels, in at least half of the draws, against their number of weights:
             by training, from below; of width 0 by linear programming too, exactly.
bound        Makes a PAC-Bayes bound small that holds for a network whose weights are
             drawn from a Gaussian (Dziugaite and Roy 2017): two classes, true and
             random labels. Below 1 it says something of the test error.

rademacher and memorize use the first principal components of the images, in units of
their standard deviation. Writes results/NAME.csv, .json and figures/NAME_*.png for
each, with NAME = expressivity_PART_..., and continues an interrupted run.
"""

import functools

from tqdm import tqdm

from common import cli, command_line, resumable


def parse(argv=None):
    """Returns dict of part -> `(Expressivity, Options)`."""
    return command_line.parse_parts(__doc__, __file__, argv)


def main(argv=None):
    """Returns dict of part -> record."""
    result = {}
    for part, (settings, options) in parse(argv).items():
        chosen = {k: v for k, v in vars(settings).items() if v is not None}
        measure = functools.partial(run, part, chosen, options)
        result[part] = resumable.run(
            "expressivity", options.name, options, measure, draw
        )
    return result


def draw(record, csv):
    """Draws the figures of a record; returns their paths."""
    from common.report import theory_figures  # here alone: it imports matplotlib

    return theory_figures.draw(record, csv)


def run(part, settings, options, paths, done):
    """Measures what is not `done`; returns the CSV's rows and the record's fields."""
    import pandas as pd

    from common.engine import backend
    from common.theory import expressivity as theory

    backend.require_tensorflow()
    experiment = theory.EXPERIMENTS[part](settings, options.data_dir, paths.model)
    for key in tqdm(experiment.keys, part, disable=options.quiet or None):
        if str(key) not in done:
            done[str(key)] = resumable.timed(experiment.row, *key)
    parts = [done[str(key)] for key in experiment.keys]
    rows = [line for part in parts for line in part.get("lines", [part])]
    return rows, {
        "part": part,
        "settings": settings,
        "verdict": experiment.verdict(pd.DataFrame(rows)),
        "models": experiment.saved,
        "seconds": round(sum(part["seconds"] for part in parts), 1),
    }


if __name__ == "__main__":
    cli.run(main)

"""Which training examples does a network memorize, and whom do they help?

  python influence.py --dataset mnist_5k --train-size 60 --networks 40    # tiny
  python influence.py                                # full: 5,000 digits, 400 networks
  python influence.py --random-labels --train-size 500 --epochs 400    # memorization

Trains many small networks, each on its own random 70 % of N examples. The memorization
score of an example (Feldman 2020) is by how much more often it is predicted as labelled
by the networks that were trained on it than by the others; its influence on a test
example is the same difference for that one (Feldman and Zhang 2020). Both are estimates
with a standard error: an example is left out by a few hundred networks at most. The
strongest influences are chosen by one half of the networks and estimated by the other:
the largest of many estimates are too large.

Writes results/NAME.csv (a line a training example), results/NAME.json and a figure in
results/figures/, which shows the most memorized examples and pairs. Type it again to
continue an interrupted run.
"""

import functools

from common import cli, command_line, resumable


def main(argv=None):
    """Returns the record."""
    settings, options = command_line.parse(__doc__, __file__, argv)
    measure = functools.partial(run, settings, options)
    return resumable.run("influence", options.name, options, measure, draw)


def draw(record, csv):
    """Draws the figure of a record; returns its path in a list."""
    from common.report import influence_figures  # here alone: it imports matplotlib

    return influence_figures.draw(record, csv)


def run(settings, options, paths, done):
    """Trains what is not `done`; returns the CSV's rows and the record's fields."""
    from tqdm import tqdm

    from common.engine import backend
    from common.theory import influence as theory

    backend.require_tensorflow()
    experiment = theory.Subsets(settings, options.data_dir)
    starts = range(0, settings.networks, theory.AT_ONCE)
    for start in tqdm(starts, "networks", unit_scale=theory.AT_ONCE,
                      disable=options.quiet or None):  # fmt: skip
        if str(start) not in done:
            done[str(start)] = resumable.timed(experiment.part, start)
    parts = [done[str(start)] for start in starts]
    rows, fields = experiment.summary(parts)
    return rows, {
        "settings": vars(settings),
        **fields,
        "seconds": round(sum(part["seconds"] for part in parts), 1),
    }


if __name__ == "__main__":
    cli.run(main)

"""Test error against width, through the interpolation threshold and beyond.

  python double_descent.py --dataset mnist_5k --train-size 99 --widths 1 2 4  # tiny
  python double_descent.py                                       # full: 4,000 digits
  python double_descent.py --label-corruption 0.2 --seeds 3      # with noise alone

Networks with one hidden layer of ReLUs are trained on N images by the squared loss, as
in Belkin et al. (2019). For d pixels, H hidden units and K classes they have
(d + K + 1) H + K weights; where these are as many as the N K numbers that they are to
reproduce is the interpolation threshold. Below it each network is trained twice: from
weights of its own (start `fresh`), and from those of the next narrower one with new
units beside them (start `reused`), which is what makes their curve. Beyond it all start
afresh. With --label-corruption some training labels are replaced; those of the test set
never are.

Writes results/NAME.csv (lines of every network at several epochs), results/NAME.json
and figures in results/figures/. Type it again to continue an interrupted run: finished
widths are kept.
"""

import functools

from common import cli, command_line, resumable


def main(argv=None):
    """Returns the record."""
    settings, options = command_line.parse(__doc__, __file__, argv)
    measure = functools.partial(run, settings, options)
    return resumable.run("double_descent", options.name, options, measure, draw)


def draw(record, csv):
    """Draws the figures of a record; returns their paths."""
    from common.report import descent_figures  # here alone: it imports matplotlib

    return descent_figures.draw(record, csv)


def run(settings, options, paths, done):
    """Trains the widths not `done`; returns the CSV's rows and the record's fields."""
    import pandas as pd

    from common.engine import backend
    from common.theory import double_descent as theory

    backend.require_tensorflow()
    experiment = theory.Descent(settings, options.data_dir, options.quiet)
    narrower = {}  # the last width's weights, of those that the next one may reuse
    for width in settings.widths:
        if str(width) not in done:
            part = resumable.timed(experiment.part, width, narrower)
            for other in done.values():  # of the last width alone they are read again
                other["weights"] = {}
            done[str(width)] = part
        narrower = theory.unpacked(done[str(width)]["weights"])
    rows = [row for width in settings.widths for row in done[str(width)]["rows"]]
    return rows, {
        "settings": vars(settings),
        "threshold": experiment.threshold,
        "verdict": theory.verdict(pd.DataFrame(rows), experiment.threshold),
        "seconds": {width: done[str(width)]["seconds"] for width in settings.widths},
    }


if __name__ == "__main__":
    cli.run(main)

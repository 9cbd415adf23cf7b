"""What the seeds of each level of label corruption measured (imports no Keras).

A level is the p of the record's regime: a row of true labels is level 0, one of random
labels level 1.
"""

from typing import NamedTuple

from common.report import tables


class Level(NamedTuple):
    """What the seeds of one corruption level measured."""

    value: tables.Stat  # of all seeds; where some did not fit, the last epoch of those
    unfit: int = 0  # seeds that never fitted: the true value is larger
    fitted: tuple = ()  # beside unfit ones, the values of the seeds that did


def level(row):
    """Returns the label corruption of a `tables.Row` with runs, from 0 to 1.

    None where pixels or words are corrupted: that is another experiment.
    """
    regime = row.runs[0].record["regime"]
    if any(regime.get(part) not in (None, "true") for part in ("pixels", "words")):
        return None
    return regime["label_corruption"]


def epochs_by_level(rows):
    """Returns dict of corruption level -> `Level` of the epochs to fit.

    A level with a seed that never fitted is censored: its number is the last epoch
    of the longest such run, and the true value is larger.
    """
    values = {}
    for row in rows:
        ends = [(run.record["epochs_to_fit"], run.record["epochs"]) for run in row.runs]
        fitted = tuple(first for first, _ in ends if first is not None)
        unfit = [last for first, last in ends if first is None]
        values[level(row)] = (
            Level(tables.stat([max(unfit)]), len(unfit), fitted)
            if unfit
            else Level(tables.stat(fitted))
        )
    return values


def relative_by_level(rows):
    """Returns `epochs_by_level` relative to p = 0; empty where that has not fitted."""
    values = epochs_by_level(rows)
    if 0.0 not in values or values[0.0].unfit:
        return {}
    base = values[0.0].value.mean

    def relative(found):
        value = tables.Stat(*(part / base for part in found.value[:3]), found.value.n)
        return Level(value, found.unfit, tuple(part / base for part in found.fitted))

    return {p: relative(found) for p, found in values.items()}


def error_by_level(rows):
    """Returns dict of level -> `Level` of the test error in %."""
    return _final_by_level(rows, lambda final: 100 * (1 - final["val_accuracy"]))


def generalization_by_level(rows):
    """Returns the same of the test error less the training error, in points."""
    return _final_by_level(
        rows, lambda final: 100 * (final["train_accuracy"] - final["val_accuracy"])
    )


def _final_by_level(rows, measure):
    return {
        level(row): Level(
            tables.stat([measure(run.record["final"]) for run in row.runs])
        )
        for row in rows
    }

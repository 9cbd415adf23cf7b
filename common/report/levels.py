"""What the seeds of each level of label corruption measured (imports no Keras).

A level is the p of the record's regime: a row of true labels is level 0, one of random
labels level 1.
"""

import math
from typing import NamedTuple

from common.report import stats


class Level(NamedTuple):
    """What the seeds of one corruption level measured."""

    value: stats.Stat  # of all seeds; where some did not fit, the last epoch of those
    unfit: int = 0  # seeds that never fitted: the true value is larger
    fitted: tuple = ()  # beside unfit ones, the values of the seeds that did


def level(row):
    """Returns the label corruption of a `table_rows.Row` with runs, from 0 to 1.

    None where pixels or words are corrupted: that is another experiment.
    """
    regime = row.runs[0].record["regime"]
    if any(regime.get(part) not in (None, "true") for part in ("pixels", "words")):
        return None
    return regime["label_corruption"]


def fitted(run):
    """Returns the first epoch with 99 % of the training labels of a run, or None."""
    return run.record["epochs_to_fit"]


def loss_below(threshold):
    """Returns a function: the first epoch of a run with a smaller training loss.

    The loss is the cross-entropy in nats with the weights frozen, on the examples that
    were measured after the epoch; None where no epoch is below.
    """

    def first(run):
        losses = run.history.get("train_cross_entropy", ())
        epochs = run.history.get("epoch", ())
        below = (e for e, x in zip(epochs, losses, strict=True) if x < threshold)
        return next(map(int, below), None)

    return first


def epochs_by_level(rows, first=fitted):
    """Returns dict of corruption level -> `Level` of the epochs to fit.

    A level with a seed that never fitted is censored: its number is the last epoch
    of the longest such run, and the true value is larger.

    Args:
        rows: `table_rows.Row`s with runs.
        first: Function of a run: its first epoch that counts as fitted, or None.
    """
    values = {}
    for row in rows:
        ends = [(first(run), run.record["epochs"]) for run in row.runs]
        fitted = tuple(epoch for epoch, _ in ends if epoch is not None)
        unfit = [last for epoch, last in ends if epoch is None]
        values[level(row)] = (
            Level(stats.stat([max(unfit)]), len(unfit), fitted)
            if unfit
            else Level(stats.stat(fitted))
        )
    return values


def relative_by_level(rows, first=fitted):
    """Returns `epochs_by_level` relative to p = 0; empty where that has not fitted."""
    values = epochs_by_level(rows, first)
    if 0.0 not in values or values[0.0].unfit:
        return {}
    base = values[0.0].value.mean

    def relative(found):
        value = stats.Stat(*(part / base for part in found.value[:3]), found.value.n)
        return Level(value, found.unfit, tuple(part / base for part in found.fitted))

    return {p: relative(found) for p, found in values.items()}


def error_by_level(rows):
    """Returns dict of level -> `Level` of the test error in %."""
    return _by_level(rows, lambda run: 100 * (1 - _last(run)))


def corrupted_error_by_level(rows):
    """Returns the same if the test labels were corrupted like the training labels.

    With probability p a test label is then a uniform draw of k classes, which a network
    of accuracy a hits with probability 1/k: the error is 1 - (a (1 - p) + p / k).
    """

    def error(run):
        p, classes = run.record["regime"]["label_corruption"], run.record["num_classes"]
        return 100 * (1 - (_last(run) * (1 - p) + p / classes))

    return _by_level(rows, error)


def distance(values, points, scale=1):
    """Returns how far a measure lies from the paper's, root mean square over 0 < p < 1.

    At p = 0 and 1 corrupted test labels make no difference to tell.

    Args:
        values: Dict of p -> `Level`.
        points: Dict of p -> the paper's value.
        scale: Times the paper's value.

    Returns:
        A number in the measure's unit, or None where no level is known of both.
    """
    gaps = [
        level.value.mean - scale * points[p]
        for p, level in values.items()
        if p in points and 0 < p < 1
    ]
    return math.sqrt(sum(x * x for x in gaps) / len(gaps)) if gaps else None


def generalization_by_level(rows):
    """Returns the same of the test error less the training error, in points."""

    def gap(run):
        return 100 * (run.record["final"]["train_accuracy"] - _last(run))

    return _by_level(rows, gap)


def last_by_level(rows):
    """Returns dict of level -> `Level` of the test accuracy in % at the end."""
    return _by_level(rows, lambda run: 100 * _last(run))


def best_by_level(rows):
    """Returns the same of the highest test accuracy of any epoch."""
    return _by_level(rows, lambda run: 100 * max(run.history["val_accuracy"]))


def _last(run):
    return run.record["final"]["val_accuracy"]


def _by_level(rows, measure):
    return {level(row): Level(stats.stat([*map(measure, row.runs)])) for row in rows}

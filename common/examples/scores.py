"""What makes an example suspicious: the scores of the field, and how well they do.

Each is a number an example and epoch, larger where the label is more likely wrong.
They are of the network after an epoch, weights frozen, on examples without
augmentation; the sources measure some of them on the batches as they are trained on.
"""

from typing import NamedTuple

import numpy as np

MEMORIZED = 0.95  # probability of a label from which on it counts as memorized
AHEAD = 1.5  # times chance: as many true labels predicted are something learned
EL2N_EPOCH = 10  # after which EL2N is taken, unless another is asked for


def forgetting_events(right):
    """Counts how often each example was right and, an epoch later, wrong.

    Toneva et al. (2019), of evaluations after each epoch in place of the
    example's own presentations in batches.

    Args:
        right: `(epochs, num_examples)` bool.

    Returns:
        `(num_examples,)` floats; infinite where an example was never right, which the
        source counts as forgotten most.
    """
    events = (right[:-1] & ~right[1:]).sum(0).astype(float)
    events[~right.any(0)] = np.inf
    return events


def first_right(right):
    """Returns the first epoch, from 1, in which each example was right; NaN: never."""
    return np.where(right.any(0), right.argmax(0) + 1.0, np.nan)


def learned(right):
    """Returns the epoch from which on each example stayed right; NaN: wrong at the end.

    Args:
        right: `(epochs, num_examples)` bool.
    """
    stayed = right[::-1].argmin(0)  # epochs right without a break, before the end
    stayed[right.all(0)] = len(right)
    return np.where(stayed > 0, len(right) - stayed + 1.0, np.nan)


def area_under_margin(margin):
    """Returns AUM: the mean of the margins over the epochs so far.

    Pleiss et al. (2020).

    Args:
        margin: `(epochs, num_examples)`: `z_y - max_{k != y} z_k`.

    Returns:
        `(epochs, num_examples)`; the last line is the AUM of the run.
    """
    return _running_mean(margin)


def _running_mean(values):
    counts = np.arange(1, len(values) + 1)[:, None]
    return values.astype(np.float32).cumsum(0, dtype=np.float64) / counts


def suspicions(examples):
    """Yields `(name, scores)`, `(epochs, num_examples)` floats, one after the other.

    A line is what can be known after its epoch:

    - `loss`, `margin`, `EL2N` of that epoch alone (`measures.measure`);
    - `mean loss` and `AUM` over the epochs so far;
    - `forgetting`: `forgetting_events` so far;
    - `learned late`: `first_right` so far.

    Args:
        examples: `files.Examples`.
    """
    yield "loss", examples.loss.astype(np.float32)
    yield "margin", -examples.margin.astype(np.float32)
    yield "EL2N", examples.error_norm.astype(np.float32)
    yield "mean loss", _running_mean(examples.loss)
    yield "AUM", -area_under_margin(examples.margin)
    right = examples.right
    events = np.zeros(right.shape)
    events[1:] = (right[:-1] & ~right[1:]).cumsum(0)
    events[~np.logical_or.accumulate(right)] = np.inf
    yield "forgetting", events
    first = np.nan_to_num(first_right(right), nan=np.inf)
    so_far = np.arange(1, len(right) + 1)[:, None]
    yield "learned late", np.where(first <= so_far, first, np.inf)


def auc(score, wrong):
    """Returns the area under the ROC curve of finding the wrong labels by a score.

    The chance that a wrong label has a larger score than a right one, ties counted half
    (Mann and Whitney).

    Args:
        score: `(num_examples,)`, larger where suspicious; may be infinite.
        wrong: `(num_examples,)` bool, with both kinds.
    """
    from scipy.stats import rankdata  # here: loading it takes a second

    count, others = wrong.sum(), (~wrong).sum()
    above = rankdata(score)[wrong].sum() - count * (count + 1) / 2
    return float(above / (count * others))


def roc(score, wrong):
    """Returns false and true positive rates of the ROC curve, from (0, 0) to (1, 1)."""
    order = np.argsort(-score, kind="stable")
    last = np.append(score[order][1:] != score[order][:-1], True)  # of equal scores
    hits, alarms = np.cumsum(wrong[order])[last], np.cumsum(~wrong[order])[last]
    start = np.zeros(1)
    return (
        np.concatenate([start, alarms / alarms[-1]]),
        np.concatenate([start, hits / hits[-1]]),
    )


class Found(NamedTuple):
    """How well a score finds the wrong labels."""

    score: str
    auc: list  # one an epoch
    best_epoch: int  # from 1: the first of the largest
    best_auc: float
    precision: float  # wrong among as many most suspected as there are wrong, then
    curve: tuple  # of `roc`, then


def find(examples):
    """Returns a list of `Found`, one of each of `suspicions`; empty without flips."""
    wrong, found = examples.flipped, []
    if not wrong.any() or wrong.all():
        return found
    for name, values in suspicions(examples):
        areas = [auc(line, wrong) for line in values]
        best = int(np.argmax(areas))
        worst = np.argsort(-values[best], kind="stable")[: wrong.sum()]
        precision = float(wrong[worst].mean())
        curve = roc(values[best], wrong)
        found.append(Found(name, areas, best + 1, areas[best], precision, curve))
    return found


def table(examples, el2n_epoch):
    """Returns a dict of columns, each `(num_examples,)`: a line an example.

    Args:
        examples: `files.Examples`.
        el2n_epoch: Epoch, from 1, whose EL2N is taken.
    """
    right = examples.right
    return {
        "index": examples.index,
        "given": examples.given,
        "true": examples.true,
        "kept": (~examples.flipped).astype(int),
        "first_right": first_right(right),
        "learned": learned(right),
        "forgetting_events": forgetting_events(right),
        "aum": area_under_margin(examples.margin)[-1],
        "el2n": examples.error_norm[el2n_epoch - 1].astype(np.float32),
        "mean_loss": _running_mean(examples.loss)[-1],
        "predicted": most_predicted(examples, len(right)),
    }


def most_predicted(examples, epochs):
    """Returns the class that each example was given most often by the network.

    Args:
        examples: `files.Examples`.
        epochs: How many are looked at, from the first.
    """
    counts = np.zeros((len(examples.given), examples.num_classes), np.int32)
    each = np.arange(len(examples.given))
    for line in examples.predicted[:epochs]:
        counts[each, line] += 1
    return counts.argmax(1)


def courses(examples):
    """Returns dict of name -> list, one number an epoch: shares of the examples.

    `kept_right`, `kept_memorized` of those whose label was kept; of the flipped ones
    `flipped_given` (the given label is predicted), `flipped_true` (the true one) and
    `flipped_memorized`. Memorized is a given label with a probability above
    `MEMORIZED`, as Wei et al. (2022) count it.
    """
    flipped = examples.flipped
    sure = examples.loss < -np.log(MEMORIZED)
    shares = {
        "kept_right": examples.right[:, ~flipped],
        "kept_memorized": sure[:, ~flipped],
        "flipped_given": examples.right[:, flipped],
        "flipped_true": (examples.predicted == examples.true)[:, flipped],
        "flipped_memorized": sure[:, flipped],
    }
    return {k: v.mean(1).tolist() for k, v in shares.items() if v.shape[1]}


def memorization_starts(course, num_classes):
    """Returns the last epoch before memorization, or None where none can be told.

    Arpit et al. (2017) and Liu et al. (2020): at first a network learns what is common
    to examples, and so the true labels of those with a wrong one; then it fits these.
    Here: the epoch after which most of the true labels of flipped examples are
    predicted. None if these are never `AHEAD` times as many as by chance.

    Args:
        course: From `courses`.
        num_classes: Integer.
    """
    true = course.get("flipped_true", [0.0])
    best = int(np.argmax(true))
    return best + 1 if true[best] > AHEAD / num_classes else None


def finite(examples):
    """Returns the examples up to the last epoch before the loss was no number.

    Raises:
        ValueError: If no epoch is left.
    """
    bad = np.isnan(examples.loss).any(1)
    epochs = int(bad.argmax()) if bad.any() else len(bad)
    if not epochs:
        raise ValueError("the loss was no number from the first epoch on")
    fields = "predicted margin probability loss error_norm".split()
    cut = {name: getattr(examples, name)[:epochs] for name in fields}
    return examples._replace(**cut)

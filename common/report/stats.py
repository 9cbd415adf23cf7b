"""Means over seeds, and how numbers are written in every table (imports no Keras)."""

import math
from typing import NamedTuple

from common import records

ERRORS = 2  # standard errors: no larger difference is "as in the paper"


class Stat(NamedTuple):
    """A mean over seeds, with the smallest and the largest value."""

    mean: float
    low: float
    high: float
    n: int


def stat(values):
    """Returns the `Stat` of some numbers, or None of none."""
    if not values:
        return None
    return Stat(sum(values) / len(values), min(values), max(values), len(values))


def two_errors(ours, paper, images, spread=0.0):
    """Returns two standard errors of the difference of two shares, in points.

    Args:
        ours, paper: Accuracies or errors in %.
        images: That each was measured on: their binomial standard error is
            sqrt(x (1 - x) / images), 0.43 points for 76 % of 10,000. The two are
            taken as independent; measured on the same images they differ by less.
        spread: Standard error of the difference over seeds, in points.
    """
    variances = [x * (100 - x) / images for x in (ours, paper)]
    return round(ERRORS * math.sqrt(sum(variances) + spread**2), 2)


def percent(value):
    """Returns a share in % with two decimals, as every table shows it.

    It is rounded to the nearest, but never to what it has not reached: 99.998 is not
    "100.00", which says all, 0.002 not "0.00", which says none, and 98.996 not
    "99.00", which says fitted.
    """
    shown = round(value, 2)
    if shown in (100 * records.FIT_THRESHOLD, 100) and shown - value > 1e-9:
        shown -= 0.01
    if shown == 0 and value > 1e-9:
        shown = 0.01
    return f"{shown + 0:.2f}"  # + 0: no "-0.00"


def spread(value, digits=2):
    """Returns `mean (low–high)` of a `Stat`; the mean alone where the two are equal.

    Args:
        value: `Stat`.
        digits: 2 for shares in % (see `percent`), 0 for counts.
    """
    mean, low, high = (
        percent(x) if digits else f"{x:.0f}"
        for x in (value.mean, value.low, value.high)
    )
    if low == high:
        return low
    return f"{mean if digits else f'{value.mean:.1f}'} ({low}–{high})"


def short_spread(value):
    """Returns `mean (low–high)` of a `Stat` in three digits; of one seed its value."""
    values = value.mean, value.low, value.high
    large = max(map(abs, values)) >= 1e5 and value.n > 1  # then all as powers of ten
    mean, low, high = (f"{v:.2e}" if large else short(v, 3) for v in values)
    return mean if value.n == 1 else f"{mean} ({low}–{high})"


def short(text, digits=4):
    """Returns a number in a few digits, counts in full; any other text as it is."""
    try:
        value = float(text)
    except ValueError:
        return text
    countable = value.is_integer() and abs(value) < 1e7
    whole = countable or 1000 <= abs(value) < 1e5  # 3006, not 3.01e+03
    return f"{value:.0f}" if whole else f"{value:.{digits}g}"

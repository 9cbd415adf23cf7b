"""Rademacher complexity: closed forms, the estimate and the bound (imports no Keras).

The empirical Rademacher complexity of a class H of functions to [-1, 1] on n points is
`E_sigma sup_h (1/n) sum_i sigma_i h(x_i)` with uniform signs sigma_i (Zhang et al.
2017, section 2.2; Bartlett and Mendelson 2002). For classifiers h takes the values -1
and +1, so that a draw of signs gives `2 * accuracy - 1` of labels sigma.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


class Estimate(NamedTuple):
    """A mean over draws of the signs, with its confidence interval."""

    mean: float
    low: float
    high: float


def signs(draws, n, seed):
    """Returns `(draws, n)` uniform signs, -1 or +1; the first n of a draw nest."""
    rngs = [np.random.default_rng([seed, draw]) for draw in range(draws)]
    return np.stack([2 * rng.integers(0, 2, n) - 1 for rng in rngs])


def linear_sup(x, sigma, bound):
    """Supremum of the linear functions `<w, x>` with `||w|| <= bound`, exactly.

    By Cauchy and Schwarz `sup_w <w, sum sigma_i x_i> / n` is `bound / n` times the
    norm of the sum.

    Args:
        x: `(n, d)`.
        sigma: `(draws, n)` signs.
        bound: Largest norm of w; `1 / max ||x_i||` keeps values in [-1, 1].

    Returns:
        `(draws,)`.
    """
    return bound / x.shape[0] * np.linalg.norm(sigma @ x, axis=1)


def linear_limits(x, bound):
    """Returns `(low, high)` around the complexity of the class of `linear_sup`.

    High is Jensen's `bound / n * sqrt(sum ||x_i||^2)`; low is that over sqrt(2), the
    best constant of Khintchine's inequality (Latala and Oleszkiewicz 1994).
    """
    high = bound / len(x) * math.sqrt(np.square(x, dtype=np.float64).sum())
    return high / math.sqrt(2), high


def separable(n, d):
    """Probability that random signs on n points in general position are separable.

    Cover (1965): by a hyperplane with offset in d dimensions, `2^(1-n)` times the sum
    of the first d + 1 binomials of n - 1. It is 1 up to n = d + 1 and 1/2 at 2 (d + 1).
    """
    return float(stats.binom.cdf(d, n - 1, 0.5)) if n > 1 else 1.0


def estimate(suprema):
    """Mean of the draws, with Student's 95 % interval, cut at 1.

    Draws that all agree, as where every one is 1, give an interval of no width.

    Args:
        suprema: `(draws,)` numbers, at least two.
    """
    mean, error = float(np.mean(suprema)), stats.sem(suprema)
    half = float(error * stats.t.ppf((1 + CONFIDENCE) / 2, len(suprema) - 1))
    return Estimate(mean, mean - half, min(mean + half, 1.0))


def gap_bound(complexity, n, delta=0.05):
    """Largest gap between test and training loss, with probability 1 - delta.

    `complexity + 3 sqrt(ln(2 / delta) / (2 n))` for the loss `(1 - y h(x)) / 2`, which
    counts mistakes where h is -1 or +1 (Mohri et al. 2018, theorems 3.3 and 3.5). A
    loss is at most 1: from 1 on the bound says nothing.
    """
    return complexity + 3 * math.sqrt(math.log(2 / delta) / (2 * n))

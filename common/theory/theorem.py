"""Theorem 1 as a construction: a network that takes any values on any n points.

Zhang et al. (2017), section 4 and appendix C: `c(x) = sum_j w_j max(<a, x> - b_j, 0)`
with 2n + d weights a (d), b (n), w (n). A random direction a makes the projections
z_i = <a, x_i> distinct; with them sorted and b_1 < z_1 <= b_2 < z_2 <= ... < z_n, the
matrix A_ij = max(z_i - b_j, 0) is lower triangular with a positive diagonal, so that
A w = y has one solution, whatever y is. Float64 throughout (imports no Keras).
"""

from typing import NamedTuple

import numpy as np

ATTEMPTS = 10  # at a direction; two inputs share a projection with probability zero


class Interpolant(NamedTuple):
    """The weights of Theorem 1, and the projections they were solved on."""

    direction: np.ndarray  # (d,) a
    knots: np.ndarray  # (n,) b, ascending
    weights: np.ndarray  # (n, outputs) w
    projections: np.ndarray  # (n,) z of the distinct inputs, ascending


def construct(x, y, seed=0, place=0.0):
    """Solves for the network that maps every x_i to y_i.

    Args:
        x: `(n, d)` numbers. Equal inputs count as one, so that the network may have
            fewer than 2n + d weights.
        y: `(n,)` or `(n, outputs)` numbers: any.
        seed: Integer; decides the direction.
        place: As in `knots`.

    Returns:
        `Interpolant`, whose n is the number of distinct inputs.

    Raises:
        ValueError: If equal inputs have different values, or lie too close for
            float64 to tell their projections apart.
    """
    x = np.asarray(x, np.float64)
    y = np.asarray(y, np.float64).reshape(len(x), -1)
    kept = distinct(x, y)
    x, y = x[kept], y[kept]
    rng = np.random.default_rng(seed)
    for _ in range(ATTEMPTS):
        direction = rng.standard_normal(x.shape[1]) / np.sqrt(x.shape[1])
        z = x @ direction
        order = np.argsort(z)
        z = z[order]
        if (np.diff(z) > 0).all():
            b = knots(z, place)
            return Interpolant(direction, b, solve(z, b, y[order]), z)
    raise ValueError(
        f"{ATTEMPTS} random directions left two of {len(x)} inputs with one projection "
        "in float64: they are too close. Expected inputs that differ by more than "
        "rounding."
    )


def distinct(x, y):
    """Returns the indices of the first of each group of equal inputs.

    Args:
        x: `(n, d)` float64.
        y: `(n, outputs)`.

    Raises:
        ValueError: If two equal inputs have different values.
    """
    first = {}
    for i, row in enumerate(x + 0.0):  # -0.0 is 0.0
        j = first.setdefault(row.tobytes(), i)
        if not np.array_equal(y[i], y[j]):
            raise ValueError(
                f"examples {j} and {i} are the same input with the values "
                f"{y[j].tolist()} and {y[i].tolist()}: no function takes both. "
                "Expected one value for each distinct input."
            )
    return list(first.values())


def knots(z, place=0.0):
    """Places b_i between z_(i-1) and z_i.

    On the point before (0, the default) is best. The slope s_i of c right of b_i
    follows s_i = (y_i - y_(i-1)) / (z_i - b_i) - t s_(i-1) with
    t = place / (1 - place): a slope that overshoots must be undone in the next
    interval. At 0 there is nothing to undo, c is linear interpolation and w its
    second differences; midway errors never die out, and beyond they grow as t^n.
    The paper writes b_i > z_(i-1); equality serves as well, since max(0, 0) = 0
    keeps the matrix triangular.

    Args:
        z: `(n,)` ascending.
        place: In [0, 1), as a fraction of the gap. b_1 is a mean gap before z_1.

    Returns:
        `(n,)` ascending.
    """
    gap = (z[-1] - z[0]) / (len(z) - 1) if len(z) > 1 else 1.0
    return np.append(z[0] - gap, z[:-1] + place * np.diff(z))


def solve(z, knots, y):
    """Solves A w = y for A_ij = max(z_i - b_j, 0), in O(n) without forming A.

    Args:
        z: `(n,)` ascending.
        knots: `(n,)` with b_1 < z_1 <= b_2 < z_2 <= ... < z_n.
        y: `(n, outputs)`.

    Returns:
        `(n, outputs)`: w_i is the change of slope at b_i.
    """
    run, undone = _steps(z, knots)
    slopes = np.diff(y, axis=0, prepend=0) / run[:, None]
    for i in range(1, len(z)):
        slopes[i] -= undone[i] * slopes[i - 1]
    return np.diff(slopes, axis=0, prepend=0)


def condition(z, knots):
    """Returns the exact condition number of A in the maximum norm, in O(n).

    The norm of A is the sum of its last row. The terms of a row of its inverse, which
    `solve` adds up, alternate in sign, so that the sum of their magnitudes follows
    the same recursion with plus signs.

    Args:
        z, knots: As in `solve`.
    """
    run, undone = _steps(z, knots)
    rise = 2 / run
    rise[0] /= 2  # nothing lies before the first point
    slope, largest = 0.0, 0.0
    for r, t in zip(rise, undone, strict=True):
        largest = max(largest, r + (1 + t) * slope)
        slope = r + t * slope
    return float(np.maximum(z[-1] - knots, 0).sum() * largest)


def _steps(z, knots):
    """`(z_i - b_i, (b_i - z_(i-1)) / (z_i - b_i))`; the second is 0 for i = 1."""
    run = z - knots
    return run, np.append(0.0, knots[1:] - z[:-1]) / run

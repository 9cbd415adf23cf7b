"""Least squares on random features, of the smallest norm, from few features to many.

Features are drawn, not trained: pairs cos(v x), sin(v x) (`fourier`, after Rahimi and
Recht, 2007) or max(0, v x) (`relu`). The first N of a draw do not depend on how many
follow, so that one decomposition gives every N. Below as many features as examples
(N <= n) that is one QR of the features; somewhat above it a QR of their transpose each;
further above, where squaring the condition does no harm, Cholesky factors of their
growing Gram matrix. All is float64.
"""

import math
import time
from typing import NamedTuple

import numpy as np
import scipy.linalg
from scipy.linalg import blas, lapack
from tqdm import tqdm

from common import corruptions
from common.cli import MendableError
from common.theory import features

KINDS = ("fourier", "relu")
BLOCK = 1000  # features that are drawn, and in memory, at once
NEAR = 1.05  # times n: up to here Gram matrices may be too singular for float64
MANY = (
    1.5  # times n: more features than that, which is slow, are of the first draw only
)
_DRAWS = 504  # an RNG stream that nothing else uses


class Draw:
    """One draw of random features, in blocks of `BLOCK`.

    Args:
        kind: One of `KINDS`.
        inputs: Number of pixels.
        bandwidth: Of the Gaussian kernel exp(-bandwidth |x - x'|^2) that `fourier`
            approximates: frequencies are normal with variance 2 bandwidth. None for
            `relu`, whose directions are uniform on the unit sphere.
        seed, number: Integers: which draw.
    """

    def __init__(self, kind, inputs, bandwidth, seed, number):
        self.kind, self.inputs, self.bandwidth = kind, inputs, bandwidth
        self.stream = [seed, _DRAWS, number]

    def block(self, x, first):
        """Returns features `first` to `first + BLOCK`, `(n, BLOCK)` float64.

        Args:
            x: `(n, inputs)` float64.
            first: A multiple of `BLOCK`.
        """
        rng = np.random.default_rng([*self.stream, first // BLOCK])
        if self.kind == "relu":
            v = rng.standard_normal((self.inputs, BLOCK))
            return np.maximum(x @ (v / np.linalg.norm(v, axis=0)), 0)
        v = rng.standard_normal((self.inputs, BLOCK // 2))
        phase = x @ (v * math.sqrt(2 * self.bandwidth))
        result = np.empty((len(x), BLOCK))
        np.cos(phase, out=result[:, ::2])
        np.sin(phase, out=result[:, 1::2])
        return result

    def scale(self, count):
        """Returns what multiplies |weights| to the norm of the predictor.

        The norm is that of features divided by it: then F F^T tends to the kernel.
        Of `count` Fourier features that are count / 2 pairs of length 1.
        """
        return math.sqrt(count / 2 if self.kind == "fourier" else count)


class Fit(NamedTuple):
    """The least-squares predictor of the smallest norm on the first N features."""

    fitted: np.ndarray  # (n, outputs), of the training set
    scores: np.ndarray  # (m, outputs), of the test set
    squares: np.ndarray  # (outputs,): |weights|^2 of each
    condition: float  # estimate, of F^T F or F F^T, whichever is smaller


def fits(draw, train, test, y, numbers, tick=lambda: None):
    """Fits y on the first N features, for each N.

    Args:
        draw: `Draw`, or an object with its `block`.
        train, test: `(n, inputs)` and `(m, inputs)` float64.
        y: `(n, outputs)` float64.
        numbers: Ascending integers N.
        tick: Called after every block of features.

    Returns:
        Dict of N -> `Fit`.

    Raises:
        MendableError: If features almost depend on each other, so that float64 cannot
            tell, or if examples do.
    """
    if not numbers:
        return {}
    n = len(train)
    weights, duals, conditions = {}, {}, {}
    if below := [count for count in numbers if count <= n]:
        for count, *found in _below(draw, train, y, below, tick):
            weights[count], conditions[count] = found
    for count in numbers:
        if n < count <= NEAR * n:
            weights[count], conditions[count] = _near(draw, train, y, count, tick)
    if above := [count for count in numbers if count > NEAR * n]:
        for count, *found in _above(draw, train, y, above, tick):
            duals[count], conditions[count] = found
    return _measured(draw, train, test, y, numbers, weights, duals, conditions, tick)


def blocks(numbers):
    """Returns the first features of the blocks that hold so many features."""
    return range(0, max(numbers), BLOCK)


def _below(draw, x, y, numbers, tick):
    """Yields `(N, weights, condition)` for N <= n, from one QR of [F y].

    ReLU features may depend on those before: some no example activates, others only
    the one that others also have to themselves. They are set apart, and get their part
    of the smallest norm in the end.
    """
    most = numbers[-1]
    a = np.empty((len(x), most + y.shape[1]), order="F")
    active = np.zeros(0, np.intp)
    for first in blocks(numbers):
        part = draw.block(x, first)[:, : most - first]
        new = np.flatnonzero(part.any(0))
        a[:, len(active) : len(active) + len(new)] = part[:, new]
        active = np.append(active, first + new)
        tick()
    end = len(active)
    a[:, end : end + y.shape[1]] = y
    (r,) = scipy.linalg.qr(
        a[:, : end + y.shape[1]], mode="r", overwrite_a=True, check_finite=False
    )
    del a
    free = _independent(r[:, :end])
    rest = active[~free]
    if len(rest):
        order = [*np.flatnonzero(free), *np.flatnonzero(~free), *range(end, r.shape[1])]
        (r,) = scipy.linalg.qr(r[:, order], mode="r", check_finite=False)
    active, end = active[free], end - len(rest)
    for count in numbers:
        here, others = active[active < count], rest[rest < count]
        size = len(here)
        # R of fewer columns is its leading block: the columns before do not change.
        right = r[:size, end:]
        solved, condition = _triangular(r[:size, :size], right, False, count)
        parts, fitted = solved[:, : len(others)], solved[:, len(rest) :]
        # F others = F here parts, so that weights move from here to the others, to
        # where the sum of their squares is the smallest.
        moved = np.linalg.solve(parts.T @ parts + np.eye(len(others)), parts.T @ fitted)
        weights = np.zeros((count, y.shape[1]))
        weights[here], weights[others] = fitted - parts @ moved, moved
        yield count, weights, condition


def _independent(r):
    """Which columns of a QR do not depend on those before, as a mask."""
    left = np.abs(np.diag(r))
    return left > len(r) * np.finfo(np.float64).eps * np.linalg.norm(r, axis=0)


def _near(draw, x, y, count, tick):
    """Returns `(weights, condition)` for N > n, from a QR of F^T."""
    n = len(x)
    a = np.empty((count, n), order="F")
    for first in blocks([count]):
        part = slice(first, min(first + BLOCK, count))
        a[part] = draw.block(x, first)[:, : part.stop - first].T
        tick()
    qr, tau, _, _ = lapack.dgeqrf(a, lwork=64 * n, overwrite_a=1)
    inner, condition = _triangular(qr[:n], y, True, count)
    c = np.zeros((count, y.shape[1]), order="F")
    c[:n] = inner
    weights, _, _ = lapack.dormqr("L", "N", qr, tau, c, 64 * n, overwrite_c=1)
    return weights, condition


def _triangular(r, right, transposed, count):
    """Solves with the upper triangle of r; returns the solution and the condition."""
    reciprocal, _ = lapack.dtrcon(np.asfortranarray(r), norm="1", uplo="U")
    if not reciprocal > np.finfo(np.float64).eps:
        raise _dependent(count)
    solved = scipy.linalg.solve_triangular(
        r, right, trans=int(transposed), check_finite=False
    )
    return solved, reciprocal**-2


def _above(draw, x, y, numbers, tick):
    """Yields `(N, alpha, condition)` for N > n, with weights F^T alpha."""
    n, done = len(x), 0
    gram = np.zeros((n, n), order="F")  # its lower triangle
    for count in numbers:
        while done < count:
            first, stop = done - done % BLOCK, min(done - done % BLOCK + BLOCK, count)
            part = draw.block(x, first)[:, done - first : stop - first]
            gram = blas.dsyrk(1.0, part.T, 1.0, gram, trans=1, lower=1, overwrite_c=1)
            done = stop
            tick()
        factor = gram.copy(order="F")
        factor, failed = lapack.dpotrf(factor, lower=1, clean=0, overwrite_a=1)
        if failed:
            raise _dependent(count)
        alpha, _ = lapack.dpotrs(factor, y, lower=1)
        # One step of refinement: what the factor's rounding left.
        left = y - blas.dsymm(1.0, gram, alpha, lower=1)
        alpha = alpha + lapack.dpotrs(factor, left, lower=1)[0]
        yield count, alpha, _condition(gram, factor)


def _condition(gram, factor):
    """Estimates the condition number of a matrix from its lower triangle."""
    diagonal = np.abs(np.diag(gram))
    sums = np.zeros(len(gram))
    for i in range(0, len(gram), BLOCK):  # no copy of the whole
        part = np.tril(np.abs(gram[i:, i : i + BLOCK]))
        sums[i : i + BLOCK] += part.sum(0)
        sums[i:] += part.sum(1)
    reciprocal, _ = lapack.dpocon(factor, (sums - diagonal).max(), uplo="L")
    return 1 / max(reciprocal, np.finfo(np.float64).tiny)


def _dependent(count):
    return MendableError(
        f"{count} features are too close to dependent on these examples for float64 to "
        "tell. Choose fewer --num-features or a larger --bandwidth; "
        "equal images of different labels have no solution at all."
    )


def _measured(draw, x, test, y, numbers, weights, duals, conditions, tick):
    """Predictions and norms of every N, in one pass over the features."""
    made = {
        count: Fit(
            np.zeros_like(y),
            np.zeros((len(test), y.shape[1])),
            np.zeros(y.shape[1]),
            conditions[count],
        )
        for count in numbers
    }
    for first in blocks(numbers):
        ours, theirs = draw.block(x, first), draw.block(test, first)
        for count, fit in made.items():
            if count <= first:
                continue
            width = min(BLOCK, count - first)
            if count in weights:
                w = weights[count][first : first + width]
            else:
                w = ours[:, :width].T @ duals[count]
            fit.squares[:] += (w**2).sum(0)
            fit.fitted[:] += ours[:, :width] @ w
            fit.scores[:] += theirs[:, :width] @ w
        tick()
    return made


def curve(data, settings, waiting, quiet=False):
    """Fits all numbers of features and all levels of corruption, a draw at a time.

    Labels of every level have the same features, and cost next to nothing more. Draws
    differ little where features are many: all but the first end at `MANY` times n.

    Args:
        data: `datasets.Data`; its training labels are true.
        settings: Object with `features`, `bandwidth`, `num_features`, `levels`,
            `label_noise`, `seed` and `data_seed`.
        waiting: Numbers of the draws to make.
        quiet: Whether to show no progress.

    Yields:
        `(number, part)` of each draw: a dict of `rows`, lines of the CSV as dicts, and
        of the `seconds` that it took.
    """
    train, test = (
        features.unit(x).astype(np.float64) for x in (data.x_train, data.x_test)
    )
    kind = settings.features
    labels = {p: level(data, p, settings) for p in settings.levels}
    y = np.concatenate([np.eye(data.num_classes)[k] for k in labels.values()], 1)
    for number in waiting:
        rows, clock = [], time.perf_counter()
        numbers = [
            count
            for count in settings.num_features
            if number == 0 or count <= MANY * len(train)
        ]
        for bandwidth in settings.bandwidth:
            draw = Draw(kind, train.shape[1], bandwidth, settings.seed, number)
            with tqdm(
                desc=f"draw {number}", unit="block", disable=quiet or None
            ) as bar:
                found = fits(draw, train, test, y, numbers, bar.update)
            for count, fit in found.items():
                for i, (p, given) in enumerate(labels.items()):
                    part = slice(i * data.num_classes, (i + 1) * data.num_classes)
                    one_hot = y[:, part]
                    misfit = np.linalg.norm(fit.fitted[:, part] - one_hot)
                    rows.append(
                        {
                            "label_corruption": p,
                            "draw": number,
                            "bandwidth": bandwidth,
                            "num_features": count,
                            "train_error": _error(fit.fitted[:, part], given),
                            "test_error": _error(fit.scores[:, part], data.y_test),
                            "misfit": float(misfit / np.linalg.norm(one_hot)),
                            "rkhs_norm": draw.scale(count)
                            * math.sqrt(fit.squares[part].sum()),
                            "condition": fit.condition,
                        }
                    )
        seconds = round(time.perf_counter() - clock, 1)
        yield number, {"rows": rows, "seconds": seconds}


def verdict(rows, size):
    """Returns what a curve shows, in a sentence or two.

    Args:
        rows: Lines of the CSV, as dicts, of one bandwidth or several.
        size: Number of training images.
    """
    first = min(row["label_corruption"] for row in rows)
    rows = [row for row in rows if row["label_corruption"] == first]
    draws = {row["draw"] for row in rows}
    numbers = sorted({row["num_features"] for row in rows})
    mean = {
        column: {
            count: float(
                np.mean([r[column] for r in rows if r["num_features"] == count])
            )
            for count in numbers
        }
        for column in ("test_error", "train_error", "rkhs_norm")
    }
    test = mean["test_error"]
    peak = max(test, key=test.get)
    said = f"{size:,} images"
    if first:
        said += f", label corruption {first:g}"
    said += f", {len(draws)} draw{'s' * (len(draws) > 1)} of random features: "
    said += "the test error is " + ", ".join(
        f"{100 * test[count]:.2f} % with {count:,}"
        for count in dict.fromkeys((numbers[0], peak, numbers[-1]))
    )
    few = {k: v for k, v in test.items() if k < peak}
    if few and peak < numbers[-1]:
        best = min(few, key=few.get)
        lower = "lower" if test[numbers[-1]] < few[best] else "not lower"
        said += (
            f"; on the right of that peak it ends {lower} than the least on its left, "
            f"{100 * few[best]:.2f} % with {best:,}"
        )
    fitted = [k for k, v in mean["train_error"].items() if not v]
    if fitted:
        said += f". All training labels are reproduced from {fitted[0]:,} features on"
    norms = mean["rkhs_norm"]
    ends = dict.fromkeys((numbers[0], peak, numbers[-1]))
    return said + ". Norm there: " + ", ".join(f"{norms[k]:.4g}" for k in ends) + "."


def level(data, p, settings):
    """Returns the training labels at a level p of corruption."""
    return corruptions.corrupt_labels(
        data.y_train_true, p, data.num_classes, settings.data_seed, settings.label_noise
    )


def _error(scores, labels):
    return float((scores.argmax(1) != labels).mean())

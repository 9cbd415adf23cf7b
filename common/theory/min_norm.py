"""Minimum-norm solutions of K alpha = Y: estimates, solutions, measurements.

`settings` is an object with the fields that decide a run of min_norm.py: `dataset`,
`train_size` (or None), `features` (`raw`, `gabor` or `random_conv`), `kernel`
(`gaussian` or `linear`), `bandwidth`, `filters` and `ridge` (sequences; [None] where
one does not apply), `held_out` (or None), `label_corruption`, `label_noise`, `sgd`,
`seed`, `data_seed`.
"""

import functools
import itertools
import math
import time

import keras
import numpy as np
from tqdm import tqdm

from common import corruptions, datasets
from common.cli import MendableError, UsageError
from common.engine import machine
from common.theory import cholesky, features, kernels, least_squares

FILTER_BLOCK = 128  # filters whose features are in memory at once: 1,024 columns
FITTED = 1e-6  # relative misfit below which a solution interpolates
SINGULAR = 1e8  # condition from which float32 products of features decide the norm
_SWEEPS = 6  # float64 products with K that a solution usually takes


def load(settings, data_dir=None):
    """Loads the data of a run, and corrupts the training labels.

    With `held_out`, so many other training images stand in for the test set.

    Args:
        settings: As above.
        data_dir: Where data sets lie, or None.

    Returns:
        `datasets.Data`.

    Raises:
        UsageError: If the data set is unknown, or has fewer training images.
    """
    s, size, held_out = settings, settings.train_size, settings.held_out
    if held_out:
        data = datasets.named(s.dataset, data_dir=data_dir)
        x, y = data.x_train, data.y_train
        size = size or len(y) - held_out
        order = datasets.balanced_order(y, s.data_seed)
        kept, other = order[:size], order[size : size + held_out]
        data = data._replace(x_train=x[kept], y_train=y[kept], y_train_true=y[kept])
        data = data._replace(x_test=x[other], y_test=y[other])
    else:
        data = datasets.named(s.dataset, size, s.data_seed, data_dir)
    y_train = corruptions.corrupt_labels(
        data.y_train, s.label_corruption, data.num_classes, s.data_seed, s.label_noise
    )
    return data._replace(y_train=y_train)


def grid(settings):
    """Returns the systems to solve: a list of `(filters, bandwidth, ridge)`."""
    return list(itertools.product(settings.filters, settings.bandwidth, settings.ridge))


def verdict(rows, settings, size):
    """Returns a sentence or two on the last system, or on both starts of SGD.

    Args:
        rows: Lines of the CSV, as dicts.
        settings: As above.
        size: Number of training images.
    """
    if settings.sgd:
        zero, other = (
            [r["distance"] for r in rows if r["start"] == s] for s in ("zero", "random")
        )
        losses = {r["start"]: r["train_loss"] for r in rows}  # the last ones
        fitted = math.sqrt(2 * max(losses.values())) < FITTED
        fits = "fits as well" if fitted else "has not fitted yet"
        return (
            f"From zero SGD comes to {zero[-1]:.1e} of the minimum-norm solution "
            f"(relative distance; loss {losses['zero']:.1e}); from a random start it "
            f"{fits} (loss {losses['random']:.1e}) and stays {other[-1]:.2g} away: no "
            "step moves it off the data's span."
        )
    row = rows[-1]
    where = "other training images" if settings.held_out else "test images"
    how = "Interpolated without gradient descent"
    if row["misfit"] >= FITTED:
        how = f"Did not interpolate (relative misfit {row['misfit']:.1e})"
    if row["ridge"]:
        how = f"Solved with a ridge of {row['ridge']:g}, which need not interpolate"
    filters = f", {row['filters']} filters" if row["filters"] else ""
    loose = [r["filters"] for r in rows if r["filters"] and r["condition"] > SINGULAR]
    unsure = ""
    if loose:
        unsure = (
            f" Hardly more features than images: the norm with "
            f"{', '.join(map(str, loose))} filters may be off by 100 %, because their "
            f"products are float32 and the condition is above {SINGULAR:.0e}."
        )
    return (
        f"{how}: {size} images, {settings.features} features"
        f"{filters}, {100 * row['train_error']:.2f} % error on the training "
        f"labels and {100 * row['test_error']:.2f} % on {where}. Norm of the solution "
        f"{row['rkhs_norm']:.4g}, largest relative residual {row['residual']:.1e}, "
        f"condition about {row['condition']:.1e}.{unsure}"
    )


def path(data, settings, waiting, model_path, quiet=False):
    """Solves systems one by one, in an order that shares the most work.

    Args:
        data: `datasets.Data`; its test set is what errors are measured on.
        settings: As above.
        waiting: Those of `grid(settings)` that are to be solved.
        model_path: Where a linear model of pixels is saved.
        quiet: Whether to print no estimate and show no progress.

    Yields:
        A dict for each system: a line of the CSV.

    Raises:
        MendableError: If memory does not suffice, or no factor exists.
        UsageError: If there are fewer features than images, and no ridge.
    """
    y, kind = np.eye(data.num_classes)[data.y_train], settings.features
    if settings.kernel == "linear" and kind != "random_conv":
        for _, _, ridge in waiting:
            yield _linear(data, kind, y, ridge, model_path)
        return
    check(data, settings, quiet)
    for system, gram, predict in _grams(data, settings, waiting, quiet):
        yield _solved(system, gram, predict, data, y, quiet)


def check(data, settings, quiet=False):
    """Prints the memory and the time that a run needs, unless `quiet`.

    Raises:
        MendableError: If there is not so much memory, with the largest size that fits.
        UsageError: If there are fewer features than images, and no ridge.
    """
    fewest = settings.filters[0]
    size, need = len(data.y_train), functools.partial(_bytes, data, settings.features)
    if fewest and 0.0 in settings.ridge and 8 * fewest < size:
        raise UsageError(
            f"{fewest} filters give {8 * fewest} features, too few "
            f"to interpolate {size} images: use {-(-size // 8)} filters or more, a "
            "smaller --train-size, or --ridge without 0."
        )
    free = machine.available_memory()
    if need(size) > free:
        fits = [n for n in range(0, size, 100) if need(n) <= free]
        raise MendableError(
            f"{size} images need {need(size) / 1e9:.1f} GB of memory, and "
            f"{free / 1e9:.1f} GB are free. The largest that fits now: "
            f"--train-size {fits[-1] if fits else 0}."
        )
    if not quiet:
        minutes = _seconds(data, settings.features, fewest) / 60
        print(
            f"About {need(size) / 1e9:.1f} GB of memory and {minutes:.1f} minutes for "
            f"the first setting ({size} images; the time if nothing else runs).",
            flush=True,
        )


def _bytes(data, kind, size):
    """Memory at its largest, for `size` training images and features of a kind."""
    test, pixels = len(data.y_test), math.prod(data.x_train.shape[1:])
    need = cholesky.factor_bytes(size) + 0.8e9 + (size + test) * pixels
    if kind == "random_conv":  # the matrix in float64, and two feature blocks
        stored = 4 * size * (size + kernels.BLOCK) + 4 * size * test
        return need + stored + 3 * (size + test) * 8 * FILTER_BLOCK * 4
    return need + (size + test) * (4 + 8 + 8) * pixels


def _seconds(data, kind, count):
    """Time for one system, with `count` filters if it has any, measured in small."""
    size, d = len(data.y_train), math.prod(data.x_train.shape[1:])
    fast, exact = (_rate(dtype) for dtype in ("float32", "float64"))
    if kind != "random_conv":
        return (size**3 / 3 + size**2 * d) / fast + _SWEEPS * size**2 * d / exact
    layer = features.RandomConvolution(data.x_train[:100], 0)
    filters = layer.filters(0, FILTER_BLOCK)
    layer.responses(data.x_train[:50], *filters)  # compiles nothing, but warms up
    clock = time.perf_counter()
    layer.responses(data.x_train[:50], *filters)
    each = (time.perf_counter() - clock) / min(size, 50) / FILTER_BLOCK
    images = size + len(data.y_test)
    products = size * (size + 2 * len(data.y_test)) * 8 * count
    return each * count * images + (size**3 / 3 + products) / fast


def _rate(dtype):
    """Operations a second of a large product, now."""
    a = keras.ops.ones((2048, 1024), dtype)
    best = math.inf
    for _ in range(3):
        clock = time.perf_counter()
        np.asarray(keras.ops.matmul(a, keras.ops.transpose(a)))
        best = min(best, time.perf_counter() - clock)
    return 2 * 2048**2 * 1024 / best


def _grams(data, settings, waiting, quiet):
    """Yields `(system, gram, predict)` in the order that shares the most work."""
    if settings.features == "random_conv":
        yield from _convolutions(data, settings, waiting, quiet)
        return
    train, test = points(data, settings.features)
    for bandwidth in dict.fromkeys(system[1] for system in waiting):
        gram = kernels.Gaussian(train, bandwidth)
        predict = functools.partial(gram.predict, test)
        for system in (s for s in waiting if s[1] == bandwidth):
            yield system, gram, predict


def points(data, kind):
    """Returns the `(train, test)` points, float32: pixels / 255, or Gabor features."""
    if kind == "raw":
        return features.unit(data.x_train), features.unit(data.x_test)
    train, test = features.gabor(data.x_train), features.gabor(data.x_test)
    scale = np.float32(features.rms_distance(train))
    return train / scale, test / scale


def _convolutions(data, settings, waiting, quiet):
    layer = features.RandomConvolution(data.x_train, settings.seed)
    gram = kernels.Accumulated(len(data.y_train), len(data.y_test))
    last_count, first = max(system[0] for system in waiting), 0
    with tqdm(total=last_count, unit="filter", disable=quiet or None) as bar:
        # Blocks end at every count, also those that are solved already: sums are
        # rounded as in a run that was never interrupted.
        for count in sorted(c for c in {*settings.filters} if c <= last_count):
            while first < count:
                last = min(first + FILTER_BLOCK, count)
                gram.add(*layer.pair(data.x_train, data.x_test, first, last))
                bar.update(last - first)
                first = last
            # Features of mean square 1 in all, so that a ridge means the same in each.
            gram.scale, gram.offset = 1 / (8 * count), 1.0
            for system in (s for s in waiting if s[0] == count):
                yield system, gram, gram.predict


def _solved(system, gram, predict, data, y, quiet):
    """Solves one system and measures the solution: a line of the CSV."""
    filters, bandwidth, ridge = system
    clock = time.perf_counter()
    columns, shift = _factored(gram, ridge, quiet)
    # A column of ones gives the solution for targets of -1 and 1 as well.
    targets = np.concatenate([y, np.ones((len(y), 1))], 1)
    alpha, residuals = _refined(gram, ridge, columns, targets, quiet)
    fitted = cholesky.multiply(gram, 0.0, alpha)
    residual = np.linalg.norm(targets - fitted - ridge * alpha, axis=0)
    residual = float((residual / np.maximum(np.linalg.norm(targets, axis=0), 1)).max())
    if not residual < 1e-3:
        raise MendableError(
            f"no solution: a relative residual of {residual:.1e} is left. Where equal "
            "images have different labels, nothing interpolates: use a --ridge of 1e-3 "
            "or more."
        )
    largest, smallest = cholesky.eigenvalue_range(columns)
    signed = (2 * a[:, :-1] - a[:, -1:] for a in (alpha, fitted))
    return {
        "filters": filters,
        "bandwidth": bandwidth,
        "ridge": ridge,
        "train_error": _error(fitted[:, :-1], data.y_train),
        "test_error": _error(predict(alpha[:, :-1]), data.y_test),
        "misfit": _misfit(fitted[:, :-1], y),
        "rkhs_norm": _norm(alpha[:, :-1], fitted[:, :-1]),
        "rkhs_norm_signed": _norm(*signed),
        "alpha_norm": float(np.linalg.norm(alpha[:, :-1])),
        "residual": residual,
        "float32_residual": residuals[0],
        "sweeps": len(residuals),
        "shift": shift,
        "condition": largest / smallest,
        "seconds": round(time.perf_counter() - clock, 1),
    }


def _factored(gram, ridge, quiet):
    work = sum(cholesky.operations(gram.size, b) for b in kernels.blocks(gram.size))
    with tqdm(total=round(work / 1e9), unit="Gflop", disable=quiet or None) as bar:
        try:
            return cholesky.robust_factor(
                gram, ridge, lambda done: bar.update(done / 1e9)
            )
        except np.linalg.LinAlgError as error:
            raise MendableError(f"{error}: use a --ridge of 1e-3 or more.") from None


def _refined(gram, ridge, columns, targets, quiet):
    with tqdm(desc="refining", unit="sweep", disable=quiet or None) as bar:

        def report(iteration, worst):
            bar.update()
            bar.set_postfix_str(f"residual {worst:.1e}")

        return cholesky.conjugate_gradients(
            gram, ridge, columns, targets, report=report
        )


def _linear(data, kind, y, ridge, model_path):
    """The linear model of pixels or Gabor features, by least squares in float64."""
    clock = time.perf_counter()
    train, test = points(data, kind)
    weights, condition = least_squares.minimum_norm(train, y, ridge)
    fitted = train @ weights
    if kind == "raw":
        least_squares.save(data, weights, model_path)
    gap = train.T @ (fitted - y) + ridge * weights  # zero at any least-squares solution
    return {
        "filters": None,
        "bandwidth": None,
        "ridge": ridge,
        "train_error": _error(fitted, data.y_train),
        "test_error": _error(test @ weights, data.y_test),
        "misfit": _misfit(fitted, y),
        "rkhs_norm": float(np.linalg.norm(weights)),
        "residual": float(np.linalg.norm(gap) / np.linalg.norm(train.T @ y)),
        "condition": condition**2,
        "seconds": round(time.perf_counter() - clock, 1),
    }


def _misfit(fitted, y):
    return float(np.linalg.norm(fitted - y) / np.linalg.norm(y))


def _error(scores, labels):
    return float((scores.argmax(1) != labels).mean())


def _norm(alpha, fitted):
    """sqrt(sum_k alpha_k^T K alpha_k), with K alpha given."""
    return math.sqrt(max(float((alpha * fitted).sum()), 0.0))

"""The minimum-norm solutions of min_norm.py: estimate, solve, measure."""

import functools
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
FITTED = 1e-6  # relative misfit below which the targets are reproduced
_SWEEPS = 6  # products with K in float64 that a solution usually takes


def load(args):
    """Loads and corrupts; with --held-out, other training images are the test set."""
    size = args.train_size
    if args.held_out:
        whole = datasets.named(args.dataset, data_dir=args.data_dir)
        size = size or len(whole.y_train) - args.held_out
        if not 0 < size <= len(whole.y_train) - args.held_out:
            raise UsageError(
                f"{args.dataset} has {len(whole.y_train)} training images, fewer than "
                f"--train-size and --held-out {args.held_out} ask for."
            )
        order = datasets.balanced_order(whole.y_train, args.data_seed)
        kept, other = order[:size], order[size : size + args.held_out]
        x, y = whole.x_train, whole.y_train
        data = whole._replace(x_train=x[kept], y_train=y[kept], y_train_true=y[kept])
        data = data._replace(x_test=x[other], y_test=y[other])
    else:
        data = datasets.named(args.dataset, size, args.data_seed, args.data_dir)
    y_train = corruptions.corrupt_labels(
        data.y_train,
        args.label_corruption,
        data.num_classes,
        args.data_seed,
        args.label_noise,
    )
    return data._replace(y_train=y_train)


def verdict(rows, args, size):
    """A sentence or two on the last setting, or on both starts of SGD."""
    if args.sgd:
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
    where = "other training images" if args.held_out else "test images"
    how = "Interpolated without gradient descent"
    if row["misfit"] >= FITTED:
        how = f"Did not interpolate (relative misfit {row['misfit']:.1e})"
    if row["ridge"]:
        how = f"Solved with a ridge of {row['ridge']:g}, which need not interpolate"
    filters = f", {row['filters']} filters" if row["filters"] else ""
    return (
        f"{how}: {size} images, {args.features} features"
        f"{filters}, {100 * row['train_error']:.2f} % error on the training "
        f"labels and {100 * row['test_error']:.2f} % on {where}. Norm of the solution "
        f"{row['rkhs_norm']:.4g}, largest relative residual {row['residual']:.1e}, "
        f"condition about {row['condition']:.1e}."
    )


def path(data, args, settings, done, model_path):
    """Yields one line of results for every setting that is not done yet.

    Args:
        data: `datasets.Data`; its test set is what errors are measured on.
        args: Flags of min_norm.py.
        settings: List of (filters, bandwidth, ridge), None where it does not apply.
        done: Dict whose keys are those settings, as text, to leave out.
        model_path: Where a linear model of pixels is saved.

    Raises:
        MendableError: If memory does not suffice, or no factor exists.
    """
    y = np.eye(data.num_classes)[data.y_train]
    waiting = [setting for setting in settings if str(setting) not in done]
    if args.kernel == "linear" and args.features != "random_conv":
        for _, _, ridge in waiting:
            yield _linear(data, args, y, ridge, model_path)
        return
    check(data, args)
    for setting, gram, predict in _grams(data, args, waiting):
        yield _solved(setting, gram, predict, data, y, args.quiet)


def check(data, args):
    """Prints the memory and the time that a run needs.

    Raises:
        MendableError: If there is not so much memory, with the largest size that fits.
        UsageError: If there are fewer features than images, and no ridge.
    """
    size, need = len(data.y_train), functools.partial(_bytes, data, args)
    if args.filters[0] and 0.0 in args.ridge and 8 * args.filters[0] < size:
        raise UsageError(
            f"{args.filters[0]} filters give {8 * args.filters[0]} features, too few "
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
    if not args.quiet:
        minutes = _seconds(data, args) / 60
        print(
            f"About {need(size) / 1e9:.1f} GB of memory and {minutes:.1f} minutes for "
            f"the first setting ({size} images; the time if nothing else runs).",
            flush=True,
        )


def _bytes(data, args, size):
    """Memory at its largest, for `size` training images."""
    test, pixels = len(data.y_test), math.prod(data.x_train.shape[1:])
    need = cholesky.factor_bytes(size) + 0.8e9 + (size + test) * pixels
    if args.features == "random_conv":  # the matrix in float64, and two feature blocks
        stored = 4 * size * (size + kernels.BLOCK) + 4 * size * test
        return need + stored + 3 * (size + test) * 8 * FILTER_BLOCK * 4
    return need + (size + test) * (4 + 8 + 8) * pixels


def _seconds(data, args):
    size, d = len(data.y_train), math.prod(data.x_train.shape[1:])
    fast, exact = (_rate(dtype) for dtype in ("float32", "float64"))
    if args.features != "random_conv":
        return (size**3 / 3 + size**2 * d) / fast + _SWEEPS * size**2 * d / exact
    layer = features.RandomConvolution(data.x_train[:100], 0)
    filters = layer.filters(0, FILTER_BLOCK)
    layer.responses(data.x_train[:50], *filters)  # compiles nothing, but warms up
    clock = time.perf_counter()
    layer.responses(data.x_train[:50], *filters)
    each = (time.perf_counter() - clock) / min(size, 50) / FILTER_BLOCK
    count, images = args.filters[0], size + len(data.y_test)
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


def _grams(data, args, waiting):
    """Yields `(setting, gram, predict)` in the order that shares the most work."""
    if args.features == "random_conv":
        yield from _convolutions(data, args, waiting)
        return
    train, test = points(data, args.features)
    for bandwidth in dict.fromkeys(setting[1] for setting in waiting):
        gram = kernels.Gaussian(train, bandwidth)
        predict = functools.partial(gram.predict, test)
        for setting in (s for s in waiting if s[1] == bandwidth):
            yield setting, gram, predict


def points(data, kind):
    """Returns the `(train, test)` points, float32: pixels / 255, or Gabor features."""
    if kind == "raw":
        return features.unit(data.x_train), features.unit(data.x_test)
    train, test = features.gabor(data.x_train), features.gabor(data.x_test)
    scale = np.float32(features.rms_distance(train))
    return train / scale, test / scale


def _convolutions(data, args, waiting):
    layer = features.RandomConvolution(data.x_train, args.seed)
    gram = kernels.Accumulated(len(data.y_train), len(data.y_test))
    counts = sorted({setting[0] for setting in waiting})
    first = 0
    with tqdm(total=sum(counts[-1:]), unit="filter", disable=args.quiet) as bar:
        for count in counts:
            while first < count:
                last = min(first + FILTER_BLOCK, count)
                gram.add(*layer.pair(data.x_train, data.x_test, first, last))
                bar.update(last - first)
                first = last
            # Features of mean square 1 in all, so that a ridge means the same in each.
            gram.scale, gram.offset = 1 / (8 * count), 1.0
            for setting in (s for s in waiting if s[0] == count):
                yield setting, gram, gram.predict


def _solved(setting, gram, predict, data, y, quiet):
    """Solves one setting and measures it: a line of the CSV."""
    filters, bandwidth, ridge = setting
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
    with tqdm(total=round(work / 1e9), unit="Gflop", disable=quiet) as bar:
        try:
            return cholesky.robust_factor(
                gram, ridge, lambda done: bar.update(done / 1e9)
            )
        except np.linalg.LinAlgError as error:
            raise MendableError(f"{error}: use a --ridge of 1e-3 or more.") from None


def _refined(gram, ridge, columns, targets, quiet):
    with tqdm(desc="refining", unit="sweep", disable=quiet) as bar:

        def report(iteration, worst):
            bar.update()
            bar.set_postfix_str(f"residual {worst:.1e}")

        return cholesky.conjugate_gradients(
            gram, ridge, columns, targets, report=report
        )


def _linear(data, args, y, ridge, model_path):
    """The linear model of pixels or Gabor features, by least squares in float64."""
    clock = time.perf_counter()
    train, test = points(data, args.features)
    weights, condition = least_squares.minimum_norm(train, y, ridge)
    fitted = train @ weights
    if args.features == "raw":
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

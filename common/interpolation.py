"""The minimum-norm solutions of min_norm.py: estimate, solve, measure."""

import functools
import math
import time

import keras
import numpy as np
from tqdm import tqdm

from common import features, hardware, kernels, least_squares, training
from common.cli import MendableError, UsageError

FILTER_BLOCK = 128  # filters whose features are in memory at once: 1,024 columns
_SWEEPS = 6  # products with K in float64 that a solution usually takes
_START = 503  # stream of randomness, apart from all others


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
            f"{args.filters[0]} filters give {8 * args.filters[0]} features, too few to "
            f"interpolate {size} images: use {-(-size // 8)} filters or more, a smaller "
            "--train-size, or --ridge without 0."
        )
    free = hardware.available_memory()
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
    need = kernels.factor_bytes(size) + 0.6e9 + (size + test) * pixels
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
    work = sum(kernels.operations(gram.size, b) for b in kernels.blocks(gram.size))
    with tqdm(total=round(work / 1e9), unit="Gflop", disable=quiet) as bar:
        try:
            columns, shift = kernels.robust_factor(
                gram, ridge, lambda done: bar.update(done / 1e9)
            )
        except np.linalg.LinAlgError as error:
            raise MendableError(f"{error}: use a --ridge of 1e-3 or more.") from None
    # A column of ones gives the solution for targets of -1 and 1 as well.
    targets = np.concatenate([y, np.ones((len(y), 1))], 1)
    with tqdm(desc="refining", unit="sweep", disable=quiet) as bar:

        def report(iteration, worst):
            bar.update()
            bar.set_postfix_str(f"residual {worst:.1e}")

        alpha, residuals = kernels.conjugate_gradients(
            gram, ridge, columns, targets, report=report
        )
    fitted = kernels.multiply(gram, 0.0, alpha)
    residual = np.linalg.norm(targets - fitted - ridge * alpha, axis=0)
    largest, smallest = kernels.eigenvalue_range(columns)
    return {
        "filters": filters,
        "bandwidth": bandwidth,
        "ridge": ridge,
        "train_error": _error(fitted[:, :-1], data.y_train),
        "test_error": _error(predict(alpha[:, :-1]), data.y_test),
        "rkhs_norm": _norm(alpha[:, :-1], fitted[:, :-1]),
        "rkhs_norm_signed": _norm(
            *(2 * a[:, :-1] - a[:, -1:] for a in (alpha, fitted))
        ),
        "alpha_norm": float(np.linalg.norm(alpha[:, :-1])),
        "residual": float((residual / np.linalg.norm(targets, axis=0)).max()),
        "float32_residual": residuals[0],
        "sweeps": len(residuals),
        "shift": shift,
        "condition": largest / smallest,
        "seconds": round(time.perf_counter() - clock, 1),
    }


def _linear(data, args, y, ridge, model_path):
    """The linear model of pixels or Gabor features, by least squares in float64."""
    clock = time.perf_counter()
    train, test = points(data, args.features)
    weights, condition = least_squares.minimum_norm(train, y, ridge)
    fitted = train @ weights
    if args.features == "raw":
        save(data, weights, model_path)
    gap = train.T @ (fitted - y) + ridge * weights  # zero at any least-squares solution
    return {
        "filters": None,
        "bandwidth": None,
        "ridge": ridge,
        "train_error": _error(fitted, data.y_train),
        "test_error": _error(test @ weights, data.y_test),
        "rkhs_norm": float(np.linalg.norm(weights)),
        "residual": float(np.linalg.norm(gap) / np.linalg.norm(train.T @ y)),
        "condition": condition**2,
        "seconds": round(time.perf_counter() - clock, 1),
    }


def linear_model(input_shape, outputs):
    """Returns the untrained model from pixels / 255 to scores, without a bias."""
    layers = [keras.Input(input_shape), keras.layers.Flatten()]
    return keras.Sequential([*layers, keras.layers.Dense(outputs, use_bias=False)])


def save(data, weights, model_path):
    """Saves a linear model as `.h5`."""
    shape = data.x_train.shape[1:]
    build = functools.partial(linear_model, shape, data.num_classes)
    training.save(build, [weights], model_path)


def sgd_path(data, seed, quiet, model_path, passes=3000):
    """Follows SGD on a linear model, from zero and from a random start.

    Args:
        data: `datasets.Data`, with fewer images than pixels.
        seed: Integer; decides the order and the random start.
        quiet: Whether to show no progress.
        model_path: Where the closed form is saved.
        passes: Over the training images.

    Returns:
        `(rows, more)`: a line for each start and power of two of passes; and how the
        Hessians compare at the two ends.
    """
    x = features.unit(data.x_train).astype(np.float64)
    y = np.eye(data.num_classes)[data.y_train]
    closed, condition = least_squares.minimum_norm(x, y)
    save(data, closed, model_path)
    rng = np.random.default_rng([seed, _START])
    scale = np.linalg.norm(closed) / math.sqrt(closed.size)
    starts = {
        "zero": np.zeros_like(closed),
        "random": scale * rng.standard_normal(closed.shape),
    }
    rate, rows, ends = 1 / (x**2).sum(1).max(), [], []
    shown = {0, *np.unique(np.geomspace(1, passes, 40).round()).astype(int)}
    for name, start in starts.items():
        walk = least_squares.sgd(x, y, start, passes, seed, rate)
        bar = tqdm(walk, f"from {name}", passes + 1, unit="pass", disable=quiet)
        for number, w in enumerate(bar):
            if number in shown:
                distance = np.linalg.norm(w - closed) / np.linalg.norm(closed)
                loss = float(((x @ w - y) ** 2).sum(1).mean() / 2)
                row = {"start": name, "step": number * len(x), "distance": distance}
                rows.append(row | {"train_loss": loss, "norm": np.linalg.norm(w)})
        ends.append(w.copy())
    difference = hessian_difference(data, *ends)
    return rows, {"condition": condition**2, "hessian_difference": difference}


def hessian_difference(data, *weights):
    """Returns |H v - H' v| / |H v| of the Hessians of the loss at two linear models.

    Args:
        data: `datasets.Data`.
        *weights: Two `(d, outputs)` arrays.
    """
    from common import curvature  # needs TensorFlow, which nothing else here does

    images = data.x_train.astype(np.float32) / 255
    targets = np.eye(data.num_classes, dtype=np.float32)[data.y_train]
    products = []
    for w in weights:
        model = linear_model(images.shape[1:], data.num_classes)
        model.set_weights([w])
        hessian = curvature.Hessian(
            model, images, targets, loss=curvature.squared_error
        )
        v = np.random.default_rng(0).standard_normal(w.size).astype(np.float32)
        products.append(np.asarray(hessian @ v))
    return float(
        np.linalg.norm(products[0] - products[1]) / np.linalg.norm(products[0])
    )


def _error(scores, labels):
    return float((scores.argmax(1) != labels).mean())


def _norm(alpha, fitted):
    """sqrt(sum_k alpha_k^T K alpha_k), with K alpha given."""
    return math.sqrt(max(float((alpha * fitted).sum()), 0.0))

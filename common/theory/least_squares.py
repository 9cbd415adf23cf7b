"""Linear least squares: the minimum-norm solution, and what SGD converges to."""

import functools
import math

import keras
import numpy as np
import scipy.linalg
from tqdm import tqdm

from common import models
from common.cli import UsageError
from common.models.losses import squared_error
from common.theory import features

_START = 503  # an RNG stream that nothing else uses


def minimum_norm(x, y, ridge=0.0):
    """Returns the minimizer of |x w - y|^2 + ridge |w|^2 of the smallest norm.

    Args:
        x: `(n, d)`.
        y: `(n, outputs)`.
        ridge: Non-negative float.

    Returns:
        `(weights, condition)`: `(d, outputs)` float64, and the root of the condition
        number of x x^T + ridge I, or of x^T x + ridge I, whichever is smaller, without
        eigenvalues that are zero to float64.
    """
    smaller = min(np.shape(x))
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if ridge:  # as examples of its own: no product that squares the condition
        x = np.concatenate([x, np.sqrt(ridge) * np.eye(x.shape[1])])
        y = np.concatenate([y, np.zeros((x.shape[1], y.shape[1]))])
    cut = max(x.shape) * np.finfo(np.float64).eps  # as numpy.linalg.lstsq
    weights, _, rank, values = scipy.linalg.lstsq(x, y, cond=cut)
    return weights, float(values[0] / values[min(rank, smaller) - 1])


def sgd(x, y, start, passes, seed, rate):
    """Yields the weights after every pass of SGD, one example at a time.

    The loss of an example is |x_i w - y_i|^2 / 2; the order is new in every pass.

    Args:
        x: `(n, d)` float64.
        y: `(n, outputs)` float64.
        start: `(d, outputs)`. Not modified.
        passes: Integer.
        seed: Integer; decides the order.
        rate: Learning rate, below 2 / max |x_i|^2. It may stay constant where an
            exact solution exists: there the gradient of every example is zero.

    Yields:
        `(d, outputs)` float64, the same array each time.
    """
    w = np.array(start, np.float64)
    yield w
    for number in range(passes):
        for i in np.random.default_rng([seed, number]).permutation(len(x)):
            w -= np.outer(rate * x[i], x[i] @ w - y[i])
            # x_i times the scalar errors: w never leaves start + span of the rows of x.
        yield w


def linear_model(input_shape, outputs):
    """Returns the untrained model from pixels / 255 to scores, without a bias."""
    layers = [keras.Input(input_shape), keras.layers.Flatten()]
    return keras.Sequential([*layers, keras.layers.Dense(outputs, use_bias=False)])


def save(data, weights, model_path):
    """Saves a linear model as `.h5`."""
    shape = data.x_train.shape[1:]
    build = functools.partial(linear_model, shape, data.num_classes)
    models.save(build, [weights], model_path)


def sgd_path(data, seed, quiet, model_path, passes=3000):
    """Follows SGD on a linear model, from zero and from a random start.

    Args:
        data: `datasets.Data`, with linearly independent training images.
        seed: Integer; decides the order and the random start.
        quiet: Whether to show no progress bars.
        model_path: Where the closed form is saved.
        passes: Over the training images.

    Returns:
        `(rows, more)`: dicts, one for each start and some 40 numbers of passes, equally
        spaced on a log scale; and `condition` of the data and `hessian_difference` of
        the two ends.

    Raises:
        UsageError: If the training images are not independent.
    """
    x = features.unit(data.x_train).astype(np.float64)
    rank = np.linalg.matrix_rank(x)
    if rank < len(x):
        raise UsageError(
            "--sgd needs linearly independent images, so that a linear model "
            f"interpolates: {len(x)} have rank {rank}. Choose a smaller --train-size."
        )
    y = np.eye(data.num_classes)[data.y_train]
    closed, condition = minimum_norm(x, y)
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
        walk = sgd(x, y, start, passes, seed, rate)
        bar = tqdm(walk, f"from {name}", passes + 1, unit="pass", disable=quiet or None)
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
    from common.analysis import hessian  # needs TensorFlow, as nothing else here does

    images = data.x_train.astype(np.float32) / 255
    targets = np.eye(data.num_classes, dtype=np.float32)[data.y_train]
    products = []
    for w in weights:
        model = linear_model(images.shape[1:], data.num_classes)
        model.set_weights([w])
        operator = hessian.Hessian(model, images, targets, loss=squared_error)
        v = np.random.default_rng(0).standard_normal(w.size).astype(np.float32)
        products.append(np.asarray(operator @ v))
    return float(
        np.linalg.norm(products[0] - products[1]) / np.linalg.norm(products[0])
    )

"""How many random labels a network can be trained to reproduce.

Training stops somewhere: what it finds is a lower bound of what the weights could do,
of the linear classifier too, whose exact answer `separates` gives.
Two choices bring it closer. First, inputs are principal components of unit variance.
The scaling helps gradient descent, and a dense first layer can undo it, so that the
class of functions is the same; which components are kept is part of the question.
Second, every labelling is tried from several initial weights.
"""

import logging

import numpy as np
import scipy.optimize

from common.engine import replicas
from common.models.mlp import mlp

# Full batch: near capacity the noise of small batches undoes what is almost fitted.
OPTIMIZER = {"class_name": "Adam", "config": {"learning_rate": 0.01}}


def components(images, count):
    """Returns the first principal components of images, each with unit variance.

    Args:
        images: `(n, ...)` float32; mean and components are of all n.
        count: How many components.

    Returns:
        `(n, count)` float32.

    Raises:
        ValueError: If the images do not vary in so many directions.
    """
    x = images.reshape(len(images), -1).astype(np.float64)
    x -= x.mean(0)
    variances, directions = np.linalg.eigh(x.T @ x / len(x))
    # Below that a variance is rounding, and scaling would make it a direction.
    least = variances[-1] * len(variances) * np.finfo(np.float64).eps
    possible = int((variances > least).sum())
    if count > possible:
        raise ValueError(
            f"{count} components asked for, and the images have {possible}"
        )
    kept = slice(-1, -count - 1, -1)
    return (x @ directions[:, kept] / np.sqrt(variances[kept])).astype(np.float32)


def separates(x, labels):
    """Whether some hyperplane with offset separates two classes, exactly.

    A linear program without objective: `s_i (w x_i + b) >= 1` for all i. Training ends
    before it has found a hyperplane that leaves little room; this does not.

    Args:
        x: `(n, d)`.
        labels: `(n,)` integers 0 or 1.
    """
    rows = np.append(x, np.ones((len(x), 1)), axis=1) * (2 * labels[:, None] - 1)
    found = scipy.optimize.linprog(
        np.zeros(rows.shape[1]), -rows, -np.ones(len(rows)), bounds=(None, None)
    )
    if found.status not in (0, 2):  # feasible, infeasible
        raise ArithmeticError(found.message)
    return found.status == 0


def parameters(width, d):
    """Number of effective weights: only the difference of the two logits matters.

    Args:
        width: Hidden ReLU units; 0 for a linear classifier.
        d: Number of inputs.
    """
    return (d + 1) * width + width + 1 if width else d + 1


def accuracies(x, labels, width, restarts, epochs, seed=0):
    """Trains networks with one hidden layer on each labelling of the same inputs.

    Args:
        x: `(n, d)` float32.
        labels: `(draws, n)` integers 0 or 1.
        width: Hidden ReLU units; 0 for a linear classifier.
        restarts: Initial weights tried for each labelling.
        epochs: Updates (full batch) before a network is given up.
        seed: Integer; decides the initial weights.

    Returns:
        `(draws,)`: training accuracy of the best restart, 1.0 where one fitted.
    """
    # A warning of TensorFlow's that many programs are compiled: one a size, as meant.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    draws, n = labels.shape
    model = mlp(x.shape[1:], 2, (width,) if width else ())
    initial = [_initial(model, seed + start) for start in range(draws * restarts)]
    y = np.repeat(labels, restarts, axis=0)
    stops = replicas.train(
        [np.stack(w) for w in zip(*initial, strict=True)],
        np.repeat(x[None], len(y), axis=0),
        y,
        np.zeros(len(y), int),  # the order does not matter in a full batch
        OPTIMIZER,
        n,
        epochs,
        target_loss=np.inf,
    )
    found = [
        (predict(stop.weights, x) == given).mean()
        for (stop, _), given in zip(stops, y, strict=True)
    ]
    return np.reshape(found, (draws, restarts)).max(axis=1)


def _initial(model, seed):
    """Glorot uniform kernels and zero biases, without building the model again."""
    rng, weights = np.random.default_rng(seed), []
    for weight in model.get_weights():
        limit = np.sqrt(6 / sum(weight.shape)) * (weight.ndim == 2)
        weights.append(rng.uniform(-limit, limit, weight.shape).astype(np.float32))
    return weights


def predict(weights, x):
    """Returns the classes that kernels and biases (`replicas.Stop.weights`) predict."""
    for i in range(0, len(weights), 2):
        x = x @ weights[i] + weights[i + 1]
        x = np.maximum(x, 0) if i + 2 < len(weights) else x
    return x.argmax(axis=1)


def largest(holds, guess, limit, tolerance=0.0):
    """Finds by bisection the largest n for which a falling predicate holds.

    Args:
        holds: Function of an integer n >= 1: true up to some n and false beyond.
        guess: First n asked about; doubled or halved until the answer is bracketed.
        limit: Largest n asked about.
        tolerance: Largest relative error of the result, which is never too large.

    Returns:
        Integer from 0, where not even 1 holds, to `limit`.
    """
    low, high = 0, limit + 1  # holds; does not, or is not asked about
    n = min(max(guess, 1), limit)
    while high - low > max(1, tolerance * low):
        if holds(n):
            low = n
        else:
            high = n
        if high > limit:
            n = min(2 * low, limit)
        else:
            n = (low + high) // 2
    return low

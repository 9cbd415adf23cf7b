"""Linear least squares: the minimum-norm solution, and what SGD converges to."""

import numpy as np
import scipy.linalg


def minimum_norm(x, y, ridge=0.0):
    """Returns the minimizer of |x w - y|^2 + ridge |w|^2 of the smallest norm.

    Args:
        x: `(n, d)`.
        y: `(n, outputs)`.
        ridge: Non-negative float.

    Returns:
        `(weights, condition)`: `(d, outputs)` float64, and the largest over the
        smallest singular value that is not zero to float64, of x with the ridge in it.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if ridge:  # as examples of its own: no product that squares the condition
        x = np.concatenate([x, np.sqrt(ridge) * np.eye(x.shape[1])])
        y = np.concatenate([y, np.zeros((x.shape[1], y.shape[1]))])
    cut = max(x.shape) * np.finfo(np.float64).eps  # as numpy.linalg.lstsq
    weights, _, rank, values = scipy.linalg.lstsq(x, y, cond=cut)
    return weights, float(values[0] / values[rank - 1])


def sgd(x, y, start, passes, seed, rate):
    """Yields the weights after every pass of SGD, one example at a time.

    The loss of an example is |x_i w - y_i|^2 / 2; the order is new in every pass.

    Args:
        x: `(n, d)` float64.
        y: `(n, outputs)` float64.
        start: `(d, outputs)`. Not modified.
        passes: Integer.
        seed: Integer; decides the order.
        rate: Learning rate, below 2 / max |x_i|^2. A constant one converges where an
            exact solution exists: at it every example's gradient is zero.

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

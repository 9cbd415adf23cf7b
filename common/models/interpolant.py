"""The network of Theorem 1, in two layers or more (Zhang et al. 2017, appendix C)."""

import keras
import numpy as np

from common.models.layers import ShiftedReLU


def interpolant(input_shape, solution, depth=2, dtype="float64"):
    """Builds the ReLU network that takes the values solved for on every point.

    Depth 2 is Theorem 1: a projection, n thresholds, one sum an output. The corollary
    spreads the n units over depth - 1 hidden layers: the sorted projections are cut
    into as many intervals, each layer adds the units of one interval to the sum so
    far, and the projection and the sums pass through a layer as two units each,
    max(s, 0) - max(-s, 0) = s. The function is the same at every depth, and so are
    the n (outputs + 1) + d weights: those of the passing units are fixed, +1 and -1.

    Args:
        input_shape: `(height, width, channels)`, or `(d,)`.
        solution: `theorem.Interpolant`.
        depth: Layers of weights, from 2 to n + 1.
        dtype: Of weights and arithmetic. float32 cannot tell 10,000 projections
            apart, and loses the fit.

    Returns:
        `keras.Model` to `(batch, outputs)`: logits, where the values are one-hot.

    Raises:
        ValueError: If there are more hidden layers than points.
    """
    n, outputs = solution.weights.shape
    if not 2 <= depth <= n + 1:
        raise ValueError(
            f"Expected `depth` from 2 to {n + 1}: at least one of the {n} points in a "
            f"hidden layer. Received: depth={depth}"
        )
    inputs = keras.Input(input_shape, dtype=dtype)
    z = keras.layers.Flatten(dtype=dtype)(inputs)
    z = _linear(1, dtype, "projection")(z)
    total, intervals = None, np.array_split(np.arange(n), depth - 1)
    for i, interval in enumerate(intervals):
        z = _pass(z, dtype) if i else z
        units = ShiftedReLU(len(interval), dtype=dtype, name=f"units_{i + 1}")(z)
        part = _linear(outputs, dtype, f"sum_{i + 1}")(units)
        if i:
            part = keras.layers.Add(dtype=dtype)([_pass(total, dtype), part])
        total = part
    model = keras.Model(inputs, total, name="interpolant")
    model.get_layer("projection").set_weights([solution.direction[:, None]])
    for i, interval in enumerate(intervals):
        model.get_layer(f"units_{i + 1}").set_weights([solution.knots[interval]])
        model.get_layer(f"sum_{i + 1}").set_weights([solution.weights[interval]])
    return model


def units_of_widest(n, outputs, depth):
    """Returns the ReLU units of the widest hidden layer: O(n / depth).

    Args:
        n, outputs, depth: Of `interpolant`.
    """
    last = depth - 2  # index of the last hidden layer: it need not pass z on
    parts = np.array_split(np.arange(n), depth - 1)
    return max(
        len(part) + 2 * (i < last) + 2 * outputs * (i > 0)
        for i, part in enumerate(parts)
    )


def _linear(units, dtype, name):
    return keras.layers.Dense(units, use_bias=False, dtype=dtype, name=name)


def _pass(s, dtype):
    """A signed number through a ReLU layer, unchanged to the last bit."""

    def negative(x):
        return keras.layers.Rescaling(-1.0, dtype=dtype)(x)

    def relu(x):
        return keras.layers.ReLU(dtype=dtype)(x)

    return keras.layers.Add(dtype=dtype)([relu(s), negative(relu(negative(s)))])

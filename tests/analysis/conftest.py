"""A network small enough for its Hessian to be written out."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.analysis import hessian


@pytest.fixture(scope="session")
def small():
    """A 4-5-3 tanh net in float64 (43 weights), and 40 examples: `(model, x, y)`."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((4,), dtype="float64")
    last = keras.layers.Dense(3, dtype="float64")
    hidden = keras.layers.Dense(5, "tanh", dtype="float64")(inputs)
    model = keras.Model(inputs, last(hidden))
    rng = np.random.default_rng(0)
    return model, rng.standard_normal((40, 4)), rng.integers(0, 3, 40)


@pytest.fixture(scope="session")
def explicit(small):
    """Its `(43, 43)` Hessian, from TensorFlow's own Jacobian of the gradient."""
    model, x, y = small
    variables = [v.value for v in model.trainable_variables]
    with tf.GradientTape(persistent=True) as outer:
        with tf.GradientTape() as inner:
            log_p = tf.nn.log_softmax(model(x, training=False))
            loss = -tf.reduce_mean(tf.gather(log_p, y, axis=1, batch_dims=1))
        gradient = inner.gradient(loss, variables)
    rows = [outer.jacobian(g, variables) for g in gradient]
    blocks = [
        [tf.reshape(b, (np.prod(v.shape), -1)) for b in row]
        for row, v in zip(rows, variables, strict=True)
    ]
    return np.block([[b.numpy() for b in row] for row in blocks])


@pytest.fixture
def two():
    """A 2-2-2 ReLU net whose biases must not count: `(model, kernel, kernel)`."""
    inputs = keras.Input((2,), dtype="float64")
    hidden = keras.layers.Dense(2, "relu", dtype="float64")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, dtype="float64")(hidden))
    first, second = np.array([[1.0, -2], [3, 4]]), np.array([[5.0, 0], [-1, 2]])
    model.set_weights([first, np.array([7.0, -9]), second, np.array([8.0, 1])])
    return model, first, second


@pytest.fixture(scope="session")
def traced(small):
    return hessian.Hessian(*small)


@pytest.fixture
def operator(traced, small):
    """The small net's `Hessian`, its products counted from zero, traced only once."""
    traced.move(*small[1:])
    return traced

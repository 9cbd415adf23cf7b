"""The fused updates are Keras's own, step for step."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.engine import updates


def apply(optimizer, weights, gradient):
    optimizer.apply([gradient, gradient[0]], weights)


@pytest.mark.parametrize("accumulate", [None, 2])
@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("sgd", {"learning_rate": 0.3, "momentum": 0.9}),
        ("sgd", {"learning_rate": 0.3}),
        ("adam", {"learning_rate": 0.02}),
    ],
)
def test_as_keras_does_it(name, config, accumulate):
    config = config | {"gradient_accumulation_steps": accumulate}
    keras_own = keras.optimizers.get({"class_name": name, "config": config})
    fused = updates.optimizer(name, config)
    assert type(fused) is not type(keras_own)  # else nothing is compared
    rng, found = np.random.default_rng(0), []
    gradients = rng.standard_normal((6, 5, 3)).astype("float32")
    start = rng.standard_normal((5, 3)).astype("float32")
    for optimizer in (keras_own, fused):
        weights = [keras.Variable(start), keras.Variable(start[0])]
        optimizer.build(weights)
        step = tf.function(functools.partial(apply, optimizer, weights))
        for epoch, gradient in enumerate(gradients):
            optimizer.learning_rate = config["learning_rate"] * 0.5**epoch
            step(tf.constant(gradient))
        found.append([v.numpy() for v in [*weights, *optimizer.variables]])
    assert len(found[0]) == len(found[1])
    for expected, received in zip(*found, strict=True):
        np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-6)
    assert np.abs(found[1][0] - start).max() > 0.01


def test_a_sparse_gradient_is_summed():
    optimizer = updates.optimizer("sgd", {"learning_rate": 1.0})
    table = keras.Variable(np.zeros((3, 1), "float32"))
    optimizer.build([table])
    slices = tf.IndexedSlices(tf.ones((2, 1)), tf.constant([1, 1]), (3, 1))
    optimizer.apply([slices], [table])
    np.testing.assert_array_equal(table.numpy()[:, 0], [0, -2, 0])

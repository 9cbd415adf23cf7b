"""Hessian products against an explicit matrix, differences and closed forms."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.analysis import hessian
from common.models.losses import cross_entropy, squared_error


def dense(units, activation=None):
    return keras.layers.Dense(units, activation, dtype="float64")


@pytest.fixture(scope="module")
def pieces(small):
    """The small net's Hessian, summed over batches of 7."""
    return hessian.Hessian(*small, batch_size=7)


def test_products_are_columns_of_the_explicit_hessian(operator, explicit):
    np.testing.assert_allclose(operator @ np.eye(43), explicit, atol=1e-14)
    assert operator.num_products == 43


def test_product_does_not_depend_on_the_batch_size(operator, pieces):
    vector = np.random.default_rng(2).standard_normal(43)
    assert (len(operator._batches), len(pieces._batches)) == (1, 6)
    np.testing.assert_allclose(operator @ vector, pieces @ vector, atol=1e-15)
    whole, parts = operator.loss_and_gradient(), pieces.loss_and_gradient()
    np.testing.assert_allclose(whole[1], parts[1], atol=1e-15)


def test_kept_and_recomputed_graphs_agree(pieces, monkeypatch):
    vector = np.random.default_rng(2).standard_normal(43)
    recomputed = pieces @ vector
    assert not pieces._tapes
    monkeypatch.setattr(pieces, "_keep", True)
    np.testing.assert_allclose(pieces @ vector, recomputed, atol=1e-15)
    assert len(pieces._tapes) == 6
    pieces.loss_and_gradient(vector)  # moves the weights and puts them back
    np.testing.assert_allclose(pieces @ vector, recomputed, atol=1e-15)


def test_one_layer_is_the_diagonal_block(small, explicit):
    layer = small[0].layers[1]
    block = hessian.Hessian(*small, layer=layer.name) @ np.eye(25)
    np.testing.assert_allclose(block, explicit[:25, :25], atol=1e-14)


@pytest.mark.parametrize("pooling", ["MaxPooling2D", "AveragePooling2D"])
def test_product_against_finite_differences_of_the_gradient(pooling):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 2), dtype="float64")
    x = keras.layers.Conv2D(3, 3, padding="same", dtype="float64")(inputs)
    x = keras.layers.BatchNormalization(scale=False, dtype="float64")(x)
    x = keras.layers.Activation("softplus", dtype="float64")(x)
    x = getattr(keras.layers, pooling)(3, 2, "same", dtype="float64")(x)
    model = keras.Model(inputs, dense(4)(keras.layers.Flatten(dtype="float64")(x)))
    rng = np.random.default_rng(3)
    norm = model.layers[2]
    statistics = rng.standard_normal(3), rng.uniform(0.5, 2, 3)
    norm.moving_mean.assign(statistics[0])
    norm.moving_variance.assign(statistics[1])
    images, labels = rng.standard_normal((10, 8, 8, 2)), rng.integers(0, 4, 10)
    operator = hessian.Hessian(model, images, labels, batch_size=4)
    vector = rng.standard_normal(operator.shape[0])
    ahead, behind = (
        operator.loss_and_gradient(step * vector)[1] for step in (1e-5, -1e-5)
    )
    difference = (ahead - behind) / 2e-5
    error = np.linalg.norm(operator @ vector - difference) / np.linalg.norm(difference)
    assert error < 1e-8
    # The moving statistics are constants here, and nothing has moved.
    assert operator.shape[0] == model.count_params() - 6
    np.testing.assert_array_equal(norm.moving_mean, statistics[0])


def test_least_squares_has_the_hessian_of_the_normal_equations():
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((30, 6)), rng.standard_normal((30, 1))
    inputs = keras.Input((6,), dtype="float64")
    layer = keras.layers.Dense(1, use_bias=False, dtype="float64")
    model = keras.Model(inputs, layer(inputs))
    for loss in (squared_error, lambda y, z: (z - y)[:, 0] ** 2 / 2):
        operator = hessian.Hessian(model, x, y, loss, batch_size=13)
        np.testing.assert_allclose(operator @ np.eye(6), x.T @ x / 30, atol=1e-14)


def test_embeddings_and_a_sequential_model():
    keras.utils.set_random_seed(0)
    embedding = keras.layers.Embedding(7, 3, dtype="float64")
    rest = keras.Sequential([keras.layers.Flatten(dtype="float64"), dense(2, "tanh")])
    model = keras.Sequential([keras.Input((4,), dtype="int32"), embedding, rest])
    rng = np.random.default_rng(12)
    tokens, labels = rng.integers(0, 7, (9, 4)), rng.integers(0, 2, 9)
    operator = hessian.Hessian(model, tokens, labels)
    vector = rng.standard_normal(operator.shape[0])
    ahead, behind = (
        operator.loss_and_gradient(step * vector)[1] for step in (1e-5, -1e-5)
    )
    np.testing.assert_allclose(operator @ vector, (ahead - behind) / 2e-5, atol=1e-9)


def test_float32_products_agree_with_float64(small, explicit):
    model, x, y = small
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(5, "tanh")(inputs)
    single = keras.Model(inputs, keras.layers.Dense(3)(hidden))
    single.set_weights(model.get_weights())
    operator = hessian.Hessian(single, x, y)
    assert operator.dtype == np.float32
    np.testing.assert_allclose(operator @ np.eye(43, dtype="f"), explicit, atol=1e-6)


def test_cross_entropy_keeps_relative_accuracy():
    logits = np.array([[20.0, 0, 0], [0, 5, 1], [3, 1, 2], [1e3, 0, 0]])
    labels = np.array([0, 2, 0, 0])
    exact = np.log1p(
        [2 * np.exp(-20), np.exp(4) + np.exp(-1), np.exp(-2) + np.exp(-1), 0]
    )
    logits = tf.Variable(logits, dtype=tf.float32)
    with tf.GradientTape() as tape:
        losses = cross_entropy(labels, logits)
    np.testing.assert_allclose(losses, exact, rtol=1e-6)
    gradient = tape.gradient(losses, logits)[0].numpy()
    np.testing.assert_allclose(gradient[0], -2 * np.exp(-20), rtol=1e-6)


def test_float32_products_keep_their_accuracy_at_a_loss_near_zero(small):
    # Logits far apart, so that `probability - 1` would be lost in rounding.
    model, x, _ = small
    hidden, last = (layer.get_weights() for layer in model.layers[1:])
    nets = []
    for dtype in ("float64", "float32"):
        inputs = keras.Input((4,), dtype=dtype)
        first = keras.layers.Dense(5, "tanh", dtype=dtype)
        second = keras.layers.Dense(3, dtype=dtype)
        nets.append(keras.Model(inputs, second(first(inputs))))
        first.set_weights(hidden)
        second.set_weights([60 * last[0], last[1]])
    logits = nets[0].predict_on_batch(x)
    y = logits.argmax(1)
    sure = cross_entropy(y, tf.constant(logits)).numpy() < 1e-4
    exact, single = (hessian.Hessian(net, x[sure], y[sure]) for net in nets)
    assert sure.sum() > 5 and exact.loss_and_gradient()[0] < 1e-4
    identity = np.eye(43)
    exact, single = exact @ identity, single @ identity.astype("f")
    assert np.abs(single - exact).max() < 1e-5 * np.abs(exact).max()


def test_moved_operator_is_a_new_one(small, pieces, explicit):
    model, x, y = small
    vector = np.random.default_rng(2).standard_normal(43)
    weights = model.get_weights()
    model.set_weights([1.5 * w for w in weights])
    pieces.move(x[:9], y[:9])
    moved, fresh = pieces @ vector, hessian.Hessian(model, x[:9], y[:9]) @ vector
    model.set_weights(weights)
    np.testing.assert_allclose(moved, fresh, atol=1e-14)
    assert np.abs(moved - explicit @ vector).max() > 1e-3
    pieces.move(x, y)
    np.testing.assert_allclose(pieces @ vector, explicit @ vector, atol=1e-14)
    with pytest.raises(ValueError, match="same number"):
        pieces.move(x, y[:9])


def test_half_precision_is_refused():
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(5, dtype="mixed_bfloat16")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, dtype="float32")(hidden))
    with pytest.raises(ValueError, match="rebuild it in float32"):
        hessian.Hessian(model, np.zeros((2, 4)), np.zeros(2, int))


def test_unequal_numbers_of_examples_are_refused(small):
    model, x, y = small
    with pytest.raises(ValueError, match="same number"):
        hessian.Hessian(model, x, y[1:])

"""Norms and margins against hand calculations, materialised maps and closed forms."""

import itertools
import math

import keras
import numpy as np
import pytest

from common.analysis import norms
from common.models.interpolant import interpolant
from common.theory import theorem


def build(inputs_shape, *layers):
    inputs = x = keras.Input(inputs_shape, dtype=layers[0].dtype)
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def dense(units, **options):
    return keras.layers.Dense(units, dtype="float64", **options)


def materialised(layer, size):
    """The matrix of a convolution, its own `call` applied to each unit image."""
    units = np.eye(np.prod(size)).reshape(-1, *size)
    images = keras.ops.convert_to_numpy(layer(units) - layer(np.zeros((1, *size))))
    return images.reshape(len(units), -1).T


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [(7, 6, 2), (8, 9, 2)])
@pytest.mark.parametrize(
    "kernel, strides, padding",
    [(3, 1, "same"), (3, 1, "valid"), (3, 2, "same"), (3, 2, "valid")]
    + [((4, 5), (2, 3), "same"), (2, 3, "valid"), (1, 2, "same")],
)
def test_convolution_norm_is_that_of_the_materialised_map(
    kernel, strides, padding, size, dtype
):
    layer = keras.layers.Conv2D(
        3, kernel, strides, padding, dtype=dtype, bias_initializer="ones"
    )
    build(size, layer)
    matrix = materialised(layer, size)
    exact = np.linalg.svd(matrix, compute_uv=False)[0]
    assert norms.spectral_norm(layer) == pytest.approx(exact, rel=1e-6)
    rows = np.linalg.norm(matrix, axis=1).sum()
    found = norms._group_norm(layer, np.asarray(layer.kernel))
    assert found == pytest.approx(rows, rel=1e-5)


@pytest.mark.parametrize(
    "layer, size",
    [
        (keras.layers.Conv1D(4, 3, 2, padding="same", dtype="float64"), (11, 3)),
        (keras.layers.Conv1D(4, 3, padding="causal", dtype="float64"), (9, 3)),
        (keras.layers.Conv2D(3, 3, dilation_rate=2, dtype="float64"), (9, 8, 2)),
        (keras.layers.Conv2D(1, 5, dtype="float64"), (6, 5, 2)),  # 2 outputs
    ],
)
def test_other_convolutions(layer, size):
    build(size, layer)
    exact = np.linalg.norm(materialised(layer, size), 2)
    assert norms.spectral_norm(layer) == pytest.approx(exact, rel=1e-6)


def test_transposed_convolution_is_the_adjoint():
    layer = keras.layers.Conv2D(3, 4, 3, "same", dtype="float64")
    build((8, 10, 2), layer)
    operator = norms._convolution(layer, np.asarray(layer.kernel))
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal(n) for n in operator.shape[::-1])
    assert y @ operator.matvec(x) == pytest.approx(x @ operator.rmatvec(y), rel=1e-12)


def test_norms_of_the_small_net(two):
    model, first, second = two
    rows = norms.layer_norms(model)
    assert rows[0]["frobenius"] == pytest.approx(math.sqrt(30))
    assert rows[0]["l1"] == 10 and rows[1]["l1"] == 8
    assert rows[0]["spectral"] == pytest.approx(
        math.sqrt(np.linalg.eigvalsh(first.T @ first)[-1])
    )
    assert rows[1]["group"] == pytest.approx(math.sqrt(26) + 2)
    total = norms.total_norms(rows)
    assert total["frobenius"] == pytest.approx(math.sqrt(60))
    assert 10 ** total["log10_product_frobenius"] == pytest.approx(30)
    assert "distance" not in total


def test_distance_from_initialization(two):
    model, first, _ = two
    initial = keras.models.clone_model(model)
    initial.set_weights([first - 1, np.zeros(2), np.zeros((2, 2)), np.zeros(2)])
    rows = norms.layer_norms(model, initial)
    assert rows[0]["distance"] == pytest.approx(2)
    assert rows[0]["group_distance"] == pytest.approx(2 * math.sqrt(2))
    assert norms.total_norms(rows)["distance"] == pytest.approx(math.sqrt(34))
    other = build((2,), dense(3, activation="relu"), dense(2))
    with pytest.raises(ValueError, match="same architecture"):
        norms.layer_norms(model, other)


def test_path_norm_of_the_small_net(two):
    model, first, second = two
    paths = [
        first[i, j] * second[j, k] for i, j, k in itertools.product((0, 1), repeat=3)
    ]
    # |1*5| + |3*5| + (|-2| + |4|) * (|-1| + |2|) by hand:
    assert norms.path_norm(model, 1) == pytest.approx(38)
    assert norms.path_norm(model, 1) == pytest.approx(np.abs(paths).sum())
    assert norms.path_norm(model, 2) == pytest.approx(np.linalg.norm(paths))


def test_path_norm_of_branches_and_normalization():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,))
    left, right = keras.layers.Dense(4), keras.layers.Dense(2)
    norm, last = keras.layers.BatchNormalization(), keras.layers.Dense(2)
    joined = keras.layers.Concatenate()([left(inputs), right(inputs)])
    model = keras.Model(inputs, last(keras.layers.ReLU()(norm(joined))))
    rng = np.random.default_rng(1)
    for weight in norm.weights:
        weight.assign(rng.uniform(0.5, 2, 6))
    kernel = np.concatenate([np.asarray(left.kernel), np.asarray(right.kernel)], 1)
    scale = np.asarray(norm.gamma) / np.sqrt(np.asarray(norm.moving_variance) + 1e-3)
    paths = (kernel * scale)[:, :, None] * np.asarray(last.kernel)
    for p in (1, 2):
        exact = (np.abs(paths) ** p).sum() ** (1 / p)
        assert norms.path_norm(model, p) == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("depth", [2, 3])
def test_path_norm_of_the_network_of_theorem_1(depth):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((5, 4)), rng.standard_normal((5, 2))
    solution = theorem.construct(x, y, 0)
    model = interpolant((4,), solution, depth)
    ways = depth - 1  # the second layer gets z by two units, and passes a sum by two
    for p in (1, 2):
        into, out = ((np.abs(w) ** p).sum() for w in (solution[0], solution.weights))
        exact = (into * ways * out) ** (1 / p)
        assert norms.path_norm(model, p) == pytest.approx(exact)


def test_path_norm_with_rescaled_pixels():
    start = keras.Input((3,))
    dense = keras.layers.Dense(2)
    model = keras.Model(start, dense(keras.layers.Rescaling(1 / 4, -1.0)(start)))
    for p in (1, 2):
        exact = np.linalg.norm(np.asarray(dense.kernel).ravel(), p) / 4
        assert norms.path_norm(model, p) == pytest.approx(exact, rel=1e-6)


def test_path_norm_of_a_convolution_counts_every_position():
    conv = keras.layers.Conv2D(2, 3, 2, "same", activation="relu", dtype="float64")
    model = build((5, 5, 2), conv, keras.layers.Flatten(dtype="float64"), dense(3))
    matrix = materialised(
        keras.layers.Conv2D(2, 3, 2, "same", dtype="float64"), (5, 5, 2)
    )
    linear = keras.layers.Conv2D(2, 3, 2, "same", dtype="float64")
    build((5, 5, 2), linear)
    linear.set_weights(conv.get_weights())
    matrix = materialised(linear, (5, 5, 2))
    exact = (np.abs(np.asarray(model.layers[-1].kernel)).T @ np.abs(matrix)).sum()
    assert norms.path_norm(model, 1) == pytest.approx(exact, rel=1e-12)


def normalized(shared=False):
    keras.utils.set_random_seed(2)
    inputs = keras.Input((6, 6, 2))
    hidden = keras.layers.Conv2D(3, 3, padding="same", use_bias=False)(inputs)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(scale=False)(hidden))
    x = keras.layers.Add()([x, hidden]) if shared else x
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    model.layers[2].moving_variance.assign([0.5, 2.0, 4.0])
    return model


@pytest.mark.filterwarnings("ignore:__array__")  # Keras's own, when it saves
def test_batch_normalization_is_folded(tmp_path):
    model = normalized()
    model.save(tmp_path / "model.keras")
    for loaded in (model, keras.models.load_model(tmp_path / "model.keras")):
        scale = 1 / np.sqrt(np.array([0.5, 2, 4]) + 1e-3)
        kernel = np.asarray(loaded.layers[1].kernel)
        folded, stored = (
            norms.layer_norms(loaded),
            norms.layer_norms(loaded, fold=False),
        )
        assert folded[0]["frobenius"] == pytest.approx(np.linalg.norm(kernel * scale))
        assert stored[0]["frobenius"] == pytest.approx(np.linalg.norm(kernel))
        assert folded[0]["spectral"] > stored[0]["spectral"] * min(scale)
        assert folded[1] == stored[1]
    # Where something else reads the convolution too, folding would be wrong.
    kernel = np.asarray(normalized(shared=True).layers[1].kernel)
    rows = norms.layer_norms(normalized(shared=True))
    assert rows[0]["frobenius"] == pytest.approx(np.linalg.norm(kernel))


def test_margins(two):
    model, *_ = two
    x = np.array([[1.0, 1.0], [2.0, -1.0], [0.0, 4.0]])
    # Hidden (11, 0), (6, 0), (19, 7); logits (63, 1), (38, 1), (96, 15).
    found = norms.margins(model, x, np.array([0, 1, 0]), batch_size=2)
    np.testing.assert_allclose(found, [62, -37, 81])
    summary = norms.margin_summary(found)
    assert summary["margin_min"] == -37 and summary["margin_median"] == 62
    assert summary["margin_10"] == pytest.approx(-37 + 0.2 * 99)


def test_unknown_input_sizes_are_refused():
    layer = keras.layers.Conv2D(2, 3)
    build((None, None, 2), layer)
    with pytest.raises(ValueError, match="fixed input size"):
        norms.spectral_norm(layer)


def test_path_norm_refuses_tokens():
    inputs = keras.Input((5,), dtype="int32")
    x = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(9, 4)(inputs))
    with pytest.raises(ValueError, match="float inputs"):
        norms.path_norm(keras.Model(inputs, keras.layers.Dense(2)(x)))

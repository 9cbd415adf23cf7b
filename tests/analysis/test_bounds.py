"""Capacity measures against hand calculations and a closed form."""

import math

import keras
import numpy as np
import pytest
import scipy.stats

from common.analysis import bounds, norms


def test_spectral_complexity_and_normalized_margins(two):
    model, first, second = two
    s = [np.linalg.svd(w, compute_uv=False)[0] for w in (first, second)]
    b = [math.sqrt(10) + math.sqrt(20), math.sqrt(26) + 2]
    exact = (
        s[0] * s[1] * sum((v / w) ** (2 / 3) for v, w in zip(b, s, strict=True)) ** 1.5
    )
    found = bounds.spectral_complexity(norms.layer_norms(model))
    assert 10**found == pytest.approx(exact)
    x = np.array([[3.0, 0], [0, 4]])
    normalized = bounds.normalized_margins([2.0, -1], found, x)
    np.testing.assert_allclose(normalized, np.array([2, -1]) / (exact * 5 / 2))


def test_capacity_of_the_small_net(two):
    model, first, second = two
    rows = norms.layer_norms(model)
    paths = norms.path_norm(model, 1), norms.path_norm(model, 2)
    found = bounds.capacity(rows, 2.0, *paths, num_examples=100, sigma=0.5)
    s = [np.linalg.svd(w, compute_uv=False)[0] for w in (first, second)]
    exact = {
        "log10_frobenius": 16 * 30 * 30 / 4,
        "log10_path_1": (4 * 38) ** 2 / 4,
        "log10_path_2": 16 * 4 * paths[1] ** 2 / 4,
        "log10_spectral": 4 * (s[0] * s[1]) ** 2 / 4,
        "log10_bartlett": 10 ** bounds.spectral_complexity(rows) / (2 * 10),
    }
    for name, value in exact.items():
        assert 10 ** found[name] == pytest.approx(value), name
    assert found["pacbayes_flatness"] == 4
    inside = 60 / (4 * 0.25) + math.log(200) + 10
    assert found["pacbayes_origin"] == pytest.approx(math.sqrt(inside / 100))
    assert "pacbayes_init" not in found
    wrong = bounds.capacity(rows, -1.0, *paths, num_examples=100)
    assert math.isnan(wrong["log10_spectral"])


def test_noise_and_length_of_weights_are_in_one_unit():
    inputs = keras.Input((3,))
    x = keras.layers.Dense(4, use_bias=False)(inputs)
    norm = keras.layers.BatchNormalization()
    outputs = keras.layers.Dense(2)(keras.layers.ReLU()(norm(x)))
    model = keras.Model(inputs, outputs)
    initial = keras.models.clone_model(model)
    rng = np.random.default_rng(0)
    for network in (model, initial):
        network.set_weights([rng.random(w.shape) for w in network.get_weights()])
    norm.moving_variance.assign([100.0] * 4)
    kernels = [[m.layers[i].get_weights()[0] for i in (1, 4)] for m in (model, initial)]
    now, start = (np.concatenate([w.ravel() for w in ws]) for ws in kernels)
    rows, sigma = norms.layer_norms(model, initial), 0.5
    found = bounds.capacity(rows, 1.0, 1.0, 1.0, 100, sigma)
    for name, length in {"origin": now, "init": now - start}.items():
        inside = (length**2).sum() / (4 * sigma**2) + math.log(100 / sigma) + 10
        expected = math.sqrt(inside / 100)
        assert found[f"pacbayes_{name}"] == pytest.approx(expected, rel=1e-5), name
    assert norms.total_norms(rows)["frobenius"] < 0.9 * np.linalg.norm(now)


def test_pacbayes_sigma_of_independent_examples():
    # Example i reads weights of its own: it flips with probability
    # Phi(-1 / (sigma sqrt 2)), and 2,000 of them make the mean.
    layer = keras.layers.Dense(2, use_bias=False, dtype="float64")
    model = keras.Sequential([keras.Input((2000,), dtype="float64"), layer])
    kernel = np.tile([0.0, 1.0], (2000, 1))
    model.set_weights([kernel])
    x, y = np.eye(2000), np.ones(2000, int)
    sigma = bounds.pacbayes_sigma(model, x, y, num_samples=1, batch_size=2000)
    exact = 1 / (math.sqrt(2) * scipy.stats.norm.ppf(0.9))
    assert sigma == pytest.approx(exact, rel=0.08)
    np.testing.assert_array_equal(model.get_weights()[0], kernel)
    # Three of ten right: chance level, so no noise costs 40 %.
    ends = bounds.pacbayes_sigma(model, x[:10], np.array([1] * 3 + [0] * 7), 0.4, 2)
    assert ends == math.inf

"""Sensitivity against quadratics and linear classifiers, whose answers are known."""

import keras
import numpy as np
import pytest

from common.analysis import hessian, sensitivity
from common.models.losses import squared_error


@pytest.mark.parametrize("misfit", [0.0, 0.7])
def test_box_sharpness_of_a_quadratic(misfit):
    rng = np.random.default_rng(7)
    x = rng.uniform(0.2, 1, (50, 4))  # all correlated: one pair of maxima
    weights = np.array([[1.0], [-2.0], [0.5], [3.0]])
    inputs = keras.Input((4,), dtype="float64")
    layer = keras.layers.Dense(1, use_bias=False, dtype="float64")
    model = keras.Model(inputs, layer(inputs))
    layer.kernel.assign(weights)
    targets = x @ weights + misfit
    operator = hessian.Hessian(model, x, targets, squared_error)
    # A convex function is largest at a corner of the box: try all 16.
    bound = 1e-2 * (np.abs(weights[:, 0]) + 1)
    corners = np.array(np.meshgrid(*[(-1, 1)] * 4)).reshape(4, -1).T * bound

    def loss(change):
        return ((x @ (weights[:, 0] + change) - targets[:, 0]) ** 2).mean() / 2

    now, largest = loss(np.zeros(4)), max(map(loss, corners))
    assert now == pytest.approx(misfit**2 / 2)
    found = sensitivity.box_sharpness(operator, epsilon=1e-2)
    assert found == pytest.approx(100 * (largest - now) / (1 + now), rel=1e-6)
    np.testing.assert_array_equal(layer.kernel, weights)


def test_box_sharpness_of_ten_iterations_is_a_lower_bound(operator):
    ten, many = (
        sensitivity.box_sharpness(operator, 0.1, iterations) for iterations in (10, 300)
    )
    assert ten == sensitivity.box_sharpness(operator, 0.1)
    assert 0 < ten < 0.99 * many


def linear_classifier(seed, features=6, classes=3):
    inputs = keras.Input((features,), dtype="float64")
    layer = keras.layers.Dense(classes, dtype="float64")
    model = keras.Model(inputs, layer(inputs))
    kernel = np.random.default_rng(seed).standard_normal((features, classes))
    model.set_weights([kernel, np.zeros(classes)])
    return model, kernel


def test_jacobian_norm_of_a_linear_model_is_the_norm_of_its_weights():
    model, kernel = linear_classifier(8)
    x = np.random.default_rng(9).standard_normal((11, 6))
    norms = sensitivity.jacobian_norms(model, x, batch_size=4)
    np.testing.assert_allclose(norms, np.linalg.norm(kernel), rtol=1e-14)
    probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(x @ kernel))
    exact = [
        np.linalg.norm(kernel @ (np.diag(p) - np.outer(p, p))) for p in probabilities
    ]
    found = sensitivity.jacobian_norms(model, x, batch_size=4, of="probabilities")
    np.testing.assert_allclose(found, exact, rtol=1e-12)


def test_critical_samples_of_a_linear_classifier():
    # With two classes a point is critical when its margin is below radius |w|_1.
    model, kernel = linear_classifier(10, classes=2)
    normal, radius = kernel[:, 1] - kernel[:, 0], 0.1
    reach = radius * np.abs(normal).sum()
    share = np.concatenate([np.linspace(-0.8, 0.8, 31), [-1.01, 1.01, 2, 3, -4]])
    x = np.random.default_rng(11).standard_normal((len(share), 6))
    x += np.outer(share * reach - x @ normal, normal) / (normal @ normal)
    for batch_size in (5, 36):
        ratio = sensitivity.critical_sample_ratio(model, x, radius, 20, batch_size)
        assert ratio == pytest.approx(31 / 36)
    assert sensitivity.critical_sample_ratio(model, x[-3:], radius) == 0


def test_an_unknown_output_is_named():
    model, _ = linear_classifier(8)
    with pytest.raises(ValueError, match="'loss'"):
        sensitivity.jacobian_norms(model, np.zeros((2, 6)), of="loss")

"""Linear least squares against the pseudo-inverse, and what SGD converges to."""

import numpy as np
import pytest

from common.theory import features, least_squares


@pytest.mark.parametrize("shape", [(30, 70), (70, 30), (40, 40)])
def test_minimum_norm_is_the_pseudo_inverse(shape):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(shape), rng.standard_normal((shape[0], 3))
    weights, condition = least_squares.minimum_norm(x, y)
    np.testing.assert_allclose(weights, np.linalg.lstsq(x, y, rcond=None)[0])
    np.testing.assert_allclose(weights, np.linalg.pinv(x) @ y, atol=1e-8)
    assert condition == pytest.approx(np.linalg.cond(x))
    ridge = np.linalg.solve(x.T @ x + 0.5 * np.eye(shape[1]), x.T @ y)
    weights, condition = least_squares.minimum_norm(x, y, 0.5)
    np.testing.assert_allclose(weights, ridge)
    gram = x @ x.T if shape[0] < shape[1] else x.T @ x
    exact = np.linalg.cond(gram + 0.5 * np.eye(len(gram)))
    assert condition**2 == pytest.approx(exact)


def test_condition_counts_no_zeros():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 3)) @ rng.standard_normal((3, 8))
    weights, condition = least_squares.minimum_norm(x, np.ones((20, 1)))
    values = np.linalg.svd(x, compute_uv=False)
    assert condition == pytest.approx(values[0] / values[2])
    np.testing.assert_allclose(weights, np.linalg.pinv(x) @ np.ones((20, 1)))


def test_sgd_from_zero_and_from_elsewhere():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((15, 40)), rng.standard_normal((15, 2))
    closed = np.linalg.pinv(x) @ y
    start = rng.standard_normal((40, 2))
    # What lies outside the span of the data stays where it began.
    stays = start - np.linalg.pinv(x) @ (x @ start)
    rate = 1 / (x**2).sum(1).max()
    for begin, end in ((np.zeros((40, 2)), closed), (start, closed + stays)):
        *_, w = least_squares.sgd(x, y, begin, 2000, 0, rate)
        np.testing.assert_allclose(w, end, atol=1e-8)
    assert np.linalg.norm(stays) > 1


def test_the_hessian_is_the_same_at_every_interpolator(data):
    rng = np.random.default_rng(0)
    x = features.unit(data.x_train).astype(np.float64)
    y = np.eye(10)[data.y_train]
    closed = np.linalg.pinv(x) @ y
    noise = rng.standard_normal(closed.shape)
    other = closed + noise - np.linalg.pinv(x) @ (x @ noise)
    np.testing.assert_allclose(x @ closed, y, atol=1e-8)
    np.testing.assert_allclose(x @ other, y, atol=1e-8)  # both interpolate
    assert np.linalg.norm(other - closed) > np.linalg.norm(closed)
    assert least_squares.hessian_difference(data, closed, other) < 1e-6

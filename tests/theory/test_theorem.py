"""Theorem 1 against its formula, dense linear algebra, and its saved networks."""

import keras
import numpy as np
import pytest

from common import models
from common.models.interpolant import interpolant, units_of_widest
from common.theory import theorem


def problem(n, outputs=1, d=7, seed=0):
    """Random float32 inputs (which Keras feeds unrounded) and any values."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d)).astype(np.float32)
    return x, rng.standard_normal((n, outputs))


def ordered(n, place):
    z = np.sort(np.random.default_rng(1).standard_normal(n))
    return z, theorem.knots(z, place)


@pytest.mark.parametrize("place", [0, 0.2, 0.5])
def test_the_weights_solve_the_dense_triangular_system(place):
    z, b = ordered(60, place)
    assert (b < z).all() and (b[1:] >= z[:-1]).all()
    matrix = np.maximum(z[:, None] - b, 0)
    assert (matrix == np.tril(matrix)).all() and (np.diag(matrix) > 0).all()
    y = np.random.default_rng(2).standard_normal((60, 3))
    expected = np.linalg.solve(matrix, y)
    ours = theorem.solve(z, b, y)
    np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-6 * abs(ours).max())


def test_knots_anywhere_between_the_points_serve():
    z, _ = ordered(40, 0)
    share = np.random.default_rng(3).random(39) * 0.6
    b = np.append(z[0] - 2, z[:-1] + share * np.diff(z))
    y = np.random.default_rng(4).standard_normal((40, 1))
    matrix = np.maximum(z[:, None] - b, 0)
    np.testing.assert_allclose(matrix @ theorem.solve(z, b, y), y, atol=1e-7)
    expected = np.linalg.cond(matrix, np.inf)
    assert theorem.condition(z, b) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("n", [1, 2, 50])
@pytest.mark.parametrize("place", [0, 0.3, 0.5])
def test_condition_number_is_that_of_the_dense_matrix(n, place):
    z, b = ordered(n, place)
    dense = np.linalg.cond(np.maximum(z[:, None] - b, 0), np.inf)
    assert theorem.condition(z, b) == pytest.approx(dense, rel=1e-5)


def test_a_knot_on_the_point_before_is_the_best_place():
    numbers = [theorem.condition(*ordered(300, place)) for place in (0, 0.2, 0.5, 0.6)]
    assert numbers == sorted(numbers) and numbers[-1] > 1e6 * numbers[-2]


@pytest.mark.parametrize(("n", "tolerance"), [(1, 1e-12), (50, 1e-9), (1000, 1e-6)])
def test_network_has_2n_plus_d_weights_and_takes_every_value(n, tolerance):
    x, y = problem(n)
    model = interpolant((7,), theorem.construct(x, y))
    assert model.count_params() == 2 * n + 7
    assert sum(w.size for w in model.get_weights()) == 2 * n + 7
    assert {w.dtype for w in model.get_weights()} == {np.dtype("float64")}
    assert np.abs(model(x).numpy() - y).max() < tolerance


def test_the_keras_network_is_the_formula_of_the_paper():
    x, y = problem(20, outputs=3)
    s = theorem.construct(x, y, seed=5)
    other = problem(50, seed=9)[0].astype(np.float64)
    z = other @ s.direction
    expected = np.maximum(z[:, None] - s.knots, 0) @ s.weights
    ours = interpolant((7,), s)(other).numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-9 * abs(expected).max())


@pytest.mark.parametrize("outputs", [1, 4])
@pytest.mark.parametrize("depth", [2, 3, 4, 8, 24])
def test_corollary_same_function_and_weights_at_every_depth(depth, outputs):
    n = 23
    x, y = problem(n, outputs)
    s = theorem.construct(x, y)
    model = interpolant((7,), s, depth)
    assert model.count_params() == n * (outputs + 1) + 7
    assert np.abs(model(x).numpy() - y).max() < 1e-9
    away = 3 * problem(30, seed=6)[0]  # where it was not solved for, too
    shallow = interpolant((7,), s)(away).numpy()
    np.testing.assert_allclose(
        model(away).numpy(), shallow, atol=1e-9 * abs(shallow).max()
    )


@pytest.mark.parametrize("depth", [2, 3, 4, 8, 24])
def test_corollary_width_and_depth_are_those_of_the_graph(depth):
    """Follows the graph: the hidden layer of a ReLU is one more than of its inputs."""
    n, outputs = 23, 4
    x, y = problem(n, outputs)
    model = interpolant((7,), theorem.construct(x, y), depth)
    level, units = {}, {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            level[layer.name] = 0
            continue
        before = [t._keras_history.operation.name for t in _list(layer.input)]
        is_relu = type(layer).__name__ in ("ReLU", "ShiftedReLU")
        level[layer.name] = max(level[name] for name in before) + is_relu
        if is_relu:
            here = level[layer.name]
            units[here] = units.get(here, 0) + layer.output.shape[-1]
    assert set(units) == set(range(1, depth))  # depth - 1 hidden layers
    assert max(units.values()) == units_of_widest(n, outputs, depth)
    assert max(units.values()) <= -(-n // (depth - 1)) + 2 * (1 + outputs)


def _list(value):
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("depth", [2, 5])
def test_saved_network_is_opened_again_and_predicts_the_labels(depth, tmp_path):
    x, _ = problem(200)
    labels = np.random.default_rng(0).integers(10, size=200)
    s = theorem.construct(x, np.eye(10)[labels])
    network = interpolant((7,), s, depth)
    models.save(lambda: network, network.get_weights(), tmp_path / "net.h5")
    again = models.load(tmp_path / "net.h5")
    assert again.count_params() == 200 * 11 + 7
    said = again(x).numpy()
    assert said.dtype == np.float64 and (said.argmax(1) == labels).all()
    assert np.abs(said - np.eye(10)[labels]).max() < 1e-8
    rough = np.abs(
        interpolant((7,), s, depth, "float32")(x).numpy() - np.eye(10)[labels]
    )
    assert rough.max() > 1e-5  # why the file is float64


def test_equal_inputs_with_one_value_count_once():
    x, y = problem(30)
    x, y = np.concatenate([x, x[:10]]), np.concatenate([y, y[:10]])
    x[4, 0], x[34, 0] = 0.0, -0.0
    s = theorem.construct(x, y)
    model = interpolant((7,), s)
    assert model.count_params() == 2 * 30 + 7
    assert np.abs(model(x).numpy() - y).max() < 1e-9


def test_equal_inputs_with_different_values_are_refused():
    x, y = problem(30)
    x[17] = x[3]
    with pytest.raises(ValueError, match="examples 3 and 17 are the same input"):
        theorem.construct(x, y)


def test_inputs_that_float64_cannot_tell_apart_are_refused():
    x = np.array([[1e20, 0.0], [1e20, 1.0]])
    with pytest.raises(ValueError, match="too close"):
        theorem.construct(x, [0, 1])


def test_the_seed_decides_the_direction():
    x, y = problem(5)
    one, same, other = (theorem.construct(x, y, seed).direction for seed in (0, 0, 1))
    assert (one == same).all() and (one != other).all()


@pytest.mark.parametrize("depth", [1, 7])
def test_impossible_depths(depth):
    with pytest.raises(ValueError, match="from 2 to 6"):
        interpolant((7,), theorem.construct(*problem(5)), depth)

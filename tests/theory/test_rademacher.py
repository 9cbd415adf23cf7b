"""Rademacher complexity and capacity against all signs, Cover, and made-up answers."""

import itertools
import math

import numpy as np
import pytest

from common.engine import replicas
from common.theory import memorization, rademacher


def every_sign(n):
    return np.array(list(itertools.product((-1, 1), repeat=n)))


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal((8, 3))


def test_linear_supremum_is_reached_and_never_exceeded(x):
    sigma = rademacher.signs(5, 8, 0)
    for signs, sup in zip(sigma, rademacher.linear_sup(x, sigma, 2.5), strict=True):
        best = signs @ x / np.linalg.norm(signs @ x) * 2.5
        assert signs @ (x @ best) / 8 == pytest.approx(sup)
        others = np.random.default_rng(1).standard_normal((1000, 3))
        others *= 2.5 / np.linalg.norm(others, axis=1, keepdims=True)
        assert (signs @ (x @ others.T) / 8).max() <= sup


def test_linear_complexity_over_all_signs_against_monte_carlo(x):
    """All 2^8 signs are the expectation itself."""
    exact = rademacher.linear_sup(x, every_sign(8), 1.5).mean()
    drawn = rademacher.linear_sup(x, rademacher.signs(4000, 8, 3), 1.5)
    assert drawn.mean() == pytest.approx(exact, abs=4 * drawn.std() / math.sqrt(4000))
    low, high = rademacher.linear_limits(x, 1.5)
    assert low <= exact <= high
    # Orthogonal inputs reach the upper limit, one repeated input nears the lower.
    eye = np.eye(8)
    assert rademacher.linear_sup(eye, every_sign(8), 1).mean() == pytest.approx(
        rademacher.linear_limits(eye, 1)[1]
    )
    pair = np.ones((2, 1))
    assert rademacher.linear_sup(pair, every_sign(2), 1).mean() == pytest.approx(
        rademacher.linear_limits(pair, 1)[0]
    )


def test_signs_are_fair_seeded_and_nest():
    sigma = rademacher.signs(50, 400, 0)
    assert set(sigma.ravel()) == {-1, 1} and abs(sigma.mean()) < 4 / math.sqrt(20_000)
    assert (rademacher.signs(3, 100, 0) == sigma[:3, :100]).all()
    assert (rademacher.signs(50, 400, 1) != sigma).any()
    assert abs(np.corrcoef(sigma) - np.eye(50)).max() < 0.25  # draws differ


def test_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        e = rademacher.estimate(rng.normal(0.3, 0.1, 6))
        hits += e.low <= 0.3 <= e.high
    assert 0.92 <= hits / 400 <= 0.98
    assert rademacher.estimate(np.ones(5)) == (1, 1, 1)
    assert rademacher.estimate(np.array([0.9, 1, 1])).high == 1


def test_the_bound_is_vacuous_at_one():
    assert rademacher.gap_bound(1.0, 10**9) >= 1
    expected = 0.1 + 3 * math.sqrt(math.log(40) / 2000)
    assert rademacher.gap_bound(0.1, 1000) == pytest.approx(expected)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_cover_counts_the_separable_labellings(d):
    """Against the signs of very many hyperplanes on points in general position."""
    rng = np.random.default_rng(d)
    points = np.column_stack([rng.standard_normal((6, d)), np.ones(6)])
    above = points @ rng.standard_normal((d + 1, 1_000_000)) > 0
    seen = np.unique(2 ** np.arange(6) @ above)  # a labelling is a number
    assert rademacher.separable(6, d) == pytest.approx(len(seen) / 2**6)


def test_cover_is_one_up_to_d_plus_1_and_half_at_twice_that():
    assert rademacher.separable(1, 5) == rademacher.separable(6, 5) == 1
    assert rademacher.separable(7, 5) < 1
    assert rademacher.separable(12, 5) == pytest.approx(0.5)


# Training on random labels.


def inputs(n, d, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def test_a_class_that_can_fit_anything_has_estimate_1():
    sigma = rademacher.signs(3, 20, 0)
    x = inputs(20, 25)  # fewer points than dimensions: the linear class shatters them
    found = memorization.accuracies(x, (sigma + 1) // 2, 0, 1, 2000)
    assert (found == 1).all() and rademacher.estimate(2 * found - 1).mean == 1


def test_a_small_class_fits_what_cover_says_and_no_more():
    sigma = rademacher.signs(8, 30, 0)
    found = memorization.accuracies(inputs(30, 4), (sigma + 1) // 2, 0, 1, 300)
    assert rademacher.separable(30, 4) < 1e-4 and (found < 1).all()
    assert (found > 0.5).all()  # but better than a coin, on its own training set


@pytest.mark.parametrize(
    ("x", "labels", "expected"),
    [
        ([[0, 0], [1, 1], [0, 1], [1, 0]], [0, 0, 1, 1], False),  # exclusive or
        ([[0, 0], [1, 1], [0, 1], [1, 0]], [0, 1, 1, 1], True),
        ([[5, 0], [6, 0], [7, 0]], [1, 0, 1], False),
        ([[5, 0], [6, 0], [7, 1e-4]], [1, 0, 1], True),  # but with little room
        ([[1, 1], [2, 2]], [1, 1], True),  # an offset alone
    ],
)
def test_what_a_hyperplane_separates(x, labels, expected):
    assert memorization.separates(np.array(x, float), np.array(labels)) == expected


def test_as_many_are_separable_as_cover_says():
    labels = (rademacher.signs(100, 9, 0) + 1) // 2
    found = np.mean([memorization.separates(inputs(9, 3), drawn) for drawn in labels])
    expected = rademacher.separable(9, 3)
    assert abs(found - expected) < 3 * math.sqrt(expected * (1 - expected) / 100)


def test_training_stops_before_what_is_separable():
    x, labels = inputs(16, 7), (rademacher.signs(12, 16, 0) + 1) // 2
    exact = np.array([memorization.separates(x, drawn) for drawn in labels])
    trained = memorization.accuracies(x, labels, 0, 1, 100) == 1
    assert not (trained & ~exact).any() and trained.sum() < exact.sum() < 12


def test_accuracy_is_of_the_best_restart(monkeypatch):
    """Four made-up linear classifiers, for two labellings of two points."""
    right, wrong = np.array([[-1.0, 1.0]]), np.array([[1.0, -1.0]])
    half = np.zeros((1, 2))  # says 0 everywhere
    x, labels = np.array([[-1.0], [1.0]], np.float32), np.array([[0, 1], [0, 1]])

    def train(initial, x, y, *others, **more):
        assert x.shape == (4, 2, 1) and y.tolist() == [[0, 1]] * 4
        kernels = (wrong, right, half, wrong)
        stops = [replicas.Stop(1, True, [k, np.zeros(2)]) for k in kernels]
        return [[stop, stop] for stop in stops]

    monkeypatch.setattr(replicas, "train", train)
    assert memorization.accuracies(x, labels, 0, 2, 10).tolist() == [1.0, 0.5]


def test_components_are_uncorrelated_and_the_largest_first():
    mixed = inputs(500, 6) @ inputs(6, 6, seed=1)
    x = memorization.components(mixed.reshape(500, 3, 2, 1), 4)
    assert x.dtype == np.float32 and x.shape == (500, 4)
    np.testing.assert_allclose(x.T @ x / 500, np.eye(4), atol=1e-4)
    centred = mixed - mixed.mean(0)
    left, _, _ = np.linalg.svd(centred, full_matrices=False)
    for i in range(4):
        assert abs(left[:, i] @ x[:, i]) == pytest.approx(math.sqrt(500), rel=1e-4)


def test_there_are_no_more_components_than_directions():
    mixed = inputs(500, 4).astype(float) @ inputs(4, 6, seed=1)
    assert memorization.components(mixed, 4).std(0) == pytest.approx(
        np.ones(4), rel=1e-3
    )
    with pytest.raises(ValueError, match="5 components asked for.*have 4"):
        memorization.components(mixed, 5)


@pytest.mark.parametrize("width", [0, 5])
def test_parameters_are_those_of_one_output(width):
    hidden = 7 * width + width if width else 0
    assert memorization.parameters(width, 7) == hidden + (width or 7) + 1


@pytest.mark.parametrize("answer", [0, 1, 2, 7, 99, 100])
@pytest.mark.parametrize("guess", [1, 6, 64, 1000])
def test_bisection_finds_where_a_predicate_falls(answer, guess):
    asked = []

    def holds(n):
        assert 1 <= n <= 100 and n not in asked
        asked.append(n)
        return n <= answer

    assert memorization.largest(holds, guess, limit=100) == answer
    assert len(asked) <= 15


def test_bisection_within_a_tolerance_asks_less():
    asked = []
    holds = lambda n: asked.append(n) or n <= 777  # noqa: E731
    found = memorization.largest(holds, 100, 10_000, tolerance=0.1)
    assert 777 / 1.1 <= found <= 777 and len(asked) <= 7

"""Eigenvalues, trace and density against matrices whose spectrum is known."""

import numpy as np
import pytest
import scipy.sparse.linalg

from common.analysis import spectrum


def test_top_eigenvalues(operator, explicit):
    exact = np.linalg.eigvalsh(explicit)[::-1]
    top = spectrum.top_eigenvalues(operator, k=6, tolerance=1e-10)
    np.testing.assert_allclose(top.values, exact[:6], rtol=1e-10)
    assert np.all(top.residuals < 1e-8)


def test_residuals_bound_the_error_of_a_loose_search(explicit):
    exact = np.linalg.eigvalsh(explicit)
    operator = scipy.sparse.linalg.aslinearoperator(explicit)
    top = spectrum.top_eigenvalues(operator, k=3, tolerance=1e-1)
    nearest = np.abs(exact[None] - top.values[:, None]).min(axis=1)
    assert np.all(nearest <= top.residuals + 1e-14)


def test_trace_of_the_small_net(operator, explicit):
    exact = np.trace(explicit)
    estimate = spectrum.trace(operator, num_products=30, seed=1)
    assert abs(estimate.value - exact) < 3 * estimate.standard_error < 0.5 * exact
    assert estimate.num_products == operator.num_products == 30
    # As many sketch vectors as weights: nothing is left to sample.
    assert spectrum.trace(operator, 3 * 43).value == pytest.approx(exact, rel=1e-10)


def test_standard_error_and_interval_of_two_probes():
    rng = np.random.default_rng(3)
    matrix = rng.standard_normal((20, 20))
    matrix, vectors = matrix + matrix.T, []

    def product(vector):
        vectors.append(np.ravel(vector))
        return matrix @ vectors[-1]

    operator = scipy.sparse.linalg.LinearOperator((20, 20), product, dtype=float)
    found = spectrum.trace(operator, num_products=6, confidence=0.95, seed=4)
    # Two products for the sketch, two for the trace in it; the last two are sampled.
    basis, (one, other) = vectors[2:4], (v @ matrix @ v for v in vectors[4:])
    exact = sum(v @ matrix @ v for v in basis)
    assert found.num_probes == 2 and len(vectors) == 6
    assert found.value == pytest.approx(exact + (one + other) / 2)
    # Of two samples the standard error is half their distance, and Student's t with
    # one degree of freedom is Cauchy's distribution.
    error = abs(one - other) / 2
    assert found.standard_error == pytest.approx(error)
    reach = error * np.tan(np.pi * 0.95 / 2)
    assert (found.low, found.high) == pytest.approx(
        (found.value - reach, found.value + reach)
    )


def test_too_few_products_for_a_standard_error_are_refused():
    operator = scipy.sparse.linalg.aslinearoperator(np.eye(4))
    with pytest.raises(ValueError, match="at least 6"):
        spectrum.trace(operator, 5)


def test_a_matrix_of_zeros_has_eigenvalues_0():
    top = spectrum.top_eigenvalues(
        scipy.sparse.linalg.aslinearoperator(np.zeros((9, 9))), k=3
    )
    assert not top.values.any() and not top.residuals.any() and len(top.values) == 3


@pytest.mark.parametrize("decay", [0.0, 1.0])  # flat spectrum; a loss-like one
@pytest.mark.parametrize("confidence", [0.68, 0.95])
def test_trace_interval_covers_at_its_stated_rate(decay, confidence):
    rng = np.random.default_rng(5)
    size, seeds = 120, 200
    rotation, _ = np.linalg.qr(rng.standard_normal((size, size)))
    values = (1.0 + np.arange(size)) ** -decay + 0.1 * rng.standard_normal(size)
    matrix = (rotation * values) @ rotation.T
    operator = scipy.sparse.linalg.aslinearoperator(matrix)
    runs = [spectrum.trace(operator, 30, confidence, seed) for seed in range(seeds)]
    covered = np.mean([run.low <= values.sum() <= run.high for run in runs])
    # Three binomial standard deviations.
    assert abs(covered - confidence) < 3 * np.sqrt(
        confidence * (1 - confidence) / seeds
    )
    found = np.array([run.value for run in runs])
    errors = np.array([run.standard_error for run in runs])
    assert abs(found.mean() - values.sum()) < 4 * found.std() / np.sqrt(seeds)
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(found.std(), rel=0.15)


def test_density_moments_are_the_traces_of_powers(explicit):
    operator = scipy.sparse.linalg.aslinearoperator(explicit)
    density = spectrum.spectral_density(operator, num_probes=200, num_steps=6)
    assert density.weights.sum() == pytest.approx(1)
    exact = np.linalg.eigvalsh(explicit)
    for power in (1, 2, 3):
        each = density.weights * density.nodes**power
        per_probe = each.reshape(200, -1).sum(axis=1) * 200
        error = per_probe.std(ddof=1) / np.sqrt(200)
        assert abs(each.sum() - np.mean(exact**power)) < 3 * error
        assert error < 0.1 * abs(np.mean(exact**power))


def test_quadrature_is_exact_for_one_direction(operator, explicit):
    start = np.random.default_rng(6).standard_normal(43)
    nodes, weights = spectrum._lanczos(operator, start, 10)
    start /= np.linalg.norm(start)
    for power in range(20):  # a Gauss rule of 10 nodes is exact to degree 19
        exact = start @ np.linalg.matrix_power(explicit, power) @ start
        assert weights @ nodes**power == pytest.approx(exact, rel=1e-8, abs=1e-14)


def test_density_is_the_smoothed_spectrum():
    values = np.repeat([-1.0, 0.0, 4.0], [10, 70, 20])
    operator = scipy.sparse.linalg.aslinearoperator(np.diag(values))
    density = spectrum.spectral_density(operator, num_probes=200, num_steps=20)
    assert density.deviation == pytest.approx(0.01 * 5)
    step = density.grid[1] - density.grid[0]
    assert density.density.sum() * step == pytest.approx(1, abs=1e-4)
    for eigenvalue in (-1, 0, 4):
        near = np.abs(density.grid - eigenvalue) < 0.25
        share = np.mean(values == eigenvalue)
        assert density.density[near].sum() * step == pytest.approx(share, abs=0.02)

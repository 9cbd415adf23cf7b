"""Eigenvalues, trace and spectral density of a matrix known by its products.

The functions take any symmetric `scipy.sparse.linalg.LinearOperator`, such as
`hessian.Hessian`, so each is tested on matrices whose answer is known.
"""

from typing import NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse.linalg
import scipy.stats


class Eigenvalues(NamedTuple):
    values: np.ndarray  # (k,), largest first
    residuals: np.ndarray  # (k,), norm of H v - value v; bounds the value's error


def top_eigenvalues(hessian, k=5, tolerance=1e-4, seed=0):
    """Largest eigenvalues, by ARPACK's implicitly restarted Lanczos method.

    The first one is the sharpness of Cohen et al. 2021 (arXiv 2103.00065).

    Args:
        hessian: Symmetric linear operator, `(p, p)`.
        k: Number of eigenvalues, at least 1; all `p` where it is more.
        tolerance: Relative accuracy asked of the eigenvalues.
        seed: Integer, of the starting vector.

    Returns:
        `Eigenvalues(values, residuals)`; `residuals` cost `k` further products.
    """
    if k >= hessian.shape[0]:  # ARPACK finds fewer than all
        columns = [
            hessian.matvec(e) for e in np.eye(*hessian.shape, dtype=hessian.dtype)
        ]
        matrix = np.array(columns, float)
        values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
        residuals = np.linalg.norm(matrix.T @ vectors - vectors * values, axis=0)
        return Eigenvalues(values[::-1], residuals[::-1])
    start = np.random.default_rng(seed).standard_normal(hessian.shape[0])
    start = start.astype(hessian.dtype)
    try:
        values, vectors = scipy.sparse.linalg.eigsh(
            hessian, k, which="LA", v0=start, tol=tolerance
        )
    except scipy.sparse.linalg.ArpackError:  # a zero matrix: an unused layer's block
        if hessian.matvec(start).any():
            raise
        return Eigenvalues(np.zeros(k), np.zeros(k))
    residuals = [
        np.linalg.norm(hessian.matvec(v) - value * v)
        for value, v in zip(values, vectors.T, strict=True)
    ]
    return Eigenvalues(values[::-1].astype(float), np.array(residuals, float)[::-1])


class Trace(NamedTuple):
    value: float
    standard_error: float  # of the sampled part; 0 if the sketch spans the matrix
    low: float  # the confidence interval
    high: float
    num_probes: int  # independent samples behind the standard error
    num_products: int


def trace(hessian, num_products=60, confidence=0.95, seed=0):
    """Trace by Hutch++ (Meyer et al. 2021, arXiv 2010.09649, Algorithm 1).

    A third of the products finds a subspace that holds most of the trace, a third
    takes the trace in it exactly, and a third samples the rest with random signs.
    Given the subspace those samples are independent and unbiased, so the standard
    error is theirs, and the interval is Student's t with `num_probes - 1` degrees
    of freedom.

    Args:
        hessian: Symmetric linear operator, `(p, p)`.
        num_products: Matrix-vector products to spend, at least 6.
        confidence: Coverage of the interval, in `(0, 1)`.
        seed: Integer, of the sketch and the probes.

    Returns:
        `Trace`.
    """
    if num_products < 6:
        raise ValueError(
            "`num_products` must be at least 6, for a standard error. "
            f"Received: num_products={num_products}"
        )
    rng = np.random.default_rng(seed)
    size, third = hessian.shape[0], num_products // 3
    signs = rng.choice(np.array([-1, 1], hessian.dtype), (2 * third, size))
    sketch = np.stack([hessian.matvec(s) for s in signs[: min(third, size)]], axis=1)
    basis, _ = np.linalg.qr(sketch)
    exact = sum(q @ hessian.matvec(q) for q in np.ascontiguousarray(basis.T))
    probes = signs[third:]
    for _ in range(2):  # twice, for orthogonality to rounding
        probes = probes - (probes @ basis) @ basis.T
    samples = np.array([p @ hessian.matvec(p) for p in probes], float)
    value = float(exact + samples.mean())
    error = float(samples.std(ddof=1) / np.sqrt(third))
    reach = error * float(scipy.stats.t.ppf((1 + confidence) / 2, third - 1))
    products = 2 * third + basis.shape[1]
    return Trace(value, error, value - reach, value + reach, third, products)


class SpectralDensity(NamedTuple):
    grid: np.ndarray  # eigenvalue axis
    density: np.ndarray  # integrates to 1: times p, eigenvalues per unit
    deviation: float  # standard deviation of the Gaussian each node is smoothed by
    nodes: np.ndarray  # before smoothing: (num_nodes,) Ritz values
    weights: np.ndarray  # and the share of the spectrum at each; they sum to 1


def spectral_density(hessian, num_probes=10, num_steps=60, smoothing=0.01, seed=0):
    """Density of the eigenvalues by stochastic Lanczos quadrature.

    Ghorbani et al. 2019 (arXiv 1901.10159, section 2): from each random direction
    the Lanczos process gives a Gauss quadrature of the spectral measure; its nodes,
    averaged over directions, are smoothed by a Gaussian. `sum(weights * nodes**j)`
    estimates `trace(H**j) / p` without bias for every `j < 2 * num_steps`.
    Reorthogonalization is full, twice: `num_steps` vectors are held.

    Args:
        hessian: Symmetric linear operator, `(p, p)`.
        num_probes: Random directions averaged over.
        num_steps: Lanczos steps from each, one product a step.
        smoothing: Standard deviation of the Gaussian, as a fraction of the distance
            from the smallest to the largest node. A peak is never narrower.
        seed: Integer, of the directions.

    Returns:
        `SpectralDensity`, the grid reaching five deviations past the nodes.
    """
    rng = np.random.default_rng(seed)
    pairs = [
        _lanczos(hessian, rng.standard_normal(hessian.shape[0]), num_steps)
        for _ in range(num_probes)
    ]
    nodes = np.concatenate([nodes for nodes, _ in pairs])
    weights = np.concatenate([weights for _, weights in pairs]) / num_probes
    spread = np.ptp(nodes) or max(abs(nodes[0]), 1e-30)
    deviation = smoothing * spread
    low, high = nodes.min() - 5 * deviation, nodes.max() + 5 * deviation
    grid = np.linspace(low, high, max(1000, int(6 * (high - low) / deviation)))
    density = np.zeros_like(grid)
    for node, weight in zip(nodes, weights, strict=True):
        density += weight * scipy.stats.norm.pdf(grid, node, deviation)
    return SpectralDensity(grid, density, deviation, nodes, weights)


def _lanczos(operator, start, num_steps):
    """Gauss quadrature `(nodes, weights)` of the spectral measure of `start`."""
    num_steps = min(num_steps, operator.shape[0])
    basis = np.empty((num_steps, operator.shape[0]), operator.dtype)
    diagonal, beside = [], []
    vector = start / np.linalg.norm(start)
    for step in range(num_steps):
        basis[step] = vector
        image = np.asarray(operator.matvec(basis[step]))
        diagonal.append(float(basis[step] @ image))
        scale = np.linalg.norm(image)
        for _ in range(2):
            image = image - (basis[: step + 1] @ image) @ basis[: step + 1]
        beside.append(float(np.linalg.norm(image)))
        # No new direction: those found span an invariant subspace.
        if beside[-1] <= 10 * np.finfo(operator.dtype).eps * scale:
            break
        vector = image / beside[-1]
    nodes, vectors = scipy.linalg.eigh_tridiagonal(
        diagonal, beside[: len(diagonal) - 1]
    )
    return nodes, vectors[0] ** 2

"""Kernel matrices, the blocked factor and its refinement, against SciPy and sklearn."""

import numpy as np
import pytest
import scipy.linalg
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics.pairwise import rbf_kernel

from common import datasets
from common.theory import cholesky, features, kernels


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(kernels, "BLOCK", 32)


@pytest.fixture(scope="module")
def digits():
    """150 digits, 40 to test on, targets of 150 x 10."""
    data = datasets.named("mnist_5k", 150)
    x, new = features.unit(data.x_train), features.unit(data.x_test[:40])
    return x.astype(np.float64), new.astype(np.float64), np.eye(10)[data.y_train]


def dense(columns, size):
    """The factor as one matrix."""
    result = np.zeros((size, size))
    for here, column in zip(kernels.blocks(size), columns, strict=True):
        result[here.start :, here] = np.asarray(column)
    return np.tril(result)


def as_gram(x, gamma=0.02):
    return kernels.Gaussian(x.astype(np.float32), gamma)


def test_blocks_are_those_of_the_matrix(digits):
    x, _, _ = digits
    gram, exact = as_gram(x), rbf_kernel(x, gamma=0.02)
    for dtype, error in (("float32", 2e-6), ("float64", 1e-12)):
        block = np.asarray(gram.block(slice(32, 150), slice(32, 64), dtype))
        assert block.dtype == dtype
        np.testing.assert_allclose(block, exact[32:, 32:64], atol=error)


@pytest.mark.parametrize("size", [1, 31, 32, 33, 96, 150])
@pytest.mark.parametrize("ridge", [0.0, 0.5])
def test_factor_is_numpys(digits, size, ridge):
    x = digits[0][:size]
    done = []
    columns = cholesky.factor(as_gram(x), ridge, done.append)
    assert [c.shape for c in columns] == [
        (size - b.start, b.stop - b.start) for b in kernels.blocks(size)
    ]
    exact = np.linalg.cholesky(rbf_kernel(x, gamma=0.02) + ridge * np.eye(size))
    np.testing.assert_allclose(dense(columns, size), exact, atol=2e-5)
    if size > 90:  # n^3 / 3, and what square blocks on the diagonal add
        assert size**3 / 3 < sum(done) < size**3 / 3 * (1 + 2 * 32 / size)


def test_float32_solve(digits):
    x, _, y = digits
    alpha = cholesky.solve(cholesky.factor(as_gram(x), 1.0), y)
    exact = scipy.linalg.solve(rbf_kernel(x, gamma=0.02) + np.eye(150), y)
    np.testing.assert_allclose(alpha, exact, atol=1e-5)


@pytest.mark.parametrize("ridge", [0.0, 1e-3, 10.0])
def test_kernel_ridge(digits, ridge):
    x, new, y = digits
    gram = as_gram(x)
    columns, shift = cholesky.robust_factor(gram, ridge)
    alpha, residuals = cholesky.conjugate_gradients(gram, ridge, columns, y, 1e-12)
    assert shift == 0 and residuals[-1] < 1e-12
    other = KernelRidge(alpha=max(ridge, 1e-300), kernel="rbf", gamma=0.02).fit(x, y)
    np.testing.assert_allclose(alpha, other.dual_coef_, rtol=1e-7, atol=1e-8)
    predicted = gram.predict(new.astype(np.float32), alpha)
    np.testing.assert_allclose(predicted, other.predict(new), atol=1e-8)


def test_refinement_reaches_what_float32_cannot(digits):
    x, _, y = digits
    x = np.concatenate([x, x[:5] + 1e-3])  # nearly equal points: condition above 1e7
    y = np.concatenate([y, y[5:10]])
    gram, exact = as_gram(x), rbf_kernel(x, gamma=0.02)
    # The points are float32 in the program.
    exact = rbf_kernel(x.astype(np.float32).astype(np.float64), gamma=0.02)
    columns, _ = cholesky.robust_factor(gram)
    once = cholesky.solve(columns, y)
    alpha, residuals = cholesky.conjugate_gradients(gram, 0.0, columns, y, 1e-10)
    before = np.abs(exact @ once - y).max()
    after = np.abs(exact @ alpha - y).max()
    assert after < 1e-7 and after < before / 1000
    assert residuals[-1] < 1e-10 < residuals[0]


def test_a_matrix_singular_to_float32_gets_a_shift(digits):
    x, _, _ = digits
    x = np.concatenate([x, x[:40]])
    with pytest.raises(np.linalg.LinAlgError):
        cholesky.factor(as_gram(x))
    columns, shift = cholesky.robust_factor(as_gram(x))
    assert 0 < shift < 1e-3
    whole = dense(columns, len(x))
    np.testing.assert_allclose(
        whole @ whole.T, rbf_kernel(x, gamma=0.02) + shift * np.eye(190), atol=1e-5
    )


def test_conjugate_gradients_give_up_where_there_is_no_solution(digits):
    x, _, y = digits
    x, y = np.concatenate([x, x[:40]]), np.concatenate([y, y[40:80]])
    gram = as_gram(x)
    columns, _ = cholesky.robust_factor(gram)
    _, residuals = cholesky.conjugate_gradients(gram, 0.0, columns, y, limit=200)
    assert residuals[-1] > 1e-3 and len(residuals) < 100


def test_a_class_without_examples_has_the_solution_0(digits):
    x, _, y = digits
    gram, y = as_gram(x), np.concatenate([y, np.zeros((len(y), 1))], 1)
    alpha, residuals = cholesky.conjugate_gradients(gram, 0.0, cholesky.factor(gram), y)
    assert residuals[-1] < 1e-8 and not alpha[:, -1].any()
    whole = scipy.linalg.solve(rbf_kernel(x, gamma=0.02), y)
    np.testing.assert_allclose(alpha, whole, rtol=1e-6, atol=1e-6)


def test_multiply_and_eigenvalues(digits):
    x, _, y = digits
    gram, exact = as_gram(x), rbf_kernel(x, gamma=0.02)
    product = cholesky.multiply(gram, 0.3, y)
    np.testing.assert_allclose(product, exact @ y + 0.3 * y, atol=1e-10)
    largest, smallest = cholesky.eigenvalue_range(cholesky.factor(gram), steps=40)
    values = np.linalg.eigvalsh(exact)
    assert largest == pytest.approx(values[-1], rel=1e-3)
    assert values[0] * 0.99 < smallest < values[0] * 1.3


def test_accumulated_features_are_their_matrix():
    rng = np.random.default_rng(0)
    parts = [
        (rng.standard_normal((100, k)), rng.standard_normal((30, k))) for k in (64, 80)
    ]
    gram = kernels.Accumulated(100, 30)
    for train, test in parts:
        gram.add(train.astype(np.float32), test.astype(np.float32))
    gram.scale, gram.offset = 0.5, 1.0
    train, test = (np.concatenate(p, 1) for p in zip(*parts, strict=True))
    exact = 0.5 * train @ train.T + 1
    block = gram.block(slice(64, 100), slice(32, 64), "float64")
    np.testing.assert_allclose(block, exact[64:, 32:64], atol=1e-4)
    alpha = rng.standard_normal((100, 3))
    product = cholesky.multiply(gram, 0.0, alpha)
    np.testing.assert_allclose(product, exact @ alpha, atol=1e-3)
    predicted = gram.predict(alpha)
    np.testing.assert_allclose(predicted, (0.5 * test @ train.T + 1) @ alpha, atol=1e-3)


def test_half_of_the_matrix_is_kept(digits):
    columns = cholesky.factor(as_gram(digits[0]))
    assert sum(4 * np.asarray(c).size for c in columns) == 4 * sum(
        (150 - i) * min(32, 150 - i) for i in range(0, 150, 32)
    )
    assert cholesky.factor_bytes(60_000) < 7.6e9 + 4 * 5 * 60_000 * 32

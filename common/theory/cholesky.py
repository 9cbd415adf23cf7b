"""Solves (K + ridge I) alpha = y to float64 accuracy, in half of K's memory.

A Cholesky factor in float32 (the lower triangle, block column by block column) is
fast and small but not accurate; it is the preconditioner of conjugate gradients in
float64, whose blocks of K are computed again in every iteration instead of kept.
"""

import numpy as np
import scipy.linalg
from keras import ops

from common.theory import kernels


def factor(gram, ridge=0.0, progress=None):
    """Factors K + ridge I = L L^T in float32 (blocked, left-looking Cholesky).

    Args:
        gram: `Gaussian` or `Accumulated`.
        ridge: Non-negative float, added to the diagonal.
        progress: Function of the floating-point operations done since its last call.

    Returns:
        List of block columns of L, each from its square on the diagonal down:
        `(n - start, kernels.BLOCK)`, together half the memory of K in float32.

    Raises:
        numpy.linalg.LinAlgError: If the matrix is not positive definite in float32.
    """
    columns = []
    for here in kernels.blocks(gram.size):
        width = _length(here)
        column = gram.block(slice(here.start, gram.size), here, "float32")
        for index, old in enumerate(columns):
            left = old[here.start - index * kernels.BLOCK :]
            # A transposed copy of the small factor: twice as fast as transposing in
            # the product.
            column = column - ops.matmul(left, ops.transpose(left[:width]))
        square = np.asarray(column[:width]) + np.float32(ridge) * np.eye(
            width, dtype=np.float32
        )
        # SciPy's raises an error where TensorFlow's may return NaN.
        top = ops.convert_to_tensor(scipy.linalg.cholesky(square, lower=True))
        below = ops.solve_triangular(top, ops.transpose(column[width:]), lower=True)
        columns.append(ops.concatenate([top, ops.transpose(below)]))
        if progress:
            progress(operations(gram.size, here))
    return columns


def operations(size, here):
    """Floating-point operations of one block column of the factor."""
    width = _length(here)
    return 2.0 * (size - here.start) * width * (here.start + width / 2)


def robust_factor(gram, ridge=0.0, progress=None):
    """Factors K + (ridge + shift) I with the smallest shift that float32 needs.

    The factor is a preconditioner only, so the shift does not change the solution.

    Returns:
        `(columns, shift)`; the shift is 0 unless K is singular to float32, then
        1e-7 of the mean of K's diagonal times a power of 10.

    Raises:
        numpy.linalg.LinAlgError: If a shift of a tenth of the diagonal is too small.
    """
    squares = (gram.block(b, b, "float32") for b in kernels.blocks(gram.size))
    diagonal = np.concatenate([np.diag(np.asarray(s)) for s in squares]).mean()
    for shift in (0.0, *(float(diagonal) * 10.0**-k for k in range(7, 0, -1))):
        try:
            return factor(gram, ridge + shift, progress), shift
        except np.linalg.LinAlgError:
            continue
    raise np.linalg.LinAlgError("the kernel matrix is far from positive definite")


def solve(columns, y):
    """Returns (L L^T)^-1 y of a factor, computed in float32.

    Args:
        columns: From `factor`.
        y: `(n, outputs)`.
    """
    return _backward(columns, _forward(columns, y.astype(np.float32)))


def _forward(columns, y):
    y = y.copy()
    for here, column in zip(kernels.blocks(len(y)), columns, strict=True):
        width = _length(here)
        part = ops.solve_triangular(column[:width], _tensor(y[here]), lower=True)
        y[here] = np.asarray(part)
        y[here.stop :] -= np.asarray(ops.matmul(column[width:], part))
    return y


def _backward(columns, y):
    y = y.copy()
    for here, column in reversed(
        list(zip(kernels.blocks(len(y)), columns, strict=True))
    ):
        width = _length(here)
        # Transposed on the outside: no copy of the large factor.
        done = ops.matmul(_tensor(y[here.stop :].T), column[width:])
        right = _tensor(y[here] - np.asarray(done).T)
        top = ops.transpose(column[:width])
        y[here] = np.asarray(ops.solve_triangular(top, right, lower=False))
    return y


def multiply(gram, ridge, v, progress=None):
    """Returns (K + ridge I) v in float64; of K only the lower triangle is computed.

    Args:
        gram: `Gaussian` or `Accumulated`.
        ridge: Non-negative float.
        v: `(n, outputs)` float64.
        progress: Function of the floating-point operations done since its last call.
    """
    result = ridge * v
    for columns in kernels.blocks(gram.size):
        for rows in kernels.blocks(gram.size)[columns.start // kernels.BLOCK :]:
            part = np.asarray(gram.block(rows, columns, "float64"))
            result[rows] += part @ v[columns]
            if rows != columns:
                result[columns] += part.T @ v[rows]
        if progress:
            progress(2.0 * (gram.size - columns.start) * _length(columns))
    return result


def conjugate_gradients(gram, ridge, columns, y, tolerance=1e-8, limit=50, report=None):
    """Solves (K + ridge I) alpha = y in float64, preconditioned by a float32 factor.

    Every output has its own step lengths.

    Args:
        gram: `Gaussian` or `Accumulated`.
        ridge: Non-negative float.
        columns: From `factor`, of a matrix near K + ridge I.
        y: `(n, outputs)` float64.
        tolerance: Stop at this largest |residual| / |y| over the outputs.
        limit: Maximum number of iterations. After the tenth it also stops when the
            last five have not halved the residual.
        report: Function of (iteration, largest relative residual).

    Returns:
        `(alpha, residuals)`: `(n, outputs)` float64, and the largest relative
        residual after every iteration. The first iteration alone is the float32
        solve, with an optimal step length.
    """
    alpha, residual, residuals = np.zeros_like(y), y.copy(), []
    scale = np.linalg.norm(y, axis=0)
    scale[scale == 0] = 1  # a class without examples: its solution is 0
    direction, before = None, None
    for iteration in range(1, limit + 1):
        length = np.linalg.norm(residual, axis=0)
        length[length == 0] = 1
        # float32 has the exponents for small residuals, but not for their products.
        steepest = solve(columns, residual / length) * length
        product = np.einsum("ij,ij->j", residual, steepest)
        if direction is None:
            direction = steepest
        else:
            direction = steepest + direction * _ratio(product, before)
        before = product
        image = multiply(gram, ridge, direction)
        step = _ratio(product, np.einsum("ij,ij->j", direction, image))
        alpha += step * direction
        residual -= step * image
        worst = float((np.linalg.norm(residual, axis=0) / scale).max())
        residuals.append(worst)
        if report:
            report(iteration, worst)
        stuck = iteration > 10 and min(residuals[-5:]) > min(residuals[:-5]) / 2
        if not worst > tolerance or stuck:
            break
    return alpha, residuals


def _ratio(a, b):
    """a / b of columns, 0 where b is: those are solved."""
    return np.divide(a, b, out=np.zeros_like(a), where=b != 0)


def eigenvalue_range(columns, steps=10):
    """Estimates the largest and the smallest eigenvalue of L L^T by power iteration.

    Returns:
        `(largest, smallest)`: Rayleigh quotients, a lower bound of the largest and an
        upper bound of the smallest. As eigenvalues of the factored matrix, they are
        accurate to about 1e-7 of the largest.
    """
    size = columns[0].shape[0]
    start = np.random.default_rng(0).standard_normal((size, 1)).astype(np.float32)
    largest = _power(lambda v: _apply(columns, v), start, steps)
    return largest, 1 / _power(lambda v: solve(columns, v), start, steps)


def _power(function, v, steps):
    for _ in range(steps):
        v = v / np.linalg.norm(v)
        image = function(v)
        value, v = float((v * image).sum()), image
    return value


def _apply(columns, v):
    """L (L^T v) in float32."""
    inner = [
        np.asarray(ops.transpose(ops.matmul(_tensor(v[b.start :].T), column)))
        for b, column in zip(kernels.blocks(len(v)), columns, strict=True)
    ]
    result = np.zeros_like(v)
    for b, column, part in zip(kernels.blocks(len(v)), columns, inner, strict=True):
        result[b.start :] += np.asarray(ops.matmul(column, _tensor(part)))
    return result


def factor_bytes(size):
    """Bytes that `factor` needs: all block columns, and five for the work."""
    return 4 * (size * (size + kernels.BLOCK) / 2 + 5 * size * min(size, kernels.BLOCK))


def _tensor(array):
    return ops.convert_to_tensor(np.ascontiguousarray(array))


def _length(b):
    return b.stop - b.start

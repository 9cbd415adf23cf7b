"""Kernel matrices that are never whole: blocks of K, computed when asked for.

The arithmetic is `keras.ops`: the gemm behind it is about twice NumPy's (see
benchmarks/README.md).
"""

import math

import keras
import numpy as np
from keras import ops

BLOCK = 2048  # columns of a block: large enough for gemm, 16 MB squared in float32


class Gaussian:
    """The matrix K_ij = exp(-gamma |x_i - x_j|^2), computed block by block.

    Args:
        points: `(n, d)` float32.
        gamma: Positive float, the bandwidth, in 1 / unit of `points` squared.
    """

    def __init__(self, points, gamma):
        self.gamma, self.size = gamma, len(points)
        # Distances do not change, and smaller squares cancel less.
        self.centre = points.mean(0, dtype=np.float64)
        self._points = {d: self._prepared(points, d) for d in ("float32", "float64")}

    def block(self, rows, columns, dtype):
        """Returns K[rows, columns].

        Args:
            rows: Slice.
            columns: Slice.
            dtype: `float32`, or `float64` for a hundred millionth of the error at
                several times the cost.
        """
        x, squares = self._points[dtype]
        return _gaussian(x[rows], squares[rows], x[columns], squares[columns], dtype)

    def predict(self, points, alpha):
        """Returns K(points, x) alpha, float64.

        Args:
            points: `(m, d)` float32.
            alpha: `(n, outputs)` float64.
        """
        x, squares = self._points["float64"]
        result = np.zeros((len(points), alpha.shape[1]))
        for rows in blocks(len(points)):
            new = self._prepared(points[rows], "float64")
            for columns in blocks(self.size):
                part = _gaussian(*new, x[columns], squares[columns], "float64")
                result[rows] += np.asarray(part) @ alpha[columns]
        return result

    def _prepared(self, points, dtype):
        """Centred points and their squares, both times gamma, as the library's own."""
        x = (points - self.centre) * math.sqrt(self.gamma)
        squares = np.einsum("ij,ij->i", x, x)
        if _library(dtype) is np:
            return x, squares
        return tuple(ops.convert_to_tensor(a.astype(dtype)) for a in (x, squares))


class Accumulated:
    """The matrix scale F F^T + offset of features that arrive in parts, not kept.

    Products are float32 and their sum float64, of which the lower triangle is kept:
    4 n (n + `BLOCK`) bytes.

    Args:
        size: Number of training points n.
        num_test: Number of points predicted for.

    Attributes:
        scale, offset: Floats that may be changed after every `add`. The offset is
            the square of a constant feature: without one, features of mean 0 fit no
            targets of another mean.
    """

    def __init__(self, size, num_test):
        self.size, self.scale, self.offset = size, 1.0, 0.0
        self._columns = [
            np.zeros((size - b.start, b.stop - b.start)) for b in blocks(size)
        ]
        self._cross = np.zeros((num_test, size), np.float32)

    def add(self, train, test):
        """Adds the products of some more features.

        Args:
            train: `(n, features)` float32.
            test: `(num_test, features)` float32.
        """
        train, test = map(ops.convert_to_tensor, (train, test))
        for here, column in zip(blocks(self.size), self._columns, strict=True):
            right = ops.transpose(train[here])
            column += np.asarray(ops.matmul(train[here.start :], right))
            self._cross[:, here] += np.asarray(ops.matmul(test, right))

    def block(self, rows, columns, dtype):
        """Returns K[rows, columns], of a block column's rows at or below the diagonal.

        Args:
            rows: Slice with `rows.start >= columns.start`.
            columns: One of `blocks(size)`.
            dtype: `float32` or `float64`.
        """
        stored = self._columns[columns.start // BLOCK]
        part = stored[rows.start - columns.start : rows.stop - columns.start]
        part = (self.scale * part + self.offset).astype(dtype)
        return ops.convert_to_tensor(part) if dtype == "float32" else part

    def predict(self, alpha):
        """Returns K(test, train) alpha, float64 `(num_test, outputs)`."""
        result = np.zeros((len(self._cross), alpha.shape[1]))
        for b in blocks(self.size):
            result += self._cross[:, b].astype(np.float64) @ alpha[b]
        return self.scale * result + self.offset * alpha.sum(0)


def blocks(size):
    """Returns the slices of `BLOCK`, the last one smaller, that cover `size`."""
    return [slice(i, min(i + BLOCK, size)) for i in range(0, size, BLOCK)]


def _gaussian(x, x_squares, y, y_squares, dtype):
    """exp of -|x_i - y_j|^2, all with the bandwidth in them."""
    library = _library(dtype)
    product = library.matmul(x, library.transpose(y))
    exponent = 2 * product - x_squares[:, None] - y_squares[None, :]
    return library.exp(library.minimum(exponent, 0))


def _library(dtype):
    # JAX would quietly make float32 of float64.
    exact = dtype == "float32" or keras.backend.backend() == "tensorflow"
    return ops if exact else np

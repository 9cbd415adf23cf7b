"""Norm and errors at N = n, of a solver that leaves small singular values out.

  python benchmarks/cutoff.py --size 1000     # a minute
  python benchmarks/cutoff.py                 # what cutoff.csv has: 10,000 digits

As many random Fourier features as images, the first draw of `min_norm.py --features
fourier`: the exact solution, the pseudo-inverse with singular values left out below
several multiples of the largest, and a solution whose Gram matrix is float32. The
published norm is reached by one more cut-off, which is searched for. Writes
benchmarks/cutoff.csv, or a CSV named by --to.
"""

import argparse
import csv
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np  # noqa: E402
import scipy.linalg  # noqa: E402

from common import datasets  # noqa: E402
from common.experiments.min_norm import MNIST_BANDWIDTH  # noqa: E402
from common.theory import features, random_features  # noqa: E402

PUBLISHED = 445.0  # the norm at N = n, as read from the figure of Belkin et al. (2019)


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=10_000)
    parser.add_argument("--to", type=Path, default=Path(__file__).with_suffix(".csv"))
    args = parser.parse_args(argv)
    n, data = args.size, datasets.named("mnist", args.size)
    x, test = (
        features.unit(images).astype(np.float64)
        for images in (data.x_train, data.x_test)
    )
    draw = random_features.Draw("fourier", x.shape[1], MNIST_BANDWIDTH, 0, 0)
    f, f_test = (
        np.concatenate([draw.block(a, i) for i in random_features.blocks([n])], 1)
        for a in (x, test)
    )
    f, f_test = f[:, :n], f_test[:, :n]
    y, scale = np.eye(data.num_classes)[data.y_train], draw.scale(n)
    rows = []

    def add(solver, cutoff, kept, alpha):
        weights = f.T @ alpha
        found = {
            "size": n,
            "solver": solver,
            "cutoff": cutoff,
            "kept": kept,
            "norm": float(scale * np.linalg.norm(weights)),
            "test_error": float(np.mean((f_test @ weights).argmax(1) != data.y_test)),
            "train_error": float(np.mean((f @ weights).argmax(1) != data.y_train)),
        }
        print(found, flush=True)
        rows.append(found)

    rough = f.astype(np.float32)
    add("float32 Gram matrix", "", n, np.linalg.solve(rough @ rough.T, np.float32(y)))
    del rough
    squares, vectors = decomposition(f)
    parts = vectors.T @ y
    for name, cutoff in cutoffs(n, squares, parts, scale):
        add(name, cutoff, *solution(squares, vectors, parts, cutoff))
    with args.to.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def decomposition(f):
    """Returns squared singular values, the largest first, and left singular vectors.

    By the Gram matrix: those below 1e-8 of the largest have errors of their size.
    """
    squares, vectors = scipy.linalg.eigh(
        f @ f.T, overwrite_a=True, driver="evd", check_finite=False
    )
    return squares[::-1], vectors[:, ::-1]


def solution(squares, vectors, parts, cutoff):
    """Returns `(kept, alpha)`: weights f.T @ alpha of the truncated pseudo-inverse."""
    kept = int((squares > cutoff**2 * squares[0]).sum())
    return kept, vectors[:, :kept] @ (parts[:kept] / squares[:kept, None])


def cutoffs(n, squares, parts, scale):
    """Yields names and cut-offs, relative to the largest singular value.

    Args:
        n: Images, and features.
        squares: `(n,)` squared singular values of the features, the largest first.
        parts: `(n, outputs)`: the labels in terms of the left vectors.
        scale: Of `Draw`.
    """
    yield "none", 0.0
    norms = scale * np.sqrt(np.cumsum((parts**2).sum(1) / squares))
    last = min(int((norms <= PUBLISHED).sum()), n - 1)
    yield "published norm", float(np.sqrt(squares[last] / squares[0]))
    yield "numpy.linalg.pinv of the Gram matrix", 1e-15**0.5
    for dtype in ("float64", "float32"):
        rounding = float(np.finfo(dtype).eps)
        yield f"scipy.linalg.lstsq in {dtype}", rounding
        yield f"numpy.linalg.lstsq in {dtype}", n * rounding
    for cutoff in (1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4):
        yield f"{cutoff:g}", cutoff


if __name__ == "__main__":
    main()

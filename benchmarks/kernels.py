"""What solves K alpha = Y: gemm, Cholesky and refinement, contender after contender.

  python benchmarks/kernels.py --size 10000 --rounds 3

Real MNIST, Gaussian kernel 0.02. The products are of the factor's own shape; Cholesky
is ours (keras.ops, half of K) and SciPy's (all of K), both in float32; then the
residual after every product with K in float64, of plain refinement and of conjugate
gradients.
"""

import argparse
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
import scipy.linalg  # noqa: E402

from common import datasets  # noqa: E402
from common.engine import backend  # noqa: E402
from common.theory import cholesky, features, kernels  # noqa: E402


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args(argv)
    print(backend.device(), backend.environment()["versions"])
    products(args.rounds)
    data = datasets.named("mnist", args.size)
    gram = kernels.Gaussian(features.unit(data.x_train), 0.02)
    columns = factors(gram, args.rounds)
    refinement(gram, columns, np.eye(10)[data.y_train])


def products(rounds):
    """Prints the rates of a product of the factor's shape."""
    rng = np.random.default_rng(0)
    for dtype in ("float32", "float64"):
        a = rng.standard_normal((8192, 2048)).astype(dtype)
        b = rng.standard_normal((2048, 2048)).astype(dtype)
        pair = [keras.ops.convert_to_tensor(x) for x in (a, b)]
        contenders = {
            "numpy": lambda a=a, b=b: a @ b,
            "keras.ops": lambda p=pair: np.asarray(keras.ops.matmul(*p)[0, 0]),
        }
        times = turns(contenders, rounds)
        for name, seconds in times.items():
            rate = 2 * 8192 * 2048**2 / np.median(seconds) / 1e9
            print(f"gemm {dtype} {name}: {rate:.0f} Gflop/s")
        print(f"  ratio {ratio(times, 'numpy', 'keras.ops'):.2f}")


def factors(gram, rounds):
    """Prints the times of the factors, the matrix included; returns ours."""
    kept = []

    def ours():
        kept[:] = [cholesky.factor(gram)]
        np.asarray(kept[0][-1])

    def scipys():
        whole = np.empty((gram.size, gram.size), np.float32, order="F")
        for b in kernels.blocks(gram.size):
            below = slice(b.start, gram.size)
            whole[below, b] = np.asarray(gram.block(below, b, "float32"))
        scipy.linalg.cholesky(whole, lower=True, overwrite_a=True, check_finite=False)

    times = turns({"ours": ours, "scipy": scipys}, rounds)
    for name, seconds in times.items():
        print(f"factor, n = {gram.size}, {name}: {np.median(seconds):.1f} s")
    print(f"  ratio {ratio(times, 'scipy', 'ours'):.2f}")
    return kept[0]


def refinement(gram, columns, y):
    """Prints the residual after every product with K in float64, of both."""
    _, residuals = cholesky.conjugate_gradients(gram, 0.0, columns, y, 1e-12)
    print("conjugate gradients:", *(f"{r:.1e}" for r in residuals))
    alpha, plain = np.zeros_like(y), []
    residual = y
    for _ in residuals:
        length = np.linalg.norm(residual, axis=0)
        alpha = alpha + cholesky.solve(columns, residual / length) * length
        residual = y - cholesky.multiply(gram, 0.0, alpha)
        plain.append(
            (np.linalg.norm(residual, axis=0) / np.linalg.norm(y, axis=0)).max()
        )
    print("plain refinement:   ", *(f"{r:.1e}" for r in plain))


def turns(contenders, rounds):
    """Times the contenders in turn; returns name -> seconds, one a round."""
    times = {name: [] for name in contenders}
    for _ in range(rounds + 1):
        for name, function in contenders.items():
            clock = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - clock)
    return {name: seconds[1:] for name, seconds in times.items()}  # the first warms up


def ratio(times, slow, fast):
    """The median over rounds of how many times faster `fast` is."""
    return np.median(np.divide(times[slow], times[fast]))


if __name__ == "__main__":
    main()

"""The replica loop of mnist_l2norm.py against plain `model.fit`, interleaved.

  python benchmarks/replicas.py                         # all sizes; about 3 minutes
  python benchmarks/replicas.py --sizes 128 --rounds 3  # a quick look

A turn of ours trains all replicas for some epochs, criteria evaluated after each, as
the script does (orders made anew, no compilation); then one replica is trained by
`fit` on the same arrays, and by `fit` that evaluates its training set after every
epoch, without which nobody knows when to stop. Turns alternate in one process. Ratios
are per replica and epoch, round by round.

With results/mnist_l2norm.csv there, the whole experiment is compared too: measured
seconds of our training, compilation included, against `fit`'s time per epoch at each
size times the epochs that the replicas took. That product is EXTRAPOLATED: nobody
runs `fit` for so long.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

from common import records  # noqa: E402
from common.engine import replicas  # noqa: E402
from common.models.mlp import mlp  # noqa: E402

FIT_EPOCHS = 20  # a turn of `fit`


def contenders(size, count):
    """Returns {name: function that trains one turn and returns ms a replica-epoch}."""
    rng, seeds = np.random.default_rng(0), np.arange(count)
    x = rng.standard_normal((size, 784), dtype=np.float32)
    y = rng.integers(0, 10, size)
    models = [mlp((28, 28, 1), 10, (64, 64)) for _ in seeds]
    weights = [
        np.stack(w) for w in zip(*(m.get_weights() for m in models), strict=True)
    ]
    many = np.repeat(x[None], count, 0), np.repeat(y[None], count, 0)
    loop = replicas._Loop(weights, *many, "adam", 128, 0.0)
    epochs, nobody = replicas.CHUNK // size, np.zeros(count, bool)

    def ours():
        start = time.perf_counter()
        rows = loop.rows(seeds, range(epochs))
        done, *_ = loop.run(rows, 0, epochs, nobody, nobody)
        assert done == epochs  # noqa: S101
        return 1000 * (time.perf_counter() - start) / epochs / count

    images = x.reshape(size, 28, 28, 1)

    def fit(**more):
        model = mlp((28, 28, 1), 10, (64, 64))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, metrics=["accuracy"])

        def turn(epochs=FIT_EPOCHS):
            start = time.perf_counter()
            model.fit(images, y, batch_size=128, epochs=epochs, verbose=0, **more)
            return 1000 * (time.perf_counter() - start) / epochs

        return turn

    return {
        "replica loop": ours,
        "fit": fit(),
        "fit, evaluated": fit(validation_data=(images, y), validation_batch_size=size),
    }


def measure(size, count, rounds):
    """Returns {name: [ms a replica-epoch, ...]}, taken in turns."""
    turns = contenders(size, count)
    for turn in turns.values():
        turn()  # traces and compiles
    times = {name: [] for name in turns}
    for _ in range(rounds):
        for name, turn in turns.items():
            times[name].append(turn())
    return times


def whole(path, milliseconds):
    """Prints the experiment's measured seconds and `fit`'s extrapolated ones."""
    table, record = pd.read_csv(path), records.read(path.with_suffix(".json"))
    epochs = table[table.stop == "loss"].groupby("size").epochs.sum()
    missing = sorted(set(epochs.index) - set(milliseconds))
    if missing:
        return print(f"Whole experiment: sizes {missing} were not measured; left out.")
    seconds = [part["training"] for part in record["seconds"].values()]
    ours = sum(seconds)
    print(f"\n{path.name}: {epochs.sum():,} replica-epochs trained in {ours:.0f} s.")
    for name in ("fit", "fit, evaluated"):
        theirs = sum(epochs[n] * milliseconds[n][name] for n in epochs.index) / 1000
        print(f"{name}: {theirs:,.0f} s EXTRAPOLATED, {theirs / ours:.0f} times ours")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    flag = parser.add_argument
    flag("--sizes", type=int, nargs="+", default=[128, 256, 512, 1024])
    flag("--replicas", type=int, default=20, help="trained at once (default: 20)")
    flag("--rounds", type=int, default=5, help="turns of each (default: 5)")
    flag("--csv", type=Path, default=ROOT / "results/mnist_l2norm.csv")
    arguments = parser.parse_args()
    print(f"{'n':>5} {'':14} {'ms/replica-epoch':>16} {'min-max':>15}  ratio to ours")
    middle = {}
    for size in arguments.sizes:
        times = measure(size, arguments.replicas, arguments.rounds)
        middle[size] = {name: statistics.median(t) for name, t in times.items()}
        for name, values in times.items():
            pairs = zip(values, times["replica loop"], strict=True)
            ratio = statistics.median(a / b for a, b in pairs)
            spread = f"{min(values):.2f}-{max(values):.2f}"
            print(
                f"{size:5} {name:14} {middle[size][name]:16.2f} {spread:>15}  "
                f"{ratio:.1f}",
                flush=True,
            )
    if arguments.csv.exists():
        whole(arguments.csv, middle)
    else:
        print(f"Whole experiment: {arguments.csv} is not there; run mnist_l2norm.py.")


if __name__ == "__main__":
    main()

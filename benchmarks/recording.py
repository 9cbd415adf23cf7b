"""What --record-examples costs an epoch of CIFAR-10, beside measuring all of it.

  python benchmarks/recording.py [--epochs 16]

Milliseconds an epoch of 50,000 examples and ten classes: the quantities from logits,
the epoch's own file (on the disk before the checkpoint is), and its part of
NAME_examples.h5 at the end. Logits are random, which compress worst.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

EXAMPLES, CLASSES = 50_000, 10


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=16)
    args = parser.parse_args()

    import numpy as np

    from common import records
    from common.engine.recorder import Recorder

    rng = np.random.default_rng(0)
    true, given = rng.integers(CLASSES, size=(2, EXAMPLES))
    feed = SimpleNamespace(y_train=given, y_train_true=true, index=np.arange(EXAMPLES))
    feed.num_classes = CLASSES
    taken = {"quantities": [], "its own file": []}
    with tempfile.TemporaryDirectory() as folder:
        paths = records.paths("recording", folder, folder)
        paths.recorded.parent.mkdir(parents=True)
        recorder = Recorder(feed, paths, "recording")
        for epoch in range(args.epochs):
            logits = 3 * rng.standard_normal((EXAMPLES, CLASSES))
            for what, values in taken.items():
                began = time.perf_counter()
                if what == "quantities":
                    recorder.observe(logits)
                else:
                    recorder.on_epoch_end(epoch)
                values.append(1000 * (time.perf_counter() - began))
        began = time.perf_counter()
        size = recorder.finish()["bytes"]
        last = 1000 * (time.perf_counter() - began) / args.epochs
    for what, values in taken.items():
        print(f"{what:14}{statistics.median(values):8.0f} ms")
    print(f"{'in the end':14}{last:8.0f} ms")
    print(f"{size / args.epochs / EXAMPLES:.1f} bytes an example and epoch")


if __name__ == "__main__":
    main()

"""What measuring after each epoch costs, as a share of a training on CIFAR-10.

  python benchmarks/measuring.py [--networks mlp alexnet] [--rounds 3]

Seconds an image takes to train on (batch 128, as `fit` does) and to be measured (as
`evaluation` does), in turn, of random images; the shares are those of 50,000 training
and 10,000 test images: after every epoch all of both, or the test set and the sample.
The epochs in which 99 % may be reached, and the last, measure more than the sample.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

TRAIN, TEST, BATCH = 50_000, 10_000, 128


def builders():
    """Returns name -> function that builds the network of a script."""
    from common.models.alexnet import small_alexnet
    from common.models.inception import small_inception
    from common.models.mlp import mlp
    from common.models.wide_resnet import wide_resnet

    shape = (28, 28, 3), 10
    return {
        "mlp": lambda: mlp(*shape, (512,)),
        "mlp3": lambda: mlp(*shape, (512, 512, 512)),
        "alexnet": lambda: small_alexnet(*shape),
        "inception": lambda: small_inception(*shape),
        "wide_resnet": lambda: wide_resnet(*shape, 28, 1),
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", help="(default: all)")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()

    import keras
    import numpy as np

    from common.engine import backend
    from common.engine.evaluation import sample_size

    precision = backend.precision_in_force("auto")
    if precision != "float32":
        keras.config.set_dtype_policy(f"mixed_{precision}")
    print(f"{backend.device()}, {precision}, {backend.environment()['versions']}")
    print(f"{'network':12}{'trains':>10}{'measures':>10}{'all':>8}{'sample':>8}")
    rng = np.random.default_rng(0)
    for name, build in builders().items():
        if args.networks and name not in args.networks:
            continue
        count = 2_560 if name.startswith("mlp") else 640
        x = rng.standard_normal((count, 28, 28, 3)).astype("float32")
        y = rng.integers(0, 10, count)
        model = build()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.01, 0.9), loss, metrics=["accuracy"])

        def trains(model=model, x=x, y=y):
            model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)

        def measures(model=model, x=x):
            for start in range(0, len(x), 500):
                model.predict_on_batch(x[start : start + 500])

        seconds = {trains: [], measures: []}
        for turn in range(args.rounds + 1):
            for what, taken in seconds.items():
                began = time.perf_counter()
                what()
                if turn:  # the first one traces
                    taken.append((time.perf_counter() - began) / count)
        train, measure = map(statistics.median, seconds.values())

        def share(seen, train=train, measure=measure):
            measuring = (TEST + seen) * measure
            return measuring / (TRAIN * train + measuring)

        shares = share(TRAIN), share(sample_size(TRAIN))
        rates = f"{1 / train:10,.0f}{1 / measure:10,.0f}"
        print(f"{name:12}{rates}{shares[0]:8.1%}{shares[1]:8.1%}", flush=True)


if __name__ == "__main__":
    main()

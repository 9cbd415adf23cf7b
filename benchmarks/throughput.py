"""Training throughput against PyTorch: images per second, interleaved in one run.

  python benchmarks/throughput.py                  # AlexNet and MLP 1x512
  python benchmarks/throughput.py --rounds 9       # closer medians

Each contender is a process of its own that trains when its turn comes, so that
a change in the machine's speed meets all of them: A B C A B C ... Ours is the
scripts' path (feed, `fit`, metrics), in the precision that `auto` chooses and in
float32. PyTorch trains the same network (float32, channels_last,
torch.nn.LocalResponseNorm) on whitened arrays held in memory; without PyTorch
(`pip install torch`) ours is measured alone. Batch 128, random images.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

BATCH = 128
BATCHES = {"alexnet": 40, "mlp": 400}  # a turn: seconds
CONTENDERS = ("ours auto", "ours float32", "pytorch float32")


def ours(model_name, precision):
    """Returns a function that trains for one turn as the scripts do."""
    import keras

    from common import hardware, training
    from common.datasets import Data
    from common.models.alexnet import small_alexnet
    from common.models.mlp import mlp
    from common.pipelines import Feed
    from common.regime import Regime

    regime = Regime(precision=precision)
    precision = hardware.precision_in_force(precision)
    if precision != "float32":
        keras.config.set_dtype_policy(f"mixed_{precision}")
    x, y = _images(BATCHES[model_name] * BATCH)
    feed = Feed(Data("random", x, y, x[:100], y[:100], 10, y), BATCH)
    build = {"alexnet": small_alexnet, "mlp": mlp}[model_name]
    model = build(feed.input_shape, 10)
    training.compile_model(model, feed, regime)
    batches = feed.batches()  # once, as a run does

    def turn():
        model.fit(
            batches,
            steps_per_epoch=feed.steps_per_epoch,
            verbose=0,
            shuffle=False,
        )

    return turn


def pytorch(model_name):
    """Returns a function that trains the same network in PyTorch for one turn."""
    import torch
    from torch import nn

    from common.pipelines import prepare

    x, y = _images(BATCHES[model_name] * BATCH)
    x = torch.from_numpy(prepare(x)).permute(0, 3, 1, 2).contiguous()
    y = torch.from_numpy(y).long()
    if model_name == "mlp":
        model = nn.Sequential(
            nn.Flatten(), nn.Linear(2352, 512), nn.ReLU(), nn.Linear(512, 10)
        )
    else:

        def module(channels):
            return (
                nn.Conv2d(channels, 64, 5, padding=2),
                nn.ReLU(),
                nn.MaxPool2d(3, 2, padding=1),
                nn.LocalResponseNorm(9, alpha=0.001, beta=0.75, k=1.0),
            )

        model = nn.Sequential(
            *module(3),
            *module(64),
            nn.Flatten(),
            *(nn.Linear(64 * 7 * 7, 384), nn.ReLU()),
            *(nn.Linear(384, 192), nn.ReLU()),
            nn.Linear(192, 10),
        ).to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    criterion = nn.CrossEntropyLoss()

    def turn():
        for index in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad(set_to_none=True)
            criterion(model(x[index]), y[index]).backward()
            optimizer.step()

    return turn


def _images(count):
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (count, 28, 28, 3), dtype=np.uint8)
    return x, rng.integers(0, 10, count, dtype=np.int32)


def worker(contender, model_name):
    """Trains one turn for every line on stdin; answers images per second."""
    if contender.startswith("ours"):
        turn = ours(model_name, contender.split()[1])
    else:
        turn = pytorch(model_name)
    turn()  # traces, compiles, warms up
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        turn()
        rate = BATCHES[model_name] * BATCH / (time.perf_counter() - start)
        print(rate, flush=True)


def measure(model_name, rounds):
    """Runs the contenders in turn and returns {contender: [images/s, ...]}."""
    processes = {}
    for contender in CONTENDERS:
        process = subprocess.Popen(
            [sys.executable, __file__, "--worker", contender, model_name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        if process.stdout.readline().strip() == "ready":
            processes[contender] = process
        else:
            print(f"{model_name}: {contender} is not available here; left out.")
    rates = {contender: [] for contender in processes}
    for _ in range(rounds):
        for contender, process in processes.items():
            print("go", file=process.stdin, flush=True)
            rates[contender].append(float(process.stdout.readline()))
    for process in processes.values():
        process.stdin.close()
        process.wait()
    return rates


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, help="turns of each")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return worker(*arguments.worker)
    print(f"{'network':8} {'contender':16} {'images/s':>9} {'min-max':>15}  ratio")
    for model_name in BATCHES:
        rates = measure(model_name, arguments.rounds)
        for contender, values in rates.items():
            ratio = ""
            if base := rates.get("pytorch float32"):
                # Round by round: neighbours in time met the same machine.
                pairs = [a / b for a, b in zip(values, base, strict=True)]
                ratio = f"{statistics.median(pairs):.2f}"
            print(
                f"{model_name:8} {contender:16} {statistics.median(values):9,.0f} "
                f"{min(values):7,.0f}-{max(values):,.0f}  {ratio}"
            )


if __name__ == "__main__":
    main()

"""Training throughput against PyTorch: images per second, interleaved in one run.

  python benchmarks/throughput.py                  # AlexNet, Inception, MLP 1x512
  python benchmarks/throughput.py --rounds 9       # closer medians

Each contender is a process of its own that trains when its turn comes, so that
a change in the machine's speed meets all of them: A B C A B C ... Ours is the
scripts' path (feed, `fit`, metrics), in the precision that `auto` chooses and in
float32. PyTorch trains the same network (float32, channels_last,
torch.nn.LocalResponseNorm) on whitened arrays held in memory; without PyTorch
(`pip install torch`) ours is measured alone. Inception also trains with Keras's own
BatchNormalization in place of ours. Batch 128, random images.
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
BATCHES = {"alexnet": 40, "inception": 10, "mlp": 400}  # a turn: seconds
CONTENDERS = ("ours auto", "ours float32", "pytorch float32")
UNFUSED = "ours auto, Keras's BatchNorm"  # of Inception alone


def ours(model_name, precision, fused=True):
    """Returns a function that trains for one turn as the scripts do."""
    import keras

    from common import training
    from common.datasets import Data
    from common.engine import backend
    from common.models import inception
    from common.models.alexnet import small_alexnet
    from common.models.mlp import mlp
    from common.pipelines import Feed
    from common.regime import Regime

    regime = Regime(precision=precision, batch_size=BATCH)
    precision = backend.precision_in_force(precision)
    if precision != "float32":
        keras.config.set_dtype_policy(f"mixed_{precision}")
    x, y = _images(BATCHES[model_name] * BATCH)
    feed = Feed(Data("random", x, y, x[:100], y[:100], 10, y), regime)
    if not fused:
        inception.FusedBatchNormalization = keras.layers.BatchNormalization
    build = {"alexnet": small_alexnet, "inception": inception.small_inception}
    model = build.get(model_name, mlp)(feed.input_shape, 10)
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
    elif model_name == "inception":
        model = _pytorch_inception()
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
        )
    if model_name != "mlp":
        model = model.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    criterion = nn.CrossEntropyLoss()

    def turn():
        for index in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad(set_to_none=True)
            criterion(model(x[index]), y[index]).backward()
            optimizer.step()

    return turn


def _pytorch_inception():
    import torch
    from torch import nn

    def module(channels, filters, size, stride=1):
        return nn.Sequential(
            nn.Conv2d(channels, filters, size, stride, size // 2, bias=False),
            nn.BatchNorm2d(filters),
            nn.ReLU(),
        )

    class Branches(nn.ModuleList):
        def forward(self, x):
            return torch.cat([branch(x) for branch in self], 1)

    stack, channels = [module(3, 96, 3)], 96
    for filters in (
        *((32, 32), (32, 48), 80),
        *((112, 48), (96, 64), (80, 80), (48, 96), 96),
        *((176, 160), (176, 160)),
    ):
        if isinstance(filters, tuple):
            branches = [
                module(channels, n, k) for n, k in zip(filters, (1, 3), strict=True)
            ]
            channels = sum(filters)
        else:
            branches = [module(channels, filters, 3, 2), nn.MaxPool2d(3, 2, 1)]
            channels += filters
        stack.append(Branches(branches))
    return nn.Sequential(
        *stack, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)
    )


def _images(count):
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (count, 28, 28, 3), dtype=np.uint8)
    return x, rng.integers(0, 10, count, dtype=np.int32)


def worker(contender, model_name):
    """Trains a turn for every line on stdin; answers images/s, by wall and CPU."""
    if contender.startswith("ours"):
        precision = "float32" if "float32" in contender else "auto"
        turn = ours(model_name, precision, fused=contender != UNFUSED)
    else:
        turn = pytorch(model_name)
    turn()  # traces, compiles, warms up
    print("ready", flush=True)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        turn()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        count = BATCHES[model_name] * BATCH
        print(count / wall, count / cpu, flush=True)


def measure(model_name, rounds):
    """Runs the contenders in turn; returns {contender: [its rates of a turn, ...]}."""
    processes = {}
    for contender in (*CONTENDERS, *[UNFUSED] * (model_name == "inception")):
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
            line = process.stdout.readline().split()
            rates[contender].append([float(word) for word in line])
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
    parser.add_argument("--network", choices=BATCHES, help="one (default: all)")
    arguments = parser.parse_args()
    if arguments.worker:
        return worker(*arguments.worker)
    print(
        f"{'network':9} {'contender':28} {'images/s':>9} {'min-max':>15} {'ratio':>6}"
        f"{'per CPU s':>11} {'ratio':>6}"
    )
    for model_name in [arguments.network] if arguments.network else BATCHES:
        rates = measure(model_name, arguments.rounds)
        base = rates.get("pytorch float32")
        for contender, turns in rates.items():
            (wall, wall_ratio), (cpu, cpu_ratio) = (
                _summary(turns, base, kind) for kind in (0, 1)
            )
            print(
                f"{model_name:9} {contender:28} {statistics.median(wall):9,.0f} "
                f"{min(wall):7,.0f}-{max(wall):<7,.0f} {wall_ratio:>6}"
                f"{statistics.median(cpu):11,.0f} {cpu_ratio:>6}"
            )


def _summary(turns, base, kind):
    """The rates of wall (0) or CPU time (1), and the median ratio to the base's."""
    rates = [turn[kind] for turn in turns]
    if not base:
        return rates, ""
    # Round by round: neighbours in time met the same machine.
    pairs = [rate / other[kind] for rate, other in zip(rates, base, strict=True)]
    return rates, f"{statistics.median(pairs):.2f}"


if __name__ == "__main__":
    main()

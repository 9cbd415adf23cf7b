"""This project against what one would use instead: speed, measured in turns.

  python benchmarks/bench.py                  # all lines; an hour on a slow machine
  python benchmarks/bench.py --quick          # short turns, three rounds
  python benchmarks/bench.py --only mlp_1x512 hessian_mlp --rounds 9

Every contender is a process of its own that works when its turn comes, A B C A B C,
so that a change in the machine's speed meets all of them. Tracing and compiling come
before the first turn. What counts is the median over rounds of the ratio within a
round, by seconds of CPU (with the processes a contender starts), and beside it by wall
time. Training runs on real CIFAR-10 and IMDB through each contender's own pipeline, on
one core. The peers are in benchmarks/peers/, written as people write them.

Writes benchmarks/results.csv and results.svg, and says for each aim of
benchmarks/aims.csv whether it is met. Refuses where other processes load the machine;
--loaded measures all the same, and the table says so. PyTorch is measured where it is
installed: requirements-bench.txt.
"""

import argparse
import contextlib
import importlib
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from common import cli, datasets, reviews  # noqa: E402
from common.cli import MendableError  # noqa: E402
from common.engine import machine  # noqa: E402
from common.regime import DEFAULTS  # noqa: E402

QUIET = 0.1  # cores that others may use while we measure


class Contender(NamedTuple):
    """What takes turns: `processes` workers at once, each on so many cores."""

    name: str
    module: str  # ours, or in peers/; its `contender` returns {kind: turn}
    variant: str
    cores: int = 1
    processes: int = 1
    environment: dict = {}


class Line(NamedTuple):
    """What is compared: who takes turns, and how many examples one trains."""

    contenders: tuple
    examples: int = 0
    unit: str = "images"


BFLOAT16 = bool({"avx512_bf16", "amx_bf16"} & set(machine.cpuinfo("flags").split()))
NATIVE = Contender("PyTorch bfloat16", "peers.pytorch", "bfloat16")
TRAINING = (
    Contender("ours", "ours", "auto"),
    *([Contender("ours float32", "ours", "float32")] if BFLOAT16 else []),
    Contender("Keras", "peers.plain_keras", "float32"),
    Contender("PyTorch", "peers.pytorch", "float32"),
    *([NATIVE] if BFLOAT16 else []),
    Contender("PyTorch compiled", "peers.pytorch", "compiled"),
)
PRODUCTS = (
    Contender("ours", "ours", "auto"),
    Contender("PyTorch rebuilt", "peers.pytorch_hessian", "rebuilt"),
    Contender("PyTorch kept", "peers.pytorch_hessian", "kept"),
)
CORES = len(machine.cores())


def threads(intra, inter):
    """A lone run on all cores with those sizes of TensorFlow's two thread pools."""
    sizes = {
        "TF_NUM_INTRAOP_THREADS": str(intra),
        "TF_NUM_INTEROP_THREADS": str(inter),
    }
    name = f"{intra} within, {inter} beside"
    return Contender(name, "ours", "auto", CORES, 1, sizes)


POOLS = tuple(threads(a, b) for a, b in ((CORES, CORES), (CORES, 1), (1, CORES)))
SWEEP = (
    Contender("side by side", "ours", "auto", 1, 2),
    Contender("one after the other", "ours", "auto", 2),
)
OURS = (Contender("ours", "ours", "auto"),)
FIT = (*OURS, Contender("Keras", "peers.plain_keras", "float32"))
LINES = {
    "peak": Line(OURS, unit="Gflop"),
    "mlp_1x512": Line(TRAINING, 25_600),
    "mlp_3x512": Line(TRAINING, 25_600),
    "alexnet": Line(TRAINING, 1_280),
    "alexnet_crop_flip": Line(TRAINING, 1_280),
    "inception": Line(TRAINING, 256),
    "wide_resnet": Line(TRAINING, 512),
    "text_cnn": Line(TRAINING, 2_560, "reviews"),
    "text_lstm": Line(TRAINING, 1_280, "reviews"),
    "text_transformer": Line(TRAINING, 1_280, "reviews"),
    "sweep": Line(SWEEP, 1_280),
    "threads_alexnet": Line(POOLS, 1_280),
    "threads_mlp_3x512": Line(POOLS, 25_600),
    "l2norm": Line(FIT, unit="network-epochs"),
    "hessian_mlp": Line(PRODUCTS, 2_000, "products"),
    "hessian_alexnet": Line(PRODUCTS, 1_000, "products"),
    "corruption": Line(OURS, 50_000, "times"),
    "front_door": Line(OURS, unit="times"),
}
NETWORK = {"sweep": "alexnet", "threads_alexnet": "alexnet"}
NETWORK |= {"threads_mlp_3x512": "mlp_3x512"}


# A worker: one contender.


def work(line, module, variant, path):
    """Answers every kind of turn named on stdin by its count, wall and CPU seconds."""
    import numpy as np

    with np.load(path) as file:
        data = {name: file[name] for name in file.files}
    if module.startswith("peers.pytorch"):
        import torch

        torch.set_num_threads(len(machine.cores()))
    module = importlib.import_module(module)
    turns = module.contender(line, data, variant)
    for turn in turns.values():
        turn()  # traces, compiles, warms up
    print("ready", json.dumps([list(turns), module.FACTS]), flush=True)
    for word in sys.stdin:
        wall, used = time.perf_counter(), cpu_seconds()
        count = turns[word.strip()]()
        wall, used = time.perf_counter() - wall, cpu_seconds() - used
        print(count, wall, used, flush=True)


def cpu_seconds():
    """CPU seconds of this process and of those it has waited for."""
    both = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


class Workers:
    """The processes of one contender."""

    def __init__(self, contender, line, data):
        cores = machine.cores()[-contender.cores * contender.processes :]
        self.processes, self.log = [], tempfile.TemporaryFile("w+", encoding="utf-8")
        network = NETWORK.get(line, line)
        words = ["--worker", network, contender.module, contender.variant, str(data)]
        for i in range(contender.processes):
            own = cores[i * contender.cores : (i + 1) * contender.cores]
            count = str(len(own))
            environment = {"OMP_NUM_THREADS": count, "TF_NUM_INTRAOP_THREADS": count}
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, __file__, *words],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self.log,
                    text=True,
                    env=os.environ | environment | contender.environment,
                    preexec_fn=lambda own=own: os.sched_setaffinity(0, own),
                )
            )
        self.kinds, self.facts = [self._ready(p) for p in self.processes][0]

    def _ready(self, process):
        for line in process.stdout:
            if line.startswith("ready "):
                return json.loads(line.removeprefix("ready "))
        self.log.seek(0)
        lines = self.log.read().strip().splitlines() or ["it ended without a word"]
        self.close()
        raise RuntimeError(lines[-1][:300])

    def turn(self, kind):
        """(count, wall, CPU seconds, cores that others used) of a turn of all."""
        before, ours, began = busy_seconds(), cpu_seconds(), time.perf_counter()
        for process in self.processes:
            print(kind, file=process.stdin, flush=True)
        answers = [process.stdout.readline().split() for process in self.processes]
        span = time.perf_counter() - began
        counts, walls, used = zip(*[map(float, x) for x in answers], strict=True)
        others = busy_seconds() - before - sum(used) - (cpu_seconds() - ours)
        return sum(counts), max(walls), sum(used), max(0.0, others / span)

    def close(self):
        for process in self.processes:
            process.stdin.close()
            process.wait()


def busy_seconds():
    """CPU seconds that the machine has worked, or was kept from it, since its start."""
    first = Path("/proc/stat").read_text("utf-8").split("\n", 1)[0]
    user, nice, system, _, _, irq, softirq, steal = map(int, first.split()[1:9])
    ticks = user + nice + system + irq + softirq + steal
    return ticks / os.sysconf("SC_CLK_TCK")


# The measurement.


def prepare(folder, lines, quick):
    """Writes the arrays of each line to a file; returns {line: path}."""
    import numpy as np

    loaded, paths = {}, {}
    for line in lines:
        text, examples = line.startswith("text"), LINES[line].examples
        arrays = {"bfloat16": BFLOAT16, "quick": quick}
        if examples:
            if text not in loaded:
                loaded[text] = (
                    reviews.load(DEFAULTS["imdb_text"])
                    if text
                    else datasets.named("cifar10")
                )
            whole = loaded[text]
            if quick and line != "corruption":
                examples = max(128, examples // 4 // 128 * 128)
            # A real order: the reviews of IMDB lie sorted by label.
            order = np.random.default_rng(0).permutation(len(whole.y_train))[:examples]
            tests = order[: max(256, examples // 4)] % len(whole.y_test)
            arrays |= {"x_train": whole.x_train[order], "y_train": whole.y_train[order]}
            arrays |= {"x_test": whole.x_test[tests], "y_test": whole.y_test[tests]}
        paths[line] = folder / f"{line}.npz"
        np.savez(paths[line], **arrays)
    return paths


def measure(line, data, rounds):
    """Runs a line; returns what `standings.Table.add` takes: turns, missing, facts."""
    workers, missing, turns = {}, {}, {}
    with contextlib.ExitStack() as stack:
        for contender in LINES[line].contenders:
            needs = contender.cores * contender.processes
            torch = contender.module.startswith("peers.pytorch")
            if torch and not importlib.util.find_spec("torch"):
                missing[contender.name] = "PyTorch is not installed"
            elif needs > CORES:
                missing[contender.name] = f"it takes {needs} cores"
            else:
                try:
                    workers[contender.name] = Workers(contender, line, data)
                    stack.callback(workers[contender.name].close)
                except RuntimeError as error:
                    missing[contender.name] = str(error)
        for _ in range(rounds):
            for name, worker in workers.items():
                for kind in worker.kinds:
                    turns.setdefault((kind, name), []).append(worker.turn(kind))
    if LINES[line].contenders is TRAINING and not BFLOAT16:
        for name in ("ours bfloat16", "PyTorch bfloat16"):
            missing[name] = "this machine has no bfloat16"
    return turns, missing, {name: worker.facts for name, worker in workers.items()}


def require_quiet(allowed):
    """Returns how many cores others use; refuses where that is too many.

    Raises:
        MendableError: If the machine is loaded and that was not allowed.
    """
    before, began = busy_seconds() - cpu_seconds(), time.perf_counter()
    time.sleep(3)
    others = busy_seconds() - cpu_seconds() - before
    others = max(0.0, others / (time.perf_counter() - began))
    if others > QUIET and not allowed:
        raise MendableError(
            f"other processes use {others:.1f} of {CORES} cores, and what is measured "
            "beside them is no record: end them, or say --loaded."
        )
    return others


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="a quarter of the examples, three rounds")
    add("--rounds", type=int, help="turns of each contender (default: 5)")
    add("--only", nargs="+", choices=LINES, metavar="LINE", help=", ".join(LINES))
    add("--loaded", action="store_true", help="measure beside other processes")
    add("--results", type=Path, default=ROOT / "benchmarks", help="folder to write to")
    add("--worker", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.worker:
        return work(*args.worker)

    import standings  # pandas; a worker needs none

    require_quiet(args.loaded)
    lines = args.only or list(LINES)
    rounds = args.rounds or (3 if args.quick else 5)
    table = standings.Table(args.results, args.quick)
    with tempfile.TemporaryDirectory() as folder:
        paths = prepare(Path(folder), lines, args.quick)
        for line in lines:
            print(f"{line}: {rounds} rounds ...", file=sys.stderr, flush=True)
            table.add(line, LINES[line].unit, *measure(line, paths[line], rounds))
            table.write()  # what is measured is kept
    table.show()
    return None


if __name__ == "__main__":
    cli.run(main)

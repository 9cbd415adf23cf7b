"""Kills, signals, full disks, bad inputs: nothing is lost, and all is one line.

  python tests/faults.py                            # minutes: 300 kills and more
  python tests/faults.py --seed 7 --only min_norm   # one script, other moments
  python tests/faults.py --quick                    # seconds: what the suite runs

Every script is killed at random moments and typed again until it is done; then all its
files have to be those of a run that nobody disturbed, byte for byte, but for times.
Moments: while a file is `written`, just `between` two files, `any`, and the `start`.
"""

import argparse
import concurrent.futures
import contextlib
import csv
import functools
import itertools
import json
import multiprocessing
import os
import random
import re
import resource
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import bad_inputs  # noqa: E402

from common.engine import machine  # noqa: E402

MLP = "cifar10_mlp.py --dataset mnist_5k --train-size 100 --hidden 8 --dropout 0.2 "
MLP += "--epochs 6 --random-labels --quiet"
SMALL = "--dataset synthetic --train-size 32 --batch-size 16 --epochs 3 --quiet"
MIN_NORM = "min_norm.py --dataset mnist_5k --quiet --train-size"
# Name: (kills, command).
SCRIPTS = {
    "mlp": (
        80,
        f"{MLP} --label-corruption 0.5 --record-examples".replace(
            " --random-labels", ""
        ),
    ),
    "early_stopping": (30, f"{MLP} --early-stopping 3 --save-init --keep-checkpoint"),
    "alexnet": (30, f"cifar10_alexnet.py {SMALL} --random-crop"),
    "wide_resnet": (8, f"cifar10_wide_resnet.py {SMALL} --depth 10"),
    "inception": (8, f"cifar10_inception.py {SMALL}"),
    "text": (
        30,
        "imdb_text.py --dataset synthetic_text --train-size 64 --epochs 4 --quiet",
    ),
    "imagenet": (4, "imagenet_inception_v3.py {images} --epochs 2 --quiet"),
    "l2norm": (
        24,
        "mnist_l2norm.py --dataset mnist_5k --size 16 24 32 --seeds 1 "
        "--target-loss 0.3 --quiet",
    ),
    "min_norm": (25, f"{MIN_NORM} 60 --ridge 0 1 2"),
    "filters": (25, f"{MIN_NORM} 60 --features random_conv --filters 30 90 150"),
    "linear": (10, f"{MIN_NORM} 80 --kernel linear --ridge 0 1"),
    "random_features": (10, f"{MIN_NORM} 60 --features fourier"),
    "left_out": (4, f"{MIN_NORM} 60 --leave-one-out"),
    "double_descent": (
        4,
        "double_descent.py --dataset mnist_5k --train-size 40 --widths 1 2 4 "
        "--epochs 12 --quiet",
    ),
    "influence": (
        4,
        "influence.py --dataset mnist_5k --train-size 40 --networks 120 --width 4 "
        "--epochs 12 --quiet",
    ),
    "measures": (
        4,
        "measures.py --dataset mnist_5k --train-size 12 20 --widths 4 --depths 1 "
        "--batch-size 8 --seeds 2 --epochs 12 --quiet",
    ),
    "expressivity": (
        24,
        "expressivity.py --dataset mnist_5k --sizes 12 24 --depths 2 3 --widths 0 2 "
        "--components 3 --draws 2 --restarts 1 --epochs 50 --updates 8 --quiet",
    ),
    "analyze": (8, "analyze.py --examples 64 --quiet"),
    "examples": (8, "examples.py"),
    "report": (12, "report.py"),
}
MOMENTS = ("written", "between", "any", "start")
QUICK = {"mlp": 2}
# What differs between two runs of the same: times, and where the files lie.
TIMES = {"seconds", "images_per_second", "started", "finished", "resumed_at", "argv"}
TIMES |= {"git", "peak_memory_gb"}
LOOKS = ("analyze.py", "examples.py", "report.py")  # at runs that are there
# XLA does not survive a fork, and a report has no Keras: processes from the start.
FRESH = ("mnist_l2norm.py", "expressivity.py", "double_descent.py", "influence.py")
FRESH += ("measures.py", *LOOKS)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    parser.add_argument("--only", default="", help="what has TEXT in its name")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    # A run has as many threads alone as beside others: its last bits depend on them.
    os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1"}
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    print(f"seed {args.seed}", flush=True)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults") as folder:
        try:
            found = list(Faults(Path(folder), args).all())
        except KeyboardInterrupt:
            shutil.rmtree(folder, ignore_errors=True)
            os._exit(130)  # not after what is under way
    counts = {"kills survived": 0, "other faults survived": 0, "inputs refused": 0}
    lost = 0
    for kind, failure in found:
        counts[kind] += not failure
        lost += bool(failure)
    said = ", ".join(f"{what}: {count}" for what, count in counts.items())
    print(f"{said}, lost: {lost} ({time.monotonic() - begun:.0f} s)")
    return bool(lost)


class Failure(Exception):
    """What should not have been."""


class Run:
    """A command under way, in a process of its own."""

    context = multiprocessing.get_context("forkserver")

    def __init__(self, words, log, limit=None, cwd=ROOT, fresh=FRESH):
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("")
        self.forked = words[0] not in fresh and words[0] in FORKED
        if self.forked:  # from a process that has loaded Keras
            self._process = self.context.Process(
                target=_forked, args=(words, str(log), limit, str(cwd)), daemon=True
            )
            self._process.start()
        else:
            with log.open("w") as file:
                self._process = subprocess.Popen(
                    [sys.executable, str(ROOT / words[0]), *words[1:]],
                    cwd=cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    preexec_fn=functools.partial(_begin, limit),
                )
        self.pid = self._process.pid

    def code(self):
        """Its exit code; None while it runs."""
        return self._process.exitcode if self.forked else self._process.poll()

    def send(self, kind):
        # A forked one is not our child, and may be gone since it was asked.
        with contextlib.suppress(ProcessLookupError):
            if self.code() is None:
                os.kill(self.pid, kind)

    def wait(self, seconds=300):
        deadline = time.monotonic() + seconds
        while self.code() is None:
            if time.monotonic() > deadline:
                self.send(signal.SIGKILL)
                raise Failure(f"it hung for {seconds} s; its last words: {self.said()}")
            time.sleep(0.01)
        return self.code()

    def said(self):
        return self.log.read_text(errors="replace")[-3000:].strip()


FORKED = [path.name for path in ROOT.glob("*.py") if path.name != "reproduce.py"]


_die_with_parent = machine.die_with_parent()


def _begin(limit):
    _die_with_parent()
    _limit(limit)


def _limit(limit):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def _forked(words, log, limit, cwd):
    try:
        _run_script(words, log, limit, cwd)
    except KeyboardInterrupt:  # before `cli.run` was there, which answers it
        os._exit(130)


def _run_script(words, log, limit, cwd):
    file = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    _limit(limit)
    os.chdir(cwd)
    sys.argv = [str(ROOT / words[0]), *words[1:]]
    runpy.run_path(sys.argv[0], run_name="__main__")


class Faults:
    """All faults of one seed, in one folder."""

    def __init__(self, folder, args):
        self.folder, self.args = folder, args
        self._wholes, self._locks, self._lock = {}, {}, threading.Lock()
        self.images = "--dataset tiny --image-size 75 --batch-size 8 "
        self.images += f"--precision float32 --data-dir {folder}/images"
        Run.context.set_forkserver_preload(
            "common.training common.pipelines common.resumable pandas".split()
        )

    def all(self):
        """Yields (kind, what went wrong or "")."""
        tasks = [
            (name, kind, check)
            for name, kind, check in self._tasks()
            if self.args.only in name
        ]
        for number, (name, _, _) in enumerate(tasks):
            (self.folder / f"{number}_{name}").mkdir()
        if any("imagenet" in name for name, _, _ in tasks):
            import jpegs

            jpegs.write_folder(self.folder / "images" / "tiny")
        pool = concurrent.futures.ThreadPoolExecutor(self.args.jobs)
        futures = {
            pool.submit(self._one, f"{number}_{name}", check): (name, kind)
            for number, (name, kind, check) in enumerate(tasks)
        }
        ended = concurrent.futures.as_completed(futures)
        for done, future in enumerate(ended, start=1):
            name, kind = futures[future]
            failures, count = future.result()
            print(f"[{done} of {len(tasks)}] {name}: {count}", flush=True)
            yield from ((kind, failure) for failure in failures)

    def _tasks(self):
        quick = self.args.quick
        for name, (kills, command) in SCRIPTS.items():
            if not quick or name in QUICK:
                kills = QUICK[name] if quick else kills
                yield name, "kills survived", self._kills(command, kills)
        for name in ("mlp", "filters"):
            if not quick or name == "mlp":
                command = SCRIPTS[name][1]
                all_faults = two_at_once, stopped, limited, removed, in_the_way
                for fault in [stopped, limited] if quick else all_faults:
                    count = 1 if quick or fault is stopped else 6
                    yield (
                        f"{name}_{fault.__name__}",
                        "other faults survived",
                        self._faults(command, fault, count),
                    )
        if not quick:
            yield "reproduce", "kills survived", sweeps
        count = 3 if quick else 600

        def inputs(folder, rng):
            return refusals(folder, rng.sample(bad_inputs.BAD, count))

        yield "bad_inputs", "inputs refused", inputs

    def _one(self, label, check):
        """(list of what went wrong, "" for what did not; a word on it)."""
        rng = random.Random(f"{self.args.seed} {label.partition('_')[2]}")
        folder, failures = self.folder / label, []
        try:
            for failure in check(folder, rng):
                failures.append(failure)
                if failure:
                    self._tell(label, failure)
        except Exception as error:  # of this driver, or of an undisturbed run
            failures.append(f"{type(error).__name__}: {error}")
            self._tell(label, failures[-1])
        lost = sum(map(bool, failures))
        shutil.rmtree(folder, ignore_errors=True)
        return failures, f"{len(failures) - lost} survived, {lost} lost"

    def _tell(self, label, failure):
        again = f"--seed {self.args.seed} --only {label.partition('_')[2]}"
        quick = " --quick" if self.args.quick else ""
        print(f"LOST {label}: {failure}\n  python tests/faults.py {again}{quick}")

    def _words(self, command, place):
        words = shlex.split(
            command.format(images=self.images, models=f"{place}/m/*.h5")
        )
        if words[0] == "analyze.py":
            models = sorted(str(p) for p in (place / "m").glob("*.h5"))
            words[1:1] = models
        folders = {"--results-dir": place / "r"}
        if words[0] not in LOOKS:
            folders["--models-dir"] = place / "m"
        return [*words, *(str(word) for pair in folders.items() for word in pair)]

    def _prepared(self, command, place):
        """Makes a folder to run in; with runs in it where they are looked at."""
        place.mkdir()
        if command.startswith(LOOKS):
            with self._lock:
                kept = self.folder / "kept"
                if not kept.exists():
                    for flags in (MLP, f"{MLP} --seed 1 --record-examples"):
                        finish(self._words(flags, kept), kept / "log")
            shutil.copytree(kept, place, dirs_exist_ok=True)
        return place

    def _whole(self, command):
        """The folder of an undisturbed run, its seconds, and its writes."""
        with self._lock:
            lock = self._locks.setdefault(command, threading.Lock())
        with lock:
            if command not in self._wholes:
                folder = self.folder / f"whole{len(self._wholes)}_{len(command)}"
                folder.mkdir()
                place = self._prepared(command, folder / "whole")
                begun, seen = time.monotonic(), set()
                run = Run(self._words(command, place), folder / "log")
                while run.code() is None:
                    seen |= parts(place)
                    time.sleep(0.001)
                if run.code():
                    raise Failure(
                        f"undisturbed it ends with {run.code()}: {run.said()}"
                    )
                seconds = time.monotonic() - begun
                self._wholes[command] = place, seconds, max(1, len(seen))
        return self._wholes[command]

    def _kills(self, command, count):
        def check(folder, rng):
            whole, seconds, writes = self._whole(command)
            killed, round_, moment = 0, 0, itertools.cycle(MOMENTS)
            while killed < count:
                place = self._prepared(command, folder / f"round{round_}")
                words, moments = self._words(command, place), []
                for _ in range(min(rng.randint(1, 5), count - killed)):
                    run = Run(words, folder / "log")
                    when = next(moment)
                    wait_for(when, run, place, rng, seconds, writes)
                    kind = rng.choice([signal.SIGKILL] * 4 + [signal.SIGINT])
                    run.send(kind)
                    code = run.wait()
                    words = typed_again(run, code, kind, words)
                    if code == 0:  # it was done before
                        break
                    moments.append(f"{when}/{kind.name}")
                    killed += 1
                finish(words, folder / "log")
                difference = differences(place, whole)
                if difference:
                    yield f"after {moments}: {difference}"
                yield from [""] * (len(moments) - bool(difference))
                shutil.rmtree(place)
                round_ += 1
                print(f"{folder.name}: {killed} of {count} kills", flush=True)

        return check

    def _faults(self, command, fault, count):
        def check(folder, rng):
            whole, seconds, _ = self._whole(command)
            for round_ in range(count):
                place = self._prepared(command, folder / f"round{round_}")
                words = self._words(command, place)
                try:
                    fault(words, place, whole, rng, seconds)
                    finish(words, folder / "log")
                    yield differences(place, whole)
                except Failure as error:
                    yield str(error)
                shutil.rmtree(place, ignore_errors=True)

        return check


# Moments.


def parts(place):
    """Names of the files that are being written."""
    found = set()
    for folder in ("r", "r/figures", "m", "m/.checkpoints"):
        try:
            found |= {x.name for x in os.scandir(place / folder) if ".part." in x.name}
        except OSError:  # not there yet
            pass
    return found


def wait_for(moment, run, place, rng, seconds, writes):
    """Waits for a moment of a run, or for its end."""
    if moment in ("any", "start"):
        last = seconds if moment == "any" else 0.3 * seconds
        deadline = time.monotonic() + rng.uniform(0, last)
        while run.code() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        return
    left, seen = rng.randint(1, writes), frozenset()
    deadline = time.monotonic() + 3 * seconds
    while run.code() is None and time.monotonic() < deadline:
        now = parts(place)
        left -= len((now - seen) if moment == "written" else (seen - now))
        seen = now
        if left <= 0:
            return
        time.sleep(0.0005)


# What has to be so.


def finish(words, log, code=0):
    """Runs a command to its end."""
    run = Run(words, log)
    if run.wait() != code:
        raise Failure(f"it ended with {run.code()}: {run.said()}")
    return run


def typed_again(run, code, kind, words):
    """What to type after a kill; after Ctrl-C what it says, if it says it."""
    expected = (0, -kind) if kind == signal.SIGKILL else (0, 130)
    if code == -signal.SIGINT:  # before Python's handler was there
        return words
    # In a callback of a library that collects garbage Ctrl-C is told and forgotten.
    traced = "Traceback" in run.said() and "Exception ignored in" not in run.said()
    if code not in expected or traced:
        raise Failure(f"{kind.name}: it ended with {code}: {run.said()}")
    if code == 130 and " type: " in run.said():
        python, *rest = shlex.split(run.said().rpartition(" type: ")[2])
        if python != "python" or rest != words:
            raise Failure(f"what it says to type is not what was typed: {rest}")
    return words


def one_line(run, pattern, codes=(1,)):
    """Checks that a run ended with one line that says why."""
    code, said = run.wait(), run.said()
    own = [x for x in said.splitlines() if re.match(r"\w+\.py: ", x)]
    if code not in codes or "Traceback" in said or (code and len(own) != 1):
        raise Failure(f"it ended with {code}, expected {codes} and one line: {said}")
    if code and not re.search(pattern, own[0]):
        raise Failure(f"expected {pattern!r} in: {own[0]}")
    if code and len(own[0]) > 1000:
        raise Failure(f"too long: {own[0]}")


def differences(place, whole):
    """The first difference between the files of two runs but for times, or ""."""
    names = [
        {
            str(path.relative_to(folder))
            for path in folder.rglob("*")
            if path.is_file() and path.suffix not in (".lock", ".log")
            if path.name != "log"
        }
        for folder in (place, whole)
    ]
    if names[0] != names[1]:
        return f"files differ: {sorted(names[0] ^ names[1])}"
    for name in sorted(names[0]):
        one, other = (plain(folder / name, folder) for folder in (place, whole))
        if one != other:
            return f"{name} differs"
    return ""


def plain(path, folder):
    """What a file in a folder says, but for times and the folder."""
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return [
                {key: value for key, value in row.items() if key not in TIMES}
                for row in csv.DictReader(file)
            ]
    if path.suffix == ".json":
        return timeless(json.loads(path.read_text()))
    if path.suffix == ".npz":  # of a checkpoint: times in its words
        import numpy as np

        with np.load(path) as file:
            arrays = {name: file[name].tobytes() for name in file.files}
        return arrays | {"meta": ""}
    content = path.read_bytes()
    for name in (str(folder), os.path.relpath(folder, ROOT)):
        content = content.replace(name.encode(), b"FOLDER")
    if path.suffix in (".html", ".md"):  # a time, and what its column is sorted by
        content = re.sub(rb'(data-v="[\d.]+">)?\b[\d.]+ (s|min|h)\b', b"TIME", content)
    return content


def timeless(value):
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if k not in TIMES}
    return [timeless(x) for x in value] if isinstance(value, list) else value


# Other faults: each leaves a run that has only to be typed again.


def two_at_once(words, place, whole, rng, seconds):
    """The second of two says so, and does not touch the first, whatever its flags."""
    first = Run(words, place / "log")
    while first.code() is None and not list(place.rglob("*.lock")):
        time.sleep(0.005)
    time.sleep(rng.uniform(0, 0.1))
    second = Run([*words, *_over(words)], place / "second" / "log")
    if first.code() is None:
        second.wait()
        if "being run by another" in second.said():
            one_line(second, "being run by another process")
    elif second.wait():
        raise Failure(f"the second alone ended with {second.code()}: {second.said()}")
    shutil.rmtree(place / "second")
    if first.wait():
        raise Failure(f"the first ended with {first.code()}: {first.said()}")


def stopped(words, place, whole, rng, seconds):
    """As the first is stopped (SIGSTOP), the second leaves it alone all the same."""
    first = Run(words, place / "log")
    while first.code() is None and not list(place.rglob("*.lock")):
        time.sleep(0.005)
    first.send(signal.SIGSTOP)
    if first.code() is None:
        second = Run([*words, *_over(words)], place / "second" / "log")
        one_line(second, "being run by another process")
        shutil.rmtree(place / "second")
    first.send(signal.SIGCONT)
    if first.wait():
        raise Failure(f"the first ended with {first.code()}: {first.said()}")


def _over(words):
    trains = not words[0].startswith(("min_norm", "mnist_l2norm", "expressivity"))
    return ["--overwrite", *(["--no-resume"] if trains else [])]


def limited(words, place, whole, rng, seconds):
    """No file may become larger than some of those that it writes: a full disk."""
    sizes = [path.stat().st_size for path in whole.rglob("*") if path.is_file()]
    limit = max(1, int(rng.choice([size for size in sizes if size]) * rng.random()))
    # What it says is a file, too.
    run = Run(words, place / "log", limit=max(limit, 2000))
    one_line(run, "too large|Check the path|space", codes=(0, 1))
    (place / "log").unlink()


def removed(words, place, whole, rng, seconds):
    """A folder is removed in the middle."""
    run = Run(words, place.parent / "log")
    wait_for("written", run, place, rng, seconds, 6)
    shutil.rmtree(place / rng.choice("rm"), ignore_errors=True)
    one_line(run, "No such file|cannot write|Check the path", codes=(0, 1))
    shutil.rmtree(place)  # what was removed is gone; what is left is no run's
    place.mkdir()


def in_the_way(words, place, whole, rng, seconds):
    """A folder cannot be written, or is a file."""
    name = rng.choice("rm")
    (place / name).write_text("")
    one_line(Run(words, place.parent / "log"), "cannot write to|Not a directory|exists")
    (place / name).unlink()
    if os.geteuid():  # root may write everywhere
        for folder in "rm":
            (place / folder).mkdir(exist_ok=True)
        (place / name).chmod(0o555)
        one_line(Run(words, place.parent / "log"), "cannot write to")
        (place / name).chmod(0o755)


def sweeps(folder, rng):
    """reproduce.py is stopped by every signal, and typed again."""
    flags = "--epochs 2 --train-size 50 --hidden 8 --quiet"
    words = ["reproduce.py", "demo", "--only", "pixels", f"--flags={flags}"]
    words += ["--workers", "2"]

    def at(place):
        return [*words, "--results-dir", f"{place}/r", "--models-dir", f"{place}/m"]

    finish(at(folder / "whole"), folder / "log")
    kinds = [signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    for number, kind in enumerate(kinds * 2):
        place = folder / f"round{number}"
        run = Run(at(place), folder / "log")
        time.sleep(rng.uniform(0.5, 15))
        run.send(kind)
        if run.wait(60) not in (0, 130, -kind):
            yield f"{kind.name}: it ended with {run.code()}: {run.said()}"
            continue
        finish(at(place), folder / "log")
        yield differences(place, folder / "whole")


def refusals(folder, rows):
    """Every bad input ends with its exit code and one line; files that are none too."""
    (folder / "empty.h5").touch()
    os.mkfifo(folder / "pipe.h5")
    rows = [
        *rows,
        (["analyze.py", "empty.h5"], 1, "cannot be opened"),
        (["analyze.py", "pipe.h5"], 1, "cannot be opened"),
    ]

    def refused(numbered):
        number, (words, code, pattern) = numbered
        # None computes anything, so that all can be forked.
        run = Run(words, folder / f"log{number}", cwd=folder, fresh=())
        try:
            found = run.wait(120)
        except Failure as error:
            return f"{shlex.join(words)}: {error}"
        said = run.said()
        fine = found == code and "Traceback" not in said and re.search(pattern, said)
        if fine and len(said) < 3000:
            return ""
        return f"{shlex.join(words)}: expected {code} and {pattern!r}: {found}, {said}"

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        yield from pool.map(refused, enumerate(rows))


if __name__ == "__main__":
    sys.exit(main())

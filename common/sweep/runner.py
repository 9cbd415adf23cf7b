"""Many runs, as processes of this machine (imports no Keras).

A run is a command that leaves a record, and continues by itself from its last
checkpoint when it is started again. So a sweep may be killed at any moment: what has
a record is not run again, and what was under way loses its current epoch at most.
"""

import contextlib
import csv
import glob
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from common import records
from common.cli import MendableError
from common.engine import machine
from common.verdicts import duration

ROOT = Path(__file__).resolve().parents[2]
GRACE = 30  # seconds that an interrupted run has to end by itself


class Job(NamedTuple):
    """One run."""

    name: str
    command: tuple  # the script and its flags, but for those of `folders`
    results_dir: Path
    models_dir: Path
    epochs: int | None = None  # at most; None where the CSV has no line an epoch
    seconds: float | None = None  # expected, where something is known
    needs: Path | None = None  # the saved model that it starts from, if it does

    @property
    def paths(self):
        """Its `records.Paths`; the JSON is what tells that it is complete."""
        return records.paths(self.name, self.results_dir, self.models_dir)

    @property
    def done(self):
        """Whether its record is there, and one that can be read."""
        try:
            return bool(records.read(self.paths.json))
        except MendableError:
            return False

    @property
    def log(self):
        """Where everything that it prints goes."""
        return self.results_dir / ".logs" / f"{self.name}.log"

    @property
    def folders(self):
        """The flags that say where its files go; none where it is the default."""
        chosen = {
            "--results-dir": (self.results_dir, "results"),
            "--models-dir": (self.models_dir, "saved_models"),
        }
        pairs = [(k, str(v)) for k, (v, usual) in chosen.items() if v != Path(usual)]
        return tuple(word for pair in pairs for word in pair)


def local(jobs, workers, cores=None):
    """Runs jobs as processes of this machine, its cores and GPUs divided among them.

    Args:
        jobs: List of `Job`.
        workers: Number of processes at a time.
        cores: Numbers of the cores, as a list; None is all that this process may use.

    Returns:
        The jobs that failed, as a list; why is told on stderr as it happens.

    Raises:
        KeyboardInterrupt: After Ctrl-C, when all processes have ended.
    """
    cores = cores or machine.cores()
    slots = [_share(i, workers, cores) for i in range(workers)]
    # Of a run, not of the slot that it comes to: its last bits depend on them.
    threads = max(1, len(cores) // workers)
    waiting, elsewhere, running, failed = list(jobs), [], {}, []
    progress = Progress(jobs, workers)
    try:
        while waiting or elsewhere or running:
            elsewhere = [x for x in elsewhere if not came_back(x, waiting, progress)]
            for slot in range(workers):
                others = [*elsewhere, *(job for job, _ in running.values())]
                if slot not in running and (free := startable(waiting, others)):
                    waiting.remove(job := free[0])
                    if records.is_run(job.paths):
                        leave(job, elsewhere, progress)
                        continue
                    words = [str(ROOT / job.command[0]), *job.command[1:], *job.folders]
                    running[slot] = job, start(words, job.log, *slots[slot], threads)
                    progress.begin(job)
            for slot, (job, process) in list(running.items()):
                if process.poll() is not None:
                    del running[slot]
                    reason = why_failed(process.returncode, job)
                    if records.BUSY in reason:  # it came first by a moment
                        leave(job, elsewhere, progress)
                        continue
                    progress.end(job, reason)
                    failed += [job] if reason else []
            progress.show()
            time.sleep(0.1)
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):  # of a terminal that was closed
            progress.say(f"Stopping {len(running)} runs ...")
        for _, process in running.values():
            process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + GRACE
        for _, process in running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
        raise
    finally:  # also of a second Ctrl-C
        for _, process in running.values():
            process.kill()
            process.wait()
    return failed


def startable(waiting, others):
    """Those of the waiting jobs that need no model which is still to be made.

    Args:
        waiting: List of `Job`.
        others: Jobs that are under way, as a list.
    """
    made = {job.paths.model for job in [*waiting, *others]}
    return [job for job in waiting if job.needs not in made]


def leave(job, elsewhere, progress):
    """Leaves a job to the process that runs it, and waits for that."""
    elsewhere.append(job)
    progress.say(f"{job.name}: another process runs it; waiting for its record")


def came_back(job, waiting, progress):
    """Whether another process no longer runs a job: it is done, or ours to do."""
    if records.is_run(job.paths):
        return False
    if job.done:
        progress.end(job, "")
    else:
        waiting.append(job)
    return True


# Processes.


def gpus():
    """Names of the NVIDIA GPUs that this process may use, as a list of strings."""
    chosen = machine.chosen_gpus()
    if chosen is not None:
        return chosen
    return [str(i) for i in range(len(glob.glob("/dev/nvidia[0-9]*")))]


def _share(worker, workers, ours):
    """(cores, GPUs or None) of a worker; they are shared where there are too few."""
    devices = gpus()
    first = worker * len(ours) // workers
    last = max(first + 1, (worker + 1) * len(ours) // workers)
    if not devices:
        return ours[first:last], None
    return ours[first:last], ",".join(
        devices[worker::workers] or [devices[worker % len(devices)]]
    )


def start(words, log, share=None, gpu=None, threads=None, folder=None):
    """Starts a script that dies with this process and writes to `log`."""
    threads = str(threads or len(share))
    environment = os.environ | {
        "PYTHONUNBUFFERED": "1",  # so that the last line of the log is the last said
        "OMP_NUM_THREADS": threads,
        "TF_NUM_INTRAOP_THREADS": threads,
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",  # several runs may share a GPU
    }
    if gpu is not None:
        environment["CUDA_VISIBLE_DEVICES"] = gpu
    die = machine.die_with_parent()

    def prepare():  # in the new process
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's `&` ignores it
        if share and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, share)
        die()

    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8", errors="backslashreplace") as file:
        print("$ python", shlex.join(words), file=file, flush=True)
        return subprocess.Popen(
            [sys.executable, *words],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
            preexec_fn=prepare,
            start_new_session=True,  # Ctrl-C is ours to pass on, once
        )


def why_failed(code, job):
    """What to tell of a process that has ended; empty when it left its record."""
    if code in (0, 1) and job.done:  # 1: it diverged, and is done
        return ""
    # Since its start; where another process runs the same and writes here too, the
    # line that is the script's own (`cli.run`).
    what = f"exit code {code}" if code >= 0 else f"killed by signal {-code}"
    try:
        text = job.log.read_text("utf-8", "replace")
    except OSError:
        return f"{what}: what it said is gone (was {job.results_dir} removed?)"
    lines = [x for x in text.splitlines() if x.strip()]
    begun = [i for i, line in enumerate(lines) if line.startswith("$ python")]
    own = f"{Path(job.command[0]).name}: "
    lines = lines[begun[-1] :] if begun else ["it said nothing"]
    last = [x for x in lines if x.startswith(own)][-1:] or lines[-1:]
    return f"{what}{'' if code else ', but no record'}: {last[0].strip()}"


# What is told while it goes on.


class Progress:
    """A line for each run under way and one for the whole, with time left.

    On a terminal they are redrawn in place; else there are lines for a log file:
    one when a run begins, one when it ends, and all of them once a minute.
    """

    def __init__(self, jobs, workers):
        self.left, self.workers = list(jobs), workers
        self.total, self.failed = len(jobs), 0
        self.begun, self.shown, self.drawn = {}, time.time(), 0
        self.live = sys.stderr.isatty()

    def begin(self, job):
        if job not in self.begun:
            self.begun[job] = time.time()
            if not self.live:
                self.say(f"{job.name}: begun")

    def end(self, job, reason):
        self.left.remove(job)
        self.failed += bool(reason)
        begun = self.begun.pop(job, time.time())
        if reason:
            self.say(f"{job.name}: FAILED, {reason}\n  all it said: {job.log}")
        else:
            self.say(f"{job.name}: done in {duration(time.time() - begun)}")

    def say(self, line):
        """Prints a line that stays."""
        self._print(line + "\n")
        self.drawn = 0

    def show(self):
        """Shows where everything is, when it is time to."""
        now = time.time()
        if now - self.shown < (1 if self.live else 60) or not self.left:
            return
        self.shown, lines, known = now, [], []
        for job, begun in self.begun.items():
            epoch, seconds = _so_far(job, begun)
            left = job.seconds and max(0.0, job.seconds - (now - begun))
            if epoch and job.epochs:
                left = (job.epochs - epoch) * seconds
            known.append(left)
            where = f"epoch {epoch} of {job.epochs}" if epoch else "starting"
            where = where if job.epochs else "running"
            lines.append(f"  {job.name}: {where}{_about(left)}")
        known += [job.seconds for job in self.left if job not in self.begun]
        whole = None
        if some := [seconds for seconds in known if seconds is not None]:
            usual = sum(some) / len(some)
            known = [usual if seconds is None else seconds for seconds in known]
            whole = max(max(known), sum(known) / self.workers)
        done = self.total - len(self.left) - self.failed
        failed = f", {self.failed} failed" if self.failed else ""
        lines.append(f"{done} of {self.total} runs done{failed}{_about(whole)}")
        if self.live:
            width = shutil.get_terminal_size().columns - 1
            self._print("".join(f"{line[:width]}\n" for line in lines))
            self.drawn = len(lines)
        else:
            self.say("\n".join(lines))

    def _print(self, text):
        over = f"\x1b[{self.drawn}F\x1b[J" if self.drawn else ""  # up, and clear
        print(over + text, end="", file=sys.stderr, flush=True)


def _so_far(job, begun):
    """(epochs that a run under way has done, seconds an epoch), (0, 0) if none yet."""
    try:
        if job.paths.csv.stat().st_mtime < begun:  # of an earlier start
            return 0, 0
        with job.paths.csv.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        last = [float(row["seconds"]) for row in rows[-5:]]
        return len(rows), sum(last) / len(last)
    except (OSError, KeyError, ValueError):  # none yet, or one of another kind
        return 0, 0


def _about(seconds):
    return "" if seconds is None else f", about {duration(seconds)} left"

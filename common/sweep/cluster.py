"""Many runs, as tasks of a Ray cluster (imports no Keras, and Ray only when used)."""

import contextlib
import json
import os
import shutil
import signal
import socket
import tempfile
import time
from pathlib import Path

from common import records
from common.cli import MendableError
from common.sweep import commands, runner

SILENCE = 20  # seconds without an answer of the head, after which a sweep ends
# What decides a run's numbers, of the environment in which the sweep was typed: that of
# a worker is `ray start`'s. Where data lie, and ~/.keras, is each machine's business.
PASSED = ("KERAS_BACKEND", "TF_ENABLE_ONEDNN_OPTS")
RETRIES = 5  # of a run whose worker or node dies; each continues the one before


def run(jobs, address, cpus, gpus):
    """Runs jobs as tasks of a Ray cluster, and brings their files home as they grow.

    Nothing is expected of the nodes but Python with the requirements: the code
    travels with the tasks, the files of a run come back after every epoch, and a
    run whose worker or node has died continues elsewhere from the last of them.

    Args:
        jobs: List of `Job`.
        address: `host:port` of the head node, or `auto` on a node of the cluster.
        cpus, gpus: What a run is given; a GPU may be shared (0.5).

    Returns:
        The jobs that failed, as a list; why is told on stderr as it happens.

    Raises:
        MendableError: If Ray is not installed, the cluster is not reached, no node has
            what a run needs, or the head node is lost.
        KeyboardInterrupt: After Ctrl-C.
    """
    ray = _connect(address)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # Ray has set its own
    try:
        sizes = [n["Resources"] for n in ray.nodes() if n["Alive"]]
        needs = {"CPU": cpus} | ({"GPU": gpus} if gpus else {})
        fits = [min(n.get(k, 0) // need for k, need in needs.items()) for n in sizes]
        if not any(fits):
            raise MendableError(
                f"no node of {address} has {cpus} CPUs and {gpus:g} GPUs for a run. "
                "Ask for less with --cpus-per-run and --gpus-per-run."
            )
        here = ray.get_runtime_context().get_node_id()
        beside = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            here, soft=False
        )
        home = (
            ray.remote(_Home)
            .options(
                num_cpus=0,
                scheduling_strategy=beside,
                max_restarts=-1,  # it has no state to lose but locks
                max_task_retries=-1,
            )
            .remote(records.git_state())
        )
        task = ray.remote(
            num_cpus=cpus,
            num_gpus=gpus,
            scheduling_strategy="SPREAD",
            max_retries=RETRIES,
            retry_exceptions=[ChildProcessError],
        )(_on_worker)
        begun, waiting, elsewhere, tasks = time.time(), list(jobs), [], {}
        progress, failed = runner.Progress(jobs, int(sum(fits))), []
        head = _Head(ray.get_runtime_context().gcs_address)
        while waiting or elsewhere or tasks:
            elsewhere = [
                x for x in elsewhere if not runner.came_back(x, waiting, progress)
            ]
            for job in runner.startable(waiting, [*elsewhere, *tasks.values()]):
                waiting.remove(job)
                ref = task.options(name=job.name).remote(_abroad(job), home, cpus)
                tasks[ref] = job
            if head.is_lost():
                left = [*tasks.values(), *elsewhere, *waiting]
                names = ", ".join(job.name for job in left)
                raise MendableError(
                    f"the head node of {address} has not answered for {SILENCE} s. "
                    f"Not finished: {names[:300]}. What has come home is kept: start "
                    "the cluster again and type the same command."
                )
            for ref in ray.wait(list(tasks), timeout=0.5)[0]:
                job = tasks.pop(ref)
                try:
                    reason = ray.get(ref)
                except ray.exceptions.RayError as error:
                    reason = str(error).strip().splitlines()[-1]
                home.leave.remote(job.name)
                if records.BUSY in reason:
                    runner.leave(job, elsewhere, progress)
                    continue
                progress.end(job, reason)
                failed += [job] if reason else []
            for job in tasks.values():
                if job.log.exists() and job.log.stat().st_mtime > begun:
                    progress.begin(job)
            progress.show()
            if not tasks:  # else `ray.wait` has waited
                time.sleep(0.5)
        return failed
    finally:
        ray.shutdown()  # ends the workers, and they take their runs with them


def _abroad(job):
    """A job for the workers: home's files by full paths, the command as it is there."""
    there = job._replace(
        results_dir=job.results_dir.resolve(), models_dir=job.models_dir.resolve()
    )
    if not job.needs:
        return there
    command = commands.starting_from(job.command, f"saved_models/{job.needs.name}")
    return there._replace(command=command, needs=job.needs.absolute())


class _Head:
    """Whether the head node answers; Ray would end this process in C++ if not."""

    def __init__(self, address):
        self.address, self.heard = address, time.monotonic()
        self.asked = self.heard

    def is_lost(self):
        now = time.monotonic()
        if now - self.asked > 3:
            self.asked = now
            with contextlib.suppress(MendableError):
                _knock(self.address, timeout=3)
                self.heard = now
        return now - self.heard > SILENCE


def _connect(address):
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        import ray
        import ray.util.scheduling_strategies  # noqa: F401 (`ray` leaves it out)
    except ImportError:
        raise MendableError(
            "--cluster needs Ray, which is not installed. Run: "
            "pip install -r requirements-cluster.txt"
        ) from None
    if address != "auto":
        _knock(address)  # Ray itself would try for minutes
    with tempfile.TemporaryFile() as told:
        try:
            with _stderr_to(told):
                ray.init(
                    address=address,
                    log_to_driver=False,
                    logging_level="ERROR",
                    runtime_env=_travels(),
                )
        except (ray.exceptions.RayError, OSError, RuntimeError, ValueError) as error:
            told.seek(0)
            raise _not_reached(address, error, told.read()) from None
    return ray


def _travels():
    """What goes to the workers, as Ray's `runtime_env`.

    Of files the code alone, whatever else lies in the folder.
    """
    files = [path for path in runner.ROOT.iterdir() if path.suffix != ".py"]
    return {
        "working_dir": str(runner.ROOT),
        "excludes": [f"/{path.name}" for path in files if path.name != "common"],
        "env_vars": {key: os.environ[key] for key in PASSED if key in os.environ},
    }


@contextlib.contextmanager
def _stderr_to(file):
    """Sends what C++ writes to stderr within it to a file."""
    stderr = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def _not_reached(address, error, told):
    refused = b"InvalidAuthToken" in told or b"Unauthenticated" in told
    if refused or "auth" in type(error).__name__.lower():
        return MendableError(
            f"the cluster {address} refuses this machine's token. Expected the head "
            "node's, in ~/.ray/auth_token or where RAY_AUTH_TOKEN_PATH says, as "
            "docs/reproduce.md has it."
        )
    reason = " ".join(str(error).split())[:300]  # of several lines: both versions
    return MendableError(
        f"the cluster {address} was not reached: {reason} Start it as "
        "docs/reproduce.md says, with the same Python and Ray, and type this on one "
        "of its machines."
    )


def _knock(address, timeout=10):
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout).close()
    except (OSError, ValueError) as error:
        raise MendableError(
            f"nothing answers at {address} ({error}). Expected the host:port of a "
            "cluster's head node, or auto on one of its machines; start it as "
            "docs/reproduce.md says."
        ) from None


class _Home:
    """Lives beside the driver: takes in the files of runs, and hands out old ones.

    Files are named as in a worker's folder, `results/…` and `saved_models/…`.
    """

    def __init__(self, git):
        self.git, self.held = git, {}

    def hold(self, job):
        """Takes the locks of a run; returns why it must not run, or "".

        As its script would here: of home's files the worker's own knows nothing.
        """
        if job.name in self.held or job.done:
            return ""  # of a worker that died; by another sweep, a moment ago
        try:
            if job.paths.json.exists() and "--overwrite" not in job.command:
                records.read(job.paths.json)  # says what is wrong with it
            with contextlib.ExitStack() as locks:
                locks.enter_context(records.only_one(job.paths, job.name))
                self.held[job.name] = locks.pop_all()
        except MendableError as error:
            return str(error)
        return ""

    def leave(self, name):
        """Gives the locks of a run back, if it has them."""
        if name in self.held:
            self.held.pop(name).close()

    def fetch(self, job):
        """The files from which a run continues, as {name: bytes}."""
        paths = job.paths
        ours = {f"results/{path.name}": path for path in (paths.csv, paths.json)}
        ours[f"results/.logs/{job.log.name}"] = job.log
        if job.needs:
            ours[f"saved_models/{job.needs.name}"] = job.needs
        for path in _unfinished(job):
            ours[f"saved_models/{path.relative_to(job.models_dir).as_posix()}"] = path
        return {name: p.read_bytes() for name, p in ours.items() if p.exists()}

    def store(self, job, files):
        """Writes files, each in one step: the last of `_listed` first, the record last.

        So there is never one without what it needs.
        """
        for name in sorted(reversed(files), key=f"results/{job.name}.json".__eq__):
            folder, _, rest = name.partition("/")
            path = (job.results_dir if folder == "results" else job.models_dir) / rest
            content = files[name]
            if path == job.paths.json:  # the workers have the code without its .git
                record = json.loads(content) | {"git": self.git}
                content = (json.dumps(record, indent=1) + "\n").encode()
            path.parent.mkdir(parents=True, exist_ok=True)
            with records.replacing(path) as temporary:
                temporary.write_bytes(content)
            if path == job.paths.json:
                for old in _unfinished(job):
                    old.unlink(missing_ok=True)
                shutil.rmtree(job.paths.recorded, ignore_errors=True)


def _unfinished(job):
    """The files from which a run goes on, where they are there."""
    checkpoint = job.paths.checkpoint
    parts = checkpoint.with_suffix(".json")  # of a script of many
    return [checkpoint, parts, *job.paths.recorded.glob("*.npz")]


def _on_worker(job, home, cpus):
    """A task: runs a job in a folder of its own. Returns why it failed, or ""."""
    # Ray's copy of the code; it clears up there also after a worker that dies.
    code = Path.cwd()
    folder = Path(tempfile.mkdtemp(dir=code))
    there = job._replace(
        results_dir=folder / "results", models_dir=folder / "saved_models"
    )
    sent, process = {}, None
    try:
        if reason := _answer(home.hold.remote(job)):
            return reason
        for name, content in _answer(home.fetch.remote(job)).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            sent[path] = path.stat().st_mtime_ns
        if there.done:  # its worker died after the last word
            return ""
        words = [str(code / job.command[0]), *job.command[1:]]
        process = runner.start(words, there.log, threads=cpus, folder=folder)
        ended = False
        while not ended:
            ended = process.poll() is not None  # before the last look at its files
            if files := _changed(folder, sent):
                _answer(home.store.remote(job, files))
            time.sleep(0 if ended else 0.5)
        reason = runner.why_failed(process.returncode, there)
        if process.returncode < 0:  # out of memory, perhaps: another try
            raise ChildProcessError(reason)
        return reason
    finally:
        if process:
            process.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _answer(reference):
    # Not `ray.get`, during which Ray gives this task's cores to another.
    return reference.future().result()


def _changed(folder, sent):
    """{name: bytes} of a run's files that are newer than in `sent`, now updated."""
    files = {}
    for path in _listed(folder):
        try:
            if path.name.startswith(".") or path.suffix == ".lock" or path.is_dir():
                continue
            modified = path.stat().st_mtime_ns
            if sent.get(path) != modified:
                files[path.relative_to(folder).as_posix()] = path.read_bytes()
                sent[path] = modified
        except FileNotFoundError:  # replaced or done with, just now
            pass
    return files


def _listed(folder):
    """Yields the files of a run, each before those that it was written after.

    The CSV before its checkpoint, and that before what it knows of each example, of
    which there may be more than when the rest was listed: none is ever ahead.
    """
    with contextlib.suppress(FileNotFoundError):  # of a folder that the run removed
        yield from sorted(folder.rglob("*"), key=lambda path: path.suffix != ".csv")
        yield from (folder / "saved_models/.checkpoints").glob("*/*")

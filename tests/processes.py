"""For tests that start processes and kill them."""

import contextlib
import threading
import time

import psutil

from common import records


def wait_for(what, seconds=60):
    """Calls `what` until it answers something true, and returns that."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        time.sleep(0.05)
    return found


def alive(pids):
    """Those of some process ids that are of a process and not of a dead one."""
    return [pid for pid in pids if _status(pid) not in (None, psutil.STATUS_ZOMBIE)]


def _status(pid):
    try:
        return psutil.Process(pid).status()
    except psutil.NoSuchProcess:
        return None


def family(pid):
    """Process ids of a process and of all below it."""
    try:
        below = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [pid, *(child.pid for child in below)]


def events(journal):
    """[(name, process id, what)] that the runs of fake_run.py have noted."""
    lines = journal.read_text().splitlines() if journal.exists() else []
    parts = [line.split(maxsplit=2) for line in lines]
    return [(name, int(pid), what) for name, pid, what in parts]


@contextlib.contextmanager
def held_elsewhere(job, until, record=None):
    """Somebody else holds a job's lock until `until()`, and may leave its record."""

    def hold():
        with records.only_one(job.paths, job.name):
            held.set()
            wait_for(until)
            if record:
                records.write_json(job.paths.json, record)

    held, other = threading.Event(), threading.Thread(target=hold)
    other.start()
    held.wait()
    yield
    other.join()

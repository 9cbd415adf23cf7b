"""What this machine has, as the system tells it (imports no Keras)."""

import contextlib
import ctypes
import os
import platform
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path


def cores():
    """Returns the numbers of the cores that this process may use, as a list."""
    if hasattr(os, "sched_getaffinity"):  # what a container or taskset leaves us
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count()))


def processor():
    """Returns the processor's name, as `AMD EPYC`."""
    return cpuinfo("model name") or platform.processor() or platform.machine()


def cpuinfo(key):
    """Returns the first value of a key of /proc/cpuinfo; "" where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:  # not Linux
        return ""
    return next((x.split(":", 1)[1].strip() for x in lines if x.startswith(key)), "")


def chosen_gpus():
    """Returns the names in CUDA_VISIBLE_DEVICES as a list; None where it is unset."""
    if "CUDA_VISIBLE_DEVICES" not in os.environ:
        return None
    names = os.environ["CUDA_VISIBLE_DEVICES"].split(",")
    return [name for name in names if name not in ("", "-1")]


def gpus():
    """Returns `[(name, compute capability)]` of the NVIDIA GPUs that may be used."""
    chosen = chosen_gpus()
    if chosen == [] or not shutil.which("nvidia-smi"):
        return []
    query = ["nvidia-smi", "--query-gpu=name,compute_cap", "--format=csv,noheader"]
    if chosen:
        query.append(f"--id={','.join(chosen)}")
    lines = subprocess.run(query, capture_output=True, text=True).stdout.splitlines()
    found = [re.fullmatch(r"(.+), ([\d.]+|\[N/A\])", line) for line in lines]
    return [(x[1], float(x[2].replace("[N/A]", "0"))) for x in found if x]


def available_memory():
    """Returns the bytes of memory that programs can still have (on Linux), or all.

    Where a container or a batch system sets a limit (cgroup v1 or v2), no more than
    what is left of it; files that the system keeps in memory do not count as used.
    """
    free = _meminfo("MemAvailable")
    if free is None:  # not Linux
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(0, min([free, *_left_of_cgroups()]))


def free_swap():
    """Returns the bytes of swap that are free; 0 where that is unknown."""
    return _meminfo("SwapFree") or 0


def _meminfo(key):
    """Bytes of a line of /proc/meminfo; None where there is none."""
    try:
        lines = Path("/proc/meminfo").read_text("utf-8").splitlines()
        return next(int(x.split()[1]) * 1024 for x in lines if x.startswith(f"{key}:"))
    except (OSError, StopIteration):
        return None


def _left_of_cgroups(root=Path("/sys/fs/cgroup"), own=Path("/proc/self/cgroup")):
    """Yields the bytes left under each memory limit of this process's groups.

    Args:
        root: Where the groups are mounted.
        own: File that names those of this process, as `4:memory:/a/b` or `0::/a/b`.
    """
    try:
        lines = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:
        return
    for _, controllers, group in lines:
        if "memory" in controllers.split(","):  # version 1
            top, names = root / "memory", ("limit_in_bytes", "usage_in_bytes")
            cached = ("total_inactive_file", "total_active_file")
        elif not controllers:  # version 2, alone or beside 1
            top, names = root, ("max", "current")
            cached = ("inactive_file", "active_file")
        else:
            continue
        # In a container its own group is the top, whatever the name it has outside.
        for folder in {top, *(top / group.strip("/")).parents, top / group.strip("/")}:
            with contextlib.suppress(OSError, ValueError):  # no limit: "max"
                limit, used = (
                    int((folder / f"memory.{name}").read_text()) for name in names
                )
                lines = (folder / "memory.stat").read_text().splitlines()
                stat = dict(line.split() for line in lines)
                yield limit - used + sum(int(stat.get(key, 0)) for key in cached)


def peak_memory():
    """Returns the largest resident size of this process so far, in bytes."""
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def die_with_parent():
    """Returns a `preexec_fn` that lets a process die when this one does (on Linux)."""
    parent = os.getpid()
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def die():  # in the new process
        if libc:
            libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
            if os.getppid() != parent:
                os._exit(1)

    return die

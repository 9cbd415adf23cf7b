"""A sweep on a real Ray cluster of two nodes, on the loopback interface."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from common import records

pytest.importorskip("ray")
import psutil  # noqa: E402  (comes with ray's requirements in ours)

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).parents[1]
FAKE = ROOT / "tests" / "fake_run.py"
RAY = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
RAY += ["--num-cpus=1", "--object-store-memory=100000000", "--disable-usage-stats"]
DRIVER = """
import json, sys
from pathlib import Path
from common import cli, cluster, runner

def main():
    address, *lines = sys.argv[1:]
    jobs = [runner.Job(name, tuple(words), Path("results"), Path("saved_models"), 20)
            for name, *words in map(json.loads, lines)]
    failed = cluster.run(jobs, address, cpus=1, gpus=0)
    print("failed:", *[job.name for job in failed])

cli.run(main)
"""


def wait_for(what, seconds=60):
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what.__name__}"
        time.sleep(0.1)
    return found


def alive(pids):
    return [p for p in pids if psutil.pid_exists(p) and _status(p) != "zombie"]


def _status(pid):
    try:
        return psutil.Process(pid).status()
    except psutil.NoSuchProcess:
        return "zombie"


def family(process):
    """PIDs of a process and of all below it."""
    try:
        below = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [process.pid, *(child.pid for child in below)]


@pytest.fixture
def two_nodes(tmp_path):
    """(address, [head, second]) of a cluster; ends its processes by their PIDs."""
    # Not tmp_path: the path of a Unix socket has at most 107 characters.
    folder = tempfile.mkdtemp(prefix="ray")
    (tmp_path / "token").write_text("0123456789abcdef" * 4)
    environment = os.environ | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token"),
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONPATH": str(ROOT),
    }
    with socket.socket() as sock:
        sock.bind(("127.0.0.2", 0))
        port = sock.getsockname()[1]
    address, nodes, seen = f"127.0.0.2:{port}", [], set()
    head = [*RAY, "--head", f"--port={port}", "--include-dashboard=false"]
    head += [f"--temp-dir={folder}", "--node-ip-address=127.0.0.2"]
    second = [*RAY, f"--address={address}", "--node-ip-address=127.0.0.3"]
    try:
        for command in (head, second):
            with open(tmp_path / f"node{len(nodes)}.log", "w") as log:
                node = subprocess.Popen(
                    command, env=environment, stdout=log, stderr=log
                )
            nodes.append(node)
            wait_for(lambda log=log: "Ray runtime started" in Path(log.name).read_text())
        yield address, nodes, environment, seen
    finally:
        for node in nodes:
            seen.update(family(node))
        for node in reversed(nodes):
            node.terminate()
        for node in nodes:
            node.wait(30)
        shutil.rmtree(folder, ignore_errors=True)
    psutil.wait_procs([psutil.Process(p) for p in alive(seen)], timeout=15)
    left = [psutil.Process(p).cmdline() for p in alive(seen)]
    assert not left, "processes left behind"


def test_a_worker_and_a_node_die_in_a_sweep(two_nodes, tmp_path):
    address, nodes, environment, seen = two_nodes
    journal = tmp_path / "journal"
    journal.touch()
    fakes = [f"fake{i}" for i in range(4)]
    more = ["--epochs", "20", "--sleep", "0.3", "--journal", str(journal)]
    lines = [[name, str(FAKE), name, *more] for name in fakes]
    lines.append(["wrong", str(FAKE), "wrong", "--fail", "2", "--journal", str(journal)])
    real = "cifar10_mlp_mnist_5k_n100_hidden8_epochs1_seed0"
    flags = "--dataset mnist_5k --train-size 100 --hidden 8 --epochs 1 --quiet"
    lines.append([real, "cifar10_mlp.py", *flags.split()])
    with open(tmp_path / "driver.log", "w") as log:
        driver = subprocess.Popen(
            [sys.executable, "-c", DRIVER, address, *map(json.dumps, lines)],
            cwd=tmp_path,
            env=environment,
            stdout=log,
            stderr=log,
        )
    seen.add(driver.pid)

    def events():
        return [line.split(maxsplit=2) for line in journal.read_text().splitlines()]

    def running_on(node):
        """(worker, run) processes of a fake run that has done five epochs there."""
        ours = family(node)
        assert len(alive({int(pid) for _, pid, _ in events()})) <= 2  # CPUs
        for _, pid, what in events():
            if int(pid) in alive(ours) and what == "epoch 5":
                return psutil.Process(int(pid)).ppid(), int(pid)
        return None

    worker, run = wait_for(lambda: running_on(nodes[0]))
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: not alive([run]), seconds=5)  # it took its run with it

    worker, run = wait_for(lambda: running_on(nodes[1]))
    seen.update(family(nodes[1]))
    below = psutil.Process(nodes[1].pid).children(recursive=True)
    (raylet,) = [p for p in below if "raylet/raylet" in " ".join(p.cmdline()[:1])]
    raylet.kill()
    wait_for(lambda: not alive([worker, run]), seconds=15)

    code = driver.wait(120)
    seen.update(int(pid) for _, pid, _ in events())
    said = (tmp_path / "driver.log").read_text()
    assert code == 0 and "failed: wrong\n" in said, said
    assert "wrong: FAILED, exit code 2: the cause of it" in said
    for name in [*fakes, real]:
        paths = records.paths(name, tmp_path / "results", tmp_path / "saved_models")
        record = records.read(paths.json)
        assert record["name"] == name and record["git"] == records.git_state()
        assert paths.csv.read_text().count("\n") == record["epochs"] + 1
        assert paths.model.exists() and not paths.checkpoint.exists()
    # Two runs were killed after their fifth epoch. They lost an epoch or two.
    resumed = [records.read(tmp_path / f"results/{n}.json") for n in fakes]
    resumed = [r["resumed_at"][0] for r in resumed if r["resumed_at"]]
    assert len(resumed) == 2 and min(resumed) >= 3
    for name in fakes:  # nothing more after its record
        assert [w for n, _, w in events() if n == name].index("record") == (
            len([w for n, _, w in events() if n == name]) - 1
        )
    starts = [name for name, _, what in events() if what == "start"]
    assert starts.count("wrong") == 1 and len(starts) == 4 + 2 + 1
    assert not alive({int(pid) for _, pid, _ in events()})

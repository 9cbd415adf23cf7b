"""A sweep on a real Ray cluster of two nodes, on the loopback interface."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest
from processes import alive, events, family, wait_for

from common import cli, records
from common.sweep import cluster

pytest.importorskip("ray")
pytestmark = pytest.mark.cluster
ROOT = Path(__file__).resolve().parents[2]
FAKE = ROOT / "tests" / "fake_run.py"
RAY = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
RAY += ["--num-cpus=1", "--object-store-memory=100000000", "--disable-usage-stats"]
RAY += ["--include-log-monitor=false"]
DRIVER = """
import json, sys
from pathlib import Path
from common import cli
from common.sweep import cluster, runner

def main():
    address, *lines = sys.argv[1:]
    jobs = [runner.Job(name, tuple(words), Path("results"), Path("saved_models"), 20)
            for name, *words in map(json.loads, lines)]
    failed = cluster.run(jobs, address, cpus=1, gpus=0)
    print("failed:", *[job.name for job in failed])

cli.run(main)
"""


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
        # A node that is asked in vain five times is dead: after 2 s, not 15.
        "RAY_health_check_period_ms": "400",
        "RAY_prestart_worker_first_driver": "0",  # without the code that is sent
    }
    with socket.socket() as sock:
        sock.bind(("127.0.0.2", 0))
        port = sock.getsockname()[1]
    address, nodes, seen = f"127.0.0.2:{port}", [], set()
    head = [*RAY, "--head", f"--port={port}", "--include-dashboard=false"]
    head += ["--no-monitor"]  # of autoscaling
    head += [f"--temp-dir={folder}", "--node-ip-address=127.0.0.2"]
    second = [*RAY, f"--address={address}", "--node-ip-address=127.0.0.3"]
    try:
        for command in (head, second):
            with open(tmp_path / f"node{len(nodes)}.log", "w") as log:
                node = subprocess.Popen(
                    command, env=environment, stdout=log, stderr=log
                )
            nodes.append(node)
            wait_for(
                lambda log=log: "Ray runtime started" in Path(log.name).read_text()
            )
        yield address, nodes, environment, seen
    finally:
        for node in nodes:
            seen.update(family(node.pid))
        for node in reversed(nodes):
            node.terminate()
        for node in nodes:
            node.wait(30)
        shutil.rmtree(folder, ignore_errors=True)
    psutil.wait_procs([psutil.Process(p) for p in alive(seen)], timeout=15)
    left = [psutil.Process(p).cmdline() for p in alive(seen)]
    assert not left, "processes left behind"


@pytest.fixture
def sweep(two_nodes, tmp_path):
    """Starts a sweep of {name: command}, in tmp_path."""
    address, _, environment, seen = two_nodes

    def start(commands):
        lines = [json.dumps([name, *words]) for name, words in commands.items()]
        with open(tmp_path / "driver.log", "w") as log:
            driver = subprocess.Popen(
                [sys.executable, "-c", DRIVER, address, *lines],
                cwd=tmp_path,
                env=environment | {"PYTHONPATH": f"{ROOT}:{os.environ['PYTHONPATH']}"},
                stdout=log,
                stderr=log,
            )
        seen.add(driver.pid)
        return driver

    return start


def test_a_worker_a_node_and_the_driver_die_in_a_sweep(two_nodes, sweep, tmp_path):
    _, nodes, _, seen = two_nodes
    journal = tmp_path / "journal"

    def fake(name, *flags):
        return str(FAKE), name, *flags, "--journal", str(journal)

    def named(name):
        return [(pid, what) for n, pid, what in events(journal) if n == name]

    def record_of(name):
        return records.read(tmp_path / f"results/{name}.json")

    def at_home(name):
        """How many epochs of a fake run are saved where the driver runs."""
        path = tmp_path / f"saved_models/.checkpoints/{name}.npz"
        try:
            return int(path.read_text())
        except FileNotFoundError:  # not yet, or no longer
            return 0

    def running_on(node, but=None):
        """(name, worker, run) of a fake run there, three of its epochs at home."""
        ours = family(node.pid)
        assert len(alive({pid for _, pid, _ in events(journal)})) <= 2  # CPUs
        for name, pid, _ in events(journal):
            if name != but and pid in alive(ours) and at_home(name) >= 3:
                return name, psutil.Process(pid).ppid(), pid
        return None

    fakes, short = [f"fake{i}" for i in range(4)], ("--epochs", "16", "--sleep", "0.25")
    commands = {name: fake(name, *short) for name in fakes}
    commands["wrong"] = fake("wrong", "--fail", "2")
    real = "cifar10_mlp_mnist_5k_n100_hidden8_epochs1_seed0"
    flags = "--dataset mnist_5k --train-size 100 --hidden 8 --epochs 1 --quiet"
    commands[real] = ("cifar10_mlp.py", *flags.split())
    driver = sweep(commands)

    first, worker, run = wait_for(lambda: running_on(nodes[0]))
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: not alive([run]), seconds=5)  # it took its run with it

    # The first may go on there.
    _, worker, run = wait_for(lambda: running_on(nodes[1], but=first))
    seen.update(family(nodes[1].pid))
    below = psutil.Process(nodes[1].pid).children(recursive=True)
    (raylet,) = [p for p in below if "raylet/raylet" in " ".join(p.cmdline()[:1])]
    raylet.kill()
    wait_for(lambda: not alive([worker, run]), seconds=15)

    code = driver.wait(120)
    said = (tmp_path / "driver.log").read_text()
    assert code == 0 and "failed: wrong\n" in said, said
    assert "wrong: FAILED, exit code 2: the cause of it" in said
    for name in [*fakes, real]:
        paths = records.paths(name, tmp_path / "results", tmp_path / "saved_models")
        record = record_of(name)
        assert record["name"] == name and record["git"] == records.git_state()
        assert paths.csv.read_text().count("\n") == record["epochs"] + 1
        assert paths.model.exists() and not paths.checkpoint.exists()
    resumed = [record_of(name)["resumed_at"] for name in fakes]
    assert sorted(map(len, resumed)) == [0, 0, 1, 1]
    assert min(filter(None, resumed))[0] >= 3
    told = (tmp_path / f"results/.logs/{real}.log").read_text()
    assert "working_dir_files" in told and str(ROOT) not in told  # the code it was sent
    for name in fakes:  # nothing more after its record
        assert [what for _, what in named(name)].index("record") == len(named(name)) - 1
    assert [what for _, what in named("wrong")] == ["start"]  # no second try
    assert sum(what == "start" for _, _, what in events(journal)) == 4 + 2 + 1

    # The driver dies: its runs with it, and the next one goes on where they were.
    last = {"last": fake("last", *short)}
    driver = sweep(last)
    run = wait_for(lambda: at_home("last") >= 3 and [named("last")[0][0]])
    driver.kill()
    driver.wait()
    wait_for(lambda: not alive(run), seconds=15)
    assert sweep(last).wait(60) == 0
    assert record_of("last")["resumed_at"][0] >= 3
    assert not alive({pid for _, pid, _ in events(journal)})


@pytest.mark.parametrize("address", ["127.0.0.2:1", "nowhere"])
def test_no_cluster_there(address, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    with pytest.raises(cli.MendableError, match=f"nothing answers at {address}"):
        cluster.run([], address, cpus=1, gpus=0)


@pytest.mark.parametrize(
    ("error", "told", "words"),
    [
        (
            ConnectionError("Failed"),
            b"RPC error: InvalidAuthToken: ...",
            "'s token. Ex",
        ),
        (type("AuthenticationError", (Exception,), {})("no file"), b"", "'s token. Ex"),
        (
            RuntimeError(
                "Version mismatch: X:\n  Python: 3.11.7\nY:\n  Python: 3.10.4"
            ),
            b"",
            "Python: 3.11.7 Y: Python: 3.10.4 Start it",
        ),
    ],
)
def test_why_a_cluster_was_not_reached(error, told, words):
    said = str(cluster._not_reached("A:1", error, told))
    assert words in said and "\n" not in said


def test_a_silent_head_is_lost(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        head = cluster._Head(f"127.0.0.1:{server.getsockname()[1]}")
        head.heard = head.asked = -100
        assert not head.is_lost()
    head.asked = -100
    assert not head.is_lost()  # it may be a moment's
    head.heard -= cluster.SILENCE
    assert head.is_lost()

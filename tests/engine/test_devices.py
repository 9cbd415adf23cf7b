"""Several devices and several processes against one, to the end of a run."""

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from jpegs import write_folder
from processes import alive, family, wait_for
from test_jax import HIDE

from common import models, records

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / "tests" / "imagenet_run.py"
FLAGS = (
    "--dataset tiny --image-size 75 --batch-size 8 --epochs 6 --lr 0.02 --wd 0.01 "
    "--precision float32 --label-corruption 0.5 --augment crop,flip,color"
)
jax = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="JAX is not installed"
)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def hide(tmp_path_factory):
    """A folder that hides TensorFlow, and one where JAX keeps what it has compiled."""
    path = tmp_path_factory.mktemp("hide")
    (path / "sitecustomize.py").write_text(HIDE)
    return path, tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="module")
def start(images, hide, tmp_path_factory):
    """Starts runs in one folder; ends what is left of them."""
    path, children = tmp_path_factory.mktemp("runs"), []

    def start(*flags, **environment):
        words = f"{FLAGS} {' '.join(flags)}".split()
        words = " ".join(words).replace("--then", f"--data-dir {images} --then {FLAGS}")
        search = [os.environ["PYTHONPATH"], str(ROOT)]
        if "KERAS_BACKEND" in environment:
            search[0] = str(hide[0])
            environment["JAX_COMPILATION_CACHE_DIR"] = str(hide[1])
            environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        child = subprocess.Popen(
            [sys.executable, str(RUN), *words.split(), "--data-dir", str(images)],
            cwd=path,
            env=os.environ | environment | {"PYTHONPATH": os.pathsep.join(search)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        children.append(child)
        return child

    start.folder = path
    yield start
    for child in children:
        for pid in family(child.pid):
            os.kill(pid, signal.SIGKILL)
        child.wait()


@pytest.fixture(scope="module")
def on_jax(start):
    """Folder of a run on one device of JAX, and of the same on two."""
    plain = f"--dropout 0.2 {folders('one')}"
    both = f"--dropout 0.2 --distribute {folders('both')}"
    flag = "--xla_force_host_platform_device_count=2"
    flag += f" {os.environ['XLA_FLAGS']}"  # see conftest
    ended(start(plain, "--then", both, KERAS_BACKEND="jax", XLA_FLAGS=flag))
    return start.folder


def folders(folder):
    return f"--results-dir {folder} --models-dir {folder}"


def ended(child, code=0):
    said, _ = child.communicate(timeout=240)
    assert child.returncode == code, said
    return said


def result(folder):
    """(record, weights) of the one run in a folder."""
    (path,) = folder.glob("*.json")
    paths = records.paths(path.stem, folder, folder)
    return records.read(path), models.load(paths.model).get_weights(), paths


def assert_equal_runs(one, other, epochs=6, tolerance=1e-5):
    (_, weights, paths), (_, expected, reference) = one, other
    for a, b in zip(weights, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance)
    rows = [np.genfromtxt(x.csv, delimiter=",", names=True) for x in (paths, reference)]
    assert rows[0].dtype.names == rows[1].dtype.names and len(rows[0]) == epochs
    for name in set(rows[0].dtype.names) - {"seconds"}:
        np.testing.assert_allclose(rows[0][name], rows[1][name], atol=1e-4)


def test_two_devices_of_tensorflow_train_as_one(start):
    # BatchNorm sees its own part of a batch on each device: without it.
    plain = f"--no-batch-norm --epochs 2 {folders('plain')}"
    both = f"--no-batch-norm --epochs 2 --distribute {folders('mirrored')}"
    ended(start(plain, "--then", both, LOGICAL_CPUS="2"))
    one, two = result(start.folder / "plain"), result(start.folder / "mirrored")
    assert_equal_runs(two, one, epochs=2)
    assert two[0]["name"] == one[0]["name"]  # how it is run is not in the name


@jax
def test_two_devices_of_jax_train_as_one(on_jax):
    # BatchNorm and dropout are those of the whole batch.
    assert_equal_runs(result(on_jax / "both"), result(on_jax / "one"))


@jax
@pytest.mark.cluster
def test_a_killed_process_ends_the_other_and_both_go_on(start, on_jax):
    def pair():
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{sock.getsockname()[1]}"
        hosts = [f"--distribute {address} --process {i}/2" for i in range(2)]
        flags = ("--dropout 0.2", folders("two"))
        return [start(host, *flags, KERAS_BACKEND="jax") for host in hosts]

    chief, other = pair()
    wait_for(lambda: [*on_jax.glob("two/*.csv")], seconds=240)
    pids = family(chief.pid)
    other.kill()
    said = ended(chief, 1)  # within two minutes: see `ended`
    last = said.splitlines()[-1]
    assert last.startswith("imagenet_run.py: process 0 of 2 ended without a result")
    assert "start all again with the same commands" in last
    wait_for(lambda: not alive(pids), seconds=10)
    assert not [*on_jax.glob("two/*.json")]

    said = [ended(child) for child in pair()]
    digests = {re.search(r"^weights (\w+)$", text, re.MULTILINE)[1] for text in said}
    assert len(digests) == 1  # the same on both
    two = result(on_jax / "two")
    assert len(two[0]["resumed_at"]) == 1 and two[0]["resumed_at"][0] >= 1
    assert_equal_runs(two, result(on_jax / "one"))

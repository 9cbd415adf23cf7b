"""What the tests share: a backend, no GPU, a tiny data set, made-up records."""

import contextlib
import csv
import dataclasses
import functools
import gc
import json
import os
import signal
import sys
from importlib import metadata
from pathlib import Path

# Before Keras is first imported.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ["CUDA_VISIBLE_DEVICES"] = ""
# Small matrices, and a process for each core already.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Programs are compiled for seconds and run for less: without LLVM's optimizations, and
# by the older emitter, in half of the time, where the version is known to have both (a
# flag that XLA does not know ends the process).
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0"
    + " --xla_cpu_use_fusion_emitters=false"
    * metadata.version("tensorflow").startswith("2.21."),
)
# Each script that tests start would compile the collection again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import hypothesis
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # plain `pytest` does not add it
# Seconds in each script that tests start: Keras imports scikit-learn where it is.
os.environ["PYTHONPATH"] = str(ROOT / "tests" / "no_sklearn")
sys.dont_write_bytecode = False
sys.modules.pop("sklearn", None)  # of a worker of xdist, which is such a script too
# TensorFlow's graphs are many objects; they are looked through less often.
gc.set_threshold(100_000, 50, 100)

from common import datasets, reviews  # noqa: E402
from common.datasets import Data  # noqa: E402
from common.engine import machine  # noqa: E402
from common.report import style  # noqa: E402
from common.sweep import commands  # noqa: E402

# The same examples in every run of the suite, on whatever machine.
hypothesis.settings.register_profile("suite", derandomize=True, deadline=None)
hypothesis.settings.load_profile("suite")

# A shell's `&` ignores Ctrl-C, also for the processes that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Read or drawn once: some hundred tests ask. Nobody writes into them.
datasets._mnist_5k = functools.cache(datasets._mnist_5k)
datasets._synthetic = functools.cache(datasets._synthetic)
reviews._synthetic_text = functools.cache(reviews._synthetic_text)

style.DPI = 40  # no test looks at a picture


# The longest first, so that no process waits for another in the end.
LONGEST = "test_devices test_imagenet_script test_cluster test_scripts test_jax"


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Test modules import Keras as a script does: without pyplot, pandas and JAX."""
    with pytest.MonkeyPatch.context() as patch:
        script = str(ROOT / "report.py")
        patch.setattr(sys.modules["__main__"], "__file__", script, raising=False)
        return (yield)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """One process more than cores: tests that start processes wait for them."""
    return len(machine.cores()) + 1


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.stem not in LONGEST.split())


@pytest.fixture
def data():
    """50 noise images of 32x32x3 and 20 to test on, in ten classes."""
    rng = np.random.default_rng(0)
    y_train = np.arange(50, dtype=np.int32) % 10
    return Data(
        name="tiny",
        x_train=rng.integers(0, 256, (50, 32, 32, 3), dtype=np.uint8),
        y_train=y_train,
        x_test=rng.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8),
        y_test=np.arange(20, dtype=np.int32) % 10,
        num_classes=10,
        y_train_true=y_train,
    )


@pytest.fixture(scope="session")
def took_long():
    """A function that says, of an interrupted run, that its first part took 999 s."""

    def change(folder):
        (partial,) = folder.rglob(".checkpoints/*.json")
        parts = json.loads(partial.read_text())
        next(iter(parts.values()))["seconds"] = 999
        partial.write_text(json.dumps(parts))

    return change


@pytest.fixture(scope="session")
def make_up():
    """A function that leaves the record and the CSV of a run that never was.

    Of an experiment of many parts it leaves the record alone, and its verdict is
    `verdict`.

    Its arguments: the folder, the command as in `artefacts`, the seed, final training
    and test accuracy, the epoch that first fitted (None: never) and the last one.
    """

    def make(folder, command, seed=0, train=1.0, test=0.5, fit=3, epochs=5, verdict=""):
        once = commands.runs_once(command)
        settings, options = commands.parse(command, None if once else seed)
        folder.mkdir(parents=True, exist_ok=True)
        named = {
            "name": options.name,
            "script": options.script,
            "argv": options.argv,
        }
        if once:
            record = {**named, "settings": vars(settings), "verdict": verdict}
            if options.script == "expressivity":
                record["part"] = options.argv[0]
            if options.script == "min_norm":
                record |= {"train_size": 100, "rows": []}
            if options.script == "influence":
                record |= {"best": [], "pairs": [], "image_shape": [28, 28, 1]}
                record |= {"images": {}, "chance": 0.9, "mean_score": 0.1}
            if options.script == "measures":
                record["ranking"] = []
            (folder / f"{options.name}.json").write_text(json.dumps(record))
            return options.name
        lines = [
            {
                "epoch": epoch,
                "learning_rate": 0.01,
                "loss": 2.0 / epoch,
                "accuracy": train,
                "train_cross_entropy": 2.0 / epoch,
                "train_accuracy": train if epoch >= (fit or epochs) else train / 2,
                "val_cross_entropy": 2.0,
                "val_accuracy": test,
                "seconds": 1.0,
            }
            for epoch in range(1, epochs + 1)
        ]
        record = {
            **named,
            "regime": dataclasses.asdict(settings),
            "num_classes": 10,
            "parameters": 1,
            "epochs": epochs,
            "epochs_to_fit": fit,
            "stopped_because": "epochs",
            "final": lines[-1],
            "realized_label_noise": 0.9 * settings.label_corruption,
        }
        (folder / f"{options.name}.json").write_text(json.dumps(record))
        with open(folder / f"{options.name}.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, lines[0])
            writer.writeheader()
            writer.writerows(lines)
        return options.name

    return make


@contextlib.contextmanager
def read_here():
    from common.models import files, hdf5

    kinds = {"model": hdf5.read_model, "weights": hdf5.read_weights}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            files,
            "_read",
            lambda path, copy, kind: kinds[kind](path, copy, path.stat().st_size),
        )
        yield


@pytest.fixture(scope="module")
def sound_files():
    """Saved models are read in this process: to start another takes longer.

    For tests whose files are sound. HDF5 may loop or crash over damaged ones.
    """
    with read_here():
        yield


@pytest.fixture
def sound_file():
    """As `sound_files`, for one test."""
    with read_here():
        yield


@pytest.fixture(scope="module")
def blank_pictures():
    """Figures are composed, and their PNGs are blank: tests/report/ draws them."""
    from PIL import Image

    def blank(figure, file):
        Image.new("1", (1, 1)).save(file, "png")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "_print_png", blank)
        yield


@pytest.fixture
def ctrl_c(monkeypatch):
    """Function of an epoch (from 0): within it, Ctrl-C comes as that epoch begins."""
    from common.engine.history import History  # here: most tests need no Keras

    begin = History.on_epoch_begin

    @contextlib.contextmanager
    def within(last):
        def interrupt(self, epoch, logs=None):
            if epoch == last:
                raise KeyboardInterrupt
            begin(self, epoch, logs)

        with monkeypatch.context() as patch:
            patch.setattr(History, "on_epoch_begin", interrupt)
            yield

    return within

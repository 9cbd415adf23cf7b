"""The JAX backend on a machine without TensorFlow: in one process of its own."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_training import (
    assert_trained_as_by_hand,
    models,
    plan_batches,
    read_csv,
    records,
    whitened,
)

from common import command_line, datasets, pipelines, reviews, training

pytestmark = [
    pytest.mark.usefixtures("sound_files"),
    pytest.mark.skipif(
        importlib.util.find_spec("jax") is None, reason="JAX is not installed"
    ),
]

HIDE = """
import sys

sys.modules["sklearn"] = None  # see conftest

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tensorflow":
            raise ModuleNotFoundError("No module named 'tensorflow'", name=name)

sys.meta_path.insert(0, Hidden())
"""
CODE = """
import functools
import sys
__file__ = sys.argv.pop(1)  # of a script: Keras imports what it does there
import jax
import keras
import numpy as np
import cifar10_mlp
import imdb_text
from common import cli, datasets, pipelines, reviews
from common.engine import device_epochs
from common.regime import Regime
from common.engine.history import History

# Drawn once, as in the tests' own process; and few reviews to test on.
datasets._synthetic = functools.cache(datasets._synthetic)
*train, x_test, y_test = reviews._synthetic_text()
reviews._synthetic_text = lambda: (*train, x_test[:64], y_test[:64])

def run(folder, *flags):
    flags = [*flags, "--results-dir", folder, "--models-dir", folder, "--quiet"]
    return cifar10_mlp.main(flags)

plain, noisy = sys.argv[1].split(), sys.argv[2].split()
run("plain", *plain)
products = jax.make_jaxpr(jax.numpy.dot)(*[jax.numpy.ones((2, 2))] * 2)
assert "HIGHEST" in str(products)  # float32 in float32, on a GPU too
run("whole", *noisy)

def interrupt(self, epoch, logs=None):
    if epoch == 2:
        raise KeyboardInterrupt
    begin(self, epoch, logs)

begin, History.on_epoch_begin = History.on_epoch_begin, interrupt
try:
    run("cut", *noisy)
except cli.Interrupted:
    History.on_epoch_begin = begin
    run("cut", *noisy)

# The epochs of an accelerator, on the CPU.
device_epochs.possible = functools.partial(device_epochs.possible, accelerator=True)
run("device_plain", *plain)
run("device", *noisy)
History.on_epoch_begin = interrupt
try:
    run("device_cut", *noisy)
except cli.Interrupted:
    History.on_epoch_begin = begin
    run("device_cut", *noisy)

data = datasets.named("synthetic", 100)
for augment in ((), ("crop",), ("flip",), ("crop", "flip")):
    feed = pipelines.Feed(data, Regime(augment=augment, batch_size=32, seed=3))
    whole, rest = device_epochs._Plans(feed, 2)[0]
    parts = [{k: v[i] for k, v in whole.items()} for i in range(3)] + [rest]
    for step, part in enumerate(parts, 2 * 4):
        x, y = feed.batch(step)
        index = part["order"]
        received = feed.x_train[index]
        if augment:
            images = jax.numpy.array(feed.raw_train)[index]
            received = device_epochs.augmented(images, part)
        np.testing.assert_array_equal(feed.y_train[index], y)
        np.testing.assert_allclose(received, x, rtol=1e-5, atol=5e-6)

for model in ("cnn", "transformer"):
    flags = f"{sys.argv[3]} --model {model} --results-dir text --models-dir text "
    flags += "--save-init"
    imdb_text.main(flags.split())
assert keras.backend.backend() == "jax"
assert "tensorflow" not in sys.modules
"""
PLAIN = (
    "--dataset mnist_5k --train-size 100 --hidden 8 --batch-size 40 --epochs 3 "
    "--lr 0.05 --wd 0.02 --precision float32 --save-init"
)
NOISY = (
    "--dataset synthetic --train-size 120 --hidden 8 --batch-size 32 --epochs 4 "
    "--dropout 0.2 --random-crop --label-corruption 0.5"
)
TEXT = "--dataset synthetic_text --train-size 64 --epochs 1 --word-dropout 0.1 --quiet"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """{folder: (record, paths)} of three runs."""
    path = tmp_path_factory.mktemp("jax")
    (path / "hide").mkdir()
    (path / "hide" / "sitecustomize.py").write_text(HIDE)
    root = Path(__file__).parents[1]
    search = os.pathsep.join([str(path / "hide"), str(root)])
    finished = subprocess.run(
        [sys.executable, "-c", CODE, root / "cifar10_mlp.py", PLAIN, NOISY, TEXT],
        cwd=path,
        env=os.environ
        | {"KERAS_BACKEND": "jax", "PYTHONPATH": search}
        | {"JAX_COMPILATION_CACHE_DIR": str(path / "compiled")}
        | {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    runs = {"text": path / "text"}
    folders = "plain", "whole", "cut", "device_plain", "device", "device_cut"
    for folder in folders:
        (json_path,) = (path / folder).glob("*.json")
        paths = records.paths(json_path.stem, path / folder, path / folder)
        runs[folder] = json.loads(json_path.read_text()), paths
    return runs


def test_record_is_complete_and_says_jax(runs):
    record, paths = runs["whole"]
    assert record["backend"] == "jax" and record["precision_in_force"] == "float32"
    assert set(record["versions"]) == {"python", "numpy", "keras", "jax"}
    assert record["epochs"] == 4 and record["stopped_because"] == "epochs"
    assert len(read_csv(paths.csv)) == 4
    assert record["device"]


@pytest.mark.parametrize("folder", ["plain", "device_plain"])
def test_jax_trains_as_by_hand_with_a_new_order_each_epoch(runs, folder):
    _, paths = runs[folder]

    class Run:
        rows = read_csv(paths.csv)
        weights = models.load(paths.model).get_weights()

    Run.paths = paths
    data = datasets.named("mnist_5k", 100)
    rates = [0.05, 0.05 * 0.95, 0.05 * 0.95**2]
    batches = list(plan_batches(100, 40, 3))
    assert not np.array_equal(batches[0][0], batches[1][0])
    x = whitened(data.x_train)
    assert_trained_as_by_hand(Run, x, data.y_train, batches, rates, wd=0.02)


@pytest.mark.parametrize("names", [("whole", "cut"), ("device", "device_cut")])
def test_jax_resumes_bit_for_bit(runs, names):
    (whole, reference), (record, paths) = (runs[name] for name in names)
    assert whole["resumed_at"] == [] and record["resumed_at"] == [2]
    for one, other in zip(read_csv(paths.csv), read_csv(reference.csv), strict=True):
        assert one | {"seconds": 0} == other | {"seconds": 0}
    weights = [models.load(p.model).get_weights() for p in (paths, reference)]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_epochs_on_the_device_are_those_of_steps(runs):
    (_, steps), (_, epochs) = runs["whole"], runs["device"]
    for one, other in zip(read_csv(steps.csv), read_csv(epochs.csv), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
    weights = [models.load(p.model).get_weights() for p in (steps, epochs)]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_a_model_trained_with_jax_says_the_same_here(runs):
    record, paths = runs["whole"]
    data = datasets.named("synthetic")
    images = pipelines.prepare(data.x_test)
    logits = np.array(models.load(paths.model)(images, training=False))
    accuracy = (logits.argmax(1) == data.y_test).mean()
    assert accuracy == pytest.approx(record["final"]["val_accuracy"], abs=0.002)


def test_word_vectors_trained_with_jax_are_those_trained_here(runs):
    path = runs["text"] / "imdb_text_synthetic_text_cnn_n64_worddropout0.1_epochs1"
    path = path.with_name(f"{path.name}_seed0")
    regime, _ = command_line.read("imdb_text", (*TEXT.split(), "--model", "cnn"))[""]
    feed = pipelines.TextFeed(reviews.load(regime), regime)
    model = models.load(path.with_name(f"{path.name}_init.h5"))
    before = model.get_weights()[0]
    training.compile_model(model, feed, regime)
    steps = feed.steps_per_epoch
    model.fit(feed.batches(0), steps_per_epoch=steps, shuffle=False, verbose=0)
    here, there = (m.get_weights()[0] for m in (model, models.load(f"{path}.h5")))
    moved = np.abs(here - before) > regime.lr / 2
    assert moved.mean() > 0.02
    np.testing.assert_allclose(here[moved], there[moved], atol=1e-5)


def test_text_models_trained_with_jax_say_the_same_here(runs):
    data = reviews.named("synthetic_text")
    found = sorted(runs["text"].glob("*.json"))
    assert len(found) == 2
    for path in found:
        record = json.loads(path.read_text())
        assert record["backend"] == "jax"
        model = models.load(path.with_suffix(".h5"))
        x, y, final = data.x_test[:64], data.y_test[:64], record["final"]
        logits = np.array(model(x, training=False), float)
        logits -= np.log(np.exp(logits).sum(1, keepdims=True))
        loss = -logits[np.arange(64), y].mean()
        assert loss == pytest.approx(final["val_cross_entropy"], rel=1e-4)
        assert (logits.argmax(1) == y).mean() == final["val_accuracy"]

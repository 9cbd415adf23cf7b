"""Training against arithmetic done by hand: NumPy, float64, no Keras."""

import csv
import hashlib
import importlib.util
import json
import types
from dataclasses import fields, replace
from pathlib import Path
from typing import NamedTuple

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

import cifar10_mlp
from common import corruptions, datasets, models, pipelines, records, training
from common.cli import Interrupted, MendableError
from common.command_line import Options
from common.engine import backend, machine
from common.regime import Regime

pytestmark = pytest.mark.usefixtures("sound_files")

ROOT = Path(__file__).parents[1]

HEADER = (
    "epoch,learning_rate,loss,accuracy,train_cross_entropy,train_accuracy,"
    "val_cross_entropy,val_accuracy"
)


class Run(NamedTuple):
    """A finished run: the returned record and what lies on disk."""

    record: dict
    paths: records.Paths
    rows: list  # the CSV's lines as dicts of floats
    weights: list  # of the saved .h5


def train(folder, flags, main=cifar10_mlp.main):
    """Runs a script in this process, its files below `folder`."""
    folders = ["--results-dir", f"{folder}/results", "--models-dir", f"{folder}/models"]
    record = main([*flags.split(), *folders])
    paths = records.paths(record["name"], f"{folder}/results", f"{folder}/models")
    return Run(record, paths, read_csv(paths.csv), models.load(paths.model).weights)


def read_csv(path):
    with open(path, newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def column(rows, name):
    return np.array([row[name] for row in rows])


def whitened(images):
    """Per-image whitening of 28x28 images, in float64."""
    flat = images.reshape(len(images), -1) / 255
    flat = flat - flat.mean(1, keepdims=True)
    floor = 1 / np.sqrt(flat.shape[1])
    return flat / np.maximum(flat.std(1, keepdims=True), floor)


def forward(weights, x):
    """Returns the activations of every layer of a ReLU network; the last: logits."""
    activations = [x]
    for i in range(0, len(weights), 2):
        x = activations[-1] @ weights[i] + weights[i + 1]
        activations.append(np.maximum(x, 0) if i + 2 < len(weights) else x)
    return activations


def softmax(logits):
    exp = np.exp(logits - logits.max(1, keepdims=True))
    return exp / exp.sum(1, keepdims=True)


def evaluate(weights, x, y):
    """Returns (cross-entropy, accuracy, predicted classes)."""
    logits = forward([np.asarray(w, np.float64) for w in weights], x)[-1]
    likelihood = softmax(logits)[np.arange(len(y)), y]
    return -np.log(likelihood).mean(), (logits.argmax(1) == y).mean(), logits.argmax(1)


def sgd_by_hand(weights, x, y, epochs, rates, wd=0.0, momentum=0.9):
    """Trains a ReLU network.

    Args:
        weights: Kernel, bias, kernel, bias …
        epochs: For each epoch, the index arrays of its batches.
        rates: Learning rate of each epoch.

    Returns:
        Final weights, and for each epoch the example-weighted mean over its batches
        of the loss with its penalty, and of the accuracy.
    """
    weights = [np.asarray(w, np.float64) for w in weights]
    velocity = [np.zeros_like(w) for w in weights]
    history = []
    for batches, rate in zip(epochs, rates, strict=True):
        losses, hits, sizes = [], [], []
        for index in batches:
            activations, truth = forward(weights, x[index]), np.eye(10)[y[index]]
            likelihood = softmax(activations[-1])
            penalty = wd / 2 * sum((kernel**2).sum() for kernel in weights[::2])
            losses.append(penalty - (truth * np.log(likelihood)).sum(1).mean())
            hits.append((activations[-1].argmax(1) == y[index]).mean())
            sizes.append(len(index))
            signal, gradient = (likelihood - truth) / len(index), []
            for i in range(len(weights) - 2, -1, -2):
                kernel, below = weights[i], activations[i // 2]
                gradient = [below.T @ signal + wd * kernel, signal.sum(0), *gradient]
                signal = (signal @ kernel.T) * (below > 0)
            velocity = [
                momentum * v - rate * g for v, g in zip(velocity, gradient, strict=True)
            ]
            weights = [w + v for w, v in zip(weights, velocity, strict=True)]
        history.append([np.average(losses, weights=sizes)])
        history[-1].append(np.average(hits, weights=sizes))
    return weights, np.array(history)


def assert_trained_as_by_hand(run, x, y, epochs, rates, wd=0.0):
    start = models.load(run.paths.init).get_weights()
    weights, history = sgd_by_hand(start, x, y, epochs, rates, wd)
    np.testing.assert_allclose(column(run.rows, "loss"), history[:, 0], rtol=1e-5)
    np.testing.assert_allclose(column(run.rows, "accuracy"), history[:, 1], rtol=1e-5)
    for received, expected in zip(run.weights, weights, strict=True):
        np.testing.assert_allclose(received, expected, rtol=1e-4, atol=2e-6)


def plan_batches(num_examples, batch_size, num_epochs, seed=0):
    """The index arrays of every epoch, as the plan orders them."""
    for epoch in range(num_epochs):
        order = pipelines.plan(num_examples, (), seed, epoch)["order"]
        yield [order[i : i + batch_size] for i in range(0, num_examples, batch_size)]


# One run, everything about it.

RATES = [0.05, 0.05 * 0.95, 0.05 * 0.95**2]


@pytest.fixture(scope="module")
def digits():
    """The 100 digits of the run below: images, true labels, labels trained on."""
    data = datasets.named("mnist_5k", 100)
    noisy = corruptions.corrupt_labels(data.y_train, 0.5, 10, 0)
    return data, noisy


@pytest.fixture(scope="module")
def noisy_run(tmp_path_factory):
    """Half of the labels corrupted, penalty, momentum, a short last batch."""
    return train(
        tmp_path_factory.mktemp("noisy"),
        "--dataset mnist_5k --train-size 100 --hidden 8 6 --batch-size 40 --epochs 3 "
        "--lr 0.05 --wd 0.02 --label-corruption 0.5 --precision float32 --save-init",
    )


def test_every_update_is_the_one_made_by_hand(noisy_run, digits):
    data, noisy = digits
    batches = plan_batches(100, 40, 3)
    x = whitened(data.x_train)
    assert_trained_as_by_hand(noisy_run, x, noisy, batches, RATES, wd=0.02)


def test_rate_of_every_epoch_is_in_the_history(noisy_run):
    np.testing.assert_allclose(column(noisy_run.rows, "learning_rate"), RATES)


def test_metrics_are_those_of_the_saved_model_not_running_means(noisy_run, digits):
    data, noisy = digits
    last = noisy_run.rows[-1]
    loss, accuracy, _ = evaluate(noisy_run.weights, whitened(data.x_train), noisy)
    assert last["train_cross_entropy"] == pytest.approx(loss, rel=1e-5)
    assert last["train_accuracy"] == pytest.approx(accuracy)
    assert last["accuracy"] != pytest.approx(accuracy)  # it is the epoch's mean


def test_test_labels_are_never_corrupted(noisy_run, digits):
    data, _ = digits
    x = whitened(data.x_test)
    loss, accuracy, _ = evaluate(noisy_run.weights, x, data.y_test)
    assert noisy_run.rows[-1]["val_cross_entropy"] == pytest.approx(loss, rel=1e-5)
    assert noisy_run.rows[-1]["val_accuracy"] == pytest.approx(accuracy)


def test_accuracy_on_kept_and_flipped_labels(noisy_run, digits):
    data, noisy = digits
    _, _, predicted = evaluate(noisy_run.weights, whitened(data.x_train), noisy)
    kept = noisy == data.y_train
    assert 0 < kept.sum() < 100
    last = noisy_run.rows[-1]
    given, true = predicted == noisy, predicted == data.y_train
    assert last["kept_accuracy"] == pytest.approx(given[kept].mean())
    assert last["flipped_accuracy"] == pytest.approx(given[~kept].mean())
    assert last["flipped_true_accuracy"] == pytest.approx(true[~kept].mean())


def test_csv_header_with_corrupted_labels(noisy_run):
    header = noisy_run.paths.csv.read_text().splitlines()[0]
    corruption = "kept_accuracy,flipped_accuracy,flipped_true_accuracy"
    assert header == f"{HEADER},{corruption},measured,seconds"
    assert column(noisy_run.rows, "epoch").tolist() == [1, 2, 3]


def test_json_is_the_whole_record(noisy_run, digits):
    data, noisy = digits
    record = json.loads(noisy_run.paths.json.read_text())
    assert record == json.loads(json.dumps(noisy_run.record))  # what main returned
    assert set(record["regime"]) == {field.name for field in fields(Regime)}
    assert record["loss"] == "sparse_categorical_crossentropy"
    expected = {
        "name": noisy_run.paths.json.stem,
        "script": "cifar10_mlp",
        "parameters": 784 * 8 + 8 + 8 * 6 + 6 + 6 * 10 + 10,
        "epochs": 3,
        "epochs_to_fit": None,
        "stopped_because": "epochs",
        "realized_label_noise": pytest.approx((noisy != data.y_train).mean()),
        "label_histogram": np.bincount(noisy, minlength=10).tolist(),
        "input_mean": pytest.approx(0, abs=1e-6),
        "input_std": pytest.approx(1, abs=1e-5),
        "train_sha256": records.sha256(data.x_train, noisy),
        "backend": "tensorflow",
        "precision_in_force": "float32",
        "resumed_at": [],
    }
    assert {key: record[key] for key in expected} == expected
    assert record["argv"][:2] == ["--dataset", "mnist_5k"]
    assert record["final"] == noisy_run.rows[-1]
    assert (
        record["best"]["val_accuracy"] == column(noisy_run.rows, "val_accuracy").max()
    )
    assert set(record["versions"]) == {"python", "numpy", "keras", "tensorflow"}
    assert set(record["git"]) == {"commit", "dirty"}
    assert record["seconds"] > 0 and record["images_per_second"] > 0
    assert record["device"]
    content = noisy_run.paths.model.read_bytes()
    assert record["model_sha256"] == hashlib.sha256(content).hexdigest()


def test_nothing_else_is_left_behind(noisy_run):
    paths = noisy_run.paths
    left = {p for p in paths.csv.parents[1].rglob("*") if p.is_file()}
    files = {path for path in left if path.suffix != ".lock"}
    assert files == {paths.csv, paths.json, paths.model, paths.init}


# Other settings.


@pytest.mark.parametrize("size", ["full", "1100"])
def test_full_batch_is_one_true_gradient_step_an_epoch(tmp_path, size):
    # 1,100 examples are fed in two parts, whose gradients make one update.
    run = train(
        tmp_path,
        f"--dataset mnist_5k --train-size 1100 --hidden 8 --batch-size {size} "
        "--epochs 3 --lr 0.05 --precision float32 --save-init --quiet",
    )
    data = datasets.named("mnist_5k", 1100)
    epochs = [[np.arange(1100)]] * 3
    assert_trained_as_by_hand(run, whitened(data.x_train), data.y_train, epochs, RATES)


def test_saving_the_untrained_model_changes_no_number(tmp_path):
    flags = "--dataset mnist_5k --train-size 100 --hidden 8 --epochs 2 --dropout 0.3"
    without = train(tmp_path / "a", f"{flags} --quiet")
    with_init = train(tmp_path / "b", f"{flags} --quiet --save-init")
    assert with_init.paths.init.exists() and not without.paths.init.exists()
    for one, other in zip(without.weights, with_init.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_training_step_is_traced_once(tmp_path, monkeypatch):
    traced, step = [], keras.Model.train_step

    def counting(model, batch):
        traced.append(model)
        return step(model, batch)

    monkeypatch.setattr(keras.Model, "train_step", counting)
    flags = "--dataset mnist_5k --train-size 50 --batch-size 16 --hidden 4 --epochs 2"
    train(tmp_path, f"{flags} --quiet")
    assert len(traced) == 1


@pytest.fixture(scope="module")
def dropout_run(tmp_path_factory):
    """One batch, true labels, half of the units dropped."""
    return train(
        tmp_path_factory.mktemp("dropout"),
        "--dataset mnist_5k --train-size 100 --hidden 16 --epochs 1 --dropout 0.5 "
        "--precision float32 --save-init --quiet",
    )


def test_csv_header_without_corruption(dropout_run):
    header = dropout_run.paths.csv.read_text().splitlines()[0]
    assert header == f"{HEADER},measured,seconds"


def test_dropout_acts_in_training_and_not_in_evaluation(dropout_run):
    run = dropout_run
    data = datasets.named("mnist_5k", 100)
    x, y = whitened(data.x_train), data.y_train
    # Its loss is that of the initial weights, but for the dropout.
    before, _, _ = evaluate(models.load(run.paths.init).get_weights(), x, y)
    assert run.rows[0]["loss"] != pytest.approx(before, rel=0.01)
    after, accuracy, _ = evaluate(run.weights, x, y)
    assert run.rows[0]["train_cross_entropy"] == pytest.approx(after, rel=1e-5)
    assert run.rows[0]["train_accuracy"] == pytest.approx(accuracy)


def test_stop_at_stops_and_says_so(tmp_path, capsys):
    run = train(
        tmp_path,
        "--dataset mnist_5k --train-size 100 --hidden 16 --batch-size 10 --epochs 60 "
        "--stop-at 0.8",
    )
    accuracy = column(run.rows, "train_accuracy")
    assert len(accuracy) < 60 and accuracy[-1] >= 0.8 and (accuracy[:-1] < 0.8).all()
    assert run.record["stopped_because"] == "stop_at"
    assert run.record["epochs"] == len(accuracy)
    out = capsys.readouterr().out
    assert "--stop-at 0.8 asked for no more" in out
    assert all(str(path) in out for path in run.paths[:3])


def test_early_stopping_reports_and_saves_the_best_epoch(tmp_path):
    run = train(
        tmp_path,
        "--dataset mnist_5k --train-size 200 --hidden 8 --epochs 60 --random-labels "
        "--early-stopping 3 --precision float32 --quiet",
    )
    held_out = column(run.rows, "held_out_accuracy")
    best = held_out.argmax()  # the first of equals
    assert run.record["stopped_because"] == "early_stopping"
    assert run.record["epochs"] == len(held_out) == best + 1 + 3
    assert run.record["final"] == run.rows[best]
    assert run.record["train_examples"] == 180
    data = datasets.named("mnist_5k", 200)
    x = whitened(data.x_test)
    loss, _, _ = evaluate(run.weights, x, data.y_test)
    assert run.rows[best]["val_cross_entropy"] == pytest.approx(loss, rel=1e-5)
    # Trained and held-out examples are told apart: the tenth is never trained on.
    regime = Regime(label_corruption=1.0, early_stopping=2)
    feed = pipelines.Feed(corruptions.corrupt(data, regime), regime)
    x_held_out = feed.x_held_out.reshape(20, -1).astype(float)
    loss, accuracy, _ = evaluate(run.weights, x_held_out, feed.y_held_out)
    assert run.rows[best]["held_out_accuracy"] == pytest.approx(accuracy)
    assert run.rows[best]["held_out_cross_entropy"] == pytest.approx(loss, rel=1e-5)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_diverged_run_ends_with_a_complete_record(tmp_path, capsys):
    run = train(
        tmp_path,
        "--dataset mnist_5k --train-size 200 --hidden 8 --batch-size 10 --lr 1e6 "
        "--epochs 9",
    )
    record = json.loads(run.paths.json.read_text())  # no NaN: strict JSON readers too
    assert "NaN" not in run.paths.json.read_text()
    assert record["stopped_because"] == "diverged" and record["epochs"] < 9
    assert record["final"]["train_cross_entropy"] is None
    assert record["epochs_to_fit"] is None
    assert "Diverged" in capsys.readouterr().out
    assert run.paths.model.exists()
    again = train(tmp_path, " ".join(record["argv"][:-4]))  # reads the nulls
    assert again.record == record
    assert "Diverged" in capsys.readouterr().out


def test_a_network_memorizes_64_random_labels(tmp_path, capsys):
    run = train(
        tmp_path,
        "--dataset mnist_5k --train-size 64 --hidden 64 --batch-size 16 --epochs 100 "
        "--random-labels --stop-at 1 --quiet",
    )
    assert run.rows[-1]["train_accuracy"] == 1
    fitted = column(run.rows, "train_accuracy") >= 0.99
    assert run.record["epochs_to_fit"] == fitted.argmax() + 1
    assert 0.8 < run.record["realized_label_noise"] <= 1
    assert "Memorized: the network reproduces 100.0 %" in capsys.readouterr().out


def test_what_is_learnt_from_gaussian_images_is_nothing(tmp_path):
    flags = "--dataset mnist_5k --train-size 400 --hidden 32 --batch-size 20 "
    flags += "--epochs 8 --quiet"
    true = train(tmp_path, flags)
    gaussian = train(tmp_path, f"{flags} --pixels gaussian")
    assert true.record["final"]["val_accuracy"] > 0.7
    assert gaussian.record["final"]["val_accuracy"] < 0.25  # chance 0.1, clean images
    assert gaussian.record["final"]["train_accuracy"] > 0.8


@pytest.mark.filterwarnings("ignore:Even though the `tf.config")
@pytest.mark.parametrize("augment", [(), ("flip", "rotate")])
def test_what_fit_consumes(tmp_path, augment):
    """Every example once an epoch, with its noise fixed, in a new order each epoch."""
    regime = Regime(batch_size=32, augment=augment, seed=5)
    noise = replace(regime, label_corruption=1.0, pixels="gaussian")
    data = corruptions.corrupt(datasets.named("mnist_5k", 90), noise)
    feed = pipelines.Feed(data, regime)
    seen = []

    class Spy(keras.Model):
        def train_step(self, batch):
            seen.append([np.array(part) for part in batch])
            return super().train_step(batch)

    def build():
        inputs = keras.Input(feed.input_shape)
        x = keras.layers.Flatten()(inputs)
        return Spy(inputs, keras.layers.Dense(10)(x))

    folders = {"results_dir": tmp_path, "models_dir": tmp_path}
    options = Options(name="spy", script="spy", argv=(), quiet=True, **folders)
    regime = Regime(label_corruption=1.0, epochs=2, precision="float32", seed=5)
    tf.config.run_functions_eagerly(True)
    try:
        training.run(build, feed, regime, options)
    finally:
        tf.config.run_functions_eagerly(False)
    assert [len(y) for _, y in seen] == [32, 32, 26] * 2
    x, y = (np.concatenate(parts) for parts in zip(*seen, strict=True))
    orders = [pipelines.plan(90, (), 5, epoch)["order"] for epoch in (0, 1)]
    assert (orders[0] != orders[1]).mean() > 0.8
    np.testing.assert_array_equal(y, data.y_train[np.concatenate(orders)])
    if augment:
        assert not np.array_equal(np.sort(x[:90], axis=0), np.sort(x[90:], axis=0))
    else:
        np.testing.assert_array_equal(x, feed.x_train[np.concatenate(orders)])
    # It is the noise that arrives: whitened, and like no digit.
    flat = x.reshape(180, -1)
    np.testing.assert_allclose(flat.mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(flat.std(1), 1, atol=1e-4)
    if not augment:  # neighbouring pixels of a digit correlate at 0.9
        assert abs(np.corrcoef(flat[:, :-1].ravel(), flat[:, 1:].ravel())[0, 1]) < 0.05


def test_regularized_random_labels_are_told_apart(tmp_path, capsys, ctrl_c):
    def said(flags):
        flags = f"--dataset mnist_5k --train-size 50 --hidden 4 --epochs 1 {flags}"
        with ctrl_c(0), pytest.raises(Interrupted):  # it is said before training
            train(tmp_path, flags)
        return capsys.readouterr().out

    assert "not the paper's randomization test" not in said("--random-labels")
    out = said("--random-labels --wd 5e-4")
    assert out.count("weight decay 0.0005 this is not the paper's randomization") == 1
    for corrupted in ("--pixels gaussian", "--label-corruption 0.5"):
        assert "this is not the paper's" in said(f"{corrupted} --wd 5e-4")


# Precision.


@pytest.mark.parametrize(
    ("asked", "precision"),
    [("float32", "float32"), ("auto", "bfloat16"), ("float16", "float16")],
)
def test_every_precision_trains_and_saves_float32(
    tmp_path, monkeypatch, asked, precision
):
    monkeypatch.setattr(machine, "cpuinfo", lambda key: "avx512_bf16")
    run = train(
        tmp_path,
        "--dataset mnist_5k --train-size 200 --hidden 16 --batch-size 20 --epochs 2 "
        f"--quiet --precision {asked}",
    )
    assert run.record["regime"]["precision"] == asked
    assert run.record["precision_in_force"] == precision
    assert run.rows[-1]["train_cross_entropy"] < 2.2
    kinds = set()
    with h5py.File(run.paths.model) as file:
        file["model_weights"].visititems(
            lambda _, item: kinds.add(str(getattr(item, "dtype", "float32")))
        )
        assert "optimizer_weights" not in file
    assert kinds == {"float32"}
    assert all(x.dtype_policy.name == "float32" for x in _layers(run.paths.model))
    assert keras.config.dtype_policy().name == "float32"  # as it was before
    data = datasets.named("mnist_5k", 200)
    loss, _, _ = evaluate(run.weights, whitened(data.x_train), data.y_train)
    near = {"float32": 1e-5, "bfloat16": 0.02, "float16": 0.003}[precision]
    assert run.rows[-1]["train_cross_entropy"] == pytest.approx(loss, rel=near)


def _layers(path):
    return models.load(path).layers


def test_tensorboard_is_asked_for_before_training(tmp_path, monkeypatch):
    find = importlib.util.find_spec

    def without(name, *package):
        return None if name == "tensorboard" else find(name, *package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    with pytest.raises(MendableError, match="pip install tensorboard"):
        train(tmp_path, f"--dataset mnist_5k --epochs 1 --tensorboard {tmp_path}")


def test_the_papers_random_labels_are_fitted_in_the_records():
    names = sorted((ROOT / "results").glob("cifar10_mlp_labels1_seed*.json"))
    assert len(names) >= 3
    for path in names:
        assert records.read(path)["final"]["train_accuracy"] >= 0.99


def test_gpus_are_those_that_may_be_used(monkeypatch):
    asked = []

    def nvidia_smi(query, **_):
        asked.append(query)
        lines = "NVIDIA A100, 8.0\nTesla K80, [N/A]\nNo devices were found\n"
        return types.SimpleNamespace(stdout=lines)

    monkeypatch.setattr(machine.shutil, "which", lambda name: name)
    monkeypatch.setattr(machine.subprocess, "run", nvidia_smi)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert machine.gpus() == [("NVIDIA A100", 8.0), ("Tesla K80", 0.0)]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    machine.gpus()
    assert asked[0][-1] == "--id=3,5" and "--id" not in " ".join(asked[1])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert machine.gpus() == []


@pytest.mark.parametrize(
    ("gpus", "tpu", "flags", "expected"),
    [
        ([], False, "fma avx2", "float32"),
        ([], False, "avx512f avx512_bf16", "bfloat16"),
        ([], False, "amx_tile amx_bf16", "bfloat16"),
        ([], True, "", "bfloat16"),
        ([("T4", 7.5)], False, "amx_bf16", "float32"),
        ([("H200", 9.0)], False, "", "bfloat16"),
        ([("H200", 9.0), ("T4", 7.5)], False, "", "float32"),
    ],
)
def test_auto_is_what_the_hardware_has(monkeypatch, gpus, tpu, flags, expected):
    monkeypatch.setattr(backend, "_gpus", lambda: gpus)
    monkeypatch.setattr(backend, "_devices", lambda kind: [kind] * tpu)
    monkeypatch.setattr(machine, "cpuinfo", lambda key: flags)
    assert backend.precision_in_force("auto") == expected
    assert backend.precision_in_force("float16") == "float16"

"""imagenet_inception_v3.py as a user meets it, on a small folder of images."""

import csv
import functools
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from imagenet_run import small
from jpegs import write_folder

import imagenet_inception_v3
from common import cli, models, records, verdicts
from common.engine import devices
from common.image_files import decoding
from common.models.inception_v3 import inception_v3

pytestmark = pytest.mark.usefixtures("sound_files")

ROOT = Path(__file__).parents[1]
TINY = "--dataset tiny --image-size 75 --batch-size 8 --precision float32 --quiet "


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("images"), classes=6)


@pytest.fixture
def run(images, monkeypatch):
    """Runs the script, with a small network unless told otherwise, in a folder."""

    def run(flags, folder, network=small, data=images):
        monkeypatch.setattr("common.models.inception_v3.inception_v3", network)
        where = ["--data-dir", data, "--results-dir", folder, "--models-dir", folder]
        record = imagenet_inception_v3.main([*(TINY + flags).split(), *map(str, where)])
        return record, records.paths(record["name"], folder, folder)

    return run


@pytest.fixture
def eagerly(monkeypatch):
    """For runs of few steps: to trace their graphs takes longest."""
    eager = functools.partialmethod(keras.Model.compile, run_eagerly=True)
    monkeypatch.setattr(keras.Model, "compile", eager)


def rows_of(paths):
    with open(paths.csv, newline="") as file:
        return [row | {"seconds": ""} for row in csv.DictReader(file)]


def test_inception_v3_trains_and_leaves_its_files(run, tmp_path, eagerly):
    images = write_folder(tmp_path / "images", train=8, val=8, classes=6)
    flags = "--epochs 1 --label-corruption 0.5 --wd 4e-5 --dropout 0.2 --lr 0.01 "
    flags += "--augment crop,flip,color"
    record, paths = run(flags, tmp_path / "run", inception_v3, images)
    assert record["name"] == (
        "imagenet_inception_v3_tiny_labels0.5_size75_wd0.00004_dropout0.2_"
        "crop-flip-color_lr0.01_batch8_epochs1_float32_seed0"
    )
    assert (record["num_classes"], record["train_examples"]) == (6, 8)
    assert record["regime"]["image_size"] == 75 and len(record["train_sha256"]) == 64
    (row,) = rows_of(paths)
    corrupted = [f"{which}_accuracy" for which in ("kept", "flipped", "flipped_true")]
    measured = [
        f"{split}_{what}"
        for split in ("train", "val")
        for what in ("cross_entropy", "accuracy", "top5_accuracy")
    ]
    first = ["epoch", "learning_rate", "loss", "accuracy"]
    assert list(row) == [*first, *measured, *corrupted, "measured", "seconds"]
    model = models.load(paths.model)
    assert model.output_shape == (None, 6) and not paths.checkpoint.exists()
    files = sorted((images / "val").rglob("*.*"))
    x = np.stack([decoding.decode(file.read_bytes(), 75) for file in files])
    said = np.array(model(x, training=False)).argmax(1)
    right = np.mean(
        [f"n{k}" == f.parent.name for k, f in zip(said, files, strict=True)]
    )
    assert float(row["val_accuracy"]) == pytest.approx(right)


def test_an_interrupted_run_ends_bit_for_bit_the_same(run, tmp_path, ctrl_c):
    flags = "--epochs 3 --augment crop,flip,color --dropout 0.2 --random-labels"
    _, whole = run(flags, tmp_path / "whole")
    with ctrl_c(1), pytest.raises(cli.Interrupted):
        run(flags, tmp_path / "cut")
    record, cut = run(flags, tmp_path / "cut")
    assert record["resumed_at"] == [1]
    assert rows_of(cut) == rows_of(whole) and len(rows_of(cut)) == 3
    weights = [models.load(paths.model).get_weights() for paths in (cut, whole)]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_random_labels_are_memorized(run, tmp_path):
    flags = "--epochs 60 --no-batch-norm --lr 0.01 --lr-decay 1 --stop-at 0.99"
    record, _ = run(f"{flags} --random-labels --train-size 24", tmp_path)
    assert record["final"]["train_accuracy"] >= 0.99
    assert verdicts.verdict(record).startswith("Memorized")
    assert 0.5 < record["realized_label_noise"] < 1


def test_other_data_of_the_same_name_is_refused(run, tmp_path, monkeypatch, eagerly):
    def fail(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(records, "write_json", fail)
        with pytest.raises(KeyboardInterrupt):
            run("--epochs 1", tmp_path)
    other = write_folder(tmp_path / "other", train=50, classes=6)
    with pytest.raises(cli.MendableError, match="other data"):
        run("--epochs 1", tmp_path, data=other)


def test_the_script_is_one_page():
    lines = (ROOT / "imagenet_inception_v3.py").read_text().splitlines()
    assert len(lines) <= 80 and max(map(len, lines)) <= 88


@pytest.mark.parametrize(
    ("flags", "code", "reason"),
    [
        ("--distribute 10.0.0.1:6380 --process 0/2", 2, "Put KERAS_BACKEND=jax before"),
        ("--distribute 10.0.0.1:6380", 2, "several hosts need both flags"),
        ("--process 0/2", 2, "several hosts need both flags"),
        ("--distribute --process 1/2", 2, "several hosts need both flags"),
        ("--distribute 10.0.0.1", 2, "expected HOST:PORT"),
        ("--distribute 10.0.0.1:6380 --process 2/2", 2, "with i from 0 to n-1"),
        ("--image-size 74", 2, "an integer of at least 75"),
        ("--batch-size 41", 2, "at most 40"),
        ("--augment crop --pixels random", 2, "no window is left to draw"),
        ("--dataset imagenet", 1, "is not the whole of ImageNet"),
    ],
)
def test_what_goes_wrong_is_one_line(images, monkeypatch, capsys, flags, code, reason):
    argv = ["imagenet_inception_v3.py", *TINY.split(), "--data-dir", str(images)]
    monkeypatch.setattr(sys, "argv", [*argv, *flags.split()])
    with pytest.raises(SystemExit) as exit_:
        cli.run(imagenet_inception_v3.main, devices.leave)
    assert exit_.value.code == code
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("imagenet_inception_v3.py: ") and reason in last


def test_a_damaged_image_ends_the_run_and_is_named(run, tmp_path):
    data = write_folder(tmp_path / "images", classes=6)
    damaged = data / "val" / "n1" / "001.JPEG"
    damaged.write_bytes(b"not an image")
    with pytest.raises(cli.MendableError, match=rf"{damaged} .* cannot be read"):
        run("--epochs 1", tmp_path, data=data)

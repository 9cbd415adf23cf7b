"""An interrupted run ends bit for bit as if it had never been interrupted."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import psutil
import pytest
from processes import family

import cifar10_mlp
from common import cli, datasets, models, pipelines, records, regime, training
from common.command_line import Options, parse
from common.engine import backend
from common.engine.history import History
from common.regime import Regime

pytestmark = pytest.mark.usefixtures("sound_files")

ROOT = Path(__file__).parents[1]
# All state at once: dropout's generator, augmentation, noise, momentum, penalty.
EVERYTHING = (
    "--dataset mnist_5k --train-size 160 --hidden 16 --batch-size 16 --quiet "
    "--dropout 0.3 --augment flip,rotate,erase --label-corruption 0.5 --wd 1e-4 "
)


def arguments(flags, folder):
    folders = ["--results-dir", f"{folder}/results", "--models-dir", f"{folder}/models"]
    return [*flags.split(), *folders]


def paths_of(flags, folder):
    file = cifar10_mlp.__file__
    _, options = parse("", file, arguments(flags, folder))
    return records.paths(options.name, options.results_dir, options.models_dir)


def run(flags, folder):
    return cifar10_mlp.main(arguments(flags, folder))


def interrupt_at(monkeypatch, execution):
    """Ctrl-C, once, at the end of the given execution of training steps (from 1)."""
    count = iter(range(1, 10**9))

    def on_train_batch_end(self, batch, logs=None):
        if next(count) == execution:
            raise KeyboardInterrupt

    monkeypatch.setattr(
        History, "on_train_batch_end", on_train_batch_end, raising=False
    )


def lines_but_seconds(path):
    lines = [line.split(",") for line in path.read_text().splitlines()]
    assert lines[0][-1] == "seconds"
    return [line[:-1] for line in lines]


def assert_same_end(paths, reference):
    assert lines_but_seconds(paths.csv) == lines_but_seconds(reference.csv)
    assert paths.model.read_bytes() == reference.model.read_bytes()
    ours, theirs = records.read(paths.json), records.read(reference.json)
    changing = "seconds images_per_second started finished resumed_at argv git".split()
    for record in (ours, theirs):
        for key in [*changing, "continued_from"]:
            del record[key]
        del record["final"]["seconds"]
    assert ours == theirs
    assert not paths.checkpoint.exists()


# SIGKILL.


# A process that has loaded Keras, and the two that it forks. The second kills itself
# in the middle of writing its fourth checkpoint.
TWICE = """
import os, signal, sys
import numpy as np
import cifar10_mlp
from common import training
savez, count = np.savez, iter(range(1, 100))
def half(path, **arrays):
    savez(path, **arrays)
    if next(count) == 4:
        os.truncate(path, os.path.getsize(path) // 2)
        os.kill(os.getpid(), signal.SIGKILL)
for np.savez in (savez, half):
    sys.stdin.readline()
    if not (pid := os.fork()):
        try:
            cifar10_mlp.main(sys.argv[1:])
        finally:
            os._exit(0)
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


def test_killed_twice_and_typed_again(tmp_path):
    flags = EVERYTHING + "--epochs 40"
    run(flags, tmp_path / "whole")
    paths = paths_of(flags, tmp_path / "killed")

    # Once at a random moment of the epoch that follows the third, or a later one.
    # Keras's settings of other work must not matter.
    (tmp_path / "keras.json").write_text(
        '{"floatx": "float16", "epsilon": 1e-3, "backend": "tensorflow", '
        '"image_data_format": "channels_first"}'
    )
    hostile = {"KERAS_HOME": str(tmp_path), "KERAS_MAX_EPOCHS": "5"}
    process = subprocess.Popen(
        [sys.executable, "-c", TWICE, *arguments(flags, tmp_path / "killed")],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | hostile,
        text=True,
    )

    def begin():
        process.stdin.write("\n")
        process.stdin.flush()
        return int(process.stdout.readline())

    try:
        pid = begin()
        while not (paths.csv.exists() and paths.csv.read_text().count("\n") > 3):
            assert psutil.pid_exists(pid)
            time.sleep(0.002)
        time.sleep(np.random.default_rng().uniform(0, 0.03))
        os.kill(pid, signal.SIGKILL)
        assert int(process.stdout.readline()) == -signal.SIGKILL
        assert not paths.json.exists()
        first = records_rows(paths.checkpoint)
        assert 3 <= first < 40

        # And once in the middle of writing a checkpoint.
        begin()
        assert int(process.stdout.readline()) == -signal.SIGKILL
        assert process.wait() == 0
    finally:
        for left in family(process.pid):
            os.kill(left, signal.SIGKILL)
        process.wait()
    assert not paths.json.exists()
    assert records_rows(paths.checkpoint) == first + 3

    record = run(flags, tmp_path / "killed")
    assert record["resumed_at"] == [first, first + 3]
    assert not record["resumed_in_another_environment"]
    assert not list((tmp_path / "killed").rglob("*.part*"))  # the half checkpoint
    assert_same_end(paths, paths_of(flags, tmp_path / "whole"))


def records_rows(checkpoint):
    """How many epochs a checkpoint holds."""
    with np.load(checkpoint) as file:
        return str(file["meta"]).count('"learning_rate"')


# Ctrl-C, in this process.


@pytest.mark.parametrize(
    ("flags", "execution", "kept"),
    [
        # 67 steps are 67 executions: the fourth epoch is cut after 9 of them, and the
        # third has left no checkpoint. With the state of Adam and of float16's scale.
        (
            "--train-size 134 --batch-size 2 --optimizer adam --precision float16 "
            "--checkpoint-every 2 --epochs 5",
            210,
            2,
        ),
        ("--train-size 1100 --batch-size full --epochs 4", 3, 2),
    ],
    ids=["within-epoch", "full-batch"],
)
def test_ctrl_c_and_typed_again(tmp_path, monkeypatch, flags, execution, kept):
    flags = f"--dataset mnist_5k --hidden 8 --dropout 0.2 --quiet {flags}"
    run(flags, tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupt_at(patch, execution)
        with pytest.raises(cli.Interrupted, match=f"{kept} of .* epochs are saved"):
            run(flags, tmp_path / "cut")
    paths = paths_of(flags, tmp_path / "cut")
    assert paths.checkpoint.exists()
    assert not paths.json.exists() and not paths.model.exists()
    assert len(paths.csv.read_text().splitlines()) == 1 + kept
    assert run(flags, tmp_path / "cut")["resumed_at"] == [kept]
    assert_same_end(paths, paths_of(flags, tmp_path / "whole"))


def test_the_best_epoch_is_resumed(tmp_path, monkeypatch):
    flags = "--dataset mnist_5k --train-size 150 --hidden 8 --random-labels --quiet "
    flags += "--early-stopping 4 --epochs 90"
    epochs = run(flags, tmp_path / "whole")["epochs"]
    with monkeypatch.context() as patch:
        interrupt_at(patch, epochs - 1)  # two epochs after the best
        with pytest.raises(cli.Interrupted):
            run(flags, tmp_path / "cut")
    assert run(flags, tmp_path / "cut")["resumed_at"] == [epochs - 2]
    paths = paths_of(flags, tmp_path / "cut")
    assert_same_end(paths, paths_of(flags, tmp_path / "whole"))


def test_moving_statistics_are_resumed(tmp_path, monkeypatch):
    eager = property(lambda _: True, lambda *_: None)  # graphs take longer
    monkeypatch.setattr(keras.Model, "run_eagerly", eager)
    regime = Regime(epochs=4, precision="float32", batch_size=20, augment=("flip",))
    feed = pipelines.Feed(datasets.named("mnist_5k", 60), regime)

    def build():
        inputs = x = keras.Input(feed.input_shape)
        x = keras.layers.Conv2D(4, 5, strides=4)(x)
        x = keras.layers.BatchNormalization(scale=False)(x)
        x = keras.layers.Dropout(0.3)(keras.layers.Flatten()(x))
        return keras.Model(inputs, keras.layers.Dense(10)(x))

    def go(folder):
        folders = {"results_dir": tmp_path / folder, "models_dir": tmp_path / folder}
        options = Options(name="bn", script="bn", argv=(), quiet=True, **folders)
        training.run(build, feed, regime, options)
        return records.paths("bn", tmp_path / folder, tmp_path / folder)

    reference = go("whole")
    with monkeypatch.context() as patch:
        interrupt_at(patch, 3)
        with pytest.raises(cli.Interrupted):
            go("cut")
    assert_same_end(go("cut"), reference)
    statistics = models.load(reference.model).layers[2].non_trainable_variables
    for moving, start in zip(statistics, (0, 1), strict=True):
        assert not np.allclose(moving, start)  # BatchNorm was called for training


def test_ctrl_c_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    flags = "--dataset mnist_5k --train-size 50 --hidden 4 --epochs 3"
    argv = arguments(flags, tmp_path)
    interrupt_at(monkeypatch, 2)
    monkeypatch.setattr(sys, "argv", ["./cifar10_mlp.py", *argv, "--no-resume"])
    with pytest.raises(SystemExit) as exit_:
        cli.run(cifar10_mlp.main)
    assert exit_.value.code == 130
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "1 of 3 epochs are saved" in line
    # Without --no-resume, which would start over.
    assert line.endswith(f"python cifar10_mlp.py {' '.join(argv)}")
    assert run(flags, tmp_path)["resumed_at"] == [1]
    assert "Continuing after epoch 1." in capsys.readouterr().out


def test_a_name_is_run_once_in_either_folder(tmp_path):
    flags = "--dataset mnist_5k --train-size 50 --hidden 4 --epochs 1 --quiet"
    paths = paths_of(flags, tmp_path)
    with records.only_one(paths, paths.json.stem):
        elsewhere = [*arguments(flags, tmp_path), "--models-dir", f"{tmp_path}/other"]
        with pytest.raises(cli.MendableError, match="being run by another process"):
            cifar10_mlp.main(elsewhere)


def test_ctrl_c_before_training(tmp_path, monkeypatch, capsys):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(datasets, "load", interrupt)
    folders = [f"--{kind}-dir={tmp_path}" for kind in ("results", "models")]
    monkeypatch.setattr(sys, "argv", ["cifar10_mlp.py", *folders])
    with pytest.raises(SystemExit) as exit_:
        cli.run(cifar10_mlp.main)
    assert exit_.value.code == 130
    assert capsys.readouterr().err.strip() == "cifar10_mlp.py: interrupted."


# Whatever a checkpoint may have come to.

SMALL = "--dataset mnist_5k --train-size 50 --hidden 4 --epochs 3 --quiet"


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    """A folder with a run that was cut after the second of its three epochs."""
    folder = tmp_path_factory.mktemp("cut")
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, 3)
        with pytest.raises(cli.Interrupted):
            run(SMALL, folder)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with the same run, not cut."""
    folder = tmp_path_factory.mktemp("whole")
    run(SMALL, folder)
    return folder


@pytest.fixture
def folder(cut, tmp_path):
    return shutil.copytree(cut, tmp_path / "copy")


def test_an_overwriting_run_goes_on_too(whole, tmp_path, monkeypatch):
    folder = shutil.copytree(whole, tmp_path / "copy")
    paths = paths_of(SMALL, folder)
    assert paths.json.exists()
    with monkeypatch.context() as patch:
        interrupt_at(patch, 3)
        with pytest.raises(cli.Interrupted):
            run(f"{SMALL} --overwrite", folder)
    assert not paths.json.exists()  # the old record is gone from the start
    assert run(f"{SMALL} --overwrite", folder)["resumed_at"] == [2]
    assert run(f"{SMALL} --overwrite", folder)["resumed_at"] == []


def test_a_finished_run_needs_no_data(whole, monkeypatch, capsys):
    record = records.read(paths_of(SMALL, whole).json)
    monkeypatch.setattr(datasets, "load", None)
    assert run(SMALL, whole) == record
    assert "is complete" in capsys.readouterr().out


def test_damaged_checkpoint(folder):
    checkpoint = paths_of(SMALL, folder).checkpoint
    content = checkpoint.read_bytes()
    middle = len(content) // 2
    changed = bytes([content[middle] ^ 255])
    for damaged in (
        b"",
        content[:middle],
        content[:middle] + changed + content[middle + 1 :],
        b"not a checkpoint",
    ):
        checkpoint.write_bytes(damaged)
        with pytest.raises(cli.MendableError, match=r"is damaged.*--no-resume"):
            run(SMALL, folder)
        assert not paths_of(SMALL, folder).json.exists()
    assert run(f"{SMALL} --no-resume", folder)["resumed_at"] == []


def test_other_data_of_the_same_name(folder, monkeypatch):
    load = datasets.load

    def changed(*args):
        data = load(*args)
        return data._replace(x_train=data.x_train ^ 1)

    monkeypatch.setattr(datasets, "load", changed)
    with pytest.raises(cli.MendableError, match="other data.*--no-resume"):
        run(SMALL, folder)


def test_other_settings_of_the_same_name(folder, monkeypatch):
    # As when a default of the script was edited in between.
    edited = dataclasses.replace(regime.DEFAULTS["cifar10_mlp"], lr=0.5)
    monkeypatch.setitem(regime.DEFAULTS, "cifar10_mlp", edited)
    with pytest.raises(cli.MendableError, match="other settings.*--no-resume"):
        run(SMALL, folder)


def test_another_environment_is_said_and_recorded(folder, monkeypatch, capsys):
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "77")
    record = run(SMALL.replace(" --quiet", ""), folder)
    assert record["resumed_in_another_environment"]
    assert "the last bits may differ" in capsys.readouterr().out


def test_no_resume_starts_over(folder):
    assert run(f"{SMALL} --no-resume", folder)["resumed_at"] == []


def test_killed_after_the_last_checkpoint(folder, whole, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(records, "write_json", _fail)
        with pytest.raises(AssertionError):
            run(SMALL, folder)
    paths = paths_of(SMALL, folder)
    assert paths.checkpoint.exists() and not paths.json.exists()
    monkeypatch.setattr(keras.Model, "fit", _fail)
    assert run(SMALL, folder)["resumed_at"] == [2, 3]
    assert_same_end(paths, paths_of(SMALL, whole))


def _fail(*args, **kwargs):
    raise AssertionError("was called")


def test_a_run_keeps_its_precision_on_another_machine(folder, whole, monkeypatch):
    other = "bfloat16" if backend.precision_in_force("auto") == "float32" else "float32"
    monkeypatch.setattr(backend, "precision_in_force", lambda precision: other)
    assert run(SMALL, folder)["precision_in_force"] != other
    assert_same_end(paths_of(SMALL, folder), paths_of(SMALL, whole))


# A run that goes on where a shorter one has ended.

LONG = "--dataset mnist_5k --hidden 6 --dropout 0.1 --random-labels --quiet "


def test_an_extended_run_is_the_long_one(tmp_path, monkeypatch, capsys):
    # Of 2,700 examples a sample is measured, but after the best epoch and the last.
    # With this seed the first is the best.
    flags = f"{LONG} --train-size 3000 --optimizer adam --early-stopping 9 --epochs 4 "
    flags, short = flags + "--seed 5 --precision float32", 3
    first = f"{flags} --epochs {short} --keep-checkpoint"
    run(flags, tmp_path / "whole")
    shorter = run(first, tmp_path / "both")["name"]
    assert paths_of(first, tmp_path / "both").state.exists()
    extending = f"{flags} --continue-from {shorter}"
    with monkeypatch.context() as patch:
        interrupt_at(patch, 1)
        with pytest.raises(cli.Interrupted, match=f"{short} of .* are saved"):
            run(extending, tmp_path / "both")
    loud = extending.replace(" --quiet", "")
    record = run(loud, tmp_path / "both")
    assert record["continued_from"] == shorter and record["resumed_at"] == [short]
    assert record["final"]["epoch"] == 1  # the best weights were kept, too
    said = capsys.readouterr().out
    assert f"Continuing after epoch {short}." in said and "Note: cif" not in said
    assert_same_end(
        paths_of(flags, tmp_path / "both"), paths_of(flags, tmp_path / "whole")
    )


@pytest.fixture(scope="module")
def shorter(tmp_path_factory):
    """(folder, name) of a run of two epochs with what continues it."""
    folder = tmp_path_factory.mktemp("shorter")
    flags = f"{LONG} --train-size 50 --epochs 2 --keep-checkpoint"
    return folder, run(flags, folder)["name"]


@pytest.mark.parametrize(
    ("flags", "kind", "reason"),
    [
        ("--train-size 50 --epochs 2 --lr 0.1", cli.UsageError, "differs in lr, and"),
        ("--train-size 60 --epochs 4", cli.UsageError, "differs in train_size"),
        ("--train-size 50 --epochs 1", cli.UsageError, "after 2 epochs .*adds nothing"),
        ("--train-size 50 --epochs 4 !", cli.MendableError, "--keep-checkpoint: type"),
    ],
)
def test_what_cannot_be_extended_is_refused(shorter, flags, kind, reason):
    folder, name = shorter
    name = name if "!" not in flags else "cifar10_mlp_seed7"
    with pytest.raises(kind, match=reason):
        run(f"{LONG} {flags.rstrip('!')} --continue-from {name}", folder)


def test_a_longer_run_is_told_of_the_shorter(shorter, capsys):
    folder, name = shorter
    (path,) = folder.rglob(f"{name}.json")
    record = json.loads(path.read_text())
    record["regime"].pop("init_from", None)  # it is of before there was this setting
    path.write_text(json.dumps(record))
    flags = f"{LONG} --train-size 50 --epochs 3".replace("--quiet", "")
    run(flags, folder)
    said = capsys.readouterr().out
    assert f"Note: {name} is complete, the same with 2 epochs." in said
    assert f"--continue-from {name} goes on" in said


def test_killed_when_the_record_was_just_there(folder, monkeypatch):
    paths = paths_of(SMALL, folder)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda path, missing_ok=False: None)
        record = run(SMALL, folder)
    assert paths.checkpoint.exists()
    assert run(SMALL, folder) == record
    assert not paths.checkpoint.exists()

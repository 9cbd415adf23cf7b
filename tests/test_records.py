"""Records: what readers and killed runs see, locks, hashes, verdict sentences."""

import csv
import hashlib
import json
import math
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from common import records, verdicts
from common.cli import MendableError
from common.sweep import commands

ROOT = Path(__file__).resolve().parent.parent
NAME = "cifar10_alexnet_labels1_wd0.0005_seed0"  # with dots


# Files


def test_paths():
    paths = records.paths(NAME)
    assert paths.csv == Path(f"results/{NAME}.csv")
    assert paths.json == Path(f"results/{NAME}.json")
    assert paths.model == Path(f"saved_models/{NAME}.h5")
    assert paths.init == Path(f"saved_models/{NAME}_init.h5")
    elsewhere = records.paths(NAME, "a", "b")
    results = [elsewhere.csv, elsewhere.json, elsewhere.examples]
    assert {p.relative_to("a").parent for p in results} == {Path()}
    assert all(p.is_relative_to("b") for p in {*elsewhere} - {*results})
    assert len(set(elsewhere)) == len(elsewhere)
    other = records.paths(NAME.replace("0.0005", "0.0001"), "a", "b")
    assert not set(other) & set(elsewhere)  # nothing is cut off at a dot


def test_csv_is_written_as_csv_reads_it(tmp_path):
    rows = [
        {"epoch": 1, "loss": 0.1 + 0.2, "train_accuracy": 1.0},
        {"epoch": 2, "loss": math.nan, "train_accuracy": 0.5},
    ]
    records.write_csv(tmp_path / "a.csv", rows)
    text = (tmp_path / "a.csv").read_bytes().decode()
    assert text.splitlines()[0] == "epoch,loss,train_accuracy" and "\r" not in text
    with open(tmp_path / "a.csv", newline="") as file:
        first, second = csv.DictReader(file)
    assert float(first["loss"]) == 0.1 + 0.2  # to the last digit
    assert math.isnan(float(second["loss"]))


def test_json_holds_numpy_and_paths_and_no_nan(tmp_path):
    record = {
        "nan": math.nan,
        "rows": [{"inf": -math.inf, "numpy": np.float32("nan")}],
        "float": np.float64(0.25),
        "int": np.int64(3),
        "bool": np.bool_(True),
        "tuple": (1, None),
        "path": Path("a/b"),
        "text": "épochs",
    }
    records.write_json(tmp_path / "a.json", record)

    def refuse(constant):
        raise AssertionError(constant)  # NaN is not JSON

    text = (tmp_path / "a.json").read_text()
    expected = {
        "nan": None,
        "rows": [{"inf": None, "numpy": None}],
        "float": 0.25,
        "int": 3,
        "bool": True,
        "tuple": [1, None],
        "path": "a/b",
        "text": "épochs",
    }
    assert json.loads(text, parse_constant=refuse) == expected


@pytest.mark.parametrize(
    "write, bad",
    [
        (records.write_json, {"an object": object()}),
        (records.write_csv, [{"epoch": 1}, {"epoch": 2, "more": 3}]),
    ],
)
def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, write, bad):
    path = tmp_path / "old"
    path.write_text("old")
    with pytest.raises((TypeError, ValueError)):
        write(path, bad)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_replacing_shows_the_new_file_only_when_it_is_whole(tmp_path):
    path = tmp_path / f"{NAME}.h5"
    path.write_text("old")
    with records.replacing(path) as temporary:
        temporary.write_text("half")
        assert path.read_text() == "old"
        assert temporary.suffix == ".h5"  # Keras picks the format by it
        assert temporary.parent == path.parent  # one file system: one step
        reader = path.open()
    with reader:
        assert reader.read() == "old"  # replaced as a whole, not written over
    assert path.read_text() == "half"
    with pytest.raises(KeyboardInterrupt), records.replacing(path) as temporary:
        temporary.write_text("other")
        raise KeyboardInterrupt
    assert path.read_text() == "half" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b'{"name": "a"', b"\xff\xfe", b"[]", b"null"])
def test_a_damaged_record_is_named(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(MendableError, match=r"a\.json is damaged .*--overwrite"):
        records.read(path)


def test_what_a_killed_writer_had_is_cleared_and_a_living_one_kept(tmp_path):
    path = tmp_path / "a[1].h5"
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        pass
    stale = tmp_path / f".a[1].{dead.pid}.part.h5"
    others = [f".a[1].{os.getppid()}.part.h5", f".a[1]_b.{dead.pid}.part.h5"]
    for name in (stale.name, *others):
        (tmp_path / name).touch()
    with records.replacing(path) as temporary:
        temporary.write_text("new")
    assert {p.name for p in tmp_path.iterdir()} == {path.name, *others}


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    done, sync, replace = [], os.fsync, os.replace

    def syncing(descriptor):
        done.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        sync(descriptor)

    def replacing(*paths):
        done.append("replace")
        replace(*paths)

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(os, "replace", replacing)
    records.write_json(tmp_path / "a.json", {})
    assert done == [False, "replace", True]


# One process a run


def test_a_second_holder_is_told(tmp_path):
    paths = records.paths(NAME, tmp_path / "new" / "results", tmp_path / "models")
    with records.only_one(paths, NAME):
        assert paths.json.parent.is_dir() and paths.checkpoint.parent.is_dir()
        with pytest.raises(MendableError, match=f"{NAME} is being run by another"):
            with records.only_one(paths, NAME):
                pass
        other = records.paths("other", tmp_path / "new" / "results", tmp_path)
        with records.only_one(other, "other"):
            pass
    left = {path.suffix for path in paths.json.parent.iterdir()}  # the probe is gone
    assert left == {".lock"}
    with records.only_one(paths, NAME):
        pass


HOLDER = """
import sys
from common import records
with records.only_one(records.paths("a", sys.argv[1], sys.argv[1]), "a"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_killed_holder_leaves_no_lock_behind(tmp_path):
    paths = records.paths("a", tmp_path, tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        try:
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(MendableError, match="another process"):
                with records.only_one(paths, "a"):
                    pass
            assert records.is_run(paths)
        finally:
            holder.kill()
    assert not records.is_run(paths)
    with records.only_one(paths, "a"):
        pass


@pytest.mark.parametrize("unwritable", [0, 1])
def test_an_unwritable_folder_is_named(tmp_path, unwritable):
    (tmp_path / "file").write_text("in the way")
    folders = [tmp_path / "fine", tmp_path / "fine"]
    folders[unwritable] = tmp_path / "file" / "results"
    with pytest.raises(MendableError, match="--results-dir and --models-dir") as error:
        with records.only_one(records.paths("a", *folders), "a"):
            pass
    assert str(tmp_path / "file") in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["cifar10_mlp_seed0", "mnist_l2norm"])
def test_a_model_of_another_record_is_not_written_over(tmp_path, name, capsys):
    """The network that comes with the collection, by a run with --results-dir mine."""
    (tmp_path / "results").mkdir()
    (tmp_path / "saved_models").mkdir()
    record = json.loads((ROOT / f"results/{name}.json").read_text())
    model = next(iter(record.get("models", [name])))
    path = tmp_path / f"saved_models/{model}.h5"
    path.write_bytes(b"weights")
    digest = records.sha256_of(path)
    if "models" in record:
        record["models"][model]["sha256"] = digest
    else:
        record["model_sha256"] = digest
    records.write_json(tmp_path / f"results/{name}.json", record)

    def run(results, models):
        folders = tmp_path / results, tmp_path / models
        with records.only_one(records.paths(name, *folders), name):
            pass

    refused = pytest.raises(MendableError, match=f"{model}.h5 is the .*--models-dir")
    with refused:
        run("mine", "saved_models")
    if name == "cifar10_mlp_seed0":  # of a training, before Keras and the data
        folders = f"--results-dir {tmp_path}/mine --models-dir {tmp_path}/saved_models"
        regime, options = commands.parse(f"cifar10_mlp.py {folders}")
        with refused:
            verdicts.finished(regime, options)
        assert not capsys.readouterr().out
    run("mine", "mine")
    (tmp_path / f"mine/{model}.h5").write_bytes(
        b"weights"
    )  # trained again, bit for bit
    run("mine", "mine")  # --overwrite
    run("results", "saved_models")  # --overwrite: both are written
    path.write_bytes(b"others")  # of the reader's own
    run("mine", "saved_models")


# What identifies a run's data and code


def test_sha256_is_that_of_the_bytes_one_after_the_other():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (7, 4, 4, 3), dtype=np.uint8)
    y = rng.integers(0, 10, 7, dtype=np.int32)
    f = rng.random((5, 3), dtype=np.float32)
    expected = hashlib.sha256(x.tobytes() + y.tobytes() + f.tobytes()).hexdigest()
    assert records.sha256(x, y, f) == expected
    assert records.sha256(x[::2]) == hashlib.sha256(x[::2].tobytes()).hexdigest()
    assert records.sha256(f.T) == hashlib.sha256(f.T.tobytes()).hexdigest()
    assert records.sha256(x, y) != records.sha256(x, y[::-1])


def test_git_state_is_gits_own(monkeypatch):
    state = records.git_state()
    if (ROOT / ".git").exists():
        command = ["git", "rev-parse", "HEAD"]
        head = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
        assert state["commit"] == head.strip() and state["dirty"] in (True, False)
    monkeypatch.setenv("PATH", "")  # no git
    assert records.git_state() == {"commit": None, "dirty": None}


# What is said


def rows(*accuracies):
    return [{"epoch": i, "train_accuracy": a} for i, a in enumerate(accuracies, 1)]


def test_epochs_to_fit_is_the_first_epoch_at_99_percent():
    assert records.epochs_to_fit(rows(0.5, 0.98, 0.991, 0.97, 1.0)) == 3
    assert records.epochs_to_fit(rows(0.99)) == 1


def test_epochs_to_fit_is_censored_not_imputed():
    assert records.epochs_to_fit(rows(0.5, 0.9, 0.98999)) is None
    assert records.epochs_to_fit(rows(math.nan)) is None
    assert records.epochs_to_fit([]) is None


def test_only_changed_code_is_dirty(tmp_path, monkeypatch):
    def git(*words):
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )

    git("init")
    (tmp_path / "common").mkdir()
    code = tmp_path / "common" / "records.py"
    code.write_text("1")
    git("add", ".")
    git("commit", "-m", "one")
    monkeypatch.setattr(records, "__file__", str(code))
    assert records.git_state()["dirty"] is False
    (tmp_path / "results.json").write_text("{}")
    assert records.git_state()["dirty"] is False
    code.write_text("2")
    assert records.git_state()["dirty"] is True


def test_pictures_are_those_of_the_record_with_the_longest_name(tmp_path):
    (tmp_path / "figures").mkdir()
    for name in ("a_norms", "a_b_norms", "a_b_c_norms", "other_norms"):
        (tmp_path / "figures" / f"{name}.png").touch()
    for name in ("a", "a_b"):
        (tmp_path / f"{name}.json").touch()
    found = {x: [p.stem for p in records.pictures(x, tmp_path)] for x in ("a", "a_b")}
    assert found == {"a": ["a_norms"], "a_b": ["a_b_c_norms", "a_b_norms"]}


def test_parts_may_be_larger_than_what_is_read_of_others(tmp_path):
    large = "w" * (records.LARGEST + 1)
    path = tmp_path / "a.json"
    path.write_text(f'{{"1": {{"weights": "{large}"}}}}')
    assert records.read_parts(path) == {"1": {"weights": large}}
    with pytest.raises(MendableError, match="larger than 64 MiB"):
        records.read(path)

"""A record against the run again: bit for bit on the same machine, else nearly."""

import json
import os
import tempfile

import pytest

import reproduce
from common import cli
from common.engine import machine
from common.sweep import runner, verify

OLD = {
    "script": "cifar10_mlp",
    "argv": ["--epochs", "2", "--results-dir", "mine"],
    "train_examples": 50_000,
    "train_sha256": "a",
    "backend": "tensorflow",
    "versions": {"keras": "3.15.1"},
    "device": "AMD EPYC, 1 core",
    "threads": "1",
    "onednn": "default",
    "precision_in_force": "float32",
    "final": {"train_accuracy": 0.995, "val_accuracy": 0.5},
    "epochs_to_fit": 20,
}
ROWS = [
    {"epoch": "1", "loss": "2.25", "val_accuracy": "0.4", "seconds": "3.5"},
    {"epoch": "2", "loss": "1.5", "val_accuracy": "0.5", "seconds": "2.5"},
]
ELSEWHERE = {"device": "Intel, 1 core"}


def with_final(train, test):
    return {"final": {"train_accuracy": train, "val_accuracy": test}}


@pytest.mark.parametrize(
    ("changed", "cells", "verified", "said"),
    [
        ({}, {}, True, "bit for bit the same in all 2 epochs"),
        ({}, {"seconds": "9", "measured": "50000"}, True, "bit for bit"),
        ({}, {"loss": "1.5000001"}, False, "loss 1.5000001 for 1.5 in epoch 2"),
        (ELSEWHERE, {"loss": "1.6"}, True, "within 2 points"),
        (ELSEWHERE, {}, True, "not bit for bit (device changed)"),
        ({"threads": "2"}, {}, True, "(threads changed)"),
        (ELSEWHERE | with_final(0.98, 0.515), {}, True, "test accuracy 51.50 % for 50"),
        (ELSEWHERE | with_final(0.995, 0.47), {}, False, "not within"),
        (ELSEWHERE | with_final(0.97, 0.5), {}, False, "not within"),
        (ELSEWHERE | {"epochs_to_fit": 24}, {}, True, "fitted at epoch 24 for at"),
        (ELSEWHERE | {"epochs_to_fit": 25}, {}, False, "not within"),
        (ELSEWHERE | {"epochs_to_fit": None}, {}, False, "fitted never for at epoch"),
        ({"train_sha256": "b"}, {}, False, "other data"),
    ],
)
def test_how_near_a_run_comes_to_its_record(changed, cells, verified, said):
    again = [ROWS[0], ROWS[1] | cells]
    found, words = verify.compare(OLD, ROWS, OLD | changed, again)
    assert (found, said in words) == (verified, True), words


def test_a_run_that_ended_elsewhere_and_one_that_is_shorter():
    resumed = OLD | {"resumed_in_another_environment": True}
    assert verify.compare(resumed, ROWS, OLD, ROWS)[0]
    found, said = verify.compare(OLD, ROWS, OLD, ROWS[:1])
    assert not found and "1 epochs for 2" in said


@pytest.mark.parametrize(
    ("measured", "expected"),
    [([None, None], "all"), (["50000", "50000"], "all"), (["2500", "50000"], "sample")],
)
def test_a_run_is_measured_as_it_was(measured, expected):
    rows = [{} if cell is None else {"measured": cell} for cell in measured]
    words = ("cifar10_mlp.py", *OLD["argv"], "--measure", expected)
    assert verify.command(OLD, rows) == words


def test_records_are_trained_again_elsewhere(tmp_path, make_up, monkeypatch, capsys):
    tmp_path, scratch = tmp_path / "results", tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    name = make_up(tmp_path, "cifar10_mlp.py --epochs 2", train=0.5, test=0.4, fit=None)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    change = {}

    def local(jobs, workers, cores):
        (job,) = jobs
        assert job.results_dir != tmp_path and "--measure" in job.command
        for path in tmp_path.glob(f"{name}.*"):
            content = path.read_text()
            if path.suffix == ".json":
                content = json.dumps(json.loads(content) | change)
            (job.results_dir / path.name).write_text(content)
        return []

    monkeypatch.setattr(runner, "local", local)
    flags = ["--verify", name, "--results-dir", str(tmp_path)]
    reproduce.main(flags)
    assert f"{name}: verified, bit for bit" in capsys.readouterr().out
    change["train_sha256"] = "0" * 64
    with pytest.raises(cli.MendableError, match=f"1 of 1 records .*{name}"):
        reproduce.main(flags)
    assert "NOT VERIFIED, trained on other data" in capsys.readouterr().out
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert not [*scratch.iterdir()]


@pytest.mark.parametrize(
    ("flags", "error", "said"),
    [
        ("table_1 --verify x", cli.UsageError, "leave experiments"),
        ("--verify x --list", cli.UsageError, "leave experiments"),
        ("--verify no_such", cli.MendableError, "no_such.json does not exist"),
        ("--verify mnist_l2norm", cli.MendableError, "is no training run"),
    ],
)
def test_what_cannot_be_verified(flags, error, said):
    with pytest.raises(error, match=said):
        reproduce.main(flags.split())


def test_a_run_is_trained_from_the_first_epoch_and_beside_what_it_wrote():
    argv = ["--epochs", "4", "--continue-from", "shorter", "--tensorboard=logs"]
    argv += ["--keep-checkpoint", "--tensorboard", "logs", "--wd=1"]
    words = verify.command(OLD | {"argv": argv}, ROWS)
    rest = ("--epochs", "4", "--keep-checkpoint", "--wd=1", "--measure", "all")
    assert words == ("cifar10_mlp.py", *rest)


@pytest.mark.parametrize(
    ("cores", "threads", "got"),
    [(4, "3", 3), (8, "5", 5), (16, "9", 9), (2, "1", 1), (2, "8", 2), (2, None, 1)],
)
def test_a_run_gets_its_threads_and_its_log_stays_when_it_fails(
    cores, threads, got, tmp_path, make_up, monkeypatch, capsys
):
    name = make_up(tmp_path, "cifar10_mlp.py --epochs 2", fit=None)
    path, script = tmp_path / f"{name}.json", tmp_path / "fails.py"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"threads": threads}))
    script.write_text("print('one')\nprint('two')")
    found, start = [], runner.start

    def spy(words, log, share, gpu, threads):
        found.append((share, threads))
        return start([str(script)], log, os.sched_getaffinity(0))

    monkeypatch.setattr(runner, "start", spy)
    monkeypatch.setattr(machine, "cores", lambda: [*range(cores)])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(cli.MendableError, match="1 of 1 records"):
        reproduce.main(["--verify", name, "--results-dir", str(tmp_path)])
    assert found == [([*range(got)], got)]
    (log,) = tmp_path.glob("verify-*/.logs/*.log")
    assert f"all it said: {log}\n" in capsys.readouterr().err
    assert log.read_text().endswith("one\ntwo\n")

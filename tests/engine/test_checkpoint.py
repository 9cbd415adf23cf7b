"""What a checkpoint keeps of a run, without training one (see test_resume)."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from common import records
from common.cli import MendableError
from common.engine.checkpoint import Checkpoint, precision_of
from common.engine.history import History
from common.regime import Regime


class Variable:
    """What a checkpoint uses of a `keras.Variable`."""

    def __init__(self, value):
        self.value = np.float32(value)

    def numpy(self):
        return self.value

    def assign(self, value):
        self.value = value


@pytest.fixture
def start(tmp_path):
    """Function that begins a run of three epochs, or goes on with it."""
    paths = records.paths("a", tmp_path, tmp_path)
    paths.checkpoint.parent.mkdir()

    def begin(threads, data="hash", every=1, init=None):
        weights, rate = Variable([1.0, 2.0]), Variable(0.5)
        optimizer = SimpleNamespace(variables=[rate])
        built = SimpleNamespace(variables=[weights], optimizer=optimizer)
        history = History(built, Regime(epochs=3, init_from=init), None)
        checkpoint = Checkpoint(history, history.regime, data, paths, every)
        checkpoint.environment = {"threads": threads}
        return checkpoint, checkpoint.restore()

    return begin


def epoch(checkpoint):
    """Trains an epoch: every variable doubles."""
    number = len(checkpoint.history.rows)
    for variable in checkpoint.variables:
        variable.assign(variable.numpy() * 2)
    checkpoint.history.rows.append({"epoch": number + 1, "seconds": 1.0})
    checkpoint.history.train_seconds.append(0.5)
    checkpoint.on_epoch_end(number)


def test_a_changed_environment_is_remembered_by_later_resumes(start):
    first, resumed = start("2")
    assert not resumed and not first.inexact
    epoch(first)
    second, resumed = start("1")  # elsewhere
    assert resumed and second.inexact and second.resumed_at == [1]
    epoch(second)
    third, _ = start("1")  # there again
    assert third.inexact and third.resumed_at == [1, 2]
    assert third.history.rows == second.history.rows
    assert third.history.train_seconds == [0.5, 0.5]
    np.testing.assert_array_equal(third.variables[0].numpy(), [4.0, 8.0])
    assert third.variables[1].numpy() == 2.0


def test_the_last_epoch_is_kept_whatever_the_interval(start):
    run, _ = start("1", every=2)
    epoch(run)
    assert run.saved_epochs == 0 and not run.paths.checkpoint.exists()
    epoch(run)
    assert run.saved_epochs == 2
    epoch(run)
    assert run.saved_epochs == 3
    assert run.paths.csv.read_text() == "epoch,seconds\n1,1.0\n2,1.0\n3,1.0\n"


def test_that_of_other_data_is_refused(start):
    epoch(start("1")[0])
    with pytest.raises(MendableError, match="other data.*--no-resume"):
        start("1", data="another hash")


def test_that_of_other_initial_weights_is_refused(start, tmp_path):
    (file := tmp_path / "x.h5").write_bytes(b"one")
    epoch(start("1", init=str(file))[0])
    assert start("1", init=str(file))[1]
    file.write_bytes(b"other")
    with pytest.raises(MendableError, match="initial weights.*--no-resume"):
        start("1", init=str(file))


def test_a_checkpoint_of_before_goes_on(start):
    """Settings were kept as the regime's repr, in another order of its fields."""
    run, _ = start("1")
    epoch(run)
    with np.load(run.paths.checkpoint) as file:
        arrays = dict(file)
    meta = json.loads(str(arrays["meta"]))
    words = [f"{k}={v}" for k, v in reversed(meta["regime"].items())]
    meta["regime"] = f"Regime({', '.join(words)})"
    np.savez(run.paths.checkpoint, **arrays | {"meta": json.dumps(meta)})
    assert start("1")[0].resumed_at == [1]
    older = [word for word in words if not word.startswith("init_from=")]
    assert len(older) == len(words) - 1  # before there was such a setting
    without = meta | {"regime": f"Regime({', '.join(older)})"}
    np.savez(run.paths.checkpoint, **arrays | {"meta": json.dumps(without)})
    assert start("1")[0].resumed_at == [1]
    meta["regime"] = meta["regime"].replace("lr=0.01", "lr=0.02")
    np.savez(run.paths.checkpoint, **arrays | {"meta": json.dumps(meta)})
    with pytest.raises(MendableError, match="other settings"):
        start("1")


def test_the_precision_of_a_run_is_found_in_its_checkpoint(start, tmp_path):
    run, _ = start("1")
    assert precision_of(run.paths.checkpoint) is None
    epoch(run)
    assert precision_of(run.paths.checkpoint) == "float32"
    run.paths.checkpoint.write_bytes(b"damaged")  # told when it is restored
    assert precision_of(run.paths.checkpoint) is None

"""What an experiment of many parts keeps when it is stopped or cannot begin."""

import contextlib
import os
from types import SimpleNamespace

import pytest

from common import cli, records, resumable
from common.engine import backend


@pytest.fixture
def options(tmp_path):
    folders = {"results_dir": tmp_path, "models_dir": tmp_path}
    return SimpleNamespace(argv=(), overwrite=False, **folders)


def measure(paths, done, parts=2, error=None):
    for part in map(str, range(parts)):
        if part not in done:
            done[part] = {"value": int(part)}
    if error:
        raise error
    return [done[part] for part in sorted(done)], {"verdict": "Measured."}


def run(options, draw=lambda record, csv: [], **how):
    return resumable.run(
        "script", "a", options, lambda paths, done: measure(paths, done, **how), draw
    )


def compiled_code_complains():
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt as cause:
        error = SystemError("returned a result with an exception set")
        error.__cause__ = cause
        return error


def test_an_overwriting_run_that_cannot_begin_keeps_the_record(options, tmp_path):
    first = run(options)
    options.overwrite = True
    with pytest.raises(cli.UsageError):
        run(options, parts=0, error=cli.UsageError("no such data"))
    assert records.read(tmp_path / "a.json") == first
    # From the first part on the old record would be taken for the new one.
    with pytest.raises(cli.Interrupted, match="1 finished part is saved"):
        run(options, parts=1, error=KeyboardInterrupt())
    assert not (tmp_path / "a.json").exists()
    assert run(options)["resumed_at"] == ["0"]


def test_a_complete_experiment_is_not_measured_again(options, capsys):
    first = run(options)
    capsys.readouterr()
    assert run(options, error=AssertionError("measured again")) == first
    said = capsys.readouterr().out
    assert "a is complete; --overwrite runs it again." in said and "Measured." in said


def test_ctrl_c_in_compiled_code_is_ctrl_c(options):
    with pytest.raises(cli.Interrupted, match="2 finished parts are saved"):
        run(options, error=compiled_code_complains())
    with pytest.raises(SystemError):  # a defect stays one
        run(options, error=SystemError("bad internal call"))


def test_the_record_is_written_when_the_figures_are_drawn(options, tmp_path):
    def killed(record, csv):
        assert record["verdict"] == "Measured." and csv.exists()
        raise KeyboardInterrupt

    with pytest.raises(cli.Interrupted):
        run(options, killed)
    assert not (tmp_path / "a.json").exists()
    assert run(options, error=None)["resumed_at"] == ["0", "1"]


def test_parts_of_another_environment_are_told_and_recorded(
    options, tmp_path, monkeypatch, capsys
):
    here = backend.environment()

    def stopped(threads, parts):
        monkeypatch.setattr(backend, "environment", lambda: here | {"threads": threads})
        with pytest.raises(cli.Interrupted):
            run(options, parts=parts, error=KeyboardInterrupt())
        return "another environment" in capsys.readouterr().err

    assert not stopped("1", parts=1)  # the first
    assert not stopped("1", parts=2)  # as before
    assert stopped("2", parts=3)
    assert stopped("2", parts=4)  # and so it stays
    record = run(options, parts=5)
    assert record["resumed_in_another_environment"] and record["threads"] == "2"
    assert record["resumed_at"] == ["0", "1", "2", "3"]
    options.overwrite = True
    assert not run(options)["resumed_in_another_environment"]


def test_parts_that_do_not_say_where_they_were_measured_are_taken(options, tmp_path):
    left = tmp_path / ".checkpoints" / "a.json"
    left.parent.mkdir()
    left.write_text('{"0": {"value": 0}}')
    record = run(options)
    assert record["resumed_at"] == ["0"]
    assert record["resumed_in_another_environment"]  # as far as one knows


def test_parts_left_by_a_kill_after_the_record_go(options, tmp_path):
    run(options)
    left = tmp_path / ".checkpoints" / "a.json"
    left.write_text("{}")
    run(options)
    assert left.exists()  # newer than the record: of another run of that name
    os.utime(left, (0, 0))
    run(options)
    assert not left.exists()


def test_a_complete_experiment_is_told_where_nothing_can_be_written(
    options, monkeypatch, capsys
):
    """As on a shared disk, or beside a published model of that name."""

    def refuse(*_):
        raise cli.MendableError("cannot write here")

    first = run(options)
    monkeypatch.setattr(records, "only_one", refuse)
    assert run(options) == first
    assert "a is complete; --overwrite runs it again." in capsys.readouterr().out
    options.overwrite = True
    with pytest.raises(cli.MendableError, match="cannot write here"):
        run(options)


def test_what_ran_meanwhile_is_not_run_again(options, monkeypatch):
    only_one = records.only_one

    @contextlib.contextmanager
    def late(*names):
        monkeypatch.setattr(records, "only_one", only_one)
        run(options)  # by another process, which held the lock
        with only_one(*names):
            yield

    monkeypatch.setattr(records, "only_one", late)
    assert run(options, error=AssertionError("measured again"))["verdict"]


@pytest.mark.parametrize("parts", [0, 1])
def test_the_command_that_continues_does_so(parts, options):
    run(options)
    options.overwrite, options.argv = True, ("--overwrite",)
    with pytest.raises(cli.Interrupted) as stopped:
        run(options, parts=parts, error=KeyboardInterrupt())
    # From the first part on there is no record that would be taken for complete.
    assert str(stopped.value).endswith(" --overwrite") == (parts == 0)


def test_an_old_record_does_not_stay_with_a_new_csv(options, tmp_path):
    """Of an experiment without parts, whose figure cannot be drawn."""

    def fails(record, csv):
        raise OSError("no space")

    def all_at_once(paths, done):
        return [{"value": 7}], {"verdict": ""}

    run(options)
    options.overwrite = True
    with pytest.raises(OSError):
        resumable.run("script", "a", options, all_at_once, fails)
    assert "7" in (tmp_path / "a.csv").read_text()
    assert not (tmp_path / "a.json").exists()

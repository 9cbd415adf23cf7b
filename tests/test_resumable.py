"""What an experiment of many parts keeps when it is stopped or cannot begin."""

from types import SimpleNamespace

import pytest

from common import cli, records, resumable


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


def run(options, **how):
    return resumable.run(
        "script",
        "a",
        options,
        lambda paths, done: measure(paths, done, **how),
        lambda record, csv: [],
    )


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

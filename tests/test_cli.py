"""How a script ends: the command that goes on, Ctrl-C wherever it comes."""

import shlex
import sys

import pytest

from common import cli


@pytest.mark.parametrize("flag", ["it's", 'a "b" $HOME `c`', "ü\n", "-- ;&"])
def test_the_command_that_goes_on_can_be_typed(flag, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    argv = ["--results-dir", flag, "--overwrite", "--no-resume"]
    words = ["KERAS_BACKEND=jax", "python", "cifar10_mlp.py", "--results-dir", flag]
    monkeypatch.chdir(cli.ROOT)
    assert shlex.split(cli.again("cifar10_mlp", argv)) == words
    monkeypatch.chdir(tmp_path)  # from elsewhere with the script's folder
    words[2] = str(cli.ROOT / "cifar10_mlp.py")
    assert shlex.split(cli.again("cifar10_mlp", argv)) == words
    tmp_path.rmdir()
    assert shlex.split(cli.again("cifar10_mlp", argv))[-2:] == words[-2:]


def wrapped(cause):
    error = SystemError("<built-in function X> returned a result with an exception set")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "interrupted."),
        (wrapped(KeyboardInterrupt()), 130, "interrupted."),
        (wrapped(wrapped(KeyboardInterrupt())), 130, "interrupted."),
        (cli.Interrupted("stopped; type: x"), 130, "stopped; type: x"),
    ],
)
def test_ctrl_c_is_one_line(error, code, said, capsys, monkeypatch):
    def main():
        raise error

    monkeypatch.setattr(sys, "argv", ["a.py"])
    left = []
    cli.run(main, left.append)
    assert left == [code]
    assert capsys.readouterr().err.strip() == f"a.py: {said}"


@pytest.mark.parametrize("error", [SystemError("bad"), wrapped(ValueError("x"))])
def test_a_defect_keeps_its_traceback(error):
    def main():
        raise error

    with pytest.raises(SystemError):
        cli.run(main)


def test_what_is_raised_within_is_told_once():
    with pytest.raises(cli.Interrupted, match="inner"):
        with cli.interruptible(lambda: "outer"), cli.interruptible(lambda: "inner"):
            raise wrapped(KeyboardInterrupt())

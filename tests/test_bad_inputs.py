"""Every command line of `bad_inputs.BAD` is refused in one line, without Keras."""

import contextlib
import importlib
import io
import re
import sys

import pytest
from bad_inputs import BAD

from common import cli

HEAVY = ("keras", "tensorflow", "jax", "matplotlib")


def run(words):
    """What a command line ends with, in this process: `(exit code, stderr)`."""
    script, codes, said = importlib.import_module(words[0][:-3]), [], io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            cli.run(lambda: script.main(words[1:]), codes.append)
        except SystemExit as error:  # argparse
            codes.append(error.code)
    return (codes or [0])[-1], said.getvalue()


def test_there_are_many_and_of_every_script():
    pairs = [tuple(words) for words, _, _ in BAD]
    assert len({*pairs}) == len(pairs) >= 500
    scripts = {path.name for path in cli.ROOT.glob("*.py")}
    assert {words[0] for words in pairs} == scripts


@pytest.mark.parametrize("script", sorted({words[0] for words, _, _ in BAD}))
def test_bad_command_lines_are_one_line(script, monkeypatch):
    for package in HEAVY:  # an import would fail, also where others have had it
        monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(sys, "argv", [script])
    wrong = []
    for words, expected, told in BAD:
        if words[0] == script:
            code, said = run(words)
            line = said.removesuffix("\n")
            good = line.startswith(f"{script}: ") and re.search(told, line)
            if not (good and code == expected and "\n" not in line and len(line) < 700):
                wrong.append((words, code, line))
    assert not wrong, f"{len(wrong)}: {wrong[:10]}"

"""Every `python …` line that we print for a user is one that its script accepts."""

import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest

from common import command_line, regime

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(
    p for pattern in ("*.py", "benchmarks/*.py") for p in ROOT.glob(pattern)
)
# A command at the start of a line, of a code span or after a prompt; its end is the
# code span's, a comment, or that of the line.
COMMAND = re.compile(
    r"(?:^|`|[$!>] ?)\s*(?:nice |[A-Z_]+=\S+ )*"
    r"(?:\S*/)?python3? +([\w./-]+\.py)\b([^`\n#&|;]*)",
    re.MULTILINE,
)


def commands_of(path):
    """Yields (script, flags) of every command in a text."""
    text = path.read_text()
    if path.suffix == ".py":
        found = re.match(r'(?:#.*\n)*r?"""(.*?)"""', text, re.DOTALL)
        text = found.group(1) if found else ""
    text = re.sub(r"\\\n\s*", " ", text)
    for name, value in re.findall(r"^(\w+) *:?= *(.*)$", text, re.MULTILINE):
        text = text.replace(f"$({name})", value)  # of the Makefile
    for script, flags in COMMAND.findall(text):
        if not re.search(r"[<\[…]|\.\.\.", script + flags):  # a pattern, not a command
            yield script, flags.strip()


TEXTS = [
    path
    for path in (
        ROOT / "README.md",
        *sorted((ROOT / "docs").glob("*.md")),
        ROOT / "CONTRIBUTING.md",
        ROOT / "Makefile",
        ROOT / "results/README.md",
        ROOT / "benchmarks/README.md",
        *SCRIPTS,
    )
    if path.exists()
]
LINES = sorted({line for path in TEXTS for line in commands_of(path)})
TRAINING = {
    path.name
    for path in ROOT.glob("*.py")
    if "from common.command_line import parse" in path.read_text()
}


def test_commands_are_found():
    assert ("cifar10_mlp.py", "--random-labels") in LINES
    assert ("cifar10_mlp.py", "") in LINES
    assert len(LINES) >= 10


@pytest.mark.parametrize("name", sorted(TRAINING))
def test_every_training_script_shows_a_tiny_a_full_and_a_noisy_example(name):
    shown = [flags for script, flags in commands_of(ROOT / name) if script == name]
    assert any("--dataset" in flags or "--epochs" in flags for flags in shown)
    assert any(not flags for flags in shown)
    assert any("--random-labels" in flags or "--label-c" in flags for flags in shown)


SCRIPTS_WITH_SETTINGS = {f"{key.partition(' ')[0]}.py" for key in regime.DEFAULTS}


@pytest.mark.parametrize(
    ("script", "flags"), [line for line in LINES if line[0] in SCRIPTS_WITH_SETTINGS]
)
def test_command_parses(script, flags):
    words = [word for word in shlex.split(flags) if word != "--help"]
    assert command_line.read(script.removesuffix(".py"), words)


_OTHERS = sorted({script for script, _ in LINES} - SCRIPTS_WITH_SETTINGS)


@pytest.mark.parametrize("script", _OTHERS)
def test_flags_of_other_commands_exist(script, monkeypatch, capsys):
    """The scripts with a command line of their own, by their --help, in this process:
    some load Keras first."""
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(ROOT / script), run_name="__main__")
    shown = capsys.readouterr().out
    for flags in [flags for name, flags in LINES if name == script]:
        for word in shlex.split(flags):
            if word.startswith("--"):
                flag = word.split("=")[0]
                assert re.search(rf"{flag}\b", shown), f"{script} {flags}"

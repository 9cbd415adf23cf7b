"""Settings, flags and names of every script; what answers a command line."""

import doctest
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from common import cli, command_line, records, settings, shared_settings
from common.engine import replicas
from common.sweep import artefacts, commands

ROOT = Path(__file__).parents[1]
PUBLIC = sorted(path.name for path in ROOT.glob("*.py"))
HEAVY = {"keras", "tensorflow", "jax", "matplotlib", "pandas"}


def name(command):
    """The run's name, also of a command that is not looked up anywhere else."""
    return commands.name_of(command)


# Names that runs have had all along.


def test_every_recorded_and_listed_command_gives_the_name_it_has_always_had():
    lines = (ROOT / "tests/run_names.txt").read_text().splitlines()
    expected = {command: name for name, command in (x.split("\t") for x in lines)}
    assert len(expected) > 700
    assert {command: name(command) for command in expected} == expected
    listed = {run for a in artefacts.ARTEFACTS.values() for run in a.runs.values()}
    assert listed <= expected.keys()


RECORDS = [records.read(path) for path in sorted(ROOT.glob("results/*.json"))]


def test_every_record_is_found_by_its_command_with_the_settings_it_has():
    count = 0
    for record in RECORDS:
        if "name" not in record:  # of analyze.py
            continue
        found = command_line.read(record["script"], record["argv"]).values()
        (ours,) = [ours for ours, options in found if options.name == record["name"]]
        kept = record.get("regime") or record["settings"]
        ours = json.loads(json.dumps(vars(ours)))
        assert kept.items() <= ours.items(), record["name"]
        # What was added since is what the script has no choice of.
        assert not any(ours[key] for key in ours.keys() - kept), record["name"]
        count += 1
    assert count >= 137


# Flags.

TEXT, FILES = ["imdb_text"], ["imagenet_inception_v3"]
CIFAR = [f"cifar10_{x}" for x in ("mlp", "alexnet", "inception", "wide_resnet")]
TRAIN = [*CIFAR, *FILES, *TEXT]
PARTS = ["mnist_l2norm", "min_norm", "expressivity", "double_descent", "measures"]
PARTS += ["influence"]
OWNERS = {  # flag: the scripts that have it; every other script refuses it
    "--dataset": [*TRAIN, *PARTS],
    "--train-size": [*TRAIN, *PARTS],
    "--seed": [*TRAIN, *PARTS],
    "--overwrite": [*TRAIN, *PARTS],
    "--epochs": [*TRAIN, *(part for part in PARTS if part != "min_norm")],
    "--optimizer": [*TRAIN, "mnist_l2norm"],
    "--random-labels": [*TRAIN, "mnist_l2norm", "min_norm", "influence"],
    "--label-corruption": [*TRAIN, "min_norm", "double_descent", "measures"]
    + ["influence"],
    "--pixels": [*CIFAR, *FILES],
    "--augment": [*CIFAR, *FILES],
    "--random-crop": [*CIFAR, *FILES],
    "--no-resume": TRAIN,
    "--save-init": TRAIN,
    "--tensorboard": TRAIN,
    "--words": TEXT,
    "--word-dropout": TEXT,
    "--model": TEXT,
    "--hidden": ["cifar10_mlp"],
    "--depth": ["cifar10_wide_resnet"],
    "--width": ["cifar10_wide_resnet", "influence"],
    "--batch-norm": ["cifar10_inception", *FILES],
    "--no-batch-norm": ["cifar10_inception", *FILES],
    "--human-labels": CIFAR,
    "--record-examples": [*CIFAR, *TEXT],
    "--init-from": TRAIN,
    "--image-size": FILES,
    "--distribute": FILES,
    "--process": FILES,
    "--bandwidth": ["min_norm"],
    "--max-size": ["mnist_l2norm"],
    "--depths": ["expressivity", "measures"],
}


@pytest.mark.parametrize("script", [*TRAIN, *PARTS])
def test_help_lists_a_flag_if_and_only_if_the_script_has_it(script):
    shown = command_line.parser(script).format_help()
    for flag, owners in OWNERS.items():
        assert bool(re.search(rf"{flag}(?![\w-])", shown)) == (script in owners), flag
        if script not in owners:
            with pytest.raises(cli.UsageError, match=f"unknown flag {flag}.*has it"):
                command_line.read(script, [flag])


# Values that flags take where they do not take 1; "" needs another flag beside it.
VALUES = {"dataset": "mnist", "augment": "flip", "dropout": "0.5", "depth": "16"}
VALUES |= {"word_dropout": "0.5", "image_size": "75", "momentum": "0", "draws": "2"}
VALUES |= {"sizes": "128", "max_size": "128", "step": "128", "depths": "2"}
VALUES |= {"init_from": "a.h5", "train_size": "100", "share": "0.5"}
VALUES |= {
    "distribute": "local",
    "updates": "8",
    "networks": "10",
    "train_size": "10",
    "share": "0.7",
    "process": "0/1",
    "filters": "",
    "data_seed": "0",
}
BESIDE = dict.fromkeys(
    [("min_norm", name) for name in ("num_features", "draws", "levels", "seed")],
    ["--features", "relu"],
)


@pytest.mark.parametrize("script", [*TRAIN, *PARTS])
def test_no_listed_flag_is_refused(script):
    for action in command_line.parser(script)._actions[1:]:  # but for --help
        value = VALUES.get(action.dest, next(iter(action.choices or ["1"])))
        if (script, action.dest) == ("imdb_text", "dataset"):
            value = "synthetic_text"
        beside = BESIDE.get((script, action.dest), [])
        for flag in action.option_strings if value else ():
            words = [flag] if action.nargs == 0 else [flag, value]
            command_line.read(script, [*words, *beside])


def refusal(script, words, tmp_path):
    """What the script says of a command line that is refused; None if it is not."""
    try:
        words = [*words, "--results-dir", str(tmp_path)]
        command_line.parse_parts("", f"{script}.py", words)
    except cli.UsageError as error:
        return str(error)


@pytest.mark.parametrize("script", command_line.DEFAULTS)
def test_a_data_set_alone_is_never_refused_by_a_value_that_was_not_typed(
    script, tmp_path
):
    defaults, (script, *part) = command_line.DEFAULTS[script], script.split()
    for dataset in shared_settings.dataset_names(defaults):
        said = refusal(script, [*part, "--dataset", dataset], tmp_path)
        assert not said or not re.search(r"--[a-z-]+ \d", said), said


@pytest.mark.parametrize(
    "words, said",
    [
        (
            "expressivity bound --dataset mnist_5k",
            "mnist_5k has 4000 training examples, fewer than the default of 55000: add "
            "--train-size N, with N at most 4000.",
        ),
        ("influence --dataset synthetic", "has 2000 .* the default of 5000: add --tr"),
        ("double_descent --dataset synthetic", "has 2000 .* the default of 4000"),
        ("double_descent --train-size 70000", "^--train-size 70000: mnist has 60000"),
        ("measures --train-size 9 70000", "^--train-size 70000: mnist has 60000"),
        (
            "expressivity rademacher --train-size 20000",
            "^--train-size 20000: what principal .* has 10000 training examples",
        ),
        ("imagenet_inception_v3 --train-size 100", None),  # its batch is larger
        ("imagenet_inception_v3 --train-size 9 --batch-size 10", "^--batch-size 10: "),
        ("mnist_l2norm --step 5000", "^no size is left up to 1024: choose a larger"),
        (
            "imdb_text --momentum 0.5",
            "^--momentum 0.5 has no meaning for the optimizer adam",
        ),
        (
            "min_norm --features relu --held-out 55000",
            "^--held-out 55000: mnist has 60000 training images, and 10000 are fitted",
        ),
    ],
)
def test_a_refusal_says_what_was_typed_and_what_is_a_default(words, said, tmp_path):
    script, *words = words.split()
    found = refusal(script, words, tmp_path)
    assert re.search(said, found) if said else found is None, found


@pytest.mark.parametrize(
    "old, new",
    [
        ("cifar10_mlp.py --opt adam --max-epochs 3 --size 500", None),
        ("cifar10_mlp.py --sizes 500", "cifar10_mlp.py --train-size 500"),
        ("mnist_l2norm.py --opt sgd --max-epochs 9 --size 8 4", None),
        ("mnist_l2norm.py --sizes 8 4", "mnist_l2norm.py --train-size 8 4"),
        ("min_norm.py --size 9", "min_norm.py --train-size 9"),
        ("expressivity.py theorem --sizes 5 9", None),
        ("expressivity.py memorize --max-epochs 9", None),
    ],
)
def test_one_word_for_one_thing_in_every_script(old, new):
    words = {"--opt": "--optimizer", "--max-epochs": "--epochs"}
    words |= {"--size": "--train-size", "--sizes": "--train-size"}
    new = new or " ".join(words.get(word, word) for word in old.split())
    assert old != new and name(old) == name(new)
    script, flags = commands.split(new)
    shown = command_line.parser(script.removesuffix(".py")).format_help()
    assert all(flag in shown for flag in flags if flag.startswith("--"))
    assert not any(f"{word} " in shown for word in words)


def test_parts_have_names_and_settings_of_their_own():
    found = command_line.read(
        "expressivity", ["--seed", "2", "--widths", "3", "1", "3"]
    )
    assert [*found] == ["theorem", "rademacher", "memorize", "bound"]
    assert [options.name for _, options in found.values()] == [
        "expressivity_theorem_seed2",
        "expressivity_rademacher_w1-3_seed2",
        "expressivity_memorize_w1-3_seed2",
        "expressivity_bound_w1-3_seed2",
    ]
    assert found["theorem"][0].widths is None
    with pytest.raises(cli.UsageError, match="name one of theorem"):
        commands.parse("expressivity.py")
    with pytest.raises(cli.UsageError, match="--train-size does not concern memorize"):
        commands.parse("expressivity.py memorize --sizes 9")


def test_a_script_without_settings_is_refused():
    with pytest.raises(cli.UsageError, match="mine.py: its settings are not in"):
        command_line.read("mine", [])


def test_optimizers_of_many_networks_at_once():
    assert {*replicas.OPTIMIZERS} == {*shared_settings.OPTIMIZERS}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0005, "0.0005"),
        (5e-07, "0.0000005"),
        (1e22, "1" + "0" * 22),
        (100.0, "100"),
        (0.1 + 0.2, "0.30000000000000004"),
        ((3, 0.5), "3-0.5"),
        (10, "10"),
        ("full", "full"),
    ],
)
def test_spelling(value, text):
    assert settings.spell(value) == text


def test_example_of_the_docstring():
    from dataclasses import dataclass

    names = vars(settings) | {"dataclass": dataclass}
    assert doctest.testmod(settings, extraglobs=names) == (0, 2)


# What answers at once.

ANSWER = """
import contextlib, io, json, runpy, sys

heavy, scripts = json.loads(sys.argv[1])
for script in scripts:
    for flag in ("--help", "--random-label"):
        sys.argv = [script, "model.h5", flag] if "analyze" in script else [script, flag]
        said, help = io.StringIO(), io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(help):
            try:
                runpy.run_path(script, run_name="__main__")
            except SystemExit as error:
                code = error.code
        print(script, flag, code, sorted({*heavy} & {*sys.modules}), said.getvalue())
"""


def answers(scripts):
    """What scripts do with --help and a wrong flag; and what they have imported."""
    command = [sys.executable, "-c", ANSWER, json.dumps([sorted(HEAVY), scripts])]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert not told.returncode, told.stderr
    return [line for line in told.stdout.splitlines() if line]


def test_help_and_a_wrong_flag_are_answered_before_anything_large_is_imported():
    lines = answers(PUBLIC)
    for script, help_, wrong in zip(PUBLIC, lines[::2], lines[1::2], strict=True):
        assert help_ == f"{script} --help 0 [] "
        begin = f"{script} --random-label 2 [] {script}: unknown flag --random-label."
        assert wrong.startswith(begin) and wrong.endswith("--help lists all.")


def run(*command, **more):
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, **more
    )


def test_a_wrong_flag_is_one_line_and_2():
    told = run("min_norm.py", "--random-label")
    assert told.returncode == 2 and not told.stdout
    assert told.stderr == (
        "min_norm.py: unknown flag --random-label. Did you mean --random-labels? "
        "--help lists all.\n"
    )


# A run without a record: it needs Keras.
NEW = "min_norm.py --dataset mnist_5k --results-dir {0} --models-dir {0}"
SLOW = """
import sys, time
class Slow:
    def find_spec(self, name, path, target=None):
        if name == "{module}":
            print("importing", flush=True)
            time.sleep(60)
sys.meta_path.insert(0, Slow())
import runpy
sys.argv = "{command}".split()
sys.path.insert(0, ".")
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("module", ["common.settings", "keras"])
def test_ctrl_c_while_a_script_imports_is_one_line_and_130(module, tmp_path):
    code = SLOW.format(module=module, command=NEW.format(tmp_path))
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=pipe, stderr=pipe, text=True
    )
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (130, "\nmin_norm.py: interrupted.\n")


MISSING = """
import sys
sys.modules["{module}"] = None
sys.argv = "{command}".split()
sys.path.insert(0, ".")
import runpy
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize(
    ("module", "install"), [("numpy", "-r requirements.txt"), ("keras", "-r req")]
)
def test_a_missing_package_is_one_line_and_1(module, install, tmp_path):
    told = run("-c", MISSING.format(module=module, command=NEW.format(tmp_path)))
    assert told.returncode == 1 and len(told.stderr.splitlines()) == 1
    assert told.stderr.startswith(
        f"min_norm.py: the package {module} is not installed. Type: "
        f"python -m pip install {install}"
    )


def test_a_module_of_ours_that_is_missing_keeps_its_traceback():
    told = run("-c", MISSING.format(module="common.settings", command="min_norm.py"))
    assert told.returncode == 1 and "Traceback" in told.stderr


def test_an_old_python_is_told_what_to_install():
    code = "import sys; sys.version_info = (3, 9, 1); import common"
    told = run("-c", code)
    assert told.returncode == 1
    assert told.stderr.startswith("Python 3.10 or newer is needed, and this is ")


@pytest.mark.parametrize("flag", ["--list", "--help"])
def test_a_reader_that_closes_the_pipe_ends_it_silently(flag):
    read, write = os.pipe()
    os.close(read)  # as `| head` does, when it has enough
    told = subprocess.run(
        [sys.executable, "reproduce.py", flag],
        cwd=ROOT,
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write)
    assert told.returncode in (0, 1) and not told.stderr  # argparse itself says 0

"""What the lab notebooks run, find and put in tables."""

import contextlib
import io
import re
import shlex
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from common import datasets, records
from common.cli import MendableError
from common.report import published, reading, stats, table_rows
from common.sweep import artefacts, commands

MINE = "mine"  # where the notebooks keep what they run


class Trained(NamedTuple):
    """A network, and how it came about."""

    command: str  # SCRIPT FLAGS
    record: dict
    model: Path


def run(main, command):
    """Runs a command into mine/ and prints how it ended; a complete run is only read.

    Args:
        main: That of the command's script.
        command: `SCRIPT FLAGS`, as typed after `python`.

    Returns:
        The record, as `main` returns it.

    Raises:
        MendableError: As `main` does.
    """
    kept = ["--quiet", "--results-dir", MINE, "--models-dir", MINE]
    return without_names(main, [*shlex.split(command)[1:], *kept])


def without_names(main, argv):
    """Runs a script and prints what it says, but for long names of runs and files.

    Args:
        main: The script's.
        argv: Its command line, as a list.

    Returns:
        What `main` returns.
    """
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        result = main(argv)
    for line in said.getvalue().splitlines():
        # A notebook finds a run, and its files, by its record.
        if line.strip() and not re.match(r"Files:|\S+ is complete|\S*_\S*$", line):
            print(line)
    return result


def true_and_random(main, small):
    """Finds a network trained on true and one on random labels, or trains them.

    Those of CIFAR-10, from saved_models/, where the data set can be found or
    downloaded; else small ones.

    Args:
        main: That of the script.
        small: `SCRIPT FLAGS` of a short training on true labels.

    Returns:
        Dict of `true labels` and `random labels` -> `Trained`.
    """
    script = small.split()[0]
    found = {}
    for labels, flags in artefacts.TRUE_AND_RANDOM.items():
        command = f"{script} {flags}".strip()
        paths = records.paths(commands.name_of(command), "results", "saved_models")
        if paths.model.exists() and paths.json.exists():
            found[labels] = Trained(command, records.read(paths.json), paths.model)
    if len(found) == 2:
        try:
            datasets.named("cifar10")
        except MendableError:
            print("CIFAR-10 is not here: two small networks take the place of its two.")
        else:
            print("The networks are those of CIFAR-10, from saved_models/.")
            return found
    for labels, flags in artefacts.TRUE_AND_RANDOM.items():
        command = f"{small} {flags}".strip()
        record = run(main, command)
        model = records.paths(record["name"], MINE, MINE).model
        found[labels] = Trained(command, record, model)
    return found


def table(runs):
    """Returns a `pandas.DataFrame`, a line a run: what it came to, and when.

    Args:
        runs: Dict of label -> record of a training.
    """
    lines = {
        label: {
            "training %": 100 * record["final"]["train_accuracy"],
            "test %": 100 * record["final"]["val_accuracy"],
            "epochs": record["epochs"],
            "fitted at epoch": record["epochs_to_fit"],
        }
        for label, record in runs.items()
    }
    return pd.DataFrame(lines).T.convert_dtypes().round(1)


def table_1(script):
    """Returns a `pandas.DataFrame`: our records of Table 1's rows beside the paper's.

    Accuracies in %, means over seeds; empty where a row has not been run.

    Args:
        script: Such as `cifar10_mlp.py`.
    """
    lines = []
    for row in table_rows.table_1(reading.load(Path("results")), published.by_run()):
        if row.command.split()[1] != script:
            continue
        train, test = row.final("train_accuracy"), row.final("test_accuracy")
        lines.append(
            row.fields
            | {
                "model": row.fields["model"].replace("without BatchNorm", "no BN"),
                "train %": stats.percent(train.mean) if train else "",
                "test %": stats.percent(test.mean) if test else "",
                "paper": stats.percent(row.paper["test_accuracy"].value),
                "fitted": table_rows.epochs_to_fit(row).split(" (")[0],
            }
        )
    return pd.DataFrame(lines).set_index("row")


def norms_and_margins(layers, margins):
    """Returns a `pandas.DataFrame`: how large the weights, and how sure the answers.

    Args:
        layers: Dict of label -> list of dicts with the `frobenius` norm of a kernel,
            one a layer (`norms.layer_norms`).
        margins: Dict of label -> `(n,)`: those of the training images, in logits.
    """
    lines = {}
    for label, rows in layers.items():
        norm = np.linalg.norm([row["frobenius"] for row in rows])
        median = np.median(margins[label])
        lines[label] = {
            "norm of all kernels": norm,
            "median margin": median,
            "smallest margin": margins[label].min(),
            "median margin / norm": median / norm,
        }
    return pd.DataFrame(lines).round(3)

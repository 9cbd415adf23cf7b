"""Every record of a folder, with its curves (imports no Keras)."""

import os
from pathlib import Path
from typing import NamedTuple

from common import records
from common.cli import MendableError


class Run(NamedTuple):
    """One record, with the curves of its CSV (empty where there is none)."""

    name: str
    record: dict
    history: dict  # column -> list of floats, one an epoch


def load(results):
    """Reads every record of a folder, and its curves.

    What is no record, or lies beside the CSV of another run, is named on stderr and
    left out.

    Args:
        results: `Path` of the folder.

    Returns:
        Dict from name to `Run`, ordered by name.
    """
    runs = {}
    for name, record in records.read_all(results).items():
        try:
            runs[name] = Run(name, record, curves(results / f"{name}.csv", record))
        except MendableError as error:
            records.left_out(error)
    return runs


def collect(folders):
    """Reads the records of several folders, such as those of a class.

    Args:
        folders: List of `Path`s.

    Returns:
        `(parent, runs)`: the folder that holds them all, and dict from name to `Run`. A
        name begins with its folder as seen from there: `ada/cifar10_mlp_seed0`.

    Raises:
        MendableError: If one of them is no folder.
    """
    for folder in folders:
        if not folder.is_dir():
            raise MendableError(f"--collect {folder}: there is no such folder.")
    whole = [folder.resolve() for folder in folders]
    parent = Path(os.path.commonpath([folder.parent for folder in whole]))
    runs = {}
    for folder in dict.fromkeys(whole):
        for name, run in load(folder).items():
            name = f"{folder.relative_to(parent).as_posix()}/{name}"
            runs[name] = run._replace(name=name)
    return parent, runs


def curves(path, record):
    """Returns the CSV of a training as dict of column -> list of floats, else {}.

    Empty cells are NaN.

    Args:
        path: `Path` of the CSV.
        record: Dict of the run.

    Raises:
        MendableError: If the CSV is damaged, or of another run.
    """
    if record.get("script") == "examples":  # a line an example: long, and no curves
        return {}
    rows = records.read_rows(path, record)
    if "regime" not in record or not rows:
        return {}
    return {name: [float(row[name] or "nan") for row in rows] for name in rows[0]}

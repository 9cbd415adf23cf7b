"""Records as a table, or as runs of MLflow and Weights & Biases (imports no Keras)."""

import argparse
import importlib.util
import logging
import math
from pathlib import Path
from typing import NamedTuple

from common import records
from common.cli import MendableError
from common.flag_types import folder_name, path_name

KINDS = (".csv", ".parquet", "mlflow:", "wandb:")
_NEEDS = {".parquet": "pyarrow", "mlflow:": "mlflow", "wandb:": "wandb"}
_PROJECT = "rethinking-generalization"


class Target(NamedTuple):
    """Where records go: a kind of `KINDS`, and a file or (with a colon) a folder."""

    kind: str
    path: Path


def target(text):
    """An argparse type: FILE.csv, FILE.parquet, mlflow:DIR or wandb:DIR."""
    scheme, colon, rest = text.partition(":")
    if scheme + colon in KINDS:
        return Target(scheme + colon, Path(folder_name(rest)))
    path = Path(path_name(text))
    if path.suffix in KINDS:
        return Target(path.suffix, path)
    raise argparse.ArgumentTypeError(
        f"received {text!r}, expected FILE.csv, FILE.parquet, mlflow:DIR or wandb:DIR"
    )


def write(runs, target, epochs=False):
    """Writes records where other tools read them.

    Args:
        runs: Dict of name -> `reading.Run`.
        target: `Target`. Runs are added to an MLflow or W&B folder that is there.
        epochs: Whether to write a line (or step) for every epoch of each training, in
            place of the final numbers alone.

    Raises:
        MendableError: If a package is missing, there is nothing to write, or a file or
            folder cannot be written.
    """
    package = _NEEDS.get(target.kind)
    if package and not importlib.util.find_spec(package):
        raise MendableError(
            f"--export to {target.kind} needs {package}, not installed here: "
            f"pip install {package}"
        )
    if epochs and not any(run.history for run in runs.values()):
        raise MendableError("no record here is of a training, and has epochs.")
    try:
        if target.kind == "mlflow:":
            _to_mlflow(runs, target.path, epochs)
        elif target.kind == "wandb:":
            _to_wandb(runs, target.path, epochs)
        else:
            _to_file(frame(runs, epochs), target)
    except OSError as error:
        raise MendableError(
            f"cannot write {target.path}: {error.strerror or error}. Choose another "
            "--export."
        ) from None


def frame(runs, epochs=False):
    """Returns runs as a `pandas.DataFrame`.

    Args:
        runs: Dict of name -> `reading.Run`.
        epochs: See `write`.

    Returns:
        A line a run. A column is named by its place in the record: `name`,
        `regime.label_corruption`, `final.val_accuracy`; a list is a text, its values
        separated by spaces, and what a record does not have is missing. With `epochs` a
        line an epoch, with the settings and the columns of the run's CSV. A first
        column `folder` where runs of several folders are shown together.
    """
    import pandas

    lines = []
    for name, run in runs.items():
        folder, _, stem = name.rpartition("/")
        known = {"folder": folder} if folder else {}
        known |= {"name": stem, "script": run.record.get("script")}
        known |= _flat(run.record)
        if not epochs:
            lines.append(known)
            continue
        kept = ("folder", "name", "script")
        known = {
            key: value
            for key, value in known.items()
            if key in kept or key.startswith("regime.")
        }
        for values in zip(*run.history.values(), strict=True):
            lines.append(known | dict(zip(run.history, values, strict=True)))
    table = pandas.DataFrame(lines).convert_dtypes()
    for name in table.columns:  # integers and texts, as in regime.batch_size
        if table[name].dtype == object:
            table[name] = table[name].astype("string")
    return table


def _flat(record):
    """What a record says, as dict of place -> number or text; tables are left out."""
    found = {}
    for key, value in record.items():
        parts = value.values() if isinstance(value, dict) else value
        if not isinstance(value, (dict, list)):
            found[key] = value
        elif any(isinstance(part, dict) for part in parts):
            continue
        elif isinstance(value, dict):
            found |= {f"{key}.{name}": part for name, part in _flat(value).items()}
        else:
            found[key] = " ".join(map(str, value))
    return found


def _to_file(table, target):
    with records.replacing(target.path) as temporary:
        if target.kind == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False, encoding="utf-8")


def _settings_and_numbers(run):
    """The settings of a run, and its final numbers, as two dicts by place."""
    known = {k: v for k, v in _flat(run.record).items() if v is not None}
    measured = {
        key: float(value)
        for key, value in known.items()
        if not key.startswith(("regime.", "settings."))
        and isinstance(value, (int, float))
        and not isinstance(value, bool)
    }
    return {k: v for k, v in known.items() if k not in measured}, measured


def _steps(run):
    """The finite numbers of each epoch: pairs of epoch and dict of column -> number."""
    for i, epoch in enumerate(run.history.get("epoch", ())):
        row = {name: values[i] for name, values in run.history.items()}
        yield int(epoch), {k: v for k, v in row.items() if math.isfinite(v)}


def _to_mlflow(runs, folder, epochs):
    from mlflow.entities import Metric, Param, RunStatus
    from mlflow.tracking import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # the tables it makes
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    if found := client.get_experiment_by_name(_PROJECT):
        experiment = found.experiment_id
    else:
        experiment = client.create_experiment(_PROJECT, folder.as_uri())
    for name, run in runs.items():
        settings, measured = _settings_and_numbers(run)
        begun = client.create_run(experiment, run_name=name).info.run_id
        params = [Param(key, str(value)[:6000]) for key, value in settings.items()]
        metrics = [Metric(key, value, 0, 0) for key, value in measured.items()]
        for epoch, row in _steps(run) if epochs else ():
            metrics += [Metric(key, value, 0, epoch) for key, value in row.items()]
        for start in range(0, len(params), 100):  # as many as a call takes
            client.log_batch(begun, params=params[start : start + 100])
        for start in range(0, len(metrics), 1000):
            client.log_batch(begun, metrics=metrics[start : start + 1000])
        client.set_terminated(begun, RunStatus.to_string(RunStatus.FINISHED))


def _to_wandb(runs, folder, epochs):
    import wandb

    folder.mkdir(parents=True, exist_ok=True)
    for name, run in runs.items():
        settings, measured = _settings_and_numbers(run)
        begun = wandb.init(
            mode="offline",
            dir=folder,
            project=_PROJECT,
            name=name,
            config=settings,
            settings=wandb.Settings(silent=True, console="off"),
        )
        for epoch, row in _steps(run) if epochs else ():
            begun.log(row, step=epoch)
        begun.summary.update(measured)
        begun.finish()

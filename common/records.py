"""What a run leaves behind: names, paths, CSV, JSON, the verdict (imports no Keras)."""

import contextlib
import csv
import datetime
import hashlib
import io
import json
import math
import os
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
from filelock import FileLock, Timeout

from common.cli import MendableError

FIT_THRESHOLD = 0.99  # of the training labels, on the fixed model: "fitted"

CORRUPTION_COLUMNS = ("kept_accuracy", "flipped_accuracy", "flipped_true_accuracy")


class Paths(NamedTuple):
    """The files of one run."""

    csv: Path
    json: Path
    model: Path
    init: Path
    checkpoint: Path
    lock: Path


def paths(name, results_dir="results", models_dir="saved_models"):
    """Returns the `Paths` of the run called `name`."""
    results, models = Path(results_dir), Path(models_dir)
    return Paths(
        csv=results / f"{name}.csv",
        json=results / f"{name}.json",
        model=models / f"{name}.h5",
        init=models / f"{name}_init.h5",
        checkpoint=models / ".checkpoints" / f"{name}.npz",
        lock=models / ".checkpoints" / f"{name}.lock",
    )


@contextlib.contextmanager
def replacing(path):
    """Yields a temporary path; on success it becomes `path` in one step.

    A reader, or a run killed at any moment, never sees half a file.
    """
    path = Path(path)
    # The suffix stays last: Keras picks the file format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_csv(path, rows):
    """Writes dicts with equal keys as one CSV file, atomically."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with replacing(path) as temporary:
        temporary.write_text(text.getvalue())


def write_json(path, record):
    """Writes the record, atomically; NaN and infinity become null."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(_plain(record), indent=1) + "\n")


def now():
    """The time in UTC, as records write it."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def read(path):
    """Reads one JSON record.

    Raises:
        MendableError: If the file is not a record.
    """
    try:
        record = json.loads(Path(path).read_text())
        if not isinstance(record, dict):
            raise ValueError("it holds no record")
        return record
    except ValueError as error:
        raise MendableError(
            f"{path} is damaged ({error}): delete it, or run again with --overwrite."
        ) from None


@contextlib.contextmanager
def only_one(run_paths, name):
    """Holds the run's lock and makes its folders.

    Raises:
        MendableError: If another process is running `name`, or a folder cannot
            be written.
    """
    try:
        for path in run_paths:
            path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(run_paths.json.with_suffix(".probe")) as temporary:
            temporary.touch()
    except OSError as error:
        raise MendableError(
            f"cannot write to {error.filename}: {error.strerror}. Choose writable "
            "folders with --results-dir and --models-dir."
        ) from None
    run_paths.json.with_suffix(".probe").unlink(missing_ok=True)
    try:
        # Both folders: a run of the same name may share one of them only.
        beside = run_paths.json.with_name(f".{name}.lock")
        with FileLock(run_paths.lock, timeout=0), FileLock(beside, timeout=0):
            yield
    except Timeout as error:
        raise MendableError(
            f"{name} is being run by another process (it holds {error.lock_file}). "
            "Wait for it, or choose another --seed."
        ) from None


def sha256(*arrays):
    """Returns the hex digest of the arrays' bytes, in order."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def git_state():
    """Returns `{"commit": hash or None, "dirty": bool or None}` of the code."""
    folder = Path(__file__).parent

    def git(*words):
        return subprocess.run(
            ["git", *words], cwd=folder, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        # Results appear while sweeps run: only changed code makes a run dirty.
        code = git("status", "--porcelain", "--", "*.py", ":/*.py")
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(code)}
    except (OSError, subprocess.CalledProcessError):  # not a clone, or no git
        return {"commit": None, "dirty": None}


def epochs_to_fit(rows):
    """First epoch with `train_accuracy` >= 0.99; None when never (censored)."""
    fitted = [r["epoch"] for r in rows if r["train_accuracy"] >= FIT_THRESHOLD]
    return fitted[0] if fitted else None


def verdict(record):
    """Says in a sentence or two, for a newcomer, what the run showed.

    Args:
        record: A run's record (see `read`).
    """
    regime, final = record["regime"], record["final"]
    chance = 1 / record["num_classes"]
    test = (
        f"Test accuracy {_percent(final['val_accuracy'])} "
        f"(chance {_percent(chance, 0)})."
    )
    if record["stopped_because"] == "diverged":
        return (
            f"Diverged: the loss stopped being a number in epoch {record['epochs']}. "
            f"Likely cause: the learning rate {regime['lr']:g} is too high for this "
            "setting; try a smaller --lr."
        )
    # Rounded down: 98.96 % has not reached 99.0 %, nor 99.96 % all labels.
    train = _percent(math.floor(1000 * final["train_accuracy"] + 1e-6) / 1000)
    if final["train_accuracy"] < FIT_THRESHOLD:
        return (
            f"Did not fit: the network reproduces {train} of the training labels "
            f"after {record['epochs']} epochs. Likely cause: {_likely_cause(record)}. "
            f"{test}"
        )
    first = (
        f"First fitted (>= {_percent(FIT_THRESHOLD, 0)}) at epoch "
        f"{record['epochs_to_fit']}."
    )
    # Of the other kinds none is ever the true label, so that they do carry some.
    blind = regime["label_noise"] in ("uniform", "exact")
    if regime["label_corruption"] == 1 and blind:
        return (
            f"Memorized: the network reproduces {train} of training labels that carry "
            f"no information. {test} {first}"
        )
    if regime["label_corruption"]:
        return (
            f"Memorized the noise: the network reproduces {train} of the training "
            f"labels, of which {_percent(record['realized_label_noise'])} are wrong. "
            f"{test} {first}"
        )
    if regime["pixels"] in ("random", "gaussian"):
        return (
            f"Memorized: the network reproduces {train} of the training labels from "
            f"images whose structure was destroyed ({regime['pixels']} pixels). "
            f"{test} {first}"
        )
    if regime.get("words") == "unigram":
        return (
            f"Memorized: the network reproduces {train} of the training labels from "
            f"random words. {test} {first}"
        )
    learned = final["val_accuracy"] > _above(chance)
    return (
        f"{'Generalized' if learned else 'Fitted, but did not generalize'}: the "
        f"network reproduces {train} of the training labels. {test} {first}"
    )


def _likely_cause(record):
    regime, final = record["regime"], record["final"]
    noisy = "random labels" if regime["label_corruption"] == 1 else "corrupted labels"
    if record["stopped_because"] == "early_stopping":
        return "early stopping ended the run, and the best epoch is reported"
    if record["stopped_because"] == "stop_at":
        return f"--stop-at {regime['stop_at']:g} asked for no more"
    if regime["label_corruption"] and regime["wd"]:
        return f"weight decay {regime['wd']:g} with {noisy}"
    if regime["label_corruption"] and regime["dropout"]:
        return f"dropout {regime['dropout']:g} with {noisy}"
    if regime["label_corruption"] and regime["augment"]:
        return f"augmentation ({', '.join(regime['augment'])}) with {noisy}"
    if regime["label_corruption"] and regime.get("word_dropout"):
        return f"word dropout {regime['word_dropout']:g} with {noisy}"
    chance = 1 / record["num_classes"]
    if final["train_accuracy"] <= _above(chance) and record["epochs"] > 20:
        return (
            f"training never left chance; the learning rate {regime['lr']:g} or the "
            "initial weights do not suit this network"
        )
    if record["epochs"] < 40:
        return f"{record['epochs']} epochs are few; try a larger --epochs"
    if final["learning_rate"] > 0.1 * regime["lr"]:
        return "the rate is still high, and more epochs may do it; try --epochs"
    return (
        f"the learning rate has decayed to {final['learning_rate']:.2g}; "
        "a run that has not fitted by now will not"
    )


def _above(chance):
    """The accuracy above which something was learnt; 1.5 times chance, or 5 points."""
    return min(1.5 * chance, chance + 0.05)


def _percent(fraction, digits=1):
    return f"{100 * fraction:.{digits}f} %"


def _plain(value):
    """Converts NumPy numbers, paths, tuples and non-finite floats for JSON."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value

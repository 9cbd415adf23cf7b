"""What a run leaves behind: names, paths, CSV, JSON (imports no Keras)."""

import contextlib
import csv
import datetime
import errno
import glob
import hashlib
import io
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from filelock import FileLock, Timeout

from common import csv_lines, schema
from common.cli import MendableError

FIT_THRESHOLD = 0.99  # of the training labels, evaluated after the epoch: "fitted"

SCHEMA = schema.VERSION  # which a record of today carries
LARGEST = 2**26  # bytes of a record or a CSV that is read: far more than any has

CORRUPTION_COLUMNS = ("kept_accuracy", "flipped_accuracy", "flipped_true_accuracy")


class Paths(NamedTuple):
    """The files of one run."""

    csv: Path
    json: Path
    model: Path
    init: Path
    checkpoint: Path
    lock: Path
    state: Path
    examples: Path
    recorded: Path  # folder: what `examples` is made of, epoch by epoch


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
        state=models / f"{name}_state.npz",
        examples=results / f"{name}_examples.h5",
        recorded=models / ".checkpoints" / f"{name}_examples",
    )


@contextlib.contextmanager
def replacing(path):
    """Yields a temporary path; on success it becomes `path` in one step.

    A reader, or a run killed at any moment, never sees half a file, and when it is
    there it outlives a loss of power.
    """
    path = Path(path)
    _clear_parts(path)
    # The suffix stays last: Keras picks the file format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path):
    """Waits until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems cannot; a full disk and a broken one are told.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EROFS):
            raise
    finally:
        os.close(descriptor)


def _clear_parts(path):
    """Removes what processes that were killed had of a file so far."""
    for part in path.parent.glob(f".{glob.escape(path.stem)}.*.part{path.suffix}"):
        writer = part.name.removeprefix(f".{path.stem}.").partition(".")[0]
        if writer.isdecimal() and not _alive(int(writer)):
            part.unlink(missing_ok=True)


def _alive(process):
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        pass
    return True


def write_text(path, text):
    """Writes a text as UTF-8, whatever the locale, atomically."""
    with replacing(path) as temporary:
        # A folder's name may have bytes that are no text.
        temporary.write_bytes(text.encode(errors="backslashreplace"))


def write_csv(path, rows):
    """Writes dicts with equal keys as one CSV file, atomically."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def write_json(path, record):
    """Writes the record, atomically; NaN and infinity become null."""
    write_text(path, json.dumps(_plain(record), indent=1) + "\n")


def now():
    """The time in UTC, as records write it."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def read(path):
    """Reads one record.

    Returns:
        Dict, as `schema.check` lets it pass.

    Raises:
        MendableError: If the file is no record, or not that of the run that its name
            says.
    """
    path = Path(path)
    record = _load(path, "delete it, or run again with --overwrite")
    try:
        schema.check(record, path.stem)
    except ValueError as error:
        raise MendableError(
            f"{path} is not the record of {path.stem}: {_brief(error)}. Move it away, "
            "or run again with --overwrite."
        ) from None
    return record


def read_parts(path):
    """Reads what an experiment of many parts has finished: dict of part -> dict.

    Raises:
        MendableError: If the file is damaged.
    """
    advice = "delete it, and its parts are measured again"
    parts = _load(path, advice, math.inf)  # as large as the run itself has made it
    if not all(isinstance(part, dict) for part in parts.values()):
        raise MendableError(f"{path} is damaged (a part is no object): {advice}.")
    return parts


def read_rows(path, record=None):
    """Reads a CSV as list of dicts of strings; an empty list where there is no file.

    Args:
        path: `Path` of the CSV.
        record: Of the run that it has to belong to (see `csv_lines.check`), or None.

    Raises:
        MendableError: If it is damaged or belongs to another run.
    """
    if not path.exists():
        return []
    try:
        text = _content(path).decode()
        lines = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        rows = list(lines)
        if any(None in row or None in row.values() for row in rows):
            raise ValueError("its lines are not equally long")
    except (ValueError, csv.Error) as error:
        raise MendableError(
            f"{path} is damaged ({_brief(error)}): delete it, or run again with "
            "--overwrite."
        ) from None
    try:
        if record is not None:
            csv_lines.check(record, rows)
    except ValueError as error:
        raise MendableError(
            f"{path} is not of the record beside it: {_brief(error)}. Move both away, "
            "or run again with --overwrite."
        ) from None
    return rows


def read_all(folder, pattern="*"):
    """Reads the records of a folder; what is none is named on stderr and left out.

    Args:
        folder: Its path.
        pattern: Of their names, as of `Path.glob`.

    Returns:
        Dict of name -> record, ordered by name.
    """
    found = {}
    for path in sorted(Path(folder).glob(f"{pattern}.json")):
        if not path.name.startswith("."):  # of a run killed as it wrote one
            try:
                found[path.stem] = read(path)
            except MendableError as error:
                left_out(error)
    return found


def left_out(error):
    """Tells on stderr of a file that is not read, and why, in one line."""
    # Of a file's name anything may be a part: also what moves a terminal's cursor.
    text = "".join(x if x.isprintable() else ascii(x)[1:-1] for x in str(error))
    print(f"Left out: {text}", file=sys.stderr)


def _content(path, largest=LARGEST):
    """The bytes of a file of at most so many.

    Raises:
        ValueError: If it is none.
    """
    try:
        if not path.is_file():  # but a folder, or a pipe that would never end
            raise ValueError("not a file")
        if path.stat().st_size > largest:
            raise ValueError(f"larger than {largest >> 20} MiB")
        return path.read_bytes()
    except OSError as error:
        raise ValueError(error.strerror) from None


def _load(path, advice, largest=LARGEST):
    """The dict of a JSON file; else `MendableError`, which ends with the advice."""
    try:
        value = msgspec.json.decode(_content(path, largest))
        if not isinstance(value, dict):
            raise ValueError("it holds no record")
        return value
    except RecursionError:
        reason = "nested too deeply"
    except ValueError as error:
        reason = _brief(error)
    raise MendableError(f"{path} is damaged ({reason}): {advice}.")


def _brief(error):
    text = str(error)
    return text if len(text) < 200 else f"{text[:200]} ..."


def of_script(script, results_dir="results"):
    """Returns the records of one training script in a folder, as a list of dicts."""
    found = read_all(results_dir, f"{script}*").values()
    return [x for x in found if x["script"] == script and "regime" in x]


def beside(path):
    """Returns the folders where a saved model's record is looked for."""
    return path.parent, path.absolute().parent.parent / "results"


def of_model(path, folder):
    """Finds what a folder of records says of a saved model.

    Args:
        path: Of the model.
        folder: Of the records.

    Returns:
        `(trained_on, sha256)`: the record's `regime`, or the model's own entry where
        one record is of many models, and the digest of the file; None where no record
        says it.
    """
    stem, found = Path(path).stem, (None, None)
    for file in Path(folder).glob("*.json"):
        if stem == file.stem:
            record = read(file)
            found = record.get("regime"), record.get("model_sha256")
        elif stem.startswith(f"{file.stem}_"):  # one record, many models
            with contextlib.suppress(MendableError):  # or any other JSON
                entry = read(file).get("models", {}).get(stem)
                found = (entry, entry.get("sha256")) if entry else found
    return found


def pictures(name, results_dir="results"):
    """Returns the paths of the pictures of one record, as a sorted list.

    `a_b_norms.png` is of the record `a_b` where there is one, not of `a`.
    """
    folder, longer = Path(results_dir), f"{name}_"
    others = [p.stem for p in folder.glob(f"{longer}*.json")]
    found = sorted((folder / "figures").glob(f"{longer}*.png"))
    return [p for p in found if not any(p.stem.startswith(f"{x}_") for x in others)]


BUSY = "is being run by another process"


@contextlib.contextmanager
def only_one(run_paths, name):
    """Holds the run's lock, makes its folders, and clears what a killed run left.

    Raises:
        MendableError: If another process is running `name`, a folder cannot be
            written, or a model there is of a record in another folder.
    """
    spare_models(run_paths)
    try:
        for path in run_paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path.parent):  # without a name to leave
                pass
    except OSError as error:
        raise MendableError(
            f"cannot write to {error.filename}: {error.strerror}. Choose writable "
            "folders with --results-dir and --models-dir."
        ) from None
    try:
        # Not at once: a sweep may be asking whether it is free.
        with contextlib.ExitStack() as held:
            for lock in _locks(run_paths):
                held.enter_context(FileLock(lock, timeout=0.5))
            for path in run_paths:
                _clear_parts(path)
            yield
    except Timeout as error:
        raise MendableError(
            f"{name} {BUSY} (it holds {error.lock_file}). "
            "Wait for it, or choose another --seed."
        ) from None


def spare_models(run_paths):
    """Refuses to write over models of saved_models/ that results/ has the record of.

    Raises:
        MendableError: If the run of these `Paths` would.
    """
    folder = run_paths.model.absolute().parent
    theirs = folder.parent / "results" / run_paths.json.name
    own = theirs.resolve() == run_paths.json.resolve()
    if folder.name != "saved_models" or own or not theirs.exists():
        return
    try:
        record = read(theirs)
    except MendableError:  # which is no record of ours
        return
    digests = {theirs.stem: record.get("model_sha256")}
    digests |= {k: x.get("sha256") for k, x in record.get("models", {}).items()}
    for name, digest in digests.items():
        path = folder / f"{name}.h5"
        if digest and path.is_file() and sha256_of(path) == digest:
            raise MendableError(
                f"{path} is the model of the record {theirs}, and would be written "
                "over: choose another folder for yours with --models-dir."
            )


def _locks(run_paths):
    """Both folders': a run of the same name may share one of them only."""
    return run_paths.lock, run_paths.json.with_name(f".{run_paths.json.stem}.lock")


def is_run(run_paths):
    """Whether a process runs the run of these paths now."""
    for lock in _locks(run_paths):
        try:
            if lock.exists():
                with FileLock(lock, timeout=0):
                    pass
        except Timeout:
            return True
        except OSError:  # of a folder that was removed
            pass
    return False


def forget_checkpoint(run_paths, record):
    """Removes the checkpoint of a run that was killed when its record was just there.

    Args:
        run_paths: `Paths`.
        record: Of the complete run.
    """
    # Not one of another, unfinished run of the same name in another --results-dir.
    with contextlib.suppress(OSError, ValueError, KeyError, zipfile.BadZipFile):
        if run_paths.checkpoint.stat().st_mtime <= run_paths.json.stat().st_mtime:
            with np.load(run_paths.checkpoint) as file:
                meta = json.loads(str(file["meta"]))
            epochs = len(meta["rows"])
            if (meta["data"], epochs) == (record["train_sha256"], record["epochs"]):
                remove_checkpoint(run_paths)


def remove_checkpoint(run_paths):
    """Removes what a run keeps in order to go on: examples of each epoch, too."""
    shutil.rmtree(run_paths.recorded, ignore_errors=True)
    run_paths.checkpoint.unlink(missing_ok=True)  # last: by it a later run finds them


def sha256(*arrays):
    """Returns the hex digest of the arrays' bytes, in order."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def sha256_of(path):
    """Returns the hex digest of a file; None of None."""
    return path and hashlib.sha256(Path(path).read_bytes()).hexdigest()


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


def as_read(record):
    """Returns a record as it is read when it has been written."""
    return json.loads(json.dumps(_plain(record)))


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

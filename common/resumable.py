"""Experiments of many small parts: what is saved, and the record.

`mnist_l2norm.py`, `min_norm.py`, `expressivity.py`, `double_descent.py`, `influence.py`
and `measures.py` train or solve many small things in one process. A finished part is
saved at once, so that a stopped script continues after it; the record is written last,
so that its presence means complete.
"""

import contextlib
import sys
import time

from common import cli, records

_MEASURED_IN = "environment"  # in the file of parts, beside them; no part's name


class Finished(dict):
    """Results by part, each written to a JSON file as soon as it is set.

    Args:
        path: Of the file. The parts that it holds already are read.
        old: Path of a record that goes as soon as a part of the new one is saved.
        environment: As from `backend.environment`, in which parts are measured now.

    Attributes:
        inexact: Whether some of the parts were measured in another environment, or
            may have been.

    Raises:
        MendableError: If that file is damaged.
    """

    def __init__(self, path, old, environment):
        from common.engine import backend

        parts = records.read_parts(path) if path.exists() else {}
        before = parts.pop(_MEASURED_IN, {})  # none: of before that was kept
        super().__init__(parts)
        self.path, self.old, self.environment = path, old, environment
        self.inexact = bool(parts) and (
            before.get("inexact", True) or backend.changed(before["last"], environment)
        )

    def __setitem__(self, part, result):
        super().__setitem__(part, result)
        self.old.unlink(missing_ok=True)
        environment = {"last": self.environment, "inexact": self.inexact}
        records.write_json(self.path, {**self, _MEASURED_IN: environment})
        # As read after an interruption, so that resuming changes no digit.
        super().__setitem__(part, records.read_parts(self.path)[part])


def timed(function, *args):
    """Returns what a function returns, a dict, with the `seconds` that it took."""
    clock = time.perf_counter()
    part = function(*args)
    return part | {"seconds": round(time.perf_counter() - clock, 2)}


def run(script, name, args, measure, draw):
    """Runs an experiment, or the rest of an interrupted one, and prints its verdict.

    Writes CSV and JSON, and what `draw` draws. A complete run is not run again without
    `--overwrite`.

    Args:
        script: The script's name without `.py`.
        name: The run's name.
        args: Object with `argv`, `results_dir`, `models_dir` and `overwrite`.
        measure: Function of `records.Paths` and `Finished`. It adds each part to the
            latter and returns `(rows, fields)`: the lines of the CSV as dicts, and
            fields of the record, including `verdict`.
        draw: Function of the record and the path of the CSV, which draws the figures
            and returns their paths.

    Returns:
        The record as a dict.

    Raises:
        MendableError: If another process runs the same name, a folder cannot be
            written, or what lies there is damaged or another run's.
        Interrupted: After Ctrl-C; the message says what is saved and how to continue.
    """
    paths = records.paths(name, args.results_dir, args.models_dir)
    partial = paths.checkpoint.with_suffix(".json")
    if paths.json.exists() and not args.overwrite:  # nothing is written
        return _complete(name, args, paths, partial)
    with records.only_one(paths, name):
        if paths.json.exists() and not args.overwrite:  # since just now
            return _complete(name, args, paths, partial)
        from common.engine import backend  # Keras, which a complete run does not need

        started, git = records.now(), records.git_state()
        environment = backend.environment()
        if paths.json.exists():  # overwriting: parts, if any, are older than the record
            partial.unlink(missing_ok=True)
        done = Finished(partial, paths.json, environment)
        resumed_at = list(done)
        if done.inexact:
            print(
                f"Note: some of what {partial} holds was measured in another "
                "environment (processor, versions, threads or settings), or in one "
                "that it does not name; the record will say so.",
                file=sys.stderr,
            )

        def saved():
            parts = "1 finished part is" if len(done) == 1 else "{} finished parts are"
            command = cli.again(script, args.argv)
            if paths.json.exists():  # no part has taken the place of the old record
                command += " --overwrite"
            return (
                f"stopped; {parts.format(len(done))} saved, the part in progress is "
                f"lost. To continue, type: {command}"
            )

        with cli.interruptible(saved):
            rows, fields = measure(paths, done)
            record = {
                "schema": records.SCHEMA,
                "name": name,
                "script": script,
                "argv": args.argv,
                **fields,
                **environment,
                "git": git,
                "resumed_at": resumed_at,
                "resumed_in_another_environment": done.inexact,
                "started": started,
                "finished": records.now(),
            }
            record = records.as_read(record)
            paths.json.unlink(missing_ok=True)  # an old one would not be of this CSV
            records.write_csv(paths.csv, rows)
            drawn = draw(record, paths.csv)
            # Last: its presence means complete, figures and all.
            records.write_json(paths.json, record)
        partial.unlink(missing_ok=True)
    _show(record, paths, drawn)
    return record


def _complete(name, args, paths, partial):
    """Tells that a run is complete; returns its record."""
    record = records.read(paths.json)
    print(f"{name} is complete; --overwrite runs it again.")
    if str(args.results_dir) == "results":  # which has ours
        folders = "--results-dir mine --models-dir mine"
        print(f"To make your own and keep that record, add {folders}.")
    with contextlib.suppress(OSError):  # killed when the record was just there
        if partial.stat().st_mtime <= paths.json.stat().st_mtime:
            partial.unlink()
    _show(record, paths, records.pictures(name, args.results_dir))
    return record


def _show(record, paths, drawn):
    print("\n" + record["verdict"])
    print("Files:", *drawn, paths.csv, paths.json, flush=True)

"""Scripts that measure part by part: what is kept, what is left.

`mnist_l2norm.py`, `min_norm.py` and `expressivity.py` train or solve many small things
in one process. A finished part is kept when the script is stopped; the record is
written last, so that its presence means complete.
"""

from common import cli, records
from common.engine import backend


class Finished(dict):
    """Part -> its result, as JSON has it; on disk as soon as it is here."""

    def __init__(self, path):
        super().__init__(records.read(path) if path.exists() else {})
        self.path = path

    def __setitem__(self, part, result):
        super().__setitem__(part, result)
        records.write_json(self.path, self)
        # As after an interruption, so that the files agree to the last digit.
        super().__setitem__(part, records.read(self.path)[part])


def run(script, name, args, measure):
    """Measures what an interrupted run has not, and leaves CSV and JSON.

    Args:
        script: The script's name without `.py`.
        name: The run's name; a complete run is not run again.
        args: `regime.Options`, or an object with those fields.
        measure: Function of `records.Paths` and `Finished`. It adds each part to the
            latter and returns `(rows, fields)`: the lines of the CSV, and what the
            record says beside where and when, a `verdict` among it.

    Returns:
        `(record, paths)`.

    Raises:
        MendableError: If another process runs the same name, or a folder cannot be
            written.
        Interrupted: After Ctrl-C.
    """
    paths = records.paths(name, args.results_dir, args.models_dir)
    with records.only_one(paths, name):
        if paths.json.exists() and not args.overwrite:
            print(f"{name} is complete; --overwrite runs it again.")
            if str(args.results_dir) == "results":  # which has ours
                print("To make your own and keep that record, add --results-dir mine.")
            return records.read(paths.json), paths
        started, git = records.now(), records.git_state()
        partial = paths.checkpoint.with_suffix(".json")
        if paths.json.exists():  # else finished parts are those of an unfinished run
            partial.unlink(missing_ok=True)
            paths.json.unlink()
        done = Finished(partial)
        kept = list(done)
        try:
            rows, fields = measure(paths, done)
        except KeyboardInterrupt:
            raise cli.Interrupted(
                f"stopped; finished parts are kept ({len(done)} by now), of the "
                "unfinished one nothing is. To go on, type: "
                + cli.again(script, args.argv)
            ) from None
        record = {
            "name": name,
            "script": script,
            "argv": args.argv,
            **fields,
            **backend.environment(),
            "git": git,
            "resumed_at": kept,
            "started": started,
            "finished": records.now(),
        }
        records.write_csv(paths.csv, rows)
        records.write_json(paths.json, record)
        partial.unlink(missing_ok=True)
    return records.read(paths.json), paths


def show(record, files):
    """Prints the verdict, and where everything is."""
    print("\n" + record["verdict"])
    print("Files:", *files, flush=True)

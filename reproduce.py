"""Run what a table or figure of the paper needs and has not yet, then draw it.

  python reproduce.py demo --results-dir demo --models-dir demo   # minutes, offline
  python reproduce.py --list                        # what there is, and what is done
  python reproduce.py table_1 --seeds 3 --workers 2           # Table 1, three seeds
  python reproduce.py table_1 figure_1 --only cifar10_mlp     # what its MLPs need
  python reproduce.py --verify cifar10_mlp_n5000_adam_seed0   # a record, trained again

A run with a record is not run again, and an interrupted one continues: stop this at
any time and type it again. `--dry-run` prints the commands, which may also be typed
one by one. `--cluster` runs them on the machines of a Ray cluster, `--shard i/n` a
part of them, as one of n jobs of a batch system. The commands are plain data in
common/sweep/artefacts.py; what each run prints is in .logs/ of the results folder.
"""

import argparse
import re
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from common import cli, datasets, records, reviews, verdicts
from common.engine import machine
from common.flag_types import (
    address,
    folder_name,
    folder_path,
    integer,
    number,
    one_of_n,
)
from common.regime import Regime
from common.sweep import artefacts, cluster, commands, runner, verify

ROOT = Path(__file__).resolve().parent
SEEDS = 10_000  # more runs than anybody waits for


def main(argv=None):
    args = _parser().parse_args(argv)
    names = args.experiments
    if args.verify:
        return _verify(args)
    if args.list and not names:
        names = list(artefacts.all_varied(args.dataset, args.flags))
    if unknown := sorted({*names} - {*artefacts.ARTEFACTS}):
        raise cli.UsageError(
            f"unknown experiment {', '.join(unknown)!r}. "
            f"Expected some of: {', '.join(artefacts.ARTEFACTS)}."
        )
    if not names:
        raise cli.UsageError(
            f"no experiment was named. Name some of: {', '.join(artefacts.ARTEFACTS)}; "
            "or --list them."
        )
    if not args.cluster and (args.cpus_per_run or args.gpus_per_run is not None):
        raise cli.UsageError(
            "--cpus-per-run and --gpus-per-run are about a cluster: give --cluster "
            "ADDRESS too, or leave them out."
        )
    if args.list and (args.dry_run or args.shard):
        raise cli.UsageError(
            "--list shows all that there is: leave --dry-run and --shard out."
        )
    if args.cluster and args.workers:
        raise cli.UsageError(
            "--workers is about this machine, and --cluster shares the runs out "
            "itself: leave one of the two out."
        )
    if args.cluster and args.data_dir and not Path(args.data_dir).is_absolute():
        raise cli.UsageError(
            f"--data-dir {args.data_dir}: with --cluster, expected a full path, the "
            "same on every machine."
        )
    if not args.cluster:
        cli.existing(args.data_dir)
    kept = records.read_all(args.results_dir)
    rates, elsewhere = _rates(args, kept)
    if args.list:
        return _list(names, args, kept, rates, elsewhere)
    jobs = jobs_of(names, args, rates)
    if args.shard:
        jobs = _shard(jobs, *args.shard)
    missing = [job for job in jobs if job.name not in kept]
    if args.dry_run:
        for job in missing:
            print(shlex.join(["python", *job.command, *job.folders]))
        if not missing:
            print(f"Nothing is missing: {_all(jobs)} done.", file=sys.stderr)
        return None
    print(f"{len(jobs) - len(missing)} of {len(jobs)} runs are done already.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as gently as Ctrl-C
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # a terminal closed; no nohup
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    try:
        failed = _run(missing, len(jobs), args) if missing else []
        # The other shards are not there yet.
        undrawn = None if args.shard else _draw(args)
    except KeyboardInterrupt:
        again = cli.again("reproduce", argv or sys.argv[1:])
        raise cli.Interrupted(
            f"stopped; finished epochs are saved. To continue, type: {again}"
        ) from None
    if failed:
        raise cli.MendableError(
            f"{len(failed)} of {len(missing)} runs failed: "
            f"{', '.join(job.name for job in failed)}. Their last words are above; "
            "mend the cause and type the same command again."
        )
    if undrawn:
        raise cli.MendableError(undrawn)
    return None


def _all(jobs):
    return f"all {len(jobs)} runs are" if len(jobs) > 1 else "the one run is"


def jobs_of(names, args, rates=None):
    """Returns the `runner.Job`s of some experiments, each once, in their order.

    Args:
        names: Keys of `artefacts.ARTEFACTS`.
        args: The command line, with `list`, `seeds`, `dataset`, `flags`, `only`,
            `results_dir`, `models_dir` and `data_dir`.
        rates: First of what `_rates` returns, or None: no time is estimated.

    Raises:
        UsageError: If no run can be had on that data set or with those flags (those
            that cannot are left out, and stderr says so), or if `only` leaves none.
    """
    jobs, refused = {}, {}
    for name in names:
        for run in artefacts.ARTEFACTS[name].runs.values():
            if args.only not in run:
                continue
            try:
                run = commands.varied(run, args.dataset, args.flags)
            except cli.UsageError as error:
                refused[run] = error
                continue
            for seed in range(1 if commands.runs_once(run) else args.seeds):
                job = _job(run, seed, rates or {}, args)
                jobs.setdefault(job.name, job)
    if refused and not args.list:
        first = next(iter(refused.values()))
        if not jobs:
            raise first
        records.left_out(f"{verdicts.count(len(refused), 'run')}. The first: {first}")
    if not jobs and not args.list:
        raise cli.UsageError(
            f"--only {args.only}: no command of {', '.join(names)} holds that. "
            "--dry-run without it prints them."
        )
    return [_with_weights(job, jobs) for job in jobs.values()]


def _with_weights(job, jobs):
    """A job with the path that the weights have from which it starts, if it does.

    The artefacts have them in saved_models/: of the folder of models where they are, or
    where one of these jobs will leave them, else of the clone.
    """
    if not job.needs or job.needs.parent != Path("saved_models"):  # of --flags
        return job
    path, published = job.models_dir / job.needs.name, ROOT / job.needs
    if path.stem not in jobs and not path.exists() and published.exists():
        path = published
    if path == job.needs:
        return job
    return job._replace(command=commands.starting_from(job.command, path), needs=path)


def _shard(jobs, part, parts):
    """One of so many parts of the jobs; what needs a job's model goes with that job."""
    ours = jobs[part - 1 :: parts]
    models, made = ({job.paths.model for job in x} for x in (ours, jobs))
    return [
        job
        for job in jobs
        if job.needs in models or (job in ours and job.needs not in made)
    ]


def _job(run, seed, rates, args):
    (settings, options), epochs, seconds = commands.parse(run, seed), None, None
    script, flags = commands.split(run)
    if isinstance(settings, Regime):  # its CSV has a line an epoch
        epochs = settings.epochs
        known = datasets.FACTS.get(settings.dataset)  # not of one's own images
        examples = settings.train_size or (known and known.train)
        if examples and options.script in rates:
            seconds = rates[options.script] * epochs * examples
    flags += ["--seed", str(seed)] if seed else []
    flags += ["--data-dir", args.data_dir] if args.data_dir else []
    command = (script, *flags)
    folders = args.results_dir, args.models_dir
    start = getattr(settings, "init_from", None)
    needs = Path(start) if start else None
    return runner.Job(options.name, command, *folders, epochs, seconds, needs)


def _rates(args, kept):
    """Seconds that a script's records took an epoch and example, their median.

    Of those with the most training examples: the fewer there are, the more of an epoch
    is the test set's.

    Args:
        args: The command line.
        kept: The records of its folder of results, as a dict. Those in results/ count
            too.

    Returns:
        `({script: seconds}, [script])`, those of this machine where there are some;
        for the scripts of the list there are only those of others.
    """
    ours = tuple(name for name, _ in machine.gpus()) or f"{machine.processor()}, "
    found, needed = {}, {"epochs", "train_examples", "seconds", "device"}
    known = [*kept.values()]
    if args.results_dir.resolve() != ROOT / "results":
        known += records.read_all(ROOT / "results").values()
    for record in known:
        if needed <= record.keys():
            passes = record["epochs"] * record["train_examples"]
            here = record["device"].startswith(ours)
            places = found.setdefault(record["script"], {True: [], False: []})
            rate = record["seconds"] / passes
            places[here].append((record["train_examples"], rate))
    rates = {}
    for script, places in found.items():
        known = places[True] or places[False]
        most = max(known)[0]
        rates[script] = statistics.median(rate for n, rate in known if n == most)
    return rates, sorted(script for script, v in found.items() if not v[True])


def _list(names, args, kept, rates, elsewhere):
    rows = [("experiment", "runs", "done", "time left", "")]
    for name in names:
        jobs = jobs_of([name], args, rates)
        left = [job for job in jobs if job.name not in kept]
        known = [job.seconds for job in left if job.seconds is not None]
        time = f"about {verdicts.duration(sum(known))}" if known else "unknown"
        if known and len(known) < len(left):
            time += f"; unknown for {len(left) - len(known)} of {len(left)}"
        time = time if left else ""
        title = artefacts.ARTEFACTS[name].title
        rows.append((name, str(len(jobs)), str(len(jobs) - len(left)), time, title))
    for name, runs, done, time, title in rows:
        print(f"{name:27}{runs:>5}{done:>6}   {time}".rstrip())
        if title:
            print(f"  {title}")
    print("\nTime: one run after the other, at the speed of records of this machine.")
    if elsewhere:
        print(f"Other machines' where it has none: {', '.join(elsewhere)}.")


def _run(jobs, whole, args):
    """Runs what is missing of so many runs; returns the jobs that failed."""
    if args.cluster:
        cpus, gpus = args.cpus_per_run or 1, args.gpus_per_run or 0
        return cluster.run(jobs, args.cluster, cpus, gpus)
    workers = args.workers or len(runner.gpus()) or min(len(machine.cores()), 8)
    # Not of those missing: a run has as many cores when the sweep is typed again.
    return runner.local(jobs, min(workers, whole))


def _verify(args):
    """Trains records again in a scratch folder and says how near they come.

    Raises:
        UsageError: Beside what is about experiments.
        MendableError: If there is no such training run, or one is not verified.
    """
    given = vars(args)
    beside = [x for x in ("list", "dry_run", "shard", "cluster", "flags") if given[x]]
    if args.experiments or args.dataset or beside:
        raise cli.UsageError(
            "--verify NAME... trains records again, as they were: leave experiments "
            "and other flags of what is run out."
        )
    cli.existing(args.data_dir)
    known = {}
    for name in dict.fromkeys(args.verify):
        paths = records.paths(name, args.results_dir, args.models_dir)
        if not paths.json.exists():
            raise cli.MendableError(f"{paths.json} does not exist: nothing to verify.")
        record = records.read(paths.json)
        if "regime" not in record:
            raise cli.MendableError(
                f"{name} is no training run: expected one of cifar10_*, imdb_text or "
                "imagenet_inception_v3."
            )
        known[name] = record, records.read_rows(paths.csv, record)
        if not known[name][1]:
            raise cli.MendableError(f"{paths.csv} is missing: nothing to compare with.")
    failed = []
    scratch, untrained = Path(tempfile.mkdtemp(prefix="verify-")), False
    try:
        for name, (record, rows) in known.items():
            words = verify.command(record, rows)
            words += ("--data-dir", args.data_dir) if args.data_dir else ()
            job = runner.Job(name, words, scratch, scratch, len(rows))
            # As many threads as then, where there are so many: bits depend on them.
            threads = int(record.get("threads") or 1)
            if runner.local([job], 1, machine.cores()[:threads]):
                untrained = True
                verified, said = False, "it could not be trained again (see above)"
            else:
                new = records.read(job.paths.json)
                again = records.read_rows(job.paths.csv, new)
                verified, said = verify.compare(record, rows, new, again)
            print(f"{name}: {'verified' if verified else 'NOT VERIFIED'}, {said}.")
            failed += [] if verified else [name]
    finally:
        if not untrained:  # else it holds the log that was named
            shutil.rmtree(scratch)
    if failed:
        raise cli.MendableError(
            f"{len(failed)} of {len(known)} records were not verified: "
            f"{', '.join(failed)}."
        )


def _draw(args):
    """Runs report.py; returns what went wrong, or None."""
    command = ["report.py", f"--results-dir={args.results_dir}"]
    command += commands.variation(args.dataset, args.flags)
    run = subprocess.run([sys.executable, str(ROOT / command[0]), *command[1:]])
    if not run.returncode:
        return None
    return (
        f"the runs are done, but report.py ended with exit code {run.returncode}. "
        f"Type: {shlex.join(['python', *command])}"
    )


def _cluster(text):
    return text if text == "auto" else address(text)


def _gpus(text):
    known = re.fullmatch(r"\d*\.?\d+", text, re.ASCII)
    value = float(text) if known else -1.0
    if not (0 <= value <= 1 or value.is_integer() and value > 0):
        raise argparse.ArgumentTypeError(
            f"received {text!r}, expected a number from 0 to 1, or a whole one"
        )
    return value


def _parser():
    parser = cli.parser("reproduce", __doc__)
    text = f"some of: {', '.join(artefacts.ARTEFACTS)}"
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help=text)
    add = parser.add_argument_group("what is run").add_argument
    add("--list", action="store_true", help="show what is done and what is left")
    add("--dry-run", action="store_true", help="print the commands of missing runs")
    text = "train these records of --results-dir again, elsewhere, and compare"
    add("--verify", nargs="+", metavar="NAME", help=text)
    text = "seeds 0 to N-1 of every run (default: 1)"
    add("--seeds", type=number(int, 1, SEEDS), default=1, metavar="N", help=text)
    text = "this data set in place of every run's own"
    known = (*datasets.NAMES, *reviews.NAMES)
    add("--dataset", choices=known, metavar="NAME", help=text)
    text = "more flags for every run, as in --flags='--image-size 75 --epochs 2'"
    add("--flags", type=commands.flags, metavar="FLAGS", help=text)
    text = "only the runs whose command holds TEXT, as in --only cifar10_mlp"
    add("--only", default="", metavar="TEXT", help=text)
    text = "only the i-th of n equal parts (1 <= i <= n); draws nothing"
    add("--shard", type=one_of_n(1), metavar="i/n", help=text)
    add = parser.add_argument_group("where").add_argument
    text = "runs at a time (default: one for each GPU, else for each core, at most 8)"
    add("--workers", type=integer, metavar="N", help=text)
    text = "a Ray cluster's host:port, or auto on one of its machines"
    add("--cluster", type=_cluster, metavar="ADDRESS", help=text)
    text = "on a cluster: cores a run gets (default: 1)"
    add("--cpus-per-run", type=integer, metavar="N", help=text)
    text = "on a cluster: GPUs a run gets, 0.5 to share one (default: 0)"
    add("--gpus-per-run", type=_gpus, metavar="G", help=text)
    text = "CSV and JSON (default: results)"
    add("--results-dir", type=folder_path, default="results", metavar="DIR", help=text)
    text = ".h5 files and checkpoints (default: saved_models)"
    add(
        "--models-dir",
        type=folder_path,
        default="saved_models",
        metavar="DIR",
        help=text,
    )
    add(
        "--data-dir",
        type=folder_name,
        metavar="DIR",
        help="where data sets lie on each machine",
    )
    return parser


if __name__ == "__main__":
    cli.run(main)

"""Redraw the tables and figures from the records in results/ (imports no Keras).

  python report.py                          # README.md, report.html, figures/ there
  python report.py --results-dir mine       # the same of your own runs
  python report.py --compare cifar10_mlp_seed0 cifar10_alexnet_seed0   # any number
  python report.py --gallery                # images as the model is fed them
  python report.py --dataset synthetic      # of `reproduce.py … --dataset synthetic`
  python report.py --collect class/*        # one page of the folders of a whole class
  python report.py --export runs.csv        # a line a run; or .parquet, mlflow:DIR …

Every number comes from a record; what has none reads "not yet run", and a file that
is no record is named and left out. The paper's values stand beside ours, from
common/report/paper.csv, with how sure each is. The report of a folder of your own
begins with a table and the curves of all its runs.
"""

import difflib
import itertools
import json
import re
import shlex
from pathlib import Path

from common import cli, datasets, records, reviews
from common.flag_types import file_path, folder_name, folder_path
from common.report import export
from common.sweep import artefacts, commands

ROOT = Path(__file__).resolve().parent
COMPARED = (  # of a record, what runs are compared by
    "epochs",
    "epochs_to_fit",
    "stopped_because",
    "parameters",
    "realized_label_noise",
    "precision_in_force",
    "device",
    "seconds",
)
# Experiments whose figures show the paper's curves.
DRAWN = ("figure_1", "figure_2", "inputs", "table_2")


def parse(argv):
    """Reads the command line."""
    parser = cli.parser("report", __doc__)
    parser.add_argument(
        "--results-dir",
        metavar="DIR",
        type=folder_path,
        help="the records; the report is written there (default: results)",
    )
    parser.add_argument(
        "--compare",
        nargs="+",
        metavar="RUN",
        help="put two or more runs side by side: names of records, or their files",
    )
    parser.add_argument(
        "--gallery",
        action="store_true",
        help="draw figures/gallery.png (loads Keras and a data set), then report",
    )
    parser.add_argument(
        "--dataset",
        choices=(*datasets.NAMES, *reviews.NAMES),
        metavar="NAME",
        help="of the gallery (default: cifar10); and of the runs, as in reproduce.py: "
        "their tables and figures go to report_NAME.html",
    )
    parser.add_argument(
        "--flags",
        type=commands.flags,
        metavar="FLAGS",
        help="of the runs, as in reproduce.py",
    )
    parser.add_argument(
        "--data-dir", type=folder_name, metavar="DIR", help="where its data set lies"
    )
    parser.add_argument(
        "--collect",
        nargs="+",
        type=file_path,
        metavar="DIR",
        help="draw collected.html, beside these folders of records: all their runs, "
        "with the folder as a column",
    )
    parser.add_argument(
        "--export",
        type=export.target,
        metavar="TARGET",
        help="write the records to FILE.csv, FILE.parquet (needs pyarrow), mlflow:DIR "
        "(needs mlflow) or wandb:DIR (needs wandb; offline), a line or run each",
    )
    parser.add_argument(
        "--epochs", action="store_true", help="with --export: every epoch"
    )
    arguments = parser.parse_args(argv)
    cli.existing(arguments.data_dir)
    if arguments.epochs and not arguments.export:
        raise cli.UsageError("--epochs is about what --export writes.")
    drawn = [arguments.compare, arguments.gallery, arguments.dataset, arguments.flags]
    for flag in ("collect", "export"):
        if getattr(arguments, flag) and any(drawn):
            raise cli.UsageError(
                f"--{flag} takes all runs as they are: leave --compare, --gallery, "
                "--dataset and --flags out."
            )
    if arguments.collect and arguments.results_dir:
        raise cli.UsageError("--collect names the folders: leave --results-dir out.")
    if arguments.compare and len(arguments.compare) < 2:
        raise cli.UsageError("--compare takes two runs or more.")
    others = arguments.gallery or arguments.dataset or arguments.flags
    if arguments.compare and others:
        raise cli.UsageError(
            "--compare shows the runs that it names alone: leave --gallery, --dataset "
            "and --flags out."
        )
    if arguments.data_dir and not arguments.gallery:
        raise cli.UsageError("--data-dir is about the data of --gallery.")
    return arguments


def collect(results, runs, dataset=None, flags=None):
    """Finds the runs of every experiment and draws its figures.

    Args:
        results: `Path` of the folder.
        runs: Dict of name -> `reading.Run`: every record of it.
        dataset, flags: As in reproduce.py: the experiments' runs on other data or with
            more flags. The paper's values are of other runs, and left out.

    Returns:
        `(sections, absent)`: list of `page.Section` of the experiments with a record
        (and, in the project's own folder, of Table 2), and names of the others.
    """
    from common.report import (
        example_figures,
        page,
        paper_figures,
        published,
        table_rows,
    )

    more = commands.variation(dataset, flags)
    papers = {} if more else published.by_run()
    theirs = {"kernels": published.of("kernels")}
    theirs = {"kernels": theirs} | dict.fromkeys(DRAWN, published.curves())
    here = where(results, runs)
    sections, absent = [], []
    for name, artefact in artefacts.all_varied(dataset, flags).items():
        if name == "table_1":
            rows = table_rows.table_1(runs, papers, artefact)
        else:
            rows = table_rows.of(artefact, runs, papers)
        alone = name == "table_2" and not more and not here  # the paper's curves
        if not alone and not any(row.runs for row in rows):
            absent.append(name)
            continue
        rows = [row._replace(command=f"{row.command} {here}".strip()) for row in rows]
        command = shlex.join(["python", "reproduce.py", name, *more])
        prefix = f"{label(dataset, flags)}_" if more else ""
        known = {} if more else theirs.get(name, {})
        figures = results / "figures"
        drawn = paper_figures.draw(name, rows, known, figures, prefix)
        if name == "examples":
            drawn += example_figures.compare(rows, figures, f"{prefix}examples")
        name, title = f"{prefix}{name}", artefact.title
        command = f"{command} {here}".strip()
        sections.append(page.Section(name, title, artefact.says, rows, drawn, command))
    return sections, absent


def where(results, runs):
    """Returns the flags that lead a command to a folder of results; "" for results/.

    Args:
        results: `Path` of the folder.
        runs: Dict of name -> `reading.Run`. Their models are in the folder that most of
            them named.
    """
    if results.resolve() == ROOT / "results":
        return ""
    flags = ["--results-dir", str(results)]
    folders = [_models_dir(run.record.get("argv", [])) for run in runs.values()]
    models = max(folders, key=folders.count, default=None)
    return shlex.join(flags + (["--models-dir", models] if models else []))


def _models_dir(argv):
    for flag, following in itertools.zip_longest(argv, argv[1:]):
        name, equals, value = flag.partition("=")
        if name == "--models-dir":
            return value if equals else following
    return None


def draw_missing(runs, results):
    """Draws the pictures that experiments of many parts leave, where there are none.

    Args:
        runs: Dict of name -> `reading.Run`.
        results: `Path` of the folder.
    """
    from common.report import (
        descent_figures,
        influence_figures,
        kernel_figures,
        measure_figures,
        norm_figures,
        theory_figures,
    )

    drawing = {
        "double_descent": descent_figures,
        "influence": influence_figures,
        "measures": measure_figures,
        "mnist_l2norm": norm_figures,
        "min_norm": kernel_figures,
        "expressivity": theory_figures,
    }
    for name, run in runs.items():
        script, csv = run.record.get("script"), results / f"{name}.csv"
        if script in drawing and csv.exists() and not records.pictures(name, results):
            drawing[script].draw(run.record, csv)


def label(dataset, flags):
    """Returns the runs' data set and more flags as part of a file's name, or ""."""
    return re.sub("[^A-Za-z0-9.]+", "-", f"{dataset or ''} {flags or ''}").strip("-")


def compare(names, results):
    """Prints runs side by side and draws figures/compare.png, which the page shows.

    Args:
        names: Names of records, or paths of their files.
        results: `Path` of the folder they lie in.

    Raises:
        MendableError: If there is no such record.
    """
    runs = [_find(name, results) for name in names]
    regimes = [{"script": r.record["script"], **r.record["regime"]} for r in runs]
    facts = [
        run.record["final"] | {name: run.record.get(name) for name in COMPARED}
        for run in runs
    ]
    width = max(len(run.name) for run in runs)
    for title, columns in (("Settings that differ", regimes), ("Results", facts)):
        print(f"{title:24}" + "  ".join(f"{run.name:{width}}" for run in runs))
        for key in dict.fromkeys(key for column in columns for key in column):
            values = [column.get(key) for column in columns]
            if title == "Results" or len(set(map(json.dumps, values))) > 1:
                cells = "  ".join(f"{_short(value):{width}}" for value in values)
                print(f"  {key:22}{cells.rstrip()}")
    from common.report import paper_figures

    path = results / "figures" / "compare.png"
    paper_figures.compare(runs, path)
    print(f"Wrote {path}")


def _find(name, results):
    """The run of a record: its file, or its name in the folder of results."""
    from common.report import reading

    path = Path(name)
    folder = path.parent if path.is_file() else results
    stem = path.name.removesuffix(".json").removesuffix(".csv")
    if (file := folder / f"{stem}.json").exists():
        record = records.read(file)
        history = reading.curves(file.with_suffix(".csv"), record)
        if history:
            return reading.Run(stem, record, history)
    runs = [name for name, run in reading.load(folder).items() if run.history]
    near = difflib.get_close_matches(stem, runs, n=3, cutoff=0.3)
    hint = f" Close to it: {', '.join(near)}." if near else ""
    raise cli.MendableError(
        f"{folder} holds no record of a training called {stem}.{hint}"
    )


def _short(value):
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def main(argv=None):
    arguments = parse(argv)

    results = arguments.results_dir or Path("results")
    if arguments.collect or arguments.export:
        return gathered(arguments, results)
    if arguments.compare:
        return compare(arguments.compare, results)
    if arguments.gallery:
        from common.report import gallery  # here alone: it imports Keras

        path = results / "figures" / "gallery.png"
        gallery.draw(arguments.dataset or "cifar10", arguments.data_dir, path)
        print(f"Wrote {path}")
    flags = arguments.flags if commands.variation(None, arguments.flags) else None
    from common.report import reading  # no word of it in --help

    runs = reading.load(results)
    if runs or (results / "analysis.csv").exists():
        draw(results, runs, arguments.dataset, flags, arguments.gallery)
    elif not arguments.gallery:
        more = commands.variation(arguments.dataset, flags)
        command = ["python", "reproduce.py", "EXPERIMENT" if more else "demo", *more]
        command += ["--results-dir", str(results), "--models-dir", str(results)]
        raise cli.MendableError(
            f"{results} holds no record. This makes some: {shlex.join(command)}"
        )


def gathered(arguments, results):
    """Draws the page of several folders, or exports the records of one or several.

    Args:
        arguments: As `parse` returns them.
        results: `Path` of the folder where `--collect` names none.

    Raises:
        MendableError: If there is no record, or what is asked for cannot be written.
    """
    from common.report import reading

    folders = arguments.collect or [results]
    if arguments.collect:
        # `class/*` also names the page that was drawn there before.
        folders = [path for path in folders if not path.is_file()] or folders
        results, runs = reading.collect(folders)
    else:
        runs = reading.load(results)
    if not runs:
        raise cli.MendableError(f"no record in {', '.join(map(str, folders))}.")
    if arguments.export:
        export.write(runs, arguments.export, arguments.epochs)
        count = f"{len(runs)} record{'s' * (len(runs) > 1)}"
        print(f"Wrote {count} to {arguments.export.path}")
        return
    from common.report import page

    where = shlex.join(["--collect", *map(str, folders)])
    path = results / "collected.html"
    written = f"python report.py {where}"
    records.write_text(path, page.render(results, [], [], runs, "", where, written))
    print(f"Wrote {path}")


def draw(results, runs, dataset=None, flags=None, lenient=False):
    """Writes the page, README.md and the figures of a folder of records.

    Args:
        results: `Path` of the folder.
        runs: Dict of name -> `reading.Run`: every record of it.
        dataset, flags: As in `collect`; such runs get a page of their own.
        lenient: Whether to do nothing where there is no such run.

    Raises:
        MendableError: If the folder has no record of the runs that `dataset` and
            `flags` ask for.
    """
    # Only now: importing matplotlib takes longer than telling most mistakes.
    from common.report import kept, markdown, page

    sections, absent = collect(results, runs, dataset, flags)
    kept.clear()
    draw_missing(runs, results)
    here, other = where(results, runs), label(dataset, flags)
    more = commands.variation(dataset, flags)
    folder = ["--results-dir", str(results)] if here else []
    written = shlex.join(["python", "report.py", *more, *folder])
    if not other:
        text = page.render(results, sections, absent, runs, "", here, written)
        records.write_text(results / "report.html", text)
        text = markdown.readme(sections, absent, runs, here, written)
        records.write_text(results / "README.md", text)
        rows = [section.rows for section in sections if section.name == "table_1"]
        if rows and not here:
            markdown.refresh_readme(markdown.short_table_1(*rows), ROOT / "README.md")
        figures = " and figures/" * (results / "figures").exists()
        print(f"Wrote {results / 'report.html'}, {results / 'README.md'}{figures}")
        return
    if not sections:
        if lenient:
            return
        command = shlex.join(["python", "reproduce.py", "EXPERIMENT", *more])
        raise cli.MendableError(
            f"{results} holds no record of such a run. This makes some: "
            f"{command} {here}".strip()
        )
    theirs = {run.name: run for s in sections for row in s.rows for run in row.runs}
    path = results / f"report_{other}.html"
    words = " ".join(filter(None, (dataset, flags)))
    text = page.render(results, sections, [], theirs, words, here, written)
    records.write_text(path, text)
    print(f"Wrote {path} and figures/{other}_*")


if __name__ == "__main__":
    cli.run(main)

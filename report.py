"""Redraw the tables and figures from the records in results/ (imports no Keras).

  python report.py                          # README.md, report.html, figures/ there
  python report.py --results-dir demo       # the same of what `make demo` left
  python report.py --compare cifar10_mlp_seed0 cifar10_alexnet_seed0   # two runs
  python report.py --gallery                # images as the model is fed them
  python report.py --dataset synthetic      # of `reproduce.py … --dataset synthetic`

Every number comes from a record; what has none reads "not yet run". The paper's
values stand beside ours, from common/report/paper.csv, with how sure each is.
"""

import difflib
import re
import shlex
from pathlib import Path

from common import cli, datasets, reviews
from common.report import front, page, paper_figures, tables
from common.sweep import artefacts

ROOT = Path(__file__).resolve().parent
COMPARED = (  # of a record, what two runs are compared by
    "epochs",
    "epochs_to_fit",
    "stopped_because",
    "parameters",
    "realized_label_noise",
    "precision_in_force",
    "device",
    "seconds",
)
PANELS = ("figure_1a", "figure_1b", "figure_1c", "kernels")  # with points of the paper


def parse(argv):
    """Reads the command line."""
    parser = cli.parser("report", __doc__)
    parser.add_argument("--results-dir", default="results", metavar="DIR", type=Path)
    parser.add_argument(
        "--compare",
        nargs=2,
        metavar=("A", "B"),
        help="put two runs side by side: names of records, or their files",
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
        "--flags", metavar="FLAGS", help="of the runs, as in reproduce.py"
    )
    parser.add_argument("--data-dir", metavar="DIR", help="where its data set lies")
    arguments = parser.parse_args(argv)
    cli.existing(arguments.data_dir)
    return arguments


def collect(results, dataset=None, flags=None):
    """Reads the records and draws the figures.

    Args:
        results: `Path` of the folder.
        dataset, flags: As in reproduce.py: the artefacts' runs on other data or with
            more flags. The paper's values are of other runs, and left out.

    Returns:
        `(sections, absent, runs)`: list of `page.Section` of the artefacts with a
        record, names of the others, and every `tables.Run` by name.
    """

    more = artefacts.variation(dataset, flags)
    runs, papers = tables.load(results), {} if more else tables.paper_by_run()
    points = {x: [] if more else tables.paper_of(x) for x in PANELS}
    sections, absent = [], []
    for name, artefact in artefacts.all_varied(dataset, flags).items():
        if name == "table_1":
            rows = tables.table_1(runs, papers, artefact)
        else:
            rows = tables.rows(artefact, runs, papers)
        if not any(row.runs for row in rows):
            absent.append(name)
            continue
        command = shlex.join(["python", "reproduce.py", name, *more])
        prefix = f"{label(dataset, flags)}_" if more else ""
        drawn = paper_figures.draw(name, rows, points, results / "figures", prefix)
        name, title = f"{prefix}{name}", artefact.title
        sections.append(page.Section(name, title, artefact.says, rows, drawn, command))
    return sections, absent, runs


def label(dataset, flags):
    """Returns the runs' data set and more flags as part of a file's name, or ""."""
    return re.sub("[^A-Za-z0-9.]+", "-", f"{dataset or ''} {flags or ''}").strip("-")


def table_1(rows):
    """Returns Table 1 as Markdown: measured beside printed, linked to its records.

    Args:
        rows: List of `tables.Row`, from `tables.table_1`.
    """
    lines = [
        "| row | model | crop | weight decay | labels | train (paper) | test (paper) "
        "| verdict | first fitted | seeds | command |",
        "|--:|--|:-:|:-:|--|--:|--:|--|--:|--:|--|",
    ]
    for row in rows:
        cells = [*row.fields.values()]
        for metric in tables.FINAL:
            ours = f"**{_spread(row, metric)}**" if row.runs else "not yet run"
            cells.append(f"{ours} ({_paper(row, metric)})")
        epochs = tables.epochs_to_fit(row)
        cells.append(tables.verdict(row) if row.runs else "")
        cells += [f"epoch {epochs}" if epochs else "", len(row.runs) or ""]
        lines.append(_line([*cells, _command(row)]))
    return "\n".join(lines)


def table(rows):
    """Returns any other artefact as Markdown: a line a row that has records."""
    rows = [row for row in rows if row.runs and row.trains]
    if not rows:
        return ""
    head = [*rows[0].fields, "train %", "test %", "first fitted", "seeds", "verdict"]
    lines = [_line([*head, "command"]), _line(["--"] * (len(head) + 1))]
    for row in rows:
        cells = [*row.fields.values()]
        for metric in tables.FINAL:
            known = metric in row.paper
            paper = f" ({_paper(row, metric)})" if known else _outcome(row, metric)
            cells.append(f"**{_spread(row, metric)}**{paper}")
        cells += [tables.epochs_to_fit(row), len(row.runs), tables.verdict(row)]
        lines.append(_line([*cells, _command(row)]))
    return "\n".join(lines)


def _line(cells):
    return f"| {' | '.join(map(str, cells))} |"


def _spread(row, metric):
    return tables.spread(row.final(metric))


def _paper(row, metric):
    value = row.paper[metric].value
    text = f"{value:.1f}" if value == 100 else f"{value:.2f}"
    return text + tables.unsure(row.paper[metric])


def _outcome(row, metric):
    """What the paper says in words of a network's training, in brackets."""
    if metric != "train_accuracy" or "outcome" not in row.paper:
        return ""
    outcome = row.paper["outcome"]
    return f" (paper: {outcome.value}{tables.unsure(outcome)})"


def _command(row):
    command = f"`{row.command.removeprefix('python ')}`"
    return f"[{command}]({row.runs[0].name}.json)" if row.runs else command


def readme(sections, absent):
    """Returns the text of results/README.md."""
    parts = [
        "# Results",
        "Written by `python report.py` from the records in this folder; "
        "[report.html](report.html) shows them with figures (open it in a browser: "
        "it needs no network). Accuracy in %, ours in bold: mean over the seeds (with "
        "the lowest and the highest where they differ), then the paper's value in "
        "brackets, with how sure it is where it is not printed; `within` is within "
        f"{tables.TOLERANCE} points of every value that the paper gives. "
        "“> N” is a run of N epochs that never fitted.",
    ]
    for section in sections:
        parts += [f"## {section.title}", f"What to look for: {section.says}"]
        if section.name == "table_1":
            parts.append(table_1(section.rows))
        elif section.name in tables.TABLES:
            head, lines = tables.TABLES[section.name](section.rows)
            parts.append("\n".join(map(_line, [head, ["--"] * len(head), *lines])))
        else:
            parts.append(table(section.rows))
        parts += [
            f"**{', '.join(row.fields.values())}**, {_command(row)}: "
            f"{row.runs[0].record.get('verdict', '')}"
            for row in section.rows
            if row.runs and not row.trains
        ]
        waiting = sum(not row.runs for row in section.rows)
        if waiting and section.name != "table_1":
            parts.append(f"Not yet run: {waiting} of {len(section.rows)} runs.")
        parts += [f"![{d.caption}](figures/{d.stem}.png)" for d in section.drawn]
    if absent:
        names = ", ".join(f"`{name}`" for name in absent)
        parts += ["## Not yet run", f"No record here yet: {names}."]
    return "\n\n".join(filter(None, parts)) + "\n"


def refresh_readme(text, path):
    """Puts Table 1 in short between README's markers."""
    start, end = "<!-- table 1, by report.py -->\n", "\n<!-- end -->"
    text = text.replace("](cifar10", "](results/cifar10")
    pattern = re.escape(start) + ".*?" + re.escape(end)
    old = path.read_text()
    path.write_text(re.sub(pattern, lambda _: start + text + end, old, flags=re.S))


def compare(names, results):
    """Prints two runs side by side and draws figures/compare.png.

    Args:
        names: Two names of records, or paths of their files.
        results: `Path` of the folder they lie in.

    Raises:
        MendableError: If there is no such record.
    """

    pair = [_find(name, results) for name in names]
    regimes = [{"script": r.record["script"], **r.record["regime"]} for r in pair]
    facts = [
        run.record["final"] | {name: run.record.get(name) for name in COMPARED}
        for run in pair
    ]
    width = max(len(run.name) for run in pair)
    for title, (a, b) in (("Settings that differ", regimes), ("Results", facts)):
        print(f"{title:24}" + "  ".join(f"{run.name:{width}}" for run in pair))
        differ = title.startswith("Settings")
        for key in dict.fromkeys([*a, *b]):
            if not differ or a.get(key) != b.get(key):
                cells = "  ".join(f"{_short(x.get(key)):{width}}" for x in (a, b))
                print(f"  {key:22}{cells.rstrip()}")
    path = results / "figures" / "compare.png"
    paper_figures.compare(pair, path)
    print(f"Wrote {path}")


def _find(name, results):
    """The run of a record: its file, or its name in the folder of results."""
    path = Path(name)
    folder = path.parent if path.is_file() else results
    stem = path.name.removesuffix(".json").removesuffix(".csv")
    runs = {k: v for k, v in tables.load(folder).items() if v.history}
    if stem not in runs:
        near = difflib.get_close_matches(stem, runs, n=3, cutoff=0.3)
        hint = f" Close to it: {', '.join(near)}." if near else ""
        raise cli.MendableError(
            f"{folder} holds no record of a training called {stem}.{hint}"
        )
    return runs[stem]


def _short(value):
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def main(argv=None):
    arguments = parse(argv)

    results = arguments.results_dir
    if arguments.compare:
        return compare(arguments.compare, results)
    if arguments.gallery:
        from common.report import gallery  # here alone: it imports Keras

        path = results / "figures" / "gallery.png"
        gallery.draw(arguments.dataset or "cifar10", arguments.data_dir, path)
        print(f"Wrote {path}")
    results.mkdir(parents=True, exist_ok=True)
    flags = arguments.flags if artefacts.variation(None, arguments.flags) else None
    other = label(arguments.dataset, flags)
    sections, absent, runs = collect(results, arguments.dataset, flags)
    if other:
        if not sections:
            if arguments.gallery:
                return
            more = artefacts.variation(arguments.dataset, flags)
            raise cli.MendableError(
                f"{results} holds no record of such a run. This makes some: "
                + shlex.join(["python", "reproduce.py", "EXPERIMENT", *more])
            )
        mine = {run.name: run for s in sections for row in s.rows for run in row.runs}
        path = results / f"report_{other}.html"
        words = " ".join(filter(None, (arguments.dataset, flags)))
        path.write_text(page.render(results, sections, [], mine, words))
        print(f"Wrote {path} and figures/{other}_*")
        return
    (results / "README.md").write_text(readme(sections, absent))
    (results / "report.html").write_text(page.render(results, sections, absent, runs))
    rows = [section.rows for section in sections if section.name == "table_1"]
    if rows and results.resolve() == ROOT / "results":
        refresh_readme(front.short_table_1(*rows), ROOT / "README.md")
    print(f"Wrote {results / 'report.html'}, {results / 'README.md'} and figures/")


if __name__ == "__main__":
    cli.run(main)

"""One self-contained page of every result: report.html (imports no Keras)."""

import functools
import itertools
import shlex
from concurrent import futures
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from common import records, reviews, verdicts
from common.report import (
    cells,
    charts,
    descent_figures,
    example_figures,
    gallery,
    influence_figures,
    kernel_figures,
    measure_figures,
    model_figures,
    names,
    norm_figures,
    pictures,
    published,
    stats,
    style,
    table_rows,
    tables,
    theory_figures,
)
from common.sweep import artefacts

_MOST_LINES = 30  # of a table that is shown without being asked for
_MOST_RUNS = 4  # whose curves are
# The end of the name of a picture that a script drew itself: what it shows.
_DRAWN_BY_SCRIPTS = (
    norm_figures.CAPTIONS
    | kernel_figures.CAPTIONS
    | theory_figures.CAPTIONS
    | descent_figures.CAPTIONS
    | measure_figures.CAPTIONS
    | influence_figures.CAPTIONS
)
_OF_EXAMPLES = (  # on the page; all are in figures/
    "examples_course",
    "examples_roc",
    "examples_gallery",
)
_COMPARE_CAPTION = (
    "Loss and accuracy on the training set (solid) and on the test set (dotted) of the "
    "runs that the last report.py --compare named."
)


class Section(NamedTuple):
    """An experiment that has at least one record."""

    name: str  # key of `artefacts.ARTEFACTS`, after its variation if it has one
    title: str
    says: str
    rows: list  # of `table_rows.Row`
    drawn: list  # of `style.Drawn`
    command: str  # that makes it


def render(results, sections, absent, runs, variation, where, written):
    """Returns the page.

    Args:
        results: `Path` of the folder; pictures in its figures/ are embedded.
        sections: List of `Section`.
        absent: Names of the experiments without any record.
        runs: Dict of name -> `reading.Run`: every record there is.
        variation: How these runs differ from the paper's.
        where: Of a folder of your own, the flags of reproduce.py that name it. Its
            runs come first.
        written: The command that writes the page.
    """
    here = Path(__file__)
    rows = table_rows.by_setting(runs)
    others = [run for run in runs.values() if "verdict" in run.record]
    if not where:  # each has its place in a section, but for what no experiment lists
        listed = {run.name for s in sections for row in s.rows for run in row.runs}
        others = [run for run in others if run.name not in listed]
    with futures.ThreadPoolExecutor() as pool:  # encodes pictures side by side
        shown = list(pool.map(_section, sections, itertools.repeat(results)))
    in_analyze = ["--results-dir", str(results)] if where else []
    text = _template().render(
        figure_inks={ink[1:].lower(): (ink, x) for ink, x in style.DARK.items()},
        style=Markup(
            here.with_name("palette.css").read_text(encoding="utf-8")
            + here.with_suffix(".css").read_text(encoding="utf-8")
        ),
        script=Markup(here.with_suffix(".js").read_text(encoding="utf-8")),
        folder=results,
        where=where,
        written=written,
        variation=variation,
        tolerance=table_rows.TOLERANCE,
        certainties=published.CERTAINTY,
        finding=_finding(rows),
        sections=shown,
        all_runs=cells.all_runs(rows) if rows else None,
        curves=charts.curves(rows) if where else None,
        inks=charts.INKS,
        others=[(run, _files(run.name, results)) for run in others],
        few=len(runs) <= _MOST_RUNS,
        runs=[_run(run, results, where) for row in rows for run in row.runs],
        compared=pictures.picture(results, "compare", _COMPARE_CAPTION),
        analysis=cells.analysis(results),
        analyze=shlex.join(["python", "analyze.py", *in_analyze]),
        analysis_figure=pictures.picture(results, "analysis", model_figures.CAPTION),
        gallery=pictures.picture(results, "gallery", gallery.CAPTION),
        absent=[(name, artefacts.ARTEFACTS[name].title) for name in absent],
        paper=cells.other_numbers(),
    )
    return text.lstrip()


@functools.cache
def _template():
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html")


def _finding(rows):
    """The main result in numbers: true and random labels on one network, or None.

    Args:
        rows: `table_rows.Row`s of `table_rows.by_setting`.
    """
    networks = {}  # settings but the level of corruption -> level -> row
    for row in rows:
        run = row.runs[0]
        settings = dict(run.record["regime"])
        level, _ = settings.pop("label_corruption"), settings.pop("seed")
        if settings["dataset"] not in reviews.NAMES:
            key = run.name.rpartition("/")[0], run.record["script"], repr(settings)
            networks.setdefault(key, {})[level] = row
    for levels in networks.values():
        if {0, 1} <= levels.keys():
            record = levels[0].runs[0].record
            return {
                "model": names.model(record),
                "data": names.data(record["regime"]),
                "chance": f"{100 / record['num_classes']:g} %",
            } | {
                f"{kind}_{part}": stats.percent(mean) + " %"
                for kind, level in (("true", 0), ("random", 1))
                for part in ("train", "test")
                for mean in [levels[level].final(f"{part}_accuracy").mean]
            }
    return None


def _section(section, results):
    """What the template shows of a `Section`, as a dict."""
    # What the paper has a number for stays in the table too.
    shown = [row for row in section.rows if row.trains and (row.runs or row.paper)]
    found = []
    if any(row.runs for row in shown):
        found.append(cells.results(shown, section.title))
    if section.name in tables.TABLES:
        head, lines = tables.TABLES[section.name](section.rows)
        found.append(cells.Table(head, cells.texts(lines), section.title))
    own = [row for row in section.rows if row.runs and not row.trains]
    return section._asdict() | {
        "figures": [pictures.inline(figure) for figure in section.drawn],
        "tables": found,
        "own": [_own_result(row, run, results) for row in own for run in row.runs]
        + [
            _examined(row, run, said, results)
            for row in section.rows
            if section.name.endswith("examples")
            for run in row.runs[:1]
            if (said := example_figures.read(results, run.name))
        ],
        "waiting": [row.command for row in section.rows if not row.runs],
    }


def _own_result(row, run, results):
    """What a script of many small parts left: its verdict, pictures and table."""
    figures = [
        pictures.picture(results, f"{run.name}_{part}", shown)
        for part, shown in _DRAWN_BY_SCRIPTS.items()
    ]
    lines = records.read_rows(results / f"{run.name}.csv")
    head, lines, same = tables.constants(*tables.grouped(lines))
    return {
        "title": _title(row),
        "said": run.record.get("verdict", ""),
        "figures": list(filter(None, figures)),
        "table": cells.Table(head, cells.texts(lines), run.name),
        "same": [f"{name.replace('_', ' ')} {text}" for name, text in same.items()],
        # A single line is what the verdict says; of many, a reader wants the picture.
        "open": 1 < len(lines) <= _MOST_LINES,
        "command": row.command,
        "files": _files(run.name, results),
    }


def _examined(row, run, said, results):
    """What examples.py found in the file of examples of a run."""
    figures = [
        pictures.picture(results, f"{run.name}_{part}", example_figures.CAPTIONS[part])
        for part in _OF_EXAMPLES
    ]
    head = ["score", "best AUC", "after epoch", "wrong among the most suspected %"]
    lines = [
        [
            cells.Cell(score),
            cells.number(f"{x['best_auc']:.3f}", x["best_auc"]),
            cells.number(str(x["best_epoch"]), x["best_epoch"]),
            cells.number(stats.percent(100 * x["precision"]), x["precision"]),
        ]
        for score, x in said["scores"].items()
    ]
    return {
        "title": _title(row),
        "said": said["says"],
        "figures": list(filter(None, figures)),
        "table": cells.Table(head, lines, f"{run.name}_examples"),
        "same": [],
        "open": False,
        "command": f"python examples.py {run.name}",
        "files": _files(f"{run.name}_examples", results),
    }


def _title(row):
    text = ", ".join(row.fields.values())
    return text[:1].upper() + text[1:]


def _files(name, results):
    return [  # a name is no scheme, as in javascript:...
        (f"{quote(name)}{suffix}", text)
        for suffix, text in ((".json", "record"), (".csv", "CSV"), (".csv.gz", "CSV"))
        if (results / f"{name}{suffix}").exists()
    ]


def _run(run, results, where):
    command = table_rows.command(run.record)
    if where and "--results-dir" not in command:  # its record was moved here
        folder = (results / run.name).parent  # one of several, where they are collected
        command += f" {shlex.join(['--results-dir', str(folder)])}"
    return {
        "name": run.name,
        "verdict": verdicts.verdict(run.record),
        "charts": [
            x for kind in ("loss", "accuracy") if (x := charts.chart(run, kind))
        ],
        "command": command,
        "files": _files(run.name, results),
    }

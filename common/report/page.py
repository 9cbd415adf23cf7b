"""One self-contained page of every result: report.html (imports no Keras)."""

import base64
import math
import re
import shlex
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote
from xml.etree import ElementTree

import jinja2
from markupsafe import Markup

from common import records, verdicts
from common.cli import MendableError
from common.report import (
    descent_figures,
    example_figures,
    gallery,
    influence_figures,
    kernel_figures,
    measure_figures,
    model_figures,
    norm_figures,
    style,
    tables,
    theory_figures,
)
from common.sweep import artefacts

# Colours of a figure -> those of the page, which differ in light and dark.
_REPLACED = {
    "#000000": "currentColor",
    "#ffffff": "var(--paper)",
    "black": "currentColor",
} | {ink.lower(): f"var(--{ink[1:].lower()})" for ink in style.DARK}
_CLASSES = {"did not fit": "unfit", "not yet run": "none"}  # others: the verdict
_MOST_LINES = 30  # of a table that is shown without being asked for
_PIXELS_PER_POINT = 1.45  # makes a figure's 8-point text about 12 pixels high
_INKS = 8  # `--ink0` … of palette.css: the colours of the curves of all runs
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
    rows: list  # of `tables.Row`
    drawn: list  # of `style.Drawn`
    command: str  # that makes it


class Cell(NamedTuple):
    """A cell of a table."""

    text: object = ""
    tag: str = "span"  # around the text; none where it is ""
    kind: str = ""  # class of the tag
    small: str = ""  # shown behind the text
    order: object = None  # what sorting compares in place of the text; "" comes last
    number: bool = False
    links: tuple = ()  # of (address, text), in place of the text


class Table(NamedTuple):
    """A sortable table."""

    head: list
    lines: list  # of lists of `Cell`
    caption: str
    names: tuple = ()  # of the lines, where a filter has to find what belongs to them


class Figure(NamedTuple):
    """A figure or picture as the page embeds it."""

    html: Markup
    width: int  # in pixels
    caption: str
    files: list  # of (address, text)


class Line(NamedTuple):
    """A curve of a `Chart`."""

    points: str  # of an SVG polyline
    ink: str
    dashes: str
    title: str
    name: str = ""  # of its line in the table of all runs


class Chart(NamedTuple):
    """A small drawing of runs against epochs; lengths in units of its viewBox."""

    unit: str  # of its values, named
    runs: str  # whose they are
    width: int
    height: int
    left: int  # where the axes begin
    grid: list  # of (y, text)
    ends: list  # of (x, anchor, text): the first and the last epoch
    lines: list  # of `Line`
    strips: list  # of (x, width, text): columns whose hover shows the values


def render(results, sections, absent, runs, variation="", where=""):
    """Returns the page.

    Args:
        results: `Path` of the folder; pictures in its figures/ are embedded.
        sections: List of `Section`.
        absent: Names of the experiments without any record.
        runs: Dict of name -> `tables.Run`: every record there is.
        variation: How these runs differ from the paper's.
        where: Of a folder of your own, the flags that name it. Its runs come first.
    """
    here = Path(__file__)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(here.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rows = tables.by_setting(runs)
    others = [run for run in runs.values() if "verdict" in run.record]
    if not where:  # each has its place in a section, but for what no experiment lists
        shown = {run.name for s in sections for row in s.rows for run in row.runs}
        others = [run for run in others if run.name not in shown]
    in_analyze = ["--results-dir", str(results)] if where else []
    template = environment.get_template("page.html")
    text = template.render(
        figure_inks={ink[1:].lower(): (ink, x) for ink, x in style.DARK.items()},
        style=Markup(
            here.with_name("palette.css").read_text(encoding="utf-8")
            + here.with_suffix(".css").read_text(encoding="utf-8")
        ),
        script=Markup(here.with_suffix(".js").read_text(encoding="utf-8")),
        folder=results,
        where=where,
        variation=variation,
        tolerance=tables.TOLERANCE,
        certainties=tables.CERTAINTY,
        finding=_finding(sections),
        sections=[_section(section, results) for section in sections],
        all_runs=_all_runs(rows) if rows else None,
        curves=curves(rows) if where else None,
        inks=_INKS,
        others=[(run, _files(run.name, results)) for run in others],
        runs=[_run(run, results, where) for row in rows for run in row.runs],
        compared=_picture(results, "compare", _COMPARE_CAPTION),
        analysis=_analysis(results),
        analyze=shlex.join(["python", "analyze.py", *in_analyze]),
        analysis_figure=_picture(results, "analysis", model_figures.CAPTION),
        gallery=_picture(results, "gallery", gallery.CAPTION),
        absent=[(name, artefacts.ARTEFACTS[name].title) for name in absent],
        paper=_other_numbers(),
    )
    return text.lstrip()


def _finding(sections):
    """The main result in numbers: true and random labels on one network, or None."""
    for section in sections:
        models = {}
        for row in section.rows:
            labels = row.fields.get("corruption", row.fields.get("labels"))
            plain = "yes" not in row.fields.values()  # no regularizer
            if row.runs and row.trains and plain and isinstance(labels, str):
                kind = labels.removesuffix(" labels")
                place = row.fields.get("model"), row.fields.get("data")
                models.setdefault(place, {})[kind] = row
        for (model, _), kinds in models.items():
            if {"true", "random"} <= kinds.keys():
                record = kinds["true"].runs[0].record
                return {
                    "model": model,
                    "data": record["regime"]["dataset"],
                    "chance": f"{100 / record['num_classes']:g} %",
                } | {
                    f"{kind}_{part}": tables.percent(mean) + " %"
                    for kind in ("true", "random")
                    for part in ("train", "test")
                    for mean in [kinds[kind].final(f"{part}_accuracy").mean]
                }
    return None


def _section(section, results):
    """What the template shows of a `Section`, as a dict."""
    # What the paper has a number for stays in the table too.
    shown = [row for row in section.rows if row.trains and (row.runs or row.paper)]
    found = []
    if any(row.runs for row in shown):
        found.append(_results_table(shown, section.title))
    if section.name in tables.TABLES:
        head, lines = tables.TABLES[section.name](section.rows)
        found.append(Table(head, _texts(lines), section.title))
    own = [row for row in section.rows if row.runs and not row.trains]
    return section._asdict() | {
        "figures": [inline(figure) for figure in section.drawn],
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


def _results_table(rows, caption):
    """The table of an experiment: ours, the paper's, difference, verdict, command."""
    metrics = [
        (metric, any(metric in row.paper for row in rows)) for metric in tables.FINAL
    ]
    head = [*rows[0].fields, "verdict"]
    for metric, known in metrics:
        head += [f"{metric.split('_')[0]} %"] + known * ["paper", "Δ"]
    head += ["first fitted", "n", "command", "records"]
    lines = []
    for row in rows:
        cells = [*map(_field, row.fields.values()), _verdict_cell(row)]
        for metric, known in metrics:
            cells += _measured_cells(row, metric, known)
        cells += [_first_fitted(row), _number(len(row.runs) or "", len(row.runs))]
        links = [(f"#run-{x.name}", x.name.rpartition("_")[2]) for x in row.runs]
        lines.append([*cells, Cell(row.command, "code"), Cell("", "", links=links)])
    return Table(head, lines, caption)


def _measured_cells(row, metric, known):
    """One metric's cells: ours, and where the table has them the paper's and Δ."""
    ours, paper = row.final(metric), row.paper.get(metric)
    if metric == "train_accuracy" and not paper:
        paper = row.paper.get("outcome")
    missing = Cell("not yet run", kind="none", order="", number=True)
    cells = [_spread(ours) if ours else missing]
    if known:
        value = paper.value if paper else ""
        text = value if isinstance(value, str) else f"{value:.2f}"
        sure = paper.certainty if paper else ""
        online = row.online and metric == "train_accuracy"
        cells.append(_number(text, value, sure + ", online" * online))
        gap = row.difference(metric)
        cells.append(_number("" if gap is None else f"{gap + 0:+.2f}", gap))
    return cells


def _spread(value):
    """A `tables.Stat` in %, the range behind the mean."""
    mean, _, spread = tables.spread(value).partition(" ")
    return _number(mean, value.mean, spread)


def _verdict_cell(row):
    text = tables.verdict(row)
    kind, outcome = _CLASSES.get(text, text), row.paper.get("outcome")
    if text == "did not fit" and outcome and outcome.value != "fitted":
        text += ", as in the paper"
    return Cell(text, kind=f"v {kind}", small=tables.rests_on(row))


def _first_fitted(row):
    last = max((run.record["epochs"] for run in row.runs), default="")
    epochs = [run.record["epochs_to_fit"] for run in row.runs]
    order = last + 0.5 if None in epochs else epochs and sum(epochs) / len(epochs)
    text, _, spread = tables.epochs_to_fit(row).partition(" (")
    return _number(text, order or "", spread and f"({spread}")


def _field(value):
    """A cell that distinguishes a row; a level of label corruption is `p = …`."""
    if isinstance(value, float):
        return Cell(f"p = {value:g}", "", order=value)
    return Cell(value)


def _number(text, order, small=""):
    text, order = ("" if value is None else value for value in (text, order))
    return Cell(text, "", "", small, order, True)


def _texts(lines):
    return [list(map(Cell, line)) for line in lines]


def _own_result(row, run, results):
    """What a script of many small parts left: its verdict, pictures and table."""
    pictures = [
        _picture(results, f"{run.name}_{part}", shown)
        for part, shown in _DRAWN_BY_SCRIPTS.items()
    ]
    head, lines = tables.grouped(records.read_rows(results / f"{run.name}.csv"))
    return {
        "title": ", ".join(row.fields.values()),
        "said": run.record.get("verdict", ""),
        "figures": list(filter(None, pictures)),
        "table": Table(head, _texts(lines), run.name),
        # A single line is what the verdict says; of many, a reader wants the picture.
        "open": 1 < len(lines) <= _MOST_LINES,
        "command": row.command,
        "files": _files(run.name, results),
    }


def _examined(row, run, said, results):
    """What examples.py found in the file of examples of a run."""
    pictures = [
        _picture(results, f"{run.name}_{part}", example_figures.CAPTIONS[part])
        for part in _OF_EXAMPLES
    ]
    head = ["score", "best AUC", "after epoch", "wrong among the most suspected %"]
    lines = [
        [
            Cell(score),
            _number(f"{x['best_auc']:.3f}", x["best_auc"]),
            _number(str(x["best_epoch"]), x["best_epoch"]),
            _number(tables.percent(100 * x["precision"]), x["precision"]),
        ]
        for score, x in said["scores"].items()
    ]
    return {
        "title": ", ".join(row.fields.values()),
        "said": said["says"],
        "figures": list(filter(None, pictures)),
        "table": Table(head, lines, f"{run.name}_examples"),
        "open": False,
        "command": f"python examples.py {run.name}",
        "files": _files(f"{run.name}_examples", results),
    }


def _files(name, results):
    return [  # a name is no scheme, as in javascript:...
        (f"{quote(name)}{suffix}", text)
        for suffix, text in ((".json", "record"), (".csv", "CSV"), (".csv.gz", "CSV"))
        if (results / f"{name}{suffix}").exists()
    ]


def _all_runs(rows):
    """The table of every training: a line for the seeds of one setting."""
    head = ["run", *rows[0].fields, "train %", "test %", "gap", "first fitted", "time"]
    lines = []
    for row in rows:
        link = (f"#run-{row.runs[0].name}", tables.setting_name(row))
        cells = [Cell(links=(link,)), *map(Cell, row.fields.values())]
        cells += [_spread(row.final(metric)) for metric in tables.FINAL]
        cells += [_spread(tables.gap(row)), _first_fitted(row)]
        seconds = tables.seconds(row)
        cells.append(_number(seconds and verdicts.duration(seconds), seconds))
        lines.append([*cells, _number(len(row.runs), len(row.runs))])
    names = tuple(map(tables.setting_name, rows))
    return Table([*head, "seeds"], lines, "All runs", names)


def _run(run, results, where):
    command = tables.command(run.record)
    if where and "--results-dir" not in command:  # its record was moved here
        folder = (results / run.name).parent  # one of several, where they are collected
        command += f" {shlex.join(['--results-dir', str(folder)])}"
    return {
        "name": run.name,
        "verdict": verdicts.verdict(run.record),
        "charts": list(filter(None, [chart(run, "loss"), chart(run, "accuracy")])),
        "command": command,
        "files": _files(run.name, results),
    }


def chart(run, kind):
    """Returns the `Chart` of one run, or None where it has no finite value.

    Args:
        run: `tables.Run`.
        kind: `loss` (cross-entropy, log scale) or `accuracy` (%).
    """
    epochs, lines = _thinned(run.history["epoch"], 25), []
    shown = {word: _values(run, kind, part, 25) for part, word in _PARTS}
    for (word, values), dashes in zip(shown.items(), ("", "2 3"), strict=True):
        lines.append((epochs, values, "var(--ink0)", dashes, word, ""))
    tips = []
    for i, epoch in enumerate(epochs):
        said = [f"epoch {epoch:g}"]
        for word, values in shown.items():
            if i < len(values) and math.isfinite(values[i]):
                loss = kind == "loss"
                text = f"{10 ** values[i]:.4g}" if loss else _percent(values[i])
                said.append(f"{word} {text}")
        tips.append((epoch, ", ".join(said)))
    return _chart(lines, kind, run.name, 320, 176, tips)


def curves(rows):
    """Returns the `Chart` of the accuracies of all runs, or None without any.

    Args:
        rows: `tables.Row`s of `tables.by_setting`; seeds share a colour.
    """
    lines = []
    for i, row in enumerate(rows):
        name = tables.setting_name(row)
        for run in row.runs:
            epochs = _thinned(run.history["epoch"], 60)
            for (part, word), dashes in zip(_PARTS, ("", "2 3"), strict=True):
                values = _values(run, "accuracy", part, 60)
                title = f"{run.name}: {word} accuracy"
                ink = f"var(--ink{i % _INKS})"
                lines.append((epochs, values, ink, dashes, title, name))
    return _chart(lines, "accuracy", "all runs", 720, 340)


_PARTS = (("train", "training"), ("val", "test"))  # of a column's name, in words


def _percent(value):
    return f"{tables.percent(value)} %"


def _thinned(values, most):
    size = len(values)
    chosen = {*range(0, size, max(1, size // most)), size - 1}
    return [values[i] for i in sorted(chosen)]


def _values(run, kind, part, most):
    """A column of a run, thinned: log10 of the loss, or the accuracy in %."""
    if kind == "loss":
        column = _thinned(run.history.get(f"{part}_cross_entropy") or [math.nan], most)
        return [math.log10(max(value, 1e-9)) for value in column]
    column = run.history.get(f"{part}_accuracy") or [math.nan]
    return [100 * value for value in _thinned(column, most)]


def _chart(lines, kind, runs, width, height, tips=()):
    """Places lines of (epochs, values, ink, dashes, title, name) in a `Chart`."""
    values = [v for line in lines for v in line[1] if math.isfinite(v)]
    if not values:
        return None
    ticks = [0, 50, 100]
    if kind == "loss":  # whole powers of ten
        low, high = math.floor(min(values)), math.ceil(max(values))
        ticks = list(range(low, max(high, low + 1) + 1))
    left, top, bottom = 38, 12, height - 36
    last = max(2, *(epochs[-1] for epochs, *_ in lines))

    def x(epoch):
        return round(left + (epoch - 1) / (last - 1) * (width - left - 8), 1)

    def y(value):
        share = (ticks[-1] - value) / (ticks[-1] - ticks[0])
        return round(top + share * (bottom - top), 1)

    drawn = [
        Line(
            " ".join(
                f"{x(epoch)},{y(value)}"
                for epoch, value in zip(epochs, values, strict=False)
                if math.isfinite(value)
            ),
            *rest,
        )
        for epochs, values, *rest in lines
    ]
    grid = [(y(t), f"{10.0**t:g}" if kind == "loss" else t) for t in ticks]
    ends = [(x(1), "start", "1"), (x(last), "end", f"{last:g}")]
    half = (x(last) - x(1)) / max(1, len(tips) - 1) / 2
    strips = [(round(x(e) - half, 1), round(2 * half, 1), text) for e, text in tips]
    unit = "cross-entropy (nats)" if kind == "loss" else "accuracy (%)"
    return Chart(unit, runs, width, height, left, grid, ends, drawn, strips)


def _picture(results, stem, caption):
    """Embeds a PNG of `style.save_png`, as large as the other figures are.

    Returns None where there is no such picture.
    """
    path = results / "figures" / f"{stem}.png"
    if not path.exists():
        return None
    data = path.read_bytes()
    width = int.from_bytes(data[16:20], "big") / style.DPI * 72 * _PIXELS_PER_POINT
    source = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    html = Markup('<img alt="{}" src="{}">').format(caption, source)
    return Figure(html, round(width), caption, [(f"figures/{stem}.png", "PNG")])


_SVG = "http://www.w3.org/2000/svg"
_COLOUR = re.compile(r"#[0-9a-f]{6}\b|\bblack\b", re.IGNORECASE)
_REFERENCE = re.compile(r"^#([\w-]+)$|url\(#([\w-]+)\)")


def inline(figure):
    """Returns a `style.Drawn` as `Figure`, in the page's colours and with its values.

    Raises:
        ValueError: If its SVG has no viewBox, or is not well-formed.
    """
    root = ElementTree.fromstring(figure.svg)
    try:
        width = float(root.attrib["viewBox"].split()[2])
    except (KeyError, IndexError):
        raise ValueError(f"the SVG of {figure.stem} has no viewBox") from None
    for metadata in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(metadata)
    elements = list(root.iter())
    values = [value for element in elements for value in element.attrib.values()]
    used = {a or b for value in values for a, b in _REFERENCE.findall(value)}
    for element in elements:
        if element.get("id") not in used:
            element.attrib.pop("id", None)
        for name, value in element.items():
            # References within a figure stay apart from those of another.
            if name == "id":
                value = figure.stem + value
            value = _REFERENCE.sub(
                lambda m: m[0].replace("#", f"#{figure.stem}"), value
            )
            if name in ("style", "fill", "stroke"):
                value = _COLOUR.sub(lambda m: _REPLACED.get(m[0].lower(), m[0]), value)
            element.set(name, value)
    for x, y, text in figure.points:
        dot = {"cx": str(x), "cy": str(y), "r": "4", "data-tip": text}
        ElementTree.SubElement(root, f"{{{_SVG}}}circle", dot)
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    root.attrib |= {"role": "img", "aria-label": figure.caption}
    text = re.sub(r"\n\s*", "\n", ElementTree.tostring(root, "unicode"))
    kinds = ("png", "svg")
    return Figure(
        Markup(text),
        round(width * _PIXELS_PER_POINT),
        figure.caption,
        [(f"figures/{figure.stem}.{kind}", kind.upper()) for kind in kinds],
    )


ElementTree.register_namespace("", _SVG)  # no prefix, which HTML would not know
ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")


def _analysis(results):
    """The `Table` of what analyze.py measured, or None where it measured nothing."""
    try:
        lines = records.read_rows(results / "analysis.csv")
    except MendableError as error:
        records.left_out(error)
        return None
    if not lines:
        return None
    shown = "model train_accuracy test_accuracy frobenius log10_product_spectral "
    shown += "margin_10 eigenvalue_1 trace jacobian_norm"
    head = [name for name in shown.split() if name in lines[0]]
    cells = [[tables.short(line[name]) for name in head] for line in lines]
    return Table(head, _texts(cells), "Saved models")


def _other_numbers():
    """The `Table` of the paper's numbers that no section compares with."""
    compared = ("table_1", "random_label_regularizers")
    lines = [line for line in tables.paper_lines() if line["artefact"] not in compared]
    head = ["experiment", "setting", "metric", "value", "unit", "how sure"]
    cells = []
    for line in lines:
        setting = [line["model"], line["setting"]]
        setting += [line["labels"] and f"{line['labels']} labels"]
        for name in ("augmentation", "weight_decay", "dropout"):
            setting.append(name.replace("_", " ") if line[name] == "yes" else "")
        shown = [line["artefact"], ", ".join(filter(None, setting)), line["metric"]]
        shown += [line["value"], line["unit"], tables.CERTAINTY[line["certainty"]]]
        cells.append(shown)
    return Table(head, _texts(cells), "The paper's other numbers")

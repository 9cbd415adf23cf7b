"""Tables as the page shows them: cells that can be sorted (imports no Keras)."""

import re
from typing import NamedTuple

from common import records, verdicts
from common.cli import MendableError
from common.report import published, stats, table_rows

_SHORT = 12  # letters of a name that takes no second line
_NUMBER = re.compile(r"[-+]?\d[\d.]*(e[-+]\d+)?( \(.+\)| \w+)?")
_CLASSES = {"did not fit": "unfit", "not yet run": "none"}  # others: the verdict


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


def results(rows, caption):
    """Returns an experiment's `Table`: ours, the paper's, difference, verdict, command.

    Args:
        rows: `table_rows.Row`s.
        caption: What it is called.
    """
    metrics = [
        (metric, any(metric in row.paper for row in rows))
        for metric in table_rows.FINAL
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
        cells += [_first_fitted(row), number(len(row.runs) or "", len(row.runs))]
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
        cells.append(number(text, value, sure + ", online" * online))
        gap = row.difference(metric)
        cells.append(number("" if gap is None else f"{gap + 0:+.2f}", gap))
    return cells


def _spread(value):
    """A `stats.Stat` in %, the range behind the mean."""
    mean, _, spread = stats.spread(value).partition(" ")
    return number(mean, value.mean, spread)


def _verdict_cell(row):
    text, small = table_rows.verdict(row), table_rows.rests_on(row)
    outcome = row.paper.get("outcome")
    if text == "did not fit" and outcome and outcome.value != "fitted":
        small = "as in the paper"
    return Cell(text, kind=f"v {_CLASSES.get(text, text)}", small=small)


def _first_fitted(row):
    last = max((run.record["epochs"] for run in row.runs), default="")
    epochs = [run.record["epochs_to_fit"] for run in row.runs]
    order = last + 0.5 if None in epochs else epochs and sum(epochs) / len(epochs)
    text, _, spread = table_rows.epochs_to_fit(row).partition(" (")
    return number(text, order or "", spread and f"({spread}")


def _field(value):
    """A cell that distinguishes a row; a level of label corruption is sorted as one."""
    if isinstance(value, float):
        return Cell(table_rows.said(value), kind="word", order=value)
    return Cell(value, kind="word" if len(str(value)) < _SHORT else "")


def number(text, order, small=""):
    """Returns the `Cell` of a number, sorted by `order`; of None it is empty."""
    text, order = ("" if value is None else value for value in (text, order))
    return Cell(text, "", "", small, order, True)


def texts(lines):
    """Returns lines of texts as lines of `Cell`s; numbers stand under each other."""
    return [list(map(_cell, line)) for line in lines]


def _cell(text):
    if text == "not yet run":
        return Cell(text, kind="none", order="", number=True)
    if not _NUMBER.fullmatch(text):
        return Cell(text)
    value, _, small = text.partition(" ")  # `5.87 (5.80–5.98)`, `17 inferred`
    return Cell(value, "", "", small, float(value) if small else None, True)


def all_runs(rows):
    """Returns the `Table` of every training: a line for the seeds of one setting."""
    head = ["run", *rows[0].fields, "train %", "test %", "gap", "first fitted", "time"]
    lines = []
    for row in rows:
        link = (f"#run-{row.runs[0].name}", table_rows.setting_name(row))
        cells = [Cell(links=(link,)), *map(Cell, row.fields.values())]
        cells += [_spread(row.final(metric)) for metric in table_rows.FINAL]
        cells += [_spread(table_rows.gap(row)), _first_fitted(row)]
        seconds = table_rows.seconds(row)
        cells.append(number(seconds and verdicts.duration(seconds), seconds))
        lines.append([*cells, number(len(row.runs), len(row.runs))])
    names = tuple(map(table_rows.setting_name, rows))
    return Table([*head, "seeds"], lines, "All runs", names)


def analysis(results):
    """Returns the `Table` of what analyze.py measured, or None of nothing."""
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
    cells = [[stats.short(line[name]) for name in head] for line in lines]
    return Table(head, texts(cells), "Saved models")


def other_numbers():
    """Returns the `Table` of the paper's numbers that no section compares with."""
    compared = ("table_1", "random_label_regularizers")
    lines = [line for line in published.lines() if line["artefact"] not in compared]
    head = ["experiment", "setting", "metric", "value", "unit", "how sure"]
    cells = []
    for line in lines:
        setting = [line["model"], line["setting"]]
        setting += [line["labels"] and f"{line['labels']} labels"]
        for name in ("augmentation", "weight_decay", "dropout"):
            setting.append(name.replace("_", " ") if line[name] == "yes" else "")
        shown = [line["artefact"], ", ".join(filter(None, setting)), line["metric"]]
        shown += [line["value"], line["unit"], published.CERTAINTY[line["certainty"]]]
        cells.append(shown)
    return Table(head, texts(cells), "The paper's other numbers")

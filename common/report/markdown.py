"""The tables as Markdown: results/README.md, and Table 1 in README (no Keras).

What a record says is text: `plain`, `code` and `link` let none of it be Markdown.
"""

import re
from urllib.parse import quote

from common import records, verdicts
from common.report import (
    published,
    stats,
    table_rows,
    tables,
)


def readme(sections, absent, runs, where, written):
    """Returns the text of README.md of a folder of results.

    Args:
        sections: List of `page.Section`.
        absent: Names of the experiments without any record.
        runs: Dict of name -> `reading.Run`: every record of the folder.
        where: Of a folder of your own, the flags that name it. It then begins with a
            table of all its runs.
        written: The command that writes it.
    """
    parts = [
        "# Results",
        f"Written by {code(written)} from the records in this folder; "
        "[report.html](report.html) shows them with figures (open it in a browser: "
        "it needs no network). Accuracy in %, ours in bold: mean over the seeds (with "
        "the lowest and the highest where they differ), then the paper's value in "
        "brackets, with how sure it is where it is not printed. `within ±1.2`: the "
        "training labels are reproduced as in the paper, and the test accuracy differs "
        "by at most 1.2 points, which is two standard errors of the difference (of the "
        "number of test images, and of the spread of the seeds where there are some) "
        f"or {table_rows.TOLERANCE} points if that is less. The seeds differ in "
        "initial weights and order; they share one draw of random labels. "
        "“> N” is a run of N epochs that never fitted.",
    ]
    if where:
        parts += ["## All runs of this folder", all_runs(runs)]
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
            f"{plain(row.runs[0].record.get('verdict', ''))}"
            for row in section.rows
            if row.runs and not row.trains
        ]
        parts += [
            f"**{', '.join(map(str, row.fields.values()))}**: {plain(said['says'])}"
            for row in section.rows
            if section.name.endswith("examples")
            for run in row.runs[:1]
            if (said := examined(runs, run.name))
        ]
        waiting = sum(not row.runs for row in section.rows)
        if waiting and section.name != "table_1":
            parts.append(f"Not yet run: {waiting} of {len(section.rows)} runs.")
        parts += [f"![{plain(d.caption)}](figures/{d.stem}.png)" for d in section.drawn]
    if absent:
        names = ", ".join(f"`{name}`" for name in absent)
        parts += ["## Not yet run", f"No record here yet: {names}."]
    return "\n\n".join(filter(None, parts)) + "\n"


def examined(runs, name):
    """Returns the record of examples.py of a run, or None where there is none."""
    known = runs.get(f"{name}_examples")
    return known and known.record


def all_runs(runs):
    """Returns every run of a folder as Markdown: a line for the seeds of a setting.

    Args:
        runs: Dict of name -> `reading.Run`.
    """
    rows = table_rows.by_setting(runs)
    parts = []
    if rows:
        head = ["run", *map(plain, rows[0].fields)]
        head += ["train %", "test %", "gap", "first fitted"]
        lines = [_line([*head, "time", "seeds"]), _line(["--"] * (len(head) + 2))]
        for row in rows:
            name = link(plain(table_rows.setting_name(row)), row.runs[0])
            cells = [name, *map(plain, row.fields.values())]
            cells += [f"**{_spread(row, metric)}**" for metric in table_rows.FINAL]
            cells += [stats.spread(table_rows.gap(row))]
            seconds = table_rows.seconds(row)
            cells += [
                table_rows.epochs_to_fit(row),
                seconds and verdicts.duration(seconds),
            ]
            lines.append(_line([*(cell or "" for cell in cells), len(row.runs)]))
        parts.append("\n".join(lines))
    parts += [
        f"{link(plain(run.name), run)}: {plain(run.record['verdict'])}"
        for run in runs.values()
        if "verdict" in run.record
    ]
    return "\n\n".join(parts)


def table_1(rows):
    """Returns Table 1 as Markdown: measured beside printed, linked to its records.

    Args:
        rows: List of `table_rows.Row`, from `table_rows.table_1`.
    """
    lines = [
        "| row | model | crop | weight decay | labels | train (paper) | test (paper) "
        "| verdict | first fitted | seeds | command |",
        "|--:|--|:-:|:-:|--|--:|--:|--|--:|--:|--|",
    ]
    for row in rows:
        cells = [*row.fields.values()]
        for metric in table_rows.FINAL:
            cells.append(f"{_ours(row, metric)} ({_paper(row, metric)})")
        epochs = table_rows.epochs_to_fit(row)
        cells.append(_verdict(row) if row.runs else "")
        cells += [f"epoch {epochs}" if epochs else "", len(row.runs) or ""]
        lines.append(_line([*cells, _command(row)]))
    return "\n".join(lines)


def short_table_1(rows):
    """Returns Table 1 in short, as Markdown: the rows that have records.

    What README shows. Accuracy in %: the mean over the seeds, with the lowest and the
    highest where they differ. Each row links to the record of its first seed, beside it
    in the folder of results. A sentence below counts the rows that agree with the paper
    and names those that were not yet run.

    Args:
        rows: Iterable of `table_rows.Row`, from `table_rows.table_1`.
    """
    lines = [
        "| row | model | regularizer | labels | train | test | the paper's test "
        "| fitted at epoch | seeds |",
        "|--:|--|--|--|--:|--:|--:|--:|--:|",
    ]
    rows, waiting = list(rows), []
    for row in rows:
        number, model, crop, decay, labels = row.fields.values()
        if not row.runs:
            waiting.append(number)
            continue
        regularizers = ["crop"] * (crop == "yes") + ["weight decay"] * (decay == "yes")
        train, test = (stats.spread(row.final(metric)) for metric in table_rows.FINAL)
        cells = [
            number,
            link(model, row.runs[0]),
            ", ".join(regularizers) or "none",
            labels,
            train,
            test,
            f"{row.paper['test_accuracy'].value:.2f}",
            table_rows.epochs_to_fit(row),
            len(row.runs),
        ]
        lines.append(_line(cells))
    near = [row for row in rows if table_rows.verdict(row) == "within"]
    said = f"{len(near)} of {len(rows) - len(waiting)} rows are as in the paper: "
    said += "99 % of the training labels are reproduced, and the test accuracies "
    said += "differ by no more than two standard errors of the difference and "
    said += f"{table_rows.TOLERANCE} points"
    said += "."
    if waiting:
        said += f" Not yet run: rows {', '.join(map(str, waiting))}."
    return "\n".join([*lines, "", said])


def table(rows):
    """Returns any other experiment as Markdown.

    A line for each row that has records, or a value of the paper.
    """
    rows = [row for row in rows if row.trains and (row.runs or row.paper)]
    if not any(row.runs for row in rows):
        return ""
    head = [*rows[0].fields, "train %", "test %", "first fitted", "seeds", "verdict"]
    lines = [_line([*head, "command"]), _line(["--"] * (len(head) + 1))]
    for row in rows:
        cells = [*map(table_rows.said, row.fields.values())]
        for metric in table_rows.FINAL:
            known = metric in row.paper
            paper = f" ({_paper(row, metric)})" if known else _outcome(row, metric)
            cells.append(f"{_ours(row, metric)}{paper}")
        cells += [table_rows.epochs_to_fit(row), len(row.runs) or ""]
        cells.append(_verdict(row) if row.runs else "")
        lines.append(_line([*cells, _command(row)]))
    return "\n".join(lines)


def refresh_readme(text, path):
    """Puts Table 1 between README's markers."""
    start, end = "<!-- table 1, by report.py -->\n", "\n<!-- end -->"
    text = text.replace("](cifar10", "](results/cifar10")
    pattern = re.escape(start) + ".*?" + re.escape(end)
    old = path.read_text(encoding="utf-8")
    new = re.sub(pattern, lambda _: start + text + end, old, flags=re.S)
    records.write_text(path, new)


def plain(text):
    """Returns a text as Markdown that shows just it, in one line."""
    return re.sub(r"[\\`*\[\]<>&~]", r"\\\g<0>", " ".join(str(text).split()))


def code(text):
    """Returns a text as Markdown's code, in one line."""
    text = " ".join(text.split())
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    space = " " if "`" in text else ""
    return f"{fence}{space}{text}{space}{fence}"


def link(shown, run):
    """Returns a link from some Markdown to the record of a `reading.Run`."""
    return f"[{shown}]({quote(run.name)}.json)"


def _line(cells):
    escaped = [str(cell).replace("|", r"\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def _spread(row, metric):
    return stats.spread(row.final(metric))


def _ours(row, metric):
    return f"**{_spread(row, metric)}**" if row.runs else "not yet run"


def _verdict(row):
    return f"{table_rows.verdict(row)} {table_rows.rests_on(row)}".strip()


def _paper(row, metric):
    value = row.paper[metric].value
    text = f"{value:.1f}" if value == 100 else f"{value:.2f}"
    text += " online" if row.online and metric == "train_accuracy" else ""
    return text + published.unsure(row.paper[metric])


def _outcome(row, metric):
    """What the paper says in words of a network's training, in brackets."""
    if metric != "train_accuracy" or "outcome" not in row.paper:
        return ""
    outcome = row.paper["outcome"]
    return f" (paper: {outcome.value}{published.unsure(outcome)})"


def _command(row):
    command = code(row.command.removeprefix("python "))
    return link(command, row.runs[0]) if row.runs else command

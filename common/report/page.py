"""One self-contained page of every result: results/report.html (imports no Keras)."""

import base64
import re
import shlex
from html import escape
from pathlib import Path
from typing import NamedTuple

from common import verdicts
from common.report import (
    charts,
    gallery,
    kernel_figures,
    model_figures,
    norm_figures,
    style,
    tables,
    theory_figures,
)
from common.report.names import MODELS
from common.sweep import artefacts

# Colours of a figure -> those of the page, which differ in light and dark.
_REPLACED = {
    "#000000": "currentColor",
    "#ffffff": "var(--paper)",
    "black": "currentColor",
    MODELS["AlexNet"].colour.lower(): "var(--alexnet)",
    MODELS["MLP 1x512"].colour.lower(): "var(--mlp1)",
    MODELS["MLP 3x512"].colour.lower(): "var(--mlp3)",
    MODELS["Inception"].colour.lower(): "var(--inception)",
    MODELS["Inception without BatchNorm"].colour.lower(): "var(--nobn)",
}
_CLASSES = {"did not fit": "unfit", "not yet run": "none"}  # others: the verdict
_TERMS = {
    "random labels": "every training label is replaced, once and before training, by "
    "a uniform draw over all classes (p = 1). Test labels are never touched.",
    "label corruption p": "the probability with which each training label is replaced "
    "by such a draw. It may hit the true class: with ten classes 0.9 p are wrong.",
    "shuffled, random, gaussian pixels": "one permutation of the pixels for all "
    "images; a different one for each image; noise in place of the images.",
    "fitted": "the network reproduces at least 99 % of the labels it is trained on. "
    "A run that never does is shown as “> N” epochs, N being its last; "
    "no number is made up for it.",
    "epoch": "one pass over all training examples.",
    "training / test accuracy": "share of correct answers on the examples trained on "
    "(the fixed model, no augmentation, the labels it was given) and on the test set.",
    "generalization error": "test error less training error: what is lost on new "
    "images.",
    "chance": "the accuracy of guessing: 10 % with ten classes.",
    "cross-entropy (nats)": "the loss that training lowers; 2.3 is guessing among ten "
    "classes, 0 is certainty in the right answer.",
    "explicit regularizers": "weight decay (a penalty on large weights), dropout "
    "(units switched off at random) and augmentation (crops, flips and colours drawn "
    "anew for every image): added to make a network generalize.",
    "implicit regularization": "what the optimizer, the batch size, BatchNorm (a "
    "layer that normalizes activations) or stopping early do by themselves.",
    "seed": "the number that decides initial weights, order and augmentation. Other "
    "seeds show how far a result is chance.",
}


class Section(NamedTuple):
    """An artefact that has at least one record."""

    name: str  # key of `artefacts.ARTEFACTS`, after its variation if it has one
    title: str
    says: str
    rows: list  # of `tables.Row`
    drawn: list  # of `style.Drawn`
    command: str  # that makes it


def render(results, sections, absent, runs, variation=""):
    """Returns the page.

    Args:
        results: `Path` of the folder; pictures in its figures/ are embedded.
        sections: List of `Section`.
        absent: Names of the artefacts without any record.
        runs: Dict of name -> `tables.Run`: every record there is.
        variation: What is other in all runs than in the artefacts, in words.
    """
    here = Path(__file__)
    parts = [(s.name, s.title.split(":")[0], _section(s, results)) for s in sections]
    parts += [
        ("analysis", "Saved models", _analysis(results)),
        ("gallery", "Gallery", _gallery(results)),
        ("runs", "Every run", _every_run(runs, results)),
        ("absent", "Not yet run", _absent(absent)),
        ("paper", "Other numbers", _other_numbers()),
    ]
    links = [(name, title) for name, title, text in parts if text]
    body = [_opening(sections, variation), *(text for *_, text in parts)]
    navigation = "".join(f'<li><a href="#{i}">{escape(t)}</a></li>' for i, t in links)
    return _FRAME.format(
        style=here.with_suffix(".css").read_text(),
        script=here.with_suffix(".js").read_text(),
        navigation=navigation,
        body="\n".join(filter(None, body)),
    )


# The policy forbids the page every request, so that "self-contained" is a fact.
_FRAME = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>Rethinking generalization: results</title>
<style>
{style}</style>
</head>
<body>
<nav aria-label="Results"><ul><li><a href="#top">Top</a></li>{navigation}</ul></nav>
<main id="top">
{body}
<footer class="soft">Written by <code>python report.py</code> from the records beside
this file.</footer>
</main>
<div id="tip" role="status" hidden></div>
<script>
{script}</script>
</body>
</html>
"""

_INTRODUCTION = """<h1>Can a network that generalizes also memorize?</h1>
<p>Train a network on images with their true labels. Then replace every label by a
random draw, so that nothing connects an image to its label any more, and train the
same network again with the same settings. What it now learns can only be memorized.
<a href="https://arxiv.org/abs/1611.03530">Zhang, Bengio, Hardt, Recht and Vinyals
(2017)</a> found that standard networks do learn it, completely, in a few times the
epochs. So the size of a network, or a training error of zero, cannot explain why it
works on new images when the labels are true. This page repeats their experiments.</p>
"""
_READING = """<p><b>What to look at.</b> Training accuracy says what a network can
reproduce: in the paper about 100 % whatever the labels or pixels were. Test accuracy
says whether anything was learnt that holds for new images; “first fitted” says how many
epochs memorizing took.</p>
<details><summary>How to read the tables and figures</summary>
<p>A number is the mean over <i>n</i> seeds, with the lowest and the highest in
brackets where they differ; with one seed it is that run's. “Δ” is ours less the
paper's, in percentage points. The verdict is
<span class="v within">within</span> where training and test accuracy, as far as the
paper gives them, are within ±{tolerance} points of its own;
<span class="v outside">outside</span> where one is not;
<span class="v unfit">did not fit</span> where a run's network does not reproduce 99 %
of its training labels; <span class="v fitted">fitted</span> where it does and the paper
gives no number; <span class="v none">not yet run</span> without a record. Beside a
value of the paper stands how sure it is: {certainties}. Click a heading, or press
Enter on it, to sort; hover over a figure, or tap it, for values.</p></details>
<details><summary>Terms</summary><dl>{terms}</dl></details>
"""


def _opening(sections, variation):
    certainties = "; ".join(
        f"<i>{name}</i>, {text}" for name, text in tables.CERTAINTY.items()
    )
    terms = "".join(
        f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>"
        for term, text in _TERMS.items()
    )
    reading = _READING.format(
        tolerance=tables.TOLERANCE, certainties=certainties, terms=terms
    )
    other = _VARIATION.format(escape(variation)) if variation else ""
    return _INTRODUCTION + other + _finding(sections) + reading


_VARIATION = """<p><b>Other runs than the paper's:</b> {}. Its values are left out.</p>
"""


def _finding(sections):
    """The main result in numbers: true and random labels on one network."""
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
                true, random = kinds["true"], kinds["random"]
                return _FINDING.format(
                    model=escape(model),
                    data=true.runs[0].record["regime"]["dataset"],
                    chance=100 / true.runs[0].record["num_classes"],
                    a=_percent(true, "train"),
                    b=_percent(random, "train"),
                    c=_percent(true, "test"),
                    d=_percent(random, "test"),
                )
    return ""


_FINDING = """<p class="finding"><b>{model} on {data}</b> reproduces {a} of its true
training labels, and {b} of labels drawn at random. On new images it is right {c} of
the time after the first, and {d} after the second. Guessing gives {chance:g} %.</p>
"""


def _percent(row, part):
    return f"{row.final(f'{part}_accuracy').mean:.2f} %"


def _section(section, results):
    parts = [
        f'<section id="{section.name}"><h2>{escape(section.title)}</h2>',
        f'<p class="says">What to look for: {escape(section.says)}</p>',
    ]
    if section.drawn:
        drawn = "".join(inline(figure) for figure in section.drawn)
        parts.append(f'<div class="figures">{drawn}</div>')
    trained = [row for row in section.rows if row.trains]
    # What the paper has a number for stays in the table too.
    shown = [row for row in trained if row.runs or row.paper]
    waiting = [row for row in section.rows if not row.runs]
    if any(row.runs for row in shown):
        parts.append(_results_table(shown, section.title))
    if section.name in tables.TABLES:
        head, lines = tables.TABLES[section.name](section.rows)
        parts.append(_table(head, _texts(lines), section.title))
    own = [row for row in section.rows if row.runs and not row.trains]
    parts += [_own_result(row, results) for row in own]
    if waiting:
        lines = "".join(f"<li><code>{escape(r.command)}</code></li>" for r in waiting)
        parts.append(
            f"<details><summary>Not yet run: {len(waiting)} of {len(section.rows)} "
            f"runs</summary><ul>{lines}</ul></details>"
        )
    parts.append(f"<p>All of it: <code>{escape(section.command)}</code></p></section>")
    return "\n".join(parts)


def _results_table(rows, caption):
    """The table of an artefact: ours, the paper's, difference, verdict, command."""
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
        last = max((run.record["epochs"] for run in row.runs), default="")
        epochs = [run.record["epochs_to_fit"] for run in row.runs]
        order = last + 0.5 if None in epochs else epochs and sum(epochs) / len(epochs)
        cells.append(_number(tables.epochs_to_fit(row), order or ""))
        cells.append(_number(len(row.runs) or "", len(row.runs)))
        lines.append([*cells, _text(row.command, "code"), _records_cell(row)])
    return _table(head, lines, caption)


def _measured_cells(row, metric, known):
    """One metric's cells: ours, and where the table has them the paper's and Δ."""
    ours, paper = row.final(metric), row.paper.get(metric)
    if metric == "train_accuracy" and not paper:
        paper = row.paper.get("outcome")
    shown = _range(ours) if ours else '<span class="none">not yet run</span>'
    cells = [f'<td class="number" data-v="{ours.mean if ours else ""}">{shown}</td>']
    if known:
        value = paper.value if paper else ""
        text = value if isinstance(value, str) else f"{value:.2f}"
        tag = f" <small>{paper.certainty}</small>" if paper else ""
        cells.append(
            f'<td class="number" data-v="{escape(str(value))}">{escape(text)}{tag}</td>'
        )
        gap = row.difference(metric)
        cells.append(_number("" if gap is None else f"{gap + 0:+.2f}", gap))
    return cells


def _range(value):
    mean, *rest = tables.spread(value).split(" ", 1)
    return mean + "".join(f" <small>{part}</small>" for part in rest)


def _verdict_cell(row):
    text = tables.verdict(row)
    kind, outcome = _CLASSES.get(text, text), row.paper.get("outcome")
    if text == "did not fit" and outcome and outcome.value != "fitted":
        text += ", as in the paper"
    return f'<td><span class="v {kind}">{text}</span></td>'


def _records_cell(row):
    links = " ".join(
        f'<a href="#run-{run.name}">{run.name.rpartition("_")[2]}</a>'
        for run in row.runs
    )
    return f"<td>{links}</td>"


def _field(value):
    """A cell that tells a row from others; a level of label corruption is `p = …`."""
    if isinstance(value, float):
        return f'<td data-v="{value}">p = {value:g}</td>'
    return _text(value)


def _text(value, tag="span"):
    return f"<td><{tag}>{escape(str(value))}</{tag}></td>"


def _number(text, order):
    order = "" if order is None else order
    return f'<td class="number" data-v="{order}">{escape(str(text))}</td>'


def _texts(lines):
    return [map(_text, line) for line in lines]


def _table(head, lines, caption):
    """A sortable table of lines of `<td>`s, in a box that scrolls where it is wide."""
    headings = "".join(
        f'<th scope="col"><button type="button">{escape(str(name))}</button></th>'
        for name in head
    )
    box = f'class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"'
    return (
        f"<div {box}><table><thead><tr>{headings}</tr></thead>\n<tbody>"
        + "\n".join(f"<tr>{''.join(cells)}</tr>" for cells in lines)
        + "</tbody></table></div>"
    )


def _own_result(row, results):
    """What a script that names itself left: its verdict, pictures and table."""
    (run,) = row.runs
    said = escape(run.record.get("verdict", ""))
    parts = [f"<h3>{escape(', '.join(row.fields.values()))}</h3><p>{said}</p>"]
    pictures = "".join(
        _picture(results, f"{run.name}_{part}", shown)
        for part, shown in _DRAWN_BY_SCRIPTS.items()
    )
    parts += [f'<div class="figures">{pictures}</div>'] if pictures else []
    head, lines = tables.grouped(tables.read_rows(results / f"{run.name}.csv"))
    if lines:
        # A single line is what the verdict says; of many, a reader wants the picture.
        state = " open" if 1 < len(lines) <= _MOST_LINES else ""
        parts.append(
            f"<details{state}><summary>Numbers ({len(lines)} "
            f"line{'s' * (len(lines) > 1)})</summary>"
            f"{_table(head, _texts(lines), run.name)}</details>"
        )
    parts.append(
        f"<p><code>{escape(row.command)}</code> · {_files(run.name, results)}</p>"
    )
    return "\n".join(parts)


_MOST_LINES = 30
# The end of the name of a picture that a script drew itself: what it shows.
_DRAWN_BY_SCRIPTS = (
    norm_figures.CAPTIONS | kernel_figures.CAPTIONS | theory_figures.CAPTIONS
)


def _files(name, results):
    return " · ".join(
        f'<a href="{name}{suffix}">{text}</a>'
        for suffix, text in ((".json", "record"), (".csv", "CSV"))
        if (results / f"{name}{suffix}").exists()
    )


def _picture(results, stem, caption):
    """Embeds a PNG of `style.save_png`, as large as the other figures are.

    Returns "" where there is no such picture.
    """
    path = results / "figures" / f"{stem}.png"
    if not path.exists():
        return ""
    data = path.read_bytes()
    width = int.from_bytes(data[16:20], "big") / style.DPI * 72 * _PIXELS_PER_POINT
    alt, encoded = escape(caption), base64.b64encode(data).decode()
    return (
        f'<figure style="width:{width:.0f}px"><div class="scroll" tabindex="0">'
        f'<img style="min-width:{min(width, _LEAST):.0f}px" alt="{alt}" '
        f'src="data:image/png;base64,{encoded}"></div>'
        f"<figcaption>{alt}</figcaption></figure>"
    )


_PIXELS_PER_POINT = 1.45  # makes a figure's 8-point text about 12 pixels high
_LEAST = 440  # pixels: on a phone a figure stays readable, and scrolls in its own box


def inline(figure):
    """Returns a `style.Drawn` as HTML, in the page's colours and with its values."""
    svg = figure.svg[figure.svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)  # equal in every figure
    # References within a figure stay apart from those of another.
    svg = re.sub(r'((?:id="|#)[mp])([0-9a-f]{10})\b', rf"\1{figure.stem}\2", svg)
    svg = re.sub(
        r"(stroke|fill): (#[0-9a-f]{6}|black)\b",
        lambda m: f"{m[1]}: {_REPLACED.get(m[2], m[2])}",
        svg,
    )
    width = float(re.search(r'width="([\d.]+)pt"', svg)[1])
    size = f'style="min-width:{min(width * _PIXELS_PER_POINT, _LEAST):.0f}px"'
    label = escape(figure.caption)
    svg = re.sub(
        r'width="[\d.]+pt" height="[\d.]+pt"',
        f'{size} role="img" aria-label="{label}"',
        svg,
        count=1,
    )
    dots = "".join(
        f'<circle cx="{x}" cy="{y}" r="4" data-tip="{escape(text)}"/>'
        for x, y, text in figure.points
    )
    svg = re.sub(r"\n\s*", "\n", svg.replace("</svg>", f"{dots}</svg>"))
    files = " · ".join(
        f'<a href="figures/{figure.stem}.{kind}">{kind.upper()}</a>'
        for kind in ("png", "svg")
    )
    return (
        f'<figure style="width:{width * _PIXELS_PER_POINT:.0f}px">'
        f'<div class="scroll" tabindex="0">{svg}</div>'
        f"<figcaption>{label} {files}</figcaption></figure>"
    )


def _analysis(results):
    lines = tables.read_rows(results / "analysis.csv")
    if not lines:
        return ""
    shown = "model train_accuracy test_accuracy frobenius log10_product_spectral "
    shown += "margin_10 eigenvalue_1 trace jacobian_norm"
    head = [name for name in shown.split() if name in lines[0]]
    cells = [[tables.short(line[name]) for name in head] for line in lines]
    return (
        '<section id="analysis"><h2>Saved models</h2><p>Norms, margins and curvature '
        "of trained models, by <code>python analyze.py</code>; every column is in "
        '<a href="analysis.csv">analysis.csv</a>.</p>'
        + _picture(results, "analysis", model_figures.CAPTION)
        + _table(head, _texts(cells), "Saved models")
        + "</section>"
    )


def _gallery(results):
    picture = _picture(results, "gallery", gallery.CAPTION)
    if not picture:
        return ""
    return (
        f'<section id="gallery"><h2>Gallery</h2>{picture}'
        "<p><code>python report.py --gallery</code></p></section>"
    )


def _every_run(runs, results):
    trained = [run for run in runs.values() if "regime" in run.record and run.history]
    if not trained:
        return ""
    parts = [_run(run, results) for run in trained]
    return (
        '<section id="runs"><h2>Every run</h2><p>Loss and accuracy of every record in '
        f"this folder.</p><details><summary>{len(parts)} runs</summary>"
        + "\n".join(parts)
        + "</details></section>"
    )


def _run(run, results):
    command = shlex.join(["python", f"{run.record['script']}.py", *run.record["argv"]])
    return (
        f'<details id="run-{run.name}"><summary>{run.name}</summary>'
        f"<p>{escape(verdicts.verdict(run.record))}</p>"
        f'<div class="figures small">{charts.draw(run, "loss")}'
        f"{charts.draw(run, 'accuracy')}</div>"
        f"<p><code>{escape(command)}</code> · {_files(run.name, results)}</p>"
        "</details>"
    )


def _absent(names):
    if not names:
        return ""
    commands = " · ".join(
        f'<span title="{escape(artefacts.ARTEFACTS[name].title)}"><code>python '
        f"reproduce.py {name}</code></span>"
        for name in names
    )
    return (
        '<section id="absent"><h2>Not yet run</h2>'
        f"<p>No record here yet: {commands}</p></section>"
    )


def _other_numbers():
    """The paper's numbers that no section above compares with, folded away."""
    compared = ("table_1", "random_label_regularizers")
    lines = [line for line in tables.paper_lines() if line["artefact"] not in compared]
    head = ["artefact", "setting", "metric", "value", "unit", "how sure"]
    cells = []
    for line in lines:
        setting = [line["model"], line["setting"]]
        setting += [line["labels"] and f"{line['labels']} labels"]
        for name in ("augmentation", "weight_decay", "dropout"):
            setting.append(name.replace("_", " ") if line[name] == "yes" else "")
        shown = [line["artefact"], ", ".join(filter(None, setting)), line["metric"]]
        shown += [line["value"], line["unit"], tables.CERTAINTY[line["certainty"]]]
        cells.append(shown)
    return (
        '<section id="paper"><h2>The paper\'s other numbers</h2><details><summary>'
        f"{len(cells)} values, with how sure each is</summary>"
        + _table(head, _texts(cells), "The paper's other numbers")
        + "</details></section>"
    )

"""Small drawings of runs against epochs, as SVG (imports no Keras)."""

import math
from typing import NamedTuple

from common.report import stats, table_rows

INKS = 8  # `--ink0` … of palette.css: the colours of the curves of all runs


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


_PARTS = (("train", "training"), ("val", "test"))  # of a column's name, in words


def chart(run, kind):
    """Returns the `Chart` of one run, or None where it has no finite value.

    Args:
        run: `reading.Run`.
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
        rows: `table_rows.Row`s of `table_rows.by_setting`; seeds share a colour.
    """
    lines = []
    for i, row in enumerate(rows):
        name = table_rows.setting_name(row)
        for run in row.runs:
            epochs = _thinned(run.history["epoch"], 60)
            for (part, word), dashes in zip(_PARTS, ("", "2 3"), strict=True):
                values = _values(run, "accuracy", part, 60)
                title = f"{run.name}: {word} accuracy"
                ink = f"var(--ink{i % INKS})"
                lines.append((epochs, values, ink, dashes, title, name))
    return _chart(lines, "accuracy", "all runs", 720, 340)


def _percent(value):
    return f"{stats.percent(value)} %"


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

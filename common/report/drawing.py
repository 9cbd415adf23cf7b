"""What the figures of trainings share: a row's name, colour and curves (no Keras)."""

import numpy as np

from common.report import names

PALE = {"linewidth": 0.9, "alpha": 0.55}  # the paper's curves, under ours
PAPER = PALE | {"color": "0.4", "label": "pale: paper"}  # and in the legend


def model(row):
    """The name shown of a row's network; the MLP's where a table has one only."""
    return row.fields.get("model", "MLP 1x512")


def colour(row):
    return names.colour(model(row))


def data(rows):
    """What rows were measured on, in words; "" where it is not one for all."""
    said = {names.data(run.record["regime"]) for row in rows for run in row.runs}
    return said.pop() if len(said) == 1 else ""


def by_model(rows):
    """Returns dict of model -> rows; its name says the data where they differ."""
    one, models = data(rows), {}
    for row in rows:
        name = model(row) if one else f"{model(row)}, {data([row])}"
        models.setdefault(name, []).append(row)
    return models


def condition(row):
    return row.fields.get("corruption", row.fields.get("inputs"))


def seeds(rows):
    """Says how many seeds are behind some rows: `1 seed`, `1 to 3 seeds`."""
    counts = sorted({len(row.runs) for row in rows})
    ends = " to ".join(map(str, sorted({counts[0], counts[-1]})))
    return f"{ends} seed" + ("s" if counts[-1] > 1 else "")


def curves(sketch, axis, row, column, scale, label, **line):
    """Draws a column against epochs: mean over seeds, and band from min to max.

    Seeds of different length are drawn one by one.
    """
    runs = [run for run in row.runs if column in run.history]
    histories = [run.history[column] for run in runs]
    if not histories:
        return
    if len({*map(len, histories)}) > 1:  # a mean would end where the first seed stopped
        for run in runs:
            alone = row._replace(runs=(run,))
            curves(sketch, axis, alone, column, scale, label, **line)
            if run is not runs[0]:
                axis.lines[-1].set_label("_once in the legend")
        return
    values = scale * np.array(histories)
    length = values.shape[1]
    epochs = np.arange(1, length + 1)
    mean = values.mean(0)
    line = {"color": colour(row), "linewidth": 1.2} | line | {"label": label}
    if "marker" in line:
        line |= {"markevery": max(1, length // 8), "markersize": 3.5}
    axis.plot(epochs, mean, **line)
    if len(values) > 1:
        axis.fill_between(
            epochs, values.min(0), values.max(0), color=line["color"], alpha=0.2, lw=0
        )
    for i in range(0, length, max(1, length // 40)):
        sketch.value(axis, epochs[i], mean[i], f"{label}, epoch {i + 1}: {mean[i]:.4g}")


def chance(axis, rows, error=False, side="right"):
    """Draws the accuracy of guessing, or its error, in %; the word at one side."""
    accuracy = 100 / rows[0].runs[0].record["num_classes"]
    height = 100 - accuracy if error else accuracy
    axis.axhline(height, color="0.6", linewidth=0.7)
    where = {"left": 0.01, "right": 0.99}[side]
    axis.text(where, height + 1.5, "chance", ha=side, color="0.5", fontsize=7,
              transform=axis.get_yaxis_transform())  # fmt: skip


def papers(axis, points, scale=1, **line):
    """Draws a curve of the paper, without a name in the legend.

    Args:
        axis: The panel.
        points: List of (x, y) of `published.curves`, in the panel's units of x.
        scale: Times y.
        **line: As of `Axes.plot`.
    """
    x, y = zip(*points, strict=True)
    axis.plot(x, scale * np.array(y), **PALE | line | {"label": "_paper"})

"""The figure of analyze.py: what a few saved models measured (imports no Keras)."""

import math
import re

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from common.report import names
from common.report.style import (
    BLUE,
    GREY,
    ORANGE,
    SKY,
    STYLE,
    YELLOW,
    log_scale,
    save_png,
)

CAPTION = (  # of figures/analysis.png
    "A row for each network, with true and with random labels: the largest eigenvalues "
    "of the Hessian, its spectral density, and the margins of the training examples, "
    "as they are and normalized by the norms of the weights."
)
COLOURS = {0: BLUE, 1: ORANGE}  # of label corruption; levels between them, in turn:
BETWEEN = (YELLOW, SKY, GREY)


def draw(measured, path):
    """Draws eigenvalues, spectral density and margins, a network a row.

    Models that differ in nothing but how corrupted their labels were share a row. The
    arrays are in no file: a figure is drawn where its models are measured.

    Args:
        measured: List of `analyze.Measured`.
        path: `Path` of the PNG.
    """
    rows = {}
    for model in measured:
        labels = r"_labels[0-9.]+(?=_)|(?<=\d)_(true|random)(?=_(accuracy|loss)_)"
        network = re.sub(labels, "", model.row["model"])
        rows.setdefault(network, []).append(model)
    levels = sorted({model.row["label_corruption"] for model in measured})
    between = [level for level in levels if level not in COLOURS]
    looks = COLOURS | {p: BETWEEN[i % 3] for i, p in enumerate(between)}
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.6, 1.9 * len(rows) + 0.5))
        axes = figure.subplots(len(rows), 4, squeeze=False)
        for line, (network, together) in zip(axes, rows.items(), strict=True):
            together.sort(key=lambda model: model.row["label_corruption"])
            for i, model in enumerate(together):
                ink = looks[model.row["label_corruption"]]
                _draw_model(line, model, ink, i, len(together))
            data = dict.fromkeys(names.data(model.row) for model in together)
            # Over all panels of the row: an axis's own title would widen its column.
            line[0].annotate(
                f"{network} ({', '.join(data)})",
                (0, 1),
                (0, 4),
                xycoords="axes fraction",
                textcoords="offset points",
                fontsize=7,
                annotation_clip=False,
            ).set_in_layout(False)
            _finish(line, together)
        axes[-1, 0].set_xlabel("rank")
        axes[-1, 1].set_xlabel("eigenvalue")
        handles = [
            matplotlib.patches.Patch(color=looks[p], label=_labels(p)) for p in levels
        ]
        figure.legend(handles=handles, loc="outside upper right", ncols=len(handles))
        save_png(figure, path)


def _labels(corruption):
    """What the labels of a level are called."""
    said = {0: "true labels", 1: "random labels"}
    return said.get(corruption, f"{corruption:.0%} corrupted")


def _draw_model(axes, model, color, place, count):
    rank = np.arange(1, len(model.eigenvalues) + 1)
    beside = 0.8 * (place + 0.5) / count - 0.4
    axes[0].bar(rank + beside, model.eigenvalues, 0.8 / count, color=color)
    axes[0].set_xticks(rank)
    axes[1].plot(model.density.grid, model.density.density, color=color, linewidth=1)
    for axis, values in zip(
        axes[2:], (model.margins, model.normalized_margins), strict=True
    ):
        values = values[np.isfinite(values)]  # over a norm of 0 they are not
        if len(values):
            ends = np.quantile(values, (0.0005, 0.9995))  # the ends would be invisible
            style = {"histtype": "stepfilled", "color": color, "alpha": 0.6}
            axis.hist(values, 80, range=tuple(ends), **style)


def _finish(line, together):
    """Labels and scales of a row of panels."""
    for axis, label in zip(line, ("eigenvalue", "density", "examples"), strict=False):
        axis.set_ylabel(label)
    # One eigenvalue of a million is 1e-6 of a peak.
    top = max(model.density.density.max() for model in together)
    line[1].set(yscale="log", ylim=(1e-8 * top, None))
    log_scale(line[1], "y")
    margins = ("margin (logits)", "normalized margin")
    for axis, said in zip(line[2:], margins, strict=True):
        axis.axvline(0, color="0.6", linewidth=0.7)
        axis.xaxis.set_major_locator(MaxNLocator(3))
        axis.set_xlabel(said)
        # Its power of ten stands at the axis: ticks of 8e-06 would be overprinted.
        power = math.floor(math.log10(max(map(abs, axis.get_xlim()))))
        if power < -1:
            axis.xaxis.set_major_formatter(lambda x, _, p=power: f"{x / 10**p:.3g}")
            axis.set_xlabel(f"{said} / 1e{power}", fontsize=7)  # wider than its panel

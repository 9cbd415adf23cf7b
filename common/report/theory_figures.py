"""The figures of expressivity.py, drawn from its CSV alone (imports no Keras)."""

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from common.report.style import BLUE, GREY, ORANGE, STYLE, save_png

BELOW = {"loc": "outside lower center", "ncols": 4}


def draw(part, table, csv):
    """Draws figures/NAME_*.png beside the CSV.

    Args:
        part: `theorem`, `rademacher` or `memorize`.
        table: `pandas.DataFrame` of the CSV.
        csv: Its `Path`.

    Returns:
        `Path` of the PNG.
    """
    word = {"theorem": "growth", "rademacher": "complexity", "memorize": "capacity"}
    panels = {"theorem": (2, 2), "rademacher": (1, 3), "memorize": (1, 1)}[part]
    size = {"theorem": (6.6, 5), "rademacher": (8.5, 3.4), "memorize": (3.8, 3.2)}[part]
    path = csv.parent / "figures" / f"{csv.stem}_{word[part]}.png"
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size)
        axes = figure.subplots(*panels, squeeze=False).flatten()
        {"theorem": _theorem, "rademacher": _rademacher, "memorize": _memorize}[part](
            table, axes
        )
        save_png(figure, path)
    return path


def _theorem(table, axes):
    table = table[table.depth == 2]
    kinds = {"float64": ("", BLUE, "-o"), "float32": ("float32_", ORANGE, "--s")}
    for kind, (prefix, colour, mark) in kinds.items():
        style = {"color": colour, "markersize": 4, "label": kind}
        error, accuracy = f"{prefix}max_error", 100 * table[f"{prefix}train_accuracy"]
        axes[0].plot(table.n, table[error], mark, **style)
        style["label"] = f"random labels, {kind}"
        axes[1].plot(table.n, accuracy, mark, **style)
    axes[0].axhline(0.5, color=GREY, lw=0.8)
    axes[0].annotate("labels may turn", (table.n.min(), 0.5), va="bottom", color=GREY)
    axes[0].set_ylabel("largest error on the training set")
    test = 100 * table.test_accuracy
    axes[1].plot(table.n, test, ":^", color=GREY, markersize=4, label="test set")
    axes[1].set_ylabel("accuracy (%)")
    axes[1].set_ylim(0, 104)
    matrix = {
        "b on the point before": ("condition", BLUE, "-o"),
        "b midway": ("condition_midway", ORANGE, "--s"),
    }
    for label, (column, colour, mark) in matrix.items():
        style = {"color": colour, "markersize": 4, "label": label}
        axes[2].plot(table.n, table[column], mark, **style)
    axes[2].set_ylabel("condition number of A")
    axes[3].plot(table.n, table.weight_norm, "-o", color=BLUE, markersize=4)
    axes[3].plot(table.n, 1 / table.smallest_gap, "--s", color=ORANGE, markersize=4)
    axes[3].lines[0].set_label("norm of w")
    axes[3].lines[1].set_label("1 / smallest gap of z")
    axes[3].set_ylabel("size")
    for axis in axes:
        axis.set_xscale("log")
        axis.set_xlabel("training examples n")
        axis.legend()
        if axis is not axes[1]:
            axis.set_yscale("log")


def _rademacher(table, axes):
    sizes, classes = sorted(table.n.unique()), list(table["class"].unique())
    for i, (name, colour) in enumerate(
        zip(classes, _shades(len(classes)), strict=True)
    ):
        rows = table[table["class"] == name]
        closed = rows.weights.isna().all()
        # Smaller and smaller, since lines at 1 lie on each other.
        style = {"color": "black" if closed else colour, "markersize": 8 - i}
        mark = "--" if closed else "-o"
        axes[0].plot(rows.n, rows.estimate, mark, label=name, **style)
        band = rows.n, rows.low, rows.high
        axes[0].fill_between(*band, alpha=0.25, lw=0, color=style["color"])
        axes[2].plot(rows.n, rows.gap_bound, mark, **style)
    networks = table[~table.weights.isna() & (table["class"] != "linear")]
    for i, (n, colour) in enumerate(zip(sizes, _shades(len(sizes)), strict=True)):
        rows = networks[networks.n == n]
        widths = [int(name.split()[-1]) for name in rows["class"]]
        style = {"color": colour, "markersize": 8 - i, "label": n}
        axes[1].plot(widths, rows.estimate, "-o", **style)
    axes[2].axhline(1, color=GREY, lw=0.8, label="vacuous from here on")
    axes[2].legend(loc="upper right")
    for axis in axes:
        axis.set_xscale("log", base=2)
        axis.set_xlabel("examples n")
        axis.set_ylabel("Rademacher estimate")
        axis.set_ylim(bottom=0)
    for axis in axes[::2]:
        axis.set_xticks(sizes, sizes)
    if len(networks):
        axes[1].legend(title="examples n")
        axes[1].set_xticks(widths, widths)
    axes[1].set_xlabel("hidden units")
    axes[2].set_ylabel("bound on test - training error")
    axes[0].figure.legend(*axes[0].get_legend_handles_labels(), **BELOW)


def _memorize(table, axes):
    (axis,) = axes
    ends = np.array([table.weights.min(), table.weights.max()])
    axis.plot(ends, ends, "-", color=GREY, lw=0.8, label="one example a weight")
    label = "two (Cover: the linear one)"
    axis.plot(ends, 2 * ends, "--", color=GREY, lw=0.8, label=label)
    axis.plot(table.weights, table.largest_n, "o", color=BLUE, markersize=5)
    for _, row in table.iterrows():
        place = {"xytext": (0, 7), "textcoords": "offset points", "ha": "right"}
        axis.annotate(row["class"], (row.weights, row.largest_n), **place)
    axis.margins(0.15)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xticks(table.weights, table.weights)
    axis.set_yticks(table.largest_n, table.largest_n)
    axis.minorticks_off()
    axis.set_xlabel("weights")
    axis.set_ylabel("largest n with random labels reproduced")
    axis.legend(loc="lower right")


def _shades(count):
    """Colours from dark to light, told apart without hue."""
    return matplotlib.colormaps["viridis"](np.linspace(0, 0.9, count))

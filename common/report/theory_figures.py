"""The figures of expressivity.py, drawn from its record and CSV (imports no Keras)."""

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from common.report import names
from common.report.style import (
    BELOW,
    BLUE,
    GREY,
    HOLLOW,
    ORANGE,
    SKY,
    STYLE,
    head,
    log_scale,
    save_png,
)

CAPTIONS = {  # end of a file's name -> what it shows
    "growth": "The network of Theorem 1 against n: largest error of its outputs; "
    "accuracy; condition of the matrix A that gives its weights w, where each bias b "
    "is the projection of the example before, and where it lies midway between two; "
    "norm of w, beside one over the smallest gap between two projections z.",
    "complexity": "Estimated Rademacher complexity against the examples and against "
    "the hidden units, and the bound on the generalization error that it gives. Bands: "
    "95 % confidence intervals over the random signs.",
    "bound": "A PAC-Bayes bound on the error of a network whose weights are drawn anew "
    "for every prediction, as the bound is made smaller, with true and with random "
    "labels: the bound by the inverse of the small kl, the weaker one by Pinsker's "
    "inequality, which can exceed 1, and the network's errors. Right: the KL "
    "divergence that both bounds grow with. Hollow: values of Dziugaite and Roy "
    "(2017), recalled.",
    "capacity": "The largest number of examples whose random labels a network "
    "reproduces, against its number of weights.",
}


def draw(record, csv):
    """Draws figures/NAME_*.png beside the CSV.

    Args:
        record: Dict of the complete run of a part.
        csv: `Path` of its CSV.

    Returns:
        List of the PNGs' paths: one.
    """
    import pandas as pd  # here: a page takes the captions alone

    end, panels, size, fill = {
        "theorem": ("growth", (2, 2), (6.6, 5.2), _theorem),
        "rademacher": ("complexity", (1, 3), (8.5, 3.6), _rademacher),
        "memorize": ("capacity", (1, 1), (3.8, 3.4), _memorize),
        "bound": ("bound", (1, 3), (8.5, 3.6), _bound),
    }[record["part"]]
    path = csv.parent / "figures" / f"{csv.stem}_{end}.png"
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size)
        head(figure, _said(record))
        fill(pd.read_csv(csv), figure.subplots(*panels, squeeze=False).flatten())
        save_png(figure, path)
    return [path]


# Dziugaite and Roy (2017), network of 600 units: recalled, not read again; that the
# bound of random labels is sqrt(KL / (2 (n - 1))) alone follows from its KL.
PUBLISHED = {
    "true": {"bound": 0.161, "train_error": 0.028, "test_error": 0.034, "kl": 5144},
    "random": {"pinsker": 1.352, "train_error": 0.112, "test_error": 0.503}
    | {"kl": 201_131},
}


def _said(record):
    settings = record["settings"]
    components = settings.get("components")
    inputs = f", {components} principal components" if components else ""
    if record["part"] == "bound":
        inputs = ", two classes"
    return names.data({"dataset": settings["dataset"]}) + inputs


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
    axes[0].annotate(
        "above this a label may change", (table.n.min(), 0.5), va="bottom", color=GREY
    )
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
    axes[3].set_ylabel("norm, or one over the gap")
    for axis in axes:
        log_scale(axis, "x" if axis is axes[1] else "xy")
        axis.set_xlabel("training examples n")
        axis.legend()


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
    axes[2].axhline(1, color=GREY, lw=0.8, label="above 1 it says nothing")
    axes[2].legend(loc="upper right")
    for axis in axes:
        axis.set_xscale("log", base=2)
        axis.set_xlabel("examples n")
        axis.set_ylabel("estimated Rademacher complexity")
        axis.set_ylim(bottom=0)
    for axis in axes[::2]:
        axis.set_xticks(sizes, sizes)
    if len(networks):
        axes[1].legend(title="examples n")
        axes[1].set_xticks(widths, widths)
    axes[1].set_xlabel("hidden units")
    axes[2].set_ylabel("bound on test − training error")
    axes[0].figure.legend(*axes[0].get_legend_handles_labels(), **BELOW, ncols=4)


def _memorize(table, axes):
    (axis,) = axes
    ends = np.array([table.weights.min(), table.weights.max()])
    axis.plot(ends, ends, "-", color=GREY, lw=0.8, label="one example a weight")
    label = "two (Cover: a linear network's)"
    axis.plot(ends, 2 * ends, "--", color=GREY, lw=0.8, label=label)
    axis.plot(table.weights, table.largest_n, "o", color=BLUE, markersize=5)
    for _, row in table.iterrows():
        # Beside the line that it lies on, away from the other.
        above = row.largest_n > 1.5 * row.weights
        place = {"xytext": (-5, 4), "ha": "right"} if above else {"xytext": (6, -8)}
        text, point = f"{row['class']}: {row.largest_n}", (row.weights, row.largest_n)
        axis.annotate(text, point, textcoords="offset points", **place)
    log_scale(axis)
    axis.set_xlim(ends[0] / 5, 3 * ends[1])
    axis.margins(y=0.15)
    axis.set_xlabel("weights")
    axis.set_ylabel("largest n with random labels reproduced")
    axis.legend(loc="lower right")


def _bound(table, axes):
    kinds = {  # column: name, colour, mark
        "pinsker": ("bound by Pinsker's inequality", ORANGE, "--"),
        "bound": ("bound by the inverse of kl", BLUE, "-"),
        "test_error": ("error on the test set", GREY, ":"),
        "train_error": ("error on the training set", SKY, "-"),
    }
    table = table[(table.n == table.n.max()) & (table.width == table.width.max())]
    end = table.updates.max()
    for axis, labels in zip(axes, ("true", "random"), strict=False):
        rows = table[table.labels == labels]
        for column, (name, colour, mark) in kinds.items():
            axis.plot(rows.updates, rows[column], mark, color=colour, label=name)
            if (known := PUBLISHED[labels].get(column)) is not None:
                axis.plot(end, known, "s", color=colour, clip_on=False, **HOLLOW)
        axis.axhline(1, color=GREY, lw=0.8, label="above 1 it says nothing", zorder=0)
        axis.set_title(f"{labels} labels", fontsize=8)
        axis.set_ylabel("share of wrong predictions")
        axis.set_ylim(0, max(1.2, 1.05 * rows.pinsker.max()))
        axis.set_xlabel("updates")
    axes[0].plot([], [], "s", color=GREY, label="Dziugaite and Roy", **HOLLOW)
    # In black: in the other panels the colours tell bounds and errors apart.
    for labels, dashes in (("true", "-"), ("random", "--")):
        rows, name = table[table.labels == labels], f"{labels} labels"
        axes[2].plot(rows.updates, rows.kl, dashes, color="black", label=name)
        known = PUBLISHED[labels]["kl"]
        axes[2].plot(end, known, "s", color="black", clip_on=False, **HOLLOW)
    log_scale(axes[2], "y")
    axes[2].set_ylabel("KL divergence from the prior (nats)")
    axes[2].set_xlabel("updates")
    axes[2].legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    axes[0].figure.legend(*axes[0].get_legend_handles_labels(), **BELOW, ncols=3)


def _shades(count):
    """Colours from dark to light, told apart without hue."""
    return matplotlib.colormaps["viridis"](np.linspace(0, 0.9, count))

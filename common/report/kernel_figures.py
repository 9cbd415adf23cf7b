"""The figures of min_norm.py: of one record and its CSV, and of all (no Keras)."""

import itertools

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from common.report import names, random_feature_figures
from common.report.style import (
    GREY,
    HOLLOW,
    INKS,
    STYLE,
    Sketch,
    head,
    log_scale,
    power,
    save_png,
)

CAPTIONS = {  # end of a file's name -> what it shows
    "filters": "Error against the number of random filters.",
    "bandwidth": "Error against the bandwidth of the Gaussian kernel.",
    "ridge": "Error against the ridge.",
    "rkhs_norm": "Error against the norm of the solution. The colour says what else "
    "varies.",
    "step": "Distance from SGD's weights to the minimum-norm solution, relative to its "
    "norm, against the steps, from two starts.",
} | random_feature_figures.CAPTIONS
AXES = {
    "filters": "filters",
    "bandwidth": "bandwidth",
    "ridge": "ridge",
    "rkhs_norm": "norm of the solution",
    "step": "steps of SGD",
}
FEATURES = {  # of min_norm.py: marker and words
    "raw": ("o", "pixels"),
    "gabor": ("s", "Gabor wavelets"),
    "random_conv": ("D", "random filters"),
    "fourier": ("^", "random Fourier features"),
    "relu": ("v", "random ReLU features"),
}


def kernels(rows, papers):
    """Norm against test error, without a ridge and with the most filters."""
    points = []
    for row in rows:
        record = row.runs[0].record
        lines = [x for x in record["rows"] if not x.get("ridge", 1)]
        points += [(row.fields["setting"], record, line) for line in lines[-1:]]
    if not points:
        return None
    sketch = Sketch(
        1,
        1,
        size=(6.2, 3.2),
        caption="Norm of the minimum-norm solution, in the space of the kernel, "
        "against the test error, without a ridge, with the most filters. Colour: the "
        "data set; marker: the features; beside it the number of training images.",
    )
    axis = sketch.axes[0, 0]
    sets = list(dict.fromkeys(record["settings"]["dataset"] for _, record, _ in points))
    inks = dict(zip(sets, INKS, strict=False))
    for setting, record, line in points:
        settings = record["settings"]
        x, y = line["rkhs_norm"], 100 * line["test_error"]
        mark, _ = FEATURES[settings["features"]]
        axis.plot(x, y, mark, color=inks[settings["dataset"]], markersize=5)
        text = f"{record['train_size']:,}"
        if p := settings["label_corruption"]:
            text += ", random labels" if p == 1 else f", p = {p:g}"
        _beside(axis, x, y, text)
        sketch.value(axis, x, y, f"{setting}: norm {x:.4g}, test error {y:.2f} %")
    paper = {(x["setting"], x["metric"]): v for x, v in papers.get("kernels", ())}
    settings = [s for s, metric in paper if metric == "l2_norm"]
    for setting in settings:  # the paper's: MNIST, on pixels and on Gabor wavelets
        x, y = (paper[setting, m].value for m in ("l2_norm", "test_error"))
        mark, _ = FEATURES["gabor" if "Gabor" in setting else "raw"]
        axis.plot(x, y, mark, color=inks.get("mnist", GREY), **HOLLOW)
        _beside(axis, x, y, "paper")
        label = f"paper: {setting}"
        sketch.value(axis, x, y, f"{label}, norm {x:g}, test error {y:g} %")
    if settings:
        sketch.caption += " Hollow: the paper's, which does not say which norm it is."
    axis.set(xlabel="norm of the solution", ylabel="test error (%)")
    log_scale(axis)
    axis.margins(x=0.12)
    used = {record["settings"]["features"] for _, record, _ in points}
    handles = [Patch(color=inks[k], label=names.DATA.get(k, k)) for k in sets]
    handles += [_mark(*FEATURES[kind]) for kind in FEATURES if kind in used]
    sketch.figure.legend(handles=handles, loc="outside right upper", handlelength=1)
    return sketch


def _beside(axis, x, y, text):
    axis.annotate(text, (x, y), (4, 3), textcoords="offset points", fontsize=6,
                  color="0.35")  # fmt: skip


def _mark(mark, label):
    """A marker in a legend."""
    return Line2D([], [], marker=mark, linestyle="none", color="0.4", label=label)


def draw(record, csv):
    """Draws figures/NAME_*.png beside the CSV: a path against what varies in it.

    Args:
        record: Dict of the complete run.
        csv: `Path` of its CSV.

    Returns:
        List of the PNGs' paths; empty where nothing varies.
    """
    import pandas as pd  # here: a page takes the captions alone

    table, settings = pd.read_csv(csv), record["settings"]
    with matplotlib.rc_context(STYLE):
        figures = _figures(table, record, settings)
        data = settings | {"train_size": record["train_size"]}
        for figure in figures.values():
            head(figure, _said(data))
        folder = csv.parent / "figures"
        paths = {end: folder / f"{csv.stem}_{end}.png" for end in figures}
        for end, figure in figures.items():
            save_png(figure, paths[end])
    return list(paths.values())


def _figures(table, record, settings):
    """Returns dict of end of the file's name -> figure."""
    if settings.get("leave_one_out"):
        return {"left_out": random_feature_figures.left_out(table, record)}
    if settings.get("num_features"):
        return {"descent": random_feature_figures.curves(table, record)}
    if settings["sgd"]:
        return {"step": _sgd(table)}
    varied = [c for c in ("filters", "bandwidth", "ridge") if table[c].nunique() > 1]
    if not varied:
        return {}
    where = "held-out training images" if settings["held_out"] else "the test set"
    error = f"error on {where} (%)"
    return {
        varied[0]: _error(table, varied, error),
        "rkhs_norm": _norm(table, varied, error),
    }


def _said(settings):
    """What was solved, in two lines: the data and labels; the features and kernel."""
    data, words = names.data(settings), FEATURES[settings["features"]][1]
    if settings["features"] == "fourier":
        words += f", bandwidth {settings['bandwidth'][0]:g}"
    if p := settings["label_corruption"]:
        data += ", random labels" if p == 1 else f", label corruption {p:g}"
    if settings["features"] in ("raw", "gabor"):
        kernel = {"gaussian": "Gaussian kernel", "linear": "linear kernel"}
        words += f", {kernel[settings['kernel']]}"
    return f"{data}\n{words}"


def _error(table, varied, error):
    """Error against what varies first, a line a ridge."""
    figure = Figure(figsize=(3.6, 2.9))
    axis, (x, *others) = figure.subplots(), varied
    lines = "ridge" if "ridge" in others else None
    looks = itertools.cycle(zip(INKS, ("-", "--", ":", "-.", "-", "--"), strict=True))
    for value, part in table.groupby(lines) if lines else [(None, table)]:
        part, (ink, dashes) = part.sort_values(x), next(looks)
        axis.plot(
            part[x],
            100 * part.test_error,
            dashes,
            color=ink,
            marker="o",
            markersize=3,
            label=None if value is None else f"ridge {value:g}",
        )
    axis.set(xlabel=AXES[x], ylabel=error)
    ticks = sorted(table[x].unique())
    if ticks[0] == 0:  # linear between 0 and the next value
        axis.set_xscale("symlog", linthresh=ticks[1])
    else:
        axis.set_xscale("log")
    if len(ticks) <= 6:
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.minorticks_off()
    if lines:
        axis.legend()
    return figure


def _norm(table, varied, error):
    """Error against norm: points without a line, since the norm need not grow."""
    figure = Figure(figsize=(4.6, 2.9))
    axis, (x, *others) = figure.subplots(), varied
    ridges = table.ridge.unique() if "ridge" in others else [None]
    values = sorted(table[x].unique())
    shades = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(values)))
    marks = dict(zip(ridges, itertools.cycle("osD^v"), strict=False))
    for ridge, mark in marks.items():
        part = table if ridge is None else table[table.ridge == ridge]
        part = part.sort_values("rkhs_norm")
        inks = [shades[values.index(value)] for value in part[x]]
        axis.scatter(part.rkhs_norm, 100 * part.test_error, s=16, c=inks, marker=mark)
    axis.set(xlabel=AXES["rkhs_norm"], ylabel=error)
    log_scale(axis, "x")
    axis.margins(x=0.1)
    handles = [
        Patch(color=ink, label=f"{AXES[x]} {value:g}")
        for ink, value in zip(shades, values, strict=True)
    ]
    if len(ridges) > 1:
        handles += [_mark(mark, f"ridge {ridge:g}") for ridge, mark in marks.items()]
    figure.legend(handles=handles, loc="outside right upper", handlelength=1)
    return figure


def _sgd(table):
    """Distance of SGD to the closed form against its steps, from both starts."""
    figure = Figure(figsize=(3.6, 2.9))
    axis = figure.subplots()
    looks = {"zero": ("-", INKS[0]), "random": ("--", INKS[1])}
    for start, (dashes, ink) in looks.items():
        part = table[table.start == start].sort_values("step")
        axis.plot(part.step, part.distance, dashes, color=ink, label=f"start: {start}")
    first = table.step[table.step > 0].min()
    axis.set_xscale("symlog", linthresh=first)  # linear between 0 and the next value
    axis.xaxis.set_major_formatter(power)
    log_scale(axis, "y")
    axis.set(xlabel=AXES["step"], ylabel="distance to the closed form, relative")
    axis.legend()
    return figure

"""Figures of min_norm.py's random features, and of leaving one out (no Keras)."""

import base64
import zlib

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from common.report import published
from common.report.style import BLUE, GREY, HOLLOW, INKS, log_scale

CAPTIONS = {  # end of a file's name -> what it shows
    "descent": "Error on the test set and on the training labels, and norm of the "
    "solution, against the number of random features N, at several levels of label "
    "corruption: mean of the draws, and band from the lowest to the highest. Dashed: "
    "as many features as images. Hollow: Belkin et al. (2019), as read from a figure.",
    "left_out": "Left: how far the prediction for a training image, made without it, "
    "is below 1 for its label (log scale; what lies beyond an end is counted at it). "
    "Right: training images whose true labels are memorized, with the label and what "
    "is predicted without it; and test images that are classified rightly only because "
    "of one training image, each above that image.",
}
# Their settings in paper.csv.
PUBLISHED = "MNIST, random Fourier features", "MNIST, the Gaussian kernel itself"


def curves(table, record):
    """Errors and norm against the number of features, a colour a level of noise."""
    figure, settings = Figure(figsize=(8.5, 3.1)), record["settings"]
    panels = {
        "test_error": ("test error (%)", 100),
        "train_error": ("training error (%)", 100),
        "rkhs_norm": ("norm of the solution", 1),
    }
    axes, handles = dict(zip(panels, figure.subplots(1, 3), strict=True)), []
    for p, ink in zip(sorted(table.label_corruption.unique()), INKS, strict=False):
        rows = table[table.label_corruption == p].groupby("num_features")
        for column, (_, scale) in panels.items():
            mean, low, high = (
                scale * getattr(rows[column], how)() for how in ("mean", "min", "max")
            )
            axes[column].plot(mean.index, mean, "-o", color=ink, markersize=3)
            axes[column].fill_between(mean.index, low, high, color=ink, alpha=0.2, lw=0)
        known = {0: "true labels", 1: "random labels"}
        label = known.get(p, f"label corruption {p:g}")
        handles.append(Line2D([], [], color=ink, marker="o", markersize=3, label=label))
    if _as_published(record):
        handles.append(_published(axes))
    for column, (label, _) in panels.items():
        axis = axes[column]
        axis.set(xlabel="random features N", ylabel=label)
        log_scale(axis, "xy" if column == "rkhs_norm" else "x")
        axis.xaxis.set_major_locator(LogLocator())
        axis.axvline(record["train_size"], color=GREY, lw=0.8, ls="--", zorder=0)
        if column != "rkhs_norm":
            axis.set_ylim(bottom=-2)
    axes["train_error"].annotate(
        "N = n", (record["train_size"], 0.97), (-3, 0), color=GREY, ha="right",
        xycoords=("data", "axes fraction"), textcoords="offset points", fontsize=7,
    )  # fmt: skip
    if len(settings["bandwidth"]) > 1:
        axes["test_error"].set_title("mean of all bandwidths", fontsize=7)
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _as_published(record):
    """Whether a record is of the setting that Belkin et al. (2019) report."""
    settings = record["settings"]
    kind = settings["dataset"], settings["features"], tuple(settings["bandwidth"])
    return (*kind, record["train_size"]) == ("mnist", "fourier", (0.02,), 10_000)


def _published(axes):
    """Draws the published points; returns what stands in the legend."""
    said, kernel = map(published.features().get, PUBLISHED)
    look = {"color": BLUE} | HOLLOW | {"marker": "D"}
    for metric, column in (("test_error", "test_error"), ("norm", "rkhs_norm")):
        points = [(n, x[metric].value) for n, x in said.items() if metric in x]
        axes[column].plot(*zip(*points, strict=True), **look)
        height = kernel[0][metric].value
        axes[column].axhline(height, color=BLUE, lw=0.7, ls=":", zorder=0)
    return Line2D([], [], label="Belkin et al., true labels (dotted: kernel)", **look)


def left_out(table, record):
    """Histogram of the residuals, memorized images, and pairs that help."""
    figure = Figure(figsize=(8.5, 4.0))
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.75))
    axis = left.subplots()
    shares = table[table.labels == "all"].memorized  # in the order of the levels
    bins = np.linspace(-0.5, 1.5, 31)
    levels = zip(record["examples"].items(), shares, INKS, strict=False)
    for (p, kept), share, ink in levels:
        residuals = np.array(kept["residuals"].split(), float)
        known = {"0": "true labels", "1": "random labels"}
        word = known.get(p, f"label corruption {p}")
        weights = np.full(len(residuals), 100 / len(residuals))
        axis.hist(
            residuals.clip(bins[0], bins[-1]), bins, weights=weights, color=ink,
            histtype="step", lw=1.3, label=f"{word}: {100 * share:.1f} %",
        )  # fmt: skip
    axis.set(xlabel="1 − prediction for its label without it", ylabel="images (%)")
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter("{x:g}")
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.2)}
    axis.legend(title="labels memorized", **place)
    shape, above, below = tuple(record["image_shape"]), *right.subfigures(2, 1)
    texts = {
        above: "memorized: label, and in brackets what is predicted without it",
        below: "test images that are right only with the training image below",
    }
    for part, text in texts.items():
        part.suptitle(text, fontsize=7, weight="bold")
    cells = above.subplots(2, 8), below.subplots(2, 8)
    for cell in np.ravel(cells):
        cell.set_axis_off()
    for cell, kept in zip(cells[0].flat, record["most_memorized"], strict=False):
        _image(cell, kept["pixels"], shape, f"{kept['label']} ({kept['left_out']})")
    for test, train, pair in zip(*cells[1], record["helped"], strict=False):
        text = f"{pair['label']} ({pair['without']})"
        _image(test, pair["test_pixels"], shape, text)
        _image(train, pair["pixels"], shape, "")
    return figure


def _image(axis, packed, shape, text):
    pixels = np.frombuffer(zlib.decompress(base64.b64decode(packed)), np.uint8)
    axis.imshow(pixels.reshape(shape).squeeze(), cmap="gray_r", vmin=0, vmax=255)
    axis.set_title(text, fontsize=6, pad=2)

"""The figures of double_descent.py, from its record and CSV (imports no Keras)."""

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
    STYLE,
    head,
    log_scale,
    power,
    save_png,
)

CAPTIONS = {  # end of a file's name -> what it shows
    "widths": "Test error against the number of weights, for networks that begin with "
    "weights of their own (fresh) and with those of the next narrower network "
    "(reused), and their training error (pale). Vertical: the threshold, as many "
    "weights as numbers to reproduce. Hollow: read from the figure of Belkin et al. "
    "(2019), 6,000 epochs, reused weights.",
    "epochs": "Test error over training, of networks below, at and beyond the "
    "threshold, at the largest label corruption; dashed: error on the training set. A "
    "curve ends where training stopped.",
}
# Belkin et al. (2019), Figure 9: weights -> test error in %, read from the figure.
PUBLISHED = {1e4: 13.0, 4e4: 20.8, 8e5: 4.4}
STARTS = {"reused": (ORANGE, "-"), "fresh": (BLUE, "--")}


def draw(record, csv):
    """Draws figures/NAME_*.png beside the CSV.

    Args:
        record: Dict of the complete run.
        csv: `Path` of its CSV.

    Returns:
        List of the PNGs' paths: two.
    """
    import pandas as pd  # here: a page takes the captions alone

    table, drawn = pd.read_csv(csv), []
    for end, fill in {"widths": _widths, "epochs": _epochs}.items():
        path = csv.parent / "figures" / f"{csv.stem}_{end}.png"
        with matplotlib.rc_context(STYLE):
            save_png(fill(record, table), path)
        drawn.append(path)
    return drawn


def curve(table, noise, start):
    """Test and training error at the end, against the number of weights.

    Args:
        table: `pandas.DataFrame` of the CSV.
        noise: Label corruption.
        start: `fresh` or `reused`; where no network reused weights, beyond the
            threshold, that curve goes on with the fresh ones.

    Returns:
        `pandas.DataFrame` indexed by weights: over seeds the `mean`, `min` and `max`
        of the test error, and the mean `train_error`.
    """
    last = table[table["last"] & (table.noise == noise)]
    has = last.weights.isin(last[last.start == start].weights)
    groups = last[(last.start == start) | ~has].groupby("weights")
    found = groups.test_error.agg(["mean", "min", "max"])
    return found.assign(train_error=groups.train_error.mean())


def _widths(record, table):
    settings = record["settings"]
    figure = Figure(figsize=(3.6 * len(settings["noise"]), 3.4))
    head(figure, names.data(settings))
    axes = figure.subplots(1, len(settings["noise"]), squeeze=False)[0]
    for axis, noise in zip(axes, settings["noise"], strict=True):
        for start, (colour, mark) in STARTS.items():
            rows = curve(table, noise, start)
            style = {"color": colour, "markersize": 3.5}
            label = f"test error, {start} weights"
            axis.plot(rows.index, 100 * rows["mean"], f"{mark}o", label=label, **style)
            band = rows.index, 100 * rows["min"], 100 * rows["max"]
            axis.fill_between(*band, color=colour, alpha=0.2, lw=0)
            train = 100 * rows.train_error
            axis.plot(rows.index, train, mark, color=colour, alpha=0.4, lw=0.9)
        axis.plot([], [], color=GREY, alpha=0.4, lw=0.9, label="training error")
        axis.axvline(record["threshold"], color=GREY, lw=0.8, label="threshold")
        if not noise:
            known = np.array(list(PUBLISHED.items())).T
            axis.plot(*known, "s", color=GREY, label="Belkin et al.", **HOLLOW)
        log_scale(axis, "x")
        powers = [10.0**i for i in range(10)]  # fewer ticks: these are long numbers
        axis.set_xticks(powers, [power(x) for x in powers])
        axis.set_xlim(table.weights.min() / 1.3, table.weights.max() * 1.3)
        axis.set_ylim(0, None)
        axis.set_xlabel("weights")
        axis.set_ylabel("error (%)")
        axis.set_title(_labels(noise), fontsize=8)
    shown = (axis.get_legend_handles_labels() for axis in axes)
    figure.legend(*max(shown, key=lambda pair: len(pair[1])), **BELOW, ncols=3)
    return figure


def _labels(noise):
    return f"{100 * noise:g} % of the labels corrupted" if noise else "true labels"


def _epochs(record, table):
    settings = record["settings"]
    noise = settings["noise"][-1]
    rows = table[(table.noise == noise) & (table.start == "fresh")]
    counts = rows.groupby("width").weights.first()
    # The nearest to these multiples of the threshold, where there are so many widths.
    wanted = [record["threshold"] * times for times in (0.1, 0.3, 1, 3, 20)]
    chosen = sorted({abs(np.log(counts / count)).idxmin() for count in wanted})
    figure = Figure(figsize=(4.6, 4))
    head(figure, f"{names.data(settings)}, {_labels(noise)}")
    axis = figure.subplots()
    shades = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(chosen)))
    for width, colour in zip(chosen, shades, strict=True):
        mean = rows[rows.width == width].groupby("epoch").mean(numeric_only=True)
        label = f"{width:,} units, {counts[width]:,} weights"
        axis.plot(mean.index, 100 * mean.test_error, color=colour, label=label)
        axis.plot(mean.index, 100 * mean.train_error, "--", color=colour, lw=0.9)
    axis.plot([], [], color=GREY, label="test error")
    axis.plot([], [], "--", color=GREY, lw=0.9, label="training error")
    log_scale(axis, "x")
    axis.set_ylim(0, None)
    axis.set_xlabel("epochs")
    axis.set_ylabel("error (%)")
    figure.legend(**BELOW, ncols=2)
    return figure

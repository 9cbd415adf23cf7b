"""What the lab notebooks show: runs so far, images with their labels."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from common.report import names, reading
from common.report.gallery import displayable
from common.report.style import BLUE, GREY, INKS, ORANGE, SKY, STYLE

_SHOWN = STYLE | {"figure.dpi": 120, "savefig.dpi": 120}
# Columns of a run with corrupted labels -> what they are the accuracy of, ink, dashes.
_PARTS = {
    "kept_accuracy": ("labels kept", BLUE, "-"),
    "flipped_accuracy": ("labels replaced, as given", ORANGE, "-"),
    "flipped_true_accuracy": ("labels replaced, the true ones", ORANGE, ":"),
    "val_accuracy": ("test set", GREY, ":"),
}


def curves(runs, folder="mine"):
    """Draws the accuracy of runs against epochs, on training and on test set.

    Args:
        runs: Dict of label -> record of a training, as `main` of its script returns it.
        folder: Where the records lie.

    Returns:
        `matplotlib.figure.Figure`.
    """
    with matplotlib.rc_context(_SHOWN):
        figure = Figure(figsize=(6.6, 2.9))
        axis = figure.subplots()
        inks = INKS
        if len(runs) > len(INKS):
            inks = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(runs)))
        for (label, record), ink in zip(runs.items(), inks, strict=False):
            history = reading.curves(Path(folder) / f"{record['name']}.csv", record)
            for part, dashes in (("train", "-"), ("val", ":")):
                percent = 100 * np.array(history[f"{part}_accuracy"])
                axis.plot(history["epoch"], percent, dashes, color=ink)
            axis.plot([], [], color=ink, label=label)
        for words, dashes in (("training", "-"), ("test", ":")):
            axis.plot([], [], dashes, color="black", label=words)
        chance = 100 / record["num_classes"]
        axis.axhline(chance, color="0.7", linewidth=0.8, label="guessing")
        axis.set(xlabel="epochs", ylabel="accuracy (%)", ylim=(0, 103))
        figure.legend(loc="outside right center")
        return figure


def parts(record, folder="mine"):
    """Draws what a run with corrupted labels does with those kept and those replaced.

    Args:
        record: Of a training with `--label-corruption`.
        folder: Where it lies.

    Returns:
        `matplotlib.figure.Figure`.
    """
    history = reading.curves(Path(folder) / f"{record['name']}.csv", record)
    with matplotlib.rc_context(_SHOWN):
        figure = Figure(figsize=(6.6, 2.9))
        axis = figure.subplots()
        for column, (label, ink, dashes) in _PARTS.items():
            percent = 100 * np.array(history[column])
            axis.plot(history["epoch"], percent, dashes, color=ink, label=label)
        axis.set(xlabel="epochs", ylabel="accuracy (%)", ylim=(0, 103))
        figure.legend(loc="outside right center")
        return figure


def images(shown, titles, marked=None, columns=10):
    """Draws images with a title each.

    Args:
        shown: `(n, height, width, channels)`: uint8, or whitened, as models are fed.
        titles: n texts, of one line or more.
        marked: `(n,)` booleans: titles that are coloured; or None.
        columns: Images in a row.

    Returns:
        `matplotlib.figure.Figure`.
    """
    white = 255 if shown.dtype == np.uint8 else 1
    shown = shown if white == 255 else displayable(shown)
    marked = np.zeros(len(shown), bool) if marked is None else marked
    rows = -(-len(shown) // columns)
    above = 0.06 + 0.12 * max(2, *(title.count("\n") + 1 for title in titles))  # inches
    height = 0.75 + above
    with matplotlib.rc_context(_SHOWN):
        # Placed by hand: to lay out so many panels takes seconds.
        figure = Figure(figsize=(0.75 * columns, height * rows), layout="none")
        place = {"left": 0.01, "right": 0.99, "bottom": 0.01}
        place |= {"top": 1 - above / height / rows, "hspace": above / 0.7}
        axes = figure.subplots(rows, columns, squeeze=False, gridspec_kw=place).ravel()
        for axis in axes:
            axis.set_axis_off()
        for axis, image, title, mark in zip(axes, shown, titles, marked, strict=False):
            axis.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=white)
            axis.set_title(title, fontsize=6.5, color=ORANGE if mark else "black")
        return figure


def least_margins(shown, given, says, margins, dataset, count=10):
    """Draws the images with the smallest margins, each with its label and margin.

    Classes are named where `names` knows them.

    Args:
        shown: `(n, height, width, channels)`: uint8, or whitened.
        given, says: `(n,)` integers: the label, and what the network says.
        margins: `(n,)`: logit of the label less the largest other one. Titles of
            negative ones are coloured.
        dataset: Its name.
        count: Images drawn.

    Returns:
        `matplotlib.figure.Figure`.
    """
    least = np.argsort(margins)[:count]
    called = names.CLASSES.get(dataset, range(1000))
    titles = [
        f"{called[given[i]]}\nsays {called[says[i]]}\n{margins[i]:.2f}" for i in least
    ]
    return images(shown[least], titles, margins[least] < 0)


def bars(groups, unit, of="layer"):
    """Draws numbers side by side, such as the norms of each layer of two networks.

    Args:
        groups: Dict of label -> dict of name -> number; the names are those of the
            first label.
        unit: What the numbers are.
        of: What the names are.

    Returns:
        `matplotlib.figure.Figure`.
    """
    named = list(next(iter(groups.values())))
    width = 0.8 / len(groups)
    with matplotlib.rc_context(_SHOWN):
        figure = Figure(figsize=(6.6, 2.6))
        axis = figure.subplots()
        inks = (BLUE, ORANGE, GREY, SKY)
        for k, ((label, values), ink) in enumerate(
            zip(groups.items(), inks, strict=False)
        ):
            at = np.arange(len(named)) + (k - (len(groups) - 1) / 2) * width
            axis.bar(
                at, [values[name] for name in named], width, color=ink, label=label
            )
        axis.set(xticks=range(len(named)), xticklabels=named, xlabel=of, ylabel=unit)
        axis.tick_params(axis="x", labelsize=6 if len(named) > 20 else 8)
        figure.legend(loc="outside right center")
        return figure

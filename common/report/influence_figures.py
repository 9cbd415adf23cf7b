"""The figure of influence.py, drawn from its record and CSV (imports no Keras)."""

import base64

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from common.report import names
from common.report.style import BLUE, GREY, ORANGE, STYLE, head, log_scale, save_png

CAPTIONS = {  # end of a file's name -> what it shows
    "memorized": "Memorization scores of all training examples; the most memorized "
    "ones, each with its label and its score; and training examples (left of each "
    "pair) with the test example that they help most, each with its label: chosen by "
    "one half of the networks, their influence estimated by the other.",
}
MOST = 12  # in a row of pictures, and of pairs


def draw(record, csv):
    """Draws figures/NAME_memorized.png beside the CSV.

    Args:
        record: Dict of the complete run.
        csv: `Path` of its CSV.

    Returns:
        List of the PNG's path.
    """
    import pandas as pd  # here: a page takes the captions alone

    path = csv.parent / "figures" / f"{csv.stem}_memorized.png"
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 4.2))
        settings = record["settings"]
        labels = "random labels" if settings["label_corruption"] == 1 else ""
        said = ", ".join(filter(None, [names.data(settings), labels]))
        head(figure, f"{said}, {settings['networks']} networks")
        above, middle, below = figure.subfigures(3, 1, height_ratios=(2.4, 1, 1))
        _histogram(above.subplots(), record, pd.read_csv(csv))
        _memorized(middle, record)
        _pairs(below, record)
        save_png(figure, path)
    return [path]


def _histogram(axis, record, table):
    bins = np.linspace(-0.4, 1, 57)
    score = table.score.clip(bins[0], bins[-1])
    axis.hist(score, bins, color=BLUE)
    axis.set_xlim(min(0, score.min()) - 0.03, 1.03)
    axis.axvline(record["mean_score"], color=ORANGE, lw=1, label="mean")
    if record["settings"]["label_corruption"] == 1:
        axis.axvline(record["chance"], color=GREY, ls="--", lw=1, label="1 − 1/K")
    axis.set_xlabel("memorization score")
    axis.set_ylabel("training examples")
    axis.set_ylim(bottom=0.7)
    log_scale(axis, "y")
    axis.legend()


def _memorized(figure, record):
    axes = figure.subplots(1, MOST, squeeze=False)[0]
    for axis, one in zip(axes, record["best"], strict=False):
        title = f"{one['label']} ({one['score']:.2f})"
        _show(axis, record, f"train {one['train']}", title)
    _blank(axes)
    figure.supylabel("most\nmemorized", fontsize=7)


def _pairs(figure, record):
    axes = figure.subplots(1, 2 * (MOST // 2), squeeze=False)[0]
    for i, pair in enumerate(record["pairs"][: MOST // 2]):
        _show(axes[2 * i], record, f"train {pair['train']}", f"{pair['label']} helps")
        title = f"{pair['test_label']} ({pair['influence']:.2f})"
        _show(axes[2 * i + 1], record, f"test {pair['test']}", title)
    _blank(axes)
    figure.supylabel("influence", fontsize=7)


def _show(axis, record, key, title):
    pixels = np.frombuffer(base64.b64decode(record["images"][key]), np.uint8)
    picture = pixels.reshape(record["image_shape"])
    picture = picture[:, :, 0] if picture.shape[-1] == 1 else picture
    axis.imshow(picture, cmap="gray_r")
    axis.set_title(title, fontsize=7)


def _blank(axes):
    for axis in axes:
        axis.set_axis_off()

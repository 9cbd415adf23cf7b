"""The figures of examples.py, and those of several runs (imports no Keras)."""

import contextlib

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from common import records
from common.cli import MendableError
from common.examples import scores
from common.report import kept, names
from common.report.drawing import data as data_of
from common.report.style import (
    BELOW,
    BLUE,
    GREY,
    INKS,
    ORANGE,
    STYLE,
    Sketch,
    head,
    save_png,
)

CAPTIONS = {  # end of a file's name -> what it shows
    "examples_course": "Kept (blue) and flipped (orange) labels over the epochs. Left: "
    "cross-entropy of the given label; middle: its margin; lines are medians, bands "
    "the middle half of the examples. Right: what is predicted, and with a probability "
    f"p above {scores.MEMORIZED}. The dashed line is the last epoch before "
    "memorization.",
    "examples_learned": "Left: share of the examples that are predicted as labelled "
    "after each epoch, and from it to the end. Right: how often examples are "
    "forgotten: right after one epoch, wrong after the next.",
    "examples_roc": "Finding the flipped labels by each score. Left: area under the "
    "ROC curve (AUC) of the score after each epoch, its best marked. Right: the ROC "
    "curve at the best epoch, which the legend names.",
    "examples_gallery": "The training images with the smallest area under the margin "
    "(AUM, up to the epoch named): what label they have, the true one where another "
    "was given, and what the network predicted most often until then.",
}
SHOWN = 24  # images of the gallery
COLUMNS = 8


def draw(examples, found, course, images, look, said, folder):
    """Draws figures/NAME_examples_*.png.

    Args:
        examples: `files.Examples`.
        found: From `scores.find`.
        course: From `scores.courses`.
        images: `(num_examples, height, width, channels)` uint8, or None: no gallery.
        look: Epoch after which the gallery looks.
        said: Dict of `dataset` and what is above the figures (`what`).
        folder: `Path` of figures/.

    Returns:
        List of the PNGs' paths.
    """
    parts = {"course": (_course, (8.6, 3.3), (examples, course))}
    parts["learned"] = _learned, (6.6, 3.1), (examples,)
    if found:
        parts["roc"] = _roc, (6.6, 3.6), (found,)
    if images is not None:
        size = 8.6, 3.9
        parts["gallery"] = _gallery, size, (examples, images, look, said["dataset"])
    paths = []
    with matplotlib.rc_context(STYLE):
        for end, (fill, size, what) in parts.items():
            figure = Figure(figsize=size)
            head(figure, said["what"])
            fill(figure, *what)
            path = folder / f"{examples.name}_examples_{end}.png"
            save_png(figure, path)
            paths.append(path)
    return paths


def _kinds(examples):
    """(name, colour, which) of the kept and of the flipped examples, where any are."""
    flipped = examples.flipped
    kinds = ("kept", BLUE, ~flipped), ("flipped", ORANGE, flipped)
    return [kind for kind in kinds if kind[2].any()]


def _course(figure, examples, course):
    axes = figure.subplots(1, 3)
    epochs = np.arange(1, len(examples.loss) + 1)
    for axis, values in zip(axes[:2], (examples.loss, examples.margin), strict=True):
        for name, colour, which in _kinds(examples):
            part = values[:, which].astype(np.float32)
            low, middle, high = np.quantile(part, (0.25, 0.5, 0.75), axis=1)
            axis.plot(epochs, middle, color=colour, label=name)
            axis.fill_between(epochs, low, high, color=colour, alpha=0.2, lw=0)
        axis.legend()
    axes[0].set_ylabel("cross-entropy of the given label (nats)")
    axes[0].set_ylim(bottom=0)
    axes[1].set_ylabel("margin of the given label (logits)")
    axes[1].axhline(0, color="0.6", lw=0.7)
    lines = {
        "flipped: given label": ("flipped_given", ORANGE, "-"),
        "flipped: true label": ("flipped_true", GREY, "-"),
        f"flipped: given, p > {scores.MEMORIZED}": ("flipped_memorized", ORANGE, ":"),
        "kept: right": ("kept_right", BLUE, "-"),
        f"kept: right, p > {scores.MEMORIZED}": ("kept_memorized", BLUE, ":"),
    }
    for label, (key, colour, dashes) in lines.items():
        if key in course:
            values = 100 * np.array(course[key])
            axes[2].plot(epochs, values, dashes, color=colour, label=label)
    axes[2].set_ylabel("share predicted (%)")
    axes[2].set_ylim(0, 102)
    figure.legend(*axes[2].get_legend_handles_labels(), **BELOW, ncols=5)
    last = scores.memorization_starts(course, examples.num_classes)
    for axis in axes:
        if last:
            axis.axvline(last, color=GREY, lw=0.8, ls="--")
        axis.set_xlabel("epoch")


def _learned(figure, examples):
    left, right = figure.subplots(1, 2)
    epochs = np.arange(1, len(examples.predicted) + 1)
    was_right = examples.right
    learned = scores.learned(was_right)
    events = scores.forgetting_events(was_right)
    kinds, most = _kinds(examples), 10
    for i, (name, colour, which) in enumerate(kinds):
        share = [100 * np.mean(learned[which] <= epoch) for epoch in epochs]
        left.plot(epochs, share, color=colour)
        left.plot(epochs, 100 * was_right[:, which].mean(1), ":", color=colour)
        counts = np.clip(events[which], 0, most + 1)
        counts[np.isinf(events[which])] = most + 3  # a gap apart
        heights = 100 * np.bincount(counts.astype(int), minlength=most + 4)
        places = np.arange(most + 4) + (i - (len(kinds) - 1) / 2) * 0.4
        width = 0.8 / len(kinds)
        right.bar(places, heights / which.sum(), width, color=colour, label=name)
    left.set(xlabel="epoch", ylabel="examples (%)", ylim=(0, 102))
    for dashes, text in ((":", "right after the epoch"), ("-", "and to the end")):
        left.plot([], [], dashes, color=GREY, label=text)
    ticks = [0, 2, 4, 6, 8, most + 1, most + 3]
    texts = [*map(str, ticks[:5]), f"> {most}", "never\nright"]
    right.set_xticks(ticks, texts, fontsize=7, ha="center")
    right.set(xlabel="forgetting events", ylabel="examples (%)")
    drawn = [axis.get_legend_handles_labels() for axis in (right, left)]
    figure.legend(*(a + b for a, b in zip(*drawn, strict=True)), **BELOW, ncols=4)


def _roc(figure, found):
    left, right = figure.subplots(1, 2)
    inks = [*INKS, "black"]
    dashes = ["-", "-", "-", "--", "--", ":", ":"]
    widths = [3.2, 2, 0.9, 2.4, 1.2, 1.4, 1.4]  # curves that lie on each other are seen
    for each, ink, dash, lw in zip(found, inks, dashes, widths, strict=True):
        style = {"color": ink, "linestyle": dash, "linewidth": lw}
        epochs = np.arange(1, len(each.auc) + 1)
        left.plot(epochs, each.auc, **style)
        left.plot(each.best_epoch, each.best_auc, "o", color=ink, markersize=3.5)
        name = f"{each.score}: {each.best_auc:.3f} (epoch {each.best_epoch})"
        right.plot(*each.curve, **style, label=name)
    left.set(xlabel="epoch", ylabel="area under the ROC curve")
    right.plot([0, 1], [0, 1], color="0.6", lw=0.7)
    right.set(xlabel="share of the kept labels suspected")
    right.set(ylabel="share of the flipped labels found")
    shown = right.get_legend_handles_labels()
    title = "best area under the curve (epoch)"
    figure.legend(*shown, **BELOW, ncols=3, fontsize=7, title=title)


def _gallery(figure, examples, images, look, dataset):
    aum = scores.area_under_margin(examples.margin[:look])[-1]
    places = np.argsort(aum, kind="stable")[:SHOWN]
    predicted = scores.most_predicted(examples, look)
    called = names.CLASSES.get(dataset) or list(map(str, range(examples.num_classes)))
    axes = figure.subplots(-(-len(places) // COLUMNS), COLUMNS, squeeze=False)
    axes = axes.flatten()
    for axis in axes:
        axis.set_axis_off()
    for axis, i in zip(axes, places, strict=False):
        axis.imshow(images[i].squeeze(), cmap="gray", vmin=0, vmax=255)
        given, true = called[examples.given[i]], called[examples.true[i]]
        flipped = examples.flipped[i]
        text = f"given {given}" + (f", true {true}" if flipped else "")
        text += f"\nnetwork: {called[predicted[i]]}"
        axis.set_title(text, fontsize=6, color=ORANGE if flipped else "black", pad=2)
    colours = "; orange: the label was flipped" if examples.flipped.any() else ""
    figure.supxlabel(f"smallest AUM of epochs 1 to {look}{colours}", fontsize=7)


def compare(rows, folder, stem):
    """Draws how runs differ: what finds their wrong labels, and when they memorize.

    Args:
        rows: `table_rows.Row`s of the experiment; of those with the record of
            examples.py.
        folder: `Path` of figures/, in the folder of results.
        stem: Of the files.

    Returns:
        List of `style.Drawn`; empty where no run with wrong labels has such a record.
    """
    known = [
        (row, said)
        for row in rows
        for run in row.runs[:1]
        if (said := read(folder.parent, run.name)) and said["scores"]
    ]
    if not known:
        return []
    return [kept.figure(stem, _comparison, known, data_of(rows)).write(folder)]


def _comparison(known, data):
    models = list(dict.fromkeys(row.fields["model"] for row, _ in known))
    caption = (
        "Wrong labels, one seed each. Left: how well they are found by the area under "
        "the margin (AUM) up to an epoch: area under the ROC curve (AUC). Middle: "
        "share of them whose true label is predicted. Right: share whose wrong label "
        f"has a probability above {scores.MEMORIZED}."
    )
    size = 8.6, 2.9 * len(models) + 0.3
    sketch = Sketch(len(models), 3, size=size, caption=caption, data=data)
    for axes, model in zip(sketch.axes, models, strict=True):
        ours = [pair for pair in known if pair[0].fields["model"] == model]
        for (row, said), ink in zip(ours, INKS, strict=False):
            _compare(sketch, axes, row.fields["labels"], said, ink)
        axes[0].set_ylabel(f"{model}\nAUC of AUM")
        axes[1].set_ylabel("true label predicted (%)")
        axes[2].set_ylabel("wrong label memorized (%)")
        for axis in axes:
            axis.set_xlabel("epoch")
    sketch.axes[0, 0].legend(fontsize=6.5)
    return sketch


def _compare(sketch, axes, label, said, ink):
    courses = said["courses"]
    curves = (
        (said["scores"]["AUM"]["auc"], 1),
        (courses["flipped_true"], 100),
        (courses["flipped_memorized"], 100),
    )
    for axis, (values, scale) in zip(axes, curves, strict=True):
        values = scale * np.array(values)
        epochs = np.arange(1, len(values) + 1)
        axis.plot(epochs, values, color=ink, label=label)
        for epoch in epochs[:: max(1, len(epochs) // 20)]:
            text = f"{label}, epoch {epoch}: {values[epoch - 1]:.4g}"
            sketch.value(axis, epoch, values[epoch - 1], text)


def read(results, name):
    """Returns the record of examples.py of a run; None if missing, or damaged."""
    with contextlib.suppress(MendableError):  # `reading.load` names a damaged one
        return records.read(results / f"{name}_examples.json")

"""The figures of every artefact, drawn from records alone (imports no Keras)."""

import matplotlib
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter

from common.datasets import FACTS
from common.report import (
    corruption_figures,
    drawing,
    kept,
    kernel_figures,
    levels,
    names,
    stats,
    table_rows,
)
from common.report.corruption_figures import LINES
from common.report.style import (
    HOLLOW,
    INKS,
    OPEN,
    STYLE,
    Sketch,
)

# The picture at the top of README: network -> rows of Table 1, true and random.
MEMORIZATION = {"Inception": (4, 5), "AlexNet": (12, 13), "MLP 1x512": (18, 19)}


def draw(name, rows, papers, folder, prefix=""):
    """Draws an artefact's figures, of the rows that have records.

    Args:
        name: Key of `artefacts.ARTEFACTS`.
        rows: Its `table_rows.Row`s.
        papers: Dict of the paper's figure -> its curves, as `published.curves`,
            and of `kernels` -> its `published.of`; {} where they do not apply.
        folder: `Path` the files are written to.
        prefix: Start of their names.

    Returns:
        List of `Drawn`.
    """
    rows = [row for row in rows if row.runs and (row.trains or name == "kernels")]
    # The paper's curves of ImageNet stand there without any run of ours.
    shown = rows or name == "table_2"
    drawn = [
        kept.figure(prefix + stem, function, rows, papers)
        for stem, function in (FIGURES.get(name, {}).items() if shown else ())
    ]
    return [figure.write(folder) for figure in drawn if figure]


def memorization(rows, papers):
    """Accuracy against epochs, true and random labels side by side."""
    by_row = {row.fields["row"]: row for row in rows}
    if not any(n in by_row for pair in MEMORIZATION.values() for n in pair):
        return None
    sketch = Sketch(
        1,
        2,
        size=(6.6, 2.75),
        caption="Accuracy on the training set (solid) and on the test set (dotted) "
        "while training, with true and with random labels.",
        data=drawing.data(rows),
        sharey=True,
        sharex=True,
    )
    for column, kind in enumerate(("true", "random")):
        axis = sketch.axes[0, column]
        for network, pair in MEMORIZATION.items():
            row = by_row.get(pair[column])
            if not row:
                continue
            for key, dashes, word in (("train", "-", "training"), ("val", ":", "test")):
                drawing.curves(sketch, axis, row, f"{key}_accuracy", 100,
                        f"{network}, {word}", linestyle=dashes,
                        linewidth=1.5)  # fmt: skip
        drawing.chance(axis, rows)
        axis.set(xlabel="epochs", ylim=(0, 103))
        axis.text(0.5, 1.02, f"{kind} labels", ha="center", transform=axis.transAxes)
    sketch.axes[0, 0].set_ylabel("accuracy (%)")
    drawn = [a for a in sketch.axes[0] if a.get_legend_handles_labels()[0]]
    drawn[-1].legend(loc="center right")
    return sketch


def batch_norm(rows, papers):
    """Accuracy with and without BatchNorm, and the best test accuracy so far."""
    theirs = papers.get("2b", {})
    sketch = Sketch(
        1,
        1,
        size=(5.2, 3.1),
        caption="Training (solid) and test accuracy (dotted) with and without "
        "BatchNorm; dashed: the best test accuracy so far."
        + " Pale: the paper's curves."
        * bool(theirs),
        data=drawing.data(rows),
    )
    axis = sketch.axes[0, 0]
    dashes = {"train": "-", "test": ":"}
    for curve, points in theirs.items():
        part, _, model = curve.partition(" ")
        look = {"color": names.colour(model), "linestyle": dashes[part]}
        drawing.papers(axis, points, 100, **look)
    for row in rows:
        model = row.fields["model"]
        drawing.curves(sketch, axis, row, "train_accuracy", 100, f"{model}, training")
        drawing.curves(
            sketch, axis, row, "val_accuracy", 100, f"{model}, test", linestyle=":"
        )
        best = [
            run._replace(history={"best": np.maximum.accumulate(h).tolist()})
            for run in row.runs
            if (h := run.history.get("val_accuracy"))
        ]
        drawing.curves(sketch, axis, row._replace(runs=tuple(best)), "best", 100,
                       f"{model}, best test so far", linestyle="--",
                       linewidth=0.8)  # fmt: skip
    axis.set(xlabel="epochs", ylabel="accuracy (%)", ylim=(None, 101))
    models = [*drawing.by_model(rows)]
    models += {curve.partition(" ")[2]: None for curve in theirs}
    styles = {"training": "-", "test": ":", "best test so far": "--"}
    handles = [
        Line2D([], [], color=names.colour(model), linewidth=4, label=model)
        for model in dict.fromkeys(models)
    ]
    handles += [
        Line2D([], [], color="0.4", linestyle=dashes, label=word)
        for word, dashes in styles.items()
    ]
    if theirs:
        handles.append(Line2D([], [], **drawing.PAPER))
    axis.legend(handles=handles, loc="lower right")
    return sketch


# Rows of Table 2 -> what the curves of Figure 2a call them.
_IMAGENET = {
    1: ("w/ aug wd dropout", "augmentation, weight decay, dropout"),
    3: ("w/o aug dropout", "weight decay"),
    4: ("w/o aug wd dropout", "none"),
}


def imagenet(rows, papers):
    """Figure 2a: top-1 accuracy of Inception v3 against steps, with true labels."""
    theirs, found = papers.get("2a", {}), {row.fields["row"]: row for row in rows}
    if not theirs:
        return None
    sketch = Sketch(
        1,
        1,
        size=(5.2, 3.1),
        caption="Top-1 accuracy on the training set (solid) and on the test set "
        "(dotted) with true labels, by regularizers. Pale: the paper's curves.",
        data="ImageNet",
    )
    axis = sketch.axes[0, 0]
    for (row, (curve, label)), ink in zip(_IMAGENET.items(), INKS, strict=False):
        axis.plot([], [], color=ink, linewidth=4, label=label)
        for part, column, dashes in (("train", "train", "-"), ("test", "val", ":")):
            look = {"color": ink, "linestyle": dashes}
            drawing.papers(axis, theirs[f"{part} {curve}"], 100, **look)
            for run in found[row].runs if row in found else ():
                batch = run.record["regime"]["batch_size"]
                steps = FACTS["imagenet"].train // batch / 1000  # a batch is whole
                epochs = np.array(run.history["epoch"])
                values = 100 * np.array(run.history[f"{column}_accuracy"])
                axis.plot(epochs * steps, values, **look, linewidth=1.5)
    axis.set(xlabel="thousand steps", ylabel="top-1 accuracy (%)", ylim=(0, 101))
    handles, _ = axis.get_legend_handles_labels()
    axis.legend(handles=[*handles, Line2D([], [], **drawing.PAPER)], loc="lower right")
    return sketch


def epochs_by_input(rows, papers):
    """The epochs to fit of each kind of input, a colour a model."""
    kinds = [
        kind for kind in LINES if any(drawing.condition(row) == kind for row in rows)
    ]
    sketch = Sketch(
        1,
        1,
        size=(5.2, 1.05 + 0.35 * len(kinds)),
        caption="Epochs until 99 % of the training labels are reproduced, for each "
        "kind of input. Lines: lowest to highest seed; small dots: seeds that fitted "
        "where others had not.",
        data=drawing.data(rows),
    )
    axis, models = sketch.axes[0, 0], drawing.by_model(rows)
    for shift, (model, chosen) in enumerate(models.items()):
        axis.plot(
            [], [], "o", color=drawing.colour(chosen[0]), markersize=4, label=model
        )
        for row in chosen:
            at = kinds.index(drawing.condition(row)) + 0.13 * (
                shift - (len(models) - 1) / 2
            )
            (value, unfit, others), *_ = levels.epochs_by_level([row]).values()
            marker = {"marker": ">"} | HOLLOW if unfit else {"marker": "o"}
            axis.plot(
                [value.low, value.high], [at, at], color=drawing.colour(row), lw=1
            )
            for other in others:
                axis.plot(other, at, "o", color=drawing.colour(row), markersize=2)
            axis.plot(
                value.mean, at, color=drawing.colour(row), **{"markersize": 4} | marker
            )
            epochs = table_rows.epochs_to_fit(row)
            text = f"{model}, {drawing.condition(row)}: {epochs} epochs"
            sketch.value(axis, value.mean, at, text)
    axis.set_yticks(range(len(kinds)), kinds)
    axis.invert_yaxis()
    axis.set(xlabel="epochs to 99 % (hollow: not fitted by then)", xlim=(0, None))
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return sketch


def _label(row):
    """What tells a row of a table from the others of its model, in words."""
    fields = row.fields
    if "augmentation" in fields:
        flags = ("augmentation", "weight decay", "dropout")
        parts = [fields[flags[0]]] if fields[flags[0]] != "none" else []
        parts += [name for name in flags[1:] if fields[name] == "yes"]
        return " + ".join(parts) or "none"
    if "row" in fields:
        parts = [name for name in ("crop", "weight decay") if fields[name] == "yes"]
        return f"{fields['labels']} labels" + "".join(f", {part}" for part in parts)
    return table_rows.said(list(fields.values())[-1])


def accuracies(rows, papers):
    """Training and test accuracy of each row, joined: the gap is the line."""
    models = drawing.by_model(rows)
    heights = [len(chosen) for chosen in models.values()]
    known = any(row.paper for row in rows)
    sketch = Sketch(
        len(models),
        1,
        size=(5.6, 0.85 + 0.35 * len(models) + 0.19 * sum(heights)),
        caption="Training (bar) and test accuracy (dot) of each row; the line between "
        "them is the generalization gap, the thick part the range over seeds, the thin "
        "vertical line chance."
        + " Hollow diamonds, where the paper gives a number: its value."
        * known,
        data=drawing.data(rows),
        sharex=True,
        height_ratios=[n + 0.5 for n in heights],
    )
    for axis, (model, chosen) in zip(sketch.axes[:, 0], models.items(), strict=True):
        for at, row in enumerate(chosen):
            _dumbbell(sketch, axis, at, row, f"{model}, {_label(row)}")
        axis.set_yticks(range(len(chosen)), [_label(row) for row in chosen])
        axis.set_ylim(len(chosen) - 0.5, -0.5)
        axis.text(0, 1.0, f"{model} ({drawing.seeds(chosen)})", va="bottom", fontsize=7,
                  transform=axis.transAxes)  # fmt: skip
        chance = 100 / chosen[0].runs[0].record["num_classes"]
        axis.axvline(chance, color="0.6", linewidth=0.7)
    axis.set(xlabel="accuracy (%)", xlim=(0, 103))
    axis.xaxis.set_major_locator(MaxNLocator(6))
    marks = {"training": "|", "test": "o"}
    if known:
        marks["paper"] = "D"
    handles = [
        Line2D([], [], marker=mark, linestyle="none", color="0.4",
                                markerfacecolor="white" if mark == "D" else "0.4",
                                markersize=5)
        for mark in marks.values()
    ]  # fmt: skip
    sketch.figure.legend(
        handles, marks, loc="outside upper right", ncols=3, handlelength=1
    )
    return sketch


def _dumbbell(sketch, axis, at, row, label):
    train, test = row.final("train_accuracy"), row.final("test_accuracy")
    ink = drawing.colour(row)
    axis.plot([test.mean, train.mean], [at, at], color=ink, lw=0.8, alpha=0.6)
    axis.plot([test.low, test.high], [at, at], color=ink, lw=2.5)
    for metric, value, mark in (("train", train, "|"), ("test", test, "o")):
        axis.plot(value.mean, at, mark, color=ink, markersize=5)
        text = f"{label}: {metric} accuracy {stats.spread(value)} %"
        sketch.value(axis, value.mean, at, text)
        paper = row.paper.get(f"{metric}_accuracy")
        if paper:
            axis.plot(paper.value, at, "D", color=ink, **OPEN)
            text = f"{label}, paper: {metric} accuracy {paper.value} % "
            sketch.value(axis, paper.value, at + 0.3, text + f"({paper.certainty})")


def compare(runs, path):
    """Draws the loss and the accuracy of runs, side by side, a colour a run.

    Args:
        runs: `reading.Run`s of trainings, any number.
        path: `Path` of the PNG; the SVG stands beside it.

    Returns:
        The `style.Drawn`.
    """
    with matplotlib.rc_context(STYLE):
        said = {names.data(run.record["regime"]) for run in runs}
        lines = 1 + (len(runs) + 1) // 2
        sketch = Sketch(
            1,
            2,
            size=(6.6, 2.9 + 0.15 * lines),
            caption="Loss (log scale) and accuracy of the runs compared, on the "
            "training set (solid) and on the test set (dotted).",
            data=said.pop() if len(said) == 1 else "",
        )
        loss, accuracy = sketch.axes[0]
        inks = INKS
        if len(runs) > len(INKS):
            inks = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(runs)))
        for run, ink in zip(runs, inks, strict=False):
            epochs = run.history["epoch"]
            for key, dashes, word in (("train", "-", "training"), ("val", ":", "test")):
                nats = run.history[f"{key}_cross_entropy"]
                percent = 100 * np.array(run.history[f"{key}_accuracy"])
                loss.plot(epochs, nats, dashes, color=ink)
                accuracy.plot(epochs, percent, dashes, color=ink)
                for i in range(0, len(epochs), max(1, len(epochs) // 40)):
                    text = f"{run.name}, {word}, epoch {epochs[i]:g}: "
                    sketch.value(loss, epochs[i], nats[i], f"{text}{nats[i]:.4g} nats")
                    sketch.value(
                        accuracy, epochs[i], percent[i], f"{text}{percent[i]:.4g} %"
                    )
        loss.set(xlabel="epochs", ylabel="cross-entropy (nats)", yscale="log")
        # Plain numbers: the default sets powers with a formula parser, slowly.
        loss.yaxis.set_major_formatter("{x:g}")
        loss.yaxis.set_minor_formatter(NullFormatter())
        accuracy.set(xlabel="epochs", ylabel="accuracy (%)", ylim=(0, 103))
        styles = [(ink, "-", run.name) for run, ink in zip(runs, inks, strict=False)]
        styles += [("0.4", "-", "training"), ("0.4", ":", "test")]
        handles = [
            Line2D([], [], color=ink, linestyle=dashes, label=label)
            for ink, dashes, label in styles
        ]
        sketch.figure.legend(handles=handles, loc="outside lower center", ncols=2)
        return sketch.draw(path.stem).write(path.parent)


# Artefact -> its figures: file -> function of rows and paper's values. It reads nothing
# else: a figure is drawn again where these have changed.
FIGURES = {
    "table_1": {"memorization": memorization, "table_1": accuracies},
    "figure_1": {
        "figure_1a": corruption_figures.losses,
        "figure_1b": corruption_figures.relative_time,
        "figure_1c": corruption_figures.errors,
        "early_stopping": corruption_figures.early_stopping,
    },
    "table_2": {"figure_2a": imagenet},
    "figure_2": {"figure_2b": batch_norm},
    "random_label_regularizers": {"random_label_regularizers": accuracies},
    "inputs": {
        "inputs_curves": corruption_figures.losses,
        "inputs_epochs": epochs_by_input,
    },
    "explicit": {"explicit": accuracies},
    "implicit": {"implicit": accuracies},
    "other_data": {"other_data": accuracies},
    "text": {
        "text": accuracies,
        "text_early_stopping": corruption_figures.early_stopping,
    },
    "kernels": {"kernels_norms": kernel_figures.kernels},
    "demo": {
        "demo_curves": corruption_figures.losses,
        "demo_corruption": corruption_figures.convergence,
        "demo_accuracies": accuracies,
    },
}

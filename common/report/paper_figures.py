"""The figures of every artefact, drawn from records alone (imports no Keras)."""

import matplotlib
import numpy as np
from matplotlib.ticker import MaxNLocator, NullFormatter

from common.report import kernel_figures, levels, names, tables
from common.report.style import (
    BLUE,
    GREY,
    HOLLOW,
    INKS,
    OPEN,
    ORANGE,
    SKY,
    STYLE,
    YELLOW,
    Sketch,
)

# One look a condition, the same in every panel.
LINES = {
    "true labels": {"color": BLUE, "linestyle": "-", "linewidth": 2},
    "random labels": {"color": ORANGE, "linestyle": "--"},
    "shuffled pixels": {"color": SKY, "linestyle": ":", "marker": "s"},
    "gaussian pixels": {"color": GREY, "linestyle": ":", "marker": "o"},
    "random pixels": {"color": YELLOW, "linestyle": ":", "marker": "^"},
}
# The picture at the top of README: network -> rows of Table 1, true and random.
MEMORIZATION = {"AlexNet": (12, 13), "MLP 1x512": (18, 19)}


def draw(name, rows, papers, folder, prefix=""):
    """Draws an artefact's figures, of the rows that have records.

    Args:
        name: Key of `artefacts.ARTEFACTS`.
        rows: Its `tables.Row`s.
        papers: Dict of artefact or panel -> `[(line, Paper)]` of paper.csv.
        folder: `Path` the files are written to.
        prefix: Start of their names.

    Returns:
        List of `Drawn`; empty where no row has a record.
    """
    rows = [row for row in rows if row.runs and (row.trains or name == "kernels")]
    drawn = []
    with matplotlib.rc_context(STYLE):
        for stem, function in FIGURES.get(name, {}).items() if rows else ():
            sketch = function(rows, papers)
            if sketch:
                drawn.append(sketch.save(folder, prefix + stem))
    return drawn


def _model(row):
    """The name shown of a row's network; the MLP's where a table has one only."""
    return row.fields.get("model", "MLP 1x512")


def _colour(row):
    return names.colour(_model(row))


def _data(rows):
    """What rows were measured on, in words; "" where it is not one for all."""
    said = {names.data(run.record["regime"]) for row in rows for run in row.runs}
    return said.pop() if len(said) == 1 else ""


def _by_model(rows):
    """Returns dict of model -> rows; its name says the data where they differ."""
    one, models = _data(rows), {}
    for row in rows:
        name = _model(row) if one else f"{_model(row)}, {_data([row])}"
        models.setdefault(name, []).append(row)
    return models


def _condition(row):
    return row.fields.get("corruption", row.fields.get("inputs"))


def _seeds(rows):
    """Says how many seeds are behind some rows: `1 seed`, `1 to 3 seeds`."""
    counts = sorted({len(row.runs) for row in rows})
    ends = " to ".join(map(str, sorted({counts[0], counts[-1]})))
    return f"{ends} seed" + ("s" if counts[-1] > 1 else "")


def _curves(sketch, axis, row, column, scale, label, **line):
    """Draws a column against epochs: mean over seeds, and band from min to max.

    Seeds of different length are drawn one by one.
    """
    runs = [run for run in row.runs if column in run.history]
    histories = [run.history[column] for run in runs]
    if not histories:
        return
    if len({*map(len, histories)}) > 1:  # a mean would end where the first seed stopped
        for run in runs:
            alone = row._replace(runs=(run,))
            _curves(sketch, axis, alone, column, scale, label, **line)
            if run is not runs[0]:
                axis.lines[-1].set_label("_once in the legend")
        return
    values = scale * np.array(histories)
    length = values.shape[1]
    epochs = np.arange(1, length + 1)
    mean = values.mean(0)
    line = {"color": _colour(row), "linewidth": 1.2} | line | {"label": label}
    if "marker" in line:
        line |= {"markevery": max(1, length // 8), "markersize": 3.5}
    axis.plot(epochs, mean, **line)
    if len(values) > 1:
        axis.fill_between(
            epochs, values.min(0), values.max(0), color=line["color"], alpha=0.2, lw=0
        )
    for i in range(0, length, max(1, length // 40)):
        sketch.value(axis, epochs[i], mean[i], f"{label}, epoch {i + 1}: {mean[i]:.4g}")


def _chance(axis, rows, error=False):
    """Draws the accuracy of guessing, or its error, in %."""
    accuracy = 100 / rows[0].runs[0].record["num_classes"]
    height = 100 - accuracy if error else accuracy
    axis.axhline(height, color="0.6", linewidth=0.7)
    where, side = (0.01, "left") if error else (0.99, "right")
    axis.text(where, height + 1.5, "chance", ha=side, color="0.5", fontsize=7,
              transform=axis.get_yaxis_transform())  # fmt: skip


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
        data=_data(rows),
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
                _curves(sketch, axis, row, f"{key}_accuracy", 100,
                        f"{network}, {word}", linestyle=dashes,
                        linewidth=1.5)  # fmt: skip
        _chance(axis, rows)
        axis.set(xlabel="epochs", ylim=(0, 103))
        axis.text(0.5, 1.02, f"{kind} labels", ha="center", transform=axis.transAxes)
    sketch.axes[0, 0].set_ylabel("accuracy (%)")
    drawn = [a for a in sketch.axes[0] if a.get_legend_handles_labels()[0]]
    drawn[-1].legend(loc="center right")
    return sketch


def losses(rows, papers):
    """Training loss against epochs, a panel a model, a line a condition."""
    rows = [row for row in rows if _condition(row) in LINES]
    models = _by_model(rows)
    if not models:
        return None
    sketch = Sketch(
        1,
        len(models),
        size=(min(10, 1.4 + 2.6 * len(models)), 2.9),
        caption="Training loss (cross-entropy after each epoch with the weights "
        "frozen, log scale) under each condition. Lines: mean over seeds; bands: "
        "lowest to highest seed. Seeds that stopped at different epochs have a line "
        "each.",
        data=_data(rows),
        sharey=True,
    )
    for axis, (model, chosen) in zip(sketch.axes[0], models.items(), strict=True):
        for row in chosen:
            kind = _condition(row)
            _curves(sketch, axis, row, "train_cross_entropy", 1, kind, **LINES[kind])
        axis.set(xlabel="epochs", yscale="log")
        # Plain numbers: the default sets powers with a formula parser, slowly.
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter(NullFormatter())
        axis.text(0.5, 1.02, f"{model} ({_seeds(chosen)})", ha="center",
                  transform=axis.transAxes)  # fmt: skip
        if model == "Inception":
            _public_run(sketch, axis, papers["figure_1a"])
    sketch.axes[0, 0].set_ylabel("training cross-entropy (nats)")
    kinds = [kind for kind in LINES if kind in map(_condition, rows)]
    handles = [
        matplotlib.lines.Line2D([], [], markersize=3.5, **LINES[kind]) for kind in kinds
    ]
    sketch.figure.legend(handles, kinds, loc="outside right upper")
    return sketch


def _public_run(sketch, axis, points):
    """Draws when a careful public run, not the paper's, reached a loss of 0.01."""
    labels = {"true labels": "D", "random labels": "v"}  # others: as the line
    for line, value in points:
        look = LINES[line["setting"]]
        marker = look.get("marker", labels.get(line["setting"]))
        axis.plot(value.value, 0.01, marker, color=look["color"], **HOLLOW)
        text = f"{line['setting']}, another public run: {value.value} epochs"
        sketch.value(axis, value.value, 0.01, text)
    if points:
        sketch.caption += (
            " Hollow markers, in Inception's panel: when a careful public run reached "
            "0.01 (not the paper's, one seed); a diamond for true and a triangle that "
            "points down for random labels."
        )


def _against_corruption(sketch, axis, rows, measure, unit):
    """Draws a measure against label corruption, a line a model.

    Args:
        sketch, axis: The figure and its panel.
        rows: `tables.Row`s.
        measure: Function from a model's rows to dict of p -> `levels.Level`.
        unit: Text behind a value shown on hover.
    """
    for model, chosen in _by_model(rows).items():
        values = dict(sorted(measure(_levelled(chosen)).items()))
        if not values:
            continue
        ink = _colour(chosen[0])
        fitted = {p: level.value for p, level in values.items() if not level.unfit}
        means = [value.mean for value in fitted.values()]
        # Two points are no curve: nothing is known of what lies between.
        dashes = "-" if len(values) > 2 else "none"
        axis.plot(list(fitted), means, "o", linestyle=dashes, color=ink,
                  markersize=3.5, linewidth=1.2, label=model)  # fmt: skip
        for p, value in fitted.items():
            axis.plot([p, p], [value.low, value.high], color=ink, linewidth=2)
        for p, (value, unfit, others) in values.items():
            shown = f"{model}, p = {p:g}: {tables.spread(value)} {unit}"
            if unfit:
                for other in others:
                    axis.plot(p, other, "o", color=ink, markersize=2)
                axis.plot(p, value.mean, "^", color=ink, **HOLLOW)
                axis.annotate(f"> {value.mean:.3g}", (p, value.mean), (0, 5),
                              textcoords="offset points", ha="center",
                              fontsize=6, color=ink)  # fmt: skip
                seeds = f"{unfit} of {unfit + len(others)} seeds not fitted"
                shown = f"{model}, p = {p:g}: {seeds}, > {value.mean:.3g} {unit}"
            sketch.value(axis, p, value.mean, shown)
    axis.set(xlabel="label corruption p", xlim=(-0.04, 1.06))


_EPOCHS = (
    "Epochs until 99 % of the training labels are reproduced{relative}, against the "
    "probability p that a label is replaced. A hollow triangle is a run that had not "
    "fitted when it ended: the true value is larger; small dots below it are the seeds "
    "that fitted. Bars: lowest to highest seed."
)


def _papers_points(sketch, axis, rows, measure, unit):
    """Draws what follows from the accuracies that the paper gives at a level."""
    drawn = False
    for row in rows:
        known = [row.paper.get(f"{part}_accuracy") for part in ("train", "test")]
        if levels.level(row) is None or None in known:
            continue
        value = measure(*(paper.value for paper in known))
        axis.plot(levels.level(row), value, "D", color=_colour(row), **OPEN)
        text = f"{row.fields['model']}, paper: {value:.2f} {unit}"
        sketch.value(axis, levels.level(row), value, f"{text} ({known[1].certainty})")
        drawn = True
    if drawn:
        sketch.caption += " Hollow diamonds: the paper's."


def _levelled(rows):
    """The rows whose labels alone are corrupted, or nothing."""
    return [row for row in rows if levels.level(row) is not None]


def relative_time(rows, papers):
    """The epochs to fit against label corruption, relative to p = 0."""
    models = map(_levelled, _by_model(rows).values())
    if not any(len(levels.relative_by_level(chosen)) > 1 for chosen in models):
        return None
    sketch = Sketch(
        1,
        1,
        size=(3.6, 2.85),
        caption=_EPOCHS.format(relative=", relative to p = 0"),
        data=_data(rows),
    )
    axis = sketch.axes[0, 0]
    _against_corruption(sketch, axis, rows, levels.relative_by_level, "times p = 0")
    if ends := [paper.value for _, paper in papers["figure_1b"]]:
        axis.plot([1.03] * len(ends), ends, "D-", color="0.5", lw=0.8, markersize=4,
                  markerfacecolor="white", label="paper, about")  # fmt: skip
        text = f"paper: about {min(ends):g} to {max(ends):g}"
        sure = papers["figure_1b"][0][1].certainty
        sketch.value(axis, 1.03, sum(ends) / len(ends), f"{text} ({sure})")
    axis.set_ylabel("epochs to 99 %, relative to p = 0")
    axis.legend(loc="upper left")
    return sketch


def errors(rows, papers):
    """The test error against label corruption."""
    if len(set(map(levels.level, _levelled(rows)))) < 2:
        return None
    sketch = Sketch(
        1,
        1,
        size=(3.6, 2.85),
        caption="Error on the test set, whose labels are never corrupted, against the "
        "probability p that a training label is replaced.",
        data=_data(rows),
    )
    axis = sketch.axes[0, 0]
    _against_corruption(sketch, axis, rows, levels.error_by_level, "% test error")
    for _, paper in papers["figure_1c"]:
        axis.plot(1.03, paper.value, "D", color="0.5", **HOLLOW, label="paper")
        text = f"paper: {paper.value:g} % ({paper.certainty})"
        sketch.value(axis, 1.03, paper.value, text)
    _papers_points(sketch, axis, rows, lambda train, test: 100 - test, "% test error")
    _chance(axis, rows, error=True)
    axis.set(ylabel="test error (%)", ylim=(0, 100))
    axis.legend(loc="lower right")
    return sketch


def convergence(rows, papers):
    """Epochs to fit and generalization error against label corruption."""
    if len(set(map(levels.level, _levelled(rows)))) < 2:
        return None
    sketch = Sketch(
        1,
        2,
        size=(6.6, 3),
        caption=f"Left: {_EPOCHS.format(relative='')} Right: the generalization error, "
        "test error less training error.",
        data=_data(rows),
    )
    left, right = sketch.axes[0]
    _against_corruption(sketch, left, rows, levels.epochs_by_level, "epochs")
    _against_corruption(sketch, right, rows, levels.generalization_by_level, "points")
    _papers_points(sketch, right, rows, lambda train, test: train - test, "points")
    left.set(ylabel="epochs to 99 %", ylim=(0, None))
    right.set(ylabel="test error - training error (points)", ylim=(0, 100))
    handles = left.get_legend_handles_labels()
    sketch.figure.legend(*handles, loc="outside lower center", ncols=4)
    return sketch


def batch_norm(rows, papers):
    """Accuracy with and without BatchNorm, and the best test accuracy so far."""
    sketch = Sketch(
        1,
        1,
        size=(5.2, 3.1),
        caption="Training (solid) and test accuracy (dotted) with and without "
        "BatchNorm; dashed: the best test accuracy so far. Hollow: the paper's final "
        "value.",
        data=_data(rows),
    )
    axis = sketch.axes[0, 0]
    for row in rows:
        model = row.fields["model"]
        axis.plot([], [], color=_colour(row), linewidth=4, label=model)
        _curves(sketch, axis, row, "train_accuracy", 100, f"{model}, training")
        _curves(sketch, axis, row, "val_accuracy", 100, f"{model}, test", linestyle=":")
        best = [
            run._replace(history={"best": np.maximum.accumulate(h).tolist()})
            for run in row.runs
            if (h := run.history.get("val_accuracy"))
        ]
        _curves(sketch, axis, row._replace(runs=tuple(best)), "best", 100,
                f"{model}, best test so far", linestyle="--",
                linewidth=0.8)  # fmt: skip
        if paper := row.paper.get("test_accuracy"):
            last = max(run.record["epochs"] for run in row.runs)
            axis.plot(last, paper.value, "D", color=_colour(row), **HOLLOW)
            sketch.value(axis, last, paper.value, f"{model}, paper: {paper.value} %")
    axis.set(xlabel="epochs", ylabel="accuracy (%)", ylim=(None, 101))
    models = [h for h in axis.get_lines() if h.get_label() in _by_model(rows)]
    styles = {"training": "-", "test": ":", "best test so far": "--"}
    models += [
        matplotlib.lines.Line2D([], [], color="0.4", linestyle=dashes, label=word)
        for word, dashes in styles.items()
    ]
    axis.legend(handles=models, loc="lower right")
    return sketch


def epochs_by_input(rows, papers):
    """The epochs to fit of each kind of input, a colour a model."""
    kinds = [kind for kind in LINES if any(_condition(row) == kind for row in rows)]
    sketch = Sketch(
        1,
        1,
        size=(5.2, 1.05 + 0.35 * len(kinds)),
        caption="Epochs until 99 % of the training labels are reproduced, for each "
        "kind of input. Lines: lowest to highest seed; small dots: seeds that fitted "
        "where others had not.",
        data=_data(rows),
    )
    axis, models = sketch.axes[0, 0], _by_model(rows)
    for shift, (model, chosen) in enumerate(models.items()):
        axis.plot([], [], "o", color=_colour(chosen[0]), markersize=4, label=model)
        for row in chosen:
            at = kinds.index(_condition(row)) + 0.13 * (shift - (len(models) - 1) / 2)
            (value, unfit, others), *_ = levels.epochs_by_level([row]).values()
            marker = {"marker": ">"} | HOLLOW if unfit else {"marker": "o"}
            axis.plot([value.low, value.high], [at, at], color=_colour(row), lw=1)
            for other in others:
                axis.plot(other, at, "o", color=_colour(row), markersize=2)
            axis.plot(value.mean, at, color=_colour(row), **{"markersize": 4} | marker)
            text = f"{model}, {_condition(row)}: {tables.epochs_to_fit(row)} epochs"
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
    last = list(fields.values())[-1]
    return f"p = {last:g}" if isinstance(last, float) else str(last)


def accuracies(rows, papers):
    """Training and test accuracy of each row, joined: the gap is the line."""
    models = _by_model(rows)
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
        data=_data(rows),
        sharex=True,
        height_ratios=[n + 0.5 for n in heights],
    )
    for axis, (model, chosen) in zip(sketch.axes[:, 0], models.items(), strict=True):
        for at, row in enumerate(chosen):
            _dumbbell(sketch, axis, at, row, f"{model}, {_label(row)}")
        axis.set_yticks(range(len(chosen)), [_label(row) for row in chosen])
        axis.set_ylim(len(chosen) - 0.5, -0.5)
        axis.text(0, 1.0, f"{model} ({_seeds(chosen)})", va="bottom", fontsize=7,
                  transform=axis.transAxes)  # fmt: skip
        chance = 100 / chosen[0].runs[0].record["num_classes"]
        axis.axvline(chance, color="0.6", linewidth=0.7)
    axis.set(xlabel="accuracy (%)", xlim=(0, 103))
    axis.xaxis.set_major_locator(MaxNLocator(6))
    marks = {"training": "|", "test": "o"}
    if known:
        marks["paper"] = "D"
    handles = [
        matplotlib.lines.Line2D([], [], marker=mark, linestyle="none", color="0.4",
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
    ink = _colour(row)
    axis.plot([test.mean, train.mean], [at, at], color=ink, lw=0.8, alpha=0.6)
    axis.plot([test.low, test.high], [at, at], color=ink, lw=2.5)
    for metric, value, mark in (("train", train, "|"), ("test", test, "o")):
        axis.plot(value.mean, at, mark, color=ink, markersize=5)
        text = f"{label}: {metric} accuracy {tables.spread(value)} %"
        sketch.value(axis, value.mean, at, text)
        paper = row.paper.get(f"{metric}_accuracy")
        if paper:
            axis.plot(paper.value, at, "D", color=ink, **OPEN)
            text = f"{label}, paper: {metric} accuracy {paper.value} % "
            sketch.value(axis, paper.value, at + 0.3, text + f"({paper.certainty})")


def compare(runs, path):
    """Draws the loss and the accuracy of runs, side by side, a colour a run.

    Args:
        runs: `tables.Run`s of trainings, any number.
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
            matplotlib.lines.Line2D([], [], color=ink, linestyle=dashes, label=label)
            for ink, dashes, label in styles
        ]
        sketch.figure.legend(handles=handles, loc="outside lower center", ncols=2)
        return sketch.save(path.parent, path.stem)


FIGURES = {  # artefact -> its figures: file -> function of rows and paper's values
    "table_1": {"memorization": memorization, "table_1": accuracies},
    "figure_1": {
        "figure_1a": losses,
        "figure_1b": relative_time,
        "figure_1c": errors,
        "convergence": convergence,
    },
    "figure_2": {"figure_2b": batch_norm},
    "random_label_regularizers": {"random_label_regularizers": accuracies},
    "inputs": {"inputs_curves": losses, "inputs_epochs": epochs_by_input},
    "explicit": {"explicit": accuracies},
    "implicit": {"implicit": accuracies},
    "other_data": {"other_data": accuracies},
    "text": {"text": accuracies},
    "kernels": {"kernels_norms": kernel_figures.kernels},
    "demo": {
        "demo_curves": losses,
        "demo_corruption": convergence,
        "demo_accuracies": accuracies,
    },
}

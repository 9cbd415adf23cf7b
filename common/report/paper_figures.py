"""The figures of every artefact, drawn from records alone (imports no Keras)."""

import itertools
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from common.report import tables
from common.report.style import (
    BLUE,
    GREY,
    HOLLOW,
    INKS,
    OPEN,
    ORANGE,
    STYLE,
    YELLOW,
    Sketch,
    save_png,
)

# One colour a model family; lighter or darker within it.
COLOURS = {
    "AlexNet": BLUE,
    "MLP 1x512": YELLOW,
    "MLP 3x512": ORANGE,
    "Wide ResNet 28-1": "#A2C8EC",
    "Inception": GREY,
    "Inception without BatchNorm": "#ABABAB",
    "bag of embeddings": "#FFBC79",
    "CNN on words": "#5F9ED1",
    "LSTM": ORANGE,
    "transformer": "#898989",
}
# One line style a regime; markers tell the corruptions of pixels apart.
LINES = {
    "true labels": {"linestyle": "-"},
    "random labels": {"linestyle": "--"},
    "shuffled pixels": {"linestyle": ":", "marker": "s"},
    "gaussian pixels": {"linestyle": ":", "marker": "o"},
    "random pixels": {"linestyle": ":", "marker": "^"},
}
# Of runs that have nothing but their name: INKS, then darker hues of Okabe and Ito's.
SERIES = (*INKS, "#009E73", "#CC79A7", "#5F9ED1", "#7B4FA3")
P_OF = {"true labels": 0.0, "random labels": 1.0}  # the others are their own number


class Level(NamedTuple):
    """What the seeds of one corruption level measured."""

    value: tables.Stat  # of all seeds; where some did not fit, the last epoch of those
    unfit: int = 0  # seeds that never fitted: the true value is larger
    fitted: tuple = ()  # beside unfit ones, the values of the seeds that did


# The picture at the top of README: network -> rows of Table 1, true and random.
MEMORIZATION = {"small AlexNet": (12, 13), "MLP 1x512": (18, 19)}


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
        for stem, caption, function in FIGURES.get(name, ()) if rows else ():
            sketch = function(rows, papers)
            if sketch:
                drawn.append(sketch.save(folder, prefix + stem, caption))
    return drawn


def colour(row):
    """The colour of a row's model; the MLP's where a table has one model only."""
    return COLOURS.get(row.fields.get("model"), COLOURS["MLP 1x512"])


def _by_model(rows):
    """Returns dict of model -> rows, in their order."""
    models = {}
    for row in rows:
        label = row.fields.get("model", "MLP 1x512")
        if "data" in row.fields:
            label += f", {row.fields['data']}"
        models.setdefault(label, []).append(row)
    return models


def _condition(row):
    return row.fields.get("corruption", row.fields.get("inputs"))


def _level(row):
    """The label corruption of a row, or None for corrupted pixels."""
    condition = _condition(row)
    return condition if isinstance(condition, float) else P_OF.get(condition)


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
    line = {"color": colour(row), "label": label, "linewidth": 1.2} | line
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
    """Draws accuracy against epochs, true and random labels side by side."""
    by_row = {row.fields["row"]: row for row in rows}
    if not any(n in by_row for pair in MEMORIZATION.values() for n in pair):
        return None
    sketch = Sketch(1, 2, size=(6.6, 2.6), sharey=True, sharex=True)
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
    """Draws training loss against epochs, a panel a model, under each condition."""
    rows = [row for row in rows if _condition(row) in LINES]
    models = _by_model(rows)
    if not models:
        return None
    width = min(10, 1 + 2.7 * len(models))
    sketch = Sketch(1, len(models), size=(width, 2.7), sharey=True)
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
        for line, value in papers["figure_1a"] if model == "Inception" else ():
            labels = {"true labels": "D", "random labels": "v"}  # others: as the line
            marker = LINES[line["setting"]].get("marker", labels.get(line["setting"]))
            sketch.note = _PUBLIC_RUN
            axis.plot(value.value, 0.01, marker, color=COLOURS[model], **HOLLOW)
            text = f"{line['setting']}, another public run: {value.value} epochs"
            sketch.value(axis, value.value, 0.01, text)
    sketch.axes[0, 0].set_ylabel("training cross-entropy (nats)")
    kinds = {_condition(row): None for row in rows}
    handles = [
        matplotlib.lines.Line2D([], [], color="0.4", markersize=3.5, **LINES[kind])
        for kind in kinds
    ]
    sketch.axes[0, -1].legend(
        handles, kinds, loc="upper left", bbox_to_anchor=(1, 1), handlelength=2.8
    )
    return sketch


def _against_corruption(sketch, axis, rows, measure, unit):
    """Draws a measure against label corruption, a line a model.

    Args:
        sketch, axis: The figure and its panel.
        rows: `tables.Row`s.
        measure: Function from a model's rows to dict of p -> `Level`.
        unit: Text behind a value shown on hover.
    """
    for model, chosen in _by_model([r for r in rows if _level(r) is not None]).items():
        values = dict(sorted(measure(chosen).items()))
        if not values:
            continue
        ink = colour(chosen[0])
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


def _papers_points(sketch, axis, rows, measure, unit):
    """Draws what follows from the accuracies that the paper gives at a level."""
    for row in rows:
        known = [row.paper.get(f"{part}_accuracy") for part in ("train", "test")]
        if _level(row) is None or None in known:
            continue
        value = measure(*(paper.value for paper in known))
        axis.plot(_level(row), value, "D", color=colour(row), **OPEN)
        text = f"{row.fields['model']}, paper: {value:.2f} {unit}"
        sketch.value(axis, _level(row), value, f"{text} ({known[1].certainty})")


def epochs_by_level(rows):
    """Returns dict of corruption level -> `Level` of the epochs to fit.

    A level with a seed that never fitted is censored: its number is the last epoch
    of the longest such run, and the true value is larger.
    """
    values = {}
    for row in rows:
        ends = [(run.record["epochs_to_fit"], run.record["epochs"]) for run in row.runs]
        fitted = tuple(first for first, _ in ends if first is not None)
        unfit = [last for first, last in ends if first is None]
        values[_level(row)] = (
            Level(tables.stat([max(unfit)]), len(unfit), fitted)
            if unfit
            else Level(tables.stat(fitted))
        )
    return values


def relative_by_level(rows):
    """Returns `epochs_by_level` relative to p = 0; empty where that has not fitted."""
    values = epochs_by_level(rows)
    if 0.0 not in values or values[0.0].unfit:
        return {}
    base = values[0.0].value.mean

    def relative(level):
        value = tables.Stat(*(part / base for part in level.value[:3]), level.value.n)
        return Level(value, level.unfit, tuple(part / base for part in level.fitted))

    return {p: relative(level) for p, level in values.items()}


def _final_by_level(rows, measure):
    return {
        _level(row): Level(tables.stat([measure(r.record["final"]) for r in row.runs]))
        for row in rows
    }


def error_by_level(rows):
    """Returns dict of level -> `Level` of the test error in %."""
    return _final_by_level(rows, lambda final: 100 * (1 - final["val_accuracy"]))


def generalization_by_level(rows):
    """Returns the same of the test error less the training error, in points."""
    return _final_by_level(
        rows, lambda final: 100 * (final["train_accuracy"] - final["val_accuracy"])
    )


def _levels(rows):
    return {_level(row) for row in rows} - {None}


def relative_time(rows, papers):
    """Draws the epochs to fit against label corruption, relative to p = 0."""
    levels = [row for row in rows if _level(row) is not None]
    if not any(len(relative_by_level(m)) > 1 for m in _by_model(levels).values()):
        return None
    sketch = Sketch(1, 1, size=(3.6, 2.7))
    axis = sketch.axes[0, 0]
    _against_corruption(sketch, axis, rows, relative_by_level, "times p = 0")
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
    """Draws the test error against label corruption."""
    if len(_levels(rows)) < 2:
        return None
    sketch = Sketch(1, 1, size=(3.6, 2.7))
    axis = sketch.axes[0, 0]
    _against_corruption(sketch, axis, rows, error_by_level, "% test error")
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
    """Draws epochs to fit and generalization error against label corruption."""
    if len(_levels(rows)) < 2:
        return None
    sketch = Sketch(1, 2, size=(6.6, 2.7))
    left, right = sketch.axes[0]
    _against_corruption(sketch, left, rows, epochs_by_level, "epochs")
    _against_corruption(sketch, right, rows, generalization_by_level, "points")
    _papers_points(sketch, right, rows, lambda train, test: train - test, "points")
    left.set(ylabel="epochs to 99 %", ylim=(0, None))
    right.set(ylabel="test error - training error (points)", ylim=(0, 100))
    left.legend(loc="upper left")
    return sketch


def batch_norm(rows, papers):
    """Draws accuracy with and without BatchNorm, and the best test accuracy so far."""
    sketch = Sketch(1, 1, size=(5.2, 3))
    axis = sketch.axes[0, 0]
    for row in rows:
        model = row.fields["model"]
        axis.plot([], [], color=colour(row), linewidth=4, label=model)
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
            axis.plot(last, paper.value, "D", color=colour(row), **HOLLOW)
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
    """Draws the epochs to fit of each kind of input, a marker a model."""
    kinds = [kind for kind in LINES if any(_condition(row) == kind for row in rows)]
    sketch = Sketch(1, 1, size=(5.2, 0.9 + 0.35 * len(kinds)))
    axis = sketch.axes[0, 0]
    for shift, (model, chosen) in enumerate(_by_model(rows).items()):
        axis.plot([], [], "o", color=colour(chosen[0]), markersize=4, label=model)
        for row in chosen:
            at = kinds.index(_condition(row)) + 0.13 * (shift - 1)
            (value, unfit, others), *_ = epochs_by_level([row]).values()
            marker = {"marker": ">"} | HOLLOW if unfit else {"marker": "o"}
            axis.plot([value.low, value.high], [at, at], color=colour(row), lw=1)
            for other in others:
                axis.plot(other, at, "o", color=colour(row), markersize=2)
            axis.plot(value.mean, at, color=colour(row), **{"markersize": 4} | marker)
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
        names = ("augmentation", "weight decay", "dropout")
        parts = [fields[names[0]]] if fields[names[0]] != "none" else []
        parts += [name for name in names[1:] if fields[name] == "yes"]
        return " + ".join(parts) or "none"
    if "row" in fields:
        parts = [name for name in ("crop", "weight decay") if fields[name] == "yes"]
        return f"{fields['labels']} labels" + "".join(f", {part}" for part in parts)
    last = list(fields.values())[-1]
    return f"p = {last:g}" if isinstance(last, float) else str(last)


def accuracies(rows, papers):
    """Draws training and test accuracy of each row, joined: the gap is the line."""
    models = _by_model(rows)
    heights = [len(chosen) for chosen in models.values()]
    sketch = Sketch(len(models), 1, size=(5.6, 0.7 + 0.35 * len(models)
                    + 0.19 * sum(heights)), sharex=True,
                    height_ratios=[n + 0.5 for n in heights])  # fmt: skip
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
    if any(row.paper for row in rows):
        marks["paper"] = "D"
    handles = [
        matplotlib.lines.Line2D([], [], marker=mark, linestyle="none", color="0.4",
                                markerfacecolor="white" if mark == "D" else "0.4",
                                markersize=5)
        for mark in marks.values()
    ]  # fmt: skip
    sketch.figure.legend(handles, marks, loc="outside upper right", ncols=3)
    return sketch


def _dumbbell(sketch, axis, at, row, label):
    train, test = row.final("train_accuracy"), row.final("test_accuracy")
    ink = colour(row)
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


def kernels(rows, papers):
    """Norm against test error, without a ridge and with the most filters."""
    points = []
    for row in rows:
        lines = [x for x in row.runs[0].record["rows"] if not x.get("ridge", 1)]
        points += [(row.fields["setting"], line) for line in lines[-1:]]
    if not points:
        return None
    sketch = Sketch(1, 1, size=(6.2, 3.0))
    axis = sketch.axes[0, 0]
    for mark, (setting, line) in zip("osD^v<>PXph*", points, strict=False):
        x, y = line["rkhs_norm"], 100 * line["test_error"]
        axis.plot(x, y, mark, color=BLUE, markersize=5, label=setting)
        sketch.value(axis, x, y, f"{setting}: norm {x:.4g}, test error {y:.2f} %")
    paper = {(x["setting"], x["metric"]): v for x, v in papers.get("kernels", ())}
    settings = [s for s, metric in paper if metric == "l2_norm"]
    for mark, setting in zip("os", settings, strict=False):
        x, y = (paper[setting, m].value for m in ("l2_norm", "test_error"))
        label = f"paper: {setting}"
        axis.plot(x, y, mark, color=ORANGE, label=label, **HOLLOW)
        sketch.value(axis, x, y, f"{label}, norm {x:g}, test error {y:g} %")
    axis.set(xlabel="norm of the solution", ylabel="test error (%)")
    axis.set(xscale="log", yscale="log")
    for ticks in (axis.xaxis, axis.yaxis):
        ticks.set_major_locator(LogLocator(subs=(1, 2, 5)))  # a decade may be all
        ticks.set_major_formatter("{x:g}")
        ticks.set_minor_formatter(NullFormatter())
    axis.tick_params(labelsize=7)
    sketch.figure.legend(loc="outside right upper", fontsize=7)
    return sketch


def compare(runs, path):
    """Draws the loss and the accuracy of some runs in one panel each.

    Args:
        runs: List of `tables.Run`s.
        path: `Path` of the PNG.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.6, 2.7 + 0.16 * len(runs)))
        loss, accuracy = figure.subplots(1, 2)
        for run, ink in zip(runs, itertools.cycle(SERIES)):
            epochs = run.history["epoch"]
            for key, dashes, word in (("train", "-", "training"), ("val", ":", "test")):
                label = f"{run.name}, {word}"
                loss.plot(epochs, run.history[f"{key}_cross_entropy"], dashes, c=ink)
                values = 100 * np.array(run.history[f"{key}_accuracy"])
                accuracy.plot(epochs, values, dashes, color=ink, label=label)
        loss.set(xlabel="epochs", ylabel="cross-entropy (nats)", yscale="log")
        loss.yaxis.set_major_formatter("{x:g}")
        loss.yaxis.set_minor_formatter(NullFormatter())
        accuracy.set(xlabel="epochs", ylabel="accuracy (%)", ylim=(0, 103))
        figure.legend(
            *accuracy.get_legend_handles_labels(), loc="outside upper left", ncols=2
        )
        save_png(figure, path)


_ACCURACIES = (
    "Training (bar) and test accuracy (dot) of each row; the line between them is the "
    "generalization gap, the thick part the range over seeds, the thin vertical line "
    "chance. Hollow diamonds, where the paper gives a number: its value."
)
_LOSSES = (
    "Training loss (cross-entropy of the fixed model after each epoch, log scale) "
    "under each condition. Lines: mean over seeds; bands: lowest to highest seed. "
    "Seeds that stopped at different epochs have a line each."
)
_PUBLIC_RUN = (
    " Hollow markers, in Inception's panel: when a careful public run reached 0.01 "
    "(not the paper's, one seed), a diamond for true and a triangle for random labels."
)
_EPOCHS = (
    "Epochs until 99 % of the training labels are reproduced, against the probability "
    "that a label is replaced. A hollow triangle is a run that had not fitted when it "
    "ended: the true value is larger; small dots below it are the seeds that fitted. "
    "Bars: lowest to highest seed."
)
_GAP = (
    " Right: the generalization error, test error less training error. Hollow "
    "diamonds: the paper's."
)
# Artefact -> its figures: (files, caption, function of rows and the paper's values).
FIGURES = {
    "table_1": (
        (
            "memorization",
            "Accuracy on the training set (solid) and on the test set (dotted) while "
            "training, with true and with random labels.",
            memorization,
        ),
        ("table_1", _ACCURACIES, accuracies),
    ),
    "figure_1": (
        ("figure_1a", _LOSSES, losses),
        (
            "figure_1b",
            _EPOCHS.replace(", against", ", relative to p = 0, against"),
            relative_time,
        ),
        (
            "figure_1c",
            "Error on the test set, whose labels are never corrupted, against the "
            "probability that a training label is replaced. Hollow diamonds: the "
            "paper's.",
            errors,
        ),
        ("convergence", "Left: " + _EPOCHS + _GAP, convergence),
    ),
    "figure_2": (
        (
            "figure_2b",
            "Training (solid) and test accuracy (dotted) with and without BatchNorm; "
            "dashed: the best test accuracy so far. Hollow: the paper's final value.",
            batch_norm,
        ),
    ),
    "random_label_regularizers": (
        ("random_label_regularizers", _ACCURACIES, accuracies),
    ),
    "inputs": (
        ("inputs_curves", _LOSSES, losses),
        (
            "inputs_epochs",
            "Epochs until 99 % of the training labels are reproduced, for each kind "
            "of input. Lines: lowest to highest seed; small dots: seeds that fitted "
            "where others had not.",
            epochs_by_input,
        ),
    ),
    "explicit": (("explicit", _ACCURACIES, accuracies),),
    "implicit": (("implicit", _ACCURACIES, accuracies),),
    "other_data": (("other_data", _ACCURACIES, accuracies),),
    "text": (("text", _ACCURACIES, accuracies),),
    "kernels": (
        (
            "kernels_norms",
            "Norm of the minimum-norm solution, in the space of the kernel, against "
            "the test error, without a ridge, with the most filters. Hollow: the "
            "paper's, which does not say which norm it is.",
            kernels,
        ),
    ),
    "demo": (
        ("demo_curves", _LOSSES, losses),
        ("demo_corruption", "Left: " + _EPOCHS + _GAP.split(" Hollow")[0], convergence),
        ("demo_accuracies", _ACCURACIES, accuracies),
    ),
}

"""Figure 1: what networks do against the corruption of labels and pixels (no Keras)."""

from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from common.report import (
    drawing,
    levels,
    names,
    stats,
)
from common.report.style import BLUE, GREY, HOLLOW, ORANGE, SKY, YELLOW, Sketch

# One look a condition, the same in every panel.
LINES = {
    "true labels": {"color": BLUE, "linestyle": "-", "linewidth": 2},
    "random labels": {"color": ORANGE, "linestyle": "--"},
    "shuffled pixels": {"color": SKY, "linestyle": ":", "marker": "s"},
    "gaussian pixels": {"color": GREY, "linestyle": ":", "marker": "o"},
    "random pixels": {"color": YELLOW, "linestyle": ":", "marker": "^"},
}


def losses(rows, papers):
    """Training loss against epochs, a panel a model, a line a condition."""
    rows = [row for row in rows if drawing.condition(row) in LINES]
    models = drawing.by_model(rows)
    if not models:
        return None
    theirs = papers.get("1a", {}) if "Inception" in models else {}
    sketch = Sketch(
        1,
        len(models),
        size=(min(10, 1.4 + 2.6 * len(models)), 2.9),
        caption="Training loss (cross-entropy after each epoch with the weights "
        "frozen, log scale) under each condition. Lines: mean over seeds; bands: "
        "lowest to highest seed. Seeds that stopped at different epochs have a line "
        "each." + " Pale, in Inception's panel: the paper's curves." * bool(theirs),
        data=drawing.data(rows),
        sharey=True,
    )
    for axis, (model, chosen) in zip(sketch.axes[0], models.items(), strict=True):
        for kind, points in theirs.items() if model == "Inception" else ():
            drawing.papers(axis, points, **LINES[kind] | {"marker": ""} | drawing.PALE)
        for row in chosen:
            kind = drawing.condition(row)
            look = LINES[kind]
            drawing.curves(sketch, axis, row, "train_cross_entropy", 1, kind, **look)
        axis.set(xlabel="epochs", yscale="log")
        # Plain numbers: the default sets powers with a formula parser, slowly.
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter(NullFormatter())
        axis.text(0.5, 1.02, f"{model} ({drawing.seeds(chosen)})", ha="center",
                  transform=axis.transAxes)  # fmt: skip
    sketch.axes[0, 0].set_ylabel("training cross-entropy (nats)")
    drawn = {*map(drawing.condition, rows), *theirs}
    looks = {kind: look for kind, look in LINES.items() if kind in drawn}
    handles = [
        Line2D([], [], markersize=3.5, label=kind, **look)
        for kind, look in looks.items()
    ]
    if theirs:
        handles.append(Line2D([], [], **drawing.PAPER))
    sketch.figure.legend(handles=handles, loc="outside right upper")
    return sketch


def _levelled(rows):
    """The rows whose labels alone are corrupted, or nothing."""
    return [row for row in rows if levels.level(row) is not None]


def _against_corruption(sketch, axis, rows, measure, unit, **look):
    """Draws a measure against label corruption, a line a model.

    Args:
        sketch, axis: The figure and its panel.
        rows: `table_rows.Row`s.
        measure: Function from a model's rows to dict of p -> `levels.Level`.
        unit: Text behind a value shown on hover.
        **look: Of the line, as of `Axes.plot`.
    """
    for model, chosen in drawing.by_model(rows).items():
        values = dict(sorted(measure(_levelled(chosen)).items()))
        if not values:
            continue
        ink = drawing.colour(chosen[0])
        fitted = {p: level.value for p, level in values.items() if not level.unfit}
        means = [value.mean for value in fitted.values()]
        # Two points are no curve: nothing is known of what lies between.
        dashes = {} if len(values) > 2 else {"linestyle": "none"}
        line = {"marker": "o", "markersize": 3.5, "linewidth": 1.2, "label": model}
        axis.plot(list(fitted), means, color=ink, **line | look | dashes)
        for p, value in fitted.items():
            axis.plot([p, p], [value.low, value.high], color=ink, linewidth=2)
        first = min((p for p, level in values.items() if level.unfit), default=None)
        for p, (value, unfit, others) in values.items():
            shown = f"{model}, p = {p:g}: {stats.spread(value)} {unit}"
            if unfit:
                for other in others:
                    axis.plot(p, other, "o", color=ink, markersize=2)
                axis.plot(p, value.mean, "^", color=ink, **HOLLOW)
                if p == first:  # many would be overprinted
                    axis.annotate(f"> {value.mean:.3g}", (p, value.mean), (0, 5),
                                  textcoords="offset points", ha="center",
                                  fontsize=6, color=ink)  # fmt: skip
                seeds = f"{unfit} of {unfit + len(others)} seeds not fitted"
                shown = f"{model}, p = {p:g}: {seeds}, > {value.mean:.3g} {unit}"
            sketch.value(axis, p, value.mean, shown)
    axis.set(xlabel="label corruption p", xlim=(-0.04, 1.06))


def _papers_points(sketch, axis, curves, unit, scale=1):
    """Draws the paper's curves against label corruption.

    Args:
        sketch, axis: The figure and its panel.
        curves: Dict of model -> list of (p, value).
        unit: Text behind a value shown on hover.
        scale: Times a value.
    """
    for model, points in curves.items():
        look = {"color": names.colour(model), "linestyle": "--", "marker": "D"}
        drawing.papers(axis, points, scale, **look | {"fillstyle": "none", "ms": 4})
        for p, value in points:
            text = f"{model}, paper, p = {p:g}: {scale * value:.4g} {unit}"
            sketch.value(axis, p, scale * value, text)


def _legend(sketch, models, words, loc="outside lower center", ncols=5):
    """Writes beside the panels the colours of models, and what the lines are."""
    handles = [Line2D([], [], color=names.colour(m), lw=4, label=m) for m in models]
    handles += [
        Line2D([], [], color="0.4", label=word, **look) for word, look in words.items()
    ]
    sketch.figure.legend(handles=handles, loc=loc, ncols=ncols)


_OURS = {"marker": "o", "markersize": 3.5}
_PAPERS = {"linestyle": "--", "marker": "D", "fillstyle": "none", "ms": 4}
_CENSORED = (
    " A hollow triangle is a run that had not got there when it ended, so that the "
    "true value is larger; small dots below it are seeds that had. Bars: lowest to "
    "highest seed."
)
# Where training counts as complete: what is counted -> the epoch of it.
THRESHOLDS = {
    "99 % of the training labels": levels.fitted,
    "an average training loss of 0.05": levels.loss_below(0.05),
}


def relative_time(rows, papers):
    """The epochs to fit against label corruption, relative to p = 0, at two thresholds.

    The factor depends on the threshold, and the paper does not state its own.
    """
    rows = _levelled(rows)
    models = drawing.by_model(rows).values()
    if not any(len(levels.relative_by_level(chosen)) > 1 for chosen in models):
        return None
    theirs = papers.get("1b", {})
    sketch = Sketch(
        1,
        2,
        size=(6.6, 3.2),
        caption="Epochs until training is complete, relative to p = 0, against the "
        "probability p that a label is replaced; left: until 99 % of the training "
        "labels are reproduced, right: until the average training loss is below 0.05. "
        "The factor depends on that threshold."
        + " Dashed: the paper's, whose threshold is not stated." * bool(theirs)
        + _CENSORED,
        data=drawing.data(rows),
        sharey=True,
    )
    for axis, (said, first) in zip(sketch.axes[0], THRESHOLDS.items(), strict=True):
        _papers_points(sketch, axis, theirs, "times p = 0")
        _against_corruption(
            sketch,
            axis,
            rows,
            lambda chosen, first=first: levels.relative_by_level(chosen, first),
            "times p = 0",
        )
        axis.text(0.5, 1.02, f"to {said}", ha="center", transform=axis.transAxes)
    sketch.axes[0, 0].set_ylabel("epochs, relative to p = 0")
    words = {"ours": _OURS} | ({"paper": _PAPERS} if theirs else {})
    shown = [x for x in names.MODELS if x in {*map(drawing.model, rows), *theirs}]
    _legend(sketch, shown, words)
    return sketch


def errors(rows, papers):
    """The test error against label corruption, a panel a model.

    On the test labels, and what the same networks would show on test labels that were
    corrupted as the training labels are.
    """
    rows = _levelled(rows)
    if len(set(map(levels.level, rows))) < 2:
        return None
    models, theirs = drawing.by_model(rows), papers.get("1c", {})
    sketch = Sketch(
        1,
        len(models),
        size=(min(10, 1.2 + 1.8 * len(models)), 3.2),
        caption="Error on the test set, whose labels are never corrupted, against the "
        "probability p that a training label is replaced (solid), and the error that "
        "the same networks would show if test labels were replaced likewise (dotted)."
        + " Dashed: the paper's. In the corner: how far either lies from it, in "
        "points, root mean square over 0 < p < 1." * bool(theirs),
        data=drawing.data(rows),
        sharey=True,
    )
    readings = {
        "on the test labels": (levels.error_by_level, {}),
        "on corrupted test labels": (
            levels.corrupted_error_by_level,
            {"linestyle": ":", "marker": "s", "markersize": 2.5},
        ),
    }
    for axis, (model, chosen) in zip(sketch.axes[0], models.items(), strict=True):
        said = []
        points = dict(theirs.get(model, ()))
        _papers_points(
            sketch, axis, {model: points.items()} if points else {}, "%", 100
        )
        for word, (measure, look) in readings.items():
            unit = f"% error {word}"
            _against_corruption(sketch, axis, chosen, measure, unit, **look)
            far = levels.distance(measure(chosen), points, 100)
            said.append(f"{word}: {far:.1f}" if far is not None else "")
        if any(said):
            axis.text(0.98, 0.02, "points from the paper,\n" + "\n".join(said),
                      ha="right", fontsize=6, transform=axis.transAxes)  # fmt: skip
        axis.set_xticks([0, 0.5, 1])  # more would run into the next panel's
        drawing.chance(axis, chosen, error=True, side="left")
        axis.text(0.5, 1.02, f"{model} ({drawing.seeds(chosen)})", ha="center",
                  transform=axis.transAxes)  # fmt: skip
    sketch.axes[0, 0].set(ylabel="error (%)", ylim=(0, 100))
    words = {word: _OURS | look for word, (_, look) in readings.items()}
    _legend(sketch, (), words | ({"paper": _PAPERS} if theirs else {}))
    return sketch


def convergence(rows, papers):
    """Epochs to fit and generalization error against label corruption."""
    rows = _levelled(rows)
    if len(set(map(levels.level, rows))) < 2:
        return None
    sketch = Sketch(
        1,
        2,
        size=(6.6, 3),
        caption="Left: epochs until 99 % of the training labels are reproduced, "
        "against the probability p that a label is replaced. Right: the generalization "
        f"error, test error less training error.{_CENSORED}",
        data=drawing.data(rows),
    )
    left, right = sketch.axes[0]
    _against_corruption(sketch, left, rows, levels.epochs_by_level, "epochs")
    _against_corruption(sketch, right, rows, levels.generalization_by_level, "points")
    left.set(ylabel="epochs to 99 %", ylim=(0, None))
    right.set(ylabel="test error − training error (points)", ylim=(0, 100))
    handles = left.get_legend_handles_labels()
    sketch.figure.legend(*handles, loc="outside lower center", ncols=4)
    return sketch


def early_stopping(rows, papers):
    """The test accuracy at the best and at the last epoch, against label corruption."""
    rows = [row for row in _levelled(rows) if row.runs[0].history]
    if len(set(map(levels.level, rows))) < 3:
        return None
    sketch = Sketch(
        1,
        1,
        size=(5.2, 3),
        caption="Test accuracy after the last epoch (solid) and at the epoch where it "
        "was highest (dashed), against the probability p that a training label is "
        "replaced. The highest is chosen with the test set: it bounds what stopping "
        "early could have had. Bars: lowest to highest seed.",
        data=drawing.data(rows),
    )
    axis = sketch.axes[0, 0]
    best = {"linestyle": "--", "marker": "^", "fillstyle": "none", "linewidth": 1}
    _against_corruption(sketch, axis, rows, levels.best_by_level, "% at best", **best)
    _against_corruption(sketch, axis, rows, levels.last_by_level, "% at the end")
    drawing.chance(axis, rows, side="left")
    axis.set(ylabel="test accuracy (%)", ylim=(0, 100))
    words = {"best epoch": best, "last epoch": _OURS}
    _legend(sketch, drawing.by_model(rows), words, "outside right upper", 1)
    return sketch

"""The figure of measures.py, drawn from its record (imports no Keras)."""

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from common.report import names
from common.report.style import (
    BELOW,
    BLUE,
    GREY,
    ORANGE,
    SKY,
    STYLE,
    YELLOW,
    head,
    save_png,
)

CAPTIONS = {  # end of a file's name -> what it shows
    "ranking": "Kendall's tau of each measure (a column of analyze.py's table) with "
    "the generalization gap: 1 where it orders every pair of networks as the gap does, "
    "-1 where it orders all of them the other way round. Left: over all networks, with "
    "the bootstrap's 95 % interval over settings. Right: over pairs of networks of "
    "measures.py that differ in one setting alone.",
}
INKS = {
    "grid": BLUE,
    "mnist_l2norm": ORANGE,
    "mnist_l2norm_whitened": SKY,
    "analysis": YELLOW,
}


def draw(record, csv):
    """Draws figures/NAME_ranking.png beside the CSV.

    Args:
        record: Dict of the complete run.
        csv: `Path` of its CSV.

    Returns:
        List of the PNG's path.
    """
    path = csv.parent / "figures" / f"{csv.stem}_ranking.png"
    with matplotlib.rc_context(STYLE):
        save_png(_figure(record), path)
    return [path]


def _figure(record):
    lines = record["ranking"]
    grid = [x for x in lines if x["networks"] == "grid"]
    overall = {x["measure"]: x["tau"] for x in grid if x["over"] == "all"}
    order = sorted(overall, key=overall.get)  # the highest at the top
    figure = Figure(figsize=(8.5, 1.2 + 0.19 * max(len(order), 8)))
    head(figure, f"{names.data(record['settings'])}, {record['networks']['grid']} MLPs")
    axes = figure.subplots(1, 2, sharey=True, width_ratios=(1, 1.1))
    _overall(axes[0], lines, order, record["networks"])
    _within(axes[1], grid, order)
    axes[0].set_yticks(range(len(order)), [x.replace("_", " ") for x in order])
    axes[0].set_ylim(-0.6, len(order) - 0.4)
    return figure


def _overall(axis, lines, order, counts):
    place = {name: i for i, name in enumerate(order)}
    for i, (networks, colour) in enumerate(INKS.items()):
        found = [
            x
            for x in lines
            if x["networks"] == networks
            and x["over"] == "all"
            and x["measure"] in place
        ]
        if not found:
            continue
        y = np.array([place[x["measure"]] for x in found]) + 0.2 * (1.5 - i)
        ends = [[x[end] for x in found] for end in ("low", "high")]
        axis.hlines(y, *ends, color=colour, lw=1, alpha=0.6)
        label = f"{counts[networks]} {names.NETWORKS[networks]}"
        tau = [x["tau"] for x in found]
        axis.plot(tau, y, "o", color=colour, markersize=3.5, label=label)
    axis.axvline(0, color=GREY, lw=0.8)
    axis.set_xlim(-1, 1)
    axis.set_xticks([-1, -0.5, 0, 0.5, 1])
    axis.set_xlabel("Kendall's tau, over all networks")
    axis.figure.legend(**BELOW, ncols=2)


def _within(axis, grid, order):
    changed = [x for x in dict.fromkeys(x["over"] for x in grid) if x != "all"]
    values = np.full((len(order), max(len(changed), 1)), np.nan)
    for line in grid:
        if line["over"] in changed and line["measure"] in order:
            at = order.index(line["measure"]), changed.index(line["over"])
            values[at] = line["tau"]
    axis.imshow(values, cmap="RdBu", vmin=-1.3, vmax=1.3, aspect="auto")
    for i, j in np.argwhere(np.isfinite(values)):
        text = f"{values[i, j]:.2f}".replace("-", "−")
        ink = "white" if abs(values[i, j]) > 0.9 else "black"
        axis.text(j, i, text, ha="center", va="center", fontsize=6, color=ink)
    axis.set_xticks(range(len(changed)), [names.SETTINGS.get(x, x) for x in changed])
    axis.set_xlabel("Kendall's tau, over pairs that differ in this alone")
    axis.tick_params(left=False)

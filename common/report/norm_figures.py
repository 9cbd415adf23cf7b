"""The figures of mnist_l2norm.py, drawn from its record and CSV (imports no Keras)."""

import matplotlib
from matplotlib.figure import Figure

from common.report import names
from common.report.style import BLUE, ORANGE, STYLE, head, log_scale, save_png

CAPTIONS = {  # end of a file's name -> what it shows
    "norms": "L2 norm of the kernels, and product of their squared norms, against the "
    "number of training examples, at both stopping points. Bands: lowest to highest "
    "seed.",
    "curvature": "Top eigenvalue and trace of the Hessian against the number of "
    "training examples, at both stopping points. Bands: lowest to highest seed.",
}
SHOWN = {  # the same ends -> {column: what the axis says}
    "norms": {
        "l2_norm": "L2 norm of the kernels",
        "product_of_norms": "product of squared norms",
    },
    "curvature": {
        "eigenvalue_1": "top Hessian eigenvalue",
        "trace": "trace of the Hessian",
    },
}
COLOURS = {"true": BLUE, "random": ORANGE}
LINES = {"true": "-", "random": "--"}
MARKS = {"accuracy": "o", "loss": "s"}  # at the two stopping points
INPUTS = {"unit": "pixels / 255", "whitened": "whitened"}


def draw(record, csv):
    """Draws figures/NAME_*.png beside the CSV.

    Args:
        record: Dict of the complete run.
        csv: `Path` of its CSV.

    Returns:
        List of the PNGs' paths.
    """
    import pandas as pd  # here: a page takes the captions alone

    table, settings = pd.read_csv(csv), record["settings"]
    drawn = []
    for kind in SHOWN:
        path = csv.parent / "figures" / f"{csv.stem}_{kind}.png"
        with matplotlib.rc_context(STYLE):
            save_png(_figure(table, settings, kind), path)
        drawn.append(path)
    return drawn


def _figure(table, settings, kind):
    """A file of `SHOWN`: mean over seeds, and band from min to max."""
    loss = f"loss {settings['target_loss']:g}".replace("e-0", "e-")
    said = {"accuracy": "100 % accuracy", "loss": loss}
    panels = [  # heading; {what tells a line from the other: its (labels, stop)}
        *(
            (f"at {said[stop]}", {f"{k} labels": (k, stop) for k in settings["labels"]})
            for stop in said
        ),
        *((f"{k} labels", {said[s]: (k, s) for s in said}) for k in settings["labels"]),
    ]
    figure = Figure(figsize=(2 * len(panels), 4.2))
    inputs = INPUTS[settings["inputs"]]
    head(figure, f"{names.data(settings)}, {inputs}, MLP 2x64")
    # Curvature falls by orders of magnitude between the stopping points.
    sharey = "row" if kind == "norms" else False
    axes = figure.subplots(2, len(panels), sharex=True, sharey=sharey)
    for (column, what), row in zip(SHOWN[kind].items(), axes, strict=True):
        row[0].set_ylabel(what)
        for axis, (_, lines) in zip(row, panels, strict=True):
            _draw_panel(axis, table, column, lines)
        for axis, (_, lines) in zip(row, panels, strict=True):  # all are drawn
            both_stops = len({stop for _, stop in lines.values()}) > 1
            if column == "product_of_norms" or (both_stops and kind == "curvature"):
                log_scale(axis, "y")
            elif kind == "curvature":
                axis.set_ylim(bottom=0)
    for top, bottom, (heading, _) in zip(*axes, panels, strict=True):
        # Above the panel, where no line is hidden.
        top.legend(title=heading, loc="lower center", bbox_to_anchor=(0.5, 1))
        bottom.set_xlabel("training examples")
    sizes = settings["sizes"]
    axes[0, 0].set_xscale("log", base=2)
    axes[0, 0].set_xticks(sizes, [str(size) for size in sizes])
    axes[0, 0].minorticks_off()
    return figure


def _draw_panel(axis, table, column, lines):
    for name, (labels, stop) in lines.items():
        chosen = table[(table.labels == labels) & (table.stop == stop)]
        values = chosen.groupby("size")[column].agg(["mean", "min", "max"])
        axis.plot(
            values.index,
            values["mean"],
            LINES[labels] + MARKS[stop],
            color=COLOURS[labels],
            markerfacecolor=COLOURS[labels] if stop == "loss" else "white",
            markersize=4,
            label=name,
        )
        band = values["min"], values["max"]
        axis.fill_between(values.index, *band, color=COLOURS[labels], alpha=0.2, lw=0)

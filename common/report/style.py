"""What every figure shares: style, palette, PNG and SVG files (imports no Keras)."""

import io
from typing import NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.use": True,
    "font.size": 8,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text: small files, readable by machines
    "svg.hashsalt": "rethinking",  # the same ids at every redraw
}
# matplotlib's tableau-colorblind10, in our order. Where labels are compared the first
# is true labels' and the second random labels'.
INKS = BLUE, ORANGE, GREY, YELLOW = "#006BA4", "#C85200", "#595959", "#FF800E"
HOLLOW = {"markerfacecolor": "white", "markersize": 5, "linestyle": "none"}
OPEN = {"markerfacecolor": "none", "markersize": 7.5, "linestyle": "none"}
DPI = 200  # of every PNG


class Drawn(NamedTuple):
    """A figure as the page needs it."""

    stem: str  # of its files in figures/
    caption: str
    svg: str
    points: list  # (x, y, text) in points of the SVG, y downwards: what hover shows


class Sketch:
    """A figure being drawn, and the values that hover shows.

    Args:
        *grid: Rows and columns of panels.
        size: Width and height in inches.
        **shared: `sharex`, `sharey` of `Figure.subplots`.
    """

    def __init__(self, *grid, size, **shared):
        self.figure = Figure(figsize=size)
        self.axes = self.figure.subplots(*grid, squeeze=False, **shared)
        self.points = []
        self.note = ""  # what its caption says of this drawing only

    def value(self, axis, x, y, text):
        """Makes `text` appear when the point `(x, y)` of a panel is hovered over."""
        self.points.append((axis, x, y, text))

    def save(self, folder, stem, caption):
        """Writes PNG and SVG, with fixed metadata, and returns the `Drawn`."""
        folder.mkdir(parents=True, exist_ok=True)
        save_png(self.figure, folder / f"{stem}.png")
        self.figure.set_layout_engine("none")  # it is laid out: the SVG is the same
        text = io.StringIO()
        FigureCanvasSVG(self.figure).print_svg(text, metadata={"Date": None})
        (folder / f"{stem}.svg").write_text(text.getvalue())
        return Drawn(stem, caption + self.note, text.getvalue(), self._placed())

    def _placed(self):
        scale = 72 / self.figure.dpi  # an SVG counts in points
        height = self.figure.get_figheight() * 72
        placed = []
        for axis, x, y, text in self.points:
            across, up = axis.transData.transform((x, y)) * scale
            if np.isfinite([across, up]).all():
                placed.append((round(across, 1), round(height - up, 1), text))
        return placed


def save_png(figure, path):
    """Saves a PNG; redrawing an unchanged result changes no byte."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.dpi = DPI
    # What `figure.savefig` ends in, without its second drawing to measure.
    FigureCanvasAgg(figure).print_png(path, metadata={"Software": None})

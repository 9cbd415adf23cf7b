"""What every figure shares: style, palette, PNG and SVG files (imports no Keras).

matplotlib is imported by the first drawing, so that a command line is answered without.
"""

import io
import math
from typing import NamedTuple

from common import records

STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.use": True,
    "figure.titlesize": 8,
    "font.size": 8,
    "legend.frameon": False,
    "legend.handlelength": 2.4,  # two dashes of a dashed line
    "svg.fonttype": "none",  # text stays text: small files, readable by machines
    "svg.hashsalt": "rethinking",  # the same ids at every redraw
    "text.parse_math": False,  # a name with two $ is no formula
}
# Of matplotlib's tableau-colorblind10 those that stand out from white. Where labels are
# compared the first is true labels' and the second random labels'.
INKS = BLUE, ORANGE, GREY, YELLOW, SKY, SILVER = (
    "#006BA4",
    "#C85200",
    "#595959",
    "#FF800E",
    "#5F9ED1",
    "#898989",
)
# The same on the page where it is dark.
DARK = {
    BLUE: "#58b0e3",
    ORANGE: "#f2713c",
    GREY: "#c4c4c4",
    YELLOW: "#ffb469",
    SKY: "#a5d3f7",
    SILVER: "#8f8f8f",
}
HOLLOW = {"markerfacecolor": "white", "markersize": 5, "linestyle": "none"}
OPEN = {"markerfacecolor": "none", "markersize": 7.5, "linestyle": "none"}
BELOW = {"loc": "outside lower center"}  # a figure's legend, where it hides nothing
DPI = 200  # of every PNG


class Drawn(NamedTuple):
    """A figure as the page needs it."""

    stem: str  # of its files in figures/
    caption: str
    svg: str
    points: list  # (x, y, text) in points of the SVG, y downwards: what hover shows
    png: bytes

    def write(self, folder):
        """Writes PNG and SVG, where they are not there already, and returns itself."""
        folder.mkdir(parents=True, exist_ok=True)
        for kind, content in (("png", self.png), ("svg", self.svg.encode())):
            path = folder / f"{self.stem}.{kind}"
            if not path.is_file() or path.read_bytes() != content:
                with records.replacing(path) as temporary:
                    temporary.write_bytes(content)
        return self


class Sketch:
    """A figure being drawn, and the values that hover shows.

    Args:
        *grid: Rows and columns of panels.
        size: Width and height in inches.
        caption: What the figure shows, in sentences.
        data: What it was measured on, as `names.data` says it; "" where each panel
            names its own.
        **shared: `sharex`, `sharey` of `Figure.subplots`.
    """

    def __init__(self, *grid, size, caption, data="", **shared):
        from matplotlib.figure import Figure

        self.figure = Figure(figsize=size)
        self.axes = self.figure.subplots(*grid, squeeze=False, **shared)
        self.caption = f"{data}. {caption}" if data else caption
        self.points = []
        if data:
            head(self.figure, data)

    def value(self, axis, x, y, text):
        """Makes `text` appear when the point `(x, y)` of a panel is hovered over."""
        self.points.append((axis, x, y, text))

    def draw(self, stem):
        """Returns the `Drawn`, with fixed metadata."""
        from matplotlib.backends.backend_svg import FigureCanvasSVG

        png, svg = io.BytesIO(), io.StringIO()
        _print_png(self.figure, png)
        self.figure.set_layout_engine("none")  # it is laid out: the SVG is the same
        FigureCanvasSVG(self.figure).print_svg(svg, metadata={"Date": None})
        placed = self._placed()
        return Drawn(stem, self.caption, svg.getvalue(), placed, png.getvalue())

    def _placed(self):
        scale = 72 / self.figure.dpi  # an SVG counts in points
        height = self.figure.get_figheight() * 72
        placed = []
        for axis, x, y, text in self.points:
            across, up = axis.transData.transform((x, y)) * scale
            if math.isfinite(across) and math.isfinite(up):
                up = height - up
                placed.append((round(float(across), 1), round(float(up), 1), text))
        return placed


def head(figure, text):
    """Writes above a figure, at the left, what it was measured on."""
    figure.suptitle(text, x=0.01, ha="left", weight="bold")


def log_scale(axis, which="xy"):
    """Makes axes logarithmic, with ticks that can be read; to be called after plotting.

    matplotlib's own ticks of a range below a decade are overprinted, or there is one;
    and it sets its powers with a formula parser, slowly.
    """
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator

    for name in which:
        axis.set(**{f"{name}scale": "log"})
        ticks = getattr(axis, f"{name}axis")
        low, high = sorted(getattr(axis, f"get_{name}lim")())
        ticks.set_minor_formatter(NullFormatter())
        ticks.set_major_formatter(number)
        if high < 15 * low:
            ticks.set_major_locator(MaxNLocator(4))
            ticks.set_minor_locator(NullLocator())
        elif high < 600 * low:
            ticks.set_major_locator(LogLocator(subs=(1, 2, 5)))
        else:
            ticks.set_major_locator(LogLocator(numticks=9))
            if low < 1e-4 or high > 2e5:
                ticks.set_major_formatter(power)


def number(value, _=None):
    """Returns a tick as text: 0.005, 2000; from 10⁵ on and below 10⁻³, 5·10⁻⁶."""
    if value == 0 or 1e-3 <= value < 1e5:
        return f"{value:g}"
    times = value / 10 ** math.floor(math.log10(value))
    return (f"{times:.3g}·" if times > 1.0001 else "") + power(value / times)


def power(value, _=None):
    """Returns a power of ten, or zero, as text: 10⁻⁶."""
    if value == 0:
        return "0"
    digits = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    return "10" + f"{round(math.log10(value))}".translate(digits)


def save_png(figure, path):
    """Saves a PNG in one step; redrawing an unchanged result changes no byte."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with records.replacing(path) as temporary:
        _print_png(figure, temporary)


def _print_png(figure, file):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.dpi = DPI
    # What `figure.savefig` ends in, without its second drawing to measure.
    FigureCanvasAgg(figure).print_png(file, metadata={"Software": None})

"""Figures and pictures as the page embeds them (imports no Keras)."""

import base64
import hashlib
import io
import re
from typing import NamedTuple
from xml.etree import ElementTree

from markupsafe import Markup
from PIL import Image

from common import records
from common.cli import MendableError
from common.report import kept, style

# Colours of a figure -> those of the page, which differ in light and dark.
_REPLACED = {
    "#000000": "currentColor",
    "#ffffff": "var(--paper)",
    "black": "currentColor",
} | {ink.lower(): f"var(--{ink[1:].lower()})" for ink in style.DARK}
_PIXELS_PER_POINT = 1.45  # makes a figure's 8-point text about 12 pixels high
_SVG = "http://www.w3.org/2000/svg"
_COLOUR = re.compile(r"#[0-9a-f]{6}\b|\bblack\b", re.IGNORECASE)
_REFERENCE = re.compile(r"^#([\w-]+)$|url\(#([\w-]+)\)")
ElementTree.register_namespace("", _SVG)  # no prefix, which HTML would not know
ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")


class Figure(NamedTuple):
    """A figure or picture as the page embeds it."""

    html: Markup
    width: int  # in pixels
    caption: str
    files: list  # of (address, text)


def picture(results, stem, caption):
    """Embeds a PNG of `style.save_png`, as large as the other figures are.

    Returns None where there is no such picture; what is damaged is named and left out.
    """
    path = results / "figures" / f"{stem}.png"
    if not path.exists():
        return None
    try:
        png = path.read_bytes()
        of = hashlib.sha256(png).hexdigest()
        width, webp = kept.once(["WebP", of], lambda: _encoded(png), tuple[int, bytes])
    except OSError as error:
        records.left_out(MendableError(f"{path} is no picture ({error})"))
        return None
    width = round(width / style.DPI * 72 * _PIXELS_PER_POINT)
    source = f"data:image/webp;base64,{base64.b64encode(webp).decode()}"
    html = Markup('<img alt="{}" src="{}">').format(caption, source)
    return Figure(html, width, caption, [(f"figures/{stem}.png", "PNG")])


def _encoded(png):
    """Returns a picture's width, and the same pixels in a third of the bytes."""
    webp = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").save(webp, "WEBP", lossless=True, method=4)
        return image.width, webp.getvalue()


def inline(figure):
    """Returns a `style.Drawn` as `Figure`, in the page's colours and with its values.

    Raises:
        ValueError: If its SVG has no viewBox, or is not well-formed.
    """
    root = ElementTree.fromstring(figure.svg)
    try:
        width = float(root.attrib["viewBox"].split()[2])
    except (KeyError, IndexError):
        raise ValueError(f"the SVG of {figure.stem} has no viewBox") from None
    for metadata in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(metadata)
    elements = list(root.iter())
    values = [value for element in elements for value in element.attrib.values()]
    used = {a or b for value in values for a, b in _REFERENCE.findall(value)}
    for element in elements:
        if element.get("id") not in used:
            element.attrib.pop("id", None)
        for name, value in element.items():
            # References within a figure stay apart from those of another.
            if name == "id":
                value = figure.stem + value
            value = _REFERENCE.sub(
                lambda m: m[0].replace("#", f"#{figure.stem}"), value
            )
            if name in ("style", "fill", "stroke"):
                value = _COLOUR.sub(lambda m: _REPLACED.get(m[0].lower(), m[0]), value)
            element.set(name, value)
    for x, y, text in figure.points:
        dot = {"cx": str(x), "cy": str(y), "r": "4", "data-tip": text}
        ElementTree.SubElement(root, f"{{{_SVG}}}circle", dot)
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    root.attrib |= {"role": "img", "aria-label": figure.caption}
    text = re.sub(r"\n\s*", "\n", ElementTree.tostring(root, "unicode"))
    kinds = ("png", "svg")
    return Figure(
        Markup(text),
        round(width * _PIXELS_PER_POINT),
        figure.caption,
        [(f"figures/{figure.stem}.{kind}", kind.upper()) for kind in kinds],
    )

"""What report.py drew and encoded, so that only what changed is made again (no Keras).

Each is a file in results/.cache/ of the project, called by the digest of all that it
was made of: what was handed over, the code, the libraries, and matplotlib's settings.
None is read from another folder of records, which somebody else may have filled.
"""

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import sys
import time
from pathlib import Path

import matplotlib
import msgspec

from common import records
from common.report import style

CODE = Path(__file__).parents[1]
FOLDER = CODE.parent / "results" / ".cache"
DAYS = 30  # what nobody asked for in as many is removed


def once(made_of, make, kind):
    """Returns what `make()` returned when it was last called for the same, or calls it.

    Args:
        made_of: All that `make` reads but for the code, as JSON can say it.
        make: Function without arguments. What it returns is kept unless it is None.
        kind: Type of that, which msgspec can encode.

    Raises:
        TypeError: If JSON cannot say `made_of`.
    """
    said = json.dumps([_drawing(), made_of]).encode()
    path = FOLDER / hashlib.sha256(said).hexdigest()
    with contextlib.suppress(OSError, msgspec.DecodeError):
        made = msgspec.msgpack.decode(path.read_bytes(), type=kind)
        path.touch()
        return made
    made = make()
    if made is not None:
        with contextlib.suppress(OSError):  # nobody may write there: then it is not
            FOLDER.mkdir(exist_ok=True)
            with records.replacing(path) as temporary:
                temporary.write_bytes(msgspec.msgpack.encode(made))
    return made


def figure(stem, function, *made_of):
    """Returns the `style.Drawn` of a figure, or None where there is nothing to draw.

    Args:
        stem: Of its files' names.
        function: Of `made_of`: returns the `style.Sketch`, or None.
        *made_of: As of `once`.
    """

    def draw():
        with matplotlib.rc_context(style.STYLE):
            sketch = function(*made_of)
            return sketch and sketch.draw(stem)

    name = f"{function.__module__}.{function.__qualname__}"
    return once([name, stem, made_of], draw, style.Drawn)


def clear():
    """Removes what nobody asked for in `DAYS` days."""
    with contextlib.suppress(OSError):
        for path in FOLDER.iterdir():
            if path.stat().st_mtime < time.time() - DAYS * 24 * 3600:
                path.unlink()


@functools.cache
def _drawing():
    """What every drawing depends on besides its numbers, as a list of texts."""
    code = hashlib.sha256()
    for path in sorted(CODE.rglob("*")):
        if path.suffix in (".py", ".csv"):  # the papers' numbers are tables there
            code.update(path.read_bytes())
    settings = Path(matplotlib.matplotlib_fname()).read_text(encoding="utf-8")
    libraries = map(importlib.metadata.version, ("matplotlib", "numpy", "pillow"))
    return [code.hexdigest(), settings, sys.version, *libraries]

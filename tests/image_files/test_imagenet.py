"""Folders of the ImageNet layout and TFRecords, against what was written into them."""

import io

import numpy as np
import pytest
import tensorflow as tf
from jpegs import write_folder
from PIL import Image

from common import corruptions, datasets
from common.cli import MendableError, UsageError
from common.image_files import imagenet


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("images"))


def paths(files):
    return [file["path"].decode() for file in files]


def test_a_folder_is_found_with_its_classes(folder):
    (folder / "train" / "n0" / "notes.txt").write_text("not an image")
    data = imagenet.load("tiny", data_dir=folder)
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


def test_a_subset_is_balanced_and_nests(folder):
    small, large = (imagenet.load("tiny", n, 0, folder) for n in (9, 20))
    assert set(paths(small.x_train)) < set(paths(large.x_train))
    assert np.bincount(small.y_train).tolist() == [3, 3, 3]
    assert len(small.x_test) == 11
    other = imagenet.load("tiny", 9, 1, folder)
    assert set(paths(small.x_train)) != set(paths(other.x_train))


def test_labels_are_corrupted_and_the_images_are_not_touched(folder):
    data = imagenet.load("tiny", data_dir=folder)
    noisy = corruptions.corrupt(data, 1.0, "exclusive")
    assert (noisy.y_train != data.y_train).all()
    np.testing.assert_array_equal(noisy.y_train_true, data.y_train)
    np.testing.assert_array_equal(noisy.x_train, data.x_train)
    np.testing.assert_array_equal(noisy.y_test, data.y_test)


# TFRecords, as TensorFlow writes them.


def feature(value):
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    if isinstance(value, float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=[value, 1.0]))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=value))


def write_records(folder, data, keys, first_label, shards=2):
    """`keys`: of the image and the label. Among others, as ImageNet's records have."""
    for split, files, labels in (
        ("train", data.x_train, data.y_train),
        ("validation", data.x_test, data.y_test),
    ):
        for shard in range(shards):
            path = folder / f"{split}-{shard:05d}-of-{shards:05d}"
            with tf.io.TFRecordWriter(str(path)) as writer:
                for file, label in list(zip(files, labels, strict=True))[shard::shards]:
                    values = {
                        keys[0]: data.read(file),
                        keys[1]: [int(label) + first_label],
                        "image/filename": b"name.JPEG",
                        "image/height": [1 << 40],
                        "image/object/bbox/xmin": 0.5,
                        "image/object/number": [],
                    }
                    example = {key: feature(value) for key, value in values.items()}
                    features = tf.train.Features(feature=example)
                    record = tf.train.Example(features=features)
                    writer.write(record.SerializeToString())


@pytest.mark.parametrize(
    ("keys", "first_label"),
    [(("image/encoded", "image/class/label"), 1), (("image", "label"), 0)],
    ids=["imagenet", "tfds"],
)
def test_records_hold_the_same_images_and_labels(folder, tmp_path, keys, first_label):
    data = imagenet.load("tiny", data_dir=folder)
    write_records(tmp_path, data, keys, first_label)
    again = imagenet.load("tiny", data_dir=tmp_path)
    assert again.num_classes == 3
    for ours, labels, files, expected in (
        (again.x_train, again.y_train, data.x_train, data.y_train),
        (again.x_test, again.y_test, data.x_test, data.y_test),
    ):
        order = np.concatenate([np.arange(len(files))[i::2] for i in range(2)])
        np.testing.assert_array_equal(labels, expected[order])
        for file, i in zip(ours, order, strict=True):
            assert again.read(file) == data.read(files[i])


@pytest.mark.parametrize("damage", ["truncated", "empty", "other", "keys"])
def test_damaged_records_are_named(folder, tmp_path, damage):
    data = imagenet.load("tiny", data_dir=folder)
    keys = ("picture", "n") if damage == "keys" else ("image", "label")
    write_records(tmp_path, data, keys, 0, shards=1)
    path = tmp_path / "train-00000-of-00001"
    content = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(content[:-50])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "other":
        path.write_bytes(b"no records at all " * 10)
    with pytest.raises(MendableError, match="train-00000-of-00001 is not a file of"):
        imagenet.load("tiny", data_dir=tmp_path)


# What goes wrong.


def test_no_images(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    with pytest.raises(MendableError, match=r"no images in .*keras.*--data-dir"):
        imagenet.load("imagenet")
    (tmp_path / "train").mkdir()
    with pytest.raises(MendableError, match=r"no train images. Expected train/CLASS"):
        imagenet.load("mine", data_dir=tmp_path)


def test_a_class_without_training_images(tmp_path):
    write_folder(tmp_path, classes=2)
    (tmp_path / "val" / "n0").rename(tmp_path / "val" / "x")
    with pytest.raises(MendableError, match="class x, of which there is no training"):
        imagenet.load("mine", data_dir=tmp_path)


def test_only_the_whole_of_imagenet_is_called_imagenet(folder):
    with pytest.raises(MendableError, match=r"3 classes, 40 .* expected 1000, 1,281,"):
        imagenet.load("imagenet", data_dir=folder)


@pytest.mark.parametrize("name", ["", "../up", "a b"])
def test_names_that_are_none(name, folder):
    with pytest.raises(UsageError, match="expected letters"):
        imagenet.load(name, data_dir=folder)


@pytest.mark.parametrize("size", [0, 41])
def test_sizes_that_the_folder_does_not_have(size, folder):
    with pytest.raises(UsageError, match="Expected 1 to 40"):
        imagenet.load("tiny", size, data_dir=folder)


# The folder that the project makes.


def test_synthetic_is_written_once_as_jpegs(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "SYNTHETIC_TRAIN", range(20))
    monkeypatch.setattr(datasets, "SYNTHETIC_TEST", range(50, 60))
    data = imagenet.load("synthetic", data_dir=tmp_path)
    assert (len(data.x_train), len(data.x_test), data.num_classes) == (20, 10, 10)
    images, labels = datasets.synthetic(range(50, 60))
    np.testing.assert_array_equal(data.y_test, labels)
    for file, image in zip(data.x_test, images, strict=True):
        with Image.open(io.BytesIO(data.read(file))) as jpeg:
            assert jpeg.format == "JPEG" and jpeg.size == (96, 96)
            small = np.asarray(jpeg.resize((32, 32), Image.BOX), float)
        assert np.corrcoef(small.ravel(), image.ravel())[0, 1] > 0.8
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    imagenet.load("synthetic", data_dir=tmp_path)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

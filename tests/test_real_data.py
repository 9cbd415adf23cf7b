"""Corruption and feed on real CIFAR-10; skipped where it is not in Keras's cache."""

import dataclasses
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from common import datasets, pipelines
from common.corruptions import corrupt, corrupt_pixels
from common.regime import Regime
from common.shared_settings import LABEL_NOISE
from common.sources import archives, download

HOME = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "datasets"
FOUND = next(download.found(datasets.FACTS["cifar10"].source, [HOME]), None)

pytestmark = pytest.mark.skipif(
    FOUND is None, reason=f"CIFAR-10 is not in {HOME}: these tests want the real one"
)


@pytest.fixture(scope="module", autouse=True)
def read_once():
    """Archives are read and verified once; nobody writes into what they hold."""
    official, found = datasets.official, {}

    def once(name, *where):
        if name not in found:
            found[name] = official(name, *where)
        return found[name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "official", once)
        yield


@pytest.fixture(scope="module")
def cifar10():
    return datasets.named("cifar10")


@pytest.fixture(scope="module")
def test_batch():
    """The archive's own test file, opened without the project's code."""
    if FOUND.is_dir():
        return pickle.loads((FOUND / "test_batch").read_bytes(), encoding="bytes")
    with tarfile.open(FOUND) as archive:
        file = archive.extractfile("cifar-10-batches-py/test_batch")
        return pickle.loads(file.read(), encoding="bytes")


@pytest.mark.parametrize("pixels", ["true", "shuffled", "random", "gaussian"])
def test_test_set_is_the_archives_after_corruption(cifar10, test_batch, pixels):
    few = cifar10._replace(x_train=cifar10.x_train[:100], y_train=cifar10.y_train[:100])
    noisy = corrupt(few, Regime(label_corruption=1.0, pixels=pixels))
    assert noisy.y_test.tolist() == test_batch[b"labels"]
    images = test_batch[b"data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    if pixels != "shuffled":
        np.testing.assert_array_equal(noisy.x_test, images)
    else:  # the same pixels elsewhere
        crop = images[:, 2:30, 2:30].astype(int).reshape(len(images), -1, 3)
        moved = noisy.x_test.astype(int).reshape(len(images), -1, 3)
        code = np.array([1, 256, 65536])
        np.testing.assert_array_equal(
            np.sort(moved @ code, axis=1), np.sort(crop @ code, axis=1)
        )


def test_true_statistics(cifar10):
    assert cifar10.x_train.shape == (50_000, 32, 32, 3)
    assert np.bincount(cifar10.y_train).tolist() == [5000] * 10
    # As published everywhere: 0.4914, 0.4822, 0.4465 and 0.2470, 0.2435, 0.2616.
    pixels = cifar10.x_train.reshape(-1, 3)
    mean = pixels.mean(0, dtype=np.float64) / 255
    square = np.einsum("ic,ic->c", pixels, pixels, dtype=np.float64) / len(pixels)
    std = np.sqrt(square / 255**2 - mean**2)
    np.testing.assert_allclose(mean, [0.4914, 0.4822, 0.4465], atol=1e-4)
    np.testing.assert_allclose(std, [0.2470, 0.2435, 0.2616], atol=1e-4)


@pytest.mark.parametrize("p", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("kind", LABEL_NOISE)
def test_label_statistics(cifar10, kind, p):
    true = cifar10.y_train
    noisy = corrupt(cifar10, Regime(label_corruption=p, label_noise=kind)).y_train
    wrong = noisy != true
    rate = p if kind in ("exclusive", "pair") else 0.9 * p
    if p == 1 and kind in ("exclusive", "pair"):
        assert wrong.all()
    else:
        assert stats.binomtest(int(wrong.sum()), 50_000, rate).pvalue > 1e-6
    # No class and no stretch of the file is spared.
    for where in (true, np.arange(50_000) // 5000):
        assert stats.chisquare(np.bincount(where[wrong])).pvalue > 1e-6
    if kind == "uniform" and p == 1:
        assert stats.chisquare(np.bincount(noisy)).pvalue > 1e-6


@pytest.mark.parametrize("pixels", ["true", "shuffled", "random", "gaussian"])
def test_what_the_feed_gives_is_white(cifar10, pixels):
    few = cifar10._replace(
        x_train=cifar10.x_train[:2000],
        y_train=cifar10.y_train[:2000],
        y_train_true=cifar10.y_train[:2000],
        x_test=cifar10.x_test[:500],
        y_test=cifar10.y_test[:500],
    )
    noisy = corrupt(few, Regime(label_corruption=1.0, pixels=pixels))
    feed = pipelines.Feed(noisy, Regime())
    batches = list(feed.batches().take(feed.steps_per_epoch))
    x = np.concatenate([x for x, _ in batches])
    assert x.shape == (2000, 28, 28, 3)
    for images in (x, feed.x_train, feed.x_test):
        np.testing.assert_allclose(images.mean((1, 2, 3)), 0, atol=1e-5)
        np.testing.assert_allclose(images.std((1, 2, 3)), 1, atol=1e-4)
    y = np.concatenate([y for _, y in batches])
    np.testing.assert_array_equal(np.bincount(y), np.bincount(noisy.y_train))
    # Photographs are smooth; each corruption of the pixels destroys that.
    smooth = np.corrcoef(x[:, 1:].ravel(), x[:, :-1].ravel())[0, 1]
    assert smooth > 0.85 if pixels == "true" else smooth < 0.4


def test_gaussian_pixels_have_the_photographs_moments(cifar10):
    crop = cifar10.x_train[:2000, 2:30, 2:30].astype(np.float64)
    few = cifar10._replace(x_train=cifar10.x_train[:2000])
    few = few._replace(y_train=cifar10.y_train[:2000])
    noise = corrupt_pixels(few, "gaussian").x_train.astype(np.float64)
    np.testing.assert_allclose(noise.mean((0, 1, 2)), crop.mean((0, 1, 2)), atol=0.3)
    np.testing.assert_allclose(noise.std((0, 1, 2)), crop.std((0, 1, 2)), atol=0.3)
    np.testing.assert_allclose(stats.kurtosis(noise, axis=None), 0, atol=0.1)


# CIFAR-10N, Wei et al. (2022): the rates that the paper prints, in %.
RATES = {"worst": 40.21, "aggregate": 9.01, "random1": 17.23}
RATES |= {"random2": 18.12, "random3": 17.64}
PEOPLE = next(download.found(archives.CIFAR10N, [HOME]), None)


@pytest.mark.skipif(PEOPLE is None, reason=f"CIFAR-10_human.pt is not in {HOME}")
@pytest.mark.parametrize("which", datasets.HUMAN_LABELS)
def test_people_are_wrong_as_often_as_was_published(cifar10, which):
    people = Regime(label_corruption=1.0, label_noise="human", human_labels=which)
    noisy = corrupt(datasets.load(people), people)
    wrong = noisy.y_train != cifar10.y_train
    assert round(100 * wrong.mean(), 2) == RATES[which]
    few = dataclasses.replace(people, train_size=1000)
    part = corrupt(datasets.load(few), few)
    assert (part.y_train == noisy.y_train[part.index]).all()
    assert (part.y_train_true == cifar10.y_train[part.index]).all()

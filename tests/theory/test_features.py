"""Gabor wavelets and random convolutions, on one image, against SciPy and loops."""

import numpy as np
import pytest
import scipy.signal

from common.sources import synthetic
from common.theory import features


@pytest.fixture(scope="module")
def images():
    return synthetic.images(range(30))[0]


def test_gabor_of_one_image(images):
    gray = images[0].mean(-1) / 255
    maps = []
    for even, odd in features.gabor_bank():
        for k in range(features.ORIENTATIONS):
            # A network's convolution is a correlation.
            pair = [scipy.signal.correlate2d(gray, f[..., 0, k], "same")
                    for f in (even, odd)]  # fmt: skip
            maps.append(np.hypot(*pair))
    pooled = [
        [[m[r : r + 8, c : c + 8].mean() for m in maps] for c in range(0, 25, 4)]
        for r in range(0, 25, 4)
    ]
    result = features.gabor(images[:3])
    assert result.shape == (3, 7 * 7 * 24) and result.dtype == np.float32
    np.testing.assert_allclose(result[0], np.ravel(pooled), atol=1e-5)


def test_gabor_filters_see_their_direction_and_no_brightness():
    (even, odd), *_ = features.gabor_bank()
    for bank in features.gabor_bank():
        for f in bank:
            np.testing.assert_allclose(f.sum((0, 1)), 0, atol=1e-6)
    # A grating across x answers the filter of angle 0 most, that of 90 degrees least.
    x = np.arange(32) * 2 * np.pi / features.WAVELENGTHS[0]
    grating = np.tile(np.cos(x), (32, 1))
    size = [
        np.hypot(*(scipy.signal.correlate2d(grating, f[..., 0, k], "valid")
                   for f in (even, odd))).mean()
        for k in range(features.ORIENTATIONS)
    ]  # fmt: skip
    assert np.argmax(size) == 0 and np.argmin(size) == 4
    assert size[0] == pytest.approx(0.5, rel=0.05)  # amplitude 1 halved


def test_random_convolution_of_one_image(images):
    layer = features.RandomConvolution(images, seed=3)
    filters, offsets = layer.filters(0, 5)
    result = layer.responses(images[:2], filters, offsets).reshape(2, 2, 2, 2, 5)
    image = images[1].astype(np.float64)
    r = np.empty((27, 27, 5))
    for i in range(27):
        for j in range(27):
            patch = image[i : i + 6, j : j + 6].ravel()
            patch = (patch - patch.mean()) / np.sqrt(patch.var() + 10)
            r[i, j] = patch @ filters - offsets
    for side, sign in enumerate((1, -1)):
        rectified = np.maximum(sign * r - 0.25, 0)
        for row, rows in enumerate((slice(0, 14), slice(13, 27))):
            for column, columns in enumerate((slice(0, 14), slice(13, 27))):
                expected = rectified[rows, columns].mean((0, 1))
                np.testing.assert_allclose(
                    result[1, side, row, column], expected, atol=1e-4
                )


def test_patches_are_whitened_and_filters_have_unit_length(images):
    layer = features.RandomConvolution(images, seed=0)
    patches = layer._normalized(layer._sample(images, 50_000, 9)).astype(np.float64)
    white = (patches - layer.mean) @ layer.whitening
    values = np.linalg.eigvalsh(np.cov(white, rowvar=False))
    raw = np.linalg.eigvalsh(np.cov(patches, rowvar=False))
    np.testing.assert_allclose(values, np.sort(raw / (raw + 0.1)), atol=0.1)
    kernels, offsets = layer.filters(0, 4)
    directions = np.linalg.solve(layer.whitening, kernels)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=0), 1)
    np.testing.assert_allclose(offsets, layer.mean @ kernels)


def test_filters_do_not_depend_on_how_many_follow(images):
    layer = features.RandomConvolution(images, seed=0)
    many = layer.filters(0, 230)[0]
    np.testing.assert_allclose(layer.filters(90, 120)[0], many[:, 90:120], atol=1e-12)
    assert len(np.unique(many.round(6), axis=1).T) > 225  # few images
    other = features.RandomConvolution(images, seed=1).filters(0, 230)[0]
    assert abs(other - many).max() > 0.1


def test_standardized_on_the_training_images(images):
    layer = features.RandomConvolution(images[:20], seed=0)
    train, test = layer.pair(images[:20], images[20:], 0, 3)
    assert train.shape == (20, 24) and test.shape == (10, 24)
    np.testing.assert_allclose(train.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(train.var(0), 1, rtol=1e-3)
    alone = layer.pair(images[:20], images[20:21], 0, 3)[1]
    np.testing.assert_allclose(alone, test[:1], atol=1e-4)


def test_rms_distance():
    points = np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32)
    pairs = points[:, None] - points[None]
    expected = np.sqrt((pairs**2).sum(-1).mean())
    assert features.rms_distance(points) == pytest.approx(expected, rel=1e-5)

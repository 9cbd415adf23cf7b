"""Random features: fits against numpy.linalg.lstsq, draws, the kernel they tend to."""

import numpy as np
import pytest

from common import datasets
from common.cli import MendableError
from common.theory import features, leave_one_out, random_features
from common.theory.random_features import Draw


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(random_features, "BLOCK", 32)


@pytest.fixture(scope="module")
def images():
    data = datasets.named("mnist_5k", 100)
    points = features.unit(data.x_train).astype(float)
    return points[:70], points[70:], np.eye(10)[data.y_train[:70]]


def whole(draw, x, count):
    parts = [draw.block(x, first) for first in random_features.blocks([count])]
    return np.concatenate(parts, 1)[:, :count]


# Fewer than the images, as many, few more (a QR each), many more (Gram matrices).
NUMBERS = (1, 33, 69, 70, 71, 73, 74, 96, 300)


@pytest.mark.parametrize("kind", random_features.KINDS)
def test_fits_are_those_of_lstsq(kind, images):
    train, test, y = images
    draw = Draw(kind, 784, 0.02, 0, 0)
    found = random_features.fits(draw, train, test, y, NUMBERS)
    assert tuple(found) == NUMBERS
    for count, fit in found.items():
        f, new = whole(draw, train, count), whole(draw, test, count)
        weights, _, rank, values = np.linalg.lstsq(f, y, rcond=None)
        np.testing.assert_allclose(fit.squares, (weights**2).sum(0), rtol=1e-7)
        np.testing.assert_allclose(fit.fitted, f @ weights, atol=1e-9)
        np.testing.assert_allclose(fit.scores, new @ weights, atol=1e-7)
        exact = (values[0] / values[rank - 1]) ** 2
        assert exact / 30 < fit.condition < 3000 * exact
        if count >= 70:
            np.testing.assert_allclose(fit.fitted, y, atol=1e-7)


def test_a_feature_that_no_image_activates_has_no_weight(images):
    train, test, y = images

    class Dead(Draw):
        def block(self, x, first):
            made = super().block(x, first)
            made[:, ::3] = 0
            return made

    draw = Dead("relu", 784, None, 0, 0)
    found = random_features.fits(draw, train, test, y, (1, 40, 70))
    for count, fit in found.items():
        f = whole(draw, train, count)
        exact = f @ np.linalg.lstsq(f, y, rcond=None)[0]
        np.testing.assert_allclose(fit.fitted, exact, atol=1e-9)


def test_features_that_depend_on_each_other_share_the_smallest_norm(images):
    train, test, y = images

    class Few(Draw):
        """Each eighth feature is active on one image alone, others are sums."""

        def block(self, x, first):
            made = super().block(x, first)
            made[:, 5::8] = 0
            made[3, 5::8] = np.arange(1, 5) / 100
            made[:, 7::8] = made[:, 1:3] @ np.array([[1, 2, 0, 1], [1, 0, -3, 1]])
            return made

    two_images = np.tile(train[:2], (35, 1))
    for draw, x in (
        (Few("relu", 784, None, 0, 0), train),
        (Draw("fourier", 784, 0.02, 0, 0), two_images),
    ):
        found = random_features.fits(draw, x, test, y, (1, 8, 40, 69, 70))
        for count, fit in found.items():
            f, new = whole(draw, x, count), whole(draw, test, count)
            weights, _, rank, _ = np.linalg.lstsq(f, y, rcond=None)
            assert rank < count or count == 1
            np.testing.assert_allclose(fit.squares, (weights**2).sum(0), rtol=1e-7)
            np.testing.assert_allclose(fit.fitted, f @ weights, atol=1e-9)
            np.testing.assert_allclose(fit.scores, new @ weights, atol=1e-7)


@pytest.mark.parametrize("number", [72, 90])
def test_examples_that_depend_on_each_other_are_refused(number, images):
    train, test, y = images
    twice = np.repeat(train[:35], 2, axis=0)  # each image with two labels
    with pytest.raises(MendableError, match=f"{number} features are too close to dep"):
        draw = Draw("fourier", 784, 0.02, 0, 0)
        random_features.fits(draw, twice, test, y, (number,))


def test_fourier_features_tend_to_the_gaussian_kernel(images):
    x, count = images[0], 20_000
    draw = Draw("fourier", 784, 0.02, 1, 0)
    f = whole(draw, x, count) / draw.scale(count)
    # Each entry is the mean of count / 2 cosines, of variance 1/2 at most.
    off = f @ f.T - leave_one_out.gaussian(x, 0.02)
    assert abs(off).max() < 5 * np.sqrt(0.5 / (count / 2))
    np.testing.assert_allclose(np.diag(f @ f.T), 1, rtol=1e-12)


def test_relu_directions_are_of_unit_length(images):
    x = np.eye(784)
    draw = Draw("relu", 784, None, 0, 0)
    squares = (draw.block(x, 0) - draw.block(-x, 0)) ** 2
    np.testing.assert_allclose(squares.sum(0), 1, rtol=1e-12)


def test_draws_differ_and_are_made_again_alike(images):
    x = images[0][:3]
    first = Draw("fourier", 784, 0.02, 0, 0)
    np.testing.assert_array_equal(first.block(x, 32), first.block(x, 32))
    for other in (Draw("fourier", 784, 0.02, 0, 1), Draw("fourier", 784, 0.02, 1, 0)):
        assert abs(first.block(x, 32) - other.block(x, 32)).max() > 0.1
    assert abs(first.block(x, 0) - first.block(x, 32)).max() > 0.1


def line(draw, count, test, train, norm, p=0.0):
    return {
        "label_corruption": p,
        "draw": draw,
        "num_features": count,
        "train_error": train,
        "test_error": test,
        "rkhs_norm": norm,
    }


def test_what_a_curve_shows_is_said():
    curve = [(5, 0.2, 0.1, 3), (10, 0.1, 0.05, 9), (100, 0.8, 0, 90), (600, 0.05, 0, 8)]
    rows = [line(draw, *point) for draw in (0, 1) for point in curve]
    rows += [line(0, 5, 0.9, 0.9, 1, 1.0)]
    assert random_features.verdict(rows, 100) == (
        "100 images, 2 draws of random features: the test error is 20.00 % with 5, "
        "80.00 % with 100, 5.00 % with 600; on the right of that peak it ends lower "
        "than the least on its left, 10.00 % with 10. All training labels are "
        "reproduced from 100 features on. Norm there: 3, 90, 8."
    )
    falling = [line(0, 5, 0.2, 0.1, 3), line(0, 10, 0.1, 0.05, 9)]
    assert random_features.verdict(falling, 100) == (
        "100 images, 1 draw of random features: the test error is 20.00 % with 5, "
        "10.00 % with 10. Norm there: 3, 9."
    )

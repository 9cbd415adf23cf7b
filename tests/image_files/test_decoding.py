"""One image: on pictures whose every pixel is known by its place."""

import io

import numpy as np
import pytest
from PIL import Image

from common import augmentations
from common.image_files import decoding

SIZE = 75
SHAPES = ((90, 120), (300, 200), (1000, 1400))  # decoded whole, halved, at 1/8


def picture(height, width, mode="RGB", kind="JPEG"):
    """Red grows from left to right, green from top to bottom."""
    x = np.broadcast_to((np.arange(width) + 0.5) / width, (height, width))
    y = np.broadcast_to((np.arange(height)[:, None] + 0.5) / height, (height, width))
    pixels = np.stack([x, y, 0.5 * np.ones_like(x)], axis=-1) * 255
    content = io.BytesIO()
    image = Image.fromarray(pixels.round().astype(np.uint8)).convert(mode)
    image.save(content, kind, **({"quality": 95} if kind == "JPEG" else {}))
    return content.getvalue()


def drawn(seed=0):
    """What `streaming` draws for one image."""
    parameters = augmentations.draw(("crop", "flip", "color"), 1, seed, 0)
    numbers = np.zeros(decoding.DRAWN, np.float32)
    numbers[:4] = 0.3, 0.6, 0.2, 1.2
    numbers[4] = 1
    numbers[5:7] = parameters["color"][0, :2]
    numbers[7:] = augmentations.color_matrices(parameters["color"]).ravel()
    return numbers, parameters["color"]


@pytest.fixture(params=["tensorflow", "pillow"])
def decode(request, monkeypatch):
    if request.param == "pillow":
        monkeypatch.setattr(decoding, "tf", None)
    return lambda *args, **more: np.asarray(decoding.decode(*args, **more))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("crop", [False, True])
def test_every_pixel_shows_its_place_in_the_box(decode, shape, kind, crop):
    numbers, augment = (drawn()[0], ("crop",)) if crop else (None, ())
    image = decode(picture(*shape, kind=kind), SIZE, numbers, augment)
    assert image.shape == (SIZE, SIZE, 3) and image.dtype == np.float32
    top, left, height, width = 0.0625, 0.0625, 0.875, 0.875
    if crop:
        top, left, height, width = decoding.box(*shape, numbers)
        # By hand: area and aspect in pixels, and the share of what fits.
        tall, wide = height * shape[0], width * shape[1]
        ratio = 1.2 * shape[0] / shape[1]
        largest = min(ratio, 1 / ratio)
        assert wide / tall == pytest.approx(1.2)
        assert height * width == pytest.approx(0.08 + 0.2 * (largest - 0.08))
        assert top / (1 - height) == pytest.approx(0.3)
        assert left / (1 - width) == pytest.approx(0.6)
    place = (np.arange(SIZE) + 0.5) / SIZE
    red, green, blue = (127.5 * (np.moveaxis(image, -1, 0) + 1)) / 255
    # A window has whole pixels, of 1/8 of the image at the worst.
    tolerance = 0.02
    np.testing.assert_allclose(red - (left + width * place), 0, atol=tolerance)
    np.testing.assert_allclose(green.T - (top + height * place), 0, atol=tolerance)
    np.testing.assert_allclose(blue, 0.5, atol=tolerance)


def test_flip_and_colour_are_those_of_arrays_in_memory(decode):
    numbers, color = drawn(3)
    content = picture(100, 100)
    plain = (decode(content, SIZE) + 1) * 127.5
    parameters = {"flip": np.ones(1), "color": color}
    expected = augmentations.apply(plain[None], parameters, SIZE)[0] / 127.5 - 1
    image = decode(content, SIZE, numbers, ("flip", "color"))
    assert np.abs(expected - (plain / 127.5 - 1)).max() > 0.2
    np.testing.assert_allclose(image, expected, atol=1e-4)
    flipped = decode(content, SIZE, numbers, ("flip",))
    np.testing.assert_allclose(flipped, (plain / 127.5 - 1)[:, ::-1], atol=1e-6)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_become_rgb(decode, mode):
    image = decode(picture(100, 80, mode), SIZE)
    assert image.shape == (SIZE, SIZE, 3)
    if mode == "L":
        np.testing.assert_array_equal(image[..., 0], image[..., 2])
    else:
        assert image[-1, -1, 0] > 0.5 > image[0, 0, 0]


def test_what_is_no_image_is_an_error(decode):
    with pytest.raises((*decoding.ERRORS, OSError)):
        decode(b"not an image", SIZE)
    with pytest.raises((*decoding.ERRORS, OSError)):
        decode(picture(100, 100)[:200], SIZE)


@pytest.mark.parametrize("shape", [(100, 100), (375, 500), (50, 2000)])
def test_boxes_cover_the_published_ranges(shape):
    rng = np.random.default_rng(0)
    u = rng.random((20_000, 4)).T
    u[3] = np.exp(rng.uniform(*np.log(decoding.ASPECT), 20_000))
    top, left, height, width = decoding.box(*shape, u)
    for start, extent in ((top, height), (left, width)):
        assert start.min() >= 0 and (start + extent).max() <= 1 + 1e-9
    aspect = width * shape[1] / (height * shape[0])
    assert 3 / 4 <= aspect.min() < 0.76 and 1.32 < aspect.max() <= 4 / 3 + 1e-9
    assert np.median(aspect) == pytest.approx(1, abs=0.01)
    area = height * width
    if shape != (50, 2000):  # where no box of 8 % has such an aspect
        assert 0.08 <= area.min() < 0.081
    if shape == (100, 100):
        assert area.max() > 0.98

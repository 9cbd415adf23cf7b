"""One image: on pictures whose every pixel is known by its place."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
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


def saved(image, kind="PNG", **more):
    content = io.BytesIO()
    image.save(content, kind, **more)
    return content.getvalue()


PLAIN = {  # images of one colour, and that colour
    "16 bits": (
        saved(Image.fromarray(np.full((60, 60), 0x4080, np.uint16))),
        (64, 64, 64),
    ),
    "8 bits": (saved(Image.new("L", (60, 60), 64)), (64, 64, 64)),
    "1 bit": (saved(Image.new("1", (60, 60), 1)), (255, 255, 255)),
    "grey, transparent": (saved(Image.new("LA", (60, 60), (64, 9))), (64, 64, 64)),
    "transparent": (saved(Image.new("RGBA", (60, 60), (64, 9, 200, 3))), (64, 9, 200)),
    "palette": (
        saved(Image.new("RGB", (60, 60), (64, 9, 200)).quantize(), transparency=0),
        (64, 9, 200),
    ),
    "gif": (saved(Image.new("RGB", (60, 60), (64, 9, 200)), "GIF"), (64, 9, 200)),
    "animated": (
        saved(
            Image.new("RGB", (60, 60), (64, 9, 200)),
            "GIF",
            save_all=True,
            append_images=[Image.new("RGB", (60, 60), (1, 99, 2))],
        ),
        (64, 9, 200),
    ),
    "bmp": (saved(Image.new("RGB", (60, 60), (64, 9, 200)), "BMP"), (64, 9, 200)),
}


@pytest.mark.parametrize("kind", PLAIN)
def test_a_colour_is_the_same_whatever_the_file_and_the_decoder(decode, kind):
    content, colour = PLAIN[kind]
    image = (decode(content, SIZE) + 1) * 127.5
    np.testing.assert_allclose(image, np.broadcast_to(colour, image.shape), atol=1)


def announcing(width, height):
    """A PNG file that says it is so large, and holds less."""

    def chunk(name, content):
        check = zlib.crc32(name + content)
        return (
            struct.pack(">I", len(content)) + name + content + check.to_bytes(4, "big")
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(*x) for x in ((b"IHDR", header), (b"IDAT", b"x"), (b"IEND", b""))
    )


def large_jpeg():
    content = saved(Image.new("RGB", (64, 64)), "JPEG")
    start = content.index(b"\xff\xc0") + 5  # of the frame: its height and width
    return content[:start] + struct.pack(">HH", 60_000, 60_000) + content[start + 4 :]


HUGE = {
    "png": announcing(16_000, 16_000),
    "largest png": announcing(2**31 - 1, 2**31 - 1),
    "a little more": announcing(decoding.MOST + 1, 1),
    "jpeg": large_jpeg(),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", HUGE)
def test_huge_images_are_refused_before_they_take_memory(decode, kind):
    with pytest.raises((*decoding.ERRORS, OSError)) as caught:
        decode(HUGE[kind], SIZE)
    said = decoding.reason(caught.value)
    assert "more than 89 megapixels" in said or "exceeds limit of 178956970" in said


def test_huge_images_are_refused_in_a_graph_before_they_are_decoded():
    decode = tf.function(lambda content: decoding.decode(content, SIZE))
    assert decode(tf.constant(PLAIN["16 bits"][0])).shape == (SIZE, SIZE, 3)
    for content in HUGE.values():
        with pytest.raises(tf.errors.InvalidArgumentError, match="89 megapixels"):
            decode(tf.constant(content))


@pytest.mark.parametrize(
    ("kind", "more"),
    [("PNG", {}), ("GIF", {}), ("BMP", {}), ("WEBP", {}), ("WEBP", {"lossless": True})],
)
def test_the_size_that_a_header_announces(kind, more):
    for mode in ("RGB", "RGBA"):
        content = saved(Image.new(mode, (61, 47)), kind, **more)
        assert decoding.announced(content) == 61 * 47
    for end in range(30):
        assert decoding.announced(content[:end]) in (0, 61 * 47)


@pytest.mark.parametrize(
    "content", [b"<html>", b"", saved(Image.new("L", (60, 60)), "TIFF")]
)
def test_what_is_said_of_no_image(decode, content):
    with pytest.raises((*decoding.ERRORS, OSError)) as caught:
        decode(content, SIZE)
    said = decoding.reason(caught.value)
    assert 10 < len(said) < 200 and not {"\n", "{", "["} & {*said}


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

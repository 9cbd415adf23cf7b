"""One image: from its encoded bytes to the square that a network is fed.

By TensorFlow where it is installed, in a tf.data graph as well, else by Pillow.
"""

import functools
import io
import math
import re
import struct

import numpy as np

from common import augmentations
from common.cli import MendableError

try:
    import tensorflow as tf
except ImportError:  # KERAS_BACKEND=jax on a machine without TensorFlow
    tf = None

# Szegedy et al. 2014 (arXiv 1409.4842), section 6: 8 % to 100 % of the area, aspect
# (width / height) from 3/4 to 4/3; the colours' ranges are those of `augmentations`.
AREA, ASPECT = 0.08, (3 / 4, 4 / 3)
CENTRE = 0.875  # of each side: the crop where nothing is drawn
DRAWN = 16  # numbers: see `decode`
MOST = 89_478_485  # pixels that are decoded: 1/4 GiB, where Pillow warns too
ERRORS = (tf.errors.OpError if tf else OSError,)  # that `decode` raises
_FORMATS = "JPEG", "PNG", "GIF", "BMP", "WEBP"  # those of TensorFlow
_TOO_LARGE = f"an image of more than {MOST / 1e6:.0f} megapixels"
_NO_IMAGE = f"it is none of {', '.join(_FORMATS)}, or its header is damaged"
_RATIOS = (1, 2, 4, 8)  # a JPEG decodes to 1 / ratio of its sides, and much faster


def decode(content, size, drawn=None, augment=()):
    """Decodes an image, cuts a box out of it and squeezes that to a square.

    Args:
        content: Bytes of a JPEG or PNG file, or a scalar string tensor.
        size: Side of the result, in pixels.
        drawn: `(16,)` float32: top and left of the box as shares of the room there is,
            its area as a share of what fits, its aspect; flip (0 or 1); brightness,
            contrast, and the 3 x 3 of `augmentations.color_matrices`. Only what is in
            `augment` is read.
        augment: Tuple of `augmentations.IN_FILES`; the box is the centre without
            `crop`.

    Returns:
        `(size, size, 3)` float32 in [-1, 1]: a tensor, or an array without TensorFlow.
        Pillow smooths where it makes smaller, and the two differ by that.

    Raises:
        tf.errors.OpError: If it is no such file, or has more than `MOST` pixels
            (without TensorFlow: OSError).
        MendableError: If neither TensorFlow nor Pillow is installed.
    """
    method = _with_pillow if tf is None else _with_tensorflow
    return method(content, size, drawn, augment)


def reason(error):
    """Returns what an error that `decode` raised says, without TensorFlow's context."""
    said = re.sub(r"\{\{.*?\}\} *|\[Op:.*| <_io.*?>", "", str(error)).strip()
    return said.splitlines()[0].strip()[:200] if said else type(error).__name__


def announced(content):
    """Returns how many pixels the header of a PNG, GIF, BMP or WebP file announces.

    np.int64; 0 where it is none of them.
    """
    if not isinstance(content, bytes):  # as `numpy_function` has it outside of a graph
        content = content.item()
    try:
        if content.startswith(b"\x89PNG"):
            width, height = struct.unpack_from(">II", content, 16)
        elif content.startswith(b"GIF8"):
            width, height = struct.unpack_from("<HH", content, 6)
        elif content.startswith(b"BM"):
            width, height, _, bits = struct.unpack_from("<iiHH", content, 18)
            if bits < 24:  # TensorFlow shows the numbers of a palette
                return np.int64(0)
        elif content[12:16] == b"VP8X":
            low, high, low_2, high_2 = struct.unpack_from("<HBHB", content, 24)
            width, height = 1 + low + (high << 16), 1 + low_2 + (high_2 << 16)
        elif content[12:16] == b"VP8L":
            (bits,) = struct.unpack_from("<I", content, 21)
            width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        elif content[12:16] == b"VP8 ":
            width, height = (x & 0x3FFF for x in struct.unpack_from("<HH", content, 26))
        else:
            return np.int64(0)
    except struct.error:
        return np.int64(0)
    return np.int64(min(abs(width * height), 1 << 62))


def box(height, width, drawn=None, xp=np):
    """Returns (top, left, height, width) of a crop, as shares of the image.

    Args:
        height, width: Of the image, in pixels.
        drawn: Numbers as in `decode`, or `None` for the centre.
        xp: `numpy` or `tensorflow`.
    """
    if drawn is None:
        return (1 - CENTRE) / 2, (1 - CENTRE) / 2, CENTRE, CENTRE
    ratio = drawn[3] * height / width  # of the box's two shares
    largest = xp.minimum(ratio, 1 / ratio)  # beyond it one share is more than 1
    smallest = xp.minimum(AREA, largest)
    area = smallest + drawn[2] * (largest - smallest)
    shares = xp.sqrt(area / ratio), xp.sqrt(area * ratio)
    return drawn[0] * (1 - shares[0]), drawn[1] * (1 - shares[1]), *shares


def _with_tensorflow(content, size, drawn, augment):
    """Decodes no more of a JPEG than is shown, nor larger than it is shown."""

    def window(shape, ratio=1):
        shares = tf.stack(box(*tf.unstack(shape), chosen, tf))
        shape = tf.math.ceil(shape / ratio)  # as libjpeg rounds
        start = tf.floor(shares[:2] * shape)
        extent = tf.clip_by_value(tf.round(shares[2:] * shape), 1, shape - start)
        return tf.cast(tf.concat([start, extent], 0), tf.int32)

    def small(pixels):  # runs before anything is decoded
        check = tf.debugging.assert_less_equal(
            pixels, tf.constant(MOST, tf.int64), _TOO_LARGE
        )
        return tf.control_dependencies([check] if check is not None else [])

    def jpeg():
        shape = tf.io.extract_jpeg_shape(content)[:2]
        with small(tf.reduce_prod(tf.cast(shape, tf.int64))):
            shape = tf.cast(shape, tf.float32)
        shown = tf.cast(tf.reduce_min(window(shape)[2:]), tf.float32)
        which = tf.reduce_sum(
            [tf.cast(shown >= r * size, tf.int32) for r in _RATIOS[1:]]
        )
        part = window(shape, tf.gather(tf.constant(_RATIOS, tf.float32), which))

        def decode(ratio):
            return tf.image.decode_and_crop_jpeg(content, part, channels=3, ratio=ratio)

        return tf.switch_case(
            which, [functools.partial(decode, ratio) for ratio in _RATIOS]
        )

    def other():
        pixels = tf.numpy_function(announced, [content], tf.int64)
        tf.debugging.assert_positive(pixels, _NO_IMAGE)
        with small(pixels):
            image = tf.io.decode_image(content, channels=3, expand_animations=False)
        shape = tf.cast(tf.shape(image)[:2], tf.float32)
        top, left, height, width = tf.unstack(window(shape))
        return image[top : top + height, left : left + width]

    chosen = drawn if "crop" in augment else None
    image = tf.cond(tf.io.is_jpeg(content), jpeg, other)
    image = tf.image.resize(tf.ensure_shape(image, [None, None, 3]), (size, size))
    if "flip" in augment:
        flipped = functools.partial(tf.reverse, image, [1])  # a slice: ten times slower
        image = tf.cond(drawn[4] > 0, flipped, lambda: image)
    if "color" in augment:  # as `augmentations.apply`
        grey = tf.reduce_sum(tf.reduce_mean(image, (0, 1)) * augmentations.LUMA)
        pixels = tf.reshape(image, (-1, 3))
        pixels = tf.matmul(pixels, tf.reshape(drawn[7:], (3, 3)), transpose_b=True)
        pixels = tf.clip_by_value(pixels + (1 - drawn[6]) * grey + drawn[5], 0, 255)
        image = tf.reshape(pixels, (size, size, 3))
    return image / 127.5 - 1


def _with_pillow(content, size, drawn, augment):
    try:
        from PIL import Image
    except ImportError:
        raise MendableError(
            "images are decoded by TensorFlow or by pillow, and neither is installed. "
            "Run: pip install pillow"
        ) from None
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            width, height = image.size
            if width * height > MOST:
                raise OSError(_TOO_LARGE)
            chosen = drawn if "crop" in augment else None
            top, left, tall, wide = box(height, width, chosen)
            image.draft("RGB", (math.ceil(size / wide), math.ceil(size / tall)))
            edges = np.array([left, top, left + wide, top + tall]) * (image.size * 2)
            edges = np.minimum(edges, image.size * 2)  # but for what was rounded
            if image.mode.startswith("I"):  # 16 bits, of which Pillow would clip 8
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            image = image.convert("RGB").resize((size, size), Image.BILINEAR, edges)
    except Exception as error:  # damaged files raise a dozen types
        raise OSError(reason(error)) from error
    image = np.asarray(image, np.float32)
    if "flip" in augment and drawn[4]:
        image = image[:, ::-1]
    if "color" in augment:
        grey = image.mean((0, 1)) @ augmentations.LUMA.astype(np.float32)
        image = image @ drawn[7:].reshape(3, 3).T + (1 - drawn[6]) * grey + drawn[5]
        image = image.clip(0, 255)
    return image / np.float32(127.5) - 1

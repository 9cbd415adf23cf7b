"""Augmentations against slicing, SciPy, Pillow, colorsys and known geometry."""

import colorsys

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from scipy.ndimage import gaussian_filter, map_coordinates

from common import augmentations
from common.augmentations import NAMES, apply, centre_crop, draw


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)


def color(n, brightness=0.0, contrast=1.0, saturation=1.0, hue=0.0):
    return {"color": np.tile([brightness, contrast, saturation, hue], (n, 1))}


# Draws


def test_draws_are_a_function_of_seed_and_epoch():
    first, again = draw(NAMES, 50, 1, 2), draw(NAMES, 50, 1, 2)
    for name in NAMES:
        assert len(first[name]) == 50
        np.testing.assert_array_equal(first[name], again[name])
        for seed, epoch in ((1, 3), (2, 2), (2, 1)):
            assert (first[name] != draw([name], 50, seed, epoch)[name]).any()


@pytest.mark.parametrize("name", NAMES)
def test_draws_of_one_do_not_depend_on_the_others(name):
    alone = draw((name,), 50, 1, 2)[name]
    np.testing.assert_array_equal(alone, draw(NAMES[::-1], 50, 1, 2)[name])


def test_draws_of_different_augmentations_are_unrelated():
    streams = augmentations._STREAMS
    assert streams.keys() == set(NAMES) and len(set(streams.values())) == len(NAMES)
    drawn = draw(NAMES, 5000, 0, 0)
    columns = np.concatenate([v.reshape(5000, -1) for v in drawn.values()], axis=1)
    correlation = np.corrcoef(columns, rowvar=False) - np.eye(columns.shape[1])
    # Height and width of one rectangle are related: both are 0 where none is drawn.
    height = 2 + 1 + 1 + 8
    assert correlation[height, height + 1] > 0.1
    correlation[[height, height + 1], [height + 1, height]] = 0
    assert np.abs(correlation).max() < 5 / np.sqrt(5000)


def test_draws_fill_their_ranges():
    drawn = draw(NAMES, 20000, 0, 0)
    assert drawn["flip"].mean() == pytest.approx(0.5, abs=0.02)
    degrees = np.rad2deg(drawn["rotate"])
    assert -25 <= degrees.min() < -24.9 and 24.9 < degrees.max() <= 25
    corners = drawn["perspective"]
    assert -0.15 <= corners.min() < -0.149 and 0.149 < corners.max() <= 0.15
    low, high = drawn["color"].min(0), drawn["color"].max(0)
    np.testing.assert_allclose(low, [-32, 0.5, 0.5, -0.201], atol=0.02)
    np.testing.assert_allclose(high, [32, 1.5, 1.5, 0.201], atol=0.02)


def test_unknown_name():
    with pytest.raises(ValueError, match="received {'cutout'}; accepted .*'crop'"):
        draw(("crop", "cutout"), 10, 0, 0)


# Crop and flip


def test_crop_and_flip_equal_slicing(images):
    offsets = np.array([divmod(k, 5) for k in range(24)])
    flips = np.arange(24) % 3 == 0
    parameters = {"crop": (offsets + 0.5) / 5, "flip": flips.astype(int)}
    cropped = apply(images, parameters)
    assert cropped.dtype == np.uint8
    for image, (top, left), flip, result in zip(
        images, offsets, flips, cropped, strict=True
    ):
        expected = image[top : top + 28, left : left + 28]
        np.testing.assert_array_equal(result, expected[:, ::-1] if flip else expected)


def test_every_offset_occurs_equally_often_within_a_batch():
    n = 5000
    # Each pixel holds its own position, so that the corner tells the offset.
    position = np.arange(32 * 32, dtype=np.float32).reshape(1, 32, 32, 1)
    images = np.broadcast_to(position, (n, 32, 32, 1))
    corner = apply(images, draw(("crop",), n, 0, 0))[:, 0, 0, 0].astype(int)
    offsets, counts = np.unique(corner, return_counts=True)
    assert set(offsets) == {32 * top + left for top in range(5) for left in range(5)}
    chi_squared = ((counts - n / 25) ** 2 / (n / 25)).sum()
    assert chi_squared < 51.2  # 24 degrees of freedom: p = 0.001


def test_largest_share_stays_within_the_image(images):
    cropped = apply(images, {"crop": np.ones((24, 2), np.float32)})
    np.testing.assert_array_equal(cropped, images[:, 4:, 4:])


def test_without_crop_the_centre_is_taken(images):
    centre = images[:, 2:30, 2:30]
    np.testing.assert_array_equal(centre_crop(images), centre)
    np.testing.assert_array_equal(apply(images, {}), centre)
    flipped = apply(images, {"flip": np.ones(24, int)})
    np.testing.assert_array_equal(flipped, centre[:, :, ::-1])


def test_rectangular_images():
    images = np.random.default_rng(0).random((2, 40, 33, 1), np.float32)
    cropped = apply(images, {"crop": np.array([[0.999, 0.0], [0.0, 0.999]])}, size=30)
    np.testing.assert_array_equal(cropped[0], images[0, 10:, :30])
    np.testing.assert_array_equal(cropped[1], images[1, :30, 3:])
    turned = apply(images, {"rotate": np.full(2, np.pi / 2)}, size=30)
    expected = np.rot90(centre_crop(images, 30), axes=(1, 2))
    np.testing.assert_allclose(turned, expected, atol=1e-5)


def test_crop_larger_than_the_image(images):
    with pytest.raises(ValueError, match="size=40"):
        apply(images, {}, size=40)


# Rotation and perspective


def test_no_rotation_and_no_displacement_are_the_crop(images):
    drawn = draw(("crop", "flip"), 24, 0, 0)
    still = {"rotate": np.zeros(24), "perspective": np.zeros((24, 4, 2))}
    for parameters in ({"rotate": still["rotate"]}, still):
        warped = apply(images, drawn | parameters)
        assert warped.dtype == np.float32
        np.testing.assert_allclose(warped, apply(images, drawn), atol=1e-3)


@pytest.mark.parametrize("turns", (1, 2, 3))
def test_quarter_turns_equal_rot90(images, turns):
    turned = apply(images, {"rotate": np.full(24, turns * np.pi / 2)})
    expected = np.rot90(centre_crop(images), turns, axes=(1, 2))
    np.testing.assert_allclose(turned, expected, atol=1e-3)


def test_rotation_equals_scipy(images):
    """Around the crop's own centre, in the whole image, mirrored at its edges."""
    n = len(images)
    offsets = np.array([divmod(k, 5) for k in range(n)])
    angles = np.linspace(-0.26, 0.26, n)
    warped = apply(images, {"crop": (offsets + 0.5) / 5, "rotate": angles})
    row, column = np.mgrid[:28, :28] - 13.5
    for image, offset, angle, result in zip(
        images, offsets, angles, warped, strict=True
    ):
        # The image turns counterclockwise, so that the source point turns clockwise
        # from the output's (rows point down).
        source = (column + 1j * -row) * np.exp(-1j * angle)
        where = [-source.imag + 13.5 + offset[0], source.real + 13.5 + offset[1]]
        for channel in range(3):
            plane = image[..., channel].astype(float)
            expected = map_coordinates(plane, where, order=1, mode="mirror")
            np.testing.assert_allclose(result[..., channel], expected, atol=1e-3)


def test_known_homography_is_recovered():
    known = np.array([[1.1, 0.05, 0.02], [-0.04, 0.9, 0.03], [0.1, -0.2, 1.0]])
    corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    mapped = np.c_[corners, np.ones(4)] @ known.T
    displacements = mapped[:, :2] / mapped[:, 2:] - corners
    still = np.zeros_like(displacements)
    found = augmentations._homographies(
        {"perspective": np.stack([still, displacements])}, 2
    )
    np.testing.assert_allclose(found, [np.eye(3), known], atol=1e-12)


def test_perspective_equals_pillow():
    rng = np.random.default_rng(1)
    image = gaussian_filter(rng.random((28, 28)), 2)
    image = (255 * (image - image.min()) / np.ptp(image)).astype(np.uint8)
    inward = np.array([[3, 1], [-2, 4], [-1, -3], [2, -4]]) / 28  # no fill needed
    warped = apply(image[None, :, :, None], {"perspective": inward[None]})
    # Pillow's coefficients, by least squares, in pixels with the centre of the first
    # at 1/2: a formulation of its own.
    corners = np.array([[0, 0], [28, 0], [28, 28], [0, 28]])
    rows, values = [], []
    for (x, y), (u, v) in zip(corners, corners + 28 * inward, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    coefficients = np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0]
    expected = Image.fromarray(image).transform(
        (28, 28), Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR
    )
    difference = np.abs(warped[0, :, :, 0] - np.asarray(expected, float))
    assert difference.max() <= 1.01  # Pillow rounds down to integers


def test_warped_image_is_flipped_last(images):
    drawn = draw(("crop", "rotate", "perspective"), 24, 0, 0)
    flipped = apply(images, drawn | {"flip": np.ones(24, int)})
    np.testing.assert_allclose(flipped, apply(images, drawn)[:, :, ::-1], atol=1e-3)


def test_warp_uses_the_pixels_around_the_crop():
    """A white frame outside the centre crop comes into view when turned."""
    images = np.full((1, 32, 32, 1), 255, np.uint8)
    images[:, 2:30, 2:30] = 0
    turned = apply(images, {"rotate": np.array([np.deg2rad(10)])})
    # The corner pixel's source lies 13.5 (cos 10 + sin 10) = 15.6 from the centre on
    # one axis; the frame begins at 14.5.
    assert turned[0, 0, 0, 0] == 255
    assert turned[0, 14, 14, 0] == 0


# Colour


def test_no_change_of_colour_is_the_identity(images):
    np.testing.assert_allclose(apply(images, color(24)), centre_crop(images), atol=1e-3)


def test_greys_stay_grey(images):
    grey = np.repeat(images[..., :1], 3, axis=-1)
    parameters = draw(("color",), 24, 0, 0)
    parameters["color"][:, :2] = 0, 1  # saturation and hue only
    np.testing.assert_allclose(apply(grey, parameters), centre_crop(grey), atol=1e-3)


def test_no_saturation_gives_the_luma(images):
    luma = centre_crop(images) @ [0.299, 0.587, 0.114]  # ITU-R BT.601
    result = apply(images, color(24, saturation=0.0))
    np.testing.assert_allclose(result, np.repeat(luma[..., None], 3, -1), atol=1e-3)


@pytest.mark.parametrize("factor", (0.5, 1.4))
def test_saturation_equals_pillow(images, factor):
    result = apply(images, color(24, saturation=factor))
    for image, mine in zip(centre_crop(images), result, strict=True):
        pillow = ImageEnhance.Color(Image.fromarray(image)).enhance(factor)
        assert np.abs(mine - np.asarray(pillow, float)).max() <= 1.5  # it rounds


def test_hue_turns_as_in_hsv_and_keeps_the_luma():
    # Pale colours all around the circle: none is clipped.
    hues = np.linspace(0, 1, 32, endpoint=False)
    row = [colorsys.hsv_to_rgb(hue, 0.2, 0.6) for hue in hues]
    images = np.tile(255 * np.array(row, np.float32), (1, 32, 1, 1))
    for degrees in (-10, 10):
        turned = apply(images, color(1, hue=np.deg2rad(degrees)), size=32)
        weights = [0.299, 0.587, 0.114]
        np.testing.assert_allclose(turned @ weights, images @ weights, atol=1e-3)
        after = [colorsys.rgb_to_hsv(*pixel)[0] for pixel in turned[0, 0] / 255]
        change = 360 * ((after - hues + 0.5) % 1 - 0.5)
        # The circle of hues is not evenly spaced in I and Q, but its mean is.
        assert change.mean() == pytest.approx(degrees, abs=1)
        assert (np.sign(change) == np.sign(degrees)).all()


def test_whole_turn_of_hue_is_the_identity(images):
    turned = apply(images, color(24, hue=2 * np.pi))
    np.testing.assert_allclose(turned, centre_crop(images), atol=1e-3)


@pytest.mark.parametrize("channels", (1, 3))
def test_brightness_and_contrast(images, channels):
    images = (96 + images[..., :channels] // 4).astype(np.float32)  # nothing clipped
    centre = centre_crop(images).astype(float)
    brighter = apply(images, color(24, brightness=12.0))
    np.testing.assert_allclose(brighter, centre + 12, atol=1e-3)
    grey = centre @ [0.299, 0.587, 0.114] if channels == 3 else centre[..., 0]
    for image, mean, result in zip(
        centre, grey.mean((1, 2)), apply(images, color(24, contrast=1.3)), strict=True
    ):
        np.testing.assert_allclose(result, mean + 1.3 * (image - mean), atol=1e-3)


def test_colours_are_clipped(images):
    result = apply(images, color(24, brightness=32.0, contrast=1.5))
    assert result.min() == 0 and result.max() == 255


# Erasing


def test_erased_shapes_have_the_stated_distribution():
    erase = draw(("erase",), 20000, 0, 0)["erase"]
    drawn = erase[:, 0] > 0
    assert drawn.mean() == pytest.approx(0.5, abs=0.02)
    height, width = erase[drawn, 0], erase[drawn, 1]
    assert (height <= 1).all() and (width <= 1).all()
    area = np.sort(height * width)
    uniform = np.linspace(0.02, 0.33, len(area))
    assert np.abs(area - uniform).max() < 0.31 * 1.95 / np.sqrt(len(area))  # KS 0.001
    aspect = height / width
    assert aspect.min() == pytest.approx(0.3, rel=0.02)
    assert aspect.max() == pytest.approx(3.3, rel=0.02)
    assert np.log(aspect).mean() == pytest.approx(0, abs=0.03)  # tall as often as wide


def test_one_rectangle_becomes_the_channel_means(images):
    drawn = draw(("erase",), 24, 0, 0)
    erased, centre = apply(images, drawn), centre_crop(images)
    means = centre.astype(float).mean(axis=(1, 2))
    for image, result, mean, (height, width, *_) in zip(
        centre, erased, means, drawn["erase"], strict=True
    ):
        # Means are no integers here, so that every erased pixel differs.
        changed = (image != result).all(axis=-1)
        np.testing.assert_array_equal(image[~changed], result[~changed])
        if height == 0:
            assert not changed.any()
            continue
        rows, columns = np.nonzero(changed)
        assert np.ptp(rows) + 1 == round(28 * height)
        assert np.ptp(columns) + 1 == round(28 * width)
        assert changed.sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)  # filled
        np.testing.assert_allclose(result[changed], np.tile(mean, (len(rows), 1)), 1e-5)


def test_a_rectangle_reaches_every_edge():
    shares = [(0.0, 0.0), (0.999, 0.999)]
    parameters = {"erase": np.array([(0.25, 0.5, *share) for share in shares])}
    images = np.random.default_rng(0).random((2, 28, 28, 1), np.float32)
    changed = apply(images, parameters) != images
    expected = np.zeros_like(changed)
    expected[0, :7, :14] = expected[1, -7:, -14:] = True
    np.testing.assert_array_equal(changed, expected)


# All together


@pytest.mark.parametrize("channels", (1, 3))
@pytest.mark.parametrize("dtype", (np.uint8, np.float32))
@pytest.mark.parametrize("names", [(), *((name,) for name in NAMES), NAMES])
def test_images_alone_equal_images_in_a_batch(images, names, dtype, channels):
    images = images[..., :channels].astype(dtype)
    before, parameters = images.copy(), draw(names, 24, 0, 0)
    together = apply(images, parameters)
    np.testing.assert_array_equal(images, before)
    assert not np.shares_memory(together, images)
    assert together.shape == (24, 28, 28, channels)
    gathered = set(names) <= {"crop", "flip"}
    assert together.dtype == (dtype if gathered else np.float32)
    assert together.min() >= 0 and together.max() <= 255
    for k in range(24):
        row = {name: values[k : k + 1] for name, values in parameters.items()}
        alone = apply(images[k : k + 1], row)[0]
        np.testing.assert_allclose(alone, together[k], atol=1e-3)


def test_no_images():
    empty = np.zeros((0, 32, 32, 3), np.uint8)
    assert apply(empty, draw(("crop", "flip"), 0, 0, 0)).shape == (0, 28, 28, 3)

"""Augmentations: whole-batch operations with one set of parameters per image.

All randomness is drawn once per epoch for all examples (`draw`); a batch takes its
rows of the parameters and transforms its images (`apply`), without randomness:

    parameters = augmentations.draw(("crop", "flip"), len(images), seed=0, epoch=3)
    rows = {name: values[batch] for name, values in parameters.items()}
    images = augmentations.apply(images[batch], rows)

The order is fixed: geometry (crop, rotation, perspective and flip), colour, erasing.
Geometry is first so that colour's mean is that of the pixels seen; erasing is last so
that the rectangle is the mean of the image as the network gets it. NumPy only, so
that every feed and every backend sees the same batches.
"""

import numpy as np

SIZE = 28  # side of the paper's crop of the 32 x 32 image
NAMES = ("crop", "flip", "rotate", "perspective", "erase", "color")
IN_FILES = ("crop", "flip", "color")  # those that images in files have

# Each augmentation draws from its own stream, so that adding one leaves the others'
# draws as they were. Never renumber: that changes every augmented run. Never 0:
# NumPy's seeding pads with zeros, so [seed, epoch, 0] is the stream [seed, epoch].
_STREAMS = dict(crop=101, flip=102, rotate=103, perspective=104, erase=105, color=106)

# The paper's, under random labels (its Table 4). Corners of the centre crop then lie
# up to 2.4 pixels outside a CIFAR-10 image, where that is mirrored.
MAX_ANGLE = np.deg2rad(25)
MAX_DISPLACEMENT = 0.15  # of a corner, along each axis; 1 is the side of the crop
# Zhong et al. (2017), https://arxiv.org/abs/1708.04896: probability 0.5, area from
# 0.02, aspect from 0.3. The upper ends are torchvision's `RandomErasing`'s.
ERASE_PROBABILITY = 0.5
ERASE_AREA = (0.02, 0.33)  # 1 is the area of the crop
ERASE_ASPECT = (0.3, 3.3)  # height / width
# Those of TensorFlow's im2txt (`image_processing.py`, `distort_image`), which are
# Inception's but for the hue: +-11.5 degrees instead of +-72.
BRIGHTNESS = (-32.0, 32.0)  # added to pixels in [0, 255]
CONTRAST = (0.5, 1.5)  # factor of the distance from the image's mean grey
SATURATION = (0.5, 1.5)  # factor of the distance from grey
HUE = (-0.032 * 2 * np.pi, 0.032 * 2 * np.pi)  # radians

# Rows Y (luma), I and Q (chroma) of NTSC; I and Q are 0 for greys.
_YIQ = np.array(
    [[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]]
)
LUMA = _YIQ[0]
# (x, y) of the crop's corners, in coordinates where it is the square -1/2 to 1/2.
_CORNERS = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])


def draw(names, num_examples, seed, epoch):
    """Draws the parameters of every example for one epoch.

    Args:
        names: Iterable of names from `NAMES`; their order does not matter.
        num_examples: Number of examples in the training set.
        seed: Integer >= 0.
        epoch: Integer >= 0. The same seed and epoch give the same draws, whatever
            the other names, the batch size and the order of the examples.

    Returns:
        Dict from name to an array with leading axis `num_examples`:

        - `crop`: `(n, 2)` in `[0, 1)`, row and column offset as a share of the
          offsets there are, which depend on the images' size.
        - `flip`: `(n,)` 0 or 1.
        - `rotate`: `(n,)` radians, counterclockwise.
        - `perspective`: `(n, 4, 2)` displacements (x, y), in sides of the crop, of
          the source points shown at its corners top left, top right, bottom right
          and bottom left.
        - `erase`: `(n, 4)` in `[0, 1]`: height and width as a share of the crop's
          side, 0 where nothing is erased; top and left as in `crop`.
        - `color`: `(n, 4)`: brightness, contrast, saturation, hue in radians.

    Raises:
        ValueError: If a name is not in `NAMES`.
    """
    names = tuple(names)
    if unknown := set(names) - set(NAMES):
        raise ValueError(f"Augmentations: received {unknown}; accepted {NAMES}.")
    parameters = {}
    for name in names:
        rng = np.random.default_rng([seed, epoch, _STREAMS[name]])
        parameters[name] = _DRAWS[name](rng, num_examples)
    return parameters


def _draw_erase(rng, n):
    area = rng.uniform(*ERASE_AREA, n)
    # Log-uniform, so that tall and wide are alike. Zhong et al. draw again until the
    # rectangle fits; restricting the aspect to those that fit (height and width at
    # most 1) needs no loop and keeps the area uniform.
    low = np.log(np.maximum(ERASE_ASPECT[0], area))
    high = np.log(np.minimum(ERASE_ASPECT[1], 1 / area))
    aspect = np.exp(rng.uniform(low, high))
    shape = np.stack([np.sqrt(area * aspect), np.sqrt(area / aspect)], axis=1)
    shape *= rng.random((n, 1)) < ERASE_PROBABILITY
    return np.concatenate([shape, rng.random((n, 2))], axis=1)


def _draw_color(rng, n):
    low, high = zip(BRIGHTNESS, CONTRAST, SATURATION, HUE, strict=True)
    return rng.uniform(low, high, (n, 4))


_DRAWS = {
    "crop": lambda rng, n: rng.random((n, 2)),
    "flip": lambda rng, n: rng.integers(0, 2, n),
    "rotate": lambda rng, n: rng.uniform(-MAX_ANGLE, MAX_ANGLE, n),
    "perspective": lambda rng, n: MAX_DISPLACEMENT * rng.uniform(-1, 1, (n, 4, 2)),
    "erase": _draw_erase,
    "color": _draw_color,
}


def apply(images, parameters, size=SIZE):
    """Applies to each image of a batch its own row of the parameters.

    Args:
        images: `(batch, height, width, channels)` uint8 or float32 in `[0, 255]`,
            with 1 or 3 channels. Not modified.
        parameters: Dict as from `draw`, each array indexed to this batch.
        size: Side of the crop, in pixels; at most the height and width. Without
            `"crop"` in the parameters the centre crop is taken.

    Returns:
        New array `(batch, size, size, channels)`: of the images' dtype if at most
        crop and flip acted (no arithmetic), else float32 in `[0, 255]`.

    Raises:
        ValueError: If the crop is larger than the images.
    """
    if size > min(images.shape[1:3]):
        raise ValueError(
            f"The crop must fit. Received: images of shape {images.shape}; size={size}."
        )
    if "rotate" in parameters or "perspective" in parameters:
        images = _warp(images, parameters, size)
    else:
        images = _crop_and_flip(images, parameters, size)
    if "color" in parameters:
        images = _color(images, parameters["color"])
    if "erase" in parameters:
        images = _erase(images, parameters["erase"])
    return images


def centre_crop(images, size=SIZE):
    """Returns the centre `(n, size, size, channels)` of the images, as a view."""
    top, left = ((side - size) // 2 for side in images.shape[1:3])
    return images[:, top : top + size, left : left + size]


def offsets(shape, parameters, size=SIZE):
    """Row and column of each crop's top left pixel.

    Args:
        shape: `(batch, height, width, channels)` of the images.
        parameters: Dict as from `draw`; without `crop` it is the centre.
        size: Side of the crop, in pixels.

    Returns:
        `(batch, 2)` integers from 0 to `height - size` and `width - size`.
    """
    room = np.array(shape[1:3]) - size
    if "crop" in parameters:
        # A share of 1, were it rounded up to that, would read the next image.
        return np.minimum((parameters["crop"] * (room + 1)).astype(int), room)
    return np.tile(room // 2, (shape[0], 1))


def _crop_and_flip(images, parameters, size):
    """Crops and flips as one flat gather of pixels: 4x as fast as fancy indexing."""
    n, height, width, channels = images.shape
    top, left = offsets(images.shape, parameters, size).T[..., None]
    columns = np.arange(size)
    if "flip" in parameters:
        flipped = parameters["flip"].astype(bool)[:, None]
        columns = np.where(flipped, columns[::-1], columns)
    rows = np.arange(n)[:, None] * height + top + np.arange(size)
    pixels = rows[:, :, None] * width + (left + columns)[:, None, :]
    return images.reshape(-1, channels).take(pixels, axis=0)


def _warp(images, parameters, size):
    """Crops, distorts, rotates and flips with one bilinear interpolation.

    Each output pixel looks up one source point in the whole image, so that what
    lies around the crop is used; beyond the image's edge it is mirrored.
    """
    n, height, width, channels = images.shape
    unit = (np.arange(size) - (size - 1) / 2) / size
    x, y = np.meshgrid(unit, unit)
    grid = np.stack([x, y, np.ones_like(x)]).reshape(3, -1)
    x, y, w = (_homographies(parameters, n) @ grid).transpose(1, 0, 2)
    top, left = offsets(images.shape, parameters, size).T[..., None] + (size - 1) / 2
    y = _mirror(y / w * size + top, height)
    x = _mirror(x / w * size + left, width)

    row = np.clip(y.astype(int), 0, height - 2)
    column = np.clip(x.astype(int), 0, width - 2)
    dy = (y - row).astype(np.float32)[..., None]
    dx = (x - column).astype(np.float32)[..., None]
    first = (np.arange(n)[:, None] * height + row) * width + column
    pixels = images.reshape(-1, channels).astype(np.float32)
    corners = [pixels.take(first + k, axis=0) for k in (0, 1, width, width + 1)]
    above = corners[0] + dx * (corners[1] - corners[0])
    below = corners[2] + dx * (corners[3] - corners[2])
    return (above + dy * (below - above)).reshape(n, size, size, channels)


def _homographies(parameters, n):
    """`(n, 3, 3)` maps from the output square to the source, last entry 1.

    Each is fixed by where the output's four corners lie in the source. With h its
    first eight entries, x' (h6 x + h7 y + 1) = h0 x + h1 y + h2, and likewise for
    y': two linear equations a corner, eight for eight unknowns.
    """
    targets = np.tile(_CORNERS, (n, 1, 1))
    if "perspective" in parameters:
        targets += parameters["perspective"]
    if "rotate" in parameters:
        cos, sin = np.cos(parameters["rotate"]), np.sin(parameters["rotate"])
        targets = targets @ np.array([[cos, sin], [-sin, cos]]).transpose(2, 0, 1)
    if "flip" in parameters:
        flipped = parameters["flip"].astype(bool)
        targets[flipped] = targets[flipped][:, [1, 0, 3, 2]]
    system = np.zeros((n, 4, 2, 8))
    system[:, :, 0, 0:2] = system[:, :, 1, 3:5] = _CORNERS
    system[:, :, 0, 2] = system[:, :, 1, 5] = 1
    system[..., 6:8] = -targets[..., None] * _CORNERS[:, None, :]
    entries = np.linalg.solve(system.reshape(n, 8, 8), targets.reshape(n, 8, 1))
    return np.concatenate([entries, np.ones((n, 1, 1))], axis=1).reshape(n, 3, 3)


def _mirror(position, length):
    """Reflects positions outside `[0, length - 1]` about the first or last pixel."""
    position = np.abs(position)
    return np.abs(length - 1 - np.abs(length - 1 - position))


def _color(images, parameters):
    """Changes brightness, contrast, saturation and hue; clips to `[0, 255]`.

    Whitening per image afterwards cancels brightness and contrast, but for what was
    clipped: saturation and hue are what acts. For greyscale images that leaves
    next to nothing.
    """
    n, height, width, channels = images.shape
    pixels = images.reshape(n, -1, channels).astype(np.float32)
    brightness, contrast = parameters.T[:2]
    luma = LUMA if channels == 3 else np.ones(1)
    mean = pixels.mean(axis=1) @ luma  # saturation and hue leave it as it is
    if channels == 3:
        pixels = pixels @ color_matrices(parameters).transpose(0, 2, 1)
    else:
        pixels *= contrast[:, None, None].astype(np.float32)
    pixels += ((1 - contrast) * mean + brightness).astype(np.float32)[:, None, None]
    return pixels.clip(0, 255, out=pixels).reshape(images.shape)


def color_matrices(parameters):
    """Returns what contrast, saturation and hue do to RGB: `(n, 3, 3)` float32.

    Args:
        parameters: `(n, 4)`, the `color` of `draw`.
    """
    _, contrast, saturation, hue = parameters.T
    # Chroma turned and scaled in the I, Q plane. The sign makes a positive hue
    # go from red to yellow to green, as in HSV.
    chroma = np.zeros((len(parameters), 3, 3))
    chroma[:, 0, 0] = 1
    chroma[:, 1, 1] = chroma[:, 2, 2] = saturation * np.cos(hue)
    chroma[:, 1, 2] = saturation * np.sin(hue)
    chroma[:, 2, 1] = -chroma[:, 1, 2]
    factors = contrast[:, None, None] * (np.linalg.inv(_YIQ) @ chroma @ _YIQ)
    return factors.astype(np.float32)


def _erase(images, parameters):
    """Fills a rectangle with the image's mean per channel.

    Zhong et al. fill with noise or the data set's mean; after whitening per image
    it is the image's own mean that lies near 0, so that the rectangle says nothing.
    """
    size = images.shape[1]
    images = images.astype(np.float32, copy=False)
    extent = np.rint(parameters[:, :2] * size).astype(int)
    start = (parameters[:, 2:] * (size - extent + 1)).astype(int)
    pixel = np.arange(size)
    inside = (pixel >= start[..., None]) & (pixel < (start + extent)[..., None])
    erased = inside[:, 0, :, None, None] & inside[:, 1, None, :, None]
    return np.where(erased, images.mean(axis=(1, 2), keepdims=True), images)

"""Labels and inputs corrupted once, before training; pure and seeded.

Zhang et al. (2017), section 2.1. Test labels are never touched.
"""

import functools

import numpy as np

from common import augmentations
from common.cli import UsageError

# One independent RNG stream for each purpose.
_WHICH, _CLASS, _PERMUTATION, _PIXELS, _WORDS, _HUMAN = range(201, 207)


def corrupt(data, regime):
    """Corrupts a data set: its training labels, and its pixels or words.

    Pixels of images that stay on disk are corrupted as they are read, by
    `corrupt_image`.

    Args:
        data: `datasets.Data` or `imagenet.Images`. Not modified.
        regime: `regime.Regime`: `label_corruption` and `label_noise` as in
            `corrupt_labels`, `pixels` or `words` as in `corrupt_pixels` and
            `corrupt_words`, and `data_seed`, which is independent of the seed of the
            model.

    Returns:
        Data of the same kind, with `y_train_true` still the true labels.

    Raises:
        ValueError: On an unknown kind, or a probability outside `[0, 1]`.
    """
    seed, noise = regime.data_seed, regime.label_noise
    if noise in ("human", "transition"):
        y_train = human_labels(
            data.y_train, data.human, regime.label_corruption, seed, noise
        )
    else:
        y_train = corrupt_labels(
            data.y_train, regime.label_corruption, data.num_classes, seed, noise
        )
    data = data._replace(y_train=y_train)
    if data.x_train.ndim == 4:
        return corrupt_pixels(data, regime.pixels, seed)
    if data.x_train.ndim == 2:
        return corrupt_words(data, regime.words, seed)
    if data.x_train.ndim == 1:  # places of images on disk
        return data
    raise ValueError(
        "Expected images `(n, height, width, channels)` or words `(n, length)`. "
        f"Received: shape {data.x_train.shape}"
    )


def corrupt_labels(labels, probability, num_classes, seed, kind="uniform"):
    """Replaces labels, with the given probability, once and for all.

    Levels nest: every label replaced at 0.2 is replaced by the same class at
    0.4, because each example has one threshold and one class of its own,
    whatever the probability.

    Args:
        labels: `(num_examples,)` integers in `[0, num_classes)`. Not modified.
        probability: Float in `[0, 1]`; 0 returns the labels unchanged.
        num_classes: Number of classes drawn from.
        seed: Integer. The same seed gives the same labels whatever the model
            and the order of the batches.
        kind: `uniform`: each label independently, by a uniform draw over all
            classes, as in the paper: it may hit the true class, so that at
            probability 1 about `1 / num_classes` of the labels stay correct.
            `exclusive`: a uniform draw over the other classes. `pair`: the next
            class. `exact`: exactly `round(probability * num_examples)` labels,
            by a uniform draw over all classes.

    Returns:
        `(num_examples,)` array of the same dtype.

    Raises:
        ValueError: If `probability` or `kind` is not as above.
        UsageError: If there is no other class for `exclusive` and `pair`.
    """
    labels = np.asarray(labels)
    if not 0 <= probability <= 1:
        raise ValueError(
            f"Expected a probability in [0, 1]. Received: probability={probability}"
        )
    threshold = _rng(seed, _WHICH).random(len(labels))
    shift = _rng(seed, _CLASS)
    true = labels.astype(np.int64)  # a class more than uint8 holds may be on the way
    if kind in ("exclusive", "pair") and num_classes < 2:
        raise UsageError(
            f"--label-noise {kind} needs two classes or more. Received: {num_classes}."
        )
    if kind in ("uniform", "exact"):
        drawn = shift.integers(num_classes, size=len(labels))
    elif kind == "exclusive":
        drawn = true + shift.integers(1, num_classes, size=len(labels))
    elif kind == "pair":
        drawn = true + 1
    else:
        raise ValueError(
            "Expected `kind` to be one of uniform, exclusive, pair, exact. "
            f"Received: kind={kind!r}"
        )
    if kind == "exact":
        replaced = np.zeros(len(labels), bool)
        replaced[np.argsort(threshold)[: round(probability * len(labels))]] = True
    else:
        replaced = threshold < probability
    return np.where(replaced, drawn % num_classes, labels).astype(labels.dtype)


def human_labels(labels, human, probability, seed, kind="human"):
    """Replaces labels by those that people gave, with the given probability.

    Args:
        labels: `(num_examples,)` integers, the true ones. Not modified.
        human: `(num_examples,)` integers, those of people. Not modified.
        probability: Float in `[0, 1]`; levels nest, as in `corrupt_labels`.
        seed: Integer.
        kind: `human`: each its own label. `transition`: the same labels, exchanged at
            random among the examples of a true class. So the matrix of transitions
            from true to given labels is the same in every entry, and what people found
            hard about an image is gone.

    Returns:
        `(num_examples,)` array of the same dtype.
    """
    labels = np.asarray(labels)
    if kind == "transition":
        # The sort of raw uniforms, unlike `permutation`, cannot change with NumPy.
        keys = _rng(seed, _HUMAN).random(len(labels))
        places, shuffled = np.argsort(labels, kind="stable"), np.lexsort((keys, labels))
        exchanged = np.empty_like(human)
        exchanged[places] = human[shuffled]
        human = exchanged
    replaced = _rng(seed, _WHICH).random(len(labels)) < probability
    return np.where(replaced, human, labels).astype(labels.dtype)


def corrupt_pixels(data, pixels="true", seed=0):
    """Corrupts the pixels of a data set of images; labels stay as they are.

    Args:
        data: `datasets.Data` of `(num_examples, height, width, channels)` images. Not
            modified.
        pixels: `true`; `shuffled` (one permutation of the pixels of the centre
            crop for all images, the test images too: a change of coordinates);
            `random` (each training image its own permutation); `gaussian`
            (training images replaced by noise with the training set's
            per-channel mean and variance, float32, not clipped). With `random`
            and `gaussian` test images stay as they are, so that a score at
            chance shows that nothing was learnt from the noise.
        seed: Integer; independent of the seed of the model.

    Returns:
        `Data`.

    Raises:
        ValueError: On an unknown kind.
    """
    if pixels == "true":
        return data
    x_train = augmentations.centre_crop(data.x_train)
    if pixels == "shuffled":
        x_test = augmentations.centre_crop(data.x_test)
        order = _order(seed, x_train[0, ..., 0].size)
        return data._replace(
            x_train=permute_pixels(x_train, order),
            x_test=permute_pixels(x_test, order),
        )
    if pixels == "random":
        return data._replace(x_train=random_pixels(x_train, seed))
    if pixels == "gaussian":
        return data._replace(x_train=gaussian_pixels(x_train, seed))
    raise ValueError(
        "Expected `pixels` to be one of true, shuffled, random, gaussian. "
        f"Received: pixels={pixels!r}"
    )


def corrupt_words(data, words="true", seed=0):
    """Corrupts the words of a text data set; labels and lengths stay as they are.

    Args:
        data: `datasets.Data` of `(num_examples, length)` integers, a review's words
            first and then 0, which is padding. Not modified.
        words: `true`; `shuffled` (one permutation of the positions for all reviews,
            the test reviews too: a change of coordinates; a review that is shorter
            than the permutation keeps the order that this gives its own positions);
            `shuffled_each` (each training review its own permutation); `unigram`
            (each word of the training reviews replaced by a word drawn from all of
            theirs, with their frequencies). With `shuffled_each` and `unigram` test
            reviews stay as they are.
        seed: Integer; independent of the seed of the model.

    Returns:
        `Data`.

    Raises:
        ValueError: On an unknown kind.
    """
    x_train, rng = data.x_train, _rng(seed, _WORDS)
    if words == "true":
        return data
    if words == "shuffled":
        keys = rng.random(x_train.shape[1])
        return data._replace(
            x_train=order_words(x_train, keys), x_test=order_words(data.x_test, keys)
        )
    if words == "shuffled_each":
        return data._replace(x_train=order_words(x_train, rng.random(x_train.shape)))
    if words == "unigram":
        is_word, drawn = x_train != 0, x_train.copy()
        drawn[is_word] = rng.choice(x_train[is_word], is_word.sum())
        return data._replace(x_train=drawn)
    raise ValueError(
        "Expected `words` to be one of true, shuffled, shuffled_each, unigram. "
        f"Received: words={words!r}"
    )


def order_words(reviews, keys):
    """Sorts the words of every review by the keys of their places; padding stays last.

    Args:
        reviews: `(num_examples, length)` integers, 0 at padding.
        keys: Floats below 1, `(length,)` or `(num_examples, length)`.
    """
    order = np.where(reviews == 0, 1.0, keys).argsort(axis=1, kind="stable")
    return np.take_along_axis(reviews, order, axis=1)


def permute_pixels(images, order):
    """Applies one permutation of pixels to every image; channels move together.

    Args:
        images: `(num_images, height, width, channels)`.
        order: `(height * width,)` permutation.
    """
    channels = images.shape[-1]
    places = (order[:, None] * channels + np.arange(channels)).ravel()
    # One value at a time: NumPy moves pixels of three bytes eight times as slowly.
    flat = images.reshape(len(images), -1)
    return flat.take(places, axis=1).reshape(images.shape)


def random_pixels(images, seed):
    """Applies to each image its own uniform permutation of pixels.

    Args:
        images: `(num_images, height, width, channels)`. The first images get
            the same permutations however many follow.
        seed: Integer.
    """
    rng, channels = _rng(seed, _PIXELS), images.shape[-1]
    flat, result = images.reshape(len(images), -1), np.empty(images.shape, images.dtype)
    num_pixels = flat.shape[1] // channels
    places, bits = np.arange(num_pixels), num_pixels.bit_length()
    for start in range(0, len(flat), 1000):  # bounds the memory of the sort keys
        block, moved = (array[start : start + 1000] for array in (flat, result))
        keys = rng.random((len(block), num_pixels), dtype=np.float32)
        # The keys are multiples of 2^-24, and some are equal: those stay in order by
        # the place in the lower bits. Integers sort five times as fast as `argsort`.
        keys = (keys * np.float32(2**24)).astype(np.int64) << bits | places
        keys.sort(axis=1)
        source = (keys & (1 << bits) - 1) * channels
        source += np.arange(len(block))[:, None] * flat.shape[1]
        moved = moved.reshape(len(block), num_pixels, channels)
        for channel in range(channels):
            moved[..., channel] = block.ravel()[channel:].take(source)
    return result


def gaussian_pixels(images, seed):
    """Draws images from a Gaussian with the data set's mean and variance.

    Args:
        images: `(num_images, height, width, channels)` uint8; mean and variance are
            taken per channel, over all images and positions.
        seed: Integer.

    Returns:
        float32 array of the same shape, in the units of `images`, not clipped.
    """
    shape, channels = images.shape, images.shape[-1]
    noise = _rng(seed, _PIXELS).standard_normal(shape, dtype=np.float32)
    flat = noise.reshape(len(images), -1)
    mean, std = (np.tile(x, flat.shape[1] // channels) for x in _moments(images))
    for start in range(0, len(flat), 500):  # what the cache holds
        flat[start : start + 500] *= std
        flat[start : start + 500] += mean
    return noise


def _moments(images):
    """Mean and standard deviation of each channel, float32, of exact sums of bytes."""
    flat, channels = images.reshape(len(images), -1), images.shape[-1]
    sums = np.zeros((2, flat.shape[1]), np.uint64)
    for start in range(0, len(flat), 500):
        values = flat[start : start + 500].astype(np.uint32)
        sums += [values.sum(0), (values * values).sum(0)]
    count = flat.size // channels
    total, squares = sums.reshape(2, -1, channels).sum(1).tolist()  # Python integers
    mean = [t / count for t in total]
    variance = [
        (count * q - t * t) / count**2 for t, q in zip(total, squares, strict=True)
    ]
    return np.float32(mean), np.sqrt(variance).astype(np.float32)


def corrupt_image(image, index, pixels, seed, mean=0.0, std=1.0):
    """Corrupts one training image of a set that is too large for memory.

    Args:
        image: `(height, width, channels)`. Not modified.
        index: Place of the image in the training set; `random` and `gaussian` are a
            pure function of (seed, index) and the shape.
        pixels: `shuffled`, `random` or `gaussian`, as in `corrupt_pixels`.
        seed: Integer.
        mean, std: `(channels,)`, of the training set, for `gaussian`.

    Returns:
        Array of the same shape, float32 for `gaussian`.
    """
    num_pixels = image.shape[0] * image.shape[1]
    if pixels == "shuffled":
        return permute_pixels(image[None], _order(seed, num_pixels))[0]
    rng = np.random.default_rng([seed, _PIXELS, index + 1])  # 0 would be the stream's
    if pixels == "random":
        return permute_pixels(image[None], rng.permutation(num_pixels))[0]
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    return noise * np.float32(std) + np.float32(mean)


@functools.cache
def _order(seed, num_pixels):
    """The one permutation that shuffles all images."""
    return _rng(seed, _PERMUTATION).permutation(num_pixels)


def _rng(seed, stream):
    return np.random.default_rng([seed, stream])

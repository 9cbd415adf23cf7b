"""Data sets made by the project: images and reviews, example by example.

An example is a pure function of (seed, index), whatever else is drawn, so that what
is trained on never meets what is tested on.
"""

import numpy as np

# The examples of a data set; the training set may grow below the test set.
TRAIN, TEST = range(2000), range(1_000_000, 1_001_000)
LENGTH = 64  # words of the longest review, and more


def images(indices, seed=0):
    """Draws images of five shapes, plain or striped: ten classes.

    Class `c` is shape `c % 5` (disc, square, triangle, cross, ring), striped if
    `c >= 5`. Position, size, angle, both colours, the slope of the background, the
    stripes' direction, width and phase, and the noise are random. All shapes cover
    the same area and colours are uniform on a circle, so that the mean colour does
    not tell the class: a network has to see the form wherever it lies.

    Args:
        indices: Sequence of non-negative integers. Image `i` is a pure function of
            `(seed, i)`, whatever else is drawn, and its class is `i % 10`.
        seed: Non-negative integer. The data set `synthetic` is seed 0.

    Returns:
        `(n, 32, 32, 3)` uint8 images and `(n,)` int32 labels in `[0, 10)`.
    """
    # A few at a time, in memory that is reused: up to three times as fast.
    blocks = [indices[i : i + 100] for i in range(0, len(indices), 100)]
    parts = [_draw_images(block, seed) for block in blocks]
    images, labels = zip(*parts, strict=True)
    return np.concatenate(images), np.concatenate(labels)


def _draw_images(indices, seed):
    """Draws one block of `images`."""
    # All float64, and no function of NumPy's that a processor may round its own way
    # is applied to pixels, so that machines agree (a test holds the checksum).
    draws = np.stack([np.random.default_rng([seed, i]).random(3087) for i in indices])
    u = draws[:, :15].T[:, :, None, None]  # 15 numbers in [0, 1), each (n, 1, 1)
    noise = draws[:, 15:].reshape(-1, 32, 32, 3)
    labels = np.asarray(indices, np.int64) % 10
    shape, striped = (labels % 5)[:, None, None], (labels >= 5)[:, None, None]

    # However large and turned, the shape lies within the 28 x 28 centre crop.
    rows, columns = np.mgrid[:32, :32]
    dx, dy = columns - 13.5 - 4 * u[0], rows - 13.5 - 4 * u[1]
    angle, size = np.pi / 4 * (u[2] - 0.5), 5 + 2.4 * u[3]
    x = (dx * np.cos(angle) + dy * np.sin(angle)) / size
    y = (dy * np.cos(angle) - dx * np.sin(angle)) / size
    square = np.maximum(abs(x), abs(y))
    radius2 = x * x + y * y
    forms = [  # each of area pi
        radius2 < 1,
        square < 0.886,
        (y < 0.777) & (abs(x) * 1.732 < y + 1.555),
        (square < 1.16) & (np.minimum(abs(x), abs(y)) < 0.4115),
        (radius2 > 0.36) & (radius2 < 1.36),
    ]
    inside = np.choose(shape, forms)
    turn = np.pi * u[4]
    across = (dx * np.cos(turn) + dy * np.sin(turn)) / (3 + u[5]) + u[6]
    stripes = np.where(across % 1 < 0.5, 0.2, -0.2) * (inside & striped)
    slope = (u[7] - 0.5) * (columns - 15.5) / 40 + (u[8] - 0.5) * (rows - 15.5) / 40

    # In every channel the two colours are 0.3 or more apart, in either direction.
    back = np.moveaxis(u[9:12], 0, -1)
    front = (back + 0.3 + 0.4 * np.moveaxis(u[12:15], 0, -1)) % 1
    image = np.where(inside[..., None], front, back) + (slope + stripes)[..., None]
    image = 0.2 + 0.6 * image + 0.3 * (noise - 0.5)
    return (255 * np.clip(image, 0, 1)).astype(np.uint8), labels.astype(np.int32)


def reviews(indices, seed=0):
    """Draws reviews of a small language, in which the order of words matters.

    A review is 7, 9 or 11 clauses; a clause is one to three of 2,000 neutral words, of
    which the first are frequent, and one of 100 good or 100 bad words, with one of
    four negations before it in a quarter of the clauses, which turns it round. At
    least two thirds of the clauses side with the class, so that counting words tells
    most reviews' class, and only their order tells all.

    Args:
        indices: Sequence of non-negative integers. Review `i` is a pure function of
            `(seed, i)`, and its class is `i % 2`.
        seed: Non-negative integer. The data set `synthetic_text` is seed 0.

    Returns:
        `(n, LENGTH)` int32 words and `(n,)` int32 labels.
    """
    words = np.zeros((len(indices), LENGTH), np.int32)
    for row, i in zip(words, indices, strict=True):
        drawn = _review(i % 2, np.random.default_rng([seed, i]).random((12, 7)))
        row[: len(drawn)] = drawn
    return words, (np.asarray(indices) % 2).astype(np.int32)


def _review(label, u):
    """Words of a review from uniform numbers `u`: a row a clause, and a last one."""
    negations, opinions, neutral = 2, 6, 206  # the first word of each kind
    count = 7 + 2 * int(3 * u[-1, 0])
    against = int((count // 3 + 1) * u[-1, 1])
    places = set(np.argsort(u[:count, 0], kind="stable")[:against].tolist())
    words = []
    for place, draw in enumerate(u[:count]):
        is_good, negated = label ^ (place in places), draw[1] < 0.25
        fillers = 1 + int(3 * draw[2])
        words += [neutral + int(2000 * d * d) for d in draw[3 : 3 + fillers]]
        words += [negations + int(16 * draw[1])] if negated else []
        words.append(opinions + 100 * (is_good ^ negated) + int(100 * draw[6]))
    return words

"""What a kernel interpolator predicts for each example without it, in closed form.

The interpolator of all examples but i predicts y_i - alpha_i / (K^-1)_ii for example i:
n solutions for the price of one. Where the class so predicted is not the label of i,
that label was memorized: the score of Feldman (2020), Pr[right with i] - Pr[right
without i], is 1 for an interpolator that is wrong without i, and else 0.
"""

import base64
import time
import zlib
from typing import NamedTuple

import numpy as np
from scipy.linalg import lapack

from common.cli import MendableError
from common.settings import short
from common.theory import min_norm, random_features

SHOWN = 16  # memorized examples, and pairs, that the record keeps for a picture


class LeftOut(NamedTuple):
    """The interpolator of a kernel matrix, and what its examples do to it."""

    predictions: np.ndarray  # (n, outputs): for each example without it
    residuals: np.ndarray  # (n, outputs): y less those
    factor: np.ndarray  # of K, lower triangle


def left_out(kernel, y):
    """Leaves each example out, of the interpolator K alpha = y.

    Args:
        kernel: `(n, n)` float64, positive definite.
        y: `(n, outputs)` float64.

    Returns:
        `LeftOut`.

    Raises:
        MendableError: If K is singular in float64.
    """
    factor, failed = lapack.dpotrf(np.asfortranarray(kernel), lower=1, clean=0)
    if failed:
        raise MendableError(
            "the kernel matrix is singular in float64, so that nothing interpolates: "
            "use a larger --bandwidth, or leave out equal images."
        )
    alpha, _ = lapack.dpotrs(factor, y, lower=1)
    inverse, _ = lapack.dpotri(factor, lower=1)
    residuals = alpha / np.diag(inverse)[:, None]
    return LeftOut(y - residuals, residuals, factor)


def memorization(kernel, labels, num_classes):
    """Returns the memorization score of every example, and a finer one.

    Args:
        kernel: `(n, n)` float64, positive definite.
        labels: `(n,)` integers: those that are interpolated.
        num_classes: Number of classes.

    Returns:
        `(scores, residuals)`, both `(n,)` float64: 1 where the class predicted without
        the example is not its label, else 0 (Feldman, 2020); and by how much the
        prediction for its label, without it, is below 1.
    """
    found = left_out(kernel, np.eye(num_classes)[labels])
    wrong = found.predictions.argmax(1) != labels
    return wrong.astype(float), found.residuals[np.arange(len(labels)), labels]


def gaussian(points, bandwidth, others=None):
    """Returns exp(-bandwidth |x_i - x_j|^2) in float64, of points or with others.

    Args:
        points: `(n, d)`.
        bandwidth: Positive float.
        others: `(m, d)`, or None.

    Returns:
        `(n, n)` or `(m, n)` float64.
    """
    centre = points.mean(0, dtype=np.float64)  # smaller squares cancel less
    x = (points - centre) * np.sqrt(bandwidth)
    new = x if others is None else (others - centre) * np.sqrt(bandwidth)
    exponent = 2 * new @ x.T
    exponent -= np.einsum("ij,ij->i", new, new)[:, None]
    exponent -= np.einsum("ij,ij->i", x, x)
    return np.exp(np.minimum(exponent, 0, out=exponent), out=exponent)


def measure(data, settings):
    """Leaves every training image out, under every level of label corruption.

    Args:
        data: `datasets.Data`; its training labels are true.
        settings: Object with `features`, `bandwidth`, `levels`, `label_noise` and
            `data_seed`.

    Returns:
        `(rows, more)`: lines of the CSV, and fields of the record.
    """
    clock = time.perf_counter()
    train, test = min_norm.points(data, settings.features)
    kernel, classes = gaussian(train, settings.bandwidth[0]), data.num_classes
    labels = {p: random_features.level(data, p, settings) for p in settings.levels}
    y = np.concatenate([np.eye(classes)[given] for given in labels.values()], 1)
    found = left_out(kernel, y)
    rows, examples, place = [], {}, np.arange(len(train))
    for i, (p, given) in enumerate(labels.items()):
        part = slice(i * classes, (i + 1) * classes)
        without = found.predictions[:, part].argmax(1)
        residual = found.residuals[:, part][place, given]
        examples[short(p)] = {
            "labels": _joined(given, "d"),
            "left_out": _joined(without, "d"),
            "residuals": _joined(residual, ".4f"),
        }
        replaced = given != data.y_train_true
        groups = {"all": given == given}
        if replaced.any():
            groups |= {"true": ~replaced, "wrong": replaced}
        for group, chosen in groups.items():
            rows.append(
                _row(p, group, without[chosen], given[chosen], residual[chosen])
            )
    first = slice(0, classes)
    given = labels[settings.levels[0]]
    worst = _most_memorized(found.predictions[:, first], given, data)
    helped, count = _helped(
        found, y[:, first], train, test, settings.bandwidth[0], data
    )
    return rows, {
        "examples": examples,
        "image_shape": data.x_train.shape[1:],
        "most_memorized": worst,
        "helped": helped,
        "helped_test_images": count,
        "seconds": round(time.perf_counter() - clock, 1),
    }


def _row(p, group, without, given, residual):
    scores = without != given
    spread = scores.std() / np.sqrt(max(len(scores), 1))
    return {
        "label_corruption": p,
        "labels": group,
        "examples": len(given),
        "memorized": float(scores.mean()),
        "standard_error": float(spread),
        "residual": float(residual.mean()),
    }


def _joined(values, form):
    return " ".join(format(value, form) for value in values.tolist())


def _most_memorized(predictions, given, data):
    """The memorized examples whose labels are furthest from what is predicted."""
    without = predictions.argmax(1)
    surprise = predictions.max(1) - predictions[np.arange(len(given)), given]
    surprise[without == given] = -np.inf
    order = [i for i in np.argsort(-surprise)[:SHOWN] if without[i] != given[i]]
    return [
        {
            "example": int(i),
            "label": int(given[i]),
            "left_out": int(without[i]),
            "pixels": packed(data.x_train[i]),
        }
        for i in order
    ]


def _helped(found, y, train, test, bandwidth, data):
    """Test images that are classified rightly only because of one training image.

    Without example i the prediction at x changes by -(k(x)^T K^-1)_i times its
    residual, exactly.

    Returns:
        `(pairs, count)`: dicts of those with the largest influence, and the number of
        such test images.
    """
    pairs, residuals = [], found.residuals[:, : y.shape[1]]
    for start in range(0, len(test), 500):  # bounds the memory of k(x)^T K^-1
        labels = data.y_test[start : start + 500]
        cross = gaussian(train, bandwidth, test[start : start + 500])
        weights = lapack.dpotrs(found.factor, np.asfortranarray(cross.T), lower=1)[0].T
        scores = weights @ y
        for j in np.flatnonzero(scores.argmax(1) == labels):
            change = weights[j][:, None] * residuals
            without = (scores[j] - change).argmax(1)
            decisive = np.flatnonzero(without != labels[j])
            if len(decisive):
                i = decisive[change[decisive, labels[j]].argmax()]
                influence = float(change[i, labels[j]])
                pairs.append((influence, start + int(j), int(i), int(without[i])))
    pairs.sort(reverse=True)
    return [
        {
            "test_example": j,
            "example": i,
            "influence": round(influence, 4),
            "label": int(data.y_test[j]),
            "without": without,
            "test_pixels": packed(data.x_test[j]),
            "pixels": packed(data.x_train[i]),
        }
        for influence, j, i, without in pairs[:SHOWN]
    ], len(pairs)


def packed(image):
    """Returns a uint8 image as text, of which `kernel_figures` draws it."""
    return base64.b64encode(zlib.compress(np.ascontiguousarray(image), 9)).decode()


def verdict(rows, more, data, label_noise="uniform"):
    """Returns in a sentence or two what leaving out showed.

    Args:
        rows, more: From `measure`.
        data: `datasets.Data`.
        label_noise: Its kind.
    """
    size, tests = len(data.y_train), len(data.y_test)
    said = []
    for row in rows:
        if row["labels"] != "all":
            continue
        p, share = row["label_corruption"], 100 * row["memorized"]
        if p in (0, 1):
            text = f"{'random' if p else 'true'} labels {share:.2f} %"
        else:
            text = f"label corruption {p:g} {share:.2f} %"
        if p == 1:
            text += f" (standard error {100 * row['standard_error']:.2f}"
            if label_noise in ("uniform", "exact"):
                # What the others predict for an example knows nothing of its label.
                text += f"; {100 - 100 / data.num_classes:g} % are expected"
            text += ")"
        said.append(text)
    return (
        f"Memorized, that is predicted wrongly without themselves, of {size:,} "
        f"interpolated images: with {', with '.join(said)}. "
        f"{more['helped_test_images']} of {tests:,} test images are classified "
        "rightly only because of one training image."
    )

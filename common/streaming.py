"""From image files to batches: decoded and distorted as they are needed.

The plan of randomness is that of `pipelines`. tf.data decodes where TensorFlow is
installed, whatever the backend, and Pillow elsewhere.
"""

import functools
import io
import math
import os
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np

from common import augmentations, corruptions, pipelines
from common.cli import MendableError, UsageError

try:
    import tensorflow as tf
except ImportError:  # KERAS_BACKEND=jax on a machine without TensorFlow
    tf = None
if tf is not None and keras.backend.backend() != "tensorflow":
    tf.config.set_visible_devices([], "GPU")  # they are the other backend's

# Szegedy et al. 2014 (arXiv 1409.4842), section 6: 8 % to 100 % of the area, aspect
# (width / height) from 3/4 to 4/3; the colours' ranges are those of `augmentations`.
AREA, ASPECT = 0.08, (3 / 4, 4 / 3)
CENTRE = 0.875  # of each side: the crop where nothing is drawn
AUGMENTATIONS = ("crop", "flip", "color")
_BOX = 107  # stream of randomness, beside those of `augmentations`
_RATIOS = (1, 2, 4, 8)  # a JPEG decodes to 1 / ratio of its sides, and much faster
_SAMPLE = 1000  # images that a set's mean and variance are taken from


def plan(num_examples, augment, seed, epoch):
    """Draws all randomness of one epoch: `pipelines.plan`, and the shape of the crop.

    Returns:
        Dict of arrays with leading axis `num_examples`. With `crop` in `augment`, `box`
        is `(n, 2)`: area as a share of the areas there are, and aspect. Like all but
        `order` it belongs to the example, whatever its place in the order.
    """
    drawn = pipelines.plan(num_examples, augment, seed, epoch)
    if "crop" in augment:
        rng = np.random.default_rng([seed, epoch, _BOX])
        box = rng.uniform((0, np.log(ASPECT[0])), (1, np.log(ASPECT[1])), (num_examples, 2))
        drawn["box"] = np.stack([box[:, 0], np.exp(box[:, 1])], axis=1)
    return drawn


class Feed:
    """The training batches of every epoch, and those the fixed model is measured on.

    Images are `(image_size, image_size, 3)` float32 in [-1, 1]: with `crop` a box drawn
    at random, else the centre, squeezed to a square. A training batch is always whole:
    what remains of an epoch's order is left out, other images in every epoch.

    Args:
        data: `imagenet.Images`, labels corrupted already.
        regime: `regime.Regime`.
        share: `(i, n)`: this process feeds part i (from 0) of the n of every batch.

    Attributes:
        y_train, y_train_true: Labels of the examples trained on.
        y_test: Labels of the test set.
        splits: What the fixed model is measured on: train, val, and held_out with
            `early_stopping`.
        steps_per_epoch: Batches in an epoch.
        steps_at_once, accumulate: As in `pipelines.Feed`.

    Raises:
        UsageError: If the settings do not go with images in files, or a batch has
            more images than the training set.
    """

    steps_at_once = accumulate = 1

    def __init__(self, data, regime, share=(0, 1)):
        if unknown := sorted({*regime.augment} - {*AUGMENTATIONS}):
            raise UsageError(
                f"--augment {','.join(unknown)}: for images in files expected some of "
                f"{','.join(AUGMENTATIONS)}."
            )
        kept, test = np.arange(len(data.y_train)), np.arange(len(data.y_test))
        self._places = {"train": kept, "val": test}
        if regime.early_stopping:
            kept, held_out = pipelines.split(len(kept), data, seed=0)
            self._places |= {"train": kept, "held_out": held_out}
        if regime.batch_size == "full" or regime.batch_size > len(kept):
            raise UsageError(
                f"--batch-size {regime.batch_size}: for images in files expected an "
                f"integer of at most {len(kept)}, the number of training images."
            )
        self.data, self.regime, self.share = data, regime, share
        self.y_train, self.y_train_true = data.y_train[kept], data.y_train_true[kept]
        self.y_test, self.num_classes = data.y_test, data.num_classes
        self.splits = tuple(self._places)
        self.input_shape = (regime.image_size, regime.image_size, 3)
        self.steps_per_epoch = len(kept) // regime.batch_size
        self._plan = functools.lru_cache(2)(
            lambda epoch: plan(len(kept), regime.augment, regime.seed, epoch)
        )
        self._gaussian = (0.0, 1.0)
        if regime.pixels == "gaussian":
            self._gaussian = self._moments("true")

    def batches(self, first_epoch=0):
        """Returns what `fit` consumes, from the given epoch (from 0) on."""
        first = first_epoch * self.steps_per_epoch
        return self._stream("train", self._training_rows, first, self.regime.augment)

    def evaluation(self, split):
        """Returns `(batches, steps)` that hold every example of a split once.

        The batches are `(images, labels, weights)`, the labels of an example the given
        and the true one; the last batch is filled up with examples of weight 0.
        """
        rows = functools.partial(self._evaluation_rows, split)
        steps = math.ceil(len(self._places[split]) / self.regime.batch_size)
        return self._stream(split, rows), steps

    def input_statistics(self):
        """Returns mean and standard deviation of a sample of the training inputs."""
        mean, std = self._moments(self.regime.pixels)
        square = (std**2 + mean**2).mean()
        return float(mean.mean()), float(np.sqrt(square - mean.mean() ** 2))

    # What a batch is made of: places of its images, weights, what was drawn for them.

    def _part(self, step):
        """Numbers of this process's examples of a batch, counted through an epoch."""
        process, processes = self.share
        size = self.regime.batch_size // processes
        return step * self.regime.batch_size + process * size + np.arange(size)

    def _training_rows(self, step):
        epoch, step = divmod(int(step), self.steps_per_epoch)
        drawn = self._plan(epoch)
        index = drawn["order"][self._part(step)]
        parameters = np.zeros((len(index), 16), np.float32)  # see `_distorted`
        if "crop" in drawn:
            parameters[:, :4] = np.hstack([drawn["crop"][index], drawn["box"][index]])
        if "flip" in drawn:
            parameters[:, 4] = drawn["flip"][index]
        if "color" in drawn:
            color = drawn["color"][index]
            parameters[:, 5:7] = color[:, :2]
            parameters[:, 7:] = augmentations.color_matrices(color).reshape(-1, 9)
        return self._places["train"][index], np.ones(len(index), np.float32), parameters

    def _evaluation_rows(self, split, step):
        places = self._places[split]
        index = self._part(int(step))
        weights = (index < len(places)).astype(np.float32)
        index = np.minimum(index, len(places) - 1)
        return places[index], weights, np.zeros((len(index), 16), np.float32)

    # From rows to images.

    def _stream(self, split, rows, first=0, augment=None):
        """Batches without end from step `first` on; of training where `augment` is."""
        data, regime = self.data, self.regime
        labels = np.stack([data.y_train, data.y_train_true], axis=1)
        if split == "val":
            labels = np.stack([data.y_test, data.y_test], axis=1)
        # Noise is a part of the training set; an order of the pixels is of every image.
        pixels = "true" if split == "val" and regime.pixels != "shuffled" else regime.pixels

        def example(place, weight, drawn):
            image = self._image(split, place, drawn, augment or (), pixels)
            label = labels[place]
            return (image, label, weight) if augment is None else (image, label[0])

        if tf is None:
            return _Batches(rows, example, first)
        labels = tf.constant(labels)

        def batch(step):
            types = [tf.int64, tf.float32, tf.float32]
            place, weight, drawn = tf.numpy_function(rows, [step], types)
            return (
                tf.ensure_shape(place, [None]),
                tf.ensure_shape(weight, [None]),
                tf.ensure_shape(drawn, [None, 16]),
            )

        size = regime.batch_size // self.share[1]
        examples = tf.data.Dataset.counter(first).map(batch).unbatch()
        examples = examples.map(example, tf.data.AUTOTUNE, deterministic=True)
        return examples.batch(size, drop_remainder=True).prefetch(2)

    def _image(self, split, place, drawn, augment, pixels):
        """The image as it is fed: `input_shape`, float32 in [-1, 1]."""
        files = self.data.x_test if split == "val" else self.data.x_train
        seed, size = self.regime.data_seed, self.regime.image_size

        def read(place):
            return self.data.read(files[place])

        def corrupt(image, place):
            return corruptions.corrupt_image(
                image, int(place), pixels, seed, *self._gaussian
            )

        if tf is None:
            image = _with_pillow(read(place), drawn, augment, size)
            return image if pixels == "true" else corrupt(image, place)
        content = tf.numpy_function(read, [place], tf.string)
        image = _with_tensorflow(content, drawn, augment, size)
        if pixels != "true":
            image = tf.numpy_function(corrupt, [image, place], tf.float32)
        return tf.ensure_shape(image, self.input_shape)

    def _moments(self, pixels):
        """`(mean, std)` per channel of a sample of the training images as fed."""
        drawn = np.zeros(16, np.float32)

        def sums(place):
            image = self._image("train", place, drawn, (), pixels)
            image = np.asarray(image, np.float64).reshape(-1, 3)
            return image.mean(0), (image**2).mean(0)

        with ThreadPoolExecutor(os.cpu_count()) as threads:
            found = list(threads.map(sums, self._places["train"][:_SAMPLE]))
        mean, square = np.mean(found, axis=0)
        return mean, np.sqrt(np.maximum(square - mean**2, 0))


class _Batches(keras.utils.PyDataset):
    """The same batches without TensorFlow."""

    num_batches = None  # endless: else Keras asks for the first epoch's every epoch

    def __init__(self, rows, example, first):
        super().__init__(workers=os.cpu_count(), max_queue_size=os.cpu_count())
        self.rows, self.example, self.first = rows, example, first

    def __getitem__(self, step):
        rows = zip(*self.rows(self.first + step), strict=True)
        examples = [self.example(*row) for row in rows]
        return tuple(np.stack(arrays) for arrays in zip(*examples, strict=True))


# `drawn` is 16 numbers: top and left of the box as shares of the room there is, its
# area as a share of what fits, its aspect; flip; brightness, contrast, 3 x 3 of colour.


def box(height, width, drawn=None, xp=np):
    """Returns (top, left, height, width) of a crop, as shares of the image.

    Args:
        height, width: Of the image, in pixels.
        drawn: Four numbers as above, or `None` for the centre.
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


def _with_tensorflow(content, drawn, augment, size):
    """Decodes no more of a JPEG than is shown, nor larger than it is shown."""

    def window(shape, ratio=1):
        shares = tf.stack(box(*tf.unstack(shape), chosen, tf))
        shape = tf.math.ceil(shape / ratio)  # as libjpeg rounds
        start = tf.floor(shares[:2] * shape)
        extent = tf.clip_by_value(tf.round(shares[2:] * shape), 1, shape - start)
        return tf.cast(tf.concat([start, extent], 0), tf.int32)

    def jpeg():
        shape = tf.cast(tf.io.extract_jpeg_shape(content)[:2], tf.float32)
        shown = tf.cast(tf.reduce_min(window(shape)[2:]), tf.float32)
        ratio = tf.reduce_sum([tf.cast(shown >= r * size, tf.int32) for r in _RATIOS[1:]])

        def decode(ratio):
            return tf.image.decode_and_crop_jpeg(
                content, window(shape, ratio), channels=3, ratio=ratio
            )

        return tf.switch_case(
            ratio, [functools.partial(decode, ratio) for ratio in _RATIOS]
        )

    def other():
        image = tf.io.decode_image(content, channels=3, expand_animations=False)
        shape = tf.cast(tf.shape(image)[:2], tf.float32)
        top, left, height, width = tf.unstack(window(shape))
        return image[top : top + height, left : left + width]

    chosen = drawn if "crop" in augment else None
    image = tf.cond(tf.io.is_jpeg(content), jpeg, other)
    image = tf.image.resize(tf.ensure_shape(image, [None, None, 3]), (size, size))
    if "flip" in augment:
        image = tf.where(drawn[4] > 0, image[:, ::-1], image)
    if "color" in augment:  # as `augmentations.apply`
        grey = tf.reduce_sum(tf.reduce_mean(image, (0, 1)) * augmentations.LUMA)
        image = tf.matmul(image, tf.reshape(drawn[7:], (3, 3)), transpose_b=True)
        image += (1 - drawn[6]) * grey + drawn[5]
        image = tf.clip_by_value(image, 0, 255)
    return image / 127.5 - 1


def _with_pillow(content, drawn, augment, size):
    """The same without TensorFlow, but that Pillow smooths when it makes smaller."""
    try:
        from PIL import Image
    except ImportError:
        raise MendableError(
            "images are decoded by TensorFlow or by pillow, and neither is installed. "
            "Run: pip install pillow"
        ) from None
    with Image.open(io.BytesIO(content)) as image:
        width, height = image.size
        chosen = drawn if "crop" in augment else None
        top, left, tall, wide = box(height, width, chosen)
        image.draft("RGB", (math.ceil(size / wide), math.ceil(size / tall)))
        edges = np.array([left, top, left + wide, top + tall]) * (image.size * 2)
        edges = np.minimum(edges, image.size * 2)  # but for what was rounded
        image = image.convert("RGB").resize((size, size), Image.BILINEAR, edges)
    image = np.asarray(image, np.float32)
    if "flip" in augment and drawn[4]:
        image = image[:, ::-1]
    if "color" in augment:
        grey = image.mean((0, 1)) @ augmentations.LUMA.astype(np.float32)
        image = image @ drawn[7:].reshape(3, 3).T + (1 - drawn[6]) * grey + drawn[5]
        image = image.clip(0, 255)
    return image / np.float32(127.5) - 1

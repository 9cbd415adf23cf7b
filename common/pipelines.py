"""From arrays to batches: one plan of randomness per epoch, whole-batch operations."""

import functools
import math
from typing import Protocol, runtime_checkable

import keras
import numpy as np

from common import augmentations
from common.augmentations import SIZE
from common.cli import UsageError
from common.datasets import UNKNOWN

try:
    import tensorflow as tf
except ImportError:  # KERAS_BACKEND=jax on a machine without TensorFlow
    tf = None

HELD_OUT = 0.1  # of the training set, for early stopping
# RNG streams, apart from all others.
_ORDER, _SPLIT, _WORDS, _MEASURED = 301, 302, 303, 304
_LARGEST_FULL_BATCH_STEP = 1024  # examples at once in full-batch descent


def whiten(images):
    """Whitens each image by itself (Zhang et al. 2017, appendix A).

    Subtracts the image's mean and divides by `max(std, 1 / sqrt(N))` over its N
    values, after scaling to [0, 1].

    Args:
        images: `(batch, height, width, channels)`, uint8 or float in [0, 255].

    Returns:
        float32 array of the same shape; mean 0 and standard deviation 1.
    """
    flat = images.reshape(len(images), -1).astype(np.float32)
    flat *= np.float32(1 / 255)
    flat -= flat.mean(1, keepdims=True)
    # Centred already, so the mean square is the variance.
    std = np.sqrt(np.einsum("ij,ij->i", flat, flat) / flat.shape[1])
    flat /= np.maximum(std, 1 / np.sqrt(flat.shape[1]))[:, None]
    return flat.reshape(images.shape)


def plan(num_examples, augment, seed, epoch):
    """Draws all randomness of one epoch: a pure function of (seed, epoch).

    Returns:
        Dict of arrays with leading axis `num_examples`: `order`, the permutation
        in which examples are visited, and the augmentations' parameters, which
        belong to the example, not to its place in the order.
    """
    order = np.random.default_rng([seed, epoch, _ORDER]).permutation(num_examples)
    return {"order": order, **augmentations.draw(augment, num_examples, seed, epoch)}


def measuring_order(num_examples):
    """Returns the permutation in which training examples are measured: always one."""
    return np.random.default_rng([0, 0, _MEASURED]).permutation(num_examples)


def untuned(dataset):
    """Returns a tf.data.Dataset without the thread that tunes its parallelism.

    That thread sleeps twice as long each time, and nothing wakes it: a training would
    end with waiting for as long as it has lasted, up to a minute.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


@runtime_checkable
class AnyFeed(Protocol):
    """What a run asks of its feed: `Feed`, `TextFeed` or `streaming.Feed`.

    A feed is made of `(data, regime)`. One that is `in_memory` also has the arrays that
    the network is measured on, `x_train`, `x_test`, `x_held_out` with its `y_held_out`,
    and `measuring_order`. One that is not has `splits` and `evaluation` in their place,
    and `explain(error)`, which names the file behind one of its `errors`.
    """

    in_memory: bool  # whether the examples are arrays, as a class attribute
    data: object  # `datasets.Data` or `imagenet.Images`, corrupted
    y_train: np.ndarray  # (n,) int32 labels of the examples trained on
    y_train_true: np.ndarray  # (n,) int32, before corruption
    y_test: np.ndarray  # (m,) int32
    input_shape: tuple  # of one example, as the network takes it
    num_classes: int
    steps_per_epoch: int  # batches
    steps_at_once: int  # most batches that are run without returning to Python
    accumulate: int  # batches whose gradients make one update
    errors: tuple  # exceptions that an example which cannot be read may raise

    def batches(self, first_epoch=0):
        """Returns what `fit` consumes, from the given epoch (from 0) on, without end.

        The batches of an epoch are a pure function of the seed and the epoch.
        """

    def input_statistics(self):
        """Returns mean and standard deviation of the training inputs, two floats."""


class _Feed:
    """What images and text share; see `Feed` and `TextFeed`.

    A subclass says how raw arrays are `_prepared` to be measured on, what an epoch's
    plan is (`_drawn`), and how it changes a training batch (`_changed`).
    """

    in_memory = True
    steps_at_once = 64
    errors = ()  # nothing can go wrong with arrays

    def __init__(self, data, regime):
        self.data, self.regime = data, regime
        kept, held_out = np.arange(len(data.x_train)), None
        hold_out = bool(regime.early_stopping)
        if hold_out:
            kept, held_out = split(data)
        self.y_train = data.y_train[kept]
        self.y_train_true = data.y_train_true[kept]
        self._kept = kept  # in `data`, of the examples trained on
        self.x_train = self._prepared(data.x_train[kept] if hold_out else data.x_train)
        self.x_held_out = self._prepared(data.x_train[held_out]) if hold_out else None
        self.y_held_out = data.y_train[held_out] if hold_out else None
        self.x_test, self.y_test = self._prepared(data.x_test), data.y_test
        num_examples = len(kept)
        self.measuring_order = measuring_order(num_examples)
        full = regime.batch_size == "full"
        self.batch_size = _part_of(num_examples) if full else regime.batch_size
        self.steps_per_epoch = math.ceil(num_examples / self.batch_size)
        self.accumulate = self.steps_per_epoch if full else 1
        self._plan = functools.lru_cache(2)(self._drawn)

    @property
    def input_shape(self):
        return self.x_train.shape[1:]

    @property
    def num_classes(self):
        return self.data.num_classes

    @property
    def index(self):
        """Places of the examples trained on in the whole training set, `(n,)`."""
        whole = self.data.index
        return self._kept if whole is None else whole[self._kept]

    def input_statistics(self):
        """Returns mean and standard deviation of the training inputs."""
        x = self.x_train
        return float(x.mean(dtype=np.float64)), float(x.std(dtype=np.float64))

    def drawn(self, epoch, part=slice(None)):
        """Returns a part of an epoch's plan, in the order in which it is visited.

        Returns:
            Dict of arrays: `order`, places in `x_train`, and what changes them there.
        """
        plan = self._plan(epoch)
        index = plan["order"][part]
        return {k: index if k == "order" else v[index] for k, v in plan.items()}

    def batch(self, step):
        """Returns batch number `step`, counted through all epochs.

        Returns:
            `(x, y)`: a batch of `x_train`, as training changes it, and int32
            `(batch,)`.
        """
        epoch, step = divmod(int(step), self.steps_per_epoch)
        part = slice(step * self.batch_size, (step + 1) * self.batch_size)
        parameters = self.drawn(epoch, part)
        index = parameters.pop("order")
        if not parameters:
            return self.x_train[index], self.y_train[index]
        return self._changed(index, parameters), self.y_train[index]

    def batches(self, first_epoch=0):
        """Returns what `fit` consumes, from the given epoch (from 0) on.

        A tf.data.Dataset where TensorFlow runs the training, a
        `keras.utils.PyDataset` elsewhere; the batches are the same, bit for bit.
        """
        if tf is None or keras.backend.backend() != "tensorflow":
            return _Batches(self, first_epoch)

        @tf.autograph.experimental.do_not_convert
        def make(step):
            x, y = tf.numpy_function(self.batch, [step], [self.x_train.dtype, tf.int32])
            return tf.ensure_shape(x, (None, *self.input_shape)), tf.ensure_shape(
                y, (None,)
            )

        steps = tf.data.Dataset.counter(first_epoch * self.steps_per_epoch)
        batches = steps.map(make, num_parallel_calls=2, deterministic=True)
        return untuned(batches.prefetch(8))


class Feed(_Feed):
    """The training batches of every epoch, and the arrays the network is measured on.

    Args:
        data: `datasets.Data` of images, corrupted already.
        regime: `regime.Regime`. `batch_size` is an integer, or `"full"` for full-batch
            gradient descent, which is fed in equal parts whose gradients are averaged
            before the update; `augment`, a tuple of `augmentations.NAMES`, is applied
            to training batches; `seed` decides order and augmentation; with
            `early_stopping` a tenth of the training set is held out.

    Attributes: those of `AnyFeed`, and
        x_train, y_train, y_train_true: The examples trained on, as the network is
            measured on them: centre crop, whitened, float32.
        x_held_out, y_held_out: The tenth (None without `early_stopping`).
        x_test, y_test: The test set, whitened.
        batch_size: Examples in a batch; the last one of an epoch may be smaller.

    Raises:
        UsageError: If there are too few examples to hold any out, or images too
            small for the augmentation.
    """

    def __init__(self, data, regime):
        if "crop" in regime.augment and data.x_train.shape[1] <= SIZE:
            raise UsageError(
                f"--random-crop draws a {SIZE}x{SIZE} window of a larger image, but "
                f"those of {data.name} are {data.x_train.shape[1]} pixels wide: leave "
                "the crop out."
            )
        super().__init__(data, regime)

    def _prepared(self, images):
        return prepare(images)

    def _drawn(self, epoch):
        return plan(len(self.y_train), self.regime.augment, self.regime.seed, epoch)

    @property
    def raw_train(self):
        """The examples trained on, before crop and whitening."""
        return self.data.x_train[self._kept]

    def _changed(self, index, parameters):
        images = self.data.x_train[self._kept[index]]
        return whiten(augmentations.apply(images, parameters, SIZE))


class TextFeed(_Feed):
    """The same for text; its attributes, methods and errors are those of `Feed`.

    Args:
        data: `datasets.Data` of `(num_examples, length)` int32 words, 0 at padding,
            corrupted already.
        regime: As for `Feed`; `word_dropout`, in place of augmentation, is the
            probability in [0, 1) with which a word of a training batch becomes
            `UNKNOWN` (Bowman et al. 2016). Padding stays.
    """

    def _prepared(self, reviews):
        return reviews

    def _drawn(self, epoch):
        regime = self.regime
        drawn = plan(len(self.y_train), (), regime.seed, epoch)
        if regime.word_dropout:
            rng = np.random.default_rng([regime.seed, epoch, _WORDS])
            uniform = rng.random(self.x_train.shape, dtype=np.float32)
            drawn["dropped"] = uniform < regime.word_dropout
        return drawn

    def _changed(self, index, parameters):
        words = self.x_train[index]
        return np.where(parameters["dropped"] & (words != 0), np.int32(UNKNOWN), words)


class _Batches(keras.utils.PyDataset):
    """The same batches without TensorFlow, counted through all epochs."""

    # None: without end. With a length, Keras would begin every epoch with the batches
    # of `first_epoch`.
    num_batches = None

    def __init__(self, feed, first_epoch):
        super().__init__()
        self.feed, self.first_step = feed, first_epoch * feed.steps_per_epoch

    def __getitem__(self, step):
        return self.feed.batch(self.first_step + step)


def prepare(images, inputs="whitened", size=SIZE):
    """Returns the centre crops as a network is measured on them, float32.

    Args:
        images: `(num_images, height, width, channels)`, uint8 or float.
        inputs: `whitened`, as in every training script, or `unit`: divided by 255.
        size: Side of the crop, in pixels.
    """
    images = augmentations.centre_crop(images, size)
    if inputs == "unit":
        return images.astype(np.float32) / 255
    result = np.empty(images.shape, np.float32)
    for start in range(0, len(images), 5000):  # blocks bound the memory
        result[start : start + 5000] = whiten(images[start : start + 5000])
    return result


def split(data):
    """A random tenth to hold out; the same for every seed."""
    num_examples = len(data.y_train)
    count = int(num_examples * HELD_OUT)
    if count < data.num_classes:
        raise UsageError(
            f"--early-stopping holds out a tenth of the training set, but a tenth of "
            f"{num_examples} examples is {count}, fewer than the {data.num_classes} "
            f"classes: use --train-size {data.num_classes * 10} or more."
        )
    order = np.random.default_rng([0, 0, _SPLIT]).permutation(num_examples)
    return np.sort(order[count:]), np.sort(order[:count])


def _part_of(num_examples):
    """The largest equal part of a full batch, of 32 to 1,024 examples, or all of it."""
    for size in range(min(num_examples, _LARGEST_FULL_BATCH_STEP), 31, -1):
        if num_examples % size == 0:
            return size
    if num_examples > 10 * _LARGEST_FULL_BATCH_STEP:
        raise UsageError(
            f"--batch-size full: {num_examples} examples have no equal parts of 32 to "
            f"{_LARGEST_FULL_BATCH_STEP}, and all at once they may not fit in memory. "
            "Choose another --train-size, such as a multiple of 1000."
        )
    return num_examples

"""From image files to batches: decoded and distorted as they are needed.

The plan of randomness is that of `pipelines`. tf.data decodes where TensorFlow is
installed, whatever the backend, and Pillow elsewhere.
"""

import collections
import functools
import math
import os
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np

from common import augmentations, corruptions, pipelines
from common.cli import MendableError, UsageError
from common.image_files import decoding
from common.image_files.decoding import tf

if tf is not None and keras.backend.backend() != "tensorflow":
    tf.config.set_visible_devices([], "GPU")  # they are the other backend's

_BOX = 107  # RNG stream, beside those of `augmentations`
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
        low, high = np.log(decoding.ASPECT)  # log-uniform: tall and wide are alike
        box = rng.uniform((0, low), (1, high), (num_examples, 2))
        drawn["box"] = np.stack([box[:, 0], np.exp(box[:, 1])], axis=1)
    return drawn


class Feed:
    """The training batches of every epoch, and those the network is measured on.

    Images are `(image_size, image_size, 3)` float32 in [-1, 1]: with `crop` a box drawn
    at random, else the centre, squeezed to a square. A training batch is always whole:
    what remains of an epoch's order is left out, other images in every epoch.

    Args:
        data: `imagenet.Images`, labels corrupted already.
        regime: `regime.Regime`.
        share: `(i, n)`: this process feeds part i (from 0) of the n of every batch.

    Attributes: those of `pipelines.AnyFeed`, and
        splits: What the network is measured on: train, val, and held_out with
            `early_stopping`.

    Raises:
        UsageError: If the settings do not go with images in files, or a batch has
            more images than the training set.
    """

    in_memory = False
    steps_at_once = accumulate = 1
    errors = decoding.ERRORS  # see `explain`

    def __init__(self, data, regime, share=(0, 1)):
        regime.check_files()
        kept, test = np.arange(len(data.y_train)), np.arange(len(data.y_test))
        self._places = {"train": kept, "val": test}
        if regime.early_stopping:
            kept, held_out = pipelines.split(data)
            self._places |= {"train": kept, "held_out": held_out}
        if regime.batch_size > len(kept):
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
        # TensorFlow traces a stream once, not after each epoch.
        self.evaluation = functools.lru_cache(8)(self.evaluation)
        self._recent = collections.deque(maxlen=8 * regime.batch_size)  # files read
        if tf is not None:
            self._paths = [
                tf.constant(os.fsencode(data.folder) + b"/")
                + tf.constant(files["path"])
                for files in (data.x_train, data.x_test)
            ]
        self._gaussian = (0.0, 1.0)
        if regime.pixels == "gaussian":
            self._gaussian = self._moments("true")

    def batches(self, first_epoch=0):
        """Returns what `fit` consumes, from the given epoch (from 0) on."""
        first = first_epoch * self.steps_per_epoch
        return self._stream("train", self._training_rows, first, self.regime.augment)

    def evaluation(self, split, examples=None):
        """Returns `(batches, steps)` that hold every example of a split once.

        Or, of the training set, the first `examples` in a fixed random order.

        The batches are `(images, labels, weights)`, the labels of an example the given
        and the true one; the last batch is filled up with examples of weight 0.
        """
        places = self._places[split]
        if examples:
            places = places[pipelines.measuring_order(len(places))[:examples]]
        rows = functools.partial(self._evaluation_rows, split, places)
        steps = math.ceil(len(places) / self.regime.batch_size)
        batches = self._stream(split, rows)
        if tf is not None and tf.distribute.has_strategy():
            strategy = tf.distribute.get_strategy()  # else Keras does it, each time
            batches = strategy.experimental_distribute_dataset(batches)
        return batches, steps

    def input_statistics(self):
        """Returns mean and standard deviation of a sample of the training inputs."""
        mean, std = self._moments(self.regime.pixels)
        square = (std**2 + mean**2).mean()
        return float(mean.mean()), float(np.sqrt(square - mean.mean() ** 2))

    def explain(self, error):
        """Returns what to raise in place of one of `errors`: it names the image."""
        for file in list(self._recent):
            try:
                decoding.decode(self.data.read(file), 75)
            except (*self.errors, OSError) as damage:
                return MendableError(
                    f"{self.data.folder / os.fsdecode(file['path'])} holds an image "
                    f"that cannot be read ({decoding.reason(damage)}). Put the "
                    "original there, or leave the image out and give the rest a "
                    "--dataset name of its own."
                )
        return error

    # Rows: places of a batch's images, their weights, and their random parameters.

    def _part(self, step):
        """Epoch-wide indices of this process's share of a batch."""
        process, processes = self.share
        size = self.regime.batch_size // processes
        return step * self.regime.batch_size + process * size + np.arange(size)

    def _training_rows(self, step):
        epoch, step = divmod(int(step), self.steps_per_epoch)
        drawn = self._plan(epoch)
        index = drawn["order"][self._part(step)]
        parameters = np.zeros((len(index), decoding.DRAWN), np.float32)
        if "crop" in drawn:
            parameters[:, :4] = np.hstack([drawn["crop"][index], drawn["box"][index]])
        if "flip" in drawn:
            parameters[:, 4] = drawn["flip"][index]
        if "color" in drawn:
            color = drawn["color"][index]
            parameters[:, 5:7] = color[:, :2]
            parameters[:, 7:] = augmentations.color_matrices(color).reshape(-1, 9)
        places = self._places["train"][index]
        self._recent.extend(self.data.x_train[places])
        return places, np.ones(len(index), np.float32), parameters

    def _evaluation_rows(self, split, places, step):
        index = self._part(int(step))
        weights = (index < len(places)).astype(np.float32)
        index = np.minimum(index, len(places) - 1)
        files = self.data.x_test if split == "val" else self.data.x_train
        self._recent.extend(files[places[index]])
        parameters = np.zeros((len(index), decoding.DRAWN), np.float32)
        return places[index], weights, parameters

    # From rows to images.

    def _stream(self, split, rows, first=0, augment=None):
        """Batches without end from step `first` on; of training where `augment` is."""
        data, regime = self.data, self.regime
        labels = np.stack([data.y_train, data.y_train_true], axis=1)
        if split == "val":
            labels = np.stack([data.y_test, data.y_test], axis=1)
        # Noise is a part of the training set; an order of the pixels is of every image.
        pixels = regime.pixels
        if split == "val" and pixels != "shuffled":
            pixels = "true"

        def example(place, weight, drawn):
            image = self._image(split, place, drawn, augment or (), pixels)
            label = labels[place]
            return (image, label, weight) if augment is None else (image, label[0])

        if tf is None:
            return _Batches(rows, example, first)
        labels = tf.constant(labels)
        # What depends on a tensor is said in TensorFlow's words: autograph, which
        # would look for it in every function that is called, finds nothing.
        plain = tf.autograph.experimental.do_not_convert

        @plain
        def batch(step):
            types = [tf.int64, tf.float32, tf.float32]
            place, weight, drawn = tf.numpy_function(rows, [step], types)
            return (
                tf.ensure_shape(place, [None]),
                tf.ensure_shape(weight, [None]),
                tf.ensure_shape(drawn, [None, decoding.DRAWN]),
            )

        size = regime.batch_size // self.share[1]
        examples = tf.data.Dataset.counter(first).map(batch).unbatch()
        examples = examples.map(plain(example), os.cpu_count(), deterministic=True)
        batches = examples.batch(size, drop_remainder=True)
        return pipelines.untuned(batches.prefetch(2))

    def _image(self, split, place, drawn, augment, pixels):
        """The image as it is fed: `input_shape`, float32 in [-1, 1]."""
        files = self.data.x_test if split == "val" else self.data.x_train
        size = self.regime.image_size

        def read(place):
            return self.data.read(files[place])

        def corrupt(image, place):
            return corruptions.corrupt_image(
                image, int(place), pixels, self.regime.data_seed, *self._gaussian
            )

        if tf is None:
            image = decoding.decode(read(place), size, drawn, augment)
            return image if pixels == "true" else corrupt(image, place)
        if files["length"].any():  # in records
            content = tf.numpy_function(read, [place], tf.string)
        else:
            content = tf.io.read_file(self._paths[split == "val"][place])
        if tf.inside_function():
            image = _decoder(size, augment)(content, drawn)
        else:
            image = decoding.decode(content, size, drawn, augment)
        if pixels != "true":
            image = tf.numpy_function(corrupt, [image, place], tf.float32)
        return tf.ensure_shape(image, self.input_shape)

    def _moments(self, pixels):
        """`(mean, std)` per channel of a sample of the training images as fed."""

        def sums(place):
            image = self._image("train", place, None, (), pixels)
            image = np.asarray(image, np.float64).reshape(-1, 3)
            return image.mean(0), (image**2).mean(0)

        with ThreadPoolExecutor(os.cpu_count()) as threads:
            found = list(threads.map(sums, self._places["train"][:_SAMPLE]))
        mean, square = np.mean(found, axis=0)
        return mean, np.sqrt(np.maximum(square - mean**2, 0))


@functools.lru_cache
def _decoder(size, augment):
    """`decode` as one graph, traced once and shared by all streams."""
    return tf.function(
        lambda content, drawn: decoding.decode(content, size, drawn, augment),
        [tf.TensorSpec([], tf.string), tf.TensorSpec([decoding.DRAWN], tf.float32)],
        autograph=False,
    )


class _Batches(keras.utils.PyDataset):
    """The same batches without TensorFlow; the next one is decoded meanwhile.

    By threads of its own: with more than one of Keras's `workers` the first batch of
    an endless `PyDataset` is lost.
    """

    num_batches = None  # without end, see `pipelines`

    def __init__(self, rows, example, first):
        super().__init__()
        self.rows, self.example, self.first = rows, example, first
        self.threads, self.begun = ThreadPoolExecutor(os.cpu_count()), {}

    def __getitem__(self, step):
        examples = self.begun.pop(step, None) or self._begin(step)
        self.begun = {step + 1: self._begin(step + 1)}
        return tuple(np.stack(arrays) for arrays in zip(*examples, strict=True))

    def _begin(self, step):
        return self.threads.map(self.example, *self.rows(self.first + step))

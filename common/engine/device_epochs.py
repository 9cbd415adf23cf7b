"""Epochs on an accelerator: the data set stays there, an epoch is one compiled call.

For JAX on one GPU or TPU, where a step of a small network takes less time than its
batch takes to come. `fit` stays in charge, with all its callbacks; what it takes for
one step is an epoch. The batches are those of `pipelines.Feed`: places and
augmentation are the same plan, only gathered, cropped and whitened on the device.
"""

import functools

import keras
import numpy as np

from common import augmentations

_ON_DEVICE = {"crop", "flip"}  # other augmentations are NumPy's


def possible(feed, accelerator=None):
    """Whether the epochs of a feed can be trained so.

    Args:
        feed: `pipelines.Feed` or another.
        accelerator: Whether there is one; None to find out.
    """
    if keras.backend.backend() != "jax" or keras.distribution.distribution():
        return False
    if not feed.in_memory or feed.regime.word_dropout or feed.accumulate > 1:
        return False
    if not set(feed.regime.augment) <= _ON_DEVICE:
        return False
    import jax

    return jax.default_backend() != "cpu" if accelerator is None else accelerator


def prepare(model, feed, first_epoch):
    """Lets `model.fit` train an epoch in one call; returns what it is to be fed with.

    Args:
        model: Compiled `keras.Model` on JAX, its optimizer built.
        feed: A feed for which this is `possible`.
        first_epoch: The one that training begins with, from 0.

    Returns:
        Plans of epochs, without end: each is a step of `fit`, so that
        `steps_per_epoch` is 1.
    """
    import jax

    raw = bool(feed.regime.augment)
    x = jax.device_put(feed.raw_train if raw else feed.x_train)
    y = jax.device_put(feed.y_train)

    @functools.partial(jax.jit, donate_argnums=0)
    def epoch(state, x, y, whole, rest):
        """Updates the state by all batches: those of one size, and a smaller last."""

        def step(state, drawn):
            index = drawn["order"]
            images = augmented(x[index], drawn) if raw else x[index]
            logs, new = model.train_step(state, (images, y[index]))
            # `train_step` may give lists where it was given tuples.
            same = jax.tree.structure(state)
            return jax.tree.unflatten(same, jax.tree.leaves(new)), logs

        state, logs = jax.lax.scan(step, state, whole)
        logs = jax.tree.map(lambda each: each[-1], logs)
        if len(rest["order"]):
            state, logs = step(state, rest)
        return logs, state

    def train_function(state, plans):
        whole, rest = next(plans)
        return epoch(state, x, y, whole, rest)

    # `fit` would build the loss and metrics from a batch, and never sees one here.
    labels, logits = np.zeros(1, "int32"), np.zeros((1, feed.num_classes), "float32")
    model.compute_loss(None, labels, logits)
    model.compute_metrics(None, labels, logits)
    model.train_function = train_function
    return _Plans(feed, first_epoch)


def augmented(images, drawn):
    """Crops, mirrors and whitens on the device what `pipelines` does in NumPy.

    Args:
        images: `(batch, height, width, channels)` uint8 or float32, on the device.
        drawn: `offsets` of the crops, and `flip` of `augmentations.draw` if any.
    """
    import jax.numpy as jnp

    size = augmentations.SIZE
    top, left = drawn["offsets"].T
    rows, columns = (start[:, None] + jnp.arange(size) for start in (top, left))
    if "flip" in drawn:
        columns = jnp.where(drawn["flip"][:, None] == 1, columns[:, ::-1], columns)
    example = jnp.arange(len(images))[:, None, None]
    flat = images[example, rows[:, :, None], columns[:, None, :]].reshape(
        len(images), -1
    )
    flat = flat.astype("float32") * np.float32(1 / 255)
    flat -= flat.mean(1, keepdims=True)
    std = jnp.sqrt((flat * flat).mean(1, keepdims=True))
    flat /= jnp.maximum(std, 1 / np.sqrt(flat.shape[1], dtype=np.float32))
    return flat.reshape(len(images), size, size, -1)


class _Plans(keras.utils.PyDataset):
    """The plan of one epoch after another: its whole batches, and what is left."""

    num_batches = None  # without end

    def __init__(self, feed, first_epoch):
        super().__init__()
        self.feed, self.first = feed, first_epoch

    def __getitem__(self, epoch):
        drawn, size = self.feed.drawn(self.first + epoch), self.feed.batch_size
        number = len(drawn["order"]) // size
        if "crop" in drawn or "flip" in drawn:
            shape = (len(drawn["order"]), *self.feed.raw_train.shape[1:])
            drawn["offsets"] = augmentations.offsets(shape, drawn).astype("int32")
            drawn.pop("crop", None)  # in 64 bits, which an accelerator lacks
        drawn["order"] = drawn["order"].astype("int32")
        whole = {
            k: v[: number * size].reshape(number, size, *v.shape[1:])
            for k, v in drawn.items()
        }
        return whole, {k: v[number * size :] for k, v in drawn.items()}

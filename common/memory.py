"""Whether what a command line asks for can fit in memory (imports no Keras)."""

import math
import os
from dataclasses import fields, replace

from common import datasets
from common.cli import UsageError
from common.engine import machine
from common.settings import spell, spelling

# Values that derivatives need of one example, from a convolution each: 28x28 images.
_OUTPUTS = {"cifar10_alexnet": 62_000, "cifar10_inception": 386_000}
_COPIES = {"adam": 2, "sgd": 0, "rmsprop": 1, "adagrad": 1}  # of weights, by optimizers
_SIDE = 28  # of the images that networks in memory are given


def check(script, settings, usual, processes=1):
    """Refuses settings that cannot fit in the memory that is free now.

    Args:
        script: The script's name without .py.
        settings: The run's `Settings`.
        usual: The script's own: these are never refused.
        processes: How many share a batch.

    Raises:
        UsageError: With the setting that takes the most, and the largest that fits.
    """
    free = machine.available_memory() + machine.free_swap()
    if script == "min_norm":
        usual = replace(settings, train_size=2)  # nothing else makes its matrices large

    def fits(settings):
        return least(script, settings, processes) <= free

    if fits(settings) or (_has_accelerator() and least(script, settings, 0) <= free):
        return
    changed = [
        (least(script, replace(settings, **{each.name: ours}), processes), each)
        for each in fields(settings)
        if (ours := getattr(usual, each.name)) != getattr(settings, each.name)
    ]
    if not changed:
        return
    each = min(changed, key=lambda pair: pair[0])[1]
    value = getattr(settings, each.name)
    low, high = 0, max(value) if isinstance(value, tuple) else value
    if not isinstance(high, int):
        return
    while high - low > 1:  # the largest that fits is low, or there is none
        middle = (low + high) // 2
        if isinstance(value, tuple):
            capped = tuple(min(number, middle) for number in value)
        else:
            capped = middle
        if fits(replace(settings, **{each.name: capped})):
            low = middle
        else:
            high = middle
    need = least(script, settings, processes)
    largest = f"at most {low} may fit" if low else "choose smaller settings"
    raise UsageError(
        f"{spelling(each)} {spell(value, ' ')} needs {_said(need)} of memory or more, "
        f"and {_said(free)} are free: {largest}."
    )


def least(script, settings, processes=1):
    """Returns bytes that a run holds at once, at the least; 0 where nothing is large.

    An estimate from below, so that nothing is refused that could run: data sets,
    temporaries and what Keras itself takes are not counted. Counted are

    - of a network that is trained: weights in float32, their gradients, and the copies
      that the optimizer keeps; and of a batch the outputs that derivatives need, one of
      each layer, of 2 bytes (bfloat16), or of Inception v3 those of its first three
      convolutions and the images themselves;
    - of many small networks at once (mnist_l2norm.py, expressivity.py,
      double_descent.py, measures.py, influence.py): for each its images or
      components, the labels or hidden units, and its weights, as they are drawn and
      as they are stacked, or with gradients and Adam's copies.

    - of least squares on random features, and of leaving one out (min_norm.py): two
      matrices of examples by examples, in float64. Its other kernel matrices it
      estimates itself, from the data.

    Args:
        script: The script's name without .py.
        settings: Its `Settings`.
        processes: How many share a batch; 0 where neither batches nor copies are in
            the memory that is asked about, but in an accelerator's.
    """
    s, facts = settings, datasets.FACTS.get(settings.dataset)
    shape = facts.shape if facts and facts.kind == "images" else (_SIDE, _SIDE, 3)
    inputs = _SIDE * _SIDE * shape[2]
    if script == "mnist_l2norm":
        replicas = s.seeds * len(s.labels)
        weights = (inputs + 1) * 64 + 65 * 64 + 65 * 10
        return replicas * (4 * s.sizes[-1] * inputs + 8 * weights)
    if script == "double_descent":
        width = s.widths[-1]
        weights = (inputs + 1) * width + (width + 1) * 10
        each = 4 * s.train_size * (inputs + width) + 20 * weights
        return s.seeds * len(s.noise) * each
    if script == "influence":  # masks and right answers; 50 networks' examples
        at_once, weights = min(s.networks, 50), (inputs + 1) * s.width
        each = 4 * int(s.share * s.train_size) * (inputs + s.width) + 20 * weights
        return at_once * each + 2 * s.networks * s.train_size
    if script == "measures":
        width, deeper = s.widths[-1], s.depths[-1] - 1
        weights = (inputs + 1) * width + (width + 1) * (deeper * width + 10)
        each = 4 * s.sizes[-1] * (inputs + width) + 20 * weights
        return s.seeds * len(s.noise) * each
    if script == "expressivity":
        if s.widths is None:
            return 0
        n, width = s.sizes[-1] if s.sizes else 1, s.widths[-1]
        if s.updates:  # means, deviations, their gradients and squares; images
            return 24 * inputs * width + 4 * n * inputs
        inputs = s.components
        weights = (inputs + 1) * width + (width + 1) * 2
        return s.draws * (8 * n + s.restarts * (4 * n * inputs + 8 * weights))
    if script == "min_norm":
        return 16 * s.train_size**2 if s.levels else 0
    classes, weights, outputs = 10, 0, _OUTPUTS.get(script, 0)
    if s.hidden:
        sizes = (inputs, *s.hidden, classes)
        weights = sum((a + 1) * b for a, b in zip(sizes, sizes[1:], strict=False))
        outputs = sum(s.hidden)
    elif s.depth:
        blocks, k = (s.depth - 4) // 6, s.width
        channels, below = (16 * k, 32 * k, 64 * k), (16, 16 * k, 32 * k)
        for side, here, before in zip((28, 14, 7), channels, below, strict=True):
            weights += 9 * here * (before + (2 * blocks - 1) * here)
            outputs += 2 * blocks * side**2 * here
    elif s.image_size:
        outputs = s.image_size**2 * (3 + (32 + 32 + 64) // 4)
    if not processes:
        return 4 * weights
    batch = 32 if s.batch_size == "full" else s.batch_size // processes
    if facts and not s.image_size:
        batch = min(batch, s.train_size or facts.train)
    copies = 2 + _COPIES[s.optimizer] + bool(s.momentum)
    return copies * 4 * weights + batch * 2 * outputs


def _has_accelerator():
    other = os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow"
    return other or bool(machine.gpus())


def _said(size):
    """A number of bytes in words, as `1.5 GB`."""
    power = min(int(math.log10(max(size, 1))) // 3, 6)
    return f"{size / 1000**power:.3g} {('bytes', *'kMGTPE')[power]}{'B' * bool(power)}"

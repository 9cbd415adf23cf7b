"""Many small networks trained at once, in one compiled loop with a replica axis.

The replicas of one size share nothing but the loop: each has its own examples,
labels, initial weights and order, and its weights are kept at its own stopping
points. The loop is one XLA program over a chunk of epochs, which it leaves as soon
as a replica reaches a stopping point; plain `fit` pays Python and dispatch for every
replica and batch. The update is that of Keras's own optimizer on stacked weights, so
it must be elementwise (adam, sgd, rmsprop, adagrad …).
"""

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from common import curvature, measures, pipelines

CHUNK = 32_768  # examples a replica sees between two looks at the clock
# Examples per epoch of all replicas below which finished ones are carried along:
# another compilation would cost more than they do.
WORTH_COMPILING = 4096


class Stop(NamedTuple):
    """A replica at a stopping point, or where it ran out of epochs (censored)."""

    epochs: int
    reached: bool
    weights: list  # kernel, bias, kernel, bias …


def train(
    initial,
    x,
    y,
    seeds,
    optimizer="adam",
    batch_size=128,
    max_epochs=6000,
    target_loss=1e-5,
    report=None,
):
    """Trains ReLU networks of one architecture side by side.

    Criteria are of the fixed network after an epoch, over its whole training set.
    Orders are made outside XLA, whose random streams differ from TensorFlow's
    (and whose sort is slow): `pipelines.plan(n, (), seed, epoch)["order"]`.

    Args:
        initial: `(replicas, ...)` arrays: kernel, bias, kernel, bias …
        x: `(replicas, n, features)` float32.
        y: `(replicas, n)` integer labels.
        seeds: `(replicas,)` integers, of the orders.
        optimizer: Name of a Keras optimizer, at its default rate.
        batch_size: Integer; the last batch of an epoch may be smaller.
        max_epochs: Where a replica is given up.
        target_loss: Mean cross-entropy in nats.
        report: Function of `(epoch, fitted, finished, losses)`, called now and
            then: two counts, and the last losses of the replicas still running.

    Returns:
        A pair of `Stop` for each replica: first epoch with training accuracy 100 %;
        first from there on with training loss <= `target_loss`.
    """
    stops = [[None, None] for _ in seeds]
    alive = np.arange(len(seeds))
    state = None
    epoch, chunk = 0, max(1, CHUNK // y.shape[1])
    while epoch < max_epochs and len(alive):
        if state is None:  # at the start, and when finished replicas were dropped
            loop = _Loop([w[alive] for w in initial], x[alive], y[alive], optimizer)
            loop.compile(batch_size, target_loss)
        elif len(kept := np.flatnonzero([stops[r][1] is None for r in members])) <= (
            len(members) // 2
        ):
            pass
        break
    return stops

"""Many small networks trained at once, in one compiled loop with a replica axis.

Replicas share nothing but the loop: each has its own examples, labels, initial
weights and order, and its weights are kept at its own stopping points. The loop is
one XLA program over a chunk of epochs, which it leaves as soon as a replica reaches
a stopping point; plain `fit` pays dispatch for every replica and batch. The update is
that of Keras's own optimizer on stacked weights.
"""

from typing import NamedTuple

import keras
import numpy as np

from common import pipelines
from common.models.losses import cross_entropy, squared_error

if keras.backend.backend() == "tensorflow":  # the scripts refuse the others
    import tensorflow as tf

LOSSES = ("cross_entropy", "squared_error")
OPTIMIZERS = ("adam", "sgd", "rmsprop", "adagrad")  # elementwise updates only
# Examples that a replica sees between two looks at the clock: about a second.
CHUNK = 16_384
# Finished replicas are carried along while an epoch of all replicas together has
# fewer examples than this: compiling again would cost more than they do.
WORTH_COMPILING = 4096


class Stop(NamedTuple):
    """A replica at a stopping point, or where it ran out of epochs (censored)."""

    epochs: int
    reached: bool
    weights: list  # kernel, bias, kernel, bias ...


def train(
    initial,
    x,
    y,
    seeds,
    optimizer="adam",
    batch_size=128,
    max_epochs=6000,
    target_loss=1e-5,
    report=lambda epoch, fitted, finished, losses: None,
    loss="cross_entropy",
    look=lambda epoch, members, weights: None,
    look_at=(),
):
    """Trains ReLU networks of one architecture side by side.

    Both criteria are evaluated on the training set after an epoch, weights frozen.

    Args:
        initial: List of `(replicas, ...)` arrays: kernel, bias, kernel, bias ...
        x: `(replicas, n, features)` float32.
        y: `(replicas, n)` integer labels.
        seeds: `(replicas,)` integers; the order of epoch e is that of every run of
            this project, `pipelines.plan(n, (), seed, e)["order"]`.
        optimizer: One of `OPTIMIZERS`, at Keras's default rate; for another rate its
            `{"class_name": …, "config": …}`.
        batch_size: Integer; the last batch of an epoch may be smaller.
        max_epochs: Where a replica is given up.
        target_loss: Mean loss; infinity ends at 100 % accuracy.
        report: Called with the epoch, how many replicas have reached the first and
            the second stopping point, and the losses of those running.
        loss: One of `LOSSES`: cross-entropy in nats, or half the squared distance of
            the outputs to one-hot labels.
        look: Called with an epoch, indices of replicas, and their weights as `initial`
            has them, of all that are not finished.
        look_at: The epochs after which it is, in ascending order.

    Returns:
        For each replica a list of two `Stop`: the first epoch with training accuracy
        100 %, and the first from there on with training loss <= `target_loss`.
    """
    stops = [[None, None] for _ in seeds]
    members, n, epoch = np.arange(len(seeds)), y.shape[1], 0
    loop = _Loop(initial, x, y, optimizer, batch_size, target_loss, loss)
    while epoch < max_epochs and any(stop[1] is None for stop in stops):
        running = np.array([stops[r][1] is None for r in members])
        if 2 * running.sum() <= len(members) and len(members) * n >= WORTH_COMPILING:
            loop, members = loop.only(np.flatnonzero(running)), members[running]
        ends = [end for end in look_at if end > epoch]
        count = min(max(1, CHUNK // n), min([max_epochs, *ends]) - epoch)
        rows = loop.rows(seeds[members], range(epoch, epoch + count))
        first = 0
        while first < count:  # the program stops at every stopping point
            waiting = [[stops[r][i] is None for r in members] for i in (0, 1)]
            if not any(waiting[1]):
                break
            first, *hits, losses = loop.run(rows, first, count, *waiting)
            for i, hit in enumerate(hits):
                for place in np.flatnonzero(hit):
                    stop = Stop(epoch + first, True, loop.weights_of(place))
                    stops[members[place]][i] = stop
            reached = [sum(stop[i] is not None for stop in stops) for i in (0, 1)]
            report(epoch + first, *reached, losses[np.array(waiting[1])])
        epoch += count
        running = [place for place, r in enumerate(members) if stops[r][1] is None]
        if epoch in look_at and running:
            weights = [v.value.numpy()[running] for v in loop.variables]
            look(epoch, members[running], weights)
    for place, replica in enumerate(members):
        last = Stop(epoch, False, loop.weights_of(place))
        stops[replica] = [stop or last for stop in stops[replica]]
    return stops


class _Loop:
    """Stacked weights, their optimizer, and the program that trains them."""

    def __init__(self, weights, x, y, optimizer, batch_size, target_loss, loss):
        self.arguments = (optimizer, batch_size, target_loss, loss)
        self.x, self.y = tf.constant(x), tf.constant(y, tf.int32)
        self.replicas, self.n, self.features = x.shape
        self.variables = [keras.Variable(w) for w in weights]
        self.optimizer = keras.optimizers.get(optimizer)
        self.optimizer.build(self.variables)
        self.batch_size = min(batch_size, self.n)
        self.steps = -(-self.n // self.batch_size)
        # An example's weight in its batch: the last one may be smaller, and filled up.
        sizes = self.n - self.batch_size * np.arange(self.steps)[:, None]
        sizes = np.minimum(sizes, self.batch_size)
        self.weight = tf.constant(
            (np.arange(self.batch_size) < sizes) / sizes, tf.float32
        )
        self.target_loss, self.loss = target_loss, loss
        self._program = tf.function(self._epochs, jit_compile=True, autograph=False)

    def only(self, places):
        """The same loop with some of its replicas, where they are now."""
        x, y = self.x.numpy()[places], self.y.numpy()[places]
        weights = [v.value.numpy()[places] for v in self.variables]
        loop = _Loop(weights, x, y, *self.arguments)
        pairs = zip(loop.optimizer.variables, self.optimizer.variables, strict=True)
        for mine, old in pairs:
            value = np.asarray(old.value.numpy())
            mine.assign(value[places] if value.ndim else value)
        return loop

    def weights_of(self, place):
        return [v.value.numpy()[place] for v in self.variables]

    def rows(self, seeds, epochs):
        """Rows of the flattened examples, `(epochs, steps, replicas, batch)`."""
        # Here because XLA's random streams are not TensorFlow's, and its sort is slow.
        drawn = {
            (seed, epoch): pipelines.plan(self.n, (), seed, epoch)["order"]
            for seed in set(seeds.tolist())
            for epoch in epochs
        }
        rows = np.zeros((len(epochs), self.replicas, self.weight.shape.num_elements()))
        for e, epoch in enumerate(epochs):
            rows[e, :, : self.n] = [drawn[seed, epoch] for seed in seeds.tolist()]
        rows += np.arange(self.replicas)[:, None] * self.n
        rows = rows.reshape(len(epochs), self.replicas, self.steps, self.batch_size)
        return tf.constant(rows.transpose(0, 2, 1, 3), tf.int32)

    def run(self, rows, first, last, *waiting):
        """Trains from `first` to `last`, or to the next stopping point."""
        # As tensors: other numbers must not compile another program.
        numbers = tf.constant(first), tf.constant(last), *map(tf.constant, waiting)
        results = self._program(self.x, self.y, rows, *numbers)
        epoch, *rest = (result.numpy() for result in results)
        return int(epoch), *rest

    def _losses(self, labels, logits):
        if self.loss == "squared_error":
            return squared_error(tf.one_hot(labels, logits.shape[-1]), logits)
        return cross_entropy(labels, logits)

    def _epochs(self, x, y, rows, first, last, no_fit_yet, no_target_yet):
        flat_x, flat_y = tf.reshape(x, (-1, self.features)), tf.reshape(y, [-1])

        def step(epoch, number):
            row = tf.reshape(rows[epoch, number], [-1])  # 1-D: the fastest gather
            size = (self.replicas, self.batch_size)
            images = tf.reshape(tf.gather(flat_x, row), (*size, self.features))
            labels = tf.reshape(tf.gather(flat_y, row), size)
            weights = [v.value.read_value() for v in self.variables]
            with tf.GradientTape() as tape:
                tape.watch(weights)
                logits = _logits(weights, images)
                if self.loss == "squared_error":
                    losses = self._losses(labels, logits)
                else:
                    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                        labels, logits
                    )
                loss = tf.reduce_sum(losses * self.weight[number])
            self.optimizer.apply(tape.gradient(loss, weights), self.variables)
            return epoch, number + 1

        def one_epoch(epoch, *_):
            tf.while_loop(lambda _, s: s < self.steps, step, (epoch, 0))
            logits = _logits([v.value.read_value() for v in self.variables], x)
            losses = tf.reduce_mean(self._losses(y, logits), axis=1)
            right = tf.argmax(logits, axis=-1, output_type=tf.int32) == y
            fitted = no_fit_yet & tf.reduce_all(right, axis=1)
            reached = no_target_yet & (fitted | ~no_fit_yet)
            return epoch + 1, fitted, reached & (losses <= self.target_loss), losses

        none = tf.zeros(self.replicas, tf.bool)
        start = first, none, none, tf.zeros(self.replicas)
        return tf.while_loop(
            lambda epoch, fitted, target, _: (
                (epoch < last) & ~tf.reduce_any(fitted | target)
            ),
            one_epoch,
            start,
        )


def _logits(weights, x):
    for i in range(0, len(weights), 2):
        x = tf.matmul(x, weights[i]) + weights[i + 1][:, None]
        x = tf.nn.relu(x) if i + 2 < len(weights) else x
    return x

"""The network evaluated after an epoch, weights frozen: on arrays, or on a stream.

Held-out and test examples are measured all. Of the training examples a fixed sample
is, and more of them until it is certain that the accuracy is below a target: once more
than `(1 - target) n` are misfitted, the others cannot make up for them. So whether a
network has reached the target is never an estimate, and most epochs cost a twentieth.
"""

import math

import keras
import numpy as np

from common.records import CORRUPTION_COLUMNS

# Twice as many are a tenth faster for the MLPs alone, at twice the memory.
_BATCH = 500


def sample_size(num_examples):
    """Returns how many training examples are always measured: a twentieth, or 2,500."""
    return min(num_examples, max(2_500, num_examples // 20))


def measurer(model, feed, corrupted, observe=None):
    """Returns a function that measures a model as it is then.

    Args:
        model: `keras.Model` from examples to logits.
        feed: `pipelines.Feed`, `pipelines.TextFeed` or `streaming.Feed`.
        corrupted: Whether examples with kept and flipped labels are distinguished.
        observe: Function that is given the logits of the training examples that were
            measured, in their order, or None; of a feed in memory alone.

    Returns:
        A function `measure(target)`. `target(held_out_accuracy)` gives the training
        accuracy below which the sample is enough: 0 measures all examples, infinity
        the sample alone (`held_out_accuracy` is None where nothing is held out). The
        result is a dict of floats: cross-entropies in nats, accuracies as fractions,
        NaN of no examples; `measured` is the number of training examples.
    """
    if feed.in_memory:
        return lambda target: _measure(model, feed, corrupted, target, observe)
    evaluator = _evaluator(model, corrupted)
    return lambda target: _measure_stream(evaluator, feed, corrupted, target)


def _measure(model, feed, corrupted, target, observe):
    test = _scores(outputs_of(model, feed.x_test), feed.y_test)
    held_out = {}
    if feed.x_held_out is not None:
        held_out = _scores(outputs_of(model, feed.x_held_out), feed.y_held_out)
    seen, logits = _training_set(model, feed, target(held_out.get("accuracy")))
    if observe:
        observe(logits)
    given, true = feed.y_train[seen], feed.y_train_true[seen]
    row = {f"train_{key}": value for key, value in _scores(logits, given).items()}
    row |= {f"val_{key}": value for key, value in test.items()}
    if corrupted:
        kept, predicted = given == true, logits.argmax(1)
        row["kept_accuracy"] = _mean((predicted == given)[kept])
        row["flipped_accuracy"] = _mean((predicted == given)[~kept])
        row["flipped_true_accuracy"] = _mean((predicted == true)[~kept])
    row |= {f"held_out_{key}": value for key, value in held_out.items()}
    return row | {"measured": len(seen)}


def _training_set(model, feed, target):
    """(places of the training examples that were measured, their logits), sorted."""
    num_examples, misfitted, parts = len(feed.y_train), 0, []
    places, size = feed.measuring_order, sample_size(num_examples)
    for start in range(0, num_examples, size):
        part = places[start : start + size]
        parts.append(outputs_of(model, feed.x_train[part]))
        misfitted += (parts[-1].argmax(1) != feed.y_train[part]).sum()
        if _below(target, misfitted, num_examples) and np.isfinite(parts[-1]).all():
            break
    seen, logits = places[: start + size], np.concatenate(parts)
    # As they lie in the set, so that sums do not depend on how they were measured.
    back = seen.argsort()
    return seen[back], logits[back]


def _below(target, misfitted, num_examples):
    """Whether the accuracy is below `target` even if all others are fitted."""
    return (num_examples - misfitted) / num_examples < target


def outputs_of(model, x, batch_size=_BATCH):
    """Returns what a model says of examples, `(n, outputs)` float64.

    Not by `predict`, which waits in the end for a thread of tf.data: see
    `pipelines.untuned`.

    Args:
        model: `keras.Model`.
        x: `(n, ...)` inputs.
        batch_size: Examples per pass.
    """
    starts = range(0, len(x), batch_size)
    outputs = [model.predict_on_batch(x[i : i + batch_size]) for i in starts]
    return np.concatenate(outputs).astype(np.float64)


def _scores(logits, y):
    with np.errstate(invalid="ignore"):  # of a run that has diverged
        shifted = logits - logits.max(1, keepdims=True)
    log_partition = np.log(np.exp(shifted).sum(1))
    return {
        "cross_entropy": (log_partition - shifted[np.arange(len(y)), y]).mean(),
        "accuracy": (logits.argmax(1) == y).mean(),
    }


def _mean(values):
    return values.mean() if len(values) else float("nan")


class Share(keras.metrics.Mean):
    """Mean of a function of labels and logits, over some of the examples.

    Args:
        name: Name in the results.
        value: Function of `(label, logits)`, `(batch,)` and `(batch, num_classes)`.
        of: Place of that label in a row of labels: 0 the given one, 1 the true one.
        kept: True for the examples whose given label is the true one, False for the
            others, None for all.
    """

    def __init__(self, name, value, of=0, kept=None):
        super().__init__(name=name)
        self.value, self.of, self.kept = value, of, kept

    def update_state(self, y_true, y_pred, sample_weight):
        y_true = keras.ops.cast(y_true, "int32")  # MirroredStrategy makes it float64
        weight = keras.ops.cast(sample_weight, "float32")
        if self.kept is not None:
            kept = keras.ops.equal(y_true[:, 0], y_true[:, 1])
            weight = weight * keras.ops.cast(kept == self.kept, "float32")
        value = self.value(y_true[:, self.of], y_pred)
        super().update_state(keras.ops.cast(value, "float32"), weight)

    def result(self):
        return keras.ops.divide(self.total, self.count)  # NaN of no examples


def _evaluator(model, corrupted):
    """The same network, compiled to be measured on `streaming.Feed.evaluation`."""

    def cross_entropy(label, logits):
        loss = keras.losses.sparse_categorical_crossentropy
        return loss(label, logits, from_logits=True)

    def top_1(label, logits):
        return keras.ops.equal(keras.ops.argmax(logits, -1), label)

    def top_5(label, logits):
        return keras.ops.in_top_k(label, logits, k=min(5, logits.shape[-1]))

    metrics = [
        Share("cross_entropy", cross_entropy),
        Share("accuracy", top_1),
        Share("top5_accuracy", top_5),
    ]
    if corrupted:
        metrics += [
            Share("kept_accuracy", top_1, kept=True),
            Share("flipped_accuracy", top_1, kept=False),
            Share("flipped_true_accuracy", top_1, of=1, kept=False),
        ]
    result = keras.Model(model.inputs, model.outputs)
    result.compile(  # Keras asks for a loss; it is not used
        loss=lambda labels, logits: cross_entropy(labels[:, 0], logits),
        weighted_metrics=metrics,
    )
    return result


def _measure_stream(model, feed, corrupted, target):
    found, num_examples = {}, len(feed.y_train)

    def measure(split, examples=None):
        batches, steps = feed.evaluation(split, examples)
        result = model.evaluate(batches, steps=steps, verbose=0, return_dict=True)
        found[split] = result

    for split in feed.splits:
        if split != "train":
            measure(split)
    goal = target(found.get("held_out", {}).get("accuracy"))
    seen, enough = sample_size(num_examples), False
    if goal > 0:
        measure("train", seen)
        misfitted = round((1 - found["train"]["accuracy"]) * seen)
        finite = math.isfinite(found["train"]["cross_entropy"])
        enough = finite and _below(goal, misfitted, num_examples)
    if not enough:
        seen = num_examples
        measure("train")
    row = {}
    for split in feed.splits:
        for name in ("cross_entropy", "accuracy", "top5_accuracy"):
            row[f"{split}_{name}"] = found[split][name]
    if corrupted:
        row |= {name: found["train"][name] for name in CORRUPTION_COLUMNS}
    return row | {"measured": seen}

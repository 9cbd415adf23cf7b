"""The fixed model measured: on arrays, or on a stream where they exceed memory."""

import keras
import numpy as np

from common.records import CORRUPTION_COLUMNS

# Twice as many are a tenth faster for the MLPs alone, at twice the memory.
_BATCH = 500


def measure(model, feed, corrupted):
    """Measures a model on every split of a feed whose examples are in memory.

    Args:
        model: `keras.Model` from examples to logits.
        feed: `pipelines.Feed` or `pipelines.TextFeed`.
        corrupted: Whether examples with kept and flipped labels are told apart.

    Returns:
        Dict of floats: cross-entropies in nats, accuracies as fractions, NaN of no
        examples.
    """
    train, predicted = _evaluate(model, feed.x_train, feed.y_train)
    test, _ = _evaluate(model, feed.x_test, feed.y_test)
    row = {f"train_{key}": value for key, value in train.items()}
    row |= {f"val_{key}": value for key, value in test.items()}
    if corrupted:
        kept = feed.y_train == feed.y_train_true
        given, true = predicted == feed.y_train, predicted == feed.y_train_true
        row["kept_accuracy"] = _mean(given[kept])
        row["flipped_accuracy"] = _mean(given[~kept])
        row["flipped_true_accuracy"] = _mean(true[~kept])
    if feed.x_held_out is not None:
        held_out, _ = _evaluate(model, feed.x_held_out, feed.y_held_out)
        row |= {f"held_out_{key}": value for key, value in held_out.items()}
    return row


def _evaluate(model, x, y):
    starts = range(0, len(x), _BATCH)
    logits = [model.predict_on_batch(x[i : i + _BATCH]) for i in starts]
    logits = np.concatenate(logits).astype(np.float64)
    with np.errstate(invalid="ignore"):  # of a run that has diverged
        shifted = logits - logits.max(1, keepdims=True)
    log_partition = np.log(np.exp(shifted).sum(1))
    predicted = logits.argmax(1)
    return {
        "cross_entropy": (log_partition - shifted[np.arange(len(y)), y]).mean(),
        "accuracy": (predicted == y).mean(),
    }, predicted


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


def evaluator(model, corrupted):
    """Returns the same network, compiled to be measured on `streaming.Feed.evaluation`.

    Args:
        model: `keras.Model` from images to logits. Its variables are shared.
        corrupted: Whether examples with kept and flipped labels are told apart.
    """

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


def measure_stream(model, feed, corrupted):
    """Measures a model from `evaluator` on every split of a `streaming.Feed`.

    Returns:
        Dict of floats: `train_accuracy` and so on, in the order of a record's columns.
    """
    row = {}
    for split in feed.splits:
        batches, steps = feed.evaluation(split)
        found = model.evaluate(batches, steps=steps, verbose=0, return_dict=True)
        for name in ("cross_entropy", "accuracy", "top5_accuracy"):
            row[f"{split}_{name}"] = found[name]
        if split == "train":
            shares = {k: found[k] for k in CORRUPTION_COLUMNS} if corrupted else {}
    return row | shares

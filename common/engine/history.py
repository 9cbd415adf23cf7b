"""The rows of a run, epoch by epoch, and when it stops."""

import math
import time

import keras

from common import records


class History(keras.callbacks.Callback):
    """Sets the learning rate, measures after each epoch, and decides when to stop.

    Args:
        built: The `keras.Model` that is trained.
        regime: `regime.Regime`.
        measure: From `evaluation.measurer`.
        measure_all: Whether every epoch is measured on all training examples.

    Attributes:
        rows: One dict an epoch, the lines of the CSV.
        train_seconds: Seconds an epoch took without the measuring, as a list.
        stopped_because: None while it goes on, then `stop_at`, `early_stopping`,
            `diverged`.
        best_epoch, best_weights: Of early stopping: the first of the epochs (from 1)
            with the best accuracy on held-out examples, and the weights after it.
    """

    def __init__(self, built, regime, measure, measure_all=False):
        super().__init__()
        self.built, self.regime = built, regime
        self.measure, self.measure_all = measure, measure_all
        self.rows, self.train_seconds, self.stopped_because = [], [], None
        self.best_epoch, self.best_weights = None, []

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter()
        self.rate = self.regime.lr * self.regime.lr_decay**epoch
        self.model.optimizer.learning_rate = self.rate

    def on_epoch_end(self, epoch, logs=None):
        self.train_seconds.append(time.perf_counter() - self.started)

        row = {"epoch": epoch + 1, "learning_rate": float(self.rate)}
        row |= {key: float(logs[key]) for key in ("loss", "accuracy")}
        row |= self._measured(row)
        row["seconds"] = round(time.perf_counter() - self.started, 3)
        self.rows.append(row)
        self._decide(row)
        logs.update((key, row[key]) for key in ("train_accuracy", "val_accuracy"))

    def _measured(self, row):
        """The columns that are measured after the epoch of a row."""
        found = self.measure(
            lambda accuracy: self._target(row["epoch"], row["loss"], accuracy)
        )
        measured = int(found["measured"])
        return {key: float(x) for key, x in found.items()} | {"measured": measured}

    def _target(self, epoch, loss, held_out_accuracy):
        """The training accuracy below which a sample is enough.

        0, for all examples, where the row may be the one that is reported in the end.
        """
        regime = self.regime
        last = epoch == regime.epochs or not math.isfinite(loss)
        best = regime.early_stopping and self._is_best(held_out_accuracy)
        if self.measure_all or last or best:
            return 0.0
        fitted = records.epochs_to_fit(self.rows) is not None
        targets = [] if fitted else [records.FIT_THRESHOLD]
        targets += [regime.stop_at] if regime.stop_at else []
        return min(targets, default=math.inf)

    def _is_best(self, held_out_accuracy):
        if self.best_epoch is None:
            return True
        return held_out_accuracy > self.rows[self.best_epoch - 1]["held_out_accuracy"]

    def _decide(self, row):
        regime = self.regime
        if not all(map(math.isfinite, (row["loss"], row["train_cross_entropy"]))):
            self.stopped_because = "diverged"
        elif regime.stop_at and row["train_accuracy"] >= regime.stop_at:
            self.stopped_because = "stop_at"
        if regime.early_stopping:
            if self._is_best(row["held_out_accuracy"]):
                self.best_epoch = row["epoch"]
                self.best_weights = self.built.get_weights()
            elif row["epoch"] - self.best_epoch >= regime.early_stopping:
                self.stopped_because = self.stopped_because or "early_stopping"
        self.model.stop_training = bool(self.stopped_because)

    def measure_as_not_last(self):
        """Measures the last row again, as a run does that has more epochs to go."""
        row = self.rows.pop()
        if row["epoch"] != self.best_epoch:  # which is measured wholly in any case
            row |= self._measured(row)
        self.rows.append(row)

    @property
    def ended(self):
        """Whether no epoch is left to train."""
        return bool(self.stopped_because) or len(self.rows) >= self.regime.epochs

    def final_weights(self):
        """Returns the weights that the run leaves, as a list of arrays."""
        return self.best_weights or self.built.get_weights()

    def final_row(self):
        """Returns the row of the epoch whose weights the run leaves."""
        return self.rows[(self.best_epoch or len(self.rows)) - 1]

    _STATE = ("rows", "train_seconds", "stopped_because", "best_epoch")

    def state(self):
        """Returns what continues it, but for `best_weights`, as JSON has it."""
        return {name: getattr(self, name) for name in self._STATE}

    def restore(self, state, best_weights):
        """Continues from what `state` returned."""
        for name in self._STATE:
            setattr(self, name, state[name])
        self.best_weights = best_weights

"""What a run says while it trains: a header, a line an epoch, the time left."""

import math
import statistics
import sys
import time

import keras
from tqdm import tqdm

from common.engine import backend
from common.verdicts import count, duration, percent, reached


def header(history, feed, options, precision, pace):
    """Returns what a run begins with, as text: data, network, machine, time.

    Args:
        history: `history.History` of the run.
        feed: `pipelines.Feed` or another.
        options: `command_line.Options`.
        precision: The precision in force.
        pace: Seconds that an epoch took in like runs on this machine, or None.
    """
    data, left = feed.data, history.regime.epochs - len(history.rows)
    noise = (data.y_train != data.y_train_true).mean()
    wrong = f", {percent(noise)} of the training labels wrong" if noise else ""
    takes = f"{count(left, 'epoch')} at most" if left else "all epochs are done"
    if pace and left:
        takes += f", about {duration(left * pace)}, from this machine's records"
    elif left > 1:
        takes += "; an estimate of the time follows the first"
    lines = {
        "data": f"{data.name}: {len(feed.y_train):,} examples to train on, "
        f"{len(feed.y_test):,} to test on{wrong}",
        "network": f"{history.built.name}, {parameters(history.built):,} parameters",
        "device": f"{backend.device()}, {precision}",
        "takes": takes,
        "files": f"{options.results_dir}/{options.name}.csv and .json, "
        f"{options.models_dir}/{options.name}.h5",
    }
    return "\n".join([options.name, *(f"  {k:9}{v}" for k, v in lines.items())])


def parameters(model):
    """Returns how many numbers a model trains."""
    return sum(math.prod(v.shape) for v in model.trainable_variables)


class Progress(keras.callbacks.Callback):
    """Prints a line an epoch, with the time left; a bar where somebody looks on.

    Comes after `History` among the callbacks.

    Args:
        history: `history.History`.
        steps: Batches in an epoch.
        pace: Seconds that an epoch is expected to take, or None.
    """

    COLUMNS = "epoch", "loss", "train", "test", "time", "left"

    def __init__(self, history, steps, pace=None):
        super().__init__()
        self.history, self.steps, self.pace = history, steps, pace
        self.begun, self.bar = len(history.rows), None
        # Drawn over again by a terminal and a notebook, but not in a log file.
        self.live = sys.stderr.isatty() or "ipykernel" in sys.modules

    def on_train_begin(self, logs=None):
        self._line(self.COLUMNS)

    def on_epoch_begin(self, epoch, logs=None):
        text = f"epoch {epoch + 1} of {self.history.regime.epochs}"
        self.bar = tqdm(
            total=self.steps, desc=text, leave=False, disable=not self.live, unit="step"
        )
        self.shown = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        now = time.monotonic()
        if self.live and now - self.shown > 0.5:
            self.shown = now
            self.bar.set_postfix_str(
                f"loss {logs['loss']:.4f}, accuracy {percent(logs['accuracy'])}", False
            )
            self.bar.update(batch + 1 - self.bar.n)

    def on_epoch_end(self, epoch, logs=None):
        self.bar.close()
        epochs, row = self.history.regime.epochs, self.history.rows[-1]
        ours = [x["seconds"] for x in self.history.rows[self.begun :]]
        # The first epoch also traces and compiles.
        pace = statistics.mean(ours[1:][-5:] or [self.pace or ours[0]])
        left = "" if self.history.ended else duration((epochs - epoch - 1) * pace)
        self._line(
            (
                f"{epoch + 1}/{epochs}",
                f"{row['loss']:.4f}" if row["loss"] < 1000 else f"{row['loss']:.1e}",
                reached(row["train_accuracy"]),
                percent(row["val_accuracy"]),
                duration(row["seconds"]),
                left,
            )
        )

    def _line(self, cells):
        print("  ".join(f"{cell:>8}" for cell in cells).rstrip(), flush=True)

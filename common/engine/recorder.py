"""What the network does with each training example, kept epoch by epoch."""

import contextlib
import hashlib
import zipfile

import keras
import numpy as np

from common import records
from common.cli import MendableError
from common.examples import files, measures


class Recorder(keras.callbacks.Callback):
    """Keeps what `measures.measure` says after every epoch, one file an epoch.

    It comes after `History`, which measures, and before `Checkpoint`, which keeps
    `digest` and so knows what the files of its epochs have to hold.

    Args:
        feed: `pipelines.Feed` or `pipelines.TextFeed`.
        paths: `records.Paths`.
        name: Of the run.

    Attributes:
        digest: Hex digest of the epochs so far, each with those before it.
    """

    def __init__(self, feed, paths, name):
        super().__init__()
        self.feed, self.paths, self.name = feed, paths, name
        self.digest, self.epochs, self.latest = "", 0, None

    def observe(self, logits):
        """Takes the logits of all training examples, `(n, num_classes)`, in order."""
        feed = self.feed
        self.latest = measures.measure(logits, feed.y_train, feed.y_train_true)

    def on_epoch_end(self, epoch, logs=None):
        self.paths.recorded.mkdir(exist_ok=True)
        with records.replacing(self._path(epoch)) as temporary:
            np.savez(temporary, **self.latest)
        self._follow(self.latest)

    def _path(self, epoch):
        return self.paths.recorded / f"{epoch + 1:06d}.npz"

    def _follow(self, arrays):
        content = b"".join(arrays[key].tobytes() for key in measures.KINDS)
        known = self.digest.encode()
        self.digest = hashlib.sha256(known + content).hexdigest()
        self.epochs += 1

    def _load(self, epoch):
        with np.load(self._path(epoch), allow_pickle=False) as file:
            return {key: file[key] for key in measures.KINDS}

    def restore(self, digest, epochs):
        """Continues after some epochs.

        Args:
            digest: As it was then, or None of a run that did not record.
            epochs: How many.

        Raises:
            MendableError: If what was kept is damaged, or is not there.
        """
        damage = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
        with contextlib.suppress(*damage):
            for epoch in range(epochs):
                self._follow(self._load(epoch))
        if self.digest != digest:
            raise MendableError(
                f"{self.paths.recorded} does not hold the examples of the {epochs} "
                "epochs that the checkpoint has: start over with --no-resume, or leave "
                "--record-examples out."
            )

    def finish(self):
        """Writes NAME_examples.h5; returns what the record says of it."""
        feed = self.feed
        labels = {
            "index": feed.index,
            "given": feed.y_train,
            "true": feed.y_train_true,
        }
        epochs = map(self._load, range(self.epochs))
        path, classes = self.paths.examples, feed.num_classes
        return files.write(path, self.name, labels, classes, epochs)

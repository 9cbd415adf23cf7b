"""Checkpoints: an interrupted run continues, on a CPU bit for bit."""

import contextlib
import json
import re
import zipfile

import keras
import numpy as np

from common import records
from common.cli import MendableError, UsageError
from common.engine import backend

_DAMAGE = (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile)


def precision_of(path):
    """Returns the precision of the run that a checkpoint is of; None without one."""
    if path.exists():
        with contextlib.suppress(*_DAMAGE), np.load(path) as file:
            return json.loads(str(file["meta"])).get("precision")
    return None


def _settings(regime):
    return {name: repr(value) for name, value in vars(regime).items()}


class Checkpoint(keras.callbacks.Callback):
    """Keeps all that continues a run in one file, which appears in one step.

    The variables of model and optimizer (with the state of dropout, which Keras's own
    files leave out), the rows so far, and the best weights of early stopping. Comes
    after `History` among the callbacks.

    Args:
        history: `history.History`.
        regime: `regime.Regime`.
        data_hash: sha256 of the training arrays; a checkpoint of others is refused.
        paths: `records.Paths`.
        every: Epochs between checkpoints; the last one is always kept.
        recorder: `recorder.Recorder`, or None.

    Attributes:
        saved_epochs: Epochs that the file holds.
        resumed_at: Epochs after which the run was continued, as a list.
        environment: From `backend.environment`.
        inexact: Whether that has changed at some resume.
        continued_from: Name of the shorter run that this one extends, or None.
        init_hash: sha256 of the file of `regime.init_from`, or None; a checkpoint that
            began from another is refused.
    """

    def __init__(self, history, regime, data_hash, paths, every=1, recorder=None):
        super().__init__()
        built = history.built
        self.variables = [*built.variables, *built.optimizer.variables]
        self.history, self.regime, self.data_hash = history, regime, data_hash
        self.paths, self.every, self.recorder = paths, every, recorder
        self.saved_epochs, self.resumed_at, self.inexact = 0, [], False
        self.continued_from = None
        self.init_hash = records.sha256_of(regime.init_from)
        self.environment = backend.environment()
        self.precision = keras.config.dtype_policy().name.removeprefix("mixed_")

    def on_epoch_end(self, epoch, logs=None):
        if self.history.ended or (epoch + 1) % self.every == 0:
            self._write()

    def _write(self):
        meta = {
            "regime": _settings(self.regime),
            "data": self.data_hash,
            "init": self.init_hash,
            "environment": self.environment,
            "precision": self.precision,
            "resumed_at": self.resumed_at,
            "inexact": self.inexact,
            "continued_from": self.continued_from,
            "examples": self.recorder and self.recorder.digest,
            **self.history.state(),
        }
        arrays = {
            f"variable_{i}": np.array(v.numpy()) for i, v in enumerate(self.variables)
        }
        arrays |= {f"best_{i}": w for i, w in enumerate(self.history.best_weights)}
        with records.replacing(self.paths.checkpoint) as temporary:
            np.savez(temporary, meta=json.dumps(meta), **arrays)
        # The CSV is for looking on; it is never ahead of the checkpoint.
        records.write_csv(self.paths.csv, self.history.rows)
        self.saved_epochs = len(self.history.rows)

    def restore(self):
        """Continues from the file, where there is one; returns whether it did.

        Raises:
            MendableError: If it is damaged, or of other settings or data.
        """
        path = self.paths.checkpoint
        if not path.exists():
            return False
        meta, values, best = self._read(path, "start over with --no-resume")
        known = _known(meta, self.regime)
        if known != _settings(self.regime) or self._began_otherwise(meta):
            raise MendableError(
                f"the checkpoint {path} belongs to other settings, other data or other "
                "initial weights of the same name: start over with --no-resume."
            )
        self._go_on(meta, values, best)
        self.continued_from = meta.get("continued_from")
        return True

    def extend(self, path, name):
        """Continues from the end of a run that differs in `epochs` alone.

        Args:
            path: What that run has kept.
            name: Its name.

        Raises:
            UsageError: If it differs in more, or has no fewer epochs.
            MendableError: If nothing was kept, or it is damaged.
        """
        flag = f"--continue-from {name}"
        if not path.exists():
            raise MendableError(
                f"{flag}: {path} is not there. A run keeps what continues it only with "
                f"--keep-checkpoint: type {name}'s command again with that and "
                "--overwrite, or leave --continue-from out."
            )
        meta, values, best = self._read(path, f"leave {flag} out")
        known, ours = _known(meta, self.regime), _settings(self.regime)
        limit = self.regime.epochs
        other = [key for key in ours if key != "epochs" and known.get(key) != ours[key]]
        if other or self._began_otherwise(meta):
            raise UsageError(
                f"{flag}: it differs in {', '.join(other) or 'its data or start'}, and "
                "may differ in --epochs alone."
            )
        if meta["stopped_because"] or len(meta["rows"]) >= limit:
            why = meta["stopped_because"] or "it has as many epochs already"
            raise UsageError(
                f"{flag}: it ended after {len(meta['rows'])} epochs ({why}), and "
                f"--epochs {limit} adds nothing."
            )
        self._go_on(meta, values, best)
        self.continued_from = name
        if known["epochs"] == repr(self.saved_epochs):
            self.history.measure_as_not_last()

    def _began_otherwise(self, meta):
        """Whether a checkpoint is of other data or other initial weights."""
        init = meta.get("init", self.init_hash)  # older ones do not say
        return (meta["data"], init) != (self.data_hash, self.init_hash)

    def _read(self, path, advice):
        """(what it says, values of the variables, best weights) of a file."""
        try:
            with np.load(path, allow_pickle=False) as file:
                meta = json.loads(str(file["meta"]))
                values = [file[f"variable_{i}"] for i in range(len(self.variables))]
                best = [n for n in file.files if n.startswith("best_")]
                best = [file[f"best_{i}"] for i in range(len(best))]
            return meta, values, best
        except _DAMAGE as error:
            raise MendableError(
                f"the checkpoint {path} is damaged ({error}): delete it, or {advice}."
            ) from None

    def _go_on(self, meta, values, best):
        for variable, value in zip(self.variables, values, strict=True):
            variable.assign(value)
        self.history.restore(meta, best)
        self.saved_epochs = len(self.history.rows)
        if self.recorder:
            self.recorder.restore(meta.get("examples"), self.saved_epochs)
        self.resumed_at = [*meta["resumed_at"], self.saved_epochs]
        self.inexact = meta["inexact"] or backend.changed(
            meta["environment"], self.environment
        )


def _known(meta, regime):
    """The settings of a checkpoint; what was no setting then was as by default."""
    known = meta["regime"]
    if isinstance(known, str):  # until November 2026 it was the regime's repr
        known = dict(re.findall(r"(\w+)=(.+?)(?=, \w+=|\)$)", known))
    return _settings(type(regime)()) | known

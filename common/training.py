"""Compile, fit, measure, save: one run from a built model to its record."""

import contextlib
import functools
import importlib.util
import json
import sys
import time
import zipfile

import keras
import numpy as np

from common import records
from common.cli import Interrupted, MendableError
from common.engine import backend, devices, evaluation
from common.models import save

_DAMAGE = (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile)


def finished(options):
    """Returns the record of a complete run, and says so; else None.

    Asked by a script before it loads any data, which a reader of records may not have.

    Args:
        options: `regime.Options`.
    """
    paths = records.paths(options.name, options.results_dir, options.models_dir)
    if options.overwrite or not paths.json.exists():
        return None
    record = records.read(paths.json)
    print(f"{options.name} is complete; --overwrite runs it again.")
    if not paths.model.exists():  # as in a fresh clone
        print(
            "Its record is here without its model: add --results-dir mine to "
            "train your own and keep that record."
        )
    _print_verdict(record, paths)
    return record


def run(build, feed, regime, options):
    """Trains one model and leaves its CSV, JSON and .h5.

    An interrupted run continues from its checkpoint and ends, on a CPU, bit for bit as
    if it had never been interrupted. A complete run is not run again.

    Args:
        build: Function without arguments that returns the untrained
            `keras.Model` (examples to logits).
        feed: `pipelines.Feed`, `pipelines.TextFeed` or `streaming.Feed`.
        regime: `regime.Regime`.
        options: `regime.Options`.

    Returns:
        The record as a dict, as in `results/NAME.json`; None where several processes
        train one model, but in the first, which alone writes.

    Raises:
        MendableError: If another process runs the same name, a folder cannot be
            written, a checkpoint is damaged or does not belong here, or a package for
            `--tensorboard` is missing.
        Interrupted: After Ctrl-C.
    """
    _require_tensorboard(options)
    paths = records.paths(options.name, options.results_dir, options.models_dir)
    if not options.chief:
        if options.overwrite or not paths.json.exists():
            with _precision(regime, options, paths):
                _fit(build, feed, regime, options, paths)
        return None
    with records.only_one(paths, options.name):
        if record := finished(options):
            return record
        if paths.json.exists():  # else a checkpoint is that of an unfinished run
            paths.checkpoint.unlink(missing_ok=True)
            paths.json.unlink()
        for path in paths:  # what a killed run was writing
            for part in path.parent.glob(f".{path.stem}.*.part{path.suffix}"):
                part.unlink(missing_ok=True)
        _say(options, _notice(regime))
        started = records.now()
        with _precision(regime, options, paths) as precision:
            history = _fit(build, feed, regime, options, paths)
            save(build, history.final_weights(), paths.model)
        record = _record(feed, regime, options, history)
        record["precision_in_force"] = precision
        record["started"], record["finished"] = started, records.now()
        records.write_csv(paths.csv, history.rows)
        records.write_json(paths.json, record)  # last: its presence means complete
        record = records.read(paths.json)  # as any later reader gets it
        paths.checkpoint.unlink(missing_ok=True)
    _print_verdict(record, paths)
    return record


@contextlib.contextmanager
def _precision(regime, options, paths):
    """Sets the dtype policy of a run; yields the precision that is in force.

    That of a checkpoint where `auto` would now mean another.
    """
    precision = backend.precision_in_force(regime.precision)
    if options.resume and paths.checkpoint.exists():
        with contextlib.suppress(*_DAMAGE), np.load(paths.checkpoint) as file:
            precision = json.loads(str(file["meta"])).get("precision", precision)
    policy = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy(
            precision if precision == "float32" else f"mixed_{precision}"
        )
        yield precision
    finally:
        keras.config.set_dtype_policy(policy)


def compile_model(model, feed, regime):
    """Compiles as every run does: cross-entropy on logits, the regime's optimizer."""
    model.compile(
        optimizer=_optimizer(regime, feed.accumulate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        # A divisor, so that an epoch ends where the progress bar says.
        steps_per_execution=_largest_divisor(feed.steps_per_epoch, feed.steps_at_once),
    )
    model.optimizer.build(model.trainable_variables)  # before any restore


def _fit(build, feed, regime, options, paths):
    """Builds, compiles, restores what a checkpoint holds, and trains on."""
    keras.utils.set_random_seed(regime.seed)
    model = build()
    if options.save_init and options.chief:
        save(build, [np.array(w) for w in model.get_weights()], paths.init)
    compile_model(model, feed, regime)
    history = _History(model, feed, regime, options, paths)
    if options.resume:
        history.restore()
    elif options.chief:
        paths.checkpoint.unlink(missing_ok=True)
    devices.check_agreement(len(history.rows), options)
    callbacks = [history]
    if options.tensorboard:
        folder = f"{options.tensorboard}/{options.name}"
        callbacks.append(keras.callbacks.TensorBoard(log_dir=folder))
    first = len(history.rows)
    try:
        if first < regime.epochs and not history.stopped_because:
            model.fit(
                feed.batches(first),
                epochs=regime.epochs,
                initial_epoch=first,
                steps_per_epoch=feed.steps_per_epoch,
                callbacks=callbacks,
                shuffle=False,  # the feed's plan is the order
                verbose=_verbosity(options),
            )
    except KeyboardInterrupt:
        raise Interrupted(
            f"stopped; {history.saved_epochs} of {regime.epochs} epochs are kept. "
            f"To go on, type: {options.command}"
        ) from None
    except feed.errors as error:
        raise feed.explain(error) from error
    history.stopped_because = history.stopped_because or "epochs"
    return history


class _History(keras.callbacks.Callback):
    """Sets the rate, measures the fixed model, stops, and checkpoints.

    Everything that continues a run is in the checkpoint, one file that appears
    in one step: the model's and the optimizer's variables (with the state of
    dropout, which Keras's own files leave out), the rows so far and the best
    weights for early stopping.
    """

    def __init__(self, model, feed, regime, options, paths):
        super().__init__()
        self.variables = [*model.variables, *model.optimizer.variables]
        self.built, self.evaluator = model, None
        self.feed, self.regime, self.options, self.paths = feed, regime, options, paths
        self.rows, self.resumed_at, self.stopped_because = [], [], None
        self.best_epoch, self.best_weights = None, []
        self.train_seconds, self.saved_epochs = [], 0
        self.environment = backend.environment()
        self.precision = keras.config.dtype_policy().name.removeprefix("mixed_")
        self.git = records.git_state()  # now: the code may be edited while it runs
        self.inexact = False

    # What Keras calls.

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter()
        self.rate = self.regime.lr * self.regime.lr_decay**epoch
        self.model.optimizer.learning_rate = self.rate

    def on_epoch_end(self, epoch, logs=None):
        trained = time.perf_counter()
        self.train_seconds.append(trained - self.started)
        row = {
            "epoch": epoch + 1,
            "learning_rate": self.rate,
            "loss": logs["loss"],
            "accuracy": logs["accuracy"],
            **self._measure(),
        }
        row = {key: float(value) for key, value in row.items()} | {"epoch": epoch + 1}
        row["seconds"] = round(time.perf_counter() - self.started, 3)
        self.rows.append(row)
        logs.update((key, row[key]) for key in ("train_accuracy", "val_accuracy"))
        self._decide(row)
        last = self.stopped_because or epoch + 1 == self.regime.epochs
        if not self.options.chief:
            return
        if last or (epoch + 1) % self.options.checkpoint_every == 0:
            self._checkpoint()

    # What a row and a decision are made of.

    def _measure(self):
        """The fixed model: no augmentation, the labels it is trained on."""
        feed, corrupted = self.feed, bool(self.regime.label_corruption)
        if not hasattr(feed, "evaluation"):
            return evaluation.measure(self.model, feed, corrupted)
        if self.evaluator is None:  # images that do not fit into memory
            self.evaluator = evaluation.evaluator(self.built, corrupted)
        return evaluation.measure_stream(self.evaluator, feed, corrupted)

    def _decide(self, row):
        regime = self.regime
        if not np.isfinite(row["loss"]) or not np.isfinite(row["train_cross_entropy"]):
            self.stopped_because = "diverged"
        elif regime.stop_at and row["train_accuracy"] >= regime.stop_at:
            self.stopped_because = "stop_at"
        if regime.early_stopping:
            best = self.rows[self.best_epoch - 1] if self.best_epoch else None
            if best is None or row["held_out_accuracy"] > best["held_out_accuracy"]:
                self.best_epoch = row["epoch"]
                self.best_weights = self.model.get_weights()
            elif row["epoch"] - self.best_epoch >= regime.early_stopping:
                self.stopped_because = self.stopped_because or "early_stopping"
        self.model.stop_training = bool(self.stopped_because)

    def final_weights(self):
        return self.best_weights or self.built.get_weights()

    def final_row(self):
        return self.rows[(self.best_epoch or len(self.rows)) - 1]

    # The checkpoint.

    def _meta(self):
        return {
            "regime": repr(self.regime),
            "rows": self.rows,
            "train_seconds": self.train_seconds,
            "resumed_at": self.resumed_at,
            "stopped_because": self.stopped_because,
            "best_epoch": self.best_epoch,
            "environment": self.environment,
            "precision": self.precision,
            "inexact": self.inexact,
            "data": self.data_hash,
        }

    @functools.cached_property
    def data_hash(self):
        return records.sha256(self.feed.data.x_train, self.feed.data.y_train)

    def _checkpoint(self):
        arrays = {
            f"variable_{i}": np.array(v.numpy()) for i, v in enumerate(self.variables)
        }
        arrays |= {f"best_{i}": w for i, w in enumerate(self.best_weights)}
        with records.replacing(self.paths.checkpoint) as temporary:
            np.savez(temporary, meta=json.dumps(self._meta()), **arrays)
        # The CSV is for looking on; it is never ahead of the checkpoint.
        records.write_csv(self.paths.csv, self.rows)
        self.saved_epochs = len(self.rows)

    def restore(self):
        """Continues from the checkpoint, where there is one."""
        path = self.paths.checkpoint
        if not path.exists():
            return
        try:
            with np.load(path, allow_pickle=False) as file:
                meta = json.loads(str(file["meta"]))
                values = [file[f"variable_{i}"] for i in range(len(self.variables))]
                best = [n for n in file.files if n.startswith("best_")]
                self.best_weights = [file[f"best_{i}"] for i in range(len(best))]
        except _DAMAGE as error:
            raise MendableError(
                f"the checkpoint {path} is damaged ({error}): delete it, or start "
                "over with --no-resume."
            ) from None
        if meta["regime"] != repr(self.regime) or meta["data"] != self.data_hash:
            raise MendableError(
                f"the checkpoint {path} belongs to other settings or other data of the "
                "same name: start over with --no-resume."
            )
        for variable, value in zip(self.variables, values, strict=True):
            variable.assign(value)
        self.rows, self.train_seconds = meta["rows"], meta["train_seconds"]
        self.stopped_because = meta["stopped_because"]
        self.best_epoch = meta["best_epoch"]
        self.resumed_at = [*meta["resumed_at"], len(self.rows)]
        self.saved_epochs = len(self.rows)
        self.inexact = meta["inexact"] or meta["environment"] != self.environment
        _say(self.options, f"Continuing after epoch {len(self.rows)}.")
        if self.inexact:
            _say(
                self.options,
                "Note: the versions, device or number of threads have changed since "
                "the checkpoint, so that the last bits may differ from an "
                "uninterrupted run.",
            )


def _record(feed, regime, options, history):
    data, final = feed.data, history.final_row()
    mean, std = feed.input_statistics()
    trainable = sum(int(np.prod(v.shape)) for v in history.built.trainable_variables)
    # The first epoch also traces and compiles.
    seconds = history.train_seconds[1:] or history.train_seconds
    best = max(history.rows, key=lambda row: row["val_accuracy"])
    return {
        "name": options.name,
        "script": options.script,
        "argv": options.argv,
        "regime": vars(regime),
        "loss": history.built.loss.name,
        "input_shape": feed.input_shape,
        "num_classes": feed.num_classes,
        "train_examples": len(feed.y_train),
        "test_examples": len(feed.y_test),
        "parameters": trainable,
        "epochs": len(history.rows),
        "epochs_to_fit": records.epochs_to_fit(history.rows),
        "stopped_because": history.stopped_because,
        "final": final,
        "best": {"epoch": best["epoch"], "val_accuracy": best["val_accuracy"]},
        "realized_label_noise": float(np.mean(data.y_train != data.y_train_true)),
        "label_histogram": np.bincount(
            data.y_train, minlength=feed.num_classes
        ).tolist(),
        "input_mean": mean,
        "input_std": std,
        "train_sha256": history.data_hash,
        "seconds": round(sum(row["seconds"] for row in history.rows), 1),
        "images_per_second": round(len(feed.y_train) * len(seconds) / sum(seconds), 1),
        **history.environment,
        "git": history.git,
        "resumed_at": history.resumed_at,
        "resumed_in_another_environment": history.inexact,
    }


def _optimizer(regime, accumulate):
    config = {"learning_rate": regime.lr}
    if regime.momentum:
        config["momentum"] = regime.momentum
    if accumulate > 1:
        config["gradient_accumulation_steps"] = accumulate
    return keras.optimizers.get({"class_name": regime.optimizer, "config": config})


def _require_tensorboard(options):
    needed = ("tensorboard", "tensorflow") if options.tensorboard else ()
    missing = [name for name in needed if not importlib.util.find_spec(name)]
    if missing:
        raise MendableError(
            f"--tensorboard needs {' and '.join(missing)}, not installed here: "
            f"pip install {' '.join(missing)}"
        )


def _notice(regime):
    if regime.label_corruption or regime.pixels != "true":
        for what, value in (
            (f"weight decay {regime.wd:g}", regime.wd),
            (f"dropout {regime.dropout:g}", regime.dropout),
            (f"word dropout {regime.word_dropout or 0:g}", regime.word_dropout),
            (f"augmentation ({', '.join(regime.augment)})", regime.augment),
        ):
            if value:
                return (
                    f"Note: with {what} this is not the paper's randomization test, "
                    "which has no explicit regularizer; its appendix adds them to "
                    "random labels."
                )
    return ""


def _print_verdict(record, paths):
    print(f"\n{records.verdict(record)}")
    files = [path for path in (paths.model, paths.csv, paths.json) if path.exists()]
    print(f"Files: {'  '.join(map(str, files))}", flush=True)


def _say(options, line):
    if line and not options.quiet:
        print(line, flush=True)


def _verbosity(options):
    if options.quiet:
        return 0
    # A bar where somebody looks on; a line an epoch in a log file.
    return 1 if sys.stdout.isatty() or "ipykernel" in sys.modules else 2


def _largest_divisor(number, limit):
    return max(d for d in range(1, min(number, limit) + 1) if number % d == 0)

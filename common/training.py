"""Compile, fit, measure, save: one run from a built model to its record."""

import contextlib
import functools
import importlib.util
import shutil
import statistics

import keras
import numpy as np

from common import cli, keras_defaults, records, verdicts
from common.cli import MendableError
from common.engine import (
    backend,
    device_epochs,
    devices,
    evaluation,
    progress,
    updates,
)
from common.engine.checkpoint import Checkpoint, precision_of
from common.engine.history import History
from common.engine.recorder import Recorder
from common.models import save, start_from


def run(build, feed, regime, options):
    """Trains one model and leaves its CSV, JSON and .h5.

    An interrupted run continues from its checkpoint and ends, on a CPU, bit for bit as
    if it had never been interrupted. A complete run is not run again.

    Args:
        build: Function without arguments that returns the untrained
            `keras.Model` (examples to logits).
        feed: `pipelines.Feed`, `pipelines.TextFeed` or `streaming.Feed`.
        regime: `regime.Regime`.
        options: `command_line.Options`.

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
    with (
        records.only_one(paths, options.name),
        cli.interruptible(
            lambda: (
                f"stopped; finished epochs are saved. To continue, type: "
                f"{options.command}"
            )
        ),
    ):
        if paths.json.exists() and not options.overwrite:
            return verdicts.finished(regime, options)  # by another process
        if paths.json.exists():  # else a checkpoint is that of an unfinished run
            records.remove_checkpoint(paths)
            paths.state.unlink(missing_ok=True)
            paths.examples.unlink(missing_ok=True)
            paths.json.unlink()
        started, git = records.now(), records.git_state()  # of the code that runs
        with _precision(regime, options, paths) as precision:
            history, checkpoint = _fit(build, feed, regime, options, paths)
            digest = save(build, history.final_weights(), paths.model)
        if options.keep_checkpoint:
            with records.replacing(paths.state) as temporary:
                shutil.copyfile(paths.checkpoint, temporary)
        record = _record(feed, regime, options, history, checkpoint)
        if checkpoint.recorder:
            record["examples"] = checkpoint.recorder.finish()
        record["precision_in_force"] = precision
        record["model_sha256"] = digest
        record["git"] = git
        record["started"], record["finished"] = started, records.now()
        records.write_csv(paths.csv, history.rows)
        records.write_json(paths.json, record)  # last: its presence means complete
        record = records.read(paths.json)  # as any later reader gets it
        records.remove_checkpoint(paths)
    verdicts.show(record, paths)
    return record


@contextlib.contextmanager
def _precision(regime, options, paths):
    """Sets the dtype policy of a run; yields the precision that is in force.

    That of a checkpoint where `auto` would now mean another.
    """
    keras_defaults.fix(keras)  # a notebook may have changed them
    precision = (
        (options.resume and precision_of(paths.checkpoint))
        or (options.continue_from and precision_of(_kept(options)))
        or backend.precision_in_force(regime.precision)
    )
    policy = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy(
            precision if precision == "float32" else f"mixed_{precision}"
        )
        yield precision
    finally:
        keras.config.set_dtype_policy(policy)


def _kept(options):
    """The path of what the run named by --continue-from has left to go on from."""
    name = options.continue_from
    shorter = records.paths(name, options.results_dir, options.models_dir)
    unfinished = not shorter.state.exists() and shorter.checkpoint.exists()
    return shorter.checkpoint if unfinished else shorter.state


def compile_model(model, feed, regime):
    """Compiles as every run does: cross-entropy on logits, the regime's optimizer."""
    # A divisor, so that an epoch ends where the progress bar says.
    at_once = _largest_divisor(feed.steps_per_epoch, feed.steps_at_once)
    if device_epochs.possible(feed):
        at_once = 1  # an epoch
    model.compile(
        optimizer=_optimizer(regime, feed.accumulate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        # Not by its name alone: TensorFlow would trace the first step twice, once to
        # find the variables of a metric that does not exist yet.
        metrics=[keras.metrics.SparseCategoricalAccuracy("accuracy")],
        steps_per_execution=at_once,
    )
    model.optimizer.build(model.trainable_variables)  # before any restore


def _fit(build, feed, regime, options, paths):
    """Builds, compiles, restores what a checkpoint holds, and trains on."""
    keras.utils.set_random_seed(regime.seed)
    model = build()
    if regime.init_from:
        start_from(model, regime.init_from)
    if options.save_init and options.chief:
        save(build, [np.array(w) for w in model.get_weights()], paths.init)
    compile_model(model, feed, regime)
    corrupted, recorder = bool(regime.label_corruption), None
    if options.record_examples:
        recorder = Recorder(feed, paths, options.name)
    observe = recorder and recorder.observe
    measure = evaluation.measurer(model, feed, corrupted, observe)
    measure_all = options.measure == "all" or options.record_examples
    history = History(model, regime, measure, measure_all)
    data_hash = records.sha256(feed.data.x_train, feed.data.y_train)
    every = options.checkpoint_every
    checkpoint = Checkpoint(history, regime, data_hash, paths, every, recorder)
    if not options.resume and options.chief:
        records.remove_checkpoint(paths)
    if not (options.resume and checkpoint.restore()) and options.continue_from:
        checkpoint.extend(_kept(options), options.continue_from)
    for row in history.rows:  # a checkpoint of before there were samples
        row.setdefault("measured", len(feed.y_train))
    first = len(history.rows)
    devices.check_agreement(first, options)
    callbacks = [history] + ([recorder] if recorder else [])
    if options.tensorboard:
        folder = f"{options.tensorboard}/{options.name}"
        callbacks.append(keras.callbacks.TensorBoard(log_dir=folder))
    if options.chief:
        callbacks.append(checkpoint)
        if not options.quiet:
            callbacks.append(_announced(history, checkpoint, feed, regime, options))

    def saved():
        return (
            f"stopped; {checkpoint.saved_epochs} of {regime.epochs} epochs are saved. "
            f"To continue, type: {options.command}"
        )

    batches, steps = feed.batches, feed.steps_per_epoch
    if device_epochs.possible(feed):
        batches, steps = functools.partial(device_epochs.prepare, model, feed), 1
    try:
        if not history.ended:
            with cli.interruptible(saved):
                model.fit(
                    batches(first),
                    epochs=regime.epochs,
                    initial_epoch=first,
                    steps_per_epoch=steps,
                    callbacks=callbacks,
                    shuffle=False,  # the feed's plan is the order
                    verbose=0,  # `Progress` says more
                )
    except feed.errors as error:
        raise feed.explain(error) from error
    history.stopped_because = history.stopped_because or "epochs"
    return history, checkpoint


def _announced(history, checkpoint, feed, regime, options):
    """Says what begins or goes on; returns the callback that says the rest."""
    same = {
        "device": checkpoint.environment["device"],
        "precision_in_force": checkpoint.precision,
        "parameters": progress.parameters(history.built),
        "train_examples": len(feed.y_train),
    }
    kept = records.of_script(options.script, options.results_dir)
    alike = [
        record["seconds"] / record["epochs"]
        for record in kept
        if all(record.get(key) == value for key, value in same.items())
        and "seconds" in record
    ]
    pace = statistics.median(alike) if alike else None
    print(progress.header(history, feed, options, checkpoint.precision, pace))
    if notice := _notice(regime):
        print(notice)
    if history.rows:
        print(f"Continuing after epoch {len(history.rows)}.")
    elif notice := _shorter(regime, options, kept):
        print(notice)
    if checkpoint.inexact:
        print(
            "Note: the versions, device or number of threads have changed since the "
            "checkpoint, so that the last bits may differ from an uninterrupted run."
        )
    return progress.Progress(history, feed.steps_per_epoch, pace)


def _shorter(regime, options, kept):
    """Says that a complete run is the beginning of this one."""
    usual, ours = (records.as_read(vars(x)) for x in (type(regime)(), regime))
    found = []
    for record in kept:  # one of before lacks newer settings
        same = usual | record["regime"] | {"epochs": regime.epochs} == ours
        if same and record["epochs"] < regime.epochs:
            if record["stopped_because"] == "epochs":
                found.append((record["epochs"], record["name"]))
    if not found:
        return ""
    epochs, name = max(found)
    paths = records.paths(name, options.results_dir, options.models_dir)
    how = (
        f"--continue-from {name} goes on from its end."
        if paths.state.exists()
        else "its end was not kept, as --keep-checkpoint does for --continue-from."
    )
    return (
        f"Note: {name} is complete, the same with {verdicts.count(epochs, 'epoch')}. "
        f"This run begins at the first; {how}"
    )


def _record(feed, regime, options, history, checkpoint):
    data, final = feed.data, history.final_row()
    mean, std = feed.input_statistics()
    # The first epoch also traces and compiles.
    seconds = history.train_seconds[1:] or history.train_seconds
    best = max(history.rows, key=lambda row: row["val_accuracy"])
    return {
        "schema": records.SCHEMA,
        "name": options.name,
        "script": options.script,
        "argv": options.argv,
        "regime": vars(regime),
        "loss": history.built.loss.name,
        "input_shape": feed.input_shape,
        "num_classes": feed.num_classes,
        "train_examples": len(feed.y_train),
        "test_examples": len(feed.y_test),
        "parameters": progress.parameters(history.built),
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
        "train_sha256": checkpoint.data_hash,
        "init_sha256": checkpoint.init_hash,
        "seconds": round(sum(row["seconds"] for row in history.rows), 1),
        "images_per_second": round(len(feed.y_train) * len(seconds) / sum(seconds), 1),
        **checkpoint.environment,
        "resumed_at": checkpoint.resumed_at,
        "resumed_in_another_environment": checkpoint.inexact,
        "continued_from": checkpoint.continued_from,
    }


def _optimizer(regime, accumulate):
    config = {"learning_rate": regime.lr}
    if regime.momentum:
        config["momentum"] = regime.momentum
    if accumulate > 1:
        config["gradient_accumulation_steps"] = accumulate
    return updates.optimizer(regime.optimizer, config)


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


def _largest_divisor(number, limit):
    return max(d for d in range(1, min(number, limit) + 1) if number % d == 0)

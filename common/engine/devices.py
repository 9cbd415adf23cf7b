"""Several devices, on one machine or on many: what Keras, TensorFlow and JAX have."""

import os
import subprocess
import sys

from common.cli import MendableError, UsageError
from common.engine import machine

_WATCHED = "RETHINKING_WATCHED"  # set where one of several processes trains
_FAILED = 70  # its exit code when it fails as no user's mistake does


def start(options, batch_size):
    """Makes every model built from now on train on all devices that `options` name.

    One machine's by `tf.distribute.MirroredStrategy`, or on JAX `DataParallel` of
    `keras.distribution`; many machines' by the latter. Nothing without `--distribute`.

    Args:
        options: `command_line.Options`.
        batch_size: Of all devices together.

    Raises:
        UsageError: If the backend cannot do it, or the batch cannot be parted.
        MendableError: If another of several processes was lost.
    """
    if not options.distribute:
        return
    hosts = options.distribute != "local"
    watches = hosts and _WATCHED not in os.environ
    watches = watches and [*options.argv] == sys.argv[1:]
    if watches and os.environ.get("KERAS_BACKEND") == "jax":
        _watch(options)  # before Keras: one of the two processes needs it
    import keras  # here, so that a script's flags are read before Keras is

    backend = keras.backend.backend()
    if hosts:
        if backend != "jax":
            raise UsageError(
                f"--distribute {options.distribute}: Keras trains over several hosts "
                f"on JAX alone, and the backend is {backend}. Put KERAS_BACKEND=jax "
                "before the command, on every host."
            )
        if watches:  # a keras.json has chosen JAX
            _watch(options)
        _join(options)
    if backend == "tensorflow":
        import tensorflow as tf

        devices = [
            device.name
            for device in tf.config.list_logical_devices("GPU")
            or tf.config.list_logical_devices("CPU")
        ]
        strategy = tf.distribute.MirroredStrategy(devices)
        tf.distribute.experimental_set_strategy(strategy)
    else:
        devices = keras.distribution.list_devices()
        keras.distribution.set_distribution(
            # Each process feeds its own part of a batch already.
            keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False)
        )
    if batch_size == "full" or batch_size % len(devices):
        raise UsageError(
            f"--batch-size {batch_size}: expected a multiple of {len(devices)}, the "
            "number of devices, so that each has the same part."
        )


def check_agreement(epochs, options):
    """Checks that all processes continue after the same epoch.

    Raises:
        MendableError: If they do not: they have read different checkpoints.
    """
    if options.process[1] == 1:
        return
    from jax.experimental import multihost_utils

    try:
        multihost_utils.assert_equal(epochs)
    except AssertionError:
        raise MendableError(
            "the processes do not see the same checkpoint: --models-dir and "
            "--results-dir have to be folders that all of them share."
        ) from None


def leave(code):
    """Ends this process; one of several does not wait for the others to end, too."""
    if _WATCHED in os.environ:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # JAX would wait for minutes
    sys.exit(code)


def _join(options):
    """Waits for all processes to come, and makes their devices one list."""
    import keras

    def fail(*error):  # most likely in a sum over all processes, one of which is lost
        sys.__excepthook__(*error)
        leave(_FAILED)

    sys.excepthook = fail
    process, processes = options.process
    keras.distribution.initialize(options.distribute, processes, process)


def _watch(options):
    """Does the training in a process of its own, and ends when that ends.

    Where a lost process is found out by its silence, JAX aborts the others in C++:
    somebody has to be left to say in one line what happened.
    """
    child = subprocess.Popen(
        [sys.executable, *sys.orig_argv[1:]],
        env=os.environ | {_WATCHED: "1"},
        preexec_fn=machine.die_with_parent(),
    )
    code = None
    while code is None:
        try:
            code = child.wait()
        except KeyboardInterrupt:  # a terminal's goes to both; the child answers it
            pass
    if code < 0 or code == _FAILED:
        process, processes = options.process
        raise MendableError(
            f"process {process} of {processes} ended without a result (see above). "
            "Most likely another one was lost, or never came. End all that are left "
            "and start all again with the same commands: they continue from the last "
            "checkpoint."
        )
    sys.exit(code)

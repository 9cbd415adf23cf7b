"""Several devices, on one machine or on many: what Keras, TensorFlow and JAX have."""

import keras

from common.cli import UsageError

try:
    import tensorflow as tf
except ImportError:  # KERAS_BACKEND=jax on a machine without TensorFlow
    tf = None


def start(options, batch_size):
    """Makes every model built from now on train on all devices that `options` name.

    On one machine `tf.distribute.MirroredStrategy` or `keras.distribution.DataParallel`,
    over several processes `keras.distribution` on JAX. Nothing without `--distribute`.

    Args:
        options: `regime.Options`.
        batch_size: Of all devices together.

    Raises:
        UsageError: If the backend cannot do it, or the batch cannot be parted.
    """
    if not options.distribute:
        return
    backend = keras.backend.backend()
    if options.distribute != "local":
        if backend != "jax":
            raise UsageError(
                f"--distribute {options.distribute}: Keras trains over several hosts on "
                f"JAX alone, and the backend is {backend}. Put KERAS_BACKEND=jax before "
                "the command, on every host."
            )
        keras.distribution.initialize(options.distribute, *options.process[::-1])
    if backend == "tensorflow":
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

"""Runs of imagenet_inception_v3.py with a small network; `--then` begins another.

Prints a checksum of the weights in the end, in every process that trains.
"""

import hashlib
import os
import sys

import imagenet_inception_v3
from common import cli
from common.engine import devices

__file__ = imagenet_inception_v3.__file__  # so that Keras imports what it does there

if "LOGICAL_CPUS" in os.environ:
    import keras  # noqa: F401
    import tensorflow as tf

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * int(os.environ["LOGICAL_CPUS"]),
    )


def small(input_shape, num_classes, weight_decay=0.0, dropout=0.0, batch_norm=True):
    import keras

    from common.models.layers import l2, logits

    x = inputs = keras.Input(input_shape)
    x = keras.layers.Conv2D(8, 5, 5, kernel_regularizer=l2(weight_decay))(x)
    if batch_norm:
        x = keras.layers.BatchNormalization(momentum=0.9)(x)
    x = keras.layers.Flatten()(keras.layers.ReLU()(x))
    if dropout:
        x = keras.layers.Dropout(dropout)(x)
    return keras.Model(inputs, logits(num_classes, weight_decay)(x))


def tell(history, logs=None):
    weights = b"".join(w.tobytes() for w in history.built.get_weights())
    print("weights", hashlib.sha256(weights).hexdigest(), flush=True)


if __name__ == "__main__":
    # One that only waits for another which trains does not load Keras.
    if "--process" not in sys.argv or devices._WATCHED in os.environ:
        from common.engine.history import History
        from common.models import inception_v3

        History.on_train_end = tell
        inception_v3.inception_v3 = small
    flags = " ".join(sys.argv[1:])
    for argv in flags.split(" --then "):
        cli.run(
            lambda argv=argv: imagenet_inception_v3.main(argv.split()),
            devices.leave,
        )

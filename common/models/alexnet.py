"""Small AlexNet for CIFAR-10 (Zhang et al. 2017, appendix A)."""

import functools

import keras

from common.models.layers import LocalResponseNormalization, l2, logits


def small_alexnet(input_shape, num_classes, weight_decay=0.0, dropout=0.0):
    """Builds two (convolution 5x5, max-pool 3x3, LRN) modules and dense 384, 192.

    On 28x28x3 inputs with 10 classes it has the 1,387,786 parameters of Table 1,
    which fixes 64 filters in both convolutions. The constants of the local
    response normalization are not in the paper; they are those of the TensorFlow
    tutorial network that it descends from.

    Args:
        input_shape: `(height, width, channels)`.
        num_classes: Number of logits.
        weight_decay: Coefficient w of the penalty `w / 2 * ||kernel||^2`.
        dropout: Rate before each dense layer.

    Returns:
        `keras.Sequential` from images to logits.
    """
    options = {"activation": "relu", "kernel_regularizer": l2(weight_decay)}
    conv = functools.partial(keras.layers.Conv2D, padding="same", **options)
    pool = functools.partial(keras.layers.MaxPooling2D, padding="same")
    dense = functools.partial(keras.layers.Dense, **options)

    def drop():
        return [keras.layers.Dropout(dropout)] if dropout else []

    return keras.Sequential(
        [
            keras.Input(input_shape),  # 28 x 28 x 3
            conv(64, 5),
            pool(3, strides=2),  # 14 x 14 x 64
            LocalResponseNormalization(),
            conv(64, 5),
            pool(3, strides=2),  # 7 x 7 x 64
            LocalResponseNormalization(),
            keras.layers.Flatten(),
            *drop(),
            dense(384),
            *drop(),
            dense(192),
            *drop(),
            logits(num_classes, weight_decay),
        ],
        name="small_alexnet",
    )

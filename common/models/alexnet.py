"""Small AlexNet for CIFAR-10 (Zhang et al. 2017, appendix A)."""

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
        `keras.Model` from images to logits.
    """
    penalty = l2(weight_decay)
    inputs = x = keras.Input(input_shape)
    for _ in range(2):  # 28 x 28 x 64 -> 14 x 14 x 64 -> 7 x 7 x 64
        x = keras.layers.Conv2D(
            64, 5, padding="same", activation="relu", kernel_regularizer=penalty
        )(x)
        x = keras.layers.MaxPooling2D(3, strides=2, padding="same")(x)
        x = LocalResponseNormalization()(x)
    x = keras.layers.Flatten()(x)
    for units in (384, 192):
        if dropout:
            x = keras.layers.Dropout(dropout)(x)
        x = keras.layers.Dense(units, activation="relu", kernel_regularizer=penalty)(x)
    if dropout:
        x = keras.layers.Dropout(dropout)(x)
    return keras.Model(
        inputs, logits(x, num_classes, weight_decay), name="small_alexnet"
    )

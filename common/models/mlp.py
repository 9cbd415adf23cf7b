"""Multilayer perceptrons (Zhang et al. 2017, appendix A)."""

import keras

from common.models.layers import l2, logits


def mlp(input_shape, num_classes, hidden=(512,), weight_decay=0.0, dropout=0.0):
    """Builds a ReLU network with dense hidden layers.

    `hidden=(512,)` and `(512, 512, 512)` are the paper's; on 28x28x3 inputs with
    10 classes they have 1,209,866 and 1,735,178 parameters (Table 1).

    Args:
        input_shape: `(height, width, channels)`.
        num_classes: Number of logits.
        hidden: Units of each hidden layer.
        weight_decay: Coefficient w of the penalty `w / 2 * ||kernel||^2`.
        dropout: Rate before each dense layer but the first.

    Returns:
        `keras.Sequential` from images to logits.
    """
    penalty = l2(weight_decay)
    layers = [keras.Input(input_shape), keras.layers.Flatten()]
    for units in hidden:
        layers += [
            keras.layers.Dense(units, activation="relu", kernel_regularizer=penalty),
            *([keras.layers.Dropout(dropout)] if dropout else []),
        ]
    return keras.Sequential([*layers, logits(num_classes, weight_decay)], name="mlp")

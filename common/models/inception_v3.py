"""Inception v3 for ImageNet (Szegedy et al. 2015, arXiv 1512.00567)."""

import keras

from common.models.layers import l2, logits


def inception_v3(
    input_shape, num_classes, weight_decay=0.0, dropout=0.0, batch_norm=True
):
    """Builds Inception v3, layer for layer that of `keras.applications`.

    On 299x299x3 images with 1,000 classes it has 23,817,352 trainable parameters.
    BatchNorm has an offset but no scale, and convolutions have no bias; without
    BatchNorm they have one, and the count is the same. There is no auxiliary head.

    Args:
        input_shape: `(height, width, channels)`, at least 75 x 75.
        num_classes: Number of logits.
        weight_decay: Coefficient w of the penalty `w / 2 * ||kernel||^2`.
        dropout: Rate before the dense layer.
        batch_norm: Whether each convolution is followed by BatchNorm.

    Returns:
        `keras.Model` from images to logits.
    """

    def conv(x, filters, height, width=None, strides=1, padding="same"):
        x = keras.layers.Conv2D(
            filters,
            (height, width or height),
            strides=strides,
            padding=padding,
            use_bias=not batch_norm,
            kernel_regularizer=l2(weight_decay),
        )(x)
        if batch_norm:
            # As in the small Inception: an average over the last ten steps or so.
            x = keras.layers.BatchNormalization(scale=False, momentum=0.9)(x)
        return keras.layers.ReLU()(x)

    def chain(x, *modules):
        for module in modules:
            x = conv(x, *module)
        return x

    def halve(x, filters, size=3):  # by a convolution without padding
        return conv(x, filters, size, strides=2, padding="valid")

    def average(x, filters):
        x = keras.layers.AveragePooling2D(3, strides=1, padding="same")(x)
        return conv(x, filters, 1)

    def join(*branches):
        return keras.layers.Concatenate()(branches)

    def pool(x):
        return keras.layers.MaxPooling2D(3, strides=2)(x)

    inputs = keras.Input(input_shape)
    x = halve(inputs, 32)  # 149 x 149 x 32
    x = conv(x, 32, 3, padding="valid")  # 147 x 147 x 32
    x = pool(conv(x, 64, 3))  # 73 x 73 x 64
    x = conv(x, 80, 1, padding="valid")
    x = pool(conv(x, 192, 3, padding="valid"))  # 35 x 35 x 192
    for filters in (32, 64, 64):  # 35 x 35 x 256, 288, 288
        x = join(
            conv(x, 64, 1),
            chain(x, (48, 1), (64, 5)),
            chain(x, (64, 1), (96, 3), (96, 3)),
            average(x, filters),
        )
    x = join(halve(x, 384), halve(chain(x, (64, 1), (96, 3)), 96), pool(x))
    for n in (128, 160, 160, 192):  # 17 x 17 x 768
        x = join(
            conv(x, 192, 1),
            chain(x, (n, 1), (n, 1, 7), (192, 7, 1)),
            chain(x, (n, 1), (n, 7, 1), (n, 1, 7), (n, 7, 1), (192, 1, 7)),
            average(x, 192),
        )
    x = join(
        halve(conv(x, 192, 1), 320),
        halve(chain(x, (192, 1), (192, 1, 7), (192, 7, 1)), 192),
        pool(x),
    )
    for _ in range(2):  # 8 x 8 x 1280, then 2048
        single, double = conv(x, 384, 1), chain(x, (448, 1), (384, 3))
        x = join(
            conv(x, 320, 1),
            join(conv(single, 384, 1, 3), conv(single, 384, 3, 1)),
            join(conv(double, 384, 1, 3), conv(double, 384, 3, 1)),
            average(x, 192),
        )
    x = keras.layers.GlobalAveragePooling2D()(x)
    if dropout:
        x = keras.layers.Dropout(dropout)(x)
    outputs = logits(num_classes, weight_decay)(x)
    return keras.Model(inputs, outputs, name="inception_v3")

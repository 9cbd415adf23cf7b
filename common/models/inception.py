"""Small Inception for CIFAR-10 (Zhang et al. 2017, appendix A, figure 3)."""

import keras

from common.models.layers import FusedBatchNormalization, l2, logits


def small_inception(
    input_shape, num_classes, weight_decay=0.0, dropout=0.0, batch_norm=True
):
    """Builds the small Inception network.

    On 28x28x3 inputs with 10 classes it has the 1,649,402 trainable parameters of
    Table 1 both with BatchNorm (an offset but no scale, convolutions without
    bias) and without (convolutions with bias).

    Args:
        input_shape: `(height, width, channels)`.
        num_classes: Number of logits.
        weight_decay: Coefficient w of the penalty `w / 2 * ||kernel||^2`.
        dropout: Rate before the dense layer.
        batch_norm: Whether each convolution is followed by BatchNorm.

    Returns:
        `keras.Model` from images to logits.
    """

    def conv_module(x, filters, size, strides=1):
        x = keras.layers.Conv2D(
            filters,
            size,
            strides=strides,
            padding="same",
            use_bias=not batch_norm,
            kernel_regularizer=l2(weight_decay),
        )(x)
        if batch_norm:
            # Keras's momentum of 0.99 lags behind in runs of a few thousand steps.
            x = FusedBatchNormalization(scale=False, momentum=0.9)(x)
        return keras.layers.ReLU()(x)

    def inception(x, filters_1x1, filters_3x3):
        return keras.layers.Concatenate()(
            [conv_module(x, filters_1x1, 1), conv_module(x, filters_3x3, 3)]
        )

    def downsample(x, filters):
        pooled = keras.layers.MaxPooling2D(3, strides=2, padding="same")(x)
        return keras.layers.Concatenate()([conv_module(x, filters, 3, 2), pooled])

    inputs = keras.Input(input_shape)
    x = conv_module(inputs, 96, 3)  # 28 x 28 x 96
    for filters in ((32, 32), (32, 48)):  # 28 x 28 x 64, 80
        x = inception(x, *filters)
    x = downsample(x, 80)  # 14 x 14 x 160
    for filters in ((112, 48), (96, 64), (80, 80), (48, 96)):  # 14 x 14 x 160 … 144
        x = inception(x, *filters)
    x = downsample(x, 96)  # 7 x 7 x 240
    for filters in ((176, 160), (176, 160)):  # 7 x 7 x 336
        x = inception(x, *filters)
    x = keras.layers.GlobalAveragePooling2D()(x)
    if dropout:
        x = keras.layers.Dropout(dropout)(x)
    outputs = logits(num_classes, weight_decay)(x)
    return keras.Model(inputs, outputs, name="small_inception")

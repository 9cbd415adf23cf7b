"""Wide residual networks (Zagoruyko & Komodakis 2016, arXiv 1605.07146, table 1)."""

import keras

from common.models.layers import FusedBatchNormalization, l2, logits


def wide_resnet(
    input_shape, num_classes, depth=28, width=1, weight_decay=0.0, dropout=0.0
):
    """Builds WRN-depth-width: three groups of (depth - 4) / 6 pre-activated blocks.

    On images with 3 channels and 10 classes WRN-28-1 has 369,498 trainable
    parameters and WRN-28-10 has 36,479,194, as the authors count them (0.37 and
    36.5 million): convolutions without bias, BatchNorm with scale and offset, and a
    1x1 convolution in the first shortcut of a group where the width changes.

    Args:
        input_shape: `(height, width, channels)`.
        num_classes: Number of logits.
        depth: Convolutions on the way, 6 n + 4 for an integer n of at least 1.
        width: Factor k of the groups' 16, 32 and 64 channels.
        weight_decay: Coefficient w of the penalty `w / 2 * ||kernel||^2`.
        dropout: Rate between the two convolutions of a block (section 2.4).

    Returns:
        `keras.Model` from images to logits.

    Raises:
        ValueError: If the depth is not 6 n + 4.
    """
    if depth < 10 or depth % 6 != 4:
        raise ValueError(
            "A Wide ResNet has a depth of 6 n + 4: 10, 16, 22, 28, 40 ... "
            f"Received: depth={depth}"
        )
    penalty = l2(weight_decay)

    def convolution(x, filters, size, strides=1):
        return keras.layers.Conv2D(
            filters,
            size,
            strides=strides,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",  # as the authors
            kernel_regularizer=penalty,
        )(x)

    def activate(x):
        # Keras's momentum of 0.99 lags behind in runs of a few thousand steps.
        return keras.layers.ReLU()(FusedBatchNormalization(momentum=0.9)(x))

    def block(x, filters, strides):
        y = activate(x)
        if x.shape[-1] != filters:
            x = convolution(y, filters, 1, strides)
        y = activate(convolution(y, filters, 3, strides))
        if dropout:
            y = keras.layers.Dropout(dropout)(y)
        return keras.layers.Add()([x, convolution(y, filters, 3)])

    inputs = keras.Input(input_shape)
    x = convolution(inputs, 16, 3)
    # 28 x 28 x 16 k, 14 x 14 x 32 k, 7 x 7 x 64 k
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        for i in range((depth - 4) // 6):
            x = block(x, filters * width, strides if i == 0 else 1)
    x = keras.layers.GlobalAveragePooling2D()(activate(x))
    outputs = logits(num_classes, weight_decay)(x)
    return keras.Model(inputs, outputs, name=f"wrn_{depth}_{width}")

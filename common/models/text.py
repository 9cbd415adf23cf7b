"""Text classifiers: a bag of embeddings, a CNN, an LSTM and a transformer encoder.

Each reads `(batch, length)` integers, 0 where a review has ended, and what it says of
a review does not depend on how much padding follows. Weight decay is on kernels only:
embeddings are none.
"""

import keras

from common.models.layers import (
    AddPositions,
    ClearPadding,
    IsWord,
    SummedEmbedding,
    l2,
    logits,
)

EMBEDDING = 32  # units of a word's vector, in every network


def bag(input_shape, num_classes, vocabulary_size, weight_decay=0.0, dropout=0.0):
    """Builds a network on the mean of a review's word vectors, without their order.

    A deep averaging network (Iyyer et al. 2015) of one hidden layer of 256 units.

    Args:
        input_shape: `(length,)`.
        num_classes: Number of logits.
        vocabulary_size: Integers from 0 to `vocabulary_size - 1` are words.
        weight_decay: Coefficient w of the penalty `w / 2 * ||kernel||^2`.
        dropout: Rate before each dense layer.

    Returns:
        `keras.Model` from integers to logits.
    """
    tokens, x, mask = _read(input_shape, vocabulary_size)
    x = keras.layers.GlobalAveragePooling1D()(x, mask=mask)
    x = keras.layers.Dense(256, activation="relu", kernel_regularizer=l2(weight_decay))(
        _dropped(x, dropout)
    )
    return _classifier(tokens, x, num_classes, weight_decay, dropout, "bag")


def cnn(input_shape, num_classes, vocabulary_size, weight_decay=0.0, dropout=0.0):
    """Builds a convolution over five words and the maximum over places (Kim 2014).

    Args:
        input_shape, num_classes, vocabulary_size, weight_decay: See `bag`.
        dropout: Rate before the convolution and before the dense layer.

    Returns:
        `keras.Model` from integers to logits.
    """
    tokens, x, mask = _read(input_shape, vocabulary_size)
    x = keras.layers.Conv1D(
        128, 5, padding="same", activation="relu", kernel_regularizer=l2(weight_decay)
    )(_dropped(ClearPadding()([x, mask]), dropout))
    # A ReLU is not negative, so that a cleared place is never the maximum.
    x = keras.layers.GlobalMaxPooling1D()(ClearPadding()([x, mask]))
    return _classifier(tokens, x, num_classes, weight_decay, dropout, "cnn")


def lstm(input_shape, num_classes, vocabulary_size, weight_decay=0.0, dropout=0.0):
    """Builds an LSTM of 64 units and the mean of its states over the review.

    Args:
        input_shape, num_classes, vocabulary_size, weight_decay: See `bag`; input and
            recurrent kernels.
        dropout: Rate before the LSTM and before the dense layer.

    Returns:
        `keras.Model` from integers to logits.
    """
    tokens, x, mask = _read(input_shape, vocabulary_size)
    x = keras.layers.LSTM(
        64,
        return_sequences=True,
        kernel_regularizer=l2(weight_decay),
        recurrent_regularizer=l2(weight_decay),
    )(_dropped(x, dropout), mask=mask)
    x = keras.layers.GlobalAveragePooling1D()(x, mask=mask)
    return _classifier(tokens, x, num_classes, weight_decay, dropout, "lstm")


def transformer(
    input_shape, num_classes, vocabulary_size, weight_decay=0.0, dropout=0.0
):
    """Builds one encoder block, normalized first, and the mean over the review.

    Two heads of attention, then a dense layer of 128 units (Vaswani et al. 2017,
    section 3; the order of normalization is that of Xiong et al. 2020), with learnt
    vectors for the positions.

    Args:
        input_shape, num_classes, vocabulary_size, weight_decay: See `bag`.
        dropout: Rate on the embedding, on both branches of the block, and before the
            last layer.

    Returns:
        `keras.Model` from integers to logits.
    """
    penalty = l2(weight_decay)
    tokens, x, mask = _read(input_shape, vocabulary_size)
    x = _dropped(AddPositions()(x), dropout)
    y = keras.layers.LayerNormalization()(x)
    y = keras.layers.MultiHeadAttention(2, EMBEDDING // 2, kernel_regularizer=penalty)(
        y, y, value_mask=mask
    )
    x = keras.layers.Add()([x, _dropped(y, dropout)])
    y = keras.layers.LayerNormalization()(x)
    y = keras.layers.Dense(128, activation="relu", kernel_regularizer=penalty)(y)
    y = keras.layers.Dense(EMBEDDING, kernel_regularizer=penalty)(y)
    x = keras.layers.Add()([x, _dropped(y, dropout)])
    x = keras.layers.LayerNormalization()(x)
    x = keras.layers.GlobalAveragePooling1D()(x, mask=mask)
    return _classifier(tokens, x, num_classes, weight_decay, dropout, "transformer")


def _read(input_shape, vocabulary_size):
    """Returns the input, the vectors of its words, and the mask of what is a word."""
    tokens = keras.Input(input_shape, dtype="int32")
    x = SummedEmbedding(vocabulary_size, EMBEDDING)(tokens)
    return tokens, x, IsWord()(tokens)


def _dropped(x, dropout):
    return keras.layers.Dropout(dropout)(x) if dropout else x


def _classifier(tokens, x, num_classes, weight_decay, dropout, name):
    outputs = logits(num_classes, weight_decay)(_dropped(x, dropout))
    return keras.Model(tokens, outputs, name=name)

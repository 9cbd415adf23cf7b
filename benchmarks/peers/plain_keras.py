"""The plain Keras script: what one writes first, with Keras's own layers, in float32.

A module of the benchmark: `contender` returns the turns that `bench.py` calls.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

BATCH = 128
FACTS = {"precision": "float32"}


def mlp(hidden):
    stack = [layers.Input((28, 28, 3)), layers.Flatten()]
    stack += [layers.Dense(units, activation="relu") for units in hidden]
    return keras.Sequential([*stack, layers.Dense(10)])


def alexnet():
    def module():
        return [
            layers.Conv2D(64, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(3, 2, padding="same"),
            layers.Lambda(lambda x: tf.nn.local_response_normalization(x, 4, 1, 1e-3)),
        ]

    return keras.Sequential(
        [
            layers.Input((28, 28, 3)),
            *module(),
            *module(),
            layers.Flatten(),
            layers.Dense(384, activation="relu"),
            layers.Dense(192, activation="relu"),
            layers.Dense(10),
        ]
    )


def conv_module(x, filters, size, strides=1):
    x = layers.Conv2D(filters, size, strides, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(scale=False)(x)
    return layers.ReLU()(x)


def inception():
    def branches(x, ones, threes):
        both = [conv_module(x, ones, 1), conv_module(x, threes, 3)]
        return layers.Concatenate()(both)

    def downsample(x, filters):
        pooled = layers.MaxPooling2D(3, 2, padding="same")(x)
        return layers.Concatenate()([conv_module(x, filters, 3, 2), pooled])

    inputs = layers.Input((28, 28, 3))
    x = conv_module(inputs, 96, 3)
    for filters in ((32, 32), (32, 48)):
        x = branches(x, *filters)
    x = downsample(x, 80)
    for filters in ((112, 48), (96, 64), (80, 80), (48, 96)):
        x = branches(x, *filters)
    x = downsample(x, 96)
    for filters in ((176, 160), (176, 160)):
        x = branches(x, *filters)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10)(x))


def wide_resnet(depth=28):
    def conv(x, filters, size, strides=1):
        return layers.Conv2D(filters, size, strides, padding="same", use_bias=False)(x)

    def activate(x):
        return layers.ReLU()(layers.BatchNormalization()(x))

    inputs = layers.Input((28, 28, 3))
    x = conv(inputs, 16, 3)
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        for i in range((depth - 4) // 6):
            step = strides if i == 0 else 1
            y = activate(x)
            if x.shape[-1] != filters:
                x = conv(y, filters, 1, step)
            y = conv(activate(conv(y, filters, 3, step)), filters, 3)
            x = layers.Add()([x, y])
    x = layers.GlobalAveragePooling2D()(activate(x))
    return keras.Model(inputs, layers.Dense(10)(x))


def words(masked=True):
    tokens = layers.Input((128,), dtype="int32")
    return tokens, layers.Embedding(10_000, 32, mask_zero=masked)(tokens)


class Positions(layers.Layer):
    supports_masking = True

    def build(self, shape):
        self.places = self.add_weight(shape[1:], "uniform")

    def call(self, x):
        return x + self.places


def text_cnn():
    tokens, x = words(masked=False)
    x = layers.Conv1D(128, 5, padding="same", activation="relu")(x)
    x = layers.GlobalMaxPooling1D()(x)
    return keras.Model(tokens, layers.Dense(2)(x))


def text_lstm():
    tokens, x = words()
    x = layers.LSTM(64, return_sequences=True)(x)
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(tokens, layers.Dense(2)(x))


def text_transformer():
    tokens, x = words()
    x = Positions()(x)
    y = layers.LayerNormalization()(x)
    x = layers.Add()([x, layers.MultiHeadAttention(2, 16)(y, y)])
    y = layers.LayerNormalization()(x)
    y = layers.Dense(32)(layers.Dense(128, activation="relu")(y))
    x = layers.LayerNormalization()(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(tokens, layers.Dense(2)(x))


BUILD = {
    "mlp_1x512": lambda: mlp((512,)),
    "mlp_3x512": lambda: mlp((512, 512, 512)),
    "alexnet": alexnet,
    "alexnet_crop_flip": alexnet,
    "inception": inception,
    "wide_resnet": wide_resnet,
    "text_cnn": text_cnn,
    "text_lstm": text_lstm,
    "text_transformer": text_transformer,
}


def standardize(x, y):
    return tf.image.per_image_standardization(x[2:-2, 2:-2]), y


def crop_and_flip(x, y):
    x = tf.image.random_flip_left_right(tf.image.random_crop(x, (28, 28, 3)))
    return tf.image.per_image_standardization(x), y


def small_fits():
    """`fit` of one small network at a time, as for the norms of MNIST."""
    turns, rng = {}, np.random.default_rng(0)
    for size in (128, 256, 512, 1024):
        x = rng.standard_normal((size, 28, 28, 1), dtype=np.float32)
        y = rng.integers(0, 10, size)
        stack = [layers.Input((28, 28, 1)), layers.Flatten()]
        stack += [layers.Dense(64, activation="relu") for _ in range(2)]
        model = keras.Sequential([*stack, layers.Dense(10)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, metrics=["accuracy"])

        def fit(model=model, x=x, y=y, epochs=5):
            model.fit(x, y, batch_size=128, epochs=epochs, verbose=0)
            return epochs

        turns[f"n={size}"] = fit
    return turns


def contender(line, data, variant):
    if line == "l2norm":
        return small_fits()
    model, parallel = BUILD[line](), tf.data.AUTOTUNE
    text = line.startswith("text")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = "adam" if text else keras.optimizers.SGD(0.01, momentum=0.9)
    model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])

    train = tf.data.Dataset.from_tensor_slices((data["x_train"], data["y_train"]))
    test = tf.data.Dataset.from_tensor_slices((data["x_test"], data["y_test"]))
    train = train.shuffle(len(data["x_train"]))
    if not text:
        change = crop_and_flip if line.endswith("flip") else standardize
        train = train.map(change, num_parallel_calls=parallel)
        test = test.map(standardize, num_parallel_calls=parallel)
    train, test = train.batch(BATCH).prefetch(parallel), test.batch(BATCH)

    def trains():
        model.fit(train, epochs=1, verbose=0)
        return len(data["x_train"])

    def measures():
        model.evaluate(test, verbose=0)
        return len(data["x_test"])

    return {"train": trains, "measure": measures}

"""The networks against the paper's counts, plain loops, and sums by hand."""

import functools
import hashlib
import itertools
import json
import shutil
import types
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from common import models, training
from common.analysis import hessian, sensitivity
from common.cli import MendableError
from common.models import text
from common.models.alexnet import small_alexnet
from common.models.inception import small_inception
from common.models.inception_v3 import inception_v3
from common.models.layers import (
    FusedBatchNormalization,
    LocalResponseNormalization,
    SummedEmbedding,
)
from common.models.mlp import mlp
from common.models.wide_resnet import wide_resnet
from common.regime import Regime
from common.shared_settings import OPTIMIZERS

SHAPE, TINY = (28, 28, 3), (8, 8, 3)


def mlp_3x512(*args, **kwargs):
    return mlp(*args, hidden=(512, 512, 512), **kwargs)


def inception_without_batch_norm(*args, **kwargs):
    return small_inception(*args, batch_norm=False, **kwargs)


TABLE_1 = {
    mlp: 1_209_866,
    mlp_3x512: 1_735_178,
    small_alexnet: 1_387_786,
    small_inception: 1_649_402,
    inception_without_batch_norm: 1_649_402,
}
ALL = pytest.mark.parametrize("build", TABLE_1, ids=lambda build: build.__name__)
# Each kind of layer, in networks that are built and run at once.
SMALL = pytest.mark.parametrize(
    "build",
    [
        lambda *args, **kwargs: mlp(*args, hidden=(7, 5), **kwargs),
        small_alexnet,
        small_inception,
        lambda *args, **kwargs: wide_resnet(*args, depth=10, **kwargs),
    ],
    ids=["mlp", "alexnet", "inception", "wide_resnet"],
)


@pytest.fixture
def policy():
    """Sets Keras's dtype policy for one test."""
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy("float32")


def images(n, shape=SHAPE):
    return np.random.default_rng(0).standard_normal((n, *shape), dtype=np.float32)


def layers_of(model, kind):
    return [layer for layer in model.layers if isinstance(layer, kind)]


# Architecture


@functools.cache
def built(build, *args, **kwargs):
    """A network of which nobody counts on the weights."""
    return build(*(args or (SHAPE, 10)), **kwargs)


def regularized(build):
    return built(build, TINY, 10, weight_decay=0.02, dropout=0.3)


@ALL
def test_trainable_parameters_are_those_of_table_1(build):
    model = built(build)
    count = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert count == TABLE_1[build]
    if build is not small_inception:  # whose BatchNorm has moving statistics
        assert model.count_params() == count


@pytest.mark.parametrize(
    "depth, width, millions",  # Zagoruyko & Komodakis 2016, tables 3 and 4
    [(40, 1, 0.6), (16, 8, 11.0), (28, 10, 36.5)],
)
def test_wide_resnet_has_the_published_sizes(depth, width, millions):
    model = wide_resnet(SHAPE, 10, depth, width)
    count = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert round(count / 1e6, 1) == millions
    assert len(layers_of(model, keras.layers.Add)) == (depth - 4) // 2
    n, k = (depth - 4) // 6, width
    # Weights by hand: kernels, shortcuts, BatchNorm, and the dense layer.
    kernels = 9 * (3 * 16 + 2 * n * (16 * k) ** 2 * 21 + 16 * k * 16 * (1 - k))
    kernels -= 9 * (16 * k) ** 2 * (2 + 8)
    shortcuts = (16 * k) ** 2 * 10 + (16 * 16 * k if k > 1 else 0)
    inputs = 16 + 16 * k + 32 * k  # of the first BatchNorm of each group
    inputs += (2 * n - 1) * 112 * k + 64 * k
    assert count == kernels + shortcuts + 2 * inputs + 640 * k + 10


def test_wide_resnet_28_1():
    model = wide_resnet(SHAPE, 10)
    count = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert count == 369_498
    sides = [layer.output.shape[1:] for layer in layers_of(model, keras.layers.Add)]
    assert sides == [(28, 28, 16)] * 4 + [(14, 14, 32)] * 4 + [(7, 7, 64)] * 4
    with pytest.raises(ValueError, match="6 n [+] 4.*depth=20"):
        wide_resnet(SHAPE, 10, depth=20)


@ALL
def test_logits_are_linear_float32_and_one_a_class(build):
    shape = (28, 28, 1)
    model, other = build(shape, 100), built(build)
    assert (model.input_shape, model.output_shape) == ((None, *shape), (None, 100))
    assert (other.input_shape, other.output_shape) == ((None, *SHAPE), (None, 10))
    last = model.layers[-1]
    assert last.name == "logits" and last.activation is keras.activations.linear
    logits = model(images(3, shape)).numpy()
    assert logits.dtype == np.float32 and np.ptp(logits) > 0
    assert abs(logits.sum(1) - 1).min() > 1e-3  # not probabilities


def test_alexnet_is_conv_pool_normalize_twice_and_three_dense():
    model = built(small_alexnet)
    assert [type(layer).__name__ for layer in model.layers] == [
        *["Conv2D", "MaxPooling2D", "LocalResponseNormalization"] * 2,
        "Flatten",
        *["Dense"] * 3,
    ]
    assert [
        (c.filters, c.kernel_size, c.strides, c.padding)
        for c in layers_of(model, keras.layers.Conv2D)
    ] == [(64, (5, 5), (1, 1), "same")] * 2
    assert [layer.units for layer in layers_of(model, keras.layers.Dense)] == [
        384,
        192,
        10,
    ]
    sides = [
        layer.output.shape[1:] for layer in layers_of(model, LocalResponseNormalization)
    ]
    assert sides == [(14, 14, 64), (7, 7, 64)]


@pytest.mark.parametrize("batch_norm", [True, False])
def test_inception_has_the_papers_widths(batch_norm):
    model = built(small_inception if batch_norm else inception_without_batch_norm)
    widths = [
        layer.output.shape[1:] for layer in layers_of(model, keras.layers.Concatenate)
    ]
    assert [shape[2] for shape in widths] == [
        *(64, 80, 80 + 80),
        *(160, 160, 160, 144, 144 + 96),
        *(336, 336),
    ]
    assert [shape[0] for shape in widths] == [28] * 2 + [14] * 5 + [7] * 3
    convolutions = layers_of(model, keras.layers.Conv2D)
    normalizations = layers_of(model, keras.layers.BatchNormalization)
    assert len(convolutions) == 1 + 8 * 2 + 2
    assert len(normalizations) == (len(convolutions) if batch_norm else 0)
    assert all(layer.use_bias != batch_norm for layer in convolutions)
    assert all(layer.center and not layer.scale for layer in normalizations)


@functools.cache
def both_inceptions():
    """Ours and that of `keras.applications`."""
    shape = (75, 75, 3)  # of the smallest images
    theirs = keras.applications.InceptionV3(
        weights=None, input_shape=shape, classes=10, classifier_activation=None
    )
    return inception_v3(shape, 10), theirs


def test_inception_v3_is_that_of_keras_applications():
    ours, theirs = both_inceptions()
    assert ours.count_params() == theirs.count_params()
    for layer, other in zip(ours.layers, theirs.layers, strict=True):
        assert layer.output.shape == other.output.shape
        shapes = [[w.shape for w in x.weights] for x in (layer, other)]
        assert shapes[0] == shapes[1]


def test_inception_v3_computes_what_keras_applications_computes():
    ours, theirs = both_inceptions()
    rng = np.random.default_rng(0)
    # Biases and moving statistics are all 0 or 1 before, and hide what is mixed up.
    weights = [w + rng.normal(0, 0.01, w.shape) for w in ours.get_weights()]
    for model in (ours, theirs):
        model.set_weights(weights)
    x = images(2, ours.input_shape[1:])  # eagerly: tracing 300 layers takes longer
    said, expected = (np.array(m(x, training=False)) for m in (ours, theirs))
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(said, expected, rtol=1e-3, atol=1e-5)


def test_the_switches_of_inception_v3():
    plain = inception_v3((75, 75, 3), 10, 0.1, 0.2, batch_norm=False)
    assert not layers_of(plain, keras.layers.BatchNormalization)
    assert [x.rate for x in layers_of(plain, keras.layers.Dropout)] == [0.2]
    trainable = both_inceptions()[0].trainable_weights
    assert plain.count_params() == sum(int(np.prod(w.shape)) for w in trainable)
    kernels = [w for w in plain.trainable_weights if w.path.endswith("kernel")]
    assert len(kernels) == len(layers_of(plain, keras.layers.Conv2D)) + 1
    penalty = 0.05 * sum(float(np.square(w.numpy()).sum()) for w in kernels)
    assert float(sum(plain.losses)) == pytest.approx(penalty, rel=1e-4)


def test_hidden_units_of_the_mlp():
    model = mlp((4, 4, 1), 3, hidden=(7, 5))
    shapes = [v.shape for v in model.trainable_variables]
    assert shapes == [(16, 7), (7,), (7, 5), (5,), (5, 3), (3,)]
    x = images(2, (4, 4, 1))
    w1, b1, w2, b2, w3, b3 = (v.numpy() for v in model.trainable_variables)
    hidden = np.maximum(np.maximum(x.reshape(2, 16) @ w1 + b1, 0) @ w2 + b2, 0)
    np.testing.assert_allclose(model(x), hidden @ w3 + b3, rtol=1e-5, atol=1e-6)


@ALL
def test_dropout_only_when_asked(build):
    expected = {mlp: 1, mlp_3x512: 3, small_alexnet: 3}.get(build, 1)
    assert not layers_of(built(build), keras.layers.Dropout)
    model = build(SHAPE, 10, dropout=0.3)
    found = layers_of(model, keras.layers.Dropout)
    assert [layer.rate for layer in found] == [0.3] * expected
    assert model.layers[-2] is found[-1]  # the logits see it
    count = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert count == TABLE_1[build]


def test_dropout_acts_in_training_only():
    model = mlp((4, 4, 1), 3, hidden=(50,), dropout=0.5)
    x = images(5, (4, 4, 1))
    np.testing.assert_array_equal(model(x, training=False), model(x, training=False))
    assert np.any(model(x, training=True) != model(x, training=True))


# Weight decay


@SMALL
def test_penalty_is_half_w_times_the_squared_kernels_and_nothing_else(build):
    model = regularized(build)
    for variable in model.trainable_variables:  # biases and offsets are 0 at first
        if variable.name != "kernel":
            variable.assign(np.full(variable.shape, 3.0))
    kernels = [v.numpy() for v in model.trainable_variables if v.numpy().ndim > 1]
    by_hand = 0.02 / 2 * sum((k.astype(np.float64) ** 2).sum() for k in kernels)
    assert len(model.losses) == len(kernels)
    np.testing.assert_allclose(float(sum(model.losses)), by_hand, rtol=1e-5)


@SMALL
def test_no_penalty_without_weight_decay(build):
    assert built(build, TINY, 10).losses == []


def test_the_gradient_of_the_penalty_is_w_times_the_kernel():
    model = mlp((4, 4, 1), 3, hidden=(7,), weight_decay=0.02)
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        penalty = sum(model.losses)
    gradients = tape.gradient(penalty, [v.value for v in variables])
    for variable, gradient in zip(variables, gradients, strict=True):
        if variable.name == "kernel":
            np.testing.assert_allclose(gradient, 0.02 * variable.numpy(), rtol=1e-6)
        else:
            assert gradient is None


# Text

TEXT = pytest.mark.parametrize(
    "build",
    [text.bag, text.cnn, text.lstm, text.transformer],
    ids=lambda build: build.__name__,
)
WORDS = 100  # vocabulary
READS = (20,), 2, WORDS


def padded(*reviews, length=20):
    x = np.zeros((len(reviews), length), np.int32)
    for row, review in zip(x, reviews, strict=True):
        row[: len(review)] = review
    return x


def some_reviews(length=20):
    rng = np.random.default_rng(0)
    return padded(*[rng.integers(1, WORDS, n) for n in (12, 3, 7, 1)], length=length)


@TEXT
def test_parameters_of_text_models_by_hand(build):
    d, length = text.EMBEDDING, 20
    head = {text.bag: 256, text.cnn: 128, text.lstm: 64, text.transformer: d}[build]
    body = {
        text.bag: d * 256 + 256,
        text.cnn: 5 * d * 128 + 128,
        text.lstm: 4 * ((d + 64) * 64 + 64),
        # Positions, three normalizations, attention, two dense layers.
        text.transformer: length * d + 6 * d + 4 * (d * d + d) + 2 * d * 128 + 128 + d,
    }[build]
    model = built(build, *READS)
    assert model.count_params() == WORDS * d + body + head * 2 + 2


@TEXT
def test_padding_says_nothing(build):
    model = built(build, *READS)
    x = some_reviews()
    logits = model(x).numpy()
    assert np.ptp(logits, axis=0).min() > 1e-4
    vectors = model.layers[1].get_weights()[0]
    vectors[0] = 1000.0  # of padding
    model.layers[1].set_weights([vectors])
    np.testing.assert_array_equal(model(x), logits)
    if build is text.transformer:  # whose positions are as many as the input's
        return
    longer = build((33,), 2, WORDS)
    longer.set_weights(model.get_weights())
    np.testing.assert_allclose(longer(some_reviews(33)), logits, rtol=1e-4, atol=1e-6)


@TEXT
def test_only_the_bag_does_not_see_the_order_of_words(build):
    model = built(build, *READS)
    x = padded([5, 6, 7, 8, 9, 10, 11, 12], [12, 7, 9, 5, 8, 6, 10, 11])
    one, other = model(x).numpy()
    assert (abs(one - other).max() < 1e-6) == (build is text.bag)


def test_bag_and_cnn_equal_numpy():
    x = some_reviews()
    model = built(text.bag, *READS)
    vectors, w1, b1, w2, b2 = model.get_weights()
    means = np.array([vectors[row[row != 0]].mean(0) for row in x])
    by_hand = np.maximum(means @ w1 + b1, 0) @ w2 + b2
    np.testing.assert_allclose(model(x), by_hand, rtol=1e-4, atol=1e-6)
    model = built(text.cnn, *READS)
    vectors, kernel, _, w2, b2 = model.get_weights()
    bias = np.full(128, 0.05, np.float32)  # which padding must not get either
    model.set_weights([vectors, kernel, bias, w2, b2])
    pooled = []
    for row in x:
        words = np.pad(vectors[row[row != 0]], ((2, 2), (0, 0)))
        places = [
            np.einsum("ij,ijk->k", words[i : i + 5], kernel) + bias
            for i in range(len(words) - 4)
        ]
        pooled.append(np.maximum(np.max(places, axis=0), 0))
    np.testing.assert_allclose(model(x), pooled @ w2 + b2, rtol=1e-4, atol=1e-5)


@TEXT
def test_text_models_penalize_kernels_only_and_drop_when_asked(build):
    plain = built(build, *READS)
    assert plain.losses == [] and not layers_of(plain, keras.layers.Dropout)
    model = built(build, *READS, weight_decay=0.02, dropout=0.3)
    kernels = [v for v in model.trainable_variables if v.name.endswith("kernel")]
    by_hand = 0.01 * sum((v.numpy().astype(np.float64) ** 2).sum() for v in kernels)
    assert len(model.losses) == len(kernels) >= 2
    np.testing.assert_allclose(float(sum(model.losses)), by_hand, rtol=1e-5)
    x = some_reviews()
    assert np.any(model(x, training=True) != model(x, training=True))
    assert isinstance(model.layers[-2], keras.layers.Dropout)


@TEXT
@pytest.mark.usefixtures("sound_file")
@pytest.mark.parametrize(
    ("embedding", "suffix"),
    [
        (SummedEmbedding, ".h5"),
        (SummedEmbedding, ".keras"),
        (keras.layers.Embedding, ".h5"),  # files of before have it
    ],
)
def test_saved_text_models_are_loaded_with_equal_predictions(
    build, suffix, embedding, tmp_path, monkeypatch
):
    monkeypatch.setattr(text, "SummedEmbedding", embedding)
    model = build(*READS, weight_decay=0.01, dropout=0.2)
    model.save(tmp_path / f"model{suffix}")
    again, x = models.load(tmp_path / f"model{suffix}"), some_reviews()
    assert type(again.layers[1]) is embedding
    np.testing.assert_array_equal(again(x), model(x))


@TEXT
def test_text_models_in_half_precision_have_float32_logits(build, policy):
    policy("mixed_bfloat16")
    model = build(*READS)
    x = some_reviews()
    assert model(x).dtype == tf.float32 and model.layers[1].compute_dtype == "bfloat16"
    policy("float32")
    full = built(build, *READS)
    full.set_weights(model.get_weights())
    np.testing.assert_allclose(model(x), full(x), atol=0.05)


def moved_by_hand(optimizer, rate, momentum, gradients):
    """What a rule adds to a parameter of 0 over some gradients, by its formula."""
    w = m = v = np.zeros_like(gradients[0])
    accumulated = 0.1 + v
    for t, g in enumerate(gradients, 1):
        if optimizer == "sgd":
            m = momentum * m - rate * g
            w = w + m
        elif optimizer == "adam":
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            unbiased = rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
            w = w - unbiased * m / (np.sqrt(v) + 1e-7)
        elif optimizer == "rmsprop":
            v = 0.9 * v + 0.1 * g**2
            m = momentum * m + rate * g / np.sqrt(v + 1e-7)
            w = w - m
        elif optimizer == "adagrad":
            accumulated = accumulated + g**2
            w = w - rate * g / np.sqrt(accumulated + 1e-7)
    return w


@pytest.mark.parametrize(
    ("optimizer", "momentum"),
    [(name, 0) for name in OPTIMIZERS] + [("sgd", 0.9), ("rmsprop", 0.9)],
)
def test_word_vectors_are_moved_as_the_optimizer_says(optimizer, momentum):
    tokens = keras.Input((6,), dtype="int32")
    vectors = SummedEmbedding(5, 3, embeddings_initializer="zeros")
    model = keras.Model(tokens, keras.ops.sum(vectors(tokens), axis=1))
    feed = types.SimpleNamespace(accumulate=1, steps_per_epoch=3, steps_at_once=1)
    rate, x = 0.1, np.array([[1, 1, 1, 2, 4, 1], [2, 1, 0, 0, 2, 2]])
    regime = Regime(optimizer=optimizer, lr=rate, momentum=momentum)
    training.compile_model(model, feed, regime)
    gradients, table = [], np.zeros((5, 3))
    for y in ([0, 2], [1, 2], [2, 0]):  # logits are counts of words times the table
        counts = np.array([np.bincount(row, minlength=5) for row in x])
        likelihood = np.exp(counts @ table)
        likelihood /= likelihood.sum(1, keepdims=True)
        gradients.append(counts.T @ (likelihood - np.eye(3)[y]) / 2)
        table = moved_by_hand(optimizer, rate, momentum, gradients)
        model.train_on_batch(x, np.array(y))
        found = model.get_weights()[0]
        np.testing.assert_allclose(found, table, rtol=1e-4, atol=1e-6)
    assert not table[3].any() and table[[0, 1, 2, 4]].all()


# Local response normalization


def naive(x, radius=4, bias=1.0, alpha=0.001 / 9, beta=0.75):
    """Krizhevsky et al. (2012), section 3.3, in float64."""
    result = np.empty(x.shape)
    channels = x.shape[-1]
    for c in range(channels):
        total = 0
        for d in range(max(0, c - radius), min(channels - 1, c + radius) + 1):
            total = total + x[..., d].astype(np.float64) ** 2
        result[..., c] = x[..., c] / (bias + alpha * total) ** beta
    return result


@pytest.mark.parametrize("channels", [1, 3, 5, 9, 64])
def test_normalization_equals_a_loop_and_tensorflows(channels):
    x = 50 * images(2, (3, 3, channels))  # large enough for alpha to matter
    ours = LocalResponseNormalization()(x).numpy()
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, naive(x), rtol=2e-6)
    theirs = tf.nn.local_response_normalization(x, 4, 1.0, 0.001 / 9, 0.75)
    np.testing.assert_allclose(ours, theirs, rtol=2e-6)
    assert abs(ours / x - 1).max() > 0.05


def test_normalization_with_other_constants():
    x = 5 * images(2, (3, 3, 8))
    ours = LocalResponseNormalization(2, 2.0, 0.1, 0.5)(x)
    np.testing.assert_allclose(ours, naive(x, 2, 2.0, 0.1, 0.5), rtol=2e-6)
    theirs = tf.nn.local_response_normalization(x, 2, 2.0, 0.1, 0.5)
    np.testing.assert_allclose(ours, theirs, rtol=2e-6)


def test_gradient_of_the_normalization_is_tensorflows():
    x, direction = tf.constant(50 * images(2, (3, 3, 16))), images(2, (3, 3, 16))
    gradients = []
    for layer in (
        LocalResponseNormalization(),
        lambda x: tf.nn.local_response_normalization(x, 4, 1.0, 0.001 / 9, 0.75),
    ):
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(layer(x) * direction)
        gradients.append(tape.gradient(total, x))
    np.testing.assert_allclose(*gradients, rtol=1e-4, atol=1e-5)


def test_normalization_is_rebuilt_from_its_config():
    layer = LocalResponseNormalization(2, 2.0, 0.1, 0.5, name="lrn")
    config = keras.saving.serialize_keras_object(layer)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is LocalResponseNormalization
    assert again.get_config() == layer.get_config()
    x = images(2, (3, 3, 8))
    np.testing.assert_array_equal(layer(x), again(x))
    assert not layer.weights


# Precision and BatchNorm


@SMALL
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_logits_and_weights_are_float32_in_any_precision(build, precision, policy):
    policy(precision)
    model = build(TINY, 10)
    assert {v.dtype for v in model.weights} == {"float32"}
    half = precision.removeprefix("mixed_")
    assert {layer.compute_dtype for layer in model.layers[1:-1]} == {half}
    assert model.layers[-1].compute_dtype == "float32"
    x = images(2, TINY)
    logits = model(x)
    assert logits.dtype == tf.float32
    policy("float32")
    full = built(build, TINY, 10)
    full.set_weights(model.get_weights())
    np.testing.assert_allclose(logits, full(x), atol=0.05)


def test_moving_statistics_move_in_training_only():
    model = small_inception(TINY, 10)
    x = images(4, TINY) * 2 + 1
    first = layers_of(model, keras.layers.BatchNormalization)[0]
    moving = [v for v in model.non_trainable_variables if "moving" in v.name]
    assert len(moving) == 2 * 19
    before = [v.numpy() for v in moving]
    model(x, training=False)
    model(x)
    for variable, value in zip(moving, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    activations = keras.Model(model.input, first.input)(x).numpy()
    model(x, training=True)
    for variable, value in zip(moving, before, strict=True):
        assert np.any(variable.numpy() != value)
    expected = 0.1 * activations.mean((0, 1, 2))  # a tenth of the way, from 0
    np.testing.assert_allclose(
        first.moving_mean.numpy(), expected, rtol=1e-4, atol=1e-6
    )


def test_fit_trains_with_the_batchs_statistics():
    # Two inputs, one image: BatchNorm in inference would not know the batch.
    inputs = keras.Input((6, 6, 3))
    x = FusedBatchNormalization()(keras.layers.Conv2D(4, 3)(inputs))
    x = FusedBatchNormalization()(keras.layers.Conv2D(4, 3)(x))
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(x)))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    moving = [v for v in model.non_trainable_variables if "moving_mean" in v.name]
    model.train_on_batch(images(4, inputs.shape[1:]), np.array([0, 1, 2, 0]))
    trained = [v.numpy() for v in moving]
    assert len(trained) == 2 and all(value.any() for value in trained)
    model.predict_on_batch(images(4, inputs.shape[1:]))
    for variable, value in zip(moving, trained, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def both_normalizations(dtype="float32", **options):
    """Keras's layer and ours, with the same weights (none at its initial value)."""
    pair = [
        layer(momentum=0.9, dtype=dtype, **options)
        for layer in (keras.layers.BatchNormalization, FusedBatchNormalization)
    ]
    rng = np.random.default_rng(1)
    for layer in pair:
        layer.build((None, 6, 5, 4))
    weights = [rng.uniform(0.5, 2, w.shape) for w in pair[0].weights]
    for layer in pair:
        layer.set_weights(weights)
    return pair


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [("float64", 0), ("float32", 1e-5), ("mixed_bfloat16", 0.02)],
)
@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_fused_batch_normalization_is_that_of_keras(dtype, tolerance, scale, training):
    x = tf.constant(images(8, (6, 5, 4)) * 3 + 1)
    weigh = tf.constant(images(8, (6, 5, 4))[::-1])
    found = []
    for layer in both_normalizations(dtype, scale=scale):
        inputs = tf.cast(x, layer.compute_dtype)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=training)
            total = tf.reduce_sum(
                tf.cast(outputs, "float64") * tf.cast(weigh, "float64")
            )
        variables = [inputs, *(v.value for v in layer.trainable_variables)]
        gradients = tape.gradient(total, variables)
        found.append([outputs, *gradients, *layer.get_weights()])
        assert outputs.dtype == layer.compute_dtype
    for theirs, ours in zip(*found, strict=True):
        theirs, ours = (np.asarray(tf.cast(a, "float64")) for a in (theirs, ours))
        scatter = tolerance * np.abs(theirs).max()
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=scatter)


def test_frozen_fused_batch_normalization_is_in_inference_mode():
    theirs, ours = both_normalizations()
    theirs.trainable = ours.trainable = False
    x = images(8, (6, 5, 4))
    before = ours.get_weights()
    np.testing.assert_allclose(
        ours(x, training=True), theirs(x, training=True), rtol=1e-5, atol=1e-5
    )
    for weight, value in zip(ours.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_curvature_through_fused_batch_normalization():
    # The second derivative of the op, and its derivative in the pixels.
    inputs = keras.Input((6, 5, 3))
    theirs, ours = both_normalizations()
    convolution = keras.layers.Conv2D(4, 3, padding="same")(inputs)
    head = keras.layers.Dense(3)
    flat = [
        keras.layers.Flatten()(keras.activations.softplus(layer(convolution)))
        for layer in (theirs, ours)
    ]
    networks = [keras.Model(inputs, head(x)) for x in flat]
    x, y = images(8, (6, 5, 3)), np.arange(8) % 3
    products = []
    for network in networks:
        operator = hessian.Hessian(network, x, y)
        direction = np.random.default_rng(2).standard_normal(operator.shape[0])
        products.append(operator @ direction)
    error = np.linalg.norm(products[1] - products[0]) / np.linalg.norm(products[0])
    assert error < 1e-5
    norms = [sensitivity.jacobian_norms(network, x) for network in networks]
    np.testing.assert_allclose(norms[1], norms[0], rtol=1e-4)


# Loading


# sha256 of the initial weights at seed 3, float32, in the order of `get_weights`: those
# that every run began with before these networks were Sequential.
INITIAL = {
    "mlp": "0f80a895041f1382cbd997f79213d7bb8c49ed8c343009c765b6273e5e16e8b4",
    "small_alexnet": "53649caf82fdfb1372af1f20b7a608df6c53d35225f8cb439ef6cb3d89261909",
}


@pytest.mark.usefixtures("sound_file")
@pytest.mark.parametrize("build", [mlp, small_alexnet], ids=lambda b: b.__name__)
def test_a_sequential_network_is_the_functional_one_that_it_was(build, tmp_path):
    keras.utils.set_random_seed(3)
    model = build(SHAPE, 10)
    assert isinstance(model, keras.Sequential)
    digest = hashlib.sha256()
    for weights in model.get_weights():
        digest.update(np.ascontiguousarray(weights, "<f4").tobytes())
    assert digest.hexdigest() == INITIAL[build.__name__]

    # A file of that time: the same layers, called one after the other.
    def functional():
        inputs = x = keras.Input(SHAPE)
        for layer in build(SHAPE, 10).layers:
            x = layer.from_config(layer.get_config())(x)
        return keras.Model(inputs, x, name=build.__name__)

    path = tmp_path / "functional.h5"
    models.save(functional, model.get_weights(), path)
    with h5py.File(path) as file:
        assert json.loads(file.attrs["model_config"])["class_name"] == "Functional"
    np.testing.assert_array_equal(models.load(path)(images(3)), model(images(3)))


@SMALL
@pytest.mark.usefixtures("sound_file")
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_saved_models_are_loaded_with_equal_predictions(build, suffix, tmp_path):
    model = regularized(build)
    path = tmp_path / f"model{suffix}"
    model.save(path)
    x = images(3, TINY)
    named = path if suffix == ".h5" else str(path)  # a path or a text, in either
    np.testing.assert_array_equal(models.load(named)(x), model(x))


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(MendableError, match=r"none\.h5 does not exist: exp.*\.h5 or"):
        models.load(tmp_path / "none.h5")


@pytest.mark.parametrize(
    "content, suffix",
    [
        *itertools.product(["empty", "garbage", "truncated"], [".h5", ".keras"]),
        ("flipped", ".keras"),  # HDF5 has no checksums: it cannot tell
    ],
)
def test_a_damaged_model_is_named_in_one_line(content, suffix, tmp_path):
    path = tmp_path / f"model{suffix}"
    mlp((4, 4, 1), 3, hidden=(7,)).save(path)
    whole = path.read_bytes()
    damaged = {
        "empty": b"",
        "garbage": b"x" * 5000,
        "truncated": whole[:-2000],
        "flipped": bytes(b ^ (i == len(whole) // 2) for i, b in enumerate(whole)),
    }
    path.write_bytes(damaged[content])
    with pytest.raises(MendableError, match=f"model{suffix}") as error:
        models.load(path)
    assert "\n" not in str(error.value)


def test_weights_without_an_architecture_are_refused(tmp_path):
    path = tmp_path / "only.weights.h5"
    mlp((4, 4, 1), 3, hidden=(7,)).save_weights(path)
    with pytest.raises(MendableError, match="without an architecture"):
        models.load(path)
    with h5py.File(path, "r") as file:  # it was a sound file
        assert file.keys()


@pytest.mark.parametrize("kind", ["link", "external", "virtual", "text"])
def test_weights_that_lie_elsewhere_are_refused(kind, tmp_path):
    path, other = tmp_path / "model.h5", tmp_path / "other.h5"
    mlp((4, 4, 1), 3, hidden=(7,)).save(path)
    shutil.copy(path, other)
    place = "model_weights/logits/mlp/logits/bias"
    with h5py.File(path, "r+") as file:
        bias = file[place]
        del file[place]
        if kind == "link":
            file[place] = h5py.ExternalLink(str(other), place)
        elif kind == "external":
            raw = [(str(other), 0, h5py.h5f.UNLIMITED)]
            file.create_dataset(place, bias.shape, bias.dtype, external=raw)
        elif kind == "virtual":
            layout = h5py.VirtualLayout(bias.shape, bias.dtype)
            layout[:] = h5py.VirtualSource(other, place, bias.shape)
            file.create_virtual_dataset(place, layout)
        else:
            file[place] = ["one", "two", "three"]
    with pytest.raises(MendableError, match="logits/bias is not numbers in this file"):
        models.load(path)


def test_a_keras_file_names_the_code_of_its_layers(tmp_path):
    path, other = tmp_path / "model.keras", tmp_path / "other.keras"
    mlp((4, 4, 1), 3, hidden=(7,)).save(path)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                content = content.replace(b'"keras.layers"', b'"elsewhere"')
            new.writestr(name, content)
    with pytest.raises(MendableError, match="layers .*elsewhere.Dense"):
        models.load(other)


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_code_in_a_file_is_not_run(suffix, tmp_path):
    inputs = keras.Input((4,))
    code = keras.layers.Lambda(lambda x: x * 2)(inputs)
    path = tmp_path / f"model{suffix}"
    keras.Model(inputs, keras.layers.Dense(3)(code)).save(path)
    with pytest.raises(MendableError, match="Lambda"):
        models.load(path)


# The convolutional networks against plain NumPy in float64.


def padded_for(x, size, stride, fill=0.0):
    """SAME padding of height and width, the odd row at the end; and output sides."""
    pads, sides = [(0, 0)], []
    for side in x.shape[1:3]:
        sides.append(-(-side // stride))
        lacking = max((sides[-1] - 1) * stride + size - side, 0)
        pads.append((lacking // 2, lacking - lacking // 2))
    return np.pad(x, [*pads, (0, 0)], constant_values=fill), sides


def windows(x, size, stride, fill=0.0):
    x, (rows, columns) = padded_for(x, size, stride, fill)
    for i in range(size):
        for j in range(size):
            yield i, j, x[:, i:, j:][:, ::stride, ::stride][:, :rows, :columns]


def convolved(x, kernel, stride=1):
    return sum(w @ kernel[i, j] for i, j, w in windows(x, len(kernel), stride))


def pooled(x, size=3, stride=2):
    return np.max([w for *_, w in windows(x, size, stride, -np.inf)], axis=0)


def relu(x):
    return np.maximum(x, 0)


def scattered(model):
    """Gives every weight a value of its own (biases are 0 at first), and returns x."""
    rng = np.random.default_rng(1)
    model.set_weights(
        [
            w + rng.uniform(0.01, 0.1, w.shape) * (w.ndim == 1)
            for w in model.get_weights()
        ]
    )
    return images(2).astype(np.float64)


def normalized(layer, x):
    scale = 1 / np.sqrt(np.asarray(layer.moving_variance, np.float64) + layer.epsilon)
    scale = scale * np.asarray(layer.gamma) if layer.scale else scale
    return (x - np.asarray(layer.moving_mean)) * scale + np.asarray(layer.beta)


def assert_says(model, x, by_hand):
    assert np.ptp(by_hand) > 0.01
    np.testing.assert_allclose(
        model(x.astype(np.float32)), by_hand, rtol=1e-3, atol=1e-4
    )


def test_small_alexnet_equals_numpy():
    model = built(small_alexnet)
    h = x = scattered(model)
    k1, b1, k2, b2, *dense = [w.astype(np.float64) for w in model.get_weights()]
    for kernel, bias in ((k1, b1), (k2, b2)):
        h = naive(pooled(relu(convolved(h, kernel) + bias)))
    h = h.reshape(len(x), -1)
    for i in (0, 2, 4):
        h = h @ dense[i] + dense[i + 1]
        h = relu(h) if i < 4 else h
    assert_says(model, x, h)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_small_inception_equals_numpy(batch_norm):
    model = built(small_inception if batch_norm else inception_without_batch_norm)
    x = scattered(model)
    convolutions = iter(layers_of(model, keras.layers.Conv2D))
    norms = iter(layers_of(model, keras.layers.BatchNormalization))

    def module(h, size, stride=1):
        kernel, *bias = [w.astype(np.float64) for w in next(convolutions).get_weights()]
        assert len(kernel) == size
        h = convolved(h, kernel, stride)
        return relu(normalized(next(norms), h) if batch_norm else h + bias[0])

    h = module(x, 3)
    for kind in "iidiiiidii":  # Inception, downsample
        sizes = ((1, 1), (3, 1)) if kind == "i" else ((3, 2),)
        parts = [module(h, *size) for size in sizes]
        h = np.concatenate([*parts, pooled(h)] if kind == "d" else parts, axis=-1)
    kernel, bias = model.layers[-1].get_weights()
    assert_says(model, x, h.mean((1, 2)) @ kernel + bias)


def test_wide_resnet_equals_numpy():
    model = wide_resnet(SHAPE, 10, depth=10, width=2)
    x = scattered(model)
    convolutions = layers_of(model, keras.layers.Conv2D)
    norms = iter(layers_of(model, keras.layers.BatchNormalization))
    shortcuts = [c for c in convolutions if c.kernel_size == (1, 1)]
    others = iter([c for c in convolutions if c.kernel_size == (3, 3)])

    def conv(h, layer, stride=1):
        return convolved(h, layer.get_weights()[0].astype(np.float64), stride)

    def active(h):
        return relu(normalized(next(norms), h))

    h = conv(x, next(others))
    for shortcut, stride in zip(shortcuts, (1, 2, 2), strict=True):
        y = active(h)  # read by both ways
        h = conv(y, shortcut, stride)
        h = h + conv(active(conv(y, next(others), stride)), next(others))
    kernel, bias = model.layers[-1].get_weights()
    assert_says(model, x, active(h).mean((1, 2)) @ kernel + bias)

"""The feed against float64 formulas, TensorFlow's whitening, and itself elsewhere."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from common import datasets, pipelines, reviews
from common.augmentations import NAMES
from common.cli import UsageError
from common.corruptions import corrupt, corrupt_pixels
from common.pipelines import Feed, TextFeed, plan, whiten
from common.regime import Regime


def feed_of(data, batch_size, augment=(), seed=0, hold_out=False, **more):
    early, kind = 5 if hold_out else None, Feed if data.x_train.ndim == 4 else TextFeed
    more |= {"augment": augment, "seed": seed, "early_stopping": early}
    return kind(data, Regime(batch_size=batch_size, **more))


ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def coded(data):
    """Images from which their own index is read: a spot after whitening."""
    images = np.zeros((50, 32, 32, 3), np.uint8)
    for i in range(50):
        images[i, 10 + i // 8, 10 + i % 8] = 255
    return data._replace(x_train=images)


def index_of(x):
    """The index that `coded` wrote into whitened centre crops."""
    row, column = divmod(x.sum(-1).reshape(len(x), -1).argmax(1), 28)
    return (row - 8) * 8 + (column - 8)


def epoch_of(feed, epoch=0):
    """All batches of one epoch, as `fit` gets them from tf.data."""
    batches = feed.batches(epoch).take(feed.steps_per_epoch)
    return [(x.numpy(), y.numpy()) for x, y in batches]


def test_no_thread_tunes_what_is_fed(data):
    assert feed_of(data, 10).batches().options().autotune.enabled is False


def joined(batches):
    x, y = zip(*batches, strict=True)
    return np.concatenate(x), np.concatenate(y)


def by_hand(images):
    """Whitened centre crops of the paper, in float64."""
    images = images[:, 2:30, 2:30] if images.shape[1] == 32 else images
    result = []
    for image in images.astype(np.float64) / 255:
        std = max(image.std(), 1 / np.sqrt(image.size))
        result.append((image - image.mean()) / std)
    return np.array(result)


def digest(x, y):
    return hashlib.sha256(x.tobytes() + y.tobytes()).hexdigest()


# Whitening


def test_whitening_equals_the_formula(data):
    floats = np.random.default_rng(1).normal(120, 60, (4, 28, 28, 3))
    for images in (data.x_train, floats.astype(np.float32), data.x_train[..., :1]):
        white = whiten(images[:, 2:30, 2:30] if len(images) > 4 else images)
        assert white.dtype == np.float32
        np.testing.assert_allclose(white, by_hand(images), rtol=0, atol=3e-6)


def test_whitening_equals_tensorflows(data):
    dim = (data.x_train // 200 + 100).astype(np.uint8)  # two greys, one step apart
    dot = np.zeros((1, 32, 32, 3), np.uint8)
    dot[0, 5, 5] = 1  # below the floor 1 / sqrt(N)
    for images in (data.x_train, dim, dot, np.full_like(dot, 77)):
        expected = tf.image.per_image_standardization(images.astype(np.float32) / 255)
        np.testing.assert_allclose(whiten(images), expected, rtol=0, atol=2e-5)


def test_each_image_has_mean_0_and_standard_deviation_1(data):
    def moments(images):
        return images.mean((1, 2, 3)), images.std((1, 2, 3))

    mean, std = moments(joined(epoch_of(feed_of(data, 16)))[0])
    np.testing.assert_allclose(mean, 0, atol=1e-5)
    np.testing.assert_allclose(std, 1, atol=1e-5)
    # This catches a second division by 255: the floor then holds the deviation down.
    twice = moments(whiten(data.x_train / np.float32(255)))[1]
    assert twice.max() < 0.1


def test_whitening_leaves_its_input_and_constant_images_finite():
    images = np.full((2, 28, 28, 3), 9, np.float32)
    assert not whiten(images).any()
    assert (images == 9).all()


def test_prepare_whitens_centre_crops_in_blocks(data):
    many = np.tile(data.x_train[:, ..., :1], (101, 1, 1, 1))  # more than a block
    x = pipelines.prepare(many)
    np.testing.assert_allclose(x[-50:], by_hand(data.x_train[..., :1]), atol=3e-6)
    assert digest(x[:50], x[:0]) == digest(x[-50:], x[:0])


# The plan


def test_plan_is_a_function_of_seed_and_epoch():
    first = plan(40, NAMES, 3, 7)
    np.random.seed(1)
    keras.utils.set_random_seed(5)
    again = plan(40, NAMES, 3, 7)
    assert first.keys() == {"order", *NAMES}
    for key, value in first.items():
        np.testing.assert_array_equal(value, again[key])
        for seed, epoch in ((3, 8), (4, 7), (7, 3)):
            assert (value != plan(40, NAMES, seed, epoch)[key]).any()


def test_order_does_not_depend_on_the_augmentation():
    order = plan(40, (), 3, 7)["order"]
    np.testing.assert_array_equal(order, plan(40, NAMES, 3, 7)["order"])


def test_orders_are_uniform_and_differ_between_epochs():
    orders = np.array([plan(10, (), 0, epoch)["order"] for epoch in range(1000)])
    assert (np.sort(orders, axis=1) == np.arange(10)).all()
    assert len(np.unique(orders, axis=0)) > 990
    counts = np.array([np.bincount(place, minlength=10) for place in orders.T])
    assert abs(counts - 100).max() < 6 * np.sqrt(90)


# What fit consumes


def test_every_example_once_an_epoch_with_its_own_label(coded):
    feed = feed_of(coded, 16)
    orders = []
    for epoch in range(3):
        batches = epoch_of(feed, epoch)
        assert [len(y) for _, y in batches] == [16, 16, 16, 2]
        x, y = joined(batches)
        order = index_of(x)
        assert sorted(order) == list(range(50))
        np.testing.assert_array_equal(y, coded.y_train[order])
        assert x.dtype == np.float32 and y.dtype == np.int32
        orders.append(tuple(order))
    assert len(set(orders)) == 3
    assert len({tuple(np.sort(o[:16])) for o in orders}) == 3  # other batches, too


@pytest.mark.parametrize("pixels", ["true", "shuffled", "random", "gaussian"])
def test_corrupted_arrays_reach_the_model_and_stay_fixed(data, pixels):
    noisy = corrupt(data, Regime(label_corruption=0.8, pixels=pixels, data_seed=1))
    feed = feed_of(noisy, 16)
    expected = by_hand(noisy.x_train)
    first = None
    for epoch in range(2):
        x, y = joined(epoch_of(feed, epoch))
        order = plan(50, (), 0, epoch)["order"]
        np.testing.assert_allclose(x, expected[order], rtol=0, atol=3e-6)
        np.testing.assert_array_equal(y, noisy.y_train[order])
        by_example = digest(x[np.argsort(order)], y[np.argsort(order)])
        assert first in (None, by_example)  # bit for bit in every pass
        first = by_example
    if pixels != "true":
        assert abs(expected - by_hand(data.x_train)).max() > 1
    # And what the fixed model is measured on is the same.
    np.testing.assert_allclose(feed.x_train, expected, rtol=0, atol=3e-6)
    np.testing.assert_array_equal(feed.y_train, noisy.y_train)
    np.testing.assert_array_equal(feed.y_train_true, data.y_train)
    np.testing.assert_allclose(feed.x_test, by_hand(noisy.x_test), rtol=0, atol=3e-6)
    np.testing.assert_array_equal(feed.y_test, data.y_test)


def test_a_model_of_gaussian_noise_scores_at_chance_on_clean_images(data):
    # Classes that a linear model separates at once: where the light falls.
    rng = np.random.default_rng(0)
    y = np.arange(400, dtype=np.int32) % 10
    x = rng.integers(0, 100, (400, 32, 32, 3), dtype=np.uint8)
    for image, label in zip(x, y, strict=True):
        image[2 + 2 * label : 5 + 2 * label] += 100
    data = data._replace(
        x_train=x, y_train=y, y_train_true=y, x_test=x[:200], y_test=y[:200]
    )
    accuracy = {}
    for pixels in ("true", "gaussian"):
        feed = feed_of(corrupt_pixels(data, pixels), 50)
        model = keras.Sequential(
            [
                keras.Input(feed.input_shape),
                keras.layers.Flatten(),
                keras.layers.Dense(10, kernel_initializer="zeros"),
            ]
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss, metrics=["accuracy"])
        steps = feed.steps_per_epoch
        model.fit(
            feed.batches(), epochs=5, steps_per_epoch=steps, shuffle=False, verbose=0
        )
        accuracy[pixels] = model.evaluate(feed.x_test, feed.y_test, verbose=0)[1]
        fitted = model.evaluate(feed.x_train, feed.y_train, verbose=0)[1]
        assert fitted > 0.95
    assert accuracy["true"] > 0.95
    assert accuracy["gaussian"] < 0.1 + 6 * np.sqrt(0.1 * 0.9 / 200)


def test_augmentation_is_drawn_anew_each_epoch_and_for_each_image(data):
    one = np.repeat(data.x_train[:1], 50, axis=0)
    for names in (("crop",), NAMES):
        feed = feed_of(data._replace(x_train=one), 50, names)
        (first, _), (second, _) = epoch_of(feed, 0)[0], epoch_of(feed, 1)[0]
        assert first.shape == (50, 28, 28, 3)
        # Of one image: a single draw for the batch would make a single crop.
        distinct = len(np.unique(first.reshape(50, -1), axis=0))
        assert distinct > 15 if names == ("crop",) else distinct == 50
        assert (first != second).any()
        np.testing.assert_array_equal(feed.x_train, np.repeat(feed.x_train[:1], 50, 0))


def test_augmented_examples_keep_their_labels(data):
    # Constant colours, the label in the ratio of two differences: whitening, geometry
    # and erasing (by the channels' means) leave that as it is.
    colour = np.full((50, 3), [0, 50, 250], np.uint8)
    colour[:, 0] = 20 * data.y_train + 50
    x_train = np.tile(colour[:, None, None], (1, 32, 32, 1))
    names = [name for name in NAMES if name != "color"]
    x, y = joined(epoch_of(feed_of(data._replace(x_train=x_train), 16, names)))
    red, green, blue = x.mean((1, 2)).T
    np.testing.assert_allclose(10 * (red - green) / (blue - green), y, atol=0.01)


def test_augmentation_does_not_depend_on_the_batch_size(data):
    x, y = joined(epoch_of(feed_of(data, 16, NAMES), 2))
    for size in (50, 7, 1):
        other_x, other_y = joined(epoch_of(feed_of(data, size, NAMES), 2))
        np.testing.assert_array_equal(y, other_y)
        np.testing.assert_allclose(x, other_x, rtol=0, atol=1e-5)


def test_seed_decides_order_and_augmentation(data):
    x, y = joined(epoch_of(feed_of(data, 16, NAMES, seed=1)))
    again_x, again_y = joined(epoch_of(feed_of(data, 16, NAMES, seed=1)))
    assert digest(x, y) == digest(again_x, again_y)
    other_x, other_y = joined(epoch_of(feed_of(data, 16, NAMES, seed=2)))
    assert (y != other_y).any() and (x != other_x).any()


@pytest.mark.parametrize("augment", [(), NAMES])
def test_a_later_start_goes_on_with_the_same_batches(data, augment):
    feed = feed_of(data, 16, augment)
    steps = feed.steps_per_epoch
    whole = list(feed.batches().take(2 * steps))
    fresh = feed_of(data, 16, augment)  # as after a restart
    for (x, y), (late_x, late_y) in zip(
        whole[steps:], fresh.batches(1).take(steps), strict=True
    ):
        np.testing.assert_array_equal(x, late_x)
        np.testing.assert_array_equal(y, late_y)


# The same without TensorFlow


@pytest.mark.parametrize("augment", [(), ("crop", "flip"), NAMES], ids=str)
@pytest.mark.parametrize("first_epoch", [0, 1])
def test_both_feeds_are_equal_bit_for_bit(data, monkeypatch, augment, first_epoch):
    feed = feed_of(data, 16, augment, seed=2)
    steps = 2 * feed.steps_per_epoch
    ours = feed.batches(first_epoch).take(steps)
    monkeypatch.setattr(pipelines, "tf", None)
    theirs = feed.batches(first_epoch)
    assert isinstance(theirs, keras.utils.PyDataset)
    sizes = []
    for step, (x, y) in enumerate(ours):
        other_x, other_y = theirs[step]
        assert x.dtype == other_x.dtype and y.dtype == other_y.dtype
        np.testing.assert_array_equal(x, other_x)
        np.testing.assert_array_equal(y, other_y)
        sizes.append(len(y))
    assert sizes == [16, 16, 16, 2] * 2


HIDDEN = """
import hashlib, sys
sys.modules["tensorflow"] = None  # as if it were not installed
import numpy as np
from common import datasets, pipelines
from common.augmentations import NAMES
from common.regime import Regime
rng = np.random.default_rng(0)
x = rng.integers(0, 256, (50, 32, 32, 3), dtype=np.uint8)
y = np.arange(50, dtype=np.int32) % 10
regime = Regime(batch_size=16, augment=NAMES, seed=3)
feed = pipelines.Feed(datasets.Data("tiny", x, y, x, y, 10, y), regime)
batches = feed.batches()
for step in range(2 * feed.steps_per_epoch):
    x, y = batches[step]
    print(hashlib.sha256(x.tobytes() + y.tobytes()).hexdigest())
"""


def test_jax_without_tensorflow_is_fed_the_same_bits(data):
    output = subprocess.run(
        [sys.executable, "-c", HIDDEN],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    feed = feed_of(data, 16, NAMES, seed=3)
    batches = feed.batches().take(2 * feed.steps_per_epoch)
    expected = [digest(x.numpy(), y.numpy()) for x, y in batches]
    assert output.stdout.split() == expected, output.stderr


def test_fit_asks_the_feed_without_tensorflow_for_new_batches_each_epoch(
    data, monkeypatch
):
    monkeypatch.setattr(pipelines, "tf", None)
    feed = feed_of(data, 16)
    asked = []
    batch = feed.batch
    monkeypatch.setattr(feed, "batch", lambda step: asked.append(step) or batch(step))
    model = keras.Sequential(
        [keras.Input(feed.input_shape), keras.layers.Flatten(), keras.layers.Dense(10)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    model.fit(
        feed.batches(2),
        initial_epoch=2,
        epochs=5,
        steps_per_epoch=feed.steps_per_epoch,
        shuffle=False,
        verbose=0,
    )
    # Keras may look at the first batches beforehand, and some beyond the last.
    assert set(range(8, 20)) <= set(asked) and min(asked) == 8


# Held out, full batch, impossible settings


def big(data, n, size=28):
    """`n` grey images, all different, with their index in the label's place."""
    x = np.zeros((n, size, size, 1), np.uint8)
    x.reshape(n, -1)[np.arange(n), 300 + np.arange(n) % 400] = 255
    y = np.arange(n, dtype=np.int32) % 10
    return data._replace(x_train=x, y_train=y, y_train_true=y, x_test=x[:20])


def test_a_seeded_tenth_is_held_out(data):
    data = big(data, 400)
    number = np.arange(400, dtype=np.int32)
    data = data._replace(y_train=number, y_train_true=-number)
    feed = feed_of(data, 16, seed=0, hold_out=True)
    held_out, kept = feed.y_held_out, feed.y_train
    assert len(held_out) == 40 and len(feed.x_held_out) == 40
    assert sorted([*held_out, *kept]) == list(range(400))  # disjoint, and all
    np.testing.assert_array_equal(feed.y_train_true, -kept)
    whole = by_hand(data.x_train)
    np.testing.assert_allclose(feed.x_held_out, whole[held_out], atol=3e-5)
    np.testing.assert_allclose(feed.x_train, whole[kept], atol=3e-5)
    # A random tenth, the same whatever the model's seed.
    assert held_out.max() > 300 and np.diff(held_out).max() > 1
    other = feed_of(data, 16, seed=1, hold_out=True)
    np.testing.assert_array_equal(other.y_held_out, held_out)
    # And never trained on.
    trained = np.concatenate([joined(epoch_of(feed, e))[1] for e in range(2)])
    assert set(trained) == set(kept.tolist())


def test_held_out_examples_are_not_augmented_and_not_trained_on(data):
    data = big(data, 400, 32)
    number = np.arange(400, dtype=np.int32)
    feed = feed_of(data._replace(y_train=number), 64, ("crop",), hold_out=True)
    np.testing.assert_allclose(
        feed.x_held_out, by_hand(data.x_train[feed.y_held_out]), atol=3e-5
    )
    x, y = joined(epoch_of(feed))
    assert not set(y) & set(feed.y_held_out) and len(set(y)) == 360
    # Crops are of the image of their label: the spot is at most 2 pixels away.
    spot = np.argwhere(data.x_train[y, ..., 0])[:, 1:] - 2
    seen = x[..., 0].reshape(len(y), -1).argmax(1)
    near = abs(np.stack(np.divmod(seen, 28), 1) - spot).max(1) <= 2
    lost = x.std((1, 2, 3)) < 0.5  # cropped away
    assert (near | lost).all() and near.sum() > 200


def test_too_few_to_hold_any_out(data):
    with pytest.raises(UsageError, match="--train-size 100"):
        feed_of(data, 16, hold_out=True)
    feed_of(big(data, 100), 16, hold_out=True)
    with pytest.raises(UsageError, match="a tenth of 99 examples is 9"):
        feed_of(big(data, 99), 16, hold_out=True)


@pytest.mark.parametrize(
    "n, part", [(50, 50), (1024, 1024), (1200, 600), (2100, 700), (1031, 1031)]
)
def test_full_batch_is_fed_in_equal_parts(data, n, part):
    feed = feed_of(big(data, n), "full")
    sizes = [len(feed.batch(step)[1]) for step in range(feed.steps_per_epoch)]
    assert sizes == [part] * (n // part)
    assert feed.accumulate == len(sizes)  # one update an epoch


def test_mini_batches_are_not_accumulated(data):
    assert feed_of(data, 16).accumulate == 1
    assert feed_of(data, 500).steps_per_epoch == 1


def test_crop_of_small_images_is_refused(data):
    small = big(data, 50)
    with pytest.raises(UsageError, match="28 pixels wide"):
        feed_of(small, 16, ("crop",))
    x, _ = joined(epoch_of(feed_of(small, 16, ("flip", "rotate"))))
    assert x.shape == (50, 28, 28, 1)


# Text


@pytest.fixture(scope="module")
def text():
    return reviews.named("synthetic_text", 300)


def test_text_batches_are_the_words_in_the_plans_order(text):
    feed = feed_of(text, 64, seed=2)
    assert (feed.steps_per_epoch, feed.input_shape, feed.num_classes) == (5, (64,), 2)
    for epoch in (0, 3):
        x, y = joined(epoch_of(feed, epoch))
        order = plan(300, (), 2, epoch)["order"]
        np.testing.assert_array_equal(x, text.x_train[order])
        np.testing.assert_array_equal(y, text.y_train[order])
        assert x.dtype == y.dtype == np.int32
    np.testing.assert_array_equal(feed.x_test, text.x_test)


def test_word_dropout_hides_words_anew_in_every_epoch(text):
    feed = feed_of(text, 64, word_dropout=0.3, seed=2)
    hidden = []
    for epoch in (0, 1):
        x, y = joined(epoch_of(feed, epoch))
        order = plan(300, (), 2, epoch)["order"]
        assert digest(x, y) == digest(
            *joined(epoch_of(feed_of(text, 50, seed=2, word_dropout=0.3), epoch))
        )
        true = text.x_train[order]
        changed = x != true
        assert (x[changed] == datasets.UNKNOWN).all() and (x[true == 0] == 0).all()
        count = (true != 0).sum()
        assert abs(changed.sum() - 0.3 * count) < 6 * np.sqrt(0.21 * count)
        in_order = np.empty_like(changed)
        in_order[order] = changed
        hidden.append(in_order)
    both = (hidden[0] & hidden[1]).sum() / count
    assert abs(both - 0.09) < 0.02  # independent
    for x in (feed.x_train, feed.x_test):  # what is measured stays whole
        assert (x != datasets.UNKNOWN).all()


def test_text_is_held_out_like_images(text):
    feed = feed_of(text, 64, hold_out=True)
    assert (len(feed.x_train), len(feed.x_held_out)) == (270, 30)
    rows = [row.tobytes() for row in (*feed.x_train, *feed.x_held_out)]
    assert sorted(rows) == sorted(row.tobytes() for row in text.x_train)


def test_what_a_run_asks_of_a_feed_is_declared(data, text):
    for feed in (feed_of(data, 16), feed_of(text, 64)):
        assert isinstance(feed, pipelines.AnyFeed) and feed.in_memory
    assert not isinstance(data, pipelines.AnyFeed)

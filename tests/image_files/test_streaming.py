"""Batches from files: what fit and the measures consume, and that it is exact."""

import dataclasses
import os

import keras
import numpy as np
import pytest
from jpegs import write_folder

from common import corruptions, pipelines
from common.cli import MendableError, UsageError
from common.engine import evaluation
from common.image_files import decoding, imagenet, streaming
from common.regime import Regime

BATCH = 8
AUGMENT = ("crop", "flip", "color")
USUAL = Regime(dataset="tiny", image_size=75, batch_size=BATCH, seed=3)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = write_folder(tmp_path_factory.mktemp("images"))  # 40, and 11 to test on
    return corruptions.corrupt(
        imagenet.named("tiny", data_dir=folder), Regime(label_corruption=0.5)
    )


@pytest.fixture(params=["tensorflow", "pillow"])
def backend(request, monkeypatch):
    if request.param == "pillow":
        monkeypatch.setattr(decoding, "tf", None)
        monkeypatch.setattr(streaming, "tf", None)


def feed_of(data, share=(0, 1), **more):
    return streaming.Feed(data, dataclasses.replace(USUAL, **more), share)


def test_it_is_a_feed_as_declared(data):
    feed = feed_of(data)
    assert isinstance(feed, pipelines.AnyFeed) and not feed.in_memory


def test_no_thread_tunes_what_is_fed(data):
    feed = feed_of(data)
    for batches in (feed.batches(), feed.evaluation("val")[0]):
        assert batches.options().autotune.enabled is False


def take(batches, count):
    """The first batches of a tf.data.Dataset or a PyDataset, as arrays."""
    if isinstance(batches, keras.utils.PyDataset):
        return [batches[i] for i in range(count)]
    return list(batches.take(count).as_numpy_iterator())


def assert_same(one, other):
    assert len(one) == len(other)
    for arrays in zip(one, other, strict=True):
        for a, b in zip(*arrays, strict=True):
            np.testing.assert_array_equal(a, b)


def images_of(feed, split="train"):
    """The images of a split in their order, as the fixed model gets them."""
    batches, steps = feed.evaluation(split)
    images, _, weights = map(np.concatenate, zip(*take(batches, steps), strict=True))
    return images[weights > 0]


@pytest.fixture(scope="module")
def plain(data):
    """(feed, its training images, its test images), of pixels as they are."""
    feed = feed_of(data)
    return feed, images_of(feed), images_of(feed, "val")


# The plan.


def test_the_plan_is_a_function_of_seed_and_epoch():
    first, again = (streaming.plan(40, AUGMENT, 3, 7) for _ in range(2))
    shared = pipelines.plan(40, AUGMENT, 3, 7)
    assert first.keys() == {*shared, "box"}
    for key, value in first.items():
        np.testing.assert_array_equal(value, again[key])
        if key != "box":
            np.testing.assert_array_equal(value, shared[key])
        for seed, epoch in ((3, 8), (4, 7)):
            assert (value != streaming.plan(40, AUGMENT, seed, epoch)[key]).any()


def test_the_box_is_drawn_from_the_published_ranges():
    box = streaming.plan(20_000, ("crop",), 0, 0)["box"]
    assert 0 <= box[:, 0].min() < 0.001 and 0.999 < box[:, 0].max() < 1
    assert 3 / 4 <= box[:, 1].min() < 0.751 and 1.332 < box[:, 1].max() <= 4 / 3
    assert np.log(box[:, 1]).mean() == pytest.approx(0, abs=0.005)


# What fit consumes.


def test_batches_are_whole_and_every_epoch_has_an_order_of_its_own(data, backend):
    feed = feed_of(data, batch_size=16)  # two batches, and eight images left out
    fixed = {image.tobytes(): i for i, image in enumerate(images_of(feed))}
    batches = take(feed.batches(), 4)
    assert feed.steps_per_epoch == 2
    seen = [[fixed[image.tobytes()] for image in images] for images, _ in batches]
    for (images, labels), places in zip(batches, seen, strict=True):
        assert images.shape == (16, 75, 75, 3) and images.dtype == np.float32
        np.testing.assert_array_equal(labels, data.y_train[places])
    epochs = seen[0] + seen[1], seen[2] + seen[3]
    for epoch, places in enumerate(epochs):
        assert places == pipelines.plan(40, (), 3, epoch)["order"][:32].tolist()
    assert epochs[0] != epochs[1] and set(epochs[0]) != set(epochs[1])


def test_an_epoch_is_the_same_wherever_training_begins(data, backend):
    feed = feed_of(data, augment=AUGMENT)
    whole = take(feed.batches(), 15)
    assert_same(take(feed_of(data, augment=AUGMENT).batches(1), 10), whole[5:])
    assert_same(take(feed.batches(2), 5), whole[10:])
    assert np.abs(whole[0][0] - whole[5][0]).max() > 0.1
    assert min(images.min() for images, _ in whole) >= -1
    assert max(images.max() for images, _ in whole) <= 1


def test_the_parts_of_all_processes_are_the_batch(data, backend):
    whole = take(feed_of(data, augment=AUGMENT).batches(), 6)
    parts = [
        take(feed_of(data, (i, 2), augment=AUGMENT).batches(), 6) for i in range(2)
    ]
    joined = [
        tuple(map(np.concatenate, zip(*batch, strict=True)))
        for batch in zip(*parts, strict=True)
    ]
    assert_same(joined, whole)


@pytest.mark.parametrize("share", [(0, 1), (1, 2)])
def test_an_evaluation_has_every_example_once(data, backend, share):
    feed = feed_of(data, share)
    expected = [decoding.decode(data.read(file), 75) for file in data.x_test]
    process, processes = share
    places = np.arange(16).reshape(2, processes, -1)[:, process].ravel()
    batches, steps = feed.evaluation("val")
    images, labels, weights = map(
        np.concatenate, zip(*take(batches, steps), strict=True)
    )
    np.testing.assert_array_equal(weights, places < 11)
    places = places[places < 11]
    for column in labels[weights > 0].T:  # the given ones are the true ones
        np.testing.assert_array_equal(column, data.y_test[places])
    for image, place in zip(images[weights > 0], places, strict=True):
        np.testing.assert_allclose(image, expected[place], atol=1e-6)


def test_held_out_examples_are_not_trained_on(data):
    feed = feed_of(data, early_stopping=2)
    held_out = {image.tobytes() for image in images_of(feed, "held_out")}
    trained = {image.tobytes() for image in images_of(feed)}
    assert feed.splits == ("train", "val", "held_out")
    assert (len(held_out), len(trained)) == (4, 36) and not held_out & trained
    images = np.concatenate([images for images, _ in take(feed.batches(), 8)])
    assert not {image.tobytes() for image in images} & held_out


# Corrupted pixels.


@pytest.mark.parametrize("pixels", ["shuffled", "random", "gaussian"])
def test_corrupted_pixels_are_the_same_in_every_epoch(
    data, backend, pixels, monkeypatch
):
    monkeypatch.setattr(streaming, "_SAMPLE", 3)  # images, for the noise's moments
    feed = feed_of(data, pixels=pixels)
    fixed = images_of(feed)
    images = np.concatenate([x for x, _ in take(feed.batches(), 10)])
    orders = [pipelines.plan(40, (), 3, epoch)["order"] for epoch in range(2)]
    np.testing.assert_array_equal(images, fixed[np.concatenate(orders)])
    other_model = feed_of(data, pixels=pixels, seed=4)
    np.testing.assert_array_equal(images_of(other_model), fixed)
    other_noise = feed_of(data, pixels=pixels, data_seed=1)
    assert (images_of(other_noise) != fixed).any()


def test_pixels_are_moved_as_their_kind_says(data, plain):
    _, train, test = plain
    place = np.arange(75 * 75)

    def order_of(before, after):
        """Where each pixel of the second image was in the first."""
        before, after = (x.reshape(-1, 3).tolist() for x in (before, after))
        assert sorted(before) == sorted(after)  # the same pixels
        where = {tuple(pixel): i for i, pixel in enumerate(before)}
        return np.array([where[tuple(pixel)] for pixel in after]), len(where)

    shuffled = feed_of(data, pixels="shuffled")
    orders = [
        order_of(before, after)[0]
        for split, images in (("train", train), ("val", test))
        for before, after in zip(images[:3], images_of(shuffled, split), strict=False)
        if order_of(before, after)[1] == len(place)  # each pixel has its own colour
    ]
    assert len(orders) >= 2 and all((order == orders[0]).all() for order in orders)
    assert np.mean(orders[0] == place) < 0.01
    randomly = feed_of(data, pixels="random")
    moved = images_of(randomly)
    first, second = (order_of(train[i], moved[i])[0] for i in range(2))
    assert np.mean(first == second) < 0.01
    np.testing.assert_array_equal(images_of(randomly, "val"), test)


def test_gaussian_pixels_have_the_mean_and_variance_of_the_images(data, plain):
    feed, images, test = plain
    noise = feed_of(data, pixels="gaussian")
    drawn = images_of(noise)
    axes = (0, 1, 2)
    np.testing.assert_allclose(drawn.mean(axes), images.mean(axes), atol=0.01)
    np.testing.assert_allclose(drawn.std(axes), images.std(axes), atol=0.01)
    np.testing.assert_array_equal(images_of(noise, "val"), test)
    mean, std = feed.input_statistics()
    assert mean == pytest.approx(images.mean(), abs=1e-4)
    assert std == pytest.approx(images.std(), abs=1e-4)


# The measures.


def test_measures_are_those_of_the_logits(data, monkeypatch):
    feed = feed_of(data, early_stopping=2)
    inputs = keras.Input((75, 75, 3))
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D(15)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(6)(x))
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    measure = evaluation.measurer(model, feed, True)
    row = measure(lambda held_out: 0.0)
    assert row["measured"] == len(feed.y_train)

    def log_softmax(split):
        found = np.array(model(images_of(feed, split)), float)
        return found - np.log(np.exp(found).sum(1, keepdims=True))

    logits = {split: log_softmax(split) for split in feed.splits}
    kept, held_out = pipelines.split(data)
    for split, given in (
        ("train", data.y_train[kept]),
        ("val", data.y_test),
        ("held_out", data.y_train[held_out]),
    ):
        said = logits[split]
        rank = (said > said[np.arange(len(given)), given][:, None]).sum(1)
        expected = -said[np.arange(len(given)), given].mean()
        assert row[f"{split}_cross_entropy"] == pytest.approx(expected, rel=1e-5)
        assert row[f"{split}_accuracy"] == pytest.approx((rank == 0).mean())
        assert row[f"{split}_top5_accuracy"] == pytest.approx((rank < 5).mean())
    given, true = data.y_train[kept], data.y_train_true[kept]
    right, flipped = logits["train"].argmax(1), given != true
    assert 0 < flipped.sum() < len(flipped)
    for name, of, examples in (
        ("kept_accuracy", given, ~flipped),
        ("flipped_accuracy", given, flipped),
        ("flipped_true_accuracy", true, flipped),
    ):
        assert row[name] == pytest.approx((right == of)[examples].mean())
    assert row["flipped_accuracy"] != row["flipped_true_accuracy"]
    # Of the sample alone: the first of the fixed order.
    monkeypatch.setattr(evaluation, "sample_size", lambda num_examples: 5)
    sample = measure(lambda held_out: np.inf)
    chosen = pipelines.measuring_order(len(given))[:5]
    assert sample["measured"] == 5
    assert sample["train_accuracy"] == pytest.approx((right == given)[chosen].mean())
    assert sample["val_accuracy"] == row["val_accuracy"]


def test_a_share_of_no_examples_is_not_a_number():
    share = evaluation.Share("flipped", lambda label, logits: label == 1, kept=False)
    labels = np.array([[1, 1], [2, 2]], "float32")
    share.update_state(labels, np.zeros((2, 3)), np.ones(2, "float32"))
    assert np.isnan(float(share.result()))
    labels = np.array([[1, 0], [2, 0]], "float32")
    share.update_state(labels, np.zeros((2, 3)), np.ones(2, "float32"))
    assert float(share.result()) == 0.5


# What goes wrong.


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"augment": ("rotate", "crop")}, "--augment rotate: .*crop,flip,color"),
        ({"augment": ("flip",), "pixels": "random"}, "leave one of the two out"),
        ({"batch_size": "full"}, "--batch-size full: .* expected an integer"),
        ({"batch_size": 41}, "an integer of at most 40"),
    ],
)
def test_impossible_settings(data, more, reason):
    with pytest.raises(UsageError, match=reason):
        feed_of(data, **more)


@pytest.mark.parametrize("name", [b"004.jpg", b"caf\xe9.jpg"])  # the other: no UTF-8
def test_a_damaged_image_is_named(tmp_path, name):
    write_folder(tmp_path)
    damaged = tmp_path / "train" / "n1" / os.fsdecode(name)
    (tmp_path / "train/n1/004.jpg").rename(damaged)
    data = imagenet.named("tiny", data_dir=tmp_path)
    feed = feed_of(data)
    damaged.write_bytes(damaged.read_bytes()[:300])
    with pytest.raises(feed.errors) as raised:
        take(feed.batches(), 5)
    said = feed.explain(raised.value)
    assert isinstance(said, MendableError) and str(damaged) in str(said)
    assert feed_of(data).explain(raised.value) is raised.value  # no image of its own

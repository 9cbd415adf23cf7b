"""Corruptions against statistics known in advance, slicing and plain loops."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy import stats

from common import cli, corruptions
from common.corruptions import (
    _PIXELS,
    corrupt,
    corrupt_image,
    corrupt_labels,
    corrupt_words,
    gaussian_pixels,
    human_labels,
    permute_pixels,
    random_pixels,
)
from common.datasets import Data
from common.regime import WORDS, Regime
from common.shared_settings import LABEL_NOISE


def corrupted(data, p=0.0, label_noise="uniform", pixels="true", seed=0):
    regime = Regime(
        label_corruption=p, label_noise=label_noise, pixels=pixels, data_seed=seed
    )
    return corrupt(data, regime)


N, CLASSES = 20_000, 10
kinds = st.sampled_from(LABEL_NOISE)
# Six standard deviations: false alarms are out of the question, defects far outside.
SIGMAS = 6


@pytest.fixture(scope="module")
def labels():
    # Sorted by class, so that "the first p * n" would corrupt only some classes.
    return np.repeat(np.arange(CLASSES, dtype=np.int32), N // CLASSES)


def assert_rate(count, n, rate):
    assert abs(count - n * rate) <= SIGMAS * np.sqrt(n * rate * (1 - rate))


def assert_uniform(values, num_bins):
    counts = np.bincount(values, minlength=num_bins)
    assert len(counts) == num_bins
    assert stats.chisquare(counts).pvalue > 1e-6


# Labels of people


def transitions(true, given):
    counts = np.zeros((CLASSES, CLASSES), int)
    np.add.at(counts, (true, given), 1)
    return counts


@pytest.fixture(scope="module")
def human():
    """(true labels in no order, those of people, who confuse neighbours at its end)."""
    rng = np.random.default_rng(3)
    true = rng.integers(CLASSES, size=N, dtype=np.int32)
    hard = np.arange(N) >= N // 2
    return true, np.where(hard & (rng.random(N) < 0.6), (true + 1) % CLASSES, true)


def test_the_twin_has_every_transition_and_none_of_the_images(human):
    true, people = human
    assert (human_labels(true, people, 1.0, 0) == people).all()
    twin = human_labels(true, people, 1.0, 0, "transition")
    assert (transitions(true, twin) == transitions(true, people)).all()
    wrong, first = twin != true, np.arange(N) < N // 2
    assert not (people != true)[first].any()
    assert_rate(wrong[first].sum(), N // 2, wrong.mean())
    again = human_labels(true, people, 1.0, 0, "transition")
    other = human_labels(true, people, 1.0, 1, "transition")
    assert (again == twin).all() and (other != twin).any()
    assert twin.dtype == true.dtype


@pytest.mark.parametrize("kind", ["human", "transition"])
def test_levels_of_human_labels_nest(human, kind):
    true, people = human
    low, high, all_ = (human_labels(true, people, p, 0, kind) for p in (0.3, 0.6, 1))
    assert (human_labels(true, people, 0, 0, kind) == true).all()
    assert (low[low != true] == high[low != true]).all()
    assert (high[high != true] == all_[high != true]).all()
    assert_rate((low != true).sum(), (all_ != true).sum(), 0.3)


# Labels


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("kind", ["uniform", "exact"])
def test_kept_labels_are_those_not_drawn_and_those_drawn_true(labels, kind, p):
    kept = (corrupt_labels(labels, p, CLASSES, 0, kind) == labels).sum()
    assert_rate(kept, N, (1 - p) + p / CLASSES)


@pytest.mark.parametrize("kind", ["exclusive", "pair"])
def test_kinds_that_never_keep_a_replaced_label(labels, kind):
    changed = corrupt_labels(labels, 0.3, CLASSES, 0, kind) != labels
    assert_rate(changed.sum(), N, 0.3)
    assert (corrupt_labels(labels, 1, CLASSES, 0, kind) != labels).all()


def test_exclusive_draws_evenly_from_the_other_classes(labels):
    noisy = corrupt_labels(labels, 1, CLASSES, 0, "exclusive")
    assert_uniform((noisy - labels) % CLASSES - 1, CLASSES - 1)


def test_pair_is_the_next_class(labels):
    noisy = corrupt_labels(labels, 1, CLASSES, 0, "pair")
    following = {c: c + 1 for c in range(9)} | {9: 0}
    assert noisy.tolist() == [following[c] for c in labels.tolist()]


@pytest.mark.parametrize("p", [0.0, 0.1, 0.25, 0.333, 1.0])
def test_exact_replaces_exactly_that_many(p):
    # A true class that is never drawn makes every replacement visible.
    labels = np.full(999, 7, np.int32)
    noisy = corrupt_labels(labels, p, 7, 0, "exact")
    assert (noisy != 7).sum() == round(p * 999)


@pytest.mark.parametrize("kind", LABEL_NOISE)
def test_levels_nest(labels, kind):
    levels = [
        corrupt_labels(labels, p, CLASSES, 3, kind) for p in (0.1, 0.2, 0.4, 0.9, 1)
    ]
    for fewer, more in zip(levels, levels[1:], strict=False):
        replaced = fewer != labels
        assert replaced.any()
        np.testing.assert_array_equal(more[replaced], fewer[replaced])
        assert (more != labels).sum() > replaced.sum()


@pytest.mark.parametrize("kind", ["uniform", "exact"])
def test_classes_drawn_are_uniform_and_independent_of_the_truth(labels, kind):
    noisy = corrupt_labels(labels, 1, CLASSES, 0, kind)
    assert_uniform(noisy, CLASSES)
    table = np.histogram2d(labels, noisy, CLASSES)[0]
    assert stats.chi2_contingency(table).pvalue > 1e-6


@pytest.mark.parametrize("kind", LABEL_NOISE)
def test_flips_are_spread_over_index_and_class(labels, kind):
    changed = np.flatnonzero(corrupt_labels(labels, 0.3, CLASSES, 0, kind) != labels)
    assert_uniform(changed * 20 // N, 20)  # 20 stretches, two of each class


@pytest.mark.parametrize("kind", LABEL_NOISE)
def test_zero_is_the_identity_and_inputs_stay_as_they_are(labels, kind):
    labels.flags.writeable = False
    np.testing.assert_array_equal(corrupt_labels(labels, 0, CLASSES, 0, kind), labels)
    noisy = corrupt_labels(labels, 0.5, CLASSES, 0, kind)
    assert noisy.dtype == labels.dtype and noisy.shape == labels.shape
    assert noisy.min() >= 0 and noisy.max() < CLASSES


@pytest.mark.parametrize("kind", LABEL_NOISE)
def test_labels_are_a_function_of_the_seed_alone(labels, kind):
    first = corrupt_labels(labels, 0.5, CLASSES, 1, kind)
    np.random.seed(5)  # global state, and what was drawn before, do not matter
    np.testing.assert_array_equal(first, corrupt_labels(labels, 0.5, CLASSES, 1, kind))
    other = corrupt_labels(labels, 0.5, CLASSES, 2, kind)
    # Which are replaced is independent between seeds: a quarter in both.
    both = (first != labels) & (other != labels)
    rate = {"uniform": 0.45, "exact": 0.45}.get(kind, 0.5) ** 2
    assert_rate(both.sum(), N, rate)


@pytest.mark.parametrize("kind", ["uniform", "exclusive", "pair"])
def test_first_labels_do_not_depend_on_how_many_follow(labels, kind):
    np.testing.assert_array_equal(
        corrupt_labels(labels, 0.5, CLASSES, 0, kind)[:777],
        corrupt_labels(labels[:777], 0.5, CLASSES, 0, kind),
    )


@pytest.mark.parametrize("arguments", [(1.5,), (-0.1,), (float("nan"),), (0.5, "odd")])
def test_wrong_arguments(labels, arguments):
    probability, *kind = arguments
    with pytest.raises(ValueError, match="Received"):
        corrupt_labels(labels, probability, CLASSES, 0, *kind)


# Pixels


def flat_sorted(images):
    """The multiset of each image's pixels; channels of a pixel stay together."""
    pixels = images.reshape(len(images), -1, images.shape[-1]).astype(int)
    return np.sort(pixels @ [1 << 16, 1 << 8, 1], axis=1)


def plain_crop(images):
    return images[:, 2:30, 2:30]


def test_shuffled_is_one_permutation_for_train_and_test(data):
    # An image that says of every pixel where it was: row, column, and no border.
    where = np.full((32, 32, 3), 255, np.uint8)
    where[2:30, 2:30, :2] = np.stack(np.indices((28, 28)), -1)
    data = data._replace(x_train=np.stack([where] * 5), x_test=np.stack([where] * 4))
    shuffled = corrupted(data, pixels="shuffled", seed=0)
    everything = np.concatenate([shuffled.x_train, shuffled.x_test])
    assert everything.shape == (9, 28, 28, 3) and everything.dtype == np.uint8
    assert (everything == everything[0]).all()
    row, column = everything[0, ..., 0].astype(int), everything[0, ..., 1]
    index = (row * 28 + column).ravel()
    assert sorted(index) == list(range(784))
    # Of a uniform permutation about one entry stays, and neighbours are torn apart.
    assert (index == np.arange(784)).sum() < 10
    assert abs(np.corrcoef(index[:-1], index[1:])[0, 1]) < 0.25
    other = corrupted(data, pixels="shuffled", seed=1)
    assert (other.x_train[0] != everything[0]).any()


def test_random_pixels_are_the_same_on_every_processor():
    # Equal keys stay in order, as Python sorts them; NumPy's usual sort has no such
    # promise, and takes other ways on other processors.
    positions = np.arange(784, dtype=np.int32).reshape(28, 28, 1)
    images = np.repeat(positions[None], 1000, axis=0)
    orders = random_pixels(images, seed=0).reshape(1000, 784)
    rng = np.random.default_rng([0, _PIXELS])
    keys = rng.random((1000, 784), dtype=np.float32)
    tied = [i for i, row in enumerate(keys) if len(set(row.tolist())) < 784]
    assert len(tied) > 5
    for i in tied:
        assert orders[i].tolist() == sorted(
            range(784), key=keys[i].tolist().__getitem__
        )


@pytest.mark.parametrize("kind", ["shuffled", "random"])
def test_pixels_of_the_centre_crop_are_moved_not_changed(data, kind):
    noisy = corrupted(data, pixels=kind)
    expected = flat_sorted(plain_crop(data.x_train))
    np.testing.assert_array_equal(flat_sorted(noisy.x_train), expected)
    assert (noisy.x_train != plain_crop(data.x_train)).any(axis=(1, 2, 3)).all()
    if kind == "shuffled":
        expected = flat_sorted(plain_crop(data.x_test))
        np.testing.assert_array_equal(flat_sorted(noisy.x_test), expected)
    else:
        np.testing.assert_array_equal(noisy.x_test, data.x_test)


def test_permute_pixels_equals_a_loop():
    images = np.arange(2 * 2 * 3 * 3).reshape(2, 2, 3, 3)
    order = np.array([3, 5, 0, 1, 4, 2])
    expected = np.empty_like(images)
    for image, result in zip(images, expected, strict=True):
        for place, source in enumerate(order):
            result[divmod(place, 3)] = image[divmod(source, 3)]
    np.testing.assert_array_equal(permute_pixels(images, order), expected)


def test_random_pixels_are_a_different_uniform_permutation_for_each_image():
    positions = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1)
    moved = random_pixels(np.repeat(positions, 4000, axis=0), seed=0).reshape(4000, 16)
    assert (np.sort(moved, axis=1) == np.arange(16)).all()
    assert len(np.unique(moved, axis=0)) > 3990
    for place in (0, 7, 15):
        assert_uniform(moved[:, place], 16)


def test_first_random_pixels_do_not_depend_on_how_many_follow():
    images = np.random.default_rng(0).integers(0, 256, (1100, 6, 6, 3), np.uint8)
    moved = random_pixels(images, 0)
    for n in (1, 999, 1000, 1001):  # across the block that bounds the memory
        np.testing.assert_array_equal(random_pixels(images[:n], 0), moved[:n])
    assert (random_pixels(images, 1) != moved).any()


def test_gaussian_has_the_data_sets_mean_and_variance_and_normal_tails():
    rng = np.random.default_rng(0)
    images = rng.gamma(2, [20, 10, 5], (400, 28, 28, 3)).clip(0, 255).astype(np.uint8)
    noise = gaussian_pixels(images, 0)
    assert noise.dtype == np.float32 and noise.shape == images.shape
    n = 400 * 28 * 28
    for channel in range(3):
        pixels = images[..., channel].astype(np.float64).ravel()
        drawn = noise[..., channel].astype(np.float64).ravel()
        mean, variance = pixels.mean(), pixels.var()
        assert abs(drawn.mean() - mean) < SIGMAS * np.sqrt(variance / n)
        assert abs(drawn.var() / variance - 1) < SIGMAS * np.sqrt(2 / n)
        assert abs(stats.skew(drawn)) < SIGMAS * np.sqrt(6 / n)
        assert abs(stats.kurtosis(drawn)) < SIGMAS * np.sqrt(24 / n)  # 3, in excess
    assert noise.min() < 0  # not clipped


def test_gaussian_is_new_for_every_image_pixel_and_channel(data):
    noise = (
        corrupted(data, pixels="gaussian").x_train.reshape(50, -1).astype(np.float64)
    )
    images = np.corrcoef(noise) - np.eye(50)
    assert abs(images).max() < SIGMAS / np.sqrt(noise.shape[1])
    channels = noise.reshape(-1, 3)
    correlation = np.corrcoef(channels, rowvar=False) - np.eye(3)
    assert abs(correlation).max() < SIGMAS / np.sqrt(len(channels))
    pixels = noise.reshape(50, 28, 28, 3)
    across = np.corrcoef(pixels[:, 1:].ravel(), pixels[:, :-1].ravel())[0, 1]
    assert abs(across) < SIGMAS / np.sqrt(50 * 27 * 28 * 3)
    # And tells nothing of the image that it stands for.
    truth = plain_crop(data.x_train).reshape(50, -1)
    pairs = [np.corrcoef(a, b)[0, 1] for a, b in zip(noise, truth, strict=True)]
    assert abs(np.mean(pairs)) < SIGMAS / np.sqrt(noise.size)


# The whole data set


@pytest.mark.parametrize("pixels", ["true", "shuffled", "random", "gaussian"])
def test_the_test_set_is_never_corrupted(data, pixels):
    copies = [np.copy(array) for array in data if isinstance(array, np.ndarray)]
    noisy = corrupted(data, 1.0, "exclusive", pixels, seed=0)
    np.testing.assert_array_equal(noisy.y_test, data.y_test)
    np.testing.assert_array_equal(noisy.y_train_true, data.y_train)
    assert (noisy.y_train != data.y_train).all()
    if pixels != "shuffled":
        np.testing.assert_array_equal(noisy.x_test, data.x_test)
    arrays = [array for array in data if isinstance(array, np.ndarray)]
    for array, copy in zip(arrays, copies, strict=True):  # nothing changed in place
        np.testing.assert_array_equal(array, copy)


def test_nothing_asked_for_is_nothing_changed(data):
    same = corrupted(data)
    for before, after in zip(data, same, strict=True):
        np.testing.assert_array_equal(before, after)


def test_labels_and_pixels_are_drawn_apart(data):
    alone = corrupted(data, 0.5, seed=4)
    for pixels in ("shuffled", "random", "gaussian"):
        both = corrupted(data, 0.5, "uniform", pixels, seed=4)
        np.testing.assert_array_equal(both.y_train, alone.y_train)
        np.testing.assert_array_equal(
            both.x_train, corrupted(data, pixels=pixels, seed=4).x_train
        )
        other = corrupted(data, pixels=pixels, seed=5)
        assert (other.x_train != both.x_train).any()


def test_unknown_pixels(data):
    with pytest.raises(ValueError, match="pixels='blurred'"):
        corrupted(data, pixels="blurred")


# Words


@pytest.fixture(scope="module")
def text():
    """6,000 reviews of 1 to 12 different words, word 2 the most frequent by far."""
    rng = np.random.default_rng(0)
    x = np.array([rng.permutation(np.arange(2, 14)) for _ in range(6000)], np.int32)
    x[rng.random(6000) < 0.5, 0] = 2
    lengths = rng.integers(1, 13, 6000)
    x[np.arange(12) >= lengths[:, None]] = 0
    y = rng.integers(0, 2, 6000).astype(np.int32)
    return Data("text", x[:5000], y[:5000], x[5000:], y[5000:], 2, y[:5000])


@pytest.mark.parametrize("words", WORDS)
def test_labels_and_lengths_stay(text, words):
    noisy = corrupt_words(text, words)
    assert noisy._replace(x_train=text.x_train, x_test=text.x_test) == text
    np.testing.assert_array_equal(noisy.x_train != 0, text.x_train != 0)
    assert noisy.x_train.dtype == noisy.x_test.dtype == np.int32
    if words != "shuffled":
        np.testing.assert_array_equal(noisy.x_test, text.x_test)
    if words != "true":
        assert (noisy.x_train != text.x_train).any(1).mean() > 0.8
        other = corrupt_words(text, words, seed=1)
        assert (other.x_train != noisy.x_train).any()
        again = corrupt_words(text, words)
        np.testing.assert_array_equal(again.x_train, noisy.x_train)


def test_shuffled_words_are_one_permutation_also_of_the_test_reviews(text):
    places = np.where(text.x_train == 0, 0, np.arange(1, 13)).astype(np.int32)
    moved = corrupt_words(text._replace(x_train=places), "shuffled")
    lengths = (places != 0).sum(1)
    order = moved.x_train[lengths == 12][0] - 1
    assert sorted(order) == list(range(12)) and (order != np.arange(12)).any()
    for row, length in zip(moved.x_train, lengths, strict=True):
        # A shorter review: the same order, without the places it does not have.
        expected = [place for place in order if place < length]
        assert (row[:length] - 1).tolist() == expected
    noisy = corrupt_words(text, "shuffled")
    for x, true in ((noisy.x_train, text.x_train), (noisy.x_test, text.x_test)):
        whole = true[:, -1] != 0
        np.testing.assert_array_equal(x[whole], true[whole][:, order])


def test_each_review_has_a_uniform_permutation_of_its_own(text):
    noisy = corrupt_words(text, "shuffled_each").x_train
    np.testing.assert_array_equal(np.sort(noisy), np.sort(text.x_train))
    places = np.where(text.x_train == 0, 0, np.arange(1, 13)).astype(np.int32)
    moved = corrupt_words(text._replace(x_train=places), "shuffled_each").x_train
    whole = moved[places[:, -1] != 0] - 1
    for place in range(12):
        assert_uniform(whole[:, place], 12)


def test_random_words_have_the_frequencies_of_the_training_set(text):
    noisy = corrupt_words(text, "unigram").x_train
    true = np.bincount(text.x_train[text.x_train != 0])[2:]
    drawn = np.bincount(noisy[noisy != 0])[2:]
    assert stats.chisquare(drawn, true).pvalue > 1e-6
    assert true.max() > 1.5 * true.min()
    # Independent of the word that stood there.
    same = (noisy == text.x_train)[text.x_train != 0]
    assert_rate(same.sum(), len(same), ((true / true.sum()) ** 2).sum())


def test_unknown_kind_of_words(text):
    with pytest.raises(ValueError, match="true, shuffled, .* Received: words='random'"):
        corrupt_words(text, "random")


def test_an_image_corrupted_alone_has_a_stream_of_its_own(data):
    """So has image 0: NumPy reads [seed, stream, 0] as the stream of all images."""
    images = data.x_train
    moments = images.mean((0, 1, 2)), images.std((0, 1, 2))
    alone = [corrupt_image(images[i], i, "gaussian", 3, *moments) for i in (0, 1, 0)]
    np.testing.assert_array_equal(alone[0], alone[2])
    together = gaussian_pixels(images, 3)
    for i, other in ((0, alone[1]), (0, together[0]), (1, together[1])):
        correlation = np.corrcoef(alone[i].ravel(), other.ravel())[0, 1]
        assert abs(correlation) < SIGMAS / np.sqrt(other.size)


# Any size, any number of classes

SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def labellings(draw):
    """Any labels, as any integers that hold them, and how many classes there are."""
    classes = draw(st.integers(2, 300))
    kind = draw(st.sampled_from(["int64", "int32"] + ["uint8"] * (classes <= 256)))
    values = draw(st.lists(st.integers(0, classes - 1), max_size=60))
    return np.array(values, kind), classes


@given(labellings(), st.floats(0, 1), st.floats(0, 1), SEEDS, kinds)
def test_labels_of_any_size_and_classes(drawn, p, q, seed, kind):
    labels, classes = drawn
    few, many = (
        corrupt_labels(labels, level, classes, seed, kind) for level in sorted((p, q))
    )
    for noisy in (few, many):
        assert noisy.dtype == labels.dtype and noisy.shape == labels.shape
        assert ((0 <= noisy) & (noisy.astype(int) < classes)).all()
    moved = few != labels
    np.testing.assert_array_equal(many[moved], few[moved])  # levels nest
    if kind == "exact":  # at most so many: some draws are the true class
        assert moved.sum() <= round(min(p, q) * len(labels))
    everything = corrupt_labels(labels, 1, classes, seed, kind) != labels
    assert not (many != labels)[~everything].any()
    if kind in ("exclusive", "pair"):
        assert everything.all()


@pytest.mark.parametrize("kind", ["exclusive", "pair"])
def test_another_class_than_the_only_one(kind):
    with pytest.raises(cli.UsageError, match="two classes or more"):
        corrupt_labels([0, 0], 0.5, 1, 0, kind)


@st.composite
def pictures(draw, most=6):
    """A few uint8 images of any shape, from one pixel on."""
    side, channels = st.integers(1, 9), st.integers(1, 4)
    shape = draw(st.tuples(st.integers(1, most), side, side, channels))
    return np.random.default_rng(draw(SEEDS)).integers(0, 256, shape, np.uint8)


def sorted_pixels(images):
    """The pixels of each image in an order of their own; channels stay together."""
    flat = images.reshape(len(images), -1, images.shape[-1])
    return [sorted(map(tuple, image.tolist())) for image in flat]


@given(pictures(), SEEDS)
def test_shuffled_pixels_are_the_same_pixels(images, seed):
    found = random_pixels(images, seed)
    assert found.dtype == np.uint8 and found.shape == images.shape
    assert sorted_pixels(found) == sorted_pixels(images)
    # The first get the same permutation, however many follow.
    np.testing.assert_array_equal(random_pixels(images[:1], seed), found[:1])
    order = np.random.default_rng(seed).permutation(images[0, ..., 0].size)
    found = permute_pixels(images, order)
    assert sorted_pixels(found) == sorted_pixels(images)
    np.testing.assert_array_equal(permute_pixels(found, np.argsort(order)), images)


def test_the_bytes_are_those_of_the_plain_formulas():
    """The same as of records made before, sorted and summed in faster ways."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (1200, 28, 28, 3), np.uint8)
    keys = np.random.default_rng([7, corruptions._PIXELS]).random(
        (1200, 784), dtype=np.float32
    )
    assert any(len(set(row)) < 784 for row in keys.tolist())  # some are equal
    order = keys.argsort(axis=1, kind="stable")
    flat = images.reshape(1200, 784, 3)
    expected = np.take_along_axis(flat, order[..., None], 1).reshape(images.shape)
    np.testing.assert_array_equal(random_pixels(images, 7), expected)
    noise = np.random.default_rng([7, corruptions._PIXELS]).standard_normal(
        images.shape, dtype=np.float32
    )
    mean, std = (
        getattr(images, name)((0, 1, 2), dtype=np.float64).astype(np.float32)
        for name in ("mean", "std")
    )
    np.testing.assert_array_equal(gaussian_pixels(images, 7), noise * std + mean)


@given(pictures(), SEEDS)
def test_gaussian_pixels_of_any_images(images, seed):
    found = gaussian_pixels(images, seed)
    assert found.dtype == np.float32 and found.shape == images.shape
    assert np.isfinite(found).all()
    constant = images.std((0, 1, 2)) == 0  # a channel without variance stays
    np.testing.assert_array_equal(found[..., constant], images[..., constant])


@given(pictures(1), st.sampled_from(["shuffled", "random", "gaussian"]), SEEDS)
def test_an_image_alone(images, pixels, seed):
    found = corrupt_image(images[0], 3, pixels, seed)
    assert found.shape == images[0].shape
    if pixels == "gaussian":
        assert found.dtype == np.float32 and np.isfinite(found).all()
    else:
        assert sorted_pixels(found[None]) == sorted_pixels(images)


@given(
    st.lists(st.lists(st.integers(1, 50), max_size=8), min_size=1, max_size=6), SEEDS
)
def test_words_of_any_reviews(reviews, seed):
    x = np.array([words + [0] * (8 - len(words)) for words in reviews], np.int32)
    y = np.zeros(len(x), np.int32)
    data = Data("tiny", x, y, x, y, 2, y)
    for words in ("shuffled", "shuffled_each", "unigram"):
        found = corrupt_words(data, words, seed)
        assert found.x_train.dtype == np.int32
        np.testing.assert_array_equal(found.x_train == 0, x == 0)  # padding stays last
        if words != "unigram":
            np.testing.assert_array_equal(np.sort(found.x_train), np.sort(x))
        assert {*found.x_train.flat} <= {*x.flat}
        kept = words != "shuffled"
        assert not kept or found.x_test is x


def test_images_without_channels_are_refused(data):
    flat = data._replace(x_train=data.x_train[..., 0])
    with pytest.raises(ValueError, match=r"shape \(50, 32, 32\)"):
        corrupted(flat, pixels="shuffled")

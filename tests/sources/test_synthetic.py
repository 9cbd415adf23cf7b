"""Examples made by the project: pure functions of seed and index, on any machine."""

import hashlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from common import datasets
from common.sources import synthetic

ROOT = Path(__file__).parents[2]

# Images


def test_synthetic_is_a_pure_function_of_seed_and_index():
    data = datasets.named("synthetic")
    assert data.x_train.shape == (2000, 32, 32, 3) and data.x_train.dtype == np.uint8
    assert data.x_test.shape == (1000, 32, 32, 3) and data.y_test.dtype == np.int32
    assert np.bincount(data.y_train).tolist() == [200] * 10
    assert np.bincount(data.y_test).tolist() == [100] * 10
    images, labels = synthetic.images([1700, 3, 1999])  # alone, in another order
    np.testing.assert_array_equal(images, data.x_train[[1700, 3, 1999]])
    np.testing.assert_array_equal(labels, data.y_train[[1700, 3, 1999]])
    again, _ = synthetic.images(range(150))
    np.testing.assert_array_equal(again, data.x_train[:150])
    assert (synthetic.images([3], seed=1)[0] != images[1]).mean() > 0.9
    unique = {i.tobytes() for i in (*data.x_train, *data.x_test)}
    assert len(unique) == 3000  # no test image is a training image


def test_synthetic_is_the_data_set_that_results_were_measured_on():
    data = datasets.named("synthetic")
    assert hashlib.sha256(
        data.x_train.tobytes() + data.x_test.tobytes()
    ).hexdigest() == (
        "9ab9bf903d99f4563fe1112e9fa2ac84e6ad1bc60598d42ab2546513b1e9a8e2"
    )


def test_synthetic_class_is_not_in_the_mean_colour():
    data = datasets.named("synthetic")
    train, test = data.x_train.mean((1, 2)), data.x_test.mean((1, 2))
    distance = ((test[:, None] - train[None]) ** 2).sum(-1)
    votes = data.y_train[np.argsort(distance, axis=1)[:, :25]]
    guess = [np.bincount(vote, minlength=10).argmax() for vote in votes]
    # Chance is 0.1 with a standard error of 0.0095 on 1,000 test images.
    assert np.mean(guess == data.y_test) < 0.13


# Reviews


def sentiments(words):
    """The sign of every opinion of a review, by the words alone and with negations."""
    plain, turned, negated = [], [], False
    for word in words:
        if 6 <= word < 206:
            plain.append(1 if word >= 106 else -1)
            turned.append(-plain[-1] if negated else plain[-1])
        negated = 2 <= word < 6
    return sum(plain), sum(turned)


def test_the_order_of_words_tells_the_class_and_their_number_does_not():
    words, labels = synthetic.reviews(range(2000))
    plain, turned = np.array([sentiments(row) for row in words]).T
    np.testing.assert_array_equal(turned > 0, labels == 1)
    assert 0.7 < ((plain > 0) == (labels == 1)).mean() < 0.95
    np.testing.assert_array_equal(labels, np.arange(2000) % 2)


def test_made_reviews_are_words_then_padding():
    words, _ = synthetic.reviews(range(2000))
    lengths = (words != 0).sum(1)
    assert ((words != 0) == (np.arange(words.shape[1]) < lengths[:, None])).all()
    assert lengths.min() >= 14 and lengths.max() < synthetic.LENGTH
    counts = Counter(words[words != 0].tolist())
    size = datasets.FACTS["synthetic_text"].vocabulary
    assert sorted(counts) == list(range(2, size))
    negations, opinions = (
        sum(counts[w] for w in r) for r in (range(2, 6), range(6, 206))
    )
    assert abs(negations / opinions - 0.25) < 0.02
    assert len(np.unique(words, axis=0)) == 2000


def test_a_made_review_is_a_function_of_seed_and_index():
    words, _ = synthetic.reviews([5, 3, 1_000_000])
    np.testing.assert_array_equal(words[1], synthetic.reviews([3])[0][0])
    assert (words[1] != synthetic.reviews([3], seed=1)[0][0]).any()
    code = (
        "import hashlib; from common.sources import synthetic;"
        "print(hashlib.sha256(synthetic.reviews(range(50))[0].tobytes()).hexdigest())"
    )
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    here = hashlib.sha256(synthetic.reviews(range(50))[0].tobytes()).hexdigest()
    assert said.stdout.strip() == here


def test_test_examples_are_others():
    assert not {*synthetic.TRAIN} & {*synthetic.TEST}

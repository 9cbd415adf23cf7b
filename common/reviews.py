"""Text data sets as arrays of words: found, downloaded or made, always verified.

A word is an integer, its rank in the vocabulary: 0 is padding, which follows a review
that is shorter than the array, 1 is any word outside the vocabulary. Imports no Keras.
"""

import collections
import itertools
import re

import numpy as np

from common import datasets
from common.cli import UsageError
from common.datasets import UNKNOWN
from common.sources import archives, synthetic
from common.sources.download import official

NAMES = tuple(name for name, facts in datasets.FACTS.items() if facts.kind == "text")


def load(regime, data_dir=None):
    """Loads the reviews of a run, its labels and words not yet corrupted.

    Args:
        regime: `regime.Regime`, whose `dataset`, `train_size` and `data_seed` say
            what `named` is to load.
        data_dir: See `datasets.named`.
    """
    return named(regime.dataset, regime.train_size, regime.data_seed, data_dir)


def named(name, train_size=None, data_seed=0, data_dir=None):
    """Loads a data set of reviews, or a class-balanced part of it.

    IMDB (Maas et al. 2011) is 25,000 reviews to train on and 25,000 to test on, class
    1 where the verdict is good. The words of `words_of`, most frequent in the training
    set first and equally frequent ones in alphabetical order, are the vocabulary,
    whatever the `train_size`.

    Args:
        name: One of `NAMES`.
        train_size, data_seed, data_dir: See `datasets.named`.

    Returns:
        `datasets.Data` with `(n, length)` int32 words.

    Raises:
        UsageError: Unknown name, or a size that the data set does not have.
        MendableError: The files cannot be had, or are not the official ones.
    """
    if name == "synthetic_text":
        arrays = _synthetic_text()
    elif name == "imdb":
        arrays = official(name, datasets.FACTS[name].source, data_dir, _read)
    else:
        raise UsageError(f"unknown data set {name!r}. Expected {', '.join(NAMES)}.")
    data = datasets.Data(
        name, *arrays, datasets.FACTS[name].num_classes, y_train_true=arrays[1]
    )
    return datasets.subset(data, train_size, data_seed)


def words_of(text):
    """Returns the words of a text: lower case, no marks of lines or punctuation.

    A word is a run of letters and digits; an apostrophe inside belongs to it.
    """
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower().replace("<br />", " "))


def vocabulary(reviews, size):
    """Returns dict of word -> integer from 2 to `size - 1`, the most frequent first.

    Args:
        reviews: Iterable of lists of words. Words that occur equally often are in
            alphabetical order.
        size: At most so many integers are used, with those of padding and `UNKNOWN`.
    """
    counts = collections.Counter(itertools.chain.from_iterable(reviews))
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return {word: 2 + i for i, word in enumerate(ranked[: size - 2])}


def encode(reviews, integers, length):
    """Returns the last words of each review, padded: `(num_reviews, length)` int32.

    Args:
        reviews: List of lists of words.
        integers: Dict from `vocabulary`.
        length: Words kept.
    """
    result = np.zeros((len(reviews), length), np.int32)
    for row, review in zip(result, reviews, strict=True):
        kept = [integers.get(word, UNKNOWN) for word in review[-length:]]
        row[: len(kept)] = kept
    return result


def _synthetic_text():
    return *synthetic.reviews(synthetic.TRAIN), *synthetic.reviews(synthetic.TEST)


def _read(path, name, source, remedy):
    """Returns `(x_train, y_train, x_test, y_test)` of IMDB."""
    texts = archives.reviews(path, source, remedy)
    reviews = {folder: list(map(words_of, texts.pop(folder))) for folder in [*texts]}
    train, facts = reviews["train/neg"] + reviews["train/pos"], datasets.FACTS[name]
    integers = vocabulary(train, facts.vocabulary)
    arrays = ()
    for part in ("train", "test"):
        bad, good = reviews[f"{part}/neg"], reviews[f"{part}/pos"]
        labels = np.repeat(np.int32([0, 1]), [len(bad), len(good)])
        arrays += encode(bad + good, integers, *facts.shape), labels
    return arrays

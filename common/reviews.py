"""Text data sets as arrays of words: found, downloaded or made, always verified.

A word is an integer, its rank in the vocabulary: 0 is padding, which follows a review
that is shorter than the array, 1 is any word outside the vocabulary. Imports no Keras.
"""

import collections
import hashlib
import io
import re
import tarfile

import numpy as np
from tqdm import tqdm

from common import datasets
from common.cli import MendableError, UsageError

UNKNOWN = 1  # and 0 is padding
VOCABULARY = {"imdb": 10_000, "synthetic_text": 2206}  # words, with these two
NAMES = tuple(VOCABULARY)
# The last words of a review, where its verdict tends to stand. Three in four reviews
# are longer, but an epoch takes time in proportion to the length, or worse.
LENGTH = 128
SYNTHETIC_LENGTH = 64
SYNTHETIC_TRAIN, SYNTHETIC_TEST = range(2000), range(1_000_000, 1_001_000)

# The archive's md5 is torchtext's; those of the folders are of `_digest`, computed
# from a copy whose 33,132,823 and 32,350,685 bytes of text are, with the 12 that each
# label and offset take, the sizes that Hugging Face's card of the data set gives.
IMDB = datasets.Source(
    url="https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",
    checksum="7c2ac02c03563afcf9b574c7e56c153a",
    archives=("aclImdb_v1.tar.gz",),
    folders=("aclImdb", "aclImdb_v1/aclImdb"),
    files={
        "train/neg": "5de3b9eea2fc19ebb1168c56f933b8db7265cc0e30a0c44a9f639d9472a0f72a",
        "train/pos": "db4392f8f2d7dcf6cfd42e0634225783cd3e8012e145858f5fd1a86efaa6f829",
        "test/neg": "e3700a18c282722cb98b20ed19474ab24f6bcf69470fb712b3e04a31dff7bd2b",
        "test/pos": "785bbf7ad80e7202aa1519874e3d71b0ac84e96fbe6f4a8ef873fa0daeaef108",
    },
    instead="synthetic_text",
)


def load(name, train_size=None, data_seed=0, data_dir=None):
    """Loads a data set of reviews, or a class-balanced part of it.

    IMDB (Maas et al. 2011) is 25,000 reviews to train on and 25,000 to test on, class
    1 where the verdict is good. The words of `words_of`, most frequent in the training
    set first and equally frequent ones in alphabetical order, are the vocabulary,
    whatever the `train_size`.

    Args:
        name: One of `NAMES`.
        train_size, data_seed, data_dir: See `datasets.load`.

    Returns:
        `datasets.Data` with `(n, length)` int32 words.

    Raises:
        UsageError: Unknown name, or a size that the data set does not have.
        MendableError: The files cannot be had, or are not the official ones.
    """
    if name == "synthetic_text":
        arrays = (*synthetic(SYNTHETIC_TRAIN), *synthetic(SYNTHETIC_TEST))
    elif name == "imdb":
        arrays = datasets.official(name, IMDB, data_dir, _read)
    else:
        raise UsageError(f"unknown data set {name!r}. Expected {', '.join(NAMES)}.")
    data = datasets.Data(name, *arrays, num_classes=2, y_train_true=arrays[1])
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
    counts = collections.Counter(word for review in reviews for word in review)
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


def synthetic(indices, seed=0):
    """Draws reviews of a small language, in which the order of words matters.

    A review is 7, 9 or 11 clauses; a clause is one to three of 2,000 neutral words, of
    which the first are frequent, and one of 100 good or 100 bad words, with one of
    four negations before it in a quarter of the clauses, which turns it round. At
    least two thirds of the clauses side with the class, so that counting words tells
    most reviews' class, and only their order tells all.

    Args:
        indices: Sequence of non-negative integers. Review `i` is a pure function of
            `(seed, i)`, and its class is `i % 2`.
        seed: Non-negative integer. `load("synthetic_text")` is always seed 0.

    Returns:
        `(n, SYNTHETIC_LENGTH)` int32 words and `(n,)` int32 labels.
    """
    words = np.zeros((len(indices), SYNTHETIC_LENGTH), np.int32)
    for row, i in zip(words, indices, strict=True):
        drawn = _review(i % 2, np.random.default_rng([seed, i]).random((12, 7)))
        row[: len(drawn)] = drawn
    return words, (np.asarray(indices) % 2).astype(np.int32)


def _review(label, u):
    """The words of a review, made of numbers in [0, 1): one row a clause, and one."""
    negations, opinions, neutral = 2, 6, 206  # the first word of each kind
    count = 7 + 2 * int(3 * u[-1, 0])
    against = int((count // 3 + 1) * u[-1, 1])
    places = set(np.argsort(u[:count, 0], kind="stable")[:against].tolist())
    words = []
    for place, draw in enumerate(u[:count]):
        is_good, negated = label ^ (place in places), draw[1] < 0.25
        fillers = 1 + int(3 * draw[2])
        words += [neutral + int(2000 * d * d) for d in draw[3 : 3 + fillers]]
        words += [negations + int(16 * draw[1])] if negated else []
        words.append(opinions + 100 * (is_good ^ negated) + int(100 * draw[6]))
    return words


def _read(path, name, source, remedy):
    """Returns `(x_train, y_train, x_test, y_test)` of IMDB."""
    texts = {folder: {} for folder in source.files}
    with tqdm(desc=path.name, total=50_000, unit=" reviews", disable=None) as progress:
        for folder, file, content in _files(path, source, remedy):
            texts[folder][file] = content
            progress.update()
    reviews = {}
    for folder, files in texts.items():
        if path.is_dir() and (received := _digest(files)) != source.files[folder]:
            raise MendableError(
                f"{path / folder} is damaged, incomplete or not the official one: "
                f"received {len(files):,} reviews with sha256 {received}, expected "
                f"{source.files[folder]}. {remedy}"
            )
        reviews[folder] = [words_of(files[file].decode()) for file in sorted(files)]
    train = reviews["train/neg"] + reviews["train/pos"]
    integers = vocabulary(train, VOCABULARY[name])
    arrays = ()
    for part in ("train", "test"):
        bad, good = reviews[f"{part}/neg"], reviews[f"{part}/pos"]
        labels = np.repeat(np.int32([0, 1]), [len(bad), len(good)])
        arrays += encode(bad + good, integers, LENGTH), labels
    return arrays


def _files(path, source, remedy):
    """Yields (folder, file name, bytes) of every review."""
    if path.is_dir():
        for folder in source.files:
            for file in (path / folder).glob("*.txt"):
                yield folder, file.name, file.read_bytes()
        return
    archive = io.BytesIO(datasets.verified(path, source.checksum, remedy))
    with tarfile.open(fileobj=archive, mode="r:gz") as tar:
        for member in tar:
            folder, _, file = member.name.rpartition("/")
            folder = folder.removeprefix(f"{source.folders[0]}/")
            if folder in source.files and file.endswith(".txt"):
                yield folder, file, tar.extractfile(member).read()


def _digest(files):
    """The sha256 of the names and contents of some files, in the order of the names."""
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(f"{file} {len(files[file])}\n".encode() + files[file])
    return digest.hexdigest()

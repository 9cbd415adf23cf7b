"""common/reviews.py: what is found is verified, and what is drawn is reproducible."""

import hashlib
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from common import datasets, reviews
from common.cli import MendableError, UsageError

(LENGTH,) = datasets.FACTS["imdb"].shape
ROOT = Path(__file__).parents[1]
HOME = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "datasets"
needs_imdb = pytest.mark.skipif(
    not (HOME / "aclImdb").is_dir(), reason=f"no IMDB in {HOME}"
)

TEXTS = {
    "train/neg": {
        "0_2.txt": "Bad, BAD film!<br /><br />It's the worst.",
        "1_1.txt": "b",
    },
    "train/pos": {"0_9.txt": "A good film. It's the b-side of Zoë's work_shop"},
    "test/neg": {"0_1.txt": "worst new word"},
    "test/pos": {"10_7.txt": "good", "2_10.txt": "film"},
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A small `aclImdb` in a data folder, accepted as official; nothing elsewhere."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    checksums = {}
    for name, files in TEXTS.items():
        (tmp_path / "data/aclImdb" / name).mkdir(parents=True)
        digest = hashlib.sha256()
        for file, text in sorted(files.items()):
            (tmp_path / "data/aclImdb" / name / file).write_text(text, "utf-8")
            content = text.encode()
            digest.update(b"%s %d\n%s" % (file.encode(), len(content), content))
        checksums[name] = digest.hexdigest()
    use(monkeypatch, files=checksums, url=f"file://{tmp_path}/nowhere.tar.gz")
    return tmp_path / "data/aclImdb"


def use(monkeypatch, **fields):
    facts = datasets.FACTS["imdb"]
    facts = facts._replace(source=facts.source._replace(**fields))
    monkeypatch.setitem(datasets.FACTS, "imdb", facts)


def pack(folder, path, monkeypatch):
    """Packs the folder, accepted as the official archive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    (folder / "train/unsup").mkdir()
    (folder / "train/unsup/0_0.txt").write_text("not labelled")
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder, "aclImdb")
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    use(monkeypatch, checksum=checksum, url=f"file://{path}")


def assert_is_texts(data):
    assert data.y_train.tolist() == [0, 0, 1] and data.y_test.tolist() == [0, 1, 1]
    assert data.y_train.dtype == data.x_train.dtype == np.int32
    assert data.x_train.shape == data.x_test.shape == (3, LENGTH)
    assert data.num_classes == 2
    # Four words occur twice, in alphabetical order; then those that occur once.
    expected = ["b", "bad", "film", "it's", "the", "a", "good", "of", "shop", "side"]
    expected += ["work", "worst", "zoë's"]
    word = {2 + i: word for i, word in enumerate(expected)} | {1: "?"}
    assert [[word[i] for i in row if i] for row in data.x_train.tolist()] == [
        ["bad", "bad", "film", "it's", "the", "worst"],
        ["b"],
        "a good film it's the b side of zoë's work shop".split(),
    ]
    assert [[word[i] for i in row if i] for row in data.x_test.tolist()] == [
        ["worst", "?", "?"],  # the vocabulary is the training set's
        ["good"],
        ["film"],
    ]


# IMDB


def test_folder_and_archive_are_read_alike(folder, tmp_path, monkeypatch):
    assert_is_texts(reviews.named("imdb", data_dir=folder.parent))
    pack(folder, tmp_path / "home/datasets/aclImdb_v1.tar.gz", monkeypatch)
    assert_is_texts(reviews.named("imdb"))  # without the folder: from Keras's cache


def test_what_macos_leaves_in_a_folder_is_no_review(folder):
    (folder / "train/neg/._0_2.txt").write_bytes(b"\0\5\x16\7")
    (folder / "train/neg/.DS_Store").write_bytes(b"\0")
    assert_is_texts(reviews.named("imdb", data_dir=folder.parent))


def test_download_is_verified_and_kept(folder, tmp_path, monkeypatch):
    pack(folder, tmp_path / "served.tar.gz", monkeypatch)
    target = tmp_path / "fresh"
    assert_is_texts(reviews.named("imdb", data_dir=target))
    assert [file.name for file in target.iterdir()] == ["aclImdb_v1.tar.gz"]
    use(monkeypatch, checksum="0" * 64)
    with pytest.raises(MendableError, match="not the official file"):
        reviews.named("imdb", data_dir=tmp_path / "other")
    assert not [*(tmp_path / "other").iterdir()]


def test_without_data_the_error_says_what_to_do(folder, tmp_path):
    with pytest.raises(MendableError) as error:
        reviews.named("imdb", data_dir=tmp_path / "empty")
    for hint in ("aclImdb/", "aclImdb_v1.tar.gz", "--dataset synthetic_text"):
        assert hint in str(error.value)


@pytest.mark.parametrize("damage", ["changed", "missing", "added", "renamed", "none"])
def test_a_folder_that_is_not_the_official_one_is_refused(folder, damage):
    file = folder / "test/pos/2_10.txt"
    {
        "changed": lambda: file.write_text("Film"),
        "missing": file.unlink,
        "added": lambda: file.with_name("3_7.txt").write_text("fine"),
        "renamed": lambda: file.rename(file.with_name("3_10.txt")),
        "none": lambda: [file.unlink() for file in (folder / "test/pos").iterdir()],
    }[damage]()
    with pytest.raises(MendableError, match="test/pos is damaged, incomplete or not"):
        reviews.named("imdb", data_dir=folder.parent)


@needs_imdb
def test_real_imdb():
    data = reviews.named("imdb")
    assert data.x_train.shape == data.x_test.shape == (25_000, LENGTH)
    for labels in (data.y_train, data.y_test):  # as the authors say
        assert np.bincount(labels).tolist() == [12_500, 12_500]
    assert data.x_train.max() == datasets.FACTS["imdb"].vocabulary - 1
    counts = np.bincount(data.x_train[data.x_train > 1])[2:]
    assert (np.argsort(-counts, kind="stable")[:3] == [0, 1, 2]).all()  # the, and, a
    # docs/text.md names these: the random label of each is another's with chance 1/2.
    assert len(data.x_train) - len(np.unique(data.x_train, axis=0)) == 104
    # The reviews in file order, by another reading of the same file.
    file = sorted((HOME / "aclImdb/test/pos").iterdir())[7]
    text = file.read_text("utf-8").lower().replace("<br />", " ")
    letters = "".join(c if c.isalnum() or c == "'" else " " for c in text)
    words = [w.strip("'") for w in letters.split() if w.strip("'")]
    row = data.x_test[12_500 + 7]
    assert (row != 0).sum() == min(len(words), LENGTH)
    code = {}  # one word, one integer
    for word, integer in zip(words[-LENGTH:], row, strict=False):
        assert integer == datasets.UNKNOWN or code.setdefault(word, integer) == integer
    assert len(set(code.values())) == len(code) > 20


def test_vocabulary_is_the_most_frequent_words():
    words = [["b", "a", "c"], ["c", "b", "d"], ["c"]]
    assert reviews.vocabulary(words, 5) == {"c": 2, "b": 3, "a": 4}
    assert len(reviews.vocabulary(words, 100)) == 4


def test_encoding_keeps_the_last_words():
    coded = reviews.encode([["a", "b", "c", "x"], ["b"], []], {"b": 3, "c": 7}, 3)
    assert coded.tolist() == [[3, 7, 1], [3, 0, 0], [0, 0, 0]]


def test_train_size_and_unknown_names():
    data = reviews.named("synthetic_text", train_size=100)
    assert np.bincount(data.y_train).tolist() == [50, 50] and len(data.y_test) == 1000
    with pytest.raises(UsageError, match="2000 training examples"):
        reviews.named("synthetic_text", train_size=2001)
    with pytest.raises(UsageError, match="'cifar10'. Expected imdb, synthetic_text"):
        reviews.named("cifar10")


@needs_imdb
def test_training_reviews_that_stand_in_imdbs_own_test_set():
    known = {"train": {}, "test": {}}
    for part, texts in known.items():
        for kind in ("neg", "pos"):
            for path in (HOME / "aclImdb" / part / kind).iterdir():
                texts.setdefault(path.read_bytes(), []).append(kind)
    both = known["train"].keys() & known["test"].keys()
    assert sum(len(known["train"][text]) for text in both) == 123
    assert all({*known["train"][x]} == {*known["test"][x]} for x in both)
    assert "123 training reviews" in (ROOT / "docs/text.md").read_text("utf-8")

"""What is measured of an example, against the sources' own ways and by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

from common.examples import files, measures, scores, summary

REFERENCE = json.loads(
    Path(__file__).with_name("aum_reference.json").read_text(encoding="utf-8")
)


def examples_of(predicted, given, true, classes=3, **more):
    """A `files.Examples` of a small matrix of predictions."""
    predicted, given, true = map(np.array, (predicted, given, true))
    zero = np.zeros(predicted.shape, np.float16)
    arrays = dict.fromkeys(("margin", "probability", "loss", "error_norm"), zero)
    index = np.arange(len(given))
    named = {"index": index, "given": given, "true": true, "predicted": predicted}
    return files.Examples("made up", classes, **named, **arrays | more)


# Definitions.


def test_margin_and_aum_are_those_of_the_authors_package():
    logits, given = np.array(REFERENCE["logits"]), np.array(REFERENCE["given"])
    margin = [measures.measure(x, given, given)["margin"] for x in logits]
    np.testing.assert_allclose(margin, REFERENCE["margin"], rtol=1e-3, atol=1e-3)
    aum = scores.area_under_margin(np.array(REFERENCE["margin"]))
    np.testing.assert_allclose(aum, REFERENCE["aum"], rtol=1e-6, atol=1e-6)
    assert aum.min() < 0 < aum.max()


def test_the_rest_in_plain_loops():
    rng = np.random.default_rng(0)
    logits, classes = 4 * rng.standard_normal((40, 6)), 6
    given, true = rng.integers(classes, size=(2, 40))
    found = measures.measure(logits, given, true)
    for i, z in enumerate(logits):
        p = np.exp(z) / np.exp(z).sum()
        hot = np.eye(classes)[given[i]]
        assert found["predicted"][i] == np.argmax(z)
        assert found["probability"][i] == pytest.approx(p[true[i]], abs=1e-3)
        assert found["loss"][i] == pytest.approx(-np.log(p[given[i]]), rel=1e-3)
        norm = np.linalg.norm(p - hot)
        assert found["error_norm"][i] == pytest.approx(norm, abs=1e-3)
        assert (found["margin"][i] > 0) == (np.argmax(z) == given[i])


def test_large_logits_stay_numbers_and_nan_stays_nan():
    logits = np.array([[1e5, 0.0], [-1e5, 0.0], [np.nan, 0.0]])
    found = measures.measure(logits, np.zeros(3, int), np.ones(3, int))
    largest = float(np.finfo(np.float16).max)  # inf - inf would be no AUM
    assert found["margin"].tolist()[:2] == [largest, -largest]
    assert found["loss"].tolist()[:2] == [0, largest]
    course = np.stack([found["margin"], found["margin"][[1, 0, 2]]])
    assert scores.area_under_margin(course)[1].tolist()[:2] == [0, 0]
    assert found["probability"].tolist()[:2] == [0, 1]
    assert np.isnan(found["loss"][2]) and np.isnan(found["margin"][2])


RIGHT = np.array(  # epochs x examples
    [
        # always, never, from 3 on, forgotten twice, only first, only last
        [1, 0, 0, 1, 1, 0],
        [1, 0, 0, 0, 0, 0],
        [1, 0, 1, 1, 0, 0],
        [1, 0, 1, 0, 0, 0],
        [1, 0, 1, 1, 0, 1],
    ],
    bool,
)


def test_forgetting_and_learning_by_hand():
    nan, inf = np.nan, np.inf
    assert scores.forgetting_events(RIGHT).tolist() == [0, inf, 0, 2, 1, 0]
    np.testing.assert_equal(scores.first_right(RIGHT), [1, nan, 3, 1, 1, 5])
    np.testing.assert_equal(scores.learned(RIGHT), [1, nan, 3, 5, nan, 5])


def test_a_score_knows_nothing_of_later_epochs():
    rng = np.random.default_rng(1)
    kinds = {k: rng.normal(size=(7, 30)).astype(np.float16) for k in measures.KINDS}
    kinds["predicted"] = rng.integers(3, size=(7, 30))
    given = rng.integers(3, size=30)
    whole = examples_of(**kinds, given=given, true=given)
    cut = examples_of(**{k: v[:4] for k, v in kinds.items()}, given=given, true=given)
    for (name, all_), (same, some) in zip(
        scores.suspicions(whole), scores.suspicions(cut), strict=True
    ):
        assert name == same
        np.testing.assert_array_equal(all_[:4], some)
    assert dict(scores.suspicions(whole))["forgetting"][-1].tolist() == (
        scores.forgetting_events(whole.right).tolist()
    )


@pytest.mark.parametrize("ties", [False, True])
def test_auc_and_roc_are_those_of_scikit_learn(ties):
    rng = np.random.default_rng(2)
    score, wrong = rng.normal(size=500), rng.random(500) < 0.3
    score += wrong
    if ties:
        score = np.round(score)
    expected = metrics.roc_auc_score(wrong, score)
    assert scores.auc(score, wrong) == pytest.approx(expected, abs=1e-12)
    curve = metrics.roc_curve(wrong, score, drop_intermediate=False)[:2]
    np.testing.assert_allclose(scores.roc(score, wrong), curve)
    largest = np.where(score == score.max(), np.inf, score)  # never right
    assert scores.auc(largest, wrong) == pytest.approx(expected, abs=1e-12)


# What is said.


def test_early_learning_and_memorization():
    true = np.array([0] * 8 + [1, 2])
    given = np.array([0] * 8 + [2, 0])
    predicted = [[1] * 8 + [1, 0], [0] * 8 + [1, 2], [0] * 8 + [2, 0]]
    loss = np.full((3, 10), 2.0)
    loss[1, 8:], loss[1:, :8], loss[2, 8:] = 5, 0.01, 0.01
    examples = examples_of(predicted, given, true, loss=loss.astype(np.float16))
    course = scores.courses(examples)
    assert course["flipped_true"] == [0.5, 1, 0] and course["flipped_given"][-1] == 1
    assert course["flipped_memorized"] == [0, 0, 1]
    assert course["kept_right"] == [0, 1, 1]
    assert scores.memorization_starts(course, 3) == 2
    assert scores.memorization_starts(course, 1) is None  # no more than chance
    found = {each.score: each for each in scores.find(examples)}
    assert found["loss"].auc == [0.5, 1, 0.5] and found["loss"].best_epoch == 2
    assert found["loss"].precision == 1
    said = summary.verdict(examples, list(found.values()))
    assert said.startswith("2 of 10 given labels (20.0 %) are wrong. loss finds them")
    assert "Memorization starts after epoch 2" in said and "0.0 %" in said


def test_without_a_wrong_label_nothing_is_found_but_the_doubtful():
    given = np.arange(4) % 3
    predicted = [[0, 1, 2, 1], [0, 1, 1, 1]]
    examples = examples_of(predicted, given, given)
    assert scores.find(examples) == []
    said = summary.verdict(examples, [])
    assert said.startswith("Every given label of 4 is the true one. 50.0 %")
    assert "1 are never right" in said
    assert scores.most_predicted(examples, 2).tolist()[:2] == [0, 1]


def test_only_epochs_with_numbers_count():
    loss = np.zeros((3, 4), np.float16)
    loss[2, 1] = np.nan
    examples = examples_of(np.zeros((3, 4), int), [0] * 4, [0] * 4, loss=loss)
    assert scores.finite(examples).predicted.shape == (2, 4)
    loss[0, 0] = np.nan
    with pytest.raises(ValueError, match="from the first epoch"):
        scores.finite(examples)

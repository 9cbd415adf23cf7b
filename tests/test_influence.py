"""Memorization scores and influences, against tables that can be counted by hand."""

import numpy as np
import pandas as pd
import pytest

import influence
from common import command_line, records
from common.theory import influence as theory

FLAGS = (
    "--dataset mnist_5k --train-size 40 --networks 12 --width 8 --epochs 40 "
    "--label-corruption 0.5 --quiet"
).split()
NAME = "influence_mnist_5k_n40_labels0.5_networks12_w8_epochs40_seed0"


def train(initial, x, y, seeds, **settings):
    """In place of `replicas.train`: the nearest class mean of the training set."""
    stops = []
    for i in range(len(y)):
        classes = np.arange(10)[:, None] == y[i]
        means = classes @ x[i] / np.maximum(classes.sum(1, keepdims=True), 1)
        kernel, bias = means.T, -0.5 * np.square(means).sum(1)
        shift = np.float32(1e3)  # so that no unit is off
        weights = [kernel, bias + shift, np.eye(10), np.zeros(10)]
        stops.append([theory.replicas.Stop(7, True, weights)] * 2)
    return stops


@pytest.fixture(scope="module")
def finished(tmp_path_factory, took_long):
    """(folder, record) of a run interrupted in its second part, and continued."""
    path, part, asked = tmp_path_factory.mktemp("influence"), theory.Subsets.part, []

    def interrupted(self, start):
        asked.append(start)
        if asked.count(6) == 1 and start == 6:
            raise KeyboardInterrupt
        return part(self, start)

    flags = [*FLAGS, "--results-dir", str(path), "--models-dir", str(path)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(theory.replicas, "train", train)
        patch.setattr(theory, "AT_ONCE", 6)
        patch.setattr(theory.Subsets, "part", interrupted)
        with pytest.raises(KeyboardInterrupt):
            influence.main(flags)
        took_long(path)
        record = influence.main(flags)
    assert asked == [0, 6, 6]
    return path, record


def test_what_a_run_leaves(finished):
    path, record = finished
    assert record == records.read(path / f"{NAME}.json") and record["name"] == NAME
    assert len(records.read_rows(path / f"{NAME}.csv", record)) == 40
    assert (path / "figures" / f"{NAME}_memorized.png").exists()
    assert record["seconds"] >= 999  # the part before the interruption, too
    table = pd.read_csv(path / f"{NAME}.csv")
    wrong = table[table.label != table.true_label]
    assert 10 < len(wrong) < 30
    assert record["mean_score_mislabelled"] == pytest.approx(wrong.score.mean(), 1e-3)
    # Nobody predicts a replaced label but who was trained on it.
    assert wrong.score.mean() > table.score.mean() > 0
    assert record["mean_score"] == pytest.approx(table.score.mean(), abs=1e-3)
    assert len(record["best"]) == theory.SHOWN
    assert record["best"][0]["score"] == pytest.approx(table.score.max(), abs=1e-4)
    first = record["pairs"][0]
    assert {f"train {first['train']}", f"test {first['test']}"} <= {*record["images"]}


def test_scores_by_hand():
    masks = np.array([[1, 0], [1, 0], [1, 1], [0, 1], [0, 1]], bool)
    right = np.array([[1, 0], [1, 1], [0, 1], [0, 1], [1, 0]], bool)
    score, error, inside, outside = theory.scores(masks, right)
    np.testing.assert_allclose(inside, [2 / 3, 2 / 3])
    np.testing.assert_allclose(outside, [1 / 2, 1 / 2])
    np.testing.assert_allclose(score, [1 / 6, 1 / 6])
    p, q = 2.5 / 4, 1.5 / 3
    expected = np.sqrt(p * (1 - p) / 3 + q * (1 - q) / 2)
    np.testing.assert_allclose(error, expected)
    everywhere = theory.scores(np.ones((3, 1), bool), right[:3, :1])
    assert np.isnan(everywhere[0]).all()


def test_the_standard_errors_are_those_of_repetition():
    """Networks that are made up: an example is predicted at known rates."""
    rng, n, networks = np.random.default_rng(0), 6, 80
    found, errors, means, of_mean = [], [], [], []
    for trial in range(300):
        masks = theory.masks(networks, n, 0.7, trial)
        right = rng.random((networks, n)) < np.where(masks, 0.9, 0.6)
        score, error, *_ = theory.scores(masks, right)
        found.append(score)
        errors.append(error)
        means.append(score.mean())
        if trial < 30:
            of_mean.append(theory.standard_error_of_mean(masks, right))
    assert np.mean(found) == pytest.approx(0.3, abs=0.01)
    assert np.mean(errors) == pytest.approx(np.std(found), rel=0.1)
    assert np.mean(of_mean) == pytest.approx(np.std(means), rel=0.2)


def test_masks_hold_the_share_and_differ():
    masks = theory.masks(9, 10, 0.7, 3)
    assert (masks.sum(1) == 7).all() and len({row.tobytes() for row in masks}) > 7
    np.testing.assert_array_equal(masks[:4], theory.masks(4, 10, 0.7, 3))


def test_the_strongest_influence_is_found():
    masks = theory.masks(200, 5, 0.7, 0)
    right = np.random.default_rng(1).random((200, 4)) < 0.5
    right[:, 2] = masks[:, 3]  # right if and only if trained on example 3
    first, second = theory.strongest(masks, masks, right, 2)
    assert (first["train"], first["test"], first["influence"]) == (3, 2, 1.0)
    # No certainty from a few networks, as of a score.
    half = masks[1::2]
    assert first["standard_error"] == theory.scores(half, half)[1][3] > 0
    assert second["influence"] < 0.4
    never = masks | (np.arange(5) == 3)  # nobody needs to see example 3
    assert all(x["train"] != 3 for x in theory.strongest(masks, never, right, 9))


def test_the_strongest_influences_are_not_too_large_for_being_chosen():
    """Of made-up networks for which no training example matters."""
    values, errors = [], []
    for trial in range(20):
        masks = theory.masks(80, 20, 0.7, trial)
        right = np.random.default_rng(trial).random((80, 50)) < 0.5
        for pair in theory.strongest(masks, masks, right, 6):
            values.append(pair["influence"])
            errors.append(pair["standard_error"])
    assert len(values) == 120
    assert abs(np.mean(values)) < 3 * np.mean(errors) / np.sqrt(len(values))
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.2)


def test_another_seed_gives_every_network_another_order_and_subset(monkeypatch):
    taken = []

    def trained(initial, x, y, seeds, **_):
        taken.append(seeds.tolist())
        return train(initial, x, y, seeds)

    monkeypatch.setattr(theory.replicas, "train", trained)
    masks = []
    for seed in ("0", "1"):
        settings, _ = command_line.parse(
            None, influence.__file__, [*FLAGS, "--seed", seed]
        )
        subsets = theory.Subsets(settings, None)
        subsets.part(0)
        masks.append({row.tobytes() for row in subsets.masks})
    assert not set(taken[0]) & set(taken[1]) and not masks[0] & masks[1]

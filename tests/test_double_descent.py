"""What double_descent.py leaves, and what its networks begin with."""

import numpy as np
import pandas as pd
import pytest

import double_descent
from common import cli, records
from common.report import descent_figures
from common.theory import double_descent as theory

FLAGS = (
    "--dataset mnist_5k --train-size 60 --widths 1 2 --label-corruption 0 0.5 "
    "--epochs 12 --quiet"
).split()
NAME = "double_descent_mnist_5k_n60_labels0-0.5_w1-2_epochs12_seed0"


BEGAN = {}  # what the last training was called with


def train(initial, x, y, seeds, max_epochs, report, look, look_at, **settings):
    """In place of `replicas.train`, which has tests of its own: weights shrink."""
    BEGAN.update(settings, initial=initial, y=y)
    everyone = np.arange(len(y))
    for epoch in look_at:
        report(epoch, 0, 0, None)
        look(epoch, everyone, [w * 0.9**epoch for w in initial])
    ends = [[w[i] * np.float32(0.5) for w in initial] for i in everyone]
    return [[theory.replicas.Stop(max_epochs, False, w)] * 2 for w in ends]


@pytest.fixture(scope="module", autouse=True)
def shrink():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(theory.replicas, "train", train)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """(folder, record, parts) of a run interrupted at its last width, and continued."""
    path, parts = tmp_path_factory.mktemp("descent"), []
    part = theory.Descent.part

    def interrupted(self, width, narrower):
        parts.append((width, narrower))
        if len(parts) == 2:
            raise KeyboardInterrupt
        return part(self, width, narrower)

    # Few weights: the threshold, of 600, would lie below the narrowest network.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(theory.Descent, "part", interrupted)
        patch.setattr(
            theory, "parameters", lambda width, inputs, classes: 500 * width - 100
        )
        flags = [*FLAGS, "--results-dir", str(path), "--models-dir", str(path)]
        with pytest.raises(cli.Interrupted, match="1 finished part is"):
            double_descent.main(flags)
        record = double_descent.main(flags)
    return path, record, parts


def test_record_figures_and_lines(finished):
    path, record, _ = finished
    assert record == records.read(path / f"{NAME}.json") and record["name"] == NAME
    assert record["resumed_at"] == ["1"] and record["threshold"] == 600
    drawn = {p.name for p in (path / "figures").iterdir()}
    assert drawn == {f"{NAME}_{end}.png" for end in descent_figures.CAPTIONS}
    assert not list(path.glob(".checkpoints/*.json"))
    table = pd.read_csv(path / f"{NAME}.csv")
    assert records.read_rows(path / f"{NAME}.csv", record)
    last = table[table["last"]]
    assert (last.epoch == 12).all() and len(last) == 4
    assert last.groupby("width").weights.first().to_dict() == {1: 400, 2: 900}
    # Below the threshold only; the narrowest has no narrower one.
    assert set(last.start) == {"fresh"}
    one = table[(table.width == 2) & (table.noise == 0.5)]
    assert one.epoch.tolist() == [1, 2, 3, 5, 7, 10, 12]
    assert one.test_error.between(0, 1).all() and one.train_loss.iloc[-1] > 0
    assert (
        "600 weights" in record["verdict"] and "50 % of the labels" in record["verdict"]
    )


def test_weights_survive_an_interruption_bit_for_bit(finished):
    _, _, parts = finished
    widths = [width for width, _ in parts]
    assert widths == [1, 2, 2]
    for key, weights in parts[1][1].items():
        for one, other in zip(weights, parts[2][1][key], strict=True):
            np.testing.assert_array_equal(one, other)
    assert [*parts[2][1]] == [(0.0, 0), (0.5, 0)]


@pytest.fixture(scope="module")
def experiment():
    words = "--dataset mnist_5k --train-size 200 --widths 1 2 --epochs 3".split()
    settings, _ = double_descent.command_line.parse("", "double_descent.py", words)
    return theory.Descent(settings, None)


def test_reused_weights_are_those_of_the_narrower_network(experiment):
    kept = theory.unpacked(experiment.part(1, {})["weights"])
    assert [*kept] == [(0.0, 0), (0.2, 0)] and BEGAN["loss"] == "squared_error"
    rows = [row for row in experiment.part(2, kept)["rows"] if row["last"]]
    who = [(0.0, "fresh"), (0.0, "reused"), (0.2, "fresh"), (0.2, "reused")]
    assert [(row["noise"], row["start"]) for row in rows] == who
    for i, (noise, start) in enumerate(who):
        kernel, bias, last, offset = (w[i] for w in BEGAN["initial"])
        narrow = kept[noise, 0]
        same = np.array_equal(kernel[:, :1], narrow[0])
        assert same == (start == "reused")
        if start == "reused":
            np.testing.assert_array_equal(last[:1], narrow[2])
            np.testing.assert_array_equal(offset, narrow[3])
            np.testing.assert_array_equal(bias[:1], narrow[1])
            assert kernel[:, 1].std() == pytest.approx(0.1, rel=0.1)  # new
        else:
            assert abs(kernel).max() <= np.sqrt(6 / 786) and not bias.any()
    true, noisy = BEGAN["y"][0], BEGAN["y"][2]
    assert 0.1 < (true != noisy).mean() < 0.26  # 0.2, a tenth of it by chance the same
    np.testing.assert_array_equal(BEGAN["y"][0], BEGAN["y"][1])


def test_weights_are_counted_as_keras_counts_them():
    from common.models.mlp import mlp

    for width in (1, 7):
        expected = mlp((28, 28, 1), 10, (width,)).count_params()
        assert theory.parameters(width, 784, 10) == expected


def test_the_curve_of_reused_weights_goes_on_with_fresh_ones():
    rows = [
        {"weights": w, "noise": 0.0, "start": start, "seed": seed, "last": True}
        | {"test_error": error + seed, "train_error": 0.0}
        for w, start, error in (
            (10, "fresh", 1), (20, "fresh", 2), (20, "reused", 3), (30, "fresh", 4),
        )
        for seed in (0, 1)
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    table.loc[len(table)] = {**rows[0], "last": False, "test_error": 99}
    found = {
        start: descent_figures.curve(table, 0.0, start) for start in ("fresh", "reused")
    }
    assert found["fresh"]["mean"].to_dict() == {10: 1.5, 20: 2.5, 30: 4.5}
    assert found["reused"]["mean"].to_dict() == {10: 1.5, 20: 3.5, 30: 4.5}
    assert found["reused"]["max"].tolist() == [2, 4, 5]


def test_errors_are_counted_against_the_labels_that_are_given():
    weights = [np.eye(2, dtype=np.float32), np.zeros(2, np.float32)] * 2
    x, y = np.array([[1, 0], [0, 1], [3, 1]], np.float32), np.array([0, 0, 1])
    found = theory._measured("train", weights, x, y)
    assert found["train_error"] == pytest.approx(2 / 3)
    # Half of 0, of (0 - 1)^2 + (1 - 0)^2, and of (3 - 0)^2 + (1 - 1)^2.
    assert found["train_loss"] == pytest.approx((0 + 2 + 9) / 2 / 3)


def test_weights_are_kept_of_the_last_width_alone(tmp_path, monkeypatch):
    part, kept = theory.Descent.part, []

    def interrupted(self, width, narrower):
        if width == 3:
            kept.append(narrower)
            if len(kept) == 1:
                raise KeyboardInterrupt
        return part(self, width, narrower)

    monkeypatch.setattr(theory.Descent, "part", interrupted)
    monkeypatch.setattr(double_descent, "draw", lambda record, csv: [])
    words = "--dataset mnist_5k --train-size 300 --widths 1 2 3 --epochs 1 --quiet"
    flags = [*words.split(), "--results-dir", str(tmp_path)]
    flags += ["--models-dir", str(tmp_path)]
    with pytest.raises(cli.Interrupted, match="2 finished parts"):
        double_descent.main(flags)
    (left,) = tmp_path.glob(".checkpoints/*.json")
    found = records.read_parts(left)
    assert not found["1"]["weights"] and found["2"]["weights"]
    double_descent.main(flags)
    for key, weights in kept[0].items():
        for one, other in zip(weights, kept[1][key], strict=True):
            np.testing.assert_array_equal(one, other)

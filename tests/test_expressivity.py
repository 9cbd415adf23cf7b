"""What expressivity.py leaves, on real digits, and how it is told what to do."""

import sys

import numpy as np
import pandas as pd
import pytest

import expressivity
from common import cli, corruptions, datasets, models, pipelines, records
from common.theory import expressivity as theory
from common.theory import memorization

pytestmark = pytest.mark.usefixtures("sound_files")

FLAGS = (
    "--dataset mnist_5k --sizes 12 24 --depths 2 3 --widths 0 3 --components 3 "
    "--draws 3 --restarts 1 --epochs 300 --quiet"
).split()
PARTS = ("theorem", "rademacher", "memorize")
BOUND = "bound --dataset mnist_5k --sizes 24 --widths 3 --draws 9 --epochs 3"
BOUND = f"{BOUND} --updates 16 --quiet".split()
SETTINGS = "mnist_5k_n12-24_w0-3_d3_draws3_restarts1_epochs300"
NAMES = {
    "theorem": "expressivity_theorem_mnist_5k_n12-24_depths2-3_seed0",
    "rademacher": f"expressivity_rademacher_{SETTINGS}_seed0",
    "memorize": f"expressivity_memorize_{SETTINGS.replace('_n12-24', '')}_seed0",
    "bound": "expressivity_bound_mnist_5k_n24_w3_draws9_epochs3_updates16_seed0",
}
TWO = ("theorem", "memorize")


def folders(path):
    return ["--results-dir", str(path), "--models-dir", str(path / "models")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, took_long):
    """(folder, records) of a run interrupted in its first part, and continued."""
    path, asked = tmp_path_factory.mktemp("expressivity"), []
    row, largest = theory.Theorem.row, memorization.largest

    def interrupted(self, n, depth):
        asked.append((n, depth))
        if asked.count((24, 2)) == 1:
            asked.append((24, 2))
            raise KeyboardInterrupt
        return row(self, n, depth)

    def roughly(holds, guess, limit, tolerance=0.0):
        """By training, which compiles a program for each number that is asked about."""
        return largest(holds, guess, limit, 0.5 if tolerance else 0.0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(theory.Theorem, "row", interrupted)
        patch.setattr(memorization, "largest", roughly)
        flags = [*PARTS, *FLAGS, *folders(path)]
        with pytest.raises(
            cli.Interrupted, match="1 finished part is.*expressivity.py"
        ):
            expressivity.main(flags)
        assert not list(path.glob("*.json"))
        took_long(path)
        result = expressivity.main(flags)
        result |= expressivity.main([*BOUND, *folders(path)])
    assert asked == [(12, 2), (24, 2), (24, 2), (24, 2), (24, 3)]
    return path, result


def table(finished, part):
    return pd.read_csv(finished[0] / f"{NAMES[part]}.csv")


def test_records_figures_and_names(finished):
    path, result = finished
    assert list(result) == list(NAMES)
    for part, name in NAMES.items():
        assert result[part] == records.read(path / f"{name}.json")
        assert result[part]["name"] == name and result[part]["settings"]["seed"] == 0
        assert len(list((path / "figures").glob(f"{name}_*.png"))) == 1
    assert len(result["theorem"]["resumed_at"]) == 1
    assert result["theorem"]["seconds"] >= 999 > result["bound"]["seconds"] > 0
    assert len(list((path / "figures").iterdir())) == len(NAMES)
    assert not list((path / "models/.checkpoints").glob("*.json"))


def test_theorem_lines_and_saved_networks(finished):
    path, result = finished
    lines = table(finished, "theorem")
    assert list(zip(lines.n, lines.depth, strict=True)) == [(12, 2), (24, 2), (24, 3)]
    assert (lines.weights == lines.n * 11 + 28 * 28).all()
    assert lines.width.tolist() == [12, 24, 12 + 20]
    assert (lines.train_accuracy == 1).all() and (lines.max_error < 1e-9).all()
    assert (lines.float32_max_error > lines.max_error).all()
    assert (lines.condition < lines.condition_midway).all()
    assert (lines.test_accuracy < 0.3).all()
    assert "reproduce 100 % of 24 random labels" in result["theorem"]["verdict"]
    data = datasets.named("mnist_5k")
    kept = datasets.balanced_order(data.y_train, 0)[:24]
    labels = corruptions.corrupt_labels(data.y_train[kept], 1.0, 10, 0)
    for stem, trained_on in result["theorem"]["models"].items():
        n = trained_on["train_size"]
        model = models.load(path / f"models/{stem}.h5")
        said = model(pipelines.prepare(data.x_train[kept[:n]])).numpy()
        assert (said.argmax(1) == labels[:n]).all() and (labels != 0).any()


def test_rademacher_lines(finished):
    lines = table(finished, "rademacher")
    kinds = ["linear, bounded norm", "linear", "width 3"]
    assert lines["class"].tolist() == kinds * 2
    assert lines.n.tolist() == [12] * 3 + [24] * 3
    assert (lines.low <= lines.estimate).all() and (lines.high <= 1).all()
    assert (lines.estimate <= lines.high).all() and (lines.gap_bound > 0.8).all()
    closed = lines[lines["class"] == kinds[0]]
    assert (closed.exact_low < closed.exact_high).all()
    assert (closed.estimate < closed.exact_high + 0.2).all()
    trained = lines[lines["class"] != kinds[0]]
    assert (trained.estimate > 0).all() and trained.fitted.between(0, 1).all()
    assert trained.weights.tolist() == [4, 16] * 2


def test_memorize_lines(finished):
    _, result = finished
    linear, wide = table(finished, "memorize").itertuples()
    assert (linear.weights, linear.cover, wide.weights) == (4, 8, 16)
    assert 4 <= linear.largest_n <= 16  # three draws about Cover's 8
    assert wide.largest_n > linear.largest_n
    for row in (linear, wide):
        assert row.refused_n > row.largest_n and row.fitted >= 0.5
        assert row.n_per_weight == pytest.approx(row.largest_n / row.weights)
    assert linear.separable_n >= linear.largest_n and np.isnan(wide.separable_n)
    exact = f"{linear.separable_n:.0f} by linear programming (Cover: 8)"
    assert exact in result["memorize"]["verdict"]


def test_bound_lines(finished):
    lines = table(finished, "bound")
    assert lines.labels.tolist() == ["true"] * 9 + ["random"] * 9
    assert lines.updates.tolist() == [*range(0, 17, 2)] * 2
    assert set(zip(lines.n, lines.width, lines.weights, strict=True)) == {(24, 3, 2359)}
    assert (lines.train_error <= lines.train_error_bound).all()
    assert (lines.train_error_bound <= lines.bound).all() and (lines.bound <= 1).all()
    assert (lines.bound <= lines.pinsker).all()
    first, last = (lines[lines.updates == end].kl.to_numpy() for end in (0, 16))
    assert (last < first).all()
    said = finished[1]["bound"]["verdict"]
    assert "24 examples, 2,359 weights" in said and "0.5" in said


def test_complete_runs_are_not_run_again(finished, monkeypatch, capsys):
    path, result = finished
    monkeypatch.setattr(theory, "EXPERIMENTS", {})
    before = {p: p.read_bytes() for p in (path / "figures").iterdir()}
    again = expressivity.main([*PARTS, *FLAGS, *folders(path)])
    assert again | expressivity.main([*BOUND, *folders(path)]) == result
    assert capsys.readouterr().out.count("is complete; --overwrite") == len(NAMES)
    assert before == {p: p.read_bytes() for p in (path / "figures").iterdir()}


def test_equal_images_with_different_labels_are_one_line_on_stderr(
    tmp_path, monkeypatch, capsys
):
    data = datasets.named("mnist_5k")
    same = data._replace(x_train=np.repeat(data.x_train[:1], len(data.y_train), 0))
    monkeypatch.setattr(datasets, "named", lambda *args, **kwargs: same)
    flags = "theorem --dataset mnist_5k --sizes 9 --depths 2".split()
    words = ["expressivity.py", *flags, *folders(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as exit_:
        cli.run(expressivity.main)
    assert exit_.value.code == 1
    error = capsys.readouterr().err
    assert "are the same input" in error and "Traceback" not in error


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ("", [f"expressivity_{part}_seed0" for part in NAMES]),
        ("memorize theorem --quiet", [f"expressivity_{x}_seed0" for x in TWO]),
        ("theorem --sizes 99 55 99 --seed 3", ["expressivity_theorem_n55-99_seed3"]),
        ("rademacher --widths 4", ["expressivity_rademacher_w4_seed0"]),
        ("rademacher --draws 10 --epochs 9", ["expressivity_rademacher_epochs9_seed0"]),
    ],
)
def test_names_tell_settings_apart(flags, names):
    found = expressivity.parse(flags.split()).values()
    assert [options.name for _, options in found] == names


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ("theorems", "unknown part 'theorems'"),
        ("theorem --widths 4", "does not concern theorem"),
        ("theorem --dataset mnist_5k --sizes 4001", "4000 training examples"),
        ("theorem --dataset mnist_5k --sizes 5 --depths 9", "8 hidden layers"),
        ("rademacher --dataset mnist_5k --sizes 4001", "4000 training examples"),
        ("memorize --dataset mnist_5k --components 784", "images have"),
        ("theorem --dataset cifar11", "unknown data set"),
        ("theorem --sizes 1", "at least 2"),
        ("theorem --depths 1", "at least 2"),
        ("memorize --draws 1", "at least 2"),
        ("bound --train-size 60001", "mnist has 60000"),
        ("bound --widths -1", "at least 0"),
        ("bound --updates 7", "at least 8"),
        ("bound --components 4", "does not concern bound"),
        ("memorize --updates 9", "does not concern memorize"),
        ("memorize --epochs 0", "at least 1"),
        ("memorize --rest 2", "unknown flag"),
    ],
)
def test_wrong_usage(flags, reason, tmp_path, monkeypatch, capsys):
    words = ["expressivity.py", *flags.split(), *folders(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as exit_:
        cli.run(expressivity.main)
    assert exit_.value.code == 2 and reason in capsys.readouterr().err

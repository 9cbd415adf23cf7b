"""imdb_text.py as a user meets it, on the made language."""

import sys
from pathlib import Path

import numpy as np
import pytest

import analyze
import imdb_text
from common import cli, models, records, reviews, verdicts
from common.regime import TEXT_MODELS

pytestmark = pytest.mark.usefixtures("sound_files")

ROOT = Path(__file__).parents[1]
TINY = "--dataset synthetic_text --quiet "


def run(flags, folder):
    record = imdb_text.main(arguments(flags, folder))
    return record, records.paths(record["name"], folder, folder)


def arguments(flags, folder):
    return [*flags.split(), "--results-dir", str(folder), "--models-dir", str(folder)]


@pytest.fixture(scope="module", autouse=True)
def few_to_test_on():
    """A fifth of the reviews that are measured after every epoch, of either class."""
    x, y, x_test, y_test = reviews._synthetic_text()
    with pytest.MonkeyPatch.context() as patch:
        few = x, y, x_test[:200], y_test[:200]
        patch.setattr(reviews, "_synthetic_text", lambda: few)
        yield


@pytest.fixture(scope="module", params=TEXT_MODELS)
def memorized(request, tmp_path_factory):
    """(model, record, paths) of a run on random labels of a few reviews."""
    flags = f"--model {request.param} --train-size 64 --random-labels --epochs 80 "
    flags += "--stop-at 1 --batch-size 16 --lr 0.01"
    return request.param, *run(TINY + flags, tmp_path_factory.mktemp("memorized"))


def test_a_run_leaves_a_record_and_a_model_that_says_the_same(memorized):
    model, record, paths = memorized
    shown = "" if model == "bag" else f"_{model}"
    assert record["name"] == (
        f"imdb_text_synthetic_text{shown}_n64_labels1_lr0.01_batch16_epochs80_stop1_seed0"
    )
    columns = paths.csv.read_text().splitlines()[0].split(",")
    expected = "epoch,learning_rate,loss,accuracy,train_cross_entropy,train_accuracy,"
    expected += "val_cross_entropy,val_accuracy,kept_accuracy,flipped_accuracy,"
    assert ",".join(columns) == expected + "flipped_true_accuracy,measured,seconds"
    assert (record["num_classes"], record["train_examples"]) == (2, 64)
    assert abs(record["realized_label_noise"] - 0.5) < 6 * np.sqrt(0.25 / 64)
    data = reviews.named("synthetic_text")
    # Eagerly: `predict` would trace the network for this once.
    logits = np.array(models.load(paths.model)(data.x_test, training=False))
    predicted = logits.argmax(1)
    accuracy = (predicted == data.y_test).mean()
    assert accuracy == pytest.approx(record["final"]["val_accuracy"], abs=0.002)


def test_random_labels_of_a_few_reviews_are_memorized(memorized):
    _, record, _ = memorized
    assert record["final"]["train_accuracy"] == 1
    assert abs(record["final"]["val_accuracy"] - 0.5) < 0.15
    assert "labels that carry no information" in verdicts.verdict(record)


def test_resumed_it_ends_as_if_never_interrupted(tmp_path, ctrl_c):
    flags = TINY + "--model bag --train-size 100 --batch-size 32 --epochs 4 "
    flags += "--dropout 0.2 --word-dropout 0.3 --words shuffled_each --wd 1e-3 "
    flags += "--label-corruption 0.5"
    _, whole = run(flags, tmp_path / "whole")
    with ctrl_c(2), pytest.raises(cli.Interrupted):
        run(flags, tmp_path / "cut")
    record, paths = run(flags, tmp_path / "cut")
    assert record["resumed_at"] == [2]
    assert abs(record["realized_label_noise"] - 0.25) < 6 * np.sqrt(0.19 / 100)
    lines = [
        [line.rpartition(",")[0] for line in path.read_text().splitlines()]
        for path in (paths.csv, whole.csv)  # without the seconds
    ]
    assert lines[0] == lines[1]
    weights = [models.load(path.model).get_weights() for path in (paths, whole)]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_early_stopping_reports_the_best_epoch(tmp_path):
    flags = "--train-size 200 --random-labels --early-stopping 2 --epochs 30"
    record, _ = run(TINY + flags, tmp_path)
    assert record["stopped_because"] == "early_stopping"
    assert record["train_examples"] == 180
    assert record["final"]["epoch"] == record["epochs"] - 2


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ("--dataset cifar10", "'cifar10'. Expected imdb, synthetic_text"),
        ("--pixels shuffled", "unknown flag --pixels"),
        ("--words random", "invalid choice: 'random'"),
        ("--model mlp", "invalid choice: 'mlp'"),
        ("--dataset synthetic_text --train-size 3000", "2000 training examples"),
    ],
)
def test_wrong_usage(flags, reason, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["imdb_text.py", *arguments(flags, tmp_path)])
    with pytest.raises(SystemExit) as exit_:
        cli.run(imdb_text.main)
    assert exit_.value.code == 2
    assert reason in capsys.readouterr().err.splitlines()[-1]
    assert not [*tmp_path.iterdir()]


def test_the_script_is_one_page():
    lines = (ROOT / "imdb_text.py").read_text().splitlines()
    assert len(lines) <= 80 and max(map(len, lines)) <= 88


def test_analyze_refuses_a_network_that_reads_words(tmp_path):
    _, paths = run(TINY + "--train-size 100 --epochs 1", tmp_path)
    with pytest.raises(cli.MendableError, match="reads words, .* needs images"):
        analyze.main([str(paths.model), "--results-dir", str(tmp_path)])

"""What the lab notebooks find, and put in tables."""

from pathlib import Path

import numpy as np
import pytest

from common import datasets
from common.cli import MendableError
from common.report import lab_runs, published, reading, table_rows

ROOT = Path(__file__).parents[2]
SMALL = "cifar10_mlp.py --dataset mnist_5k --train-size 80"


@pytest.fixture
def trained():
    """The arguments of all trainings, of which none is begun."""
    calls = []

    def main(argv):
        calls.append(" ".join(argv))
        print("NAME is complete; --overwrite runs it again.\n\nMemorized.\nFiles: x  y")
        return {"name": "NAME"}

    return main, calls


def test_a_run_is_kept_in_mine_and_says_only_how_it_ended(trained, capsys):
    main, calls = trained
    assert lab_runs.run(main, f"{SMALL} --random-labels") == {"name": "NAME"}
    kept = "--quiet --results-dir mine --models-dir mine"
    assert calls == [f"--dataset mnist_5k --train-size 80 --random-labels {kept}"]
    assert capsys.readouterr().out == "Memorized.\n"


def test_a_script_says_no_long_names(capsys):
    def main(argv):
        print("\ncifar10_mlp_seed0\nscore  AUC\nloss   0.9\n\nFiles: mine/a mine/b")
        return len(argv)

    assert lab_runs.without_names(main, ["NAME"]) == 1
    assert capsys.readouterr().out == "score  AUC\nloss   0.9\n"


@pytest.mark.parametrize(
    "models, data, found",
    [
        (("", "_labels1"), True, "cifar10_mlp.py"),
        (("",), True, SMALL),
        (("", "_labels1"), False, SMALL),
    ],
)
def test_networks_of_cifar10_come_first(
    models, data, found, trained, tmp_path, monkeypatch
):
    def named(name):
        if not data:
            raise MendableError(f"{name} is not here.")
        return name

    monkeypatch.setattr(datasets, "named", named)
    monkeypatch.chdir(tmp_path)
    Path("results").symlink_to(ROOT / "results")
    Path("saved_models").mkdir()
    for which in models:
        Path(f"saved_models/cifar10_mlp{which}_seed0.h5").touch()
    main, calls = trained
    both = lab_runs.true_and_random(main, SMALL)
    assert [(labels, x.command) for labels, x in both.items()] == [
        ("true labels", found),
        ("random labels", f"{found} --random-labels"),
    ]
    folders = {x.model.parts[0] for x in both.values()}
    assert folders == ({"mine"} if calls else {"saved_models"})
    assert len(calls) == (2 if found == SMALL else 0)
    ours = both["random labels"].record
    assert calls or ours["regime"]["label_corruption"] == 1


@pytest.mark.parametrize("script", ("mlp", "alexnet", "inception"))
def test_the_table_has_ours_beside_the_papers(script, monkeypatch):
    monkeypatch.chdir(ROOT)
    shown = lab_runs.table_1(f"cifar10_{script}.py").astype(str)
    assert all(len(line) <= 80 for line in shown.to_string().splitlines())
    found = table_rows.table_1(reading.load(ROOT / "results"), published.by_run())
    rows = {str(row.fields["row"]): row for row in found}
    assert 5 <= len(shown)
    for number, line in shown.iterrows():
        row = rows[str(number)]
        assert f"cifar10_{script}.py" in row.command
        assert float(line["paper"]) == row.paper["test_accuracy"].value
        ours = row.final("test_accuracy")
        assert line["test %"] == (f"{ours.mean:.2f}" if ours else "")
        assert bool(line["fitted"]) == bool(ours)


def test_a_table_of_runs_says_what_was_not_fitted():
    final = {"train_accuracy": 0.798, "val_accuracy": 0.1131}
    record = {"final": final, "epochs": 60, "epochs_to_fit": None}
    shown = lab_runs.table({"noise": record, "true": record | {"epochs_to_fit": 8}})
    lines = {line.split()[0]: line.split()[1:] for line in str(shown).splitlines()}
    assert lines["noise"] == ["79.8", "11.3", "60", "<NA>"]
    assert lines["true"] == ["79.8", "11.3", "60", "8"]


def test_margins_stand_beside_norms():
    layers = {"true": [{"frobenius": 3.0}, {"frobenius": 4.0}]}
    line = lab_runs.norms_and_margins(layers, {"true": np.array([-1.0, 10.0, 20.0])})
    assert line["true"].tolist() == [5.0, 10.0, -1.0, 2.0]

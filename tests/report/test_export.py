"""Records that travel: as a table, to other tools, and from the folders of a class."""

import importlib.util

import pandas
import pytest

import report
from common import cli, records
from common.report import export, reading
from common.sweep import artefacts


@pytest.fixture
def folder(tmp_path, make_up):
    """Two trainings under two seeds, and an experiment of many parts."""
    for seed in range(2):
        make_up(tmp_path / "r", artefacts.TABLE_1[12], seed, 1.0, 0.75)
    make_up(
        tmp_path / "r", "cifar10_mlp.py --random-labels --batch-size full", fit=None
    )
    make_up(tmp_path / "r", "min_norm.py", verdict="It fits.")
    return tmp_path / "r"


def exported(folder, name, *flags):
    path = folder.parent / name
    report.main(["--results-dir", str(folder), "--export", str(path), *flags])
    return pandas.read_csv(path)


def test_a_line_a_run_with_its_settings_and_final_numbers(folder, capsys):
    exported(folder, "runs.csv")
    assert "Wrote 4 records" in capsys.readouterr().out
    path = folder.parent / "runs.csv"  # as text: pandas takes "true" for a boolean
    table = pandas.read_csv(path, dtype=str, keep_default_na=False).set_index("name")
    found = reading.load(folder)
    assert list(table.index) == list(found)
    for name, run in found.items():
        for group in ("regime", "settings", "final", "best"):
            for key, value in run.record.get(group, {}).items():
                shown = table.loc[name, f"{group}.{key}"]
                if isinstance(value, (list, tuple)):
                    assert shown == " ".join(map(str, value)), key
                elif value is None:
                    assert not shown, key
                elif isinstance(value, (int, float)) and not isinstance(value, bool):
                    assert float(shown) == value, key
                else:
                    assert shown == str(value), key
    assert not table.loc["cifar10_mlp_labels1_batchfull_seed0", "epochs_to_fit"]
    assert table.loc["min_norm_mnist_seed0", "verdict"] == "It fits."
    assert not [name for name in table.columns if name.count(".") > 1]


def test_a_line_an_epoch(folder):
    table = exported(folder, "epochs.csv", "--epochs")
    runs = {name: run for name, run in reading.load(folder).items() if run.history}
    assert len(table) == sum(len(run.history["epoch"]) for run in runs.values())
    for name, run in runs.items():
        ours = table[table.name == name]
        for column, values in run.history.items():
            assert ours[column].tolist() == values
        assert set(ours["regime.seed"]) == {run.record["regime"]["seed"]}


def test_the_numbers_of_committed_records(tmp_path):
    path = tmp_path / "all.csv"
    report.main(["--export", str(path)])
    table = pandas.read_csv(path).set_index("name")
    for name, record in records.read_all("results").items():
        if "final" in record:
            for key, value in record["final"].items():
                assert table.loc[name, f"final.{key}"] == value
        assert name in table.index


def test_a_column_of_numbers_and_texts_is_one_of_texts(folder):
    column = export.frame(reading.load(folder))["regime.batch_size"]
    assert column.dtype == "string" and set(column.dropna()) == {"128", "full"}


@pytest.mark.parametrize(
    "target, package",
    [("x.parquet", "pyarrow"), ("mlflow:x", "mlflow"), ("wandb:x", "wandb")],
)
def test_a_package_that_is_missing_is_named(folder, target, package, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(cli.MendableError, match=f"pip install {package}$"):
        report.main(["--results-dir", str(folder), "--export", target])


def test_what_cannot_be_written_is_one_line(folder):
    path = str(folder / "no" / "runs.csv")
    with pytest.raises(cli.MendableError, match="cannot write .*no/runs.csv"):
        report.main(["--results-dir", str(folder), "--export", path])


# A class.


@pytest.fixture
def school(tmp_path, make_up):
    """Two folders with a run of the same name, and a third run."""
    make_up(tmp_path / "ada", artefacts.TABLE_1[18], 0, 1.0, 0.5)
    make_up(tmp_path / "ben & co", artefacts.TABLE_1[18], 0, 0.9, 0.4, fit=None)
    make_up(tmp_path / "ben & co", artefacts.TABLE_1[19], 0, 1.0, 0.1)
    make_up(tmp_path / "ben & co", "min_norm.py", verdict="It fits.")
    return tmp_path


def test_one_page_of_a_class(school, capsys):
    folders = [str(school / "ada"), str(school / "ben & co")]
    report.main(["--collect", *folders])
    path = school / "collected.html"
    assert str(path) in capsys.readouterr().out
    text = path.read_text("utf-8")
    assert "ben &amp; co/cifar10_" in text and "ben & co/" not in text
    assert text.count('<tr data-run="ada/') == 1
    assert text.count('<tr data-run="ben &amp; co/') == 2
    assert ">folder<" in text and "It fits." in text
    assert 'href="ada/cifar10_mlp_seed0.json"' in text
    assert "live.html" not in text
    # As a shell gives it: the page, too.
    everything = sorted(map(str, school.glob("*")))
    assert str(path) in everything
    report.main(["--collect", *everything])
    assert path.read_text("utf-8") == text


def test_a_class_is_exported_with_its_folders(school):
    folders = [str(school / "ada"), str(school / "ben & co")]
    path = school / "class.csv"
    report.main(["--collect", *folders, "--export", str(path)])
    table = pandas.read_csv(path)
    assert table.columns[0] == "folder"
    assert table.folder.value_counts().to_dict() == {"ada": 1, "ben & co": 3}
    assert table.name.tolist().count("cifar10_mlp_seed0") == 2


def test_folders_of_one_name_are_told_apart(school, make_up):
    for pupil in ("cy", "di"):
        make_up(school / pupil / "mine", artefacts.TABLE_1[18])
    _, runs = reading.collect([school / "cy" / "mine", school / "di" / "mine"])
    assert [name.rpartition("/")[0] for name in runs] == ["cy/mine", "di/mine"]


def test_a_folder_that_is_not_there(school):
    with pytest.raises(cli.MendableError, match="there is no such folder"):
        report.main(["--collect", str(school / "ada"), str(school / "nobody")])
    (school / "notes.txt").touch()
    with pytest.raises(cli.MendableError, match=r"notes\.txt: there is no such folder"):
        report.main(["--collect", str(school / "notes.txt")])

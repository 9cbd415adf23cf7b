"""Tables are redrawn from records alone, and README shows what they say."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

import report
from common.regime import parse

ROOT = Path(__file__).parents[1]


@pytest.fixture
def no_change_to_readme(monkeypatch, tmp_path):
    """A copy of README that a redraw may write to."""
    readme = tmp_path / "README.md"
    readme.write_text((ROOT / "README.md").read_text())
    return readme


def test_readme_and_results_show_the_records(tmp_path, no_change_to_readme):
    table = report.table_1(ROOT / "results")
    assert table in (ROOT / "results" / "README.md").read_text()
    report.refresh_readme(table, no_change_to_readme)
    assert no_change_to_readme.read_text() == (ROOT / "README.md").read_text()


def test_every_run_of_the_table_is_the_one_its_command_makes():
    defaults = {
        "cifar10_mlp": dict(hidden=(512,), epochs=100),
        "cifar10_alexnet": {},
        "cifar10_inception": dict(lr=0.1, batch_norm=True),
    }
    for row, (command, _) in report.TABLE_1.items():
        script, *flags = command.split()
        stem = script.removesuffix(".py")
        _, options = parse("", script, flags, **defaults[stem])
        assert report.run_name(row) == options.name


def test_the_paper_values_are_nineteen_rows_of_two():
    with open(ROOT / "common" / "paper.csv", newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["artefact"] == "table_1"]
    assert len(lines) == 2 * len(report.TABLE_1) == 38
    # Printed in the abstract's own words: AlexNet on random labels, row 13.
    thirteen = {x["metric"]: float(x["value"]) for x in lines if x["row"] == "13"}
    assert thirteen == {"train_accuracy": 99.82, "test_accuracy": 9.86}


def test_a_row_without_a_record_reads_not_yet_run(tmp_path):
    lines = report.table_1(tmp_path).splitlines()[2:]
    assert len(lines) == 19
    assert all(line.count("not yet run") == 2 for line in lines)


def test_numbers_come_from_the_record(tmp_path):
    record = {
        "final": {"train_accuracy": 0.98765, "val_accuracy": 0.1234},
        "epochs_to_fit": None,
        "epochs": 50,
    }
    (tmp_path / f"{report.run_name(13)}.json").write_text(json.dumps(record))
    line = report.table_1(tmp_path).splitlines()[2 + 12]
    assert "**98.77** (99.82)" in line or "**98.76** (99.82)" in line
    assert "**12.34** (9.86)" in line
    assert "> 50" in line  # censored, not imputed


def test_redrawing_changes_no_byte_and_imports_no_keras(tmp_path):
    code = (
        "import sys, report; report.main(['--results-dir', sys.argv[1]]); "
        "assert not {'keras', 'tensorflow'} & set(sys.modules)"
    )
    pictures = []
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT, check=True)
        pictures.append((tmp_path / "figures" / "memorization.png").read_bytes())
    assert pictures[0] == pictures[1]

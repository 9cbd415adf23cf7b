"""What the benchmark makes of its turns, and when it refuses to take them."""

import csv
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from common.cli import MendableError

FOLDER = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(FOLDER))
import bench  # noqa: E402
import cutoff  # noqa: E402
import ours  # noqa: E402
import standings  # noqa: E402

sys.path.remove(str(FOLDER))

# (count, wall, CPU seconds, cores that others used) of two rounds: the machine is
# half as fast in the second.
TURNS = {
    ("train", "ours"): [(600, 1.0, 1.0, 0.0), (600, 2.0, 2.0, 0.0)],
    ("measure", "ours"): [(600, 0.5, 0.5, 0.0), (600, 1.0, 1.0, 0.0)],
    ("train", "Keras"): [(600, 2.0, 4.0, 0.0), (600, 4.0, 8.0, 0.0)],
    ("measure", "Keras"): [(600, 0.5, 1.0, 0.0), (600, 1.0, 2.0, 0.9)],
}


@pytest.fixture
def table(tmp_path):
    result = standings.Table(tmp_path, quick=False)
    facts = {"ours": {"precision": "float32", "multiply_adds": 10, "measured": 2_500}}
    missing = {"PyTorch bfloat16": "this machine has no bfloat16"}
    result.add("mlp_1x512", "images", TURNS, missing, facts | {"Keras": {}})
    return result


@pytest.mark.parametrize(("rcond", "kept"), [(0, 30), (0.01, 29), (0.3, 19)])
def test_what_is_cut_off_is_what_numpy_leaves_out(rcond, kept):
    rng = np.random.default_rng(5)
    f, y = rng.standard_normal((30, 30)), rng.standard_normal((30, 2))
    squares, vectors = cutoff.decomposition(f)
    found, alpha = cutoff.solution(squares, vectors, vectors.T @ y, rcond)
    expected, _, rank, _ = np.linalg.lstsq(f, y, rcond)
    assert found == (rank if rcond else 30) == kept
    np.testing.assert_allclose(f.T @ alpha, expected, rtol=1e-6, atol=1e-9)
    norms = np.linalg.norm(expected), np.linalg.norm(f.T @ alpha)
    assert norms[0] == pytest.approx(norms[1])


def test_the_cut_off_of_the_published_norm_gives_at_most_that_norm():
    squares, parts = np.array([4.0, 1.0, 1e-10]), np.ones((3, 1))
    found = dict(cutoff.cutoffs(3, squares, parts, 1.0))
    kept, alpha = cutoff.solution(squares, np.eye(3), parts, found["published norm"])
    assert kept == 2 and np.sqrt((squares * alpha[:, 0] ** 2).sum()) < cutoff.PUBLISHED
    assert found["numpy.linalg.lstsq in float64"] == 3 * 2**-52


def test_the_loop_of_mnist_l2norm_is_made_as_the_engine_makes_it():
    found = ours.contender("l2norm", {}, "auto")
    assert list(found) == ["n=128", "n=256", "n=512", "n=1024"]


def row(table, kind, name):
    (found,) = [
        r for r in table.rows if (r.get("kind"), r["contender"]) == (kind, name)
    ]
    return found


def test_the_ratio_is_taken_within_a_round(table):
    found = row(table, "train", "Keras")
    assert (found["ratio"], found["ratio_min"], found["ratio_max"]) == ("4.00",) * 3
    assert found["ratio_wall"] == "2.00"
    assert float(found["per_cpu_second_max"]) == 150


def test_an_epoch_is_what_is_trained_and_what_each_has_to_measure(table):
    ours = 50_000 / 600 + 12_500 / 1200  # CPU seconds, first round
    keras = 50_000 / 150 + 60_000 / 600
    found = row(table, "epoch", "Keras")
    assert float(found["ratio"]) == pytest.approx(keras / ours, abs=0.005)


def test_the_csv_names_what_is_missing_and_the_figure_is_drawn(table, tmp_path):
    table.write()
    with open(tmp_path / "results.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    (missing,) = [r for r in rows if r["note"]]
    assert missing["contender"] == "PyTorch bfloat16" and "no bfloat16" in str(missing)
    assert "Keras" in (tmp_path / "results.svg").read_text("utf-8")
    again = standings.Table(tmp_path, quick=False)  # a line measured again is replaced
    again.add("mlp_1x512", "images", TURNS, {}, {"ours": {}, "Keras": {}})
    assert len(again.rows) == len(rows) - 1


def test_verdicts_say_met_missed_loaded_or_not_measured(table, capsys):
    said = "\n".join(table.verdicts())
    assert "mlp_1x512 train" in said and "4.00x against Keras" in said
    assert ": met" in said and "MISSED" not in said
    table.rows = [r for r in table.rows if r["contender"] != "Keras"]
    assert "not measured" in "\n".join(table.verdicts())
    table.show()
    assert "no bfloat16" in capsys.readouterr().out


def test_every_aim_is_about_a_line_that_is_measured():
    with open(FOLDER / "aims.csv", encoding="utf-8") as file:
        aims = list(csv.DictReader(file))
    assert {aim["line"] for aim in aims} <= set(bench.LINES)
    assert {aim["by"] for aim in aims} == {"cpu", "wall", "seconds"}
    for line in ("mlp_1x512", "alexnet", "inception", "wide_resnet", "text_lstm"):
        assert [aim for aim in aims if aim["line"] == line and aim["against"] == "all"]


def test_a_loaded_machine_is_refused_but_for_loaded(monkeypatch):
    clock = iter([0.0, 3.0, 3.0, 6.0])
    monkeypatch.setattr(bench, "busy_seconds", lambda: next(clock))
    monkeypatch.setattr(bench, "cpu_seconds", lambda: 0.0)
    monkeypatch.setattr(bench.time, "sleep", lambda seconds: None)
    seconds = iter([0.0, 3.0, 0.0, 3.0])
    monkeypatch.setattr(bench.time, "perf_counter", lambda: next(seconds))
    with pytest.raises(MendableError, match="other processes use 1.0 of"):
        bench.require_quiet(allowed=False)
    assert bench.require_quiet(allowed=True) == 1.0


PEERS = ("PyTorch", "PyTorch bfloat16", "PyTorch compiled")


@pytest.mark.parametrize(
    ("folder", "heading", "peers"),
    [
        (".", "### With bfloat16", PEERS),
        ("without_bfloat16", "### Without bfloat16", PEERS[::2]),
    ],
)
def test_the_page_says_what_the_results_say(folder, heading, peers):
    with open(FOLDER / folder / "results.csv", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    rows = {(r["line"], r["kind"], r["contender"]): r for r in found}
    text = (FOLDER / "README.md").read_text("utf-8").split(heading)[1]
    text = re.split("^##", text, flags=re.MULTILINE)[0]
    lines = re.findall(r"^\| (\w+), (train|epoch) \| (.*) \|$", text, re.MULTILINE)
    assert len(lines) == 18
    for line, kind, cells in lines:
        keras, *others = (rows[line, kind, name] for name in ("Keras", *peers))
        ratios = [keras["ratio"], keras["ratio_wall"], *(r["ratio"] for r in others)]
        rate = f"{float(rows[line, kind, 'ours']['per_cpu_second']):,.0f}"
        assert cells.split(" | ") == [rate, *ratios], line
    roofline = re.findall(r"^\| (\w+) \| [\d.]+ million \| (.*) \|$", text, re.M)
    peaks = {}
    for row in found:
        if row["line"] == "peak":
            precision, rate = row["kind"].split()[-1], float(row["per_cpu_second"])
            peaks[precision] = max(rate, peaks.get(precision, 0))
    assert len(roofline) > 4
    for line, cells in roofline:
        expected = []
        for name in ("ours", "ours float32"):
            if row := rows.get((line, "train", name)):
                rate = float(row["multiply_adds"]) * float(row["per_cpu_second"]) * 2e-9
                share = 100 * rate / peaks[row["precision"]]
                expected += [f"{rate:.0f}", f"{share:.0f} %"]
        assert cells.split(" | ") == expected, line

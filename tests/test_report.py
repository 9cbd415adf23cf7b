"""Tables are redrawn from records alone, and README shows what they say."""

import base64
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from markupsafe import escape
from matplotlib.figure import Figure
from PIL import Image

import report
from common import augmentations, cli, records
from common.report import (
    cells,
    charts,
    corruption_figures,
    kept,
    levels,
    markdown,
    pictures,
    published,
    reading,
    stats,
    style,
    table_rows,
    tables,
)
from common.report.stats import Stat
from common.sweep import artefacts, commands

ROOT = Path(__file__).parents[1]
ALEXNET = "cifar10_alexnet.py"
INCEPTION = "cifar10_inception.py"
ROW_13 = artefacts.TABLE_1[13]
PRINTED = (  # Zhang et al. (2017), Table 1: training and test accuracy in %
    (100.0, 89.05),
    (100.0, 89.31),
    (100.0, 86.03),
    (100.0, 85.75),
    (100.0, 9.78),
    (100.0, 83.00),
    (100.0, 82.00),
    (100.0, 10.12),
    (99.90, 81.22),
    (99.82, 79.66),
    (100.0, 77.36),
    (100.0, 76.07),
    (99.82, 9.86),
    (100.0, 53.35),
    (100.0, 52.39),
    (100.0, 10.48),
    (99.80, 50.39),
    (100.0, 50.51),
    (99.34, 10.61),
)


def table_1(folder):
    """Table 1's rows by number, from the records of a folder."""
    rows = table_rows.table_1(reading.load(folder), published.by_run())
    return {row.fields["row"]: row for row in rows}


def rows_of(name, folder):
    """The rows of an artefact, from the records of a folder."""
    artefact = artefacts.ARTEFACTS[name]
    return table_rows.of(artefact, reading.load(folder), published.by_run())


def pages(folder):
    """Draws everything of a folder; returns the page and README of it."""
    report.main(["--results-dir", str(folder)])
    return [(folder / name).read_text() for name in ("report.html", "README.md")]


@pytest.fixture
def drawn_pictures(monkeypatch, tmp_path_factory):
    """Figures are drawn, and none that was kept is read."""
    monkeypatch.setattr(kept, "FOLDER", tmp_path_factory.mktemp("kept"))


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch, request):
    """Figures are composed and not drawn, but where a test asks for `drawn_pictures`.

    Those of our records are drawn for `redrawn`, others by the tests of each figure.
    """
    if "drawn_pictures" in request.fixturenames:
        return
    png = io.BytesIO()
    svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"/>'
    Image.new("RGB", (9, 9)).save(png, "png")

    def draw(sketch, stem):
        points = [(0.0, 0.0, text) for *_, text in sketch.points]
        return style.Drawn(stem, sketch.caption, svg, points, png.getvalue())

    monkeypatch.setattr(style.Sketch, "draw", draw)
    monkeypatch.setattr(kept, "FOLDER", Path("nowhere/kept"))


@pytest.fixture(scope="module")
def redrawn(tmp_path_factory):
    """A copy of results/, drawn again as the project's own folder."""
    root = tmp_path_factory.mktemp("root")
    folder = root / "results"
    shutil.copytree(ROOT / "results", folder)
    shutil.copy(ROOT / "README.md", root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "ROOT", root)
        patch.setattr(kept, "FOLDER", root / "kept")
        patch.setattr(pictures, "_encoded", lambda png: (1, b""))
        report.main(["--results-dir", str(folder)])
    return folder


def test_readme_and_results_show_the_records(redrawn, tmp_path):
    committed = (ROOT / "results" / "README.md").read_text()
    assert (redrawn / "README.md").read_text() == committed
    readme = tmp_path / "README.md"
    shutil.copy(ROOT / "README.md", readme)
    markdown.refresh_readme(markdown.short_table_1(table_1(redrawn).values()), readme)
    assert readme.read_text() == (ROOT / "README.md").read_text()


def test_the_page_shows_the_records(redrawn):
    """Its tables; the figures' bytes depend on the version of matplotlib."""
    find = re.compile(r"<table>.*?</table>", re.DOTALL)
    committed = find.findall((ROOT / "results" / "report.html").read_text())
    assert len(committed) >= 2
    assert find.findall((redrawn / "report.html").read_text()) == committed


def test_the_paper_values_are_nineteen_rows_of_two(tmp_path):
    lines = [line for line, _ in published.of("table_1")]
    accuracies = [x for x in lines if x["metric"].endswith("accuracy")]
    assert len(accuracies) == 2 * len(artefacts.TABLE_1) == 38
    rows = table_1(tmp_path).values()
    for row, accuracies in zip(rows, PRINTED, strict=True):
        found = [row.paper[f"{part}_accuracy"] for part in ("train", "test")]
        assert found == [(value, "printed") for value in accuracies]


def values(artefact, metric):
    """The paper's values of a metric, by model and setting."""
    return {
        (line["model"], line["setting"]): value.value
        for line, value in published.of(artefact)
        if line["metric"] == metric and value.certainty != "replication"
    }


def test_what_is_read_from_the_figures_is_what_their_curves_say():
    curves = published.curves()
    for threshold in (0.5, 0.1, 0.05, 0.01):
        said = values("figure_1a", f"epochs_to_loss_{threshold:g}")
        for kind, points in curves["1a"].items():
            first = next(x for x, y in points if y < threshold)
            assert said["Inception", kind] == pytest.approx(first), kind
        # An epoch of 391 steps, as of batches of 128.
        assert [x for x, _ in points[:-1]] == pytest.approx(range(1, 69))
    (batch,) = values("all", "batch_size").values()
    assert -(-50_000 // batch) == published.STEPS
    epochs = values("figure_1b", "epochs_to_overfit")
    for model, points in curves["1b"].items():
        first, last = epochs[model, "p = 0"], epochs[model, "p = 1"]
        assert points[-1] == (1, pytest.approx(last / first, abs=1e-5))
        factor = values("figure_1b", "relative_time")[model, "p = 1"]
        assert factor == round(last / first, 2)
        whole = [first * y for _, y in points]  # every one is a number of epochs
        assert whole == pytest.approx([*map(round, whole)], abs=1e-3)
    for model in ("Inception", "Inception without BatchNorm"):
        test = [100 * y for _, y in curves["2b"][f"test {model}"]]
        assert values("figure_2b", "best_test_accuracy")[model, ""] == max(test)
        assert values("figure_2b", "test_accuracy")[model, ""] == test[-1]
        train = curves["2b"][f"train {model}"]
        first = next(x for x, y in train if y >= 0.99)
        fit = values("figure_2b", "epochs_to_fit")[model, ""]
        assert fit - 1 < first <= fit + 1e-3


def test_nothing_is_recalled():
    assert list(published.CERTAINTY) == (
        "printed companion figure arithmetic inferred replication related".split()
    )
    for panel, count in {"1b": 3, "1c": 3}.items():
        points = published.curves()[panel]
        levels_ = [[p for p, _ in points[model]] for model in points]
        assert levels_ == [[i / 10 for i in range(11)]] * count


def test_commands_of_table_1_are_the_papers_rows(tmp_path):
    scripts = {
        "Inception": INCEPTION,
        "Inception without BatchNorm": f"{INCEPTION} --no-batch-norm",
        "AlexNet": ALEXNET,
        "MLP 3x512": "cifar10_mlp.py --hidden 512 512 512",
        "MLP 1x512": "cifar10_mlp.py",
    }
    for row in table_1(tmp_path).values():
        words = [scripts[row.fields["model"]]]
        words += ["--random-crop"] * (row.fields["crop"] == "yes")
        decay = "1e-4" if "MLP" in row.fields["model"] else "5e-4"
        words += [f"--wd {decay}"] * (row.fields["weight decay"] == "yes")
        words += ["--random-labels"] * (row.fields["labels"] == "random")
        assert row.command == f"python {' '.join(words)}"


def test_our_networks_have_the_papers_weights():
    counts = {}
    for row in table_1(ROOT / "results").values():
        if "parameters" in row.paper:
            counts[row.fields["model"]] = row.paper["parameters"].value
        for run in row.runs:
            assert run.record["parameters"] == counts[row.fields["model"]]
    assert list(counts.values()) == [1649402, 1649402, 1387786, 1735178, 1209866]


def test_every_value_of_the_paper_is_on_the_page_with_its_certainty(tmp_path, make_up):
    make_up(tmp_path, ROW_13)
    make_up(tmp_path, "cifar10_mlp.py --random-labels --wd 1e-4")
    text, _ = pages(tmp_path)
    lines = published.lines()
    assert {x["certainty"] for x in lines} == set(published.CERTAINTY)
    for line in lines:
        if line["artefact"] == "table_1" and line["metric"] == "parameters":
            continue  # of the network, not of a run
        value, sure = line["value"], line["certainty"]
        if line["artefact"] in ("table_1", "random_label_regularizers"):
            number = value.replace(".", "", 1).isdigit()
            shown = f"{float(value):.2f}" if number else value
            sure += ", online" * (line["metric"] == "online_accuracy")
            assert f"{shown} <small>{sure}</small>" in text, line
        else:
            found = re.search(
                rf">{re.escape(value)}(?:</span>)?</td><td><span>{re.escape(line['unit'])}"
                rf"</span></td><td><span>{re.escape(escape(published.CERTAINTY[sure]))}<",
                text,
            )
            assert found, line


def test_a_row_without_a_record_reads_not_yet_run(tmp_path, make_up):
    lines = markdown.table_1(table_1(tmp_path).values()).splitlines()[2:]
    assert len(lines) == 19
    assert all(line.count("not yet run") == 2 for line in lines)
    make_up(tmp_path, ROW_13)
    text, readme = pages(tmp_path)
    # Two measured cells and the verdict, of the 18 other rows.
    section = text[text.index('<section id="table_1">') :]
    table = re.search(r"<table>.*?</table>", section, re.DOTALL)[0]
    assert table.count("not yet run") == 3 * 18
    (section,) = re.findall(r"## Table 1:.*?\n## ", readme, re.DOTALL)
    assert section.count("not yet run (") == 2 * 18


def test_artefacts_without_a_record_are_one_line(tmp_path, make_up):
    make_up(tmp_path, "cifar10_mlp.py --dataset mnist_5k --epochs 30")
    text, readme = pages(tmp_path)
    assert '<section id="demo">' in text and '<section id="table_1">' not in text
    absent = set(artefacts.ARTEFACTS) - {"demo"}
    assert all(f"<code>{name}</code>" in text for name in absent)
    assert f"<code>python reproduce.py NAME --results-dir {tmp_path}</code>" in text
    # All runs, the demo's, and the paper's other numbers.
    assert text.count("<table>") == 3
    assert all(f"`{name}`" in readme.splitlines()[-1] for name in absent)


def test_mean_range_and_difference_by_hand(tmp_path, make_up):
    for seed, (train, test) in enumerate([(0.999, 0.10), (1.0, 0.11), (0.998, 0.0909)]):
        make_up(tmp_path, ROW_13, seed, train, test, fit=3 + seed)
    row = table_1(tmp_path)[13]
    assert len(row.runs) == 3
    assert row.final("test_accuracy") == pytest.approx((10.03, 9.09, 11.0, 3))
    assert row.difference("test_accuracy") == 0.17  # 10.03 - 9.86
    assert row.difference("train_accuracy") == 0.08  # 99.9 - 99.82
    assert table_rows.verdict(row) == "within"
    assert table_rows.epochs_to_fit(row) == "4.0 (3–5)"
    line = markdown.table_1([row]).splitlines()[2]
    assert "**99.90 (99.80–100.00)** (99.82)" in line
    assert "**10.03 (9.09–11.00)** (9.86)" in line
    assert "| epoch 4.0 (3–5) | 3 |" in line


def test_a_single_seed_shows_its_number_without_a_range(tmp_path, make_up):
    make_up(tmp_path, ROW_13, train=0.9876, test=0.1234)
    line = markdown.table_1([table_1(tmp_path)[13]]).splitlines()[2]
    assert "**98.76** (99.82)" in line and "**12.34** (9.86)" in line


@pytest.mark.parametrize(
    ("seeds", "interval", "verdict"),
    [  # the paper: 9.86 % of 10,000, a standard error of 0.298 points; ours the like
        ([0.0986], 0.84, "within"),
        ([0.1071], 0.86, "within"),
        ([0.1076], 0.86, "outside"),
        ([0.0900], 0.83, "outside"),
        # Seeds 0.8 points apart have s = 0.4: + 4/3 s².
        ([0.1006, 0.1046, 0.1086], 1.26, "within"),
        ([0.0886, 0.0986, 0.1086], 1.5, "within"),  # 2.46, were it not for TOLERANCE
        ([0.1041, 0.1141, 0.1241], 1.5, "outside"),
    ],
)
def test_within_rests_on_test_images_and_seeds(
    tmp_path, make_up, seeds, interval, verdict
):
    for seed, test in enumerate(seeds):
        make_up(tmp_path, ROW_13, seed, train=0.9982, test=test)
    row = table_1(tmp_path)[13]
    assert row.interval() == pytest.approx(interval, abs=0.006)
    assert table_rows.verdict(row) == verdict
    assert f"| {verdict} ±{interval:.2f} |" in markdown.table_1([row])


def test_the_standard_error_of_a_test_accuracy():
    assert stats.two_errors(76, 76, 10_000) / 2**1.5 == pytest.approx(0.43, abs=0.003)


def test_errors_of_one_percent_are_told_apart():
    """0.42 and 0.6 % of 10,000 are as near as chance puts them; 0.3 and 0.6 are not."""
    assert stats.two_errors(0.42, 0.6, 10_000) == pytest.approx(0.2)
    assert stats.two_errors(0.3, 0.6, 10_000) < 0.2


def test_both_accuracies_count_for_the_verdict(tmp_path, make_up):
    make_up(tmp_path, artefacts.TABLE_1[12], train=0.99, test=0.7607)
    assert table_rows.verdict(table_1(tmp_path)[12]) == "within"  # 99.0 of 100.0
    make_up(tmp_path, artefacts.TABLE_1[12], train=0.99, test=0.7807)
    assert table_rows.verdict(table_1(tmp_path)[12]) == "outside"
    # On ImageNet the paper's network reproduces 92.18 % and scores 77.84 %.
    for train, expected in ((0.94, "outside"), (0.93, "within"), (0.9, "outside")):
        make_up(tmp_path, artefacts.TABLE_2[1], 0, train, 0.78, fit=None)
        assert table_rows.verdict(rows_of("table_2", tmp_path)[0]) == expected


def test_the_papers_words_stand_beside_the_number(tmp_path, make_up):
    make_up(tmp_path, f"{ROW_13} --wd 5e-4", train=0.5, fit=None)
    _, readme = pages(tmp_path)
    assert "**50.00** (paper: failed to converge)" in readme


def test_augmented_rows_compare_the_accuracy_of_the_batches(tmp_path, make_up):
    """Table 4's last two rows are what training itself saw, on augmented images."""
    rows = {tuple(r.fields.values()): r for r in rows_of(TABLE_4, tmp_path)}
    command = rows["Inception", "augmentation"].command.removeprefix("python ")
    regime, _ = commands.parse(command)
    assert regime.augment == ("flip", "rotate") and regime.lr_decay == 0.999
    assert np.rad2deg(augmentations.MAX_ANGLE) == pytest.approx(25)
    name = make_up(tmp_path, command, train=1.0, test=0.1)
    path = tmp_path / f"{name}.json"
    record = json.loads(path.read_text())
    record["final"]["accuracy"] = 0.9912  # of the batches; the fixed model has 1.0
    path.write_text(json.dumps(record))
    rows = {tuple(r.fields.values()): r for r in rows_of(TABLE_4, tmp_path)}
    row = rows["Inception", "augmentation"]
    assert (
        row.difference("train_accuracy") == -0.16
        and table_rows.verdict(row) == "within"
    )
    text, readme = pages(tmp_path)
    assert "| augmentation | **99.12** (99.28 online) |" in readme
    assert "| random cropping | not yet run (99.93 online) |" in readme
    assert "99.28 <small>printed, online</small>" in text


TABLE_4 = "random_label_regularizers"


def test_what_is_reported_has_to_fit(tmp_path, make_up):
    """Early stopping reports an epoch before the first that fitted."""
    make_up(tmp_path, ALEXNET, train=0.9, fit=4)
    assert table_rows.verdict(table_1(tmp_path)[12]) == "did not fit"


def test_a_run_that_never_fitted_is_censored(tmp_path, make_up):
    make_up(tmp_path, ROW_13, 0, 0.5, 0.1, fit=None, epochs=5)
    row = table_1(tmp_path)[13]
    assert table_rows.verdict(row) == "did not fit"
    assert table_rows.epochs_to_fit(row) == "> 5"
    make_up(tmp_path, ROW_13, 1, 1.0, 0.1, fit=4, epochs=5)
    row = table_1(tmp_path)[13]
    assert table_rows.verdict(row) == "did not fit"  # one of the two
    assert table_rows.epochs_to_fit(row) == "> 5, 4"


def test_failing_as_in_the_paper_is_said(tmp_path, make_up):
    command = "cifar10_alexnet.py --random-labels --wd 5e-4"
    make_up(tmp_path, command, train=0.2, test=0.1, fit=None)
    text, _ = pages(tmp_path)
    assert "did not fit</span> <small>as in the paper</small>" in text
    make_up(tmp_path, command, train=1.0, test=0.1)
    (row,) = [r for r in rows_of("random_label_regularizers", tmp_path) if r.runs]
    assert table_rows.verdict(row) == "outside"


def test_epochs_to_fit_relative_to_no_corruption(tmp_path, make_up):
    make_up(tmp_path, ALEXNET, fit=4, epochs=50)
    for seed, fit in enumerate((9, 11)):
        make_up(tmp_path, f"{ALEXNET} --label-corruption 0.5", seed, fit=fit, epochs=50)
    make_up(tmp_path, ROW_13, 0, 0.9, 0.1, fit=None, epochs=50)
    make_up(tmp_path, ROW_13, 1, 1.0, 0.1, fit=30, epochs=50)
    rows = [row for row in rows_of("figure_1", tmp_path) if row.runs]
    assert levels.epochs_by_level(rows) == {
        0.0: (Stat(4, 4, 4, 1), 0, ()),
        0.5: (Stat(10, 9, 11, 2), 0, ()),
        1.0: (Stat(50, 50, 50, 1), 1, (30,)),  # the last epoch, no made-up number
    }
    assert levels.relative_by_level(rows) == {
        0.0: (Stat(1, 1, 1, 1), 0, ()),
        0.5: (Stat(2.5, 2.25, 2.75, 2), 0, ()),
        1.0: (Stat(12.5, 12.5, 12.5, 1), 1, (7.5,)),
    }
    text, readme = pages(tmp_path)
    assert "| AlexNet | p = 0.5 |" in readme
    assert "AlexNet, p = 1: 1 of 2 seeds not fitted, &gt; 12.5 times p = 0" in text


def test_nothing_is_relative_to_a_base_that_has_not_fitted(tmp_path, make_up):
    make_up(tmp_path, ALEXNET, train=0.9, fit=None)
    make_up(tmp_path, ROW_13, fit=4)
    rows = [row for row in rows_of("figure_1", tmp_path) if row.runs]
    assert levels.relative_by_level(rows) == {}


def test_errors_by_hand(tmp_path, make_up):
    make_up(tmp_path, ALEXNET, train=0.99, test=0.75)
    (row,) = [row for row in rows_of("figure_1", tmp_path) if row.runs]
    assert levels.error_by_level([row])[0.0][0].mean == pytest.approx(25)
    gap = levels.generalization_by_level([row])[0.0][0].mean
    assert gap == pytest.approx(24)  # 25 % test error less 1 % training error


def test_p_0_and_p_1_are_the_runs_of_true_and_random_labels(tmp_path):
    rows = rows_of("figure_1", tmp_path)
    assert len(rows) == 2 * 5 + 2 * 9 + 2 * 11


def test_redrawing_changes_no_byte_and_imports_no_keras(
    tmp_path, make_up, drawn_pictures
):
    for run in artefacts.ARTEFACTS["figure_2"].runs.values():
        make_up(tmp_path, run)
    for name in ("figure_1", "explicit"):
        for run in list(artefacts.ARTEFACTS[name].runs.values())[:9]:
            make_up(tmp_path, run)
    code = (
        "import pathlib, sys, report; from common.report import kept, style; "
        "style.DPI, kept.FOLDER = 40, pathlib.Path('nowhere/kept'); "
        "report.main(['--results-dir', sys.argv[1]]); "
        "assert not {'keras', 'tensorflow', 'jax'} & set(sys.modules)"
    )
    drawn = []
    for again in (False, True):
        if again:  # in another process: sets have another order there
            command = [sys.executable, "-c", code, tmp_path]
            subprocess.run(command, cwd=ROOT, check=True)
        else:
            report.main(["--results-dir", str(tmp_path)])
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        drawn.append({path: path.read_bytes() for path in files})
    stems = {path.stem for path in drawn[0] if path.suffix == ".svg"}
    assert {"figure_1a", "figure_1b", "figure_1c", "figure_2b", "explicit"} <= stems
    assert drawn[0] == drawn[1]


def test_table_2_stands_beside_the_papers_values(tmp_path, make_up):
    runs = rows_of("table_2", tmp_path)
    head, lines = tables.table_2(runs)
    assert len(lines) == 7 and sum(line.count("not yet run") for line in lines) == 28
    # Settings of the paper's rows against the flags of ours.
    for line, row in zip(lines, runs, strict=True):
        cells = dict(zip(head, line, strict=False))
        assert (cells["labels"] == "random") == ("--random-labels" in row.command)
        assert (cells["augmentation"] == "yes") == ("--augment" in row.command)
        assert (cells["dropout"] == "yes") == ("--dropout" in row.command)
        assert (cells["weight decay"] == "yes") == ("--wd" in row.command)
    name = make_up(tmp_path, artefacts.TABLE_2[4], train=0.9, test=0.6)
    path = tmp_path / f"{name}.json"
    record = json.loads(path.read_text())
    record["final"] |= {"train_top5_accuracy": 0.99, "val_top5_accuracy": 0.8}
    path.write_text(json.dumps(record))
    text, readme = pages(tmp_path)
    shown = (
        "| 4 | true | no | no | no | 90.00 | 99.53 | -9.53 | 60.00 | "
        "59.80 (63.16) | +0.20 | "
    )
    assert shown in readme and "| 99.00 | 100.00 | -1.00 | 80.00" in readme
    assert '<span class="none">not yet run</span>' in text and "72.95" in text


def test_a_script_that_names_itself_is_shown(tmp_path, make_up):
    make_up(tmp_path, "mnist_l2norm.py", verdict="Norms grow & grow.")
    lines = ["size,labels,seed,stop,reached,epochs,l2_norm"]
    lines[0] += ",product_of_norms,eigenvalue_1,trace"
    lines += [
        "128,random,0,loss,True,10,2.0,4,1,",
        "128,random,1,loss,False,30,4.0,4,1,",
    ]
    (tmp_path / "mnist_l2norm.csv").write_text("\n".join(lines) + "\n")
    figures = tmp_path / "figures"
    style.save_png(Figure(figsize=(4, 1)), figures / "mnist_l2norm_norms.png")
    (figures / "mnist_l2norm_whitened_norms.png").write_bytes(b"of another record")
    text, readme = pages(tmp_path)
    assert "Norms grow &amp; grow." in text and "`](mnist_l2norm.json): Norms" in readme
    (embedded,) = re.findall(
        r'"width:(\d+)px"><div [^>]*><img [^>]*image/webp;base64,([^"]+)"', text
    )
    assert int(embedded[0]) == round(4 * 72 * 1.45)  # as large as the page's figures
    kept, shown = figures / "mnist_l2norm_norms.png", base64.b64decode(embedded[1])
    assert len(shown) < kept.stat().st_size
    drawn = [
        np.asarray(Image.open(x).convert("RGB")) for x in (kept, io.BytesIO(shown))
    ]
    np.testing.assert_array_equal(*drawn)  # not a pixel is lost
    assert "<details><summary>Numbers (1 line)" in text
    head, rows = tables.grouped(records.read_rows(tmp_path / "mnist_l2norm.csv"))
    assert head[:7] == ["size", "labels", "stop", "n", "reached", "epochs", "l2_norm"]
    shown = ["128", "random", "loss", "2", "1 of 2", "20 (10–30)", "3 (2–4)"]
    assert rows == [[*shown, "4 (4–4)", "1 (1–1)", ""]]


@pytest.mark.parametrize(
    ("text", "shown"),
    [("10000", "10000"), ("2.5e+05", "250000"), ("3006.4", "3006"), ("0.5", "0.5")]
    + [
        ("193526.3", "1.935e+05"),
        ("1.23456e-9", "1.235e-09"),
        ("true", "true"),
    ],
)
def test_counts_are_shown_in_full(text, shown):
    assert stats.short(text) == shown


@pytest.mark.parametrize(
    ("text", "shown", "small", "order"),
    [
        ("-0.17", "-0.17", "", None),
        ("+1.5e-09", "+1.5e-09", "", None),
        ("5.87 (5.80–5.98)", "5.87", "(5.80–5.98)", 5.87),
        ("-0.16 (-0.58 to 0.43)", "-0.16", "(-0.58 to 0.43)", -0.16),
        ("17 inferred", "17", "inferred", 17.0),
        ("not yet run", "not yet run", "", ""),
        ("10 of 10", None, "", None),
        ("outside ±1.41", None, "", None),
        ("2 layers of 512", None, "", None),
        ("", None, "", None),
    ],
)
def test_what_is_a_number_is_shown_as_one(text, shown, small, order):
    ((cell,),) = cells.texts([[text]])
    assert cell.number == (shown is not None)
    assert (cell.text, cell.small) == (text if shown is None else shown, small)
    assert cell.order == order


def test_what_every_line_says_is_told_once():
    head, lines = ["n", "p", "gone"], [["5", "0", ""], ["5", "1", ""]]
    assert tables.constants(head, lines) == (["p"], [["0"], ["1"]], {"n": "5"})
    assert tables.constants(head, lines[:1]) == (head, lines[:1], {})


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ((98758.0, 17109.0, 216000.0), "9.88e+04 (1.71e+04–2.16e+05)"),
        ((28201.4, 4961.0, 65553.0), "28201 (4961–65553)"),
        ((0.5, 0.25, 0.75), "0.5 (0.25–0.75)"),
    ],
)
def test_a_mean_and_its_range_are_written_alike(values, shown):
    assert stats.short_spread(stats.Stat(*values, 3)) == shown


def test_the_analysis_of_saved_models_is_shown(tmp_path):
    (tmp_path / "analysis.csv").write_text("model,trace\ncifar10_mlp_seed0,12.345678\n")
    text, _ = pages(tmp_path)
    assert '<section id="analysis">' in text and "12.35" in text


def test_compare_says_what_differs(tmp_path, make_up, capsys, drawn_pictures):
    names = [make_up(tmp_path, ALEXNET), make_up(tmp_path, ROW_13, test=0.1)]
    report.main(
        ["--results-dir", str(tmp_path), "--compare", names[0], f"{names[1]}.json"]
    )
    differing, results = capsys.readouterr().out.split("Results")
    settings = [line.split()[0] for line in differing.splitlines()[1:]]
    assert settings == ["label_corruption"]
    assert re.search(r"val_accuracy +0\.5 +0\.1\n", results)
    assert (tmp_path / "figures" / "compare.png").stat().st_size > 1000


def test_compare_takes_files_of_other_folders(tmp_path, make_up, capsys):
    for folder, test in (("a", 0.25), ("b", 0.75)):
        (tmp_path / folder).mkdir()
        name = make_up(tmp_path / folder, ALEXNET, test=test)
    files = [str(tmp_path / folder / f"{name}.json") for folder in "ab"]
    report.main(["--results-dir", str(tmp_path), "--compare", *files])
    assert re.search(r"val_accuracy +0\.25 +0\.75\n", capsys.readouterr().out)


def test_other_data_have_a_page_of_their_own(tmp_path, make_up):
    runs = (
        f"{ALEXNET} --dataset synthetic",
        f"{ROW_13} --dataset synthetic --momentum 0",
    )
    make_up(tmp_path, runs[0], test=0.625)
    make_up(tmp_path, runs[1], test=0.125)
    report.main(["--results-dir", str(tmp_path), "--dataset", "synthetic"])
    text = (tmp_path / "report_synthetic.html").read_text()
    assert not (tmp_path / "report.html").exists()
    assert "runs than the paper's:</b> synthetic." in text and "62.50" in text
    command = f"reproduce.py figure_1 --dataset=synthetic --results-dir {tmp_path}"
    assert f"{command}</code>" in text
    assert "76.07 <small>" not in text  # the paper's, of CIFAR-10
    assert "12.50" not in text
    report.main(
        ["--results-dir", str(tmp_path), "--flags=--dataset synthetic --momentum 0"]
    )
    text = (tmp_path / "report_dataset-synthetic-momentum-0.html").read_text()
    assert "12.50" in text and "62.50" not in text


def test_an_artefact_that_names_its_data_on_other_data(tmp_path, make_up):
    make_up(tmp_path, "cifar10_mlp.py --dataset synthetic --random-labels", test=0.125)
    report.main(["--results-dir", str(tmp_path), "--dataset", "synthetic"])
    text = (tmp_path / "report_synthetic.html").read_text()
    section = text.split('<section id="synthetic_other_data">')[1].split("</section>")[
        0
    ]
    assert ">synthetic</span>" in section and "12.50" in section
    assert "MNIST" not in section


def test_a_page_of_nothing_is_not_written(tmp_path):
    with pytest.raises(cli.MendableError, match="no record.*--dataset=synthetic"):
        report.main(["--results-dir", str(tmp_path), "--dataset", "synthetic"])
    assert not list(tmp_path.glob("*.html"))


def test_flags_that_change_no_result_are_the_artefact_itself(tmp_path, make_up):
    make_up(tmp_path, ROW_13)
    report.main(["--results-dir", str(tmp_path), "--flags=--quiet"])
    assert "9.86" in (tmp_path / "report.html").read_text()


def test_a_flag_that_not_every_script_has(tmp_path, make_up):
    make_up(tmp_path, "cifar10_mlp.py --hidden 64", test=0.125)
    report.main(["--results-dir", str(tmp_path), "--flags=--hidden 64"])
    assert "12.50" in (tmp_path / "report_hidden-64.html").read_text()


def test_the_finding_is_of_one_data_set(tmp_path, make_up):
    make_up(tmp_path, "cifar10_mlp.py --dataset mnist", test=0.96)
    make_up(tmp_path, "cifar10_mlp.py --dataset fashion_mnist", test=0.84)
    make_up(tmp_path, "cifar10_mlp.py --dataset mnist --random-labels", test=0.11)
    text, _ = pages(tmp_path)
    finding = text.split('<p class="finding">')[1].split("</p>")[0]
    assert "on MNIST<" in finding and "96.00" in finding and "11.00" in finding


def test_seeds_of_different_length_have_a_line_each(tmp_path, make_up):
    for seed, epochs in enumerate((3, 9, 5)):
        make_up(tmp_path, f"{ALEXNET} --stop-at 0.99", seed, epochs=epochs)
    command = f"{ALEXNET} --stop-at 0.99"
    artefact = artefacts.ARTEFACTS["figure_1"]._replace(
        runs={("AlexNet", "true labels"): command}
    )
    (row,) = table_rows.of(artefact, reading.load(tmp_path), {})
    drawing = corruption_figures.losses([row], {})
    ends = [line.get_xdata()[-1] for line in drawing.axes[0, 0].lines]
    assert ends == [3, 9, 5]
    _, labels = drawing.axes[0, 0].get_legend_handles_labels()
    assert labels == ["true labels"]


def test_all_that_is_not_run_is_counted(tmp_path, make_up):
    make_up(tmp_path, ROW_13)
    text, readme = pages(tmp_path)
    assert "Not yet run: 49 of 50 runs" in text and "Not yet run: 49 of 50" in readme


def test_a_report_without_table_1(tmp_path, make_up, monkeypatch):
    monkeypatch.setattr(report, "ROOT", tmp_path)
    (tmp_path / "results").mkdir()
    make_up(tmp_path / "results", f"{ALEXNET} --dataset synthetic")
    report.main(["--results-dir", str(tmp_path / "results")])
    assert "Every run" in (tmp_path / "results" / "report.html").read_text()


def test_commands_of_runs_can_be_typed(tmp_path, make_up):
    make_up(tmp_path, f"{ALEXNET} --data-dir 'my data'")
    text, _ = pages(tmp_path)
    assert escape(f"python {ALEXNET} --data-dir 'my data'") in text


def test_compare_names_close_records(tmp_path, make_up):
    name = make_up(tmp_path, ALEXNET)
    with pytest.raises(cli.MendableError, match=name):
        report.compare(["cifar10_alexnet_seed7", name], tmp_path)


def test_a_chart_survives_a_run_of_one_epoch_and_a_diverged_one():
    run = reading.Run("one", {}, {"epoch": [1.0], "train_cross_entropy": [0.5]})
    assert charts.chart(run, "loss").lines
    run = reading.Run(
        "nan", {}, {"epoch": [1.0], "train_cross_entropy": [float("nan")]}
    )
    assert charts.chart(run, "loss") is None


def test_all_runs_of_a_folder_come_first(tmp_path, make_up):
    for seed, test in enumerate((0.7, 0.8)):
        make_up(tmp_path, f"{ALEXNET} --wd 5e-4", seed, 1.0, test, fit=3 + seed)
    make_up(tmp_path, f"{ALEXNET} --wd 1e-2", 0, 0.9, 0.5, fit=None)
    make_up(tmp_path, "mnist_l2norm.py", verdict="It grows.")
    text, readme = pages(tmp_path)
    head = "| run | wd | train % | test % | gap | first fitted | time | seeds |"
    line = (
        "| [cifar10_alexnet_wd0.0005](cifar10_alexnet_wd0.0005_seed0.json) | 0.0005 "
        "| **100.00** | **75.00 (70.00–80.00)** | 25.00 (20.00–30.00) | 3.5 (3–4) "
        "|  | 2 |"
    )
    assert readme.index(head) < readme.index(line) < readme.index("## Table 1")
    assert "| 40.00 | > 5 |  | 1 |" in readme
    assert "[mnist_l2norm](mnist_l2norm.json): It grows." in readme
    assert text.index('<section id="runs">') < text.index('<section id="table_1">')
    assert "<b>mnist_l2norm</b>: It grows." in text
    command = f"{ALEXNET} --wd 5e-4 --seed 1 --results-dir {tmp_path}</code>"
    assert text.count(command) == 1


def test_many_settings_that_vary_share_a_column(tmp_path, make_up):
    flags = "--wd 1e-3", "--dropout 0.5", "--lr 0.1", "--momentum 0", "--epochs 3"
    for flag in ("", *flags, "--batch-size 16", "--random-crop --stop-at 0.9"):
        make_up(tmp_path, f"{ALEXNET} {flag}")
    rows = table_rows.by_setting(reading.load(tmp_path))
    said = {table_rows.setting_name(row): row.fields["differs by"] for row in rows}
    assert said["cifar10_alexnet"] == ""
    assert said["cifar10_alexnet_dropout0.5"] == "dropout 0.5"
    assert said["cifar10_alexnet_crop_stop0.9"] == "augment crop, stop at 0.9"
    assert len(said) == 8


def test_commands_lead_to_the_folder(tmp_path, make_up):
    folder = tmp_path / "my runs"
    make_up(folder, f"{ALEXNET} --models-dir 'my models'")
    text, readme = pages(folder)
    where = f"--results-dir '{folder}' --models-dir 'my models'"
    shown = re.sub('<span class="word">|</span>', "", text)
    command = f"{ALEXNET} --random-labels {where}"
    assert escape(command) in shown and command in readme
    own = f"report.py --results-dir '{folder}'"  # which knows no --models-dir
    assert f"<code>python {escape(own)}</code>" in shown
    assert f"`python {own}`" in readme
    report.parse(shlex.split(own)[1:])
    assert report.where(ROOT / "results", reading.load(ROOT / "results")) == ""


@pytest.mark.parametrize(
    ("value", "shown"),
    [(100.0, "100.00"), (99.998, "99.99"), (99.98, "99.98"), (98.996, "98.99")]
    + [(99.0, "99.00"), (0.0, "0.00"), (0.002, "0.01"), (9.585, "9.59")]
    + [(98.9949, "98.99"), (99.0049, "99.00"), (-0.001, "0.00")],
)
def test_a_percentage_never_reads_what_it_has_not_reached(value, shown):
    assert stats.percent(value) == shown


def test_a_folder_without_records_is_left_alone(tmp_path):
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(cli.MendableError, match="no record.*reproduce.py demo"):
            report.main(["--results-dir", str(folder)])
    assert not list(tmp_path.iterdir())


def test_mistakes_are_told_before_matplotlib_is_loaded(tmp_path):
    code = (
        "import sys, report\n"
        "mistakes = report.cli.UsageError, report.cli.MendableError\n"
        "for argv in (['--help'], ['--bogus'], ['--compare', 'a'], sys.argv[1:]):\n"
        "    try: report.main(argv)\n"
        "    except (SystemExit, *mistakes): pass\n"
        "assert not {'matplotlib', 'keras', 'jinja2'} & set(sys.modules)"
    )
    flags = ["--results-dir", str(tmp_path)]
    subprocess.run([sys.executable, "-c", code, *flags], cwd=ROOT, check=True)


def test_any_number_of_runs_is_compared(tmp_path, make_up, capsys):
    names = [
        make_up(tmp_path, f"{ALEXNET} --label-corruption {p}", test=1 - p)
        for p in (0.25, 0.5, 0.75)
    ]
    report.main(["--results-dir", str(tmp_path), "--compare", *names])
    said = capsys.readouterr().out
    assert re.search(r"label_corruption +0.25 +0.5 +0.75\n", said)
    assert re.search(r"val_accuracy +0.75 +0.5 +0.25\n", said)
    text, _ = pages(tmp_path)
    section = text.split('<section id="compared">')[1].split("</section>")[0]
    assert section.count('src="data:image/webp;base64,') == 1
    with pytest.raises(cli.UsageError, match="two runs"):
        report.main(["--results-dir", str(tmp_path), "--compare", names[0]])


def test_what_a_record_says_is_text(tmp_path, make_up):
    """Names, command lines, verdicts and folders never become part of the page."""
    evil = "<img src=x onerror=alert(1)>"
    folder = tmp_path / f"{evil} runs"
    name = make_up(folder, ALEXNET)
    record = json.loads((folder / f"{name}.json").read_text())
    record["argv"] = ["--data-dir", evil]
    record["regime"]["dataset"] = evil
    (folder / f"{evil}_seed0.json").write_text(json.dumps(record | {"name": evil}))
    shutil.copy(folder / f"{name}.csv", folder / f"{evil}_seed0.csv")
    (folder / "other.json").write_text(json.dumps({"verdict": evil}))
    (folder / "analysis.csv").write_text(f"model,trace\n{evil},1\n")
    text, _ = pages(folder)
    assert evil not in text and "<img src=x" not in text
    assert text.count(str(escape(evil))) >= 6


def test_seeds_of_a_setting_share_a_colour(tmp_path, make_up):
    for seed in range(2):
        make_up(tmp_path, ALEXNET, seed)
    make_up(tmp_path, ROW_13)
    chart = charts.curves(table_rows.by_setting(reading.load(tmp_path)))
    assert len(chart.lines) == 2 * 3  # training and test accuracy of each run
    inks = {}
    for line in chart.lines:
        inks.setdefault(line.name, set()).add(line.ink)
    assert [len(ink) for ink in inks.values()] == [1, 1]
    assert len(set.union(*inks.values())) == 2
    tips = [
        text for *_, text in charts.chart(reading.load(tmp_path)[ROW], "loss").strips
    ]
    assert tips[0] == "epoch 1, training 2, test 2" and len(tips) == 5


ROW = "cifar10_alexnet_labels1_seed0"

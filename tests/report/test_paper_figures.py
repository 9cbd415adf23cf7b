"""What the figures draw, read back from their lines."""

import numpy as np
import pytest

from common.report import kernel_figures, paper_figures, tables
from common.sweep import artefacts

ALEXNET = "cifar10_alexnet.py"


def row(runs, p=0.0, **fields):
    record = {
        "num_classes": 10,
        "regime": {"dataset": "cifar10", "label_corruption": p},
    }
    runs = [tables.Run(f"r{i}", record, h) for i, h in enumerate(runs)]
    return tables.Row(fields, "", tuple(runs), {})


def test_an_unfit_level_is_hollow_and_off_the_line(tmp_path, make_up):
    make_up(tmp_path, ALEXNET, fit=4, epochs=50)
    for p, fit in ((0.2, 6), (0.5, 10)):
        make_up(tmp_path, f"{ALEXNET} --label-corruption {p}", fit=fit, epochs=50)
    for seed, epochs in enumerate((50, 80)):
        command = f"{ALEXNET} --random-labels"
        make_up(tmp_path, command, seed, 0.9, 0.1, fit=None, epochs=epochs)
    rows = tables.rows(artefacts.ARTEFACTS["figure_1"], tables.load(tmp_path), {})
    rows = [row for row in rows if row.runs]
    axis = paper_figures.relative_time(rows, {"figure_1b": []}).axes[0, 0]
    (line,) = [line for line in axis.lines if line.get_label() == "AlexNet"]
    np.testing.assert_allclose(line.get_xydata(), [(0, 1), (0.2, 1.5), (0.5, 2.5)])
    (hollow,) = [line for line in axis.lines if line.get_marker() == "^"]
    np.testing.assert_allclose(hollow.get_xydata(), [(1, 80 / 4)])  # the longest run
    assert hollow.get_markerfacecolor() == "white"


def test_unfit_inputs_are_hollow(tmp_path, make_up):
    make_up(tmp_path, ALEXNET, fit=4, epochs=50)
    make_up(tmp_path, f"{ALEXNET} --pixels random", 0, 0.9, 0.1, fit=None, epochs=50)
    rows = tables.rows(artefacts.ARTEFACTS["inputs"], tables.load(tmp_path), {})
    axis = paper_figures.epochs_by_input([r for r in rows if r.runs], {}).axes[0, 0]
    drawn = {x.get_xdata()[0]: x for x in axis.lines if len(x.get_xdata()) == 1}
    assert (drawn[4].get_marker(), drawn[50].get_marker()) == ("o", ">")
    assert drawn[50].get_markerfacecolor() == "white" != drawn[4].get_markerfacecolor()


def test_losses_are_the_fixed_models_and_the_mean_over_seeds():
    one = {"train_cross_entropy": [2.0, 1.0], "loss": [9.0, 9.0]}
    other = {"train_cross_entropy": [4.0, 2.0], "loss": [9.0, 9.0]}
    drawing = paper_figures.losses(
        [row([one, other], model="AlexNet", corruption="true labels")],
        {"figure_1a": []},
    )
    (line,) = drawing.axes[0, 0].lines
    assert line.get_ydata().tolist() == [3.0, 1.5]
    (band,) = drawing.axes[0, 0].collections
    assert band.get_paths()[0].get_extents().intervaly.tolist() == [1.0, 4.0]


def test_the_running_best_never_falls():
    history = {"train_accuracy": [0.6, 0.8, 1.0], "val_accuracy": [0.5, 0.7, 0.6]}
    axis = paper_figures.batch_norm([row([history], model="Inception")], {}).axes[0, 0]
    lines = {line.get_linestyle(): line.get_ydata() for line in axis.lines[1:]}
    np.testing.assert_allclose(lines["--"], [50, 70, 70])
    np.testing.assert_allclose(lines[":"], [50, 70, 60])
    np.testing.assert_allclose(lines["-"], [60, 80, 100])


def test_the_papers_point_is_an_error():
    paper = {
        f"{x}_accuracy": tables.Paper(v, "printed")
        for x, v in (("train", 99.82), ("test", 9.86))
    }
    final = {"train_accuracy": 1.0, "val_accuracy": 0.1}
    record, regime = {"num_classes": 10, "final": final}, {"dataset": "cifar10"}
    rows = [
        tables.Row(
            {"model": "AlexNet", "corruption": p},
            "",
            (
                tables.Run(
                    "r", record | {"regime": regime | {"label_corruption": p}}, {}
                ),
            ),
            paper if p else {},
        )
        for p in (0.0, 1.0)
    ]
    axis = paper_figures.errors(rows, {"figure_1c": []}).axes[0, 0]
    points = [x.get_xydata()[0].tolist() for x in axis.lines if x.get_marker() == "D"]
    assert points == [[1.0, pytest.approx(90.14)]]


def test_a_condition_has_one_look_in_every_panel():
    history = {"train_cross_entropy": [2.0, 1.0]}
    rows = [
        row([history], model=model, corruption=kind)
        for model in ("AlexNet", "MLP 1x512")
        for kind in paper_figures.LINES
    ]
    sketch = paper_figures.losses(rows, {"figure_1a": []})
    looks = [
        {line.get_label(): line.get_color() for line in axis.lines}
        for axis in sketch.axes[0]
    ]
    assert looks[0] == looks[1] and len(set(looks[0].values())) == 5
    (legend,) = sketch.figure.legends  # one, not one a panel
    assert [text.get_text() for text in legend.get_texts()] == list(looks[0])


def test_the_data_set_is_named_once():
    history = {"train_cross_entropy": [2.0, 1.0]}
    rows = [row([history], model="AlexNet", corruption="true labels")]
    sketch = paper_figures.losses(rows, {"figure_1a": []})
    assert sketch.figure.get_suptitle() == "CIFAR-10"
    assert sketch.caption.startswith("CIFAR-10. Training loss")
    run = rows[0].runs[0]
    regime = {"dataset": "synthetic", "label_corruption": 0.0}
    other = run._replace(record=run.record | {"regime": regime})
    rows.append(rows[0]._replace(runs=(other,)))
    sketch = paper_figures.losses(rows, {"figure_1a": []})
    assert sketch.figure.get_suptitle() == ""
    heads = [axis.texts[0].get_text() for axis in sketch.axes[0]]
    assert heads == ["AlexNet, CIFAR-10 (1 seed)", "AlexNet, synthetic images (1 seed)"]


def solved(dataset, features, norm, size=60_000, p=0.0):
    settings = {"dataset": dataset, "features": features, "label_corruption": p}
    record = {"settings": settings, "train_size": size}
    record["rows"] = [
        {"ridge": ridge, "rkhs_norm": norm, "test_error": 0.1} for ridge in (0.0, 0.1)
    ]
    run = tables.Run("r", record, {})
    return tables.Row({"setting": f"{dataset} {features}"}, "", (run,), {})


def test_kernels_are_told_apart_by_colour_marker_and_number():
    rows = [
        solved("mnist", "raw", 10),
        solved("mnist", "gabor", 20),
        solved("cifar10", "raw", 30, 5000),
        solved("mnist", "raw", 40, 10_000, p=1.0),
    ]
    sketch = kernel_figures.kernels(rows, {})
    axis = sketch.axes[0, 0]
    looks = [(line.get_color(), line.get_marker()) for line in axis.lines]
    assert looks[0][0] == looks[1][0] == looks[3][0] != looks[2][0]
    assert looks[0][1] == looks[2][1] == looks[3][1] != looks[1][1]
    beside = [text.get_text() for text in axis.texts]
    assert beside == ["60,000", "60,000", "5,000", "10,000, random labels"]
    (legend,) = sketch.figure.legends
    said = [text.get_text() for text in legend.get_texts()]
    assert said == ["MNIST", "CIFAR-10", "pixels", "Gabor wavelets"]


@pytest.mark.parametrize("count", (2, 3, 8))
def test_any_number_of_runs_is_compared(tmp_path, make_up, count):
    for seed in range(count):
        make_up(tmp_path, ALEXNET, seed)
    runs = list(tables.load(tmp_path).values())
    drawn = paper_figures.compare(runs, tmp_path / "figures" / "compare.png")
    assert drawn.stem == "compare" and (tmp_path / "figures/compare.svg").exists()
    assert all(run.name in drawn.svg for run in runs) and "CIFAR-10" in drawn.svg

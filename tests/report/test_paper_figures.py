"""What the figures draw, read back from their lines."""

import numpy as np
import pytest

from common.report import paper_figures, tables
from common.sweep import artefacts

ALEXNET = "cifar10_alexnet.py"


def row(runs, **fields):
    runs = [tables.Run(f"r{i}", {"num_classes": 10}, h) for i, h in enumerate(runs)]
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
    rows = [
        tables.Row(
            {"model": "AlexNet", "corruption": p},
            "",
            (tables.Run("r", {"num_classes": 10, "final": final}, {}),),
            paper if p else {},
        )
        for p in (0.0, 1.0)
    ]
    axis = paper_figures.errors(rows, {"figure_1c": []}).axes[0, 0]
    points = [x.get_xydata()[0].tolist() for x in axis.lines if x.get_marker() == "D"]
    assert points == [[1.0, pytest.approx(90.14)]]

"""What the figures draw, read back from their lines."""

import numpy as np
import pytest

from common.report import (
    corruption_figures,
    kernel_figures,
    paper_figures,
    published,
    reading,
    table_rows,
)
from common.sweep import artefacts

ALEXNET = "cifar10_alexnet.py"


def row(runs, p=0.0, **fields):
    record = {
        "num_classes": 10,
        "regime": {"dataset": "cifar10", "label_corruption": p},
    }
    runs = [reading.Run(f"r{i}", record, h) for i, h in enumerate(runs)]
    return table_rows.Row(fields, "", tuple(runs), {})


def test_an_unfit_level_is_hollow_and_off_the_line(tmp_path, make_up):
    make_up(tmp_path, ALEXNET, fit=4, epochs=50)
    for p, fit in ((0.2, 6), (0.5, 10)):
        make_up(tmp_path, f"{ALEXNET} --label-corruption {p}", fit=fit, epochs=50)
    for seed, epochs in enumerate((50, 80)):
        command = f"{ALEXNET} --random-labels"
        make_up(tmp_path, command, seed, 0.9, 0.1, fit=None, epochs=epochs)
    rows = table_rows.of(artefacts.ARTEFACTS["figure_1"], reading.load(tmp_path), {})
    rows = [row for row in rows if row.runs]
    axis = corruption_figures.relative_time(rows, {}).axes[0, 0]
    (line,) = [line for line in axis.lines if line.get_label() == "AlexNet"]
    np.testing.assert_allclose(line.get_xydata(), [(0, 1), (0.2, 1.5), (0.5, 2.5)])
    (hollow,) = [line for line in axis.lines if line.get_marker() == "^"]
    np.testing.assert_allclose(hollow.get_xydata(), [(1, 80 / 4)])  # the longest run
    assert hollow.get_markerfacecolor() == "white"


def test_unfit_inputs_are_hollow(tmp_path, make_up):
    make_up(tmp_path, ALEXNET, fit=4, epochs=50)
    make_up(tmp_path, f"{ALEXNET} --pixels random", 0, 0.9, 0.1, fit=None, epochs=50)
    rows = table_rows.of(artefacts.ARTEFACTS["inputs"], reading.load(tmp_path), {})
    axis = paper_figures.epochs_by_input([r for r in rows if r.runs], {}).axes[0, 0]
    drawn = {x.get_xdata()[0]: x for x in axis.lines if len(x.get_xdata()) == 1}
    assert (drawn[4].get_marker(), drawn[50].get_marker()) == ("o", ">")
    assert drawn[50].get_markerfacecolor() == "white" != drawn[4].get_markerfacecolor()


def test_losses_are_the_fixed_models_and_the_mean_over_seeds():
    one = {"train_cross_entropy": [2.0, 1.0], "loss": [9.0, 9.0]}
    other = {"train_cross_entropy": [4.0, 2.0], "loss": [9.0, 9.0]}
    drawing = corruption_figures.losses(
        [row([one, other], model="AlexNet", corruption="true labels")],
        {},
    )
    (line,) = drawing.axes[0, 0].lines
    assert line.get_ydata().tolist() == [3.0, 1.5]
    (band,) = drawing.axes[0, 0].collections
    assert band.get_paths()[0].get_extents().intervaly.tolist() == [1.0, 4.0]


def test_the_running_best_never_falls():
    history = {"train_accuracy": [0.6, 0.8, 1.0], "val_accuracy": [0.5, 0.7, 0.6]}
    axis = paper_figures.batch_norm([row([history], model="Inception")], {}).axes[0, 0]
    lines = {line.get_linestyle(): line.get_ydata() for line in axis.lines}
    np.testing.assert_allclose(lines["--"], [50, 70, 70])
    np.testing.assert_allclose(lines[":"], [50, 70, 60])
    np.testing.assert_allclose(lines["-"], [60, 80, 100])


def levelled(p, accuracy, **more):
    """A row of one run at a level of corruption, with its final test accuracy."""
    final = {"train_accuracy": 1.0, "val_accuracy": accuracy}
    (run,) = row([{}], p=p).runs
    run = run._replace(record=run.record | {"final": final} | more)
    return table_rows.Row({"model": "AlexNet"}, "", (run,), {})


def test_errors_stand_beside_the_papers_on_true_and_on_corrupted_test_labels():
    rows = [levelled(0.0, 0.8), levelled(0.5, 0.6), levelled(1.0, 0.1)]
    paper = {"1c": {"AlexNet": [(0.0, 0.3), (0.5, 0.68), (1.0, 0.9)]}}
    axis = corruption_figures.errors(rows, paper).axes[0, 0]
    drawn = {line.get_linestyle(): line.get_xydata().tolist() for line in axis.lines
             if len(line.get_xdata()) == 3}  # fmt: skip
    assert drawn["-"] == [[0, pytest.approx(20)], [0.5, 40], [1, 90]]
    # Of accuracy 0.6, half of the labels replaced, a tenth of these hit.
    assert drawn[":"] == [[0, pytest.approx(20)], [0.5, pytest.approx(65)], [1, 90]]
    assert drawn["--"] == [[0, 30], [0.5, 68], [1, 90]]
    (said,) = [text.get_text() for text in axis.texts if "paper" in text.get_text()]
    assert said.splitlines()[1:] == [  # of the level between 0 and 1 alone
        "on the test labels: 28.0",
        "on corrupted test labels: 3.0",
    ]


def test_the_best_epoch_stands_above_the_last():
    rows = []
    for p, values in ((0.0, [0.5, 0.7]), (0.5, [0.6, 0.4]), (1.0, [0.2, 0.1])):
        rows.append(levelled(p, values[-1]))
        run = rows[-1].runs[0]._replace(history={"val_accuracy": values})
        rows[-1] = rows[-1]._replace(runs=(run,))
    axis = corruption_figures.early_stopping(rows, {}).axes[0, 0]
    drawn = {line.get_linestyle(): line.get_ydata() for line in axis.lines
             if len(line.get_xdata()) == 3}  # fmt: skip
    np.testing.assert_allclose(drawn["--"], [70, 60, 20])
    np.testing.assert_allclose(drawn["-"], [70, 40, 10])


def test_relative_time_is_drawn_at_two_thresholds(tmp_path, make_up):
    """A made-up loss is 2 / epoch: it is below 0.05 from epoch 41 on."""
    for p, fit in ((0.0, 10), (0.5, 20), (1.0, 30)):
        command = f"{ALEXNET} --label-corruption {p}" if p else ALEXNET
        make_up(tmp_path, command, fit=fit, epochs=50)
    rows = table_rows.of(artefacts.ARTEFACTS["figure_1"], reading.load(tmp_path), {})
    rows = [row for row in rows if row.runs]
    sketch = corruption_figures.relative_time(rows, published.curves())
    drawn = [
        [x.get_ydata().tolist() for x in axis.lines if x.get_label() == "AlexNet"]
        for axis in sketch.axes[0]
    ]
    assert drawn == [[[1, 2, 3]], [[1, 1, 1]]]
    for axis in sketch.axes[0]:  # all three networks of the paper
        theirs = [x.get_ydata()[-1] for x in axis.lines if x.get_label() == "_paper"]
        assert [round(float(x), 2) for x in theirs] == [3.6, 1.55, 1.96]


def test_every_figure_of_the_paper_is_drawn_with_its_curves():
    curves = published.curves()
    history = {"train_cross_entropy": [2.0, 1.0]}
    one = row([history], model="Inception", corruption="true labels")
    axis = corruption_figures.losses([one], curves).axes[0, 0]
    theirs = [line for line in axis.lines if line.get_label() == "_paper"]
    assert len(theirs) == 5 and {len(x.get_xdata()) for x in theirs} == {69}
    history = {"train_accuracy": [0.6, 0.8], "val_accuracy": [0.5, 0.7]}
    axis = paper_figures.batch_norm([row([history], model="Inception")], curves)
    axis = axis.axes[0, 0]
    ends = [x.get_ydata()[-1] for x in axis.lines if x.get_label() == "_paper"]
    np.testing.assert_allclose(sorted(ends), [84.92, 86.53, 100, 100], atol=0.01)
    axis = paper_figures.imagenet([], curves).axes[0, 0]
    ends = [x.get_ydata()[-1] for x in axis.lines if x.get_label() == "_paper"]
    # Figure 2a ends where Table 2 does; of row 3's training, where it means to.
    printed = [92.18, 77.84, 99.60, 67.18, 99.53, 59.80]
    np.testing.assert_allclose(ends, printed, atol=0.25)
    assert paper_figures.imagenet([], {}) is None


def test_a_condition_has_one_look_in_every_panel():
    history = {"train_cross_entropy": [2.0, 1.0]}
    rows = [
        row([history], model=model, corruption=kind)
        for model in ("AlexNet", "MLP 1x512")
        for kind in corruption_figures.LINES
    ]
    sketch = corruption_figures.losses(rows, {})
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
    sketch = corruption_figures.losses(rows, {})
    assert sketch.figure.get_suptitle() == "CIFAR-10"
    assert sketch.caption.startswith("CIFAR-10. Training loss")
    run = rows[0].runs[0]
    regime = {"dataset": "synthetic", "label_corruption": 0.0}
    other = run._replace(record=run.record | {"regime": regime})
    rows.append(rows[0]._replace(runs=(other,)))
    sketch = corruption_figures.losses(rows, {})
    assert sketch.figure.get_suptitle() == ""
    heads = [axis.texts[0].get_text() for axis in sketch.axes[0]]
    assert heads == ["AlexNet, CIFAR-10 (1 seed)", "AlexNet, synthetic images (1 seed)"]


def solved(dataset, features, norm, size=60_000, p=0.0):
    settings = {"dataset": dataset, "features": features, "label_corruption": p}
    record = {"settings": settings, "train_size": size}
    record["rows"] = [
        {"ridge": ridge, "rkhs_norm": norm, "test_error": 0.1} for ridge in (0.0, 0.1)
    ]
    run = reading.Run("r", record, {})
    return table_rows.Row({"setting": f"{dataset} {features}"}, "", (run,), {})


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
    runs = list(reading.load(tmp_path).values())
    drawn = paper_figures.compare(runs, tmp_path / "figures" / "compare.png")
    assert drawn.stem == "compare" and (tmp_path / "figures/compare.svg").exists()
    assert all(run.name in drawn.svg for run in runs) and "CIFAR-10" in drawn.svg

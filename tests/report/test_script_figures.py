"""What the figures of the scripts of many parts draw, read back from their lines."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from panels import (
    assert_curves_are_free,
    assert_nothing_is_cut,
    assert_ticks_are_apart,
)

from common.report import (
    descent_figures,
    influence_figures,
    kernel_figures,
    measure_figures,
    model_figures,
    names,
    norm_figures,
    theory_figures,
)

RESULTS = Path(__file__).resolve().parents[2] / "results"
DRAWS = {
    "mnist_l2norm": norm_figures,
    "min_norm": kernel_figures,
    "expressivity": theory_figures,
    "double_descent": descent_figures,
    "measures": measure_figures,
    "influence": influence_figures,
}
RECORDS = [
    p
    for p in RESULTS.glob("*.json")
    if p.stem.startswith((*DRAWS,)) and "whitened" not in p.stem
]


@pytest.fixture
def saved(monkeypatch):
    """Dict of file name -> figure, of all that is drawn, in place of the PNGs."""
    figures = {}

    def keep(figure, path):
        FigureCanvasAgg(figure)
        figure.draw_without_rendering()  # laid out, with ticks and labels
        figures[path.name] = figure

    for module in (*DRAWS.values(), model_figures):
        monkeypatch.setattr(module, "save_png", keep)
    return figures


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_records_are_drawn_again_with_their_data_named(path, saved):
    record = json.loads(path.read_text())
    module = DRAWS[record["script"]]
    drawn = module.draw(record, path.with_suffix(".csv"))
    assert [p.name for p in drawn] == list(saved)
    for file, figure in saved.items():
        data = names.DATA[record["settings"]["dataset"]]
        assert figure.get_suptitle().startswith(data)
        end = file.removeprefix(f"{record['name']}_").removesuffix(".png")
        assert end in module.CAPTIONS
        assert (RESULTS / "figures" / file).exists()
        assert_nothing_is_cut(figure)
        for axis in figure.axes:
            assert axis.get_xlabel() or len(figure.axes) > 4  # the lowest row's
            assert_ticks_are_apart(figure, axis)
            assert_curves_are_free(figure, axis)


def path_of_bandwidths(tmp_path, bandwidths, norms, **settings):
    """A record of min_norm.py and its CSV, in the order given."""
    rows = [
        {"filters": None, "bandwidth": g, "ridge": 0.0, "rkhs_norm": x, "test_error": y}
        for g, x, y in zip(bandwidths, norms, (0.1, 0.2, 0.3), strict=True)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "m.csv", index=False)
    settings = {
        "dataset": "mnist",
        "features": "raw",
        "kernel": "gaussian",
        "label_corruption": 0.0,
        "held_out": None,
        "sgd": False,
    } | settings
    return {"settings": settings, "train_size": 5000}, tmp_path / "m.csv"


def test_lines_go_forward_whatever_the_order_of_the_path(tmp_path, saved):
    kernel_figures.draw(*path_of_bandwidths(tmp_path, (4, 1, 2), (30, 90, 60)))
    (line,) = saved["m_bandwidth.png"].axes[0].lines
    np.testing.assert_allclose(line.get_xydata(), [(1, 20), (2, 30), (4, 10)])
    axis = saved["m_rkhs_norm.png"].axes[0]
    assert not axis.lines  # a line between norms would run up and down
    (points,) = axis.collections
    np.testing.assert_allclose(points.get_offsets(), [(30, 10), (60, 30), (90, 20)])
    assert len(np.unique(points.get_facecolor(), axis=0)) == 3
    (legend,) = saved["m_rkhs_norm.png"].legends
    said = [text.get_text() for text in legend.get_texts()]
    assert said == ["bandwidth 1", "bandwidth 2", "bandwidth 4"]


def test_what_was_solved_is_said(tmp_path, saved):
    record, csv = path_of_bandwidths(
        tmp_path, (1, 2, 4), (9, 6, 3), held_out=100, label_corruption=1.0
    )
    kernel_figures.draw(record, csv)
    for figure in saved.values():
        assert figure.get_suptitle() == (
            "MNIST, 5,000 examples, random labels\npixels, Gaussian kernel"
        )
        assert figure.axes[0].get_ylabel() == "error on held-out training images (%)"


def test_nothing_varies_and_nothing_is_drawn(tmp_path, saved):
    record, csv = path_of_bandwidths(tmp_path, (1, 1, 1), (9, 9, 9))
    assert kernel_figures.draw(record, csv) == [] and not saved


def measured(corruption, scale):
    """A model as analyze.py measures it, with margins of about `scale`."""
    grid = np.linspace(-1, 3, 50)
    return SimpleNamespace(
        row={
            "model": f"net_labels{corruption}_seed0" if corruption else "net_seed0",
            "dataset": "cifar10",
            "label_corruption": corruption,
        },
        eigenvalues=np.array([3.0, 2, 1]),
        density=SimpleNamespace(grid=grid, density=np.exp(-(grid**2))),
        margins=np.linspace(-1, 20, 100),
        normalized_margins=scale * np.linspace(-1, 20, 100),
    )


def test_the_analysis_has_one_legend_and_no_overprinted_ticks(tmp_path, saved):
    models = [measured(p, 1e-15) for p in (0, 0.5, 1)]
    model_figures.draw(models, tmp_path / "analysis.png")
    figure = saved["analysis.png"]
    (legend,) = figure.legends
    said = [text.get_text() for text in legend.get_texts()]
    assert said == ["true labels", "50% corrupted", "random labels"]
    assert len({p.get_facecolor() for p in legend.get_patches()}) == 3
    assert len(figure.axes) == 4 and not any(a.get_legend() for a in figure.axes)
    assert_nothing_is_cut(figure)
    for axis in figure.axes:
        assert_ticks_are_apart(figure, axis)
    assert figure.axes[3].get_xlabel() == "normalized margin / 1e-14"
    assert max(float(t.get_text()) for t in figure.axes[3].get_xticklabels()) < 10
    # No column stands empty: the panels are about equally far apart.
    ends = [axis.get_position() for axis in figure.axes]
    gaps = [b.x0 - a.x1 for a, b in zip(ends, ends[1:], strict=False)]
    assert max(gaps) < 0.15
    assert figure.axes[0].texts[0].get_text() == "net_seed0 (CIFAR-10)"

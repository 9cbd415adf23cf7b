"""The figures of examples.py, and what the report shows of it."""

import re

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from panels import (
    assert_curves_are_free,
    assert_nothing_is_cut,
    assert_ticks_are_apart,
)

import report
from common import records
from common.examples import files, measures, scores, summary
from common.report import example_figures, names
from common.sweep import artefacts, commands

EPOCHS, N, CLASSES = 6, 60, 10


def made_up(name, wrong=20, seed=0):
    """Examples of which the wrong ones are learned last."""
    rng = np.random.default_rng(seed)
    true = rng.integers(CLASSES, size=N)
    given = true.copy()
    given[:wrong] = (true[:wrong] + 1) % CLASSES
    epochs = []
    for epoch in range(EPOCHS):
        logits = rng.normal(size=(N, CLASSES))
        logits[np.arange(N), true] += 3
        logits[np.arange(N), given] += epoch
        epochs.append(measures.measure(logits, given, true))
    arrays = {key: np.stack([x[key] for x in epochs]) for key in measures.KINDS}
    return files.Examples(name, CLASSES, np.arange(N), given, true, **arrays)


@pytest.mark.parametrize("wrong, count", [(20, 4), (0, 3)])
def test_every_picture_has_a_caption_and_says_what_it_is_of(
    tmp_path, monkeypatch, wrong, count
):
    drawn = {}

    def keep(figure, path):
        FigureCanvasAgg(figure)
        figure.draw_without_rendering()  # laid out, with ticks and labels
        drawn[path.stem] = figure

    monkeypatch.setattr(example_figures, "save_png", keep)
    examples = made_up("a", wrong)
    found, images = scores.find(examples), np.zeros((N, 8, 8, 3), np.uint8)
    said = {"dataset": "cifar10", "what": "CIFAR-10, a network"}
    course = scores.courses(examples)
    paths = example_figures.draw(examples, found, course, images, 3, said, tmp_path)
    assert [path.stem for path in paths] == list(drawn) and len(paths) == count
    for stem, figure in drawn.items():
        assert stem.removeprefix("a_") in example_figures.CAPTIONS
        assert figure.get_suptitle() == "CIFAR-10, a network"
        assert_nothing_is_cut(figure)
        for axis in figure.axes:
            assert_ticks_are_apart(figure, axis)
            assert_curves_are_free(figure, axis)
    titles = [axis.get_title() for axis in drawn["a_examples_gallery"].axes]
    assert len(titles) == 24 and all("given" in title for title in titles)
    shown = sum("true" in title for title in titles)
    assert shown == min(wrong, 24)  # those that were flipped come first


@pytest.mark.parametrize(
    "flags, said",
    [
        ("", "true labels"),
        ("--random-labels", "100 % uniform label noise"),
        ("--label-corruption 0.2 --label-noise pair", "20 % pair label noise"),
        ("--label-noise human", "human label noise (worst)"),
        (
            "--label-noise transition --human-labels aggregate --label-corruption 0.5",
            "50 % human, by class, label noise (aggregate)",
        ),
    ],
)
def test_labels_are_named(flags, said):
    regime, _ = commands.parse(f"cifar10_mlp.py {flags}")
    assert names.labels(vars(regime)) == said


def test_the_report_shows_what_was_found(tmp_path, make_up, capsys):
    runs = artefacts.ARTEFACTS["examples"].runs
    keys = ("human labels (worst)", "their twin by class", "true labels")
    for seed, key in enumerate(keys):
        name = make_up(tmp_path, runs["MLP 1x512", key])
        examples = made_up(name, 0 if key == "true labels" else 20, seed)
        found = scores.find(examples)
        record = summary.numbers(examples, found) | {
            "script": "examples",
            "of": name,
            "argv": [],
            "says": summary.verdict(examples, found),
        }
        records.write_json(tmp_path / f"{name}_examples.json", record)
    report.main(["--results-dir", str(tmp_path)])
    assert "Left out" not in capsys.readouterr().err
    assert (tmp_path / "figures/examples.png").exists()
    page = (tmp_path / "report.html").read_text()
    text = (tmp_path / "README.md").read_text()
    for part in ("20 of 60 given labels", "Every given label of 60 is the true one."):
        assert part in page and part in text
    assert "figures/examples.png" in text and "wrong among the most suspected" in page
    caption = "Wrong labels, one seed each."
    assert caption in text and re.search(rf"<figcaption>\s*{caption}", page)


def test_a_record_of_another_run_is_left_out(tmp_path, make_up, capsys):
    name = make_up(tmp_path, "cifar10_mlp.py")
    examples = made_up(name)
    record = summary.numbers(examples, scores.find(examples))
    record |= {"script": "examples", "of": "another", "argv": [], "says": "x"}
    records.write_json(tmp_path / f"{name}_examples.json", record)
    assert name in records.read_all(tmp_path)
    assert "it is of 'another'" in capsys.readouterr().err


def test_a_damaged_record_ends_no_report(tmp_path, make_up, capsys):
    command = artefacts.ARTEFACTS["examples"].runs["MLP 1x512", "true labels"]
    name = make_up(tmp_path, command)
    (tmp_path / f"{name}_examples.json").write_text("{")
    report.main(["--results-dir", str(tmp_path)])
    assert f"{name}_examples.json" in capsys.readouterr().err
    assert (tmp_path / "report.html").exists()

"""Names shown and colours: of each model one, and told apart by every reader."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from common import datasets, records, reviews
from common.report import names, style
from common.report.corruption_figures import LINES
from common.sweep import artefacts, commands

RESULTS = Path(__file__).resolve().parents[2] / "results"
# Machado, Oliveira and Fernandes (2009): how a colour is seen without one kind of cone.
SEEN = {
    "by most": np.eye(3),
    "without M cones": np.array(
        [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]
    ),
    "without L cones": np.array(
        [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]
    ),
}
TO_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
)


def linear(colour):
    """Linear RGB in [0, 1] of `#rrggbb`."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIE L*a*b* of linear RGB, white D65."""
    x, y, z = np.cbrt(TO_XYZ @ rgb.clip(1e-3, 1) / (0.9505, 1, 1.089))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


IMAGES = {m.colour for m in names.MODELS.values() if m.script.startswith("cifar10")}
TEXTS = {m.colour for m in names.MODELS.values() if m.script == "imdb_text"}
CONDITIONS = {line["color"] for line in LINES.values()}


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("colours", (IMAGES, TEXTS, CONDITIONS), ids=len)
def test_colours_of_one_figure_are_told_apart(colours, seen):
    assert len(colours) > 3
    for a, b in itertools.combinations(colours, 2):
        apart = lab(SEEN[seen] @ linear(a)) - lab(SEEN[seen] @ linear(b))
        assert np.linalg.norm(apart) > 18, (a, b)


def test_colours_stand_out_from_the_page():
    """At least 2.5 to 1 from white, and from the dark page."""
    for ink, dark in style.DARK.items():
        light, page = TO_XYZ[1] @ linear(ink), TO_XYZ[1] @ linear("#14181d")
        assert 1.05 / (light + 0.05) > 2.5
        assert (TO_XYZ[1] @ linear(dark) + 0.05) / (page + 0.05) > 4.5
    assert {m.colour for m in names.MODELS.values()} <= set(style.INKS)
    assert set(style.DARK) == set(style.INKS)


def test_each_model_of_the_tables_is_named():
    for artefact in artefacts.ARTEFACTS.values():
        for key, command in artefact.runs.items():
            fields = dict(zip(artefact.columns, key, strict=True))
            if "model" not in fields or "l2norm" in str(command):
                continue
            settings, options = commands.parse(command, 0)
            regime = json.loads(json.dumps(vars(settings)))
            name = names.model({"script": options.script, "regime": regime})
            # A setting without BatchNorm is a row of Inception in one of the tables.
            assert name.removesuffix(" without BatchNorm") == fields[
                "model"
            ].removesuffix(" without BatchNorm")


def test_a_network_of_other_sizes_goes_by_them():
    record = {"script": "cifar10_mlp", "regime": {"hidden": [64, 32]}}
    assert names.model(record) == "cifar10_mlp 64-32"


def test_records_name_their_models():
    for path in RESULTS.glob("*.json"):
        record = json.loads(path.read_text())
        if "regime" in record:
            assert names.model(record) in names.MODELS


def test_data_are_named():
    assert set(names.DATA) >= {*datasets.NAMES, *reviews.NAMES}
    assert names.data({"dataset": "cifar10"}) == "CIFAR-10"
    size = {"dataset": "cifar10", "train_size": 5000}
    assert names.data(size) == "CIFAR-10, 5,000 examples"


def test_a_run_that_starts_from_other_weights_is_told_from_a_fresh_one():
    weights = "cifar10_alexnet_labels1_float32_seed0"
    fresh, started = (
        records.read(RESULTS / f"cifar10_alexnet_{start}float32_seed0.json")
        for start in ("", f"from-{weights}-weights_")
    )
    assert names.run(fresh) == "CIFAR-10, AlexNet, true labels"
    assert names.run(started) == f"{names.run(fresh)}, from {weights}"

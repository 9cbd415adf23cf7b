"""The trained networks that come with the collection, in saved_models/."""

import functools
import math
import re
from pathlib import Path

import keras
import pytest

from common import corruptions, datasets, models, pipelines, records
from common.regime import Regime
from common.sources import download

pytestmark = pytest.mark.usefixtures("sound_files")

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"
IGNORED = (ROOT / ".gitignore").read_text()
NAMES = re.findall(r"^!saved_models/(.+)\.h5$", IGNORED, re.MULTILINE)
TRAIN, TEST = 100, 200  # images that a network is tried on


named = functools.cache(datasets.named)


@functools.cache
def network(name):
    """The network; `load` compares its file with the record."""
    return models.load(ROOT / f"saved_models/{name}.h5")


def record_of(name):
    """(its record, its training and its test accuracy there)"""
    if name.startswith("mnist_l2norm_"):
        size, labels, stop = name.split("_")[2:5]
        wanted = size, labels, stop, "0"
        for line in records.read_rows(RESULTS / "mnist_l2norm.csv"):
            if (line["size"], line["labels"], line["stop"], line["seed"]) == wanted:
                accuracies = float(line["train_accuracy"]), float(line["test_accuracy"])
                return records.read(RESULTS / "mnist_l2norm.json"), *accuracies
    record = records.read(RESULTS / f"{name}.json")
    return record, record["final"]["train_accuracy"], record["final"]["val_accuracy"]


def test_they_are_of_both_kinds_of_labels():
    wanted = {
        f"cifar10_{network}{labels}_seed0"
        for network in ("mlp", "alexnet", "inception")
        for labels in ("", "_labels1")
    } | {
        f"mnist_l2norm_1024_{labels}_{stop}_seed0"
        for labels in ("true", "random")
        for stop in ("accuracy", "loss")
    }
    assert set(NAMES) == wanted


@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_network_of_its_record(name):
    path = ROOT / f"saved_models/{name}.h5"
    trained_on, recorded = records.of_model(path, RESULTS)
    assert recorded == records.sha256_of(path)
    noise = "_labels1" in name or "_random_" in name
    assert trained_on["label_corruption"] == noise
    weights = network(name).trainable_weights
    count = sum(math.prod(weight.shape) for weight in weights)
    assert count == record_of(name)[0]["parameters"]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_as_accurate_as_its_record_says(name):
    """To four standard errors of an accuracy on so few images, and 0.2 %.

    (The record measured all of them, and in bfloat16.)
    """
    trained_on, _ = records.of_model(ROOT / f"saved_models/{name}.h5", RESULTS)
    dataset = trained_on["dataset"]
    source, places = datasets.FACTS[dataset].source, download.looked_in(None)
    if not any(download.found(source, places)):
        pytest.skip(f"{dataset} is not in {places[0]}")
    settings = {key: x for key, x in trained_on.items() if hasattr(Regime, key)}
    regime = Regime(**settings)
    data = corruptions.corrupt(named(dataset, regime.train_size), regime)
    _, train, test = record_of(name)
    model = network(name)
    for images, labels, wanted in (
        (data.x_train[:TRAIN], data.y_train[:TRAIN], train),
        (data.x_test[:TEST], data.y_test[:TEST], test),
    ):
        x = pipelines.prepare(images, trained_on.get("inputs", "whitened"))
        logits = model(x.reshape(len(x), *model.input_shape[1:]), training=False)
        found = (keras.ops.convert_to_numpy(logits).argmax(1) == labels).mean()
        reach = 4 * math.sqrt(wanted * (1 - wanted) / len(x)) + 0.002
        assert found == pytest.approx(wanted, abs=reach)

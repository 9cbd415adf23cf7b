"""What models and data sets are called in figures and on the page, and their colours.

Imports neither Keras nor matplotlib.
"""

from pathlib import Path
from typing import NamedTuple

from common.report.style import BLUE, GREY, ORANGE, SILVER, SKY, YELLOW


class Model(NamedTuple):
    """How a network is known, and its colour in every figure."""

    script: str  # without `.py`
    settings: dict  # of its regime: what tells it from the script's other networks
    colour: str  # one of `style.INKS`; `style.DARK` has its colour on a dark page


# Name shown -> model. Networks of text stand in no figure with those of images.
MODELS = {
    "AlexNet": Model("cifar10_alexnet", {}, BLUE),
    "MLP 1x512": Model("cifar10_mlp", {"hidden": [512]}, YELLOW),
    "MLP 3x512": Model("cifar10_mlp", {"hidden": [512] * 3}, ORANGE),
    "Wide ResNet 28-1": Model("cifar10_wide_resnet", {"depth": 28, "width": 1}, SKY),
    "Inception": Model("cifar10_inception", {"batch_norm": True}, GREY),
    "Inception without BatchNorm": Model(  # in no figure with a Wide ResNet
        "cifar10_inception", {"batch_norm": False}, SKY
    ),
    "Inception v3": Model("imagenet_inception_v3", {}, GREY),
    "bag of embeddings": Model("imdb_text", {"model": "bag"}, YELLOW),
    "CNN on words": Model("imdb_text", {"model": "cnn"}, SKY),
    "LSTM": Model("imdb_text", {"model": "lstm"}, ORANGE),
    "transformer": Model("imdb_text", {"model": "transformer"}, SILVER),
}
DATA = {
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "mnist_5k": "MNIST (5,000 digits)",
    "synthetic": "synthetic images",
    "cifar10_jpeg": "CIFAR-10 as image files (2,000)",
    "imagenet": "ImageNet",
    "imdb": "IMDB reviews",
    "synthetic_text": "synthetic reviews",
}
# Of measures.py: the networks it ranks, and what it changes; others go by their names.
NETWORKS = {
    "grid": "networks of measures.py",
    "mnist_l2norm": "of mnist_l2norm.py",
    "mnist_l2norm_whitened": "of mnist_l2norm.py, whitened inputs",
    "analysis": "saved models of analyze.py",
}
SETTINGS = {"all": "all networks", "size": "examples", "noise": "label noise"}
# In the order of their numbers; others go by these.
CLASSES = {
    "cifar10": "plane car bird cat deer dog frog horse ship truck".split(),
    "fashion_mnist": "T-shirt trouser pullover dress coat sandal shirt sneaker bag "
    "boot".split(),
}


def model(record):
    """Returns the name shown of a training record's network.

    A network that is not in `MODELS` goes by its script and its hidden layers.
    """
    regime = record["regime"]
    for name, known in MODELS.items():
        if known.script == record["script"] and all(
            regime.get(key) == value for key, value in known.settings.items()
        ):
            return name
    hidden = "-".join(map(str, regime.get("hidden") or ()))
    return f"{record['script']} {hidden}".strip()


def colour(name):
    """Returns the colour of a name shown; the MLP's where it is not in `MODELS`."""
    return MODELS.get(name, MODELS["MLP 1x512"]).colour


def data(settings):
    """Says what was measured on: `CIFAR-10`, `CIFAR-10, 5,000 examples`.

    Args:
        settings: Dict with `dataset` and, where it is a part, `train_size`: of a
            regime, or of the settings of a script of many parts.
    """
    name = DATA.get(settings["dataset"], settings["dataset"])
    size = settings.get("train_size")
    return f"{name}, {size:,} examples" if size else name


def labels(regime):
    """Says what a training run's labels are: `20 % uniform label noise`."""
    p, kind = regime["label_corruption"], regime["label_noise"]
    if not p:
        return "true labels"
    if people := regime.get("human_labels"):
        kind = "human" if kind == "human" else "human, by class,"
        share = "" if p == 1 else f"{100 * p:g} % "
        return f"{share}{kind} label noise ({people})"
    return f"{100 * p:g} % {kind} label noise"


def run(record):
    """Says what a training record is of: `CIFAR-10, AlexNet, true labels`."""
    regime = record["regime"]
    said = [data(regime), model(record), labels(regime)]
    if start := regime.get("init_from"):
        said.append(f"from {Path(start).stem}")
    return ", ".join(said)

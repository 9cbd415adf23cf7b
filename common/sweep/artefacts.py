"""The paper's tables and figures, and ours, as the commands that make them.

Plain data, and no Keras: `reproduce.py` runs what is missing, `report.py` draws what
is there. An artefact's runs are keyed by their place in it, in the order of `columns`;
a command that stands in two artefacts is one run with one record.
"""

import contextlib
from typing import NamedTuple

from common.augmentations import NAMES as AUGMENTATIONS
from common.cli import UsageError
from common.sweep import commands

MLP = "cifar10_mlp.py"
MLP_3 = "cifar10_mlp.py --hidden 512 512 512"
ALEXNET = "cifar10_alexnet.py"
INCEPTION = "cifar10_inception.py"
WIDE_RESNET = "cifar10_wide_resnet.py"
TEXT = "imdb_text.py --model"
NO_BN = "cifar10_inception.py --no-batch-norm"

TABLE_1 = {
    1: f"{INCEPTION} --random-crop --wd 5e-4",
    2: f"{INCEPTION} --random-crop",
    3: f"{INCEPTION} --wd 5e-4",
    4: f"{INCEPTION}",
    5: f"{INCEPTION} --random-labels",
    6: f"{NO_BN} --wd 5e-4",
    7: f"{NO_BN}",
    8: f"{NO_BN} --random-labels",
    9: f"{ALEXNET} --random-crop --wd 5e-4",
    10: f"{ALEXNET} --random-crop",
    11: f"{ALEXNET} --wd 5e-4",
    12: f"{ALEXNET}",
    13: f"{ALEXNET} --random-labels",
    14: f"{MLP_3} --wd 1e-4",
    15: f"{MLP_3}",
    16: f"{MLP_3} --random-labels",
    17: f"{MLP} --wd 1e-4",
    18: f"{MLP}",
    19: f"{MLP} --random-labels",
}

IMAGENET = "imagenet_inception_v3.py"
_AUGMENT = "--augment crop,flip,color"
TABLE_2 = {
    1: f"{IMAGENET} {_AUGMENT} --wd 4e-5 --dropout 0.2",
    2: f"{IMAGENET} {_AUGMENT}",
    3: f"{IMAGENET} --wd 4e-5",
    4: f"{IMAGENET}",
    5: f"{IMAGENET} --random-labels --wd 4e-5 --dropout 0.2",
    6: f"{IMAGENET} --random-labels --wd 4e-5",
    7: f"{IMAGENET} --random-labels",
}

# Table 2's rows where there is no ImageNet: 2,000 photographs of ten classes. Small
# batches, and the rate of Table 2 in proportion to them.
_FEW_PHOTOGRAPHS = "--dataset cifar10_jpeg --image-size 75 --batch-size 32 --lr 0.0125"
# What the paper leaves open, and is tried: a smaller rate where 0.1 does not train, and
# the TensorFlow tutorial's network, from which AlexNet descends (docs/choices.md).
_TUTORIAL = "--wd 4e-3"
_TUTORIAL_WEIGHTS = "--init-from saved_models/alexnet_tutorial.h5"
UNSTATED = {
    (6, "learning rate 0.01"): "--lr 0.01",
    (8, "learning rate 0.01"): "--lr 0.01",
    (10, "weight decay 0.004"): _TUTORIAL,
    (12, "weight decay 0.004"): _TUTORIAL,
    (13, "weight decay 0.004"): _TUTORIAL,
    (12, "initial weights of the tutorial"): _TUTORIAL_WEIGHTS,
}
SCHEDULES = {"times 0.95 an epoch": "", "constant": "--lr-decay 1"}

CONDITIONS = {  # in the order in which they converge in the paper
    "true labels": "",
    "shuffled pixels": "--pixels shuffled",
    "gaussian pixels": "--pixels gaussian",
    "random pixels": "--pixels random",
    "random labels": "--random-labels",
}
TRUE_AND_RANDOM = {"true labels": "", "random labels": "--random-labels"}
OTHER_DATA = {
    "CIFAR-100": "cifar100",
    "MNIST": "mnist",
    "Fashion-MNIST": "fashion_mnist",
}
LEVELS = {  # label corruption: the flags that give it
    0.0: "",
    **{i / 10: f"--label-corruption {i / 10}" for i in range(1, 10)},
    1.0: "--random-labels",
}
TEXT_CONDITIONS = {
    "true labels": "",
    **{f"corrupted labels {p}": f"--label-corruption {p}" for p in (0.2, 0.5, 0.8)},
    "random labels": "--random-labels",
    "shuffled order": "--words shuffled",
    "shuffled order, each its own": "--words shuffled_each",
    "random words": "--words unigram",
}
REGULARIZERS = {  # (augmentation, weight decay, dropout): flags but for --wd
    ("none", "no"): "",
    ("none", "yes"): "--dropout 0.5",
    ("crop", "no"): "--random-crop",
    ("crop", "yes"): "--random-crop --dropout 0.5",
    ("crop, flip, color", "no"): "--augment crop,flip,color",
    ("crop, flip, color", "yes"): "--augment crop,flip,color --dropout 0.5",
}
DATA_SEEDS = {"first": "", "second": "--data-seed 1", "third": "--data-seed 2"}
# Small, so that full-batch descent can have its thousands of epochs.
SMALL = f"{MLP} --train-size 5000"
IMPLICIT = {
    "SGD, batch 128, momentum 0.9": SMALL,
    "no momentum": f"{SMALL} --momentum 0",
    "batch 16": f"{SMALL} --batch-size 16",
    "batch 1024": f"{SMALL} --batch-size 1024 --epochs 400 --lr-decay 1",
    "full batch": f"{SMALL} --batch-size full --epochs 2000 --lr-decay 1",
    "Adam": f"{SMALL} --optimizer adam",
    "RMSprop": f"{SMALL} --optimizer rmsprop",
    "Adagrad": f"{SMALL} --optimizer adagrad",
    "early stopping": f"{SMALL} --early-stopping 10",
}
IMPLICIT_BATCH_NORM = {
    "BatchNorm": f"{INCEPTION} --train-size 5000",
    "no BatchNorm": f"{NO_BN} --train-size 5000",
}
_CONV = "--dataset cifar10 --features random_conv"
KERNELS = {  # what report/paper.csv has, under its names, then smaller
    "MNIST, Gaussian kernel on pixels": "",
    "MNIST, Gabor wavelets": "--features gabor",
    "CIFAR-10, Gaussian kernel on pixels": "--dataset cifar10",
    "CIFAR-10, random convolutional net of 32000 filters": f"{_CONV} --ridge 0 0.1",
    "MNIST, pixels, 10,000 images": "--train-size 10000",
    "MNIST, Gabor, 10,000 images": "--train-size 10000 --features gabor",
    "MNIST, pixels, 10,000 images, random labels": "--train-size 10000 --random-labels",
    "CIFAR-10, pixels, 5,000 images": "--dataset cifar10 --train-size 5000",
    "CIFAR-10, random filters, 5,000 images": f"{_CONV} --train-size 5000 "
    "--filters 640 800 1024 2048 --ridge 0 0.1",
    "CIFAR-10, random filters, 20,000 images": f"{_CONV} --train-size 20000 "
    "--filters 4096 8192 --ridge 0 0.1",
    "SGD on a linear model": "--sgd",
}
_FOURIER, _RELU = "--features fourier", "--features relu"
FEATURES = {  # double descent; report/paper.csv has the first under its name
    "MNIST, random Fourier features": _FOURIER,
    "MNIST, random ReLU features": _RELU,
    "CIFAR-10, random Fourier features": f"{_FOURIER} --dataset cifar10",
    "CIFAR-10, random ReLU features": f"{_RELU} --dataset cifar10",
    "MNIST, the Gaussian kernel itself": "--train-size 10000",
}
LEFT_OUT = {
    "MNIST, pixels, 5,000 images": "--leave-one-out",
    "MNIST, Gabor wavelets, 5,000 images": "--leave-one-out --features gabor",
    "CIFAR-10, pixels, 5,000 images": "--leave-one-out --dataset cifar10",
}


_RECORDED = "--precision float32 --record-examples"  # names apart from the tables'
NOISE = {
    "true labels": "",
    "20 % corrupted": "--label-corruption 0.2",
    "40 % corrupted": "--label-corruption 0.4",
    "random labels": "--random-labels",
    "human labels (worst)": "--label-noise human",
    "their twin by class": "--label-noise transition",
}
_RANDOM_WEIGHTS = "saved_models/cifar10_alexnet_labels1_float32_seed0.h5"


class Artefact(NamedTuple):
    """A table or a figure: what it shows, and the runs behind it."""

    title: str
    says: str  # what a reader is to look for, in a sentence or two
    columns: tuple  # names of the parts of a key
    runs: dict  # key -> command


def _join(command, flags):
    return f"{command} {flags}".strip()


def _explicit(models):
    return {
        (model, augment, decay, dropout): _join(
            f"{command} --wd {wd}" if decay == "yes" else command, flags
        )
        for model, (command, wd) in models.items()
        for (augment, dropout), flags in REGULARIZERS.items()
        for decay in ("no", "yes")
    }


def _augmented():
    """Each augmentation alone; with random labels those that the paper has too."""
    plain = {"none": ""}
    alone = {name: f"--augment {name}" for name in AUGMENTATIONS}
    few = {name: alone[name] for name in ("crop", "flip")}
    return {
        (model, labels, name): _join(_join(command, wanted), flags)
        for model, command in {"AlexNet": ALEXNET, "MLP 1x512": MLP}.items()
        for (labels, wanted), names in zip(
            TRUE_AND_RANDOM.items(), (plain | alone, plain | few), strict=True
        )
        for name, flags in names.items()
    }


def _scheduled(flags=""):
    """Rows of Table 2 with more flags, under either schedule of the rate."""
    return {
        (row, schedule): _join(_join(command, flags), decay)
        for row, command in TABLE_2.items()
        for schedule, decay in SCHEDULES.items()
    }


def _crossed(models, settings):
    return {
        (model, key): _join(command, flags)
        for model, command in models.items()
        for key, flags in settings.items()
    }


_DEMO_MLP = "cifar10_mlp.py --dataset mnist_5k"
_DEMO_NOISE = "--lr-decay 1 --epochs 100 --stop-at 0.999"
ARTEFACTS = {
    "table_1": Artefact(
        "Table 1: CIFAR-10",
        "Whether every network fits true and random labels alike, so that only the "
        "test accuracy tells them apart, and whether a regularizer is needed.",
        ("row",),
        {(row,): command for row, command in TABLE_1.items()},
    ),
    "unstated": Artefact(
        "Table 1 under what the paper leaves open",
        "Whether a smaller rate trains Inception without BatchNorm, and whether the "
        "weight decay and initial weights of the network from which AlexNet descends "
        "explain where the paper's differs from ours.",
        ("row", "with"),
        {
            (row, what): _join(TABLE_1[row], flags)
            for (row, what), flags in UNSTATED.items()
        },
    ),
    "precision": Artefact(
        "Table 1 in bfloat16 and in float32",
        "Whether the shorter numbers in which every row of Table 1 was trained change "
        "how fast labels are fitted, and what is learnt.",
        ("row", "precision"),
        {
            (row, precision): f"{TABLE_1[row]} --precision {precision}"
            for row in (12, 13, 15, 16)
            for precision in ("bfloat16", "float32")
        },
    ),
    "table_2": Artefact(
        "Table 2: ImageNet",
        "Inception v3 fits random labels of 1.3 million images, too; augmentation adds "
        "most to the test accuracy, and without any regularizer it stays far above "
        "chance (0.1 %).",
        ("row",),
        {(row,): command for row, command in TABLE_2.items()},
    ),
    "schedule": Artefact(
        "Table 2: with and without the schedule of the learning rate",
        "What the rate's decay adds to the test accuracy, and whether random labels "
        "are fitted without it.",
        ("row", "learning rate"),
        _scheduled(),
    ),
    "table_2_small": Artefact(
        "Table 2's rows on 2,000 photographs of CIFAR-10",
        "Not ImageNet: Inception v3 under every row of Table 2 on a small real set in "
        "image files, 75 pixels wide, so that each row can be run on one machine.",
        ("row", "learning rate"),
        _scheduled(_FEW_PHOTOGRAPHS),
    ),
    "figure_1": Artefact(
        "Figure 1: fitting random labels and random pixels",
        "Whether (a) training reaches zero loss under every corruption, as in the "
        "paper; (b) more corrupted labels take longer, by a small factor; (c) the test "
        "error rises to chance.",
        ("model", "corruption"),
        _crossed({"Inception": INCEPTION, "AlexNet": ALEXNET}, CONDITIONS)
        | _crossed(
            {"Inception": INCEPTION, "AlexNet": ALEXNET, "MLP 1x512": MLP}
            | {"Wide ResNet 28-1": WIDE_RESNET},
            LEVELS,
        ),
    ),
    "figure_2": Artefact(
        "Figure 2b: BatchNorm and early stopping",
        "Whether BatchNorm makes training smoother and the test accuracy higher; the "
        "running best (dashed) is what early stopping could have had at most.",
        ("model",),
        {("Inception",): INCEPTION, ("Inception without BatchNorm",): NO_BN},
    ),
    "random_label_regularizers": Artefact(
        "Random labels under explicit regularizers",
        "Whether weight decay or augmentation keeps a network from fitting noise; in "
        "the paper they mostly do not.",
        ("model", "regularizer"),
        {
            ("Inception", "weight decay"): f"{INCEPTION} --random-labels --wd 5e-4",
            ("AlexNet", "weight decay"): f"{ALEXNET} --random-labels --wd 5e-4",
            ("MLP 3x512", "weight decay"): f"{MLP_3} --random-labels --wd 1e-4",
            ("MLP 1x512", "weight decay"): f"{MLP} --random-labels --wd 1e-4",
            # For these two the paper slows the decay and trains longer. What it calls
            # augmentation here is flips and rotations.
            ("Inception", "random cropping"): f"{INCEPTION} --random-labels "
            "--random-crop --lr-decay 0.999 --epochs 150",
            ("Inception", "augmentation"): f"{INCEPTION} --random-labels "
            "--augment flip,rotate --lr-decay 0.999 --epochs 150",
        },
    ),
    "inputs": Artefact(
        "Corrupted inputs",
        "Whether networks fit pixels without any structure too, and in how many "
        "epochs, compared with random labels.",
        ("model", "inputs"),
        _crossed(
            {"MLP 1x512": MLP, "MLP 3x512": MLP_3, "AlexNet": ALEXNET}
            | {"Inception": INCEPTION, "Wide ResNet 28-1": WIDE_RESNET},
            CONDITIONS,
        ),
    ),
    "explicit": Artefact(
        "Explicit regularization",
        "How much of the test accuracy augmentation, weight decay and dropout add, "
        "alone and together; in the paper augmentation adds most, and none is needed.",
        ("model", "augmentation", "weight decay", "dropout"),
        _explicit({"AlexNet": (ALEXNET, "5e-4"), "MLP 1x512": (MLP, "1e-4")}),
    ),
    "augmentations": Artefact(
        "Each augmentation alone",
        "What each of the six adds to the test accuracy by itself, and whether random "
        "labels are fitted under crops or mirror images.",
        ("model", "labels", "augmentation"),
        _augmented(),
    ),
    "data_seeds": Artefact(
        "Other draws of the random labels",
        "Whether what is said of random labels depends on which ones were drawn: "
        "--seed draws the weights and the order, --data-seed the labels.",
        ("row", "labels drawn"),
        {
            (row, draw): _join(TABLE_1[row], flags)
            for row in (13, 16, 19)
            for draw, flags in DATA_SEEDS.items()
        },
    ),
    "implicit": Artefact(
        "Implicit regularization",
        "On 5,000 images: what the optimizer, the batch, the stopping rule and "
        "BatchNorm do by themselves.",
        ("model", "setting"),
        {("MLP 1x512", setting): command for setting, command in IMPLICIT.items()}
        | {("Inception", setting): run for setting, run in IMPLICIT_BATCH_NORM.items()},
    ),
    "other_data": Artefact(
        "The same experiment on other data",
        "Whether a network that fits CIFAR-10's random labels fits those of easier "
        "data and of 100 classes too. Gray images make a network of fewer weights.",
        ("data", "model", "corruption"),
        {
            (data, model, labels): f"{command} --dataset {name} {flags}".strip()
            for data, name in OTHER_DATA.items()
            for model, command in {"MLP 1x512": MLP, "AlexNet": ALEXNET}.items()
            for labels, flags in TRUE_AND_RANDOM.items()
        },
    ),
    "text": Artefact(
        "Text: IMDB reviews",
        "Whether text classifiers memorize labels and words without information as "
        "image classifiers do, and what the order of words is worth to each.",
        ("model", "condition"),
        _crossed(
            {
                "bag of embeddings": f"{TEXT} bag",
                "CNN on words": f"{TEXT} cnn",
                "LSTM": f"{TEXT} lstm",
                "transformer": f"{TEXT} transformer",
            },
            TEXT_CONDITIONS,
        ),
    ),
    "l2norm": Artefact(
        "L2 norm and curvature against size",
        "Random labels take longer to fit and need larger weights, whatever the scale "
        "of the inputs.",
        ("data", "inputs"),
        {
            ("MNIST", "pixels / 255"): "mnist_l2norm.py",
            ("MNIST", "whitened"): "mnist_l2norm.py --inputs whitened",
        },
    ),
    "kernels": Artefact(
        "Kernels and the minimum norm",
        "One linear system in place of training, no regularization, and it "
        "generalizes. Neither the size of the model nor, across features, the norm of "
        "the solution tells how well.",
        ("setting",),
        {(setting,): _join("min_norm.py", flags) for setting, flags in KERNELS.items()},
    ),
    "double_descent_features": Artefact(
        "Double descent on random features",
        "Whether the test error peaks where there are as many features as images, and "
        "falls below its first minimum beyond, towards the kernel's; and whether the "
        "norm of the solution does so too. Published: Belkin et al. (2019).",
        ("setting",),
        {
            (setting,): _join("min_norm.py", flags)
            for setting, flags in FEATURES.items()
        },
    ),
    "leave_one_out": Artefact(
        "Leave-one-out: which labels are memorized",
        "What a kernel interpolator predicts for each training image without it, in "
        "closed form: where it is wrong, the label was memorized (Feldman, 2020). Of "
        "random labels of ten classes 90 % have to be.",
        ("setting",),
        {
            (setting,): _join("min_norm.py", flags)
            for setting, flags in LEFT_OUT.items()
        },
    ),
    "double_descent_networks": Artefact(
        "Double descent on networks",
        "The test error against the number of weights falls, rises towards the "
        "threshold where the training set can just be reproduced, and falls again far "
        "beyond; most of all with corrupted labels.",
        ("networks",),
        {("one hidden layer, 4,000 digits",): "double_descent.py"},
    ),
    "influence": Artefact(
        "Memorization scores and influence",
        "Most digits are predicted as well without them; the few that are memorized "
        "are odd ones, and help test digits that look alike. Random labels can only be "
        "memorized: their score is 1 - 1/K.",
        ("labels",),
        {
            ("true",): "influence.py",
            ("random, 500 digits",): (
                "influence.py --random-labels --train-size 500 --epochs 400"
            ),
        },
    ),
    "measures": Artefact(
        "Which measure predicts the generalization gap?",
        "Kendall's tau of norms, margins, bounds and curvature with the gap. A measure "
        "that ranks networks well over all may rank them wrongly where one setting "
        "alone is changed.",
        ("networks",),
        {
            ("a grid of 96 on MNIST",): (
                "measures.py --widths 32 128 --batch-size 32 128"
            )
        },
    ),
    "theory": Artefact(
        "Theory: what a network could fit at all",
        "A network that is built, not trained, takes any labels; networks that fit "
        "random signs have a Rademacher complexity of 1, so that the bound says "
        "nothing; the number of weights tells how many labels can be memorized. A "
        "bound that training makes small does say something, with true labels.",
        ("experiment",),
        {
            ("Theorem 1, constructed",): "expressivity.py theorem",
            ("Rademacher complexity",): "expressivity.py rademacher",
            ("Memorization capacity",): "expressivity.py memorize",
            ("PAC-Bayes bound",): "expressivity.py bound",
        },
    ),
    "examples": Artefact(
        "Example by example: which are memorized, and when",
        "How early wrong labels can be told from right ones, by what, and whether "
        "people's mistakes are harder to find than the same number drawn at random "
        "within each class. Last: what a start from weights that fit random labels "
        "costs.",
        ("model", "labels"),
        {
            (model, labels): _join(f"{command} {_RECORDED}", flags)
            for model, command in (
                ("MLP 1x512", f"{MLP} --epochs 30"),
                ("AlexNet", ALEXNET),
            )
            for labels, flags in NOISE.items()
        }
        | {
            ("AlexNet", "true labels, from random-label weights"): (
                f"{ALEXNET} {_RECORDED} --init-from {_RANDOM_WEIGHTS}"
            )
        },
    ),
    "demo": Artefact(
        "Demo",
        "5,000 real digits and images made by the project: the same findings in "
        "minutes, without a download.",
        ("data", "model", "corruption"),
        {
            ("digits", "MLP 1x512", "true labels"): f"{_DEMO_MLP} --epochs 30",
            ("digits", "MLP 1x512", "random labels"): f"{_DEMO_MLP} --random-labels "
            f"{_DEMO_NOISE}",
            **{
                ("digits", "MLP 1x512", p): f"{_DEMO_MLP} --label-corruption {p} "
                f"{_DEMO_NOISE}"
                for p in (0.2, 0.4, 0.6, 0.8)
            },
            **{
                ("digits", "MLP 1x512", name): f"{_DEMO_MLP} {flags} --epochs 30"
                for name, flags in CONDITIONS.items()
                if "pixels" in flags
            },
            ("synthetic images", "AlexNet", "true labels"): (
                f"{ALEXNET} --dataset synthetic --epochs 20"
            ),
            ("digits", "MLP 2x64", "both labels"): "mnist_l2norm.py --dataset mnist_5k "
            "--max-size 256 --seeds 2",
        },
    ),
}


def all_varied(dataset=None, flags=None):
    """Returns `ARTEFACTS` on another data set and with more flags.

    Runs that cannot be had so are left out, and artefacts of which none is left.
    """
    found = {}
    for name, artefact in ARTEFACTS.items():
        runs = {}
        for key, run in artefact.runs.items():
            if dataset and "data" in artefact.columns:
                i = artefact.columns.index("data")
                key = (*key[:i], dataset, *key[i + 1 :])
            with contextlib.suppress(UsageError):
                runs.setdefault(key, commands.varied(run, dataset, flags))
        if runs:
            found[name] = artefact._replace(runs=runs)
    return found

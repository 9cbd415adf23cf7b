"""What every script can be told, and its defaults (imports no Keras).

A `Regime` holds everything that decides the numbers of a training run, `Options` only
how it is run; `L2Norm`, `MinNorm`, `Expressivity`, `DoubleDescent`, `Measures`
and `Influence` are the settings of the scripts that measure many small parts. A run's
name is a pure function of the script and of the settings that differ from the script's
defaults, which are in the table `DEFAULTS`.
"""

import argparse
import functools
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common import cli, datasets, memory, reviews, settings
from common.augmentations import IN_FILES as FILE_AUGMENTATIONS
from common.augmentations import NAMES as AUGMENTATIONS
from common.cli import UsageError
from common.settings import (
    Settings,
    address,
    ascending,
    distinct,
    folder_name,
    number,
    one_of_n,
    seed,
    setting,
    short,
)

LABEL_NOISE = ("uniform", "exclusive", "pair", "exact")
HUMAN_NOISE = ("human", "transition")  # of CIFAR-10 alone
PIXELS = ("true", "shuffled", "random", "gaussian")
TEXT_MODELS = ("bag", "cnn", "lstm", "transformer")
WORDS = ("true", "shuffled", "shuffled_each", "unigram")
OPTIMIZERS = ("sgd", "adam", "rmsprop", "adagrad")
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
# A script's rate belongs to its own optimizer; the others start from these, which
# are Keras's but for Adagrad's, ten times that: its rates only fall.
DEFAULT_RATES = {"sgd": 0.01, "adam": 0.001, "rmsprop": 0.001, "adagrad": 0.01}
# Of min_norm.py. The companion script's for raw MNIST is 0.02; the others are the best
# of a path on training images held out.
BANDWIDTHS = {"raw": 0.01, "gabor": 4.0}
FILTERS = (8192, 16384, 32000)  # the paper's, and what leads there
RANDOM_FEATURES = ("fourier", "relu")  # of min_norm.py, as many as one asks for
# Their numbers over that of the images: those of Belkin et al. (2019), and two more.
NUM_FEATURES = (0.02, 0.1, 0.3, 0.6, 0.9, 1, 1.1, 1.4, 2, 4, 6)
RANDOM_FEATURES_SIZE, LEFT_OUT_SIZE = 10_000, 5_000  # images, where not told
LEVELS = (0.0, 0.2, 1.0)  # of label corruption, that one factor solves
POOL = 10_000  # images whose principal components expressivity.py takes

# One word for one thing in every script; the others go on working.
SIZE = {"names": ("--train-size", "--size", "--sizes")}
OPTIMIZER = {"names": ("--optimizer", "--opt")}
EPOCHS = {"names": ("--epochs", "--max-epochs")}
ASCENDING = {"then": ascending, "nargs": "+"}
SWITCH = {"action": "store_true", "shown": ""}


def _augmentations(text):
    names = text.split(",")
    unknown = sorted(set(names) - set(AUGMENTATIONS))
    if unknown:
        raise argparse.ArgumentTypeError(
            f"received {', '.join(unknown)!r}, expected some of "
            f"{','.join(AUGMENTATIONS)} with commas between; without the flag there "
            "is none"
        )
    return tuple(name for name in AUGMENTATIONS if name in names)


class _AddAugmentations(argparse.Action):
    """`--random-crop --augment flip` means both, in whatever order."""

    def __call__(self, parser, namespace, values, option_string=None):
        values = ("crop",) if self.nargs == 0 else values
        names = set(values) | set(getattr(namespace, self.dest, ()))
        setattr(namespace, self.dest, tuple(n for n in AUGMENTATIONS if n in names))


# --random-crop is a word for --augment crop, and both add up.
AUGMENT = {
    "type": _augmentations,
    "action": _AddAugmentations,
    "metavar": "A,B",
    "also": (
        (
            "--random-crop",
            "the same as --augment crop",
            {"dest": "augment", "nargs": 0, "action": _AddAugmentations},
        ),
    ),
}


def _depth(text):
    value = number(int, 10)(text)
    if value % 6 != 4:
        raise argparse.ArgumentTypeError(
            f"received {text!r}, expected 6 n + 4: 10, 16, 22, 28, 40 ..."
        )
    return value


def _batch_size(text):
    return text if text == "full" else integer(text)


def _devices(text):
    return text if text == "local" else address(text)


integer, several = number(int, 1), number(int, 2)
probability = number(float, 0, 1, metavar="P")
rate = number(float, 0, 0.99, metavar="R")
positive = number(float, 0, above=True, metavar="X")
share = number(float, 0, 1, above=True, metavar="X")


# Which scripts have a flag: functions of a script's defaults and the field's name.


def _has_choice(defaults, name):
    return getattr(defaults, name) is not None


def _trains(defaults, _):
    return isinstance(defaults, Regime)


def _reads_images(defaults, _):
    return defaults.words is None


def _reads_files(defaults, _):
    return getattr(defaults, "image_size", None) is not None


choice = functools.partial(setting, None, offered=_has_choice)  # None: it has none


def _trains_on_arrays(defaults, name):
    return _trains(defaults, name) and not _reads_files(defaults, name)


def _reads_image_arrays(defaults, name):
    return _reads_images(defaults, name) and not _reads_files(defaults, name)


# What several scripts share.


def _datasets(defaults):
    """The names that --dataset takes; none where it takes any name."""
    if _reads_files(defaults, ""):
        return ()
    return reviews.NAMES if getattr(defaults, "words", None) else datasets.NAMES


def _say_datasets(defaults):
    files = ", ".join(datasets.FILES)
    own = f"{files}, or your own name for what --data-dir holds"
    return ", ".join(_datasets(defaults)) or own


def _refuse_unknown_data(settings):
    names = _datasets(settings)
    if names and settings.dataset not in names:
        raise UsageError(
            f"unknown data set {settings.dataset!r}. Expected {', '.join(names)}."
        )


def _facts(settings):
    """Returns the `datasets.Facts` of the data set; None of one's own images."""
    known = _datasets(settings) or datasets.FILES
    return datasets.FACTS[settings.dataset] if settings.dataset in known else None


def _refuse_more(flag, asked, there_are, where):
    if asked and asked > there_are:
        raise UsageError(
            f"{flag} {asked}: {where} has {there_are} training examples. Expected at "
            f"most {there_are}."
        )


def _refuse_few(asked, classes, dataset):
    if asked < classes:
        raise UsageError(
            f"--train-size {asked}: {dataset} has {classes} classes. Expected at least "
            f"{classes} examples."
        )


def _refuse_last_seed(settings):
    if settings.seed + settings.seeds > 2**32:
        raise UsageError(
            f"--seed {settings.seed} --seeds {settings.seeds}: seeds end at "
            f"{2**32 - 1}."
        )


def _refuse_what_draws_nothing(settings, drawn):
    """Refuses kinds of label noise, and seeds, where nothing is drawn."""
    if settings.label_noise != "uniform" and not settings.label_corruption:
        raise UsageError(
            f"--label-noise {settings.label_noise} has no meaning without "
            "--label-corruption P or --random-labels: no label is replaced."
        )
    p, kind = settings.label_corruption, settings.label_noise
    replaced_at_random = p and (kind, p) != ("human", 1)
    if settings.data_seed and not (drawn or replaced_at_random):
        raise UsageError(
            f"--data-seed {settings.data_seed} has no meaning where nothing of the "
            "data is drawn, no subset and no corruption: leave it out."
        )


_RANDOM = "the paper's randomization test: --label-corruption 1"
RANDOM_LABELS = (("--random-labels", _RANDOM, {"action": "store_true"}),)


def _resolve_random_labels(given):
    if given.pop("random_labels", False):
        p = given.setdefault("label_corruption", 1.0)
        if p != 1:
            raise UsageError(
                "--random-labels means --label-corruption 1, but "
                f"--label-corruption {p} was given too: leave one out."
            )


def _resolve_labels(given):
    """As `_resolve_random_labels`; people's labels are all of them, the worst."""
    _resolve_random_labels(given)
    if "human_labels" in given:
        given.setdefault("label_noise", "human")
    if given.get("label_noise") in HUMAN_NOISE:
        given.setdefault("label_corruption", 1.0)
        given.setdefault("human_labels", datasets.HUMAN_LABELS[0])


def _saved_model(text):
    """An argparse type: the path of a .h5 file, whose name is a part of a run's."""
    path = folder_name(text)
    if not re.fullmatch(r"[\w.,-]+\.h5", Path(path).name, re.ASCII):
        raise argparse.ArgumentTypeError(
            f"received {text!r}, expected a file of letters, digits, - and _ that ends "
            "in .h5, as in saved_models/cifar10_mlp_seed0.h5"
        )
    return path


_SIZE = {"type": several, "metavar": "N"}
SIZES_AS_RANGE = (
    (
        "--max-size",
        "in place of --train-size: 128, 256, 512 ... up to N (default: 1024)",
        _SIZE,
    ),
    ("--step", "in its place: N, 2 N ... up to --max-size", _SIZE),
)


def _say_augmentations(defaults):
    names = FILE_AUGMENTATIONS if defaults.image_size else AUGMENTATIONS
    return f"any of {','.join(names)}; drawn anew for every image"


def _say_dropout(defaults):
    where = "before dense layers"
    if defaults.hidden:
        where += ", but the first"
    elif defaults.depth:
        where = "between the two convolutions of a block"
    return f"dropout rate, {where}"


def _say_rates(defaults):
    others = {k: v for k, v in DEFAULT_RATES.items() if k != defaults.optimizer}
    first = f"{defaults.lr} with {defaults.optimizer}; "
    return first + ", ".join(f"{value:g} with {name}" for name, value in others.items())


def _in_few_digits(word):
    """The part of a name that a number is, or a path's values."""
    return lambda x: word + "-".join(map(short, x if isinstance(x, tuple) else (x,)))


def _reads_as_a_part(word, regime):
    """Whether part of a data set's name may be taken for another setting's."""
    if word == "noaugment" or {*word.split("-")} <= {*AUGMENTATIONS}:
        return True
    if word.endswith("-weights"):  # of --init-from
        return True
    for each in settings.offered(Regime, regime):
        flag = each.metadata["flag"]
        if word in flag.argument.get("choices", ()):
            return True
        begin = flag.part.removesuffix("{}") if isinstance(flag.part, str) else ""
        if begin and re.fullmatch(rf"{begin}([\d.]+|full)|nobn", word, re.ASCII):
            return True
    return False


@dataclass(frozen=True)
class Regime(Settings):
    """The hyper-parameters that uniquely determine a training run.

    None where the script has no such choice: `batch_norm`, `hidden`, `depth`, `width`
    of some networks, `model`, `words` and `word_dropout` of text, `image_size` of
    images in files.
    """

    longest_name = 233  # `.NAME_init.PID.part.h5` is the longest of its files

    dataset: str = setting("cifar10", _say_datasets)
    model: str | None = choice(
        "bag of embeddings, CNN, LSTM or transformer encoder", choices=TEXT_MODELS
    )
    train_size: int | None = setting(
        None,
        "the first N of a seeded, class-balanced subset; the test set stays whole",
        "n{}",
        integer,
        **SIZE,
        shown="all",
    )
    label_corruption: float = setting(
        0.0,
        "replace each training label, with probability P, as --label-noise says",
        "labels{}",
        probability,
        also=RANDOM_LABELS,
    )
    label_noise: str = setting(
        "uniform",
        "uniform: any class, maybe the true one (the paper's); exclusive: never "
        "the true one; pair: the next class; exact: exactly P*n labels, uniform; "
        "human: what people said (CIFAR-10N, P = 1 unless given); transition: the same "
        "labels, exchanged within each true class",
        choices=LABEL_NOISE + HUMAN_NOISE,
    )
    human_labels: str | None = setting(
        None,
        "of CIFAR-10N: worst of three labels, their majority, or one of them",
        choices=datasets.HUMAN_LABELS,
        offered=_reads_image_arrays,
        shown="worst",
    )
    pixels: str = setting(
        "true",
        "shuffled: one permutation for all images; random: one for each image; "
        "gaussian: noise in place of the image",
        choices=PIXELS,
        offered=_reads_images,
    )
    words: str | None = choice(
        "shuffled: one permutation of the positions for all reviews; "
        "shuffled_each: one for each review; unigram: every word replaced by a "
        "random word of the training set",
        choices=WORDS,
    )
    hidden: tuple[int, ...] | None = choice(
        "units of the hidden layers",
        "hidden{}",
        integer,
        then=tuple,
        nargs="+",
        metavar="UNITS",
    )
    depth: int | None = choice(
        "layers, 6 n + 4: 10, 16, 22, 28, 40 ...", "depth{}", _depth, metavar="D"
    )
    width: int | None = choice(
        "factor of the numbers of channels", "width{}", integer, metavar="K"
    )
    image_size: int | None = choice(
        "side that images are resized to", "size{}", number(int, 75, metavar="S")
    )
    batch_norm: bool | None = choice(
        "BatchNorm in the network",
        "nobn",
        shown="with",
        action=argparse.BooleanOptionalAction,
    )
    wd: float = setting(
        0.0,
        "weight decay: W/2 * ||kernel||^2 is added to the loss, kernels only",
        "wd{}",
        number(float, 0, metavar="W"),
    )
    dropout: float = setting(
        0.0,
        _say_dropout,
        "dropout{}",
        rate,
    )
    word_dropout: float | None = choice(
        "rate at which words of training reviews become unknown, anew in every epoch",
        "worddropout{}",
        rate,
    )
    augment: tuple[str, ...] = setting(
        (),
        _say_augmentations,
        lambda names: "-".join(names) or "noaugment",
        offered=_reads_images,
        shown="none",
        **AUGMENT,
    )
    optimizer: str = setting("sgd", "update rule", choices=OPTIMIZERS, **OPTIMIZER)
    lr: float = setting(
        0.01, "learning rate of the first epoch", "lr{}", positive, shown=_say_rates
    )
    momentum: float = setting(
        0.9,
        "momentum, of sgd and rmsprop",
        "momentum{}",
        number(float, 0, 0.9999, metavar="M"),
        shown="0.9 with sgd, else 0",
    )
    lr_decay: float = setting(
        0.95, "the rate is multiplied by X after every epoch", "decay{}", share
    )
    batch_size: int | str = setting(
        128,
        lambda defaults: (
            "images an update"
            if defaults.image_size
            else "an integer, or full for full-batch gradient descent"
        ),
        "batch{}",
        _batch_size,
        metavar="B",
    )
    epochs: int = setting(50, "upper limit", "epochs{}", integer, **EPOCHS)
    stop_at: float | None = setting(
        None,
        "stop once the training accuracy, evaluated after an epoch, has reached X",
        "stop{}",
        share,
        shown="off",
    )
    early_stopping: int | None = setting(
        None,
        "stop N epochs after the best accuracy on a tenth held out of the training "
        "set, and report that best; its labels are corrupted like all others",
        "early{}",
        integer,
        shown="off",
    )
    init_from: str | None = setting(
        None,
        "start from the weights of a saved network of the same shape, with a fresh "
        "optimizer",
        lambda path: f"from-{Path(path).stem}-weights",  # where the stem ends
        _saved_model,
        shown="random weights",
        metavar="MODEL.h5",
    )
    precision: str = setting(
        "auto",
        "auto: bfloat16 where the hardware computes it natively, else float32",
        choices=PRECISIONS,
    )
    data_seed: int = setting(0, "corruption and subset", "dataseed{}", seed)
    seed: int = setting(
        0, "weights, order, augmentation, dropout", "seed{}", seed, always=True
    )

    resolve = staticmethod(_resolve_labels)

    def follow(self, given):
        """Another optimizer than the script's own has another rate and momentum."""
        optimizer = given.get("optimizer", self.optimizer)
        if optimizer == self.optimizer:
            return {}
        momentum = Regime.momentum if optimizer == "sgd" else 0.0
        return {"lr": DEFAULT_RATES[optimizer], "momentum": momentum}

    def check(self, given):
        _refuse_unknown_data(self)
        if "crop" in self.augment and self.pixels != "true":
            raise UsageError(
                f"--random-crop cannot go with --pixels {self.pixels}: pixel "
                "corruption acts on the fixed centre crop, so that no window is left "
                "to draw. Leave one of the two out."
            )
        changed = {self.pixels, self.words} - {None, "true"}
        _refuse_what_draws_nothing(self, self.train_size or changed)
        self.check_human_labels()
        if self.momentum and self.optimizer not in ("sgd", "rmsprop"):
            raise UsageError(
                f"--momentum {self.momentum} has no meaning for --optimizer "
                f"{self.optimizer}; it belongs to sgd and rmsprop."
            )

        if self.batch_size == "full" and self.precision == "float16":
            raise UsageError(
                "--batch-size full cannot go with --precision float16, which leaves "
                "out parts of the batch that overflow: choose another precision."
            )

        if self.image_size:
            self.check_files()

    def check_data(self):
        """A batch that is larger than the set is refused, unless it is the default."""
        if facts := _facts(self):
            _refuse_more("--train-size", self.train_size, facts.train, self.dataset)
            left = self.train_size or facts.train
            left -= left // 10 if self.early_stopping else 0
            if self.batch_size not in ("full", Regime.batch_size):
                _refuse_more("--batch-size", self.batch_size, left, "the run")

    def check_human_labels(self):
        """Refuses people's labels where there are none.

        Raises:
            UsageError: For such settings.
        """
        human = self.label_noise in HUMAN_NOISE
        if self.human_labels and not human:
            raise UsageError(
                f"--human-labels {self.human_labels} has no meaning with --label-noise "
                f"{self.label_noise}; it belongs to human and transition."
            )
        if human and self.dataset != "cifar10":
            raise UsageError(
                f"--label-noise {self.label_noise}: people labelled CIFAR-10 "
                f"(CIFAR-10N). Received: --dataset {self.dataset}."
            )

    def check_files(self):
        """Refuses what images in files do not have.

        Raises:
            UsageError: For such settings.
        """
        name = self.dataset
        if not re.fullmatch(r"[\w-]+", name) or len(name.encode()) > 255:
            raise UsageError(
                f"--dataset {name!r}: expected letters, digits, - and _, at most 255 "
                "bytes."
            )
        if _reads_as_a_part(last := name.rpartition("_")[2], self):
            raise UsageError(
                f"--dataset {name}: {last!r} at its end means another setting in the "
                "names of runs. Give the folder another name."
            )
        unknown = [x for x in self.augment if x not in FILE_AUGMENTATIONS]
        if unknown:
            raise UsageError(
                f"--augment {','.join(unknown)}: for images in files expected some of "
                f"{','.join(FILE_AUGMENTATIONS)}."
            )
        if self.augment and self.pixels != "true":
            raise UsageError(
                f"--augment {','.join(self.augment)} cannot go with --pixels "
                f"{self.pixels} for images in files: leave one of the two out."
            )
        if self.batch_size == "full":
            raise UsageError(
                "--batch-size full: for images in files expected an integer."
            )


@dataclass(frozen=True)
class L2Norm(Settings):
    """What mnist_l2norm.py measures: networks of every size, label and seed.

    Fields keep the names that records have: `opt`, `max_epochs` and `sizes` are the
    flags `--optimizer`, `--epochs` and `--train-size`.
    """

    run_once = True

    dataset: str = setting("mnist", _say_datasets)
    label_noise: str = setting(
        "uniform",
        "uniform: any class, maybe the true one; exclusive: a wrong one",
        choices=("uniform", "exclusive"),
    )
    inputs: str = setting(
        "unit", "pixels / 255, or per image", choices=("unit", "whitened")
    )
    opt: str = setting("adam", "update rule", choices=OPTIMIZERS, **OPTIMIZER)
    batch_size: int = setting(128, "images an update", "batch{}", integer)
    max_epochs: int = setting(6000, "upper limit", "epochs{}", integer, **EPOCHS)
    target_loss: float = setting(
        1e-5, "training loss, in nats", _in_few_digits("loss"), positive, shown="1e-05"
    )
    seed: int = setting(0, "the first replica's", "seed{}", seed)
    seeds: int = setting(10, "replicas of each kind", "seeds{}", integer)
    labels: tuple[Literal["true", "random"], ...] = setting(
        ("true", "random"),
        "only random labels, or only true ones",
        names=("--random-labels",),
        then=lambda random: ("random",) if random else ("true",),
        shown="both",
        action=argparse.BooleanOptionalAction,
    )
    sizes: tuple[int, ...] = setting(
        (128, 256, 512, 1024),
        "numbers of training images",
        "n{}",
        several,
        **ASCENDING,
        also=SIZES_AS_RANGE,
        **SIZE,
    )

    @staticmethod
    def resolve(given):
        largest, step = given.pop("max_size", None), given.pop("step", None)
        if not (largest or step):
            return
        if "sizes" in given:
            flag = "--step" if step else "--max-size"
            raise UsageError(
                f"{flag} stands in place of --train-size: leave one of the two out."
            )
        largest = largest or 1024
        # Before a range of billions fills the memory.
        _refuse_more("--max-size", largest, 10**6, "the largest data set")
        doubled = [128 * 2**i for i in range(20) if 128 * 2**i <= largest]
        given["sizes"] = range(step, largest + 1, step) if step else doubled
        if not given["sizes"]:
            raise UsageError(f"no size is left with --max-size {largest}: raise it.")

    def check(self, given):
        _refuse_unknown_data(self)
        if self.label_noise != "uniform" and self.labels == ("true",):
            raise UsageError(
                f"--label-noise {self.label_noise} has no meaning with "
                "--no-random-labels: no label is replaced."
            )
        _refuse_last_seed(self)

    def check_data(self):
        largest = self.sizes[-1]
        _refuse_more("--train-size", largest, _facts(self).train, self.dataset)
        if self.batch_size != L2Norm.batch_size:
            _refuse_more("--batch-size", self.batch_size, largest, "the largest size")


@dataclass(frozen=True)
class MinNorm(Settings):
    """What min_norm.py solves.

    A path (`bandwidth`, `filters`) is `(None,)` where the kernel has no such parameter.
    """

    run_once = True

    sgd: bool = setting(
        False,
        "on pixels: distance of SGD to the closed form, from zero and elsewhere",
        "sgd",
        shown="",
        action="store_true",
    )
    dataset: str = setting("mnist", _say_datasets, always=True)
    train_size: int | None = setting(
        None,
        "the first N of a seeded, class-balanced subset",
        "n{}",
        integer,
        **SIZE,
        shown="all; 100 with --sgd, 10000 with fourier and relu, 5000 with "
        "--leave-one-out",
    )
    features: str = setting(
        "raw",
        "pixels / 255, Gabor wavelets, a layer of random convolutions, or random "
        "features: pairs cos(v x), sin(v x), or max(0, v x)",
        choices=("raw", "gabor", "random_conv", *RANDOM_FEATURES),
    )
    kernel: str = setting(
        "gaussian",
        "kernel on the features",
        choices=("gaussian", "linear"),
        shown="gaussian; linear with random features",
    )
    label_corruption: float = setting(
        0.0,
        "replace each training label with probability P",
        _in_few_digits("labels"),
        probability,
        also=RANDOM_LABELS,
    )
    label_noise: str = setting(
        "uniform", "as in the training scripts", choices=LABEL_NOISE
    )
    bandwidth: tuple[float | None, ...] = setting(
        (0.02,),
        "bandwidth of the Gaussian kernel; several make a path",
        _in_few_digits("bandwidth"),
        positive,
        then=distinct,
        nargs="+",
        shown="0.02 for raw MNIST, else 0.01; 4 for gabor",
    )
    filters: tuple[int | None, ...] = setting(
        (None,),
        "random filters; several make a path",
        _in_few_digits("filters"),
        number(int, 1, 10**7),  # ten times that takes months, whatever the machine
        **ASCENDING,
        shown=" ".join(map(str, FILTERS)),
    )
    num_features: tuple[int, ...] | None = setting(
        None,
        "of fourier and relu: numbers of features",
        _in_few_digits("features"),
        number(int, 1, 10**7),
        **ASCENDING,
        shown="a fiftieth of the images, and more, to six times as many",
    )
    draws: int | None = setting(
        None,
        "of fourier and relu: draws of the features; the first alone goes beyond "
        "one and a half times as many as images",
        "draws{}",
        integer,
        shown="3",
    )
    levels: tuple[float, ...] | None = setting(
        None,
        "of fourier, relu and --leave-one-out: levels of label corruption, all solved "
        "at once",
        _in_few_digits("labels"),
        probability,
        **ASCENDING,
        shown=" ".join(f"{p:g}" for p in LEVELS),
    )
    leave_one_out: bool | None = setting(
        None,
        "what is predicted for each training image without it: its memorization "
        "score, in closed form",
        "leave_one_out",
        shown="",
        action="store_true",
    )
    ridge: tuple[float, ...] = setting(
        (0.0,),
        "solve (K + L I) alpha = Y; several make a path",
        _in_few_digits("ridge"),
        number(float, 0, 1e9, metavar="L"),
        **ASCENDING,
    )
    held_out: int | None = setting(
        None,
        "measure on N other training images, to choose settings, not on the test set",
        "heldout{}",
        integer,
        shown="off",
    )
    data_seed: int = setting(0, "corruption and subset", "dataseed{}", seed)
    seed: int = setting(
        0, "filters; order and start of SGD", "seed{}", seed, always=True
    )

    resolve = staticmethod(_resolve_random_labels)

    def follow(self, given):
        now = vars(self) | given
        convolutions = now["features"] == "random_conv"
        drawn, alone = now["features"] in RANDOM_FEATURES, now["leave_one_out"]
        linear = convolutions or drawn or now["sgd"]
        kernel = "linear" if linear else "gaussian"
        bandwidth = BANDWIDTHS.get(now["features"], BANDWIDTHS["raw"])
        if now["features"] in ("raw", "fourier") and "mnist" in now["dataset"]:
            bandwidth = MinNorm.bandwidth[0]
        gaussian = given.get("kernel", kernel) == "gaussian" and not convolutions
        gaussian |= now["features"] == "fourier"
        size = 100 if now["sgd"] else None
        if drawn or alone:
            facts = datasets.FACTS.get(now["dataset"])
            size = RANDOM_FEATURES_SIZE if drawn else LEFT_OUT_SIZE
            size = min(size, facts.train if facts else size)
        n = given.get("train_size", size)
        numbers = {max(1, round(share * n)) for share in NUM_FEATURES} if drawn else ()
        return {
            "train_size": size,
            "kernel": kernel,
            "bandwidth": (bandwidth if gaussian else None,),
            "filters": FILTERS if convolutions else (None,),
            "num_features": tuple(sorted(numbers)) or None,
            "draws": 3 if drawn else None,
            "levels": LEVELS if drawn or alone else None,
        }

    def check(self, given):
        _refuse_unknown_data(self)
        drawn, alone = self.features in RANDOM_FEATURES, self.leave_one_out
        noisy = any(self.levels or ())
        if not noisy:
            _refuse_what_draws_nothing(self, self.train_size or self.held_out)
        if self.levels and self.label_corruption:
            raise UsageError(
                "label corruption is a path here, solved at once: in place of "
                f"--label-corruption say --levels {self.label_corruption:g}."
            )
        random = self.features == "random_conv"
        if (random or drawn) and self.kernel == "gaussian":
            raise UsageError(f"--features {self.features} has the linear kernel only.")
        if "filters" in given and not random:
            raise UsageError("--filters belongs to --features random_conv.")
        for flag in ("num_features", "draws"):
            if flag in given and not drawn:
                raise UsageError(
                    f"--{flag.replace('_', '-')} belongs to --features fourier or relu."
                )
        if "levels" in given and not (drawn or alone):
            raise UsageError(
                "--levels belongs to --features fourier or relu, and --leave-one-out."
            )
        if drawn and any(self.ridge):
            raise UsageError(
                f"--ridge is not for --features {self.features}: the norm itself is "
                "what is measured."
            )
        if alone and (self.kernel == "linear" or len(self.bandwidth) > 1):
            raise UsageError(
                "--leave-one-out is about the Gaussian kernel of one bandwidth, on "
                "pixels or Gabor wavelets."
            )
        if alone and (any(self.ridge) or self.sgd or self.held_out):
            raise UsageError(
                "--leave-one-out takes no --ridge, --sgd or --held-out: it is about "
                "the interpolator."
            )
        path = {"bandwidth", "kernel", "held_out"} & given.keys() or any(self.ridge)
        if self.sgd and (self.features != "raw" or path):
            raise UsageError(
                "--sgd is about the linear model of pixels, without a path."
            )
        fourier = self.features == "fourier"
        if "bandwidth" in given and self.kernel == "linear" and not fourier:
            raise UsageError("--bandwidth belongs to the Gaussian kernel.")

    def check_data(self):
        there_are, classes = _facts(self).train, _facts(self).num_classes
        _refuse_more("--train-size", self.train_size, there_are, self.dataset)
        if self.levels and self.train_size < classes:
            raise UsageError(
                f"--train-size {self.train_size}: fewer examples than {self.dataset} "
                f"has classes. Expected at least {classes}."
            )
        if self.held_out and (self.train_size or 1) + self.held_out > there_are:
            raise UsageError(
                f"{self.dataset} has {there_are} training images, fewer than "
                f"--train-size and --held-out {self.held_out} ask for."
            )


@dataclass(frozen=True)
class Expressivity(Settings):
    """What a part of expressivity.py measures; None where it has no such choice."""

    run_once = True

    dataset: str = setting("mnist", _say_datasets)
    sizes: tuple[int, ...] | None = choice(
        "numbers of examples", "n{}", several, **ASCENDING, **SIZE
    )
    depths: tuple[int, ...] | None = choice(
        "layers of weights, at the largest", "depths{}", several, **ASCENDING
    )
    widths: tuple[int, ...] | None = choice(
        "hidden units; 0 is the linear one", "w{}", number(int, 0), **ASCENDING
    )
    components: int | None = choice("principal components as inputs", "d{}", integer)
    draws: int | None = choice(
        "labellings for each number; of bound, weights that estimate an error",
        "draws{}",
        several,
    )
    restarts: int | None = choice("initial weights a labelling", "restarts{}", integer)
    epochs: int | None = choice(
        "full-batch updates, at most; of bound, epochs of training",
        "epochs{}",
        integer,
        **EPOCHS,
    )
    updates: int | None = choice(
        "updates that make the bound smaller", "updates{}", number(int, 8)
    )
    seed: int = setting(
        0,
        "images, labels, direction, initial weights",
        "seed{}",
        seed,
        always=True,
        shown="0",
    )

    def check(self, given):
        _refuse_unknown_data(self)

    def check_data(self):
        facts = _facts(self)
        there_are = min(facts.train, POOL) if self.components else facts.train
        most = min(there_are, 28 * 28 * facts.shape[2])  # of the 28x28 centre
        if self.components and self.components > most:
            raise UsageError(
                f"--components {self.components}: {self.dataset} has at most {most}."
            )
        if not self.sizes:
            return
        _refuse_more("--train-size", self.sizes[-1], there_are, self.dataset)
        if self.depths and self.depths[-1] > self.sizes[-1] + 1:
            raise UsageError(
                f"{self.sizes[-1]} units do not fill the {self.depths[-1] - 1} hidden "
                f"layers of depth {self.depths[-1]}: choose larger --train-size or "
                "smaller --depths."
            )


@dataclass(frozen=True)
class DoubleDescent(Settings):
    """What double_descent.py trains: networks of every width, noise and seed."""

    run_once = True

    dataset: str = setting("mnist", _say_datasets)
    train_size: int = setting(
        4000, "training images, class-balanced", "n{}", several, **SIZE
    )
    noise: tuple[float, ...] = setting(
        (0.0, 0.2),
        "replace each training label with probability P; several are compared",
        _in_few_digits("labels"),
        probability,
        names=("--label-corruption",),
        **ASCENDING,
    )
    widths: tuple[int, ...] = setting(
        (4, 10, 20, 35, 45, 55, 80, 200, 1000),
        "hidden units",
        "w{}",
        integer,
        **ASCENDING,
    )
    batch_size: int = setting(128, "images an update", "batch{}", integer)
    epochs: int = setting(200, "upper limit", "epochs{}", integer, **EPOCHS)
    seeds: int = setting(1, "networks of each kind", "seeds{}", integer)
    seed: int = setting(
        0,
        "the first one's: images, labels, weights, order",
        "seed{}",
        seed,
        always=True,
    )

    def check(self, given):
        _refuse_unknown_data(self)
        _refuse_last_seed(self)

    def check_data(self):
        facts = _facts(self)
        _refuse_more("--train-size", self.train_size, facts.train, self.dataset)
        if self.batch_size != DoubleDescent.batch_size:
            _refuse_more("--batch-size", self.batch_size, self.train_size, "the run")
        _refuse_few(self.train_size, facts.num_classes, self.dataset)


@dataclass(frozen=True)
class Measures(Settings):
    """What measures.py trains and measures: a network of every combination."""

    run_once = True

    dataset: str = setting("mnist", _say_datasets)
    sizes: tuple[int, ...] = setting(
        (256, 1024), "numbers of training images", "n{}", several, **ASCENDING, **SIZE
    )
    widths: tuple[int, ...] = setting(
        (32,), "units of each hidden layer", "w{}", integer, **ASCENDING
    )
    depths: tuple[int, ...] = setting(
        (1, 2), "hidden layers", "depths{}", integer, **ASCENDING
    )
    batches: tuple[int, ...] = setting(
        (128,),
        "images an update",
        "batch{}",
        integer,
        names=("--batch-size",),
        **ASCENDING,
    )
    noise: tuple[float, ...] = setting(
        (0.0, 0.2),
        "replace each training label with probability P",
        _in_few_digits("labels"),
        probability,
        names=("--label-corruption",),
        **ASCENDING,
    )
    epochs: int = setting(600, "upper limit", "epochs{}", integer, **EPOCHS)
    seeds: int = setting(3, "networks of each kind", "seeds{}", integer)
    seed: int = setting(
        0,
        "the first one's: images, labels, weights, order",
        "seed{}",
        seed,
        always=True,
    )

    def check(self, given):
        _refuse_unknown_data(self)
        _refuse_last_seed(self)

    def check_data(self):
        facts = _facts(self)
        _refuse_more("--train-size", self.sizes[-1], facts.train, self.dataset)
        _refuse_few(self.sizes[0], facts.num_classes, self.dataset)


@dataclass(frozen=True)
class Influence(Settings):
    """What influence.py trains: networks on subsets of one set."""

    run_once = True

    dataset: str = setting("mnist", _say_datasets)
    train_size: int = setting(
        5000, "examples, class-balanced", "n{}", number(int, 10), **SIZE, shown="5000"
    )
    label_corruption: float = setting(
        0.0,
        "replace each training label with probability P",
        "labels{}",
        probability,
        also=RANDOM_LABELS,
    )
    networks: int = setting(400, "how many are trained", "networks{}", number(int, 10))
    share: float = setting(
        0.7,
        "of the examples that each is trained on",
        "share{}",
        number(float, 0.1, 0.9, metavar="P"),
    )
    width: int = setting(32, "hidden units", "w{}", integer)
    batch_size: int = setting(128, "images an update", "batch{}", integer)
    epochs: int = setting(
        60, "upper limit; all labels fitted ends earlier", "epochs{}", integer, **EPOCHS
    )
    seed: int = setting(
        0, "images, labels, subsets, weights, order", "seed{}", seed, always=True
    )

    resolve = staticmethod(_resolve_random_labels)

    def check(self, given):
        _refuse_unknown_data(self)

    def check_data(self):
        facts = _facts(self)
        _refuse_more("--train-size", self.train_size, facts.train, self.dataset)
        _refuse_few(self.train_size, facts.num_classes, self.dataset)


@dataclass(frozen=True)
class Options:
    """What does not change a run's numbers, and what identifies the run."""

    name: str
    script: str
    argv: tuple
    results_dir: str = setting(
        "results", "CSV, JSON and figures", type=folder_name, metavar="DIR"
    )
    models_dir: str = setting(
        "saved_models", ".h5 files and checkpoints", type=folder_name, metavar="DIR"
    )
    data_dir: str | None = setting(
        None,
        "where data sets are looked for and downloaded to",
        type=folder_name,
        shown="~/.keras/datasets",
        metavar="DIR",
    )
    resume: bool = setting(
        True,
        "start an interrupted run over",
        names=("--no-resume",),
        offered=_trains,
        **SWITCH | {"action": "store_false"},
    )
    overwrite: bool = setting(
        False, "run again though the record is complete", **SWITCH
    )
    save_init: bool = setting(
        False,
        "also save the untrained model as NAME_init.h5",
        offered=_trains,
        **SWITCH,
    )
    checkpoint_every: int = setting(
        1, "epochs between checkpoints", type=integer, offered=_trains
    )
    keep_checkpoint: bool = setting(
        False,
        "keep what continues the run when it is complete, as NAME_state.npz",
        offered=_trains,
        **SWITCH,
    )
    continue_from: str | None = setting(
        None,
        "begin from the end of the run NAME, which differs in its epochs alone and had "
        "--keep-checkpoint",
        offered=_trains,
        shown="off",
        metavar="NAME",
    )
    measure: str = setting(
        "sample",
        "training examples measured after each epoch: a fixed sample (more where a "
        "threshold may be reached, all in the end), or all of them",
        choices=("sample", "all"),
        offered=_trains,
    )
    record_examples: bool = setting(
        False,
        "also write what the network does with each training example after each "
        "epoch, as NAME_examples.h5 for examples.py; measures all of them",
        offered=_trains_on_arrays,
        **SWITCH,
    )
    tensorboard: str | None = setting(
        None,
        "write TensorBoard logs (pip install tensorboard)",
        type=folder_name,
        offered=_trains,
        shown="off",
        metavar="DIR",
    )
    quiet: bool = setting(False, "no progress bar, only the verdict", **SWITCH)
    distribute: str | None = setting(  # "local", or the chief's HOST:PORT
        None,
        "alone: every device of this machine; with the address of the first "
        "of several processes (KERAS_BACKEND=jax): those of all of them. They need "
        "one shared --models-dir and --results-dir; the first alone writes there",
        type=_devices,
        offered=_reads_files,
        shown="off",
        nargs="?",
        const="local",
        metavar="HOST:PORT",
    )
    process: tuple = setting(  # number of this process, from 0, and how many there are
        (0, 1),
        "this is process i of the n that --distribute HOST:PORT joins; 0 is "
        "the one at that address",
        type=one_of_n(0),
        offered=_reads_files,
        shown="0/1",
        metavar="i/n",
    )

    @staticmethod
    def check(given):
        """Refuses half of what several hosts need, and half a file of examples."""
        if given.get("record_examples") and given.get("continue_from"):
            raise UsageError(
                "--record-examples writes every epoch, and --continue-from begins "
                "after some: leave one of the two out."
            )
        hosts = given.get("distribute") not in (None, "local")
        if hosts != (given.get("process") not in (None, (0, 1))):
            raise UsageError(
                "several hosts need both flags: --distribute HOST:PORT, the same on "
                "all, and --process i/n, with i from 0 to n-1 and n of at least 2."
            )

    @property
    def chief(self):
        """Whether this process writes: the first, or the only one."""
        return self.process[0] == 0

    @property
    def command(self):
        """The command line that continues this run, for a shell."""
        return cli.again(self.script, self.argv)


# Every script's settings without any flag; where it has parts, those of each part.
DEFAULTS = {
    # Zhang et al. (2017), section 3 and appendix A: SGD with momentum 0.9, a rate of
    # 0.1 (Inception) or 0.01 times 0.95 after every epoch, no regularizer. Batches of
    # 128 and the epochs are ours (the paper does not say).
    "cifar10_mlp": Regime(lr=0.01, epochs=100, hidden=(512,)),  # Table 1, rows 14-19
    "cifar10_alexnet": Regime(lr=0.01, epochs=50),  # rows 9-13
    "cifar10_inception": Regime(lr=0.1, epochs=50, batch_norm=True),  # rows 1-8
    "cifar10_wide_resnet": Regime(lr=0.1, epochs=50, depth=28, width=1),  # not theirs
    "imagenet_inception_v3": Regime(  # Table 2
        dataset="imagenet",
        image_size=299,
        batch_norm=True,
        lr=0.1,
        batch_size=256,
        epochs=100,
    ),
    "imdb_text": Regime(  # not in the paper
        dataset="imdb",
        model="bag",
        words="true",
        word_dropout=0.0,
        optimizer="adam",
        lr=0.002,
        momentum=0.0,
        epochs=30,
        precision="float32",
    ),
    "mnist_l2norm": L2Norm(),  # not in the paper
    "min_norm": MinNorm(),  # section 5
    "double_descent": DoubleDescent(),  # Belkin et al. (2019)
    "influence": Influence(),  # Feldman and Zhang (2020)
    "measures": Measures(),  # Jiang et al. (2020), Dziugaite et al. (2020)
    "expressivity theorem": Expressivity(  # section 4, appendix C
        dataset="cifar10",
        sizes=(10, 30, 100, 300, 1000, 3000, 10000),
        depths=(2, 3, 6, 11, 51),
    ),
    "expressivity rademacher": Expressivity(  # section 2.2
        sizes=(32, 128, 512, 2048),
        widths=(0, 1, 4, 16, 64, 256),
        components=16,
        draws=10,
        restarts=2,
        epochs=2000,
    ),
    "expressivity memorize": Expressivity(  # section 4
        widths=(0, 2, 8, 32), components=16, draws=5, restarts=4, epochs=2000
    ),
    "expressivity bound": Expressivity(  # Dziugaite and Roy (2017)
        sizes=(55000,), widths=(600,), draws=100_000, epochs=30, updates=4000
    ),
}


def parse(doc, file, argv=None):
    """Reads a script's command line.

    Args:
        doc: The script's docstring; `--help` shows it.
        file: The script's `__file__`.
        argv: List of flags, or None for `sys.argv[1:]`.

    Returns:
        `(settings, options)`: the `Regime` of a training script (or `L2Norm`,
        `MinNorm`), and the `Options`.

    Raises:
        UsageError: For unknown flags, values out of range, settings that contradict
            each other, a --data-dir that does not exist, and what cannot fit in
            memory.
    """
    ((settings, options),) = parse_parts(doc, file, argv).values()
    return settings, options


def parse_parts(doc, file, argv=None):
    """As `parse`, for a script whose first words name its parts (all if none is named).

    Returns:
        Dict of part -> `(settings, options)`.
    """
    argv = sys.argv[1:] if argv is None else argv
    script = Path(file).stem
    found = read(script, argv, doc)
    for part, (ours, options) in found.items():
        cli.existing(options.data_dir)
        record = Path(options.results_dir, f"{options.name}.json")
        if options.overwrite or not record.exists():  # else it is only told
            ours.check_data()
            usual = DEFAULTS[f"{script} {part}".strip()]
            memory.check(script, ours, usual, options.process[1])
    return found


def read(script, argv, doc=""):
    """As `parse_parts`, of a script's name without .py, and looking at no folder."""
    return settings.read(parser(script, doc), DEFAULTS, Options, script, tuple(argv))


@functools.cache
def parser(script, doc=""):
    """Returns the `cli.Parser` of a script."""
    reader = settings.parser(DEFAULTS, Options, script, doc)
    reader.elsewhere = functools.partial(_elsewhere, script)
    return reader


def _elsewhere(script, flag):
    """What to say of a flag that another script has and this one has not."""
    others = dict.fromkeys(key.partition(" ")[0] for key in DEFAULTS)
    owners = [name for name in others if name != script and parser(name).has(flag)]
    return f" {owners[0]}.py has it, this script has not." if owners else ""

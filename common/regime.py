"""The training regime, and the defaults of every script (imports no Keras).

A `Regime` holds everything that decides the numbers of a training run; the settings of
the experiments of many small parts are in `experiments`. `DEFAULTS` is the table of
what all scripts do without any flag.
"""

import argparse
import re
from dataclasses import dataclass
from pathlib import Path

from common import datasets, settings
from common import shared_settings as shared
from common.augmentations import IN_FILES as FILE_AUGMENTATIONS
from common.augmentations import NAMES as AUGMENTATIONS
from common.cli import UsageError
from common.experiments.double_descent import DoubleDescent
from common.experiments.expressivity import Expressivity
from common.experiments.influence import Influence
from common.experiments.measures import Measures
from common.experiments.min_norm import MinNorm
from common.experiments.mnist_l2norm import L2Norm
from common.flag_types import integer, number, path_name, positive, rate, share
from common.settings import Settings, setting
from common.shared_settings import choice

HUMAN_NOISE = ("human", "transition")  # of CIFAR-10 alone
PIXELS = ("true", "shuffled", "random", "gaussian")
TEXT_MODELS = ("bag", "cnn", "lstm", "transformer")
WORDS = ("true", "shuffled", "shuffled_each", "unigram")
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
# A script's rate belongs to its own optimizer; the others start from these, which
# are Keras's but for Adagrad's, ten times that: its rates only fall.
DEFAULT_RATES = {"sgd": 0.01, "adam": 0.001, "rmsprop": 0.001, "adagrad": 0.01}


# Types of flags that no other script has.


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


RANDOM_CROP = (
    "--random-crop",
    "the same as --augment crop",
    {"dest": "augment", "nargs": 0, "action": _AddAugmentations},
)


def _depth(text):
    value = number(int, 10)(text)
    if value % 6 != 4:
        raise argparse.ArgumentTypeError(
            f"received {text!r}, expected 6 n + 4: 10, 16, 22, 28, 40 ..."
        )
    return value


def _batch_size(text):
    return text if text == "full" else integer(text)


def _saved_model(text):
    """An argparse type: the path of a .h5 file, whose name is a part of a run's."""
    path = path_name(text)
    if not re.fullmatch(r"[\w.,-]+\.h5", Path(path).name, re.ASCII):
        raise argparse.ArgumentTypeError(
            f"received {text!r}, expected a file of letters, digits, - and _ that ends "
            "in .h5, as in saved_models/cifar10_mlp_seed0.h5"
        )
    return path


# Which scripts have a flag: functions of a script's defaults and the field's name.


def _reads_images(defaults, _):
    return defaults.words is None


def _reads_image_arrays(defaults, name):
    return _reads_images(defaults, name) and not shared.reads_files(defaults, name)


# What --help says of a script's own.


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


def _resolve(given):
    """People's labels are all of them, the worst; see `Settings.resolve`."""
    shared.resolve_random_labels(given)
    if "human_labels" in given:
        given.setdefault("label_noise", "human")
    if given.get("label_noise") in HUMAN_NOISE:
        given.setdefault("label_corruption", 1.0)
        given.setdefault("human_labels", datasets.HUMAN_LABELS[0])


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

    # `.NAME_examples.PID.part.json` is the longest of its files, of 255 bytes at most.
    longest_name = 227

    dataset: str = shared.dataset("cifar10")
    model: str | None = choice(
        "bag of embeddings, CNN, LSTM or transformer encoder", choices=TEXT_MODELS
    )
    train_size: int | None = shared.train_size(
        None,
        "the first N of a seeded, class-balanced subset; the test set stays whole",
        integer,
        shown="all",
    )
    label_corruption: float = shared.label_corruption(
        "replace each training label, with probability P, as --label-noise says"
    )
    label_noise: str = setting(
        "uniform",
        "uniform: any class, maybe the true one (the paper's); exclusive: never "
        "the true one; pair: the next class; exact: exactly P*n labels, uniform; "
        "human: what people said (CIFAR-10N, P = 1 unless given); transition: the same "
        "labels, exchanged within each true class",
        choices=shared.LABEL_NOISE + HUMAN_NOISE,
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
    dropout: float = setting(0.0, _say_dropout, "dropout{}", rate)
    word_dropout: float | None = choice(
        "rate at which words of training reviews become unknown, anew in every epoch",
        "worddropout{}",
        rate,
    )
    augment: tuple[str, ...] = setting(
        (),
        _say_augmentations,
        lambda names: "-".join(names) or "noaugment",
        _augmentations,
        offered=_reads_images,
        shown="none",
        action=_AddAugmentations,
        metavar="A,B",
        also=(RANDOM_CROP,),
    )
    optimizer: str = shared.optimizer("sgd")
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
    epochs: int = shared.epochs(50)
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
    data_seed: int = shared.data_seed()
    seed: int = shared.seed("weights, order, augmentation, dropout")

    resolve = staticmethod(_resolve)

    def follow(self, given):
        """Another optimizer than the script's own has another rate and momentum."""
        optimizer = given.get("optimizer", self.optimizer)
        if optimizer == self.optimizer:
            return {}
        momentum = Regime.momentum if optimizer == "sgd" else 0.0
        return {"lr": DEFAULT_RATES[optimizer], "momentum": momentum}

    def check(self, given):
        shared.refuse_unknown_dataset(self)
        if "crop" in self.augment and self.pixels != "true":
            raise UsageError(
                f"--random-crop cannot go with --pixels {self.pixels}: pixel "
                "corruption acts on the fixed centre crop, so that no window is left "
                "to draw. Leave one of the two out."
            )
        changed = {self.pixels, self.words} - {None, "true"}
        shared.refuse_what_draws_nothing(self, self.train_size or changed)
        self.check_human_labels()
        if self.momentum and self.optimizer not in ("sgd", "rmsprop"):
            raise UsageError(
                f"--momentum {self.momentum} has no meaning for the optimizer "
                f"{self.optimizer}; it belongs to sgd and rmsprop."
            )

        if self.batch_size == "full" and self.precision == "float16":
            raise UsageError(
                "--batch-size full cannot go with --precision float16, which leaves "
                "out parts of the batch that overflow: choose another precision."
            )

        if self.image_size:
            self.check_files()

    def check_data(self, usual):
        """A batch that is larger than the set is refused, unless it is the default."""
        names = shared.dataset_names(self) or datasets.FILES
        if self.dataset not in names:  # one's own images
            return
        there_are = datasets.FACTS[self.dataset].train
        shared.refuse_more("--train-size", self.train_size, there_are, self.dataset)
        left = self.train_size or there_are
        left -= left // 10 if self.early_stopping else 0
        if self.batch_size not in ("full", usual.batch_size):
            shared.refuse_more("--batch-size", self.batch_size, left, "the run")

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


# Every script's settings without any flag; where it has parts, those of each part.
DEFAULTS = {
    # Zhang et al. (2017), section 3 and appendix A: SGD with momentum 0.9, a rate of
    # 0.1 (Inception) or 0.01 times 0.95 after every epoch, no regularizer. Batches of
    # 128 follow from its figures; the epochs are ours (it does not say).
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

"""What is measured, as flags: flags <-> `Regime` <-> run name (imports no Keras).

A `Regime` holds everything that decides a run's numbers; `Options` only how it
is run. A run's name is a pure function of the script and of the fields of the
regime that differ from the script's defaults.
"""

import argparse
import functools
import math
import os
import sys
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np

from common import cli
from common.augmentations import NAMES as AUGMENTATIONS

LABEL_NOISE = ("uniform", "exclusive", "pair", "exact")
PIXELS = ("true", "shuffled", "random", "gaussian")
TEXT_MODELS = ("bag", "cnn", "lstm", "transformer")
WORDS = ("true", "shuffled", "shuffled_each", "unigram")
OPTIMIZERS = ("sgd", "adam", "rmsprop", "adagrad")
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
# A script's rate belongs to its own optimizer; the others start from these, which
# are Keras's but for Adagrad's, ten times that: its rates only fall.
DEFAULT_RATES = {"sgd": 0.01, "adam": 0.001, "rmsprop": 0.001, "adagrad": 0.01}


@dataclass(frozen=True)
class Regime:
    """The hyper-parameters that uniquely determine a run."""

    dataset: str = "cifar10"
    train_size: int | None = None
    label_corruption: float = 0.0
    label_noise: str = "uniform"
    pixels: str = "true"
    wd: float = 0.0
    dropout: float = 0.0
    augment: tuple = ()
    batch_norm: bool | None = None  # None: the model has no such choice
    hidden: tuple | None = None  # None: the model has no such choice
    depth: int | None = None
    width: int | None = None
    model: str | None = None
    words: str | None = None  # None: the data are images
    word_dropout: float | None = None
    image_size: int | None = None  # None: images in memory, of the paper's size
    optimizer: str = "sgd"
    lr: float = 0.01
    momentum: float = 0.9
    lr_decay: float = 0.95
    batch_size: int | str = 128
    epochs: int = 50
    stop_at: float | None = None
    early_stopping: int | None = None
    precision: str = "auto"
    seed: int = 0
    data_seed: int = 0


class Options(NamedTuple):
    """What does not change a run's numbers, and what identifies the run."""

    name: str
    script: str
    argv: tuple
    results_dir: str = "results"
    models_dir: str = "saved_models"
    data_dir: str | None = None
    resume: bool = True
    overwrite: bool = False
    save_init: bool = False
    checkpoint_every: int = 1
    measure: str = "sample"  # or "all": the training examples, after every epoch
    tensorboard: str | None = None
    quiet: bool = False
    distribute: str | None = None  # "local", or the chief's HOST:PORT
    process: tuple = (0, 1)  # number of this process, from 0, and how many there are

    @property
    def chief(self):
        """Whether this process writes: the first, or the only one."""
        return self.process[0] == 0

    @property
    def command(self):
        """The command line that continues this run, for a shell."""
        return cli.again(self.script, self.argv)


# Field -> how it shows in a run's name, in this order; the seed comes last.
_NAME_PARTS = {
    "dataset": "{}",
    "model": "{}",
    "train_size": "n{}",
    "label_corruption": "labels{}",
    "label_noise": "{}",
    "pixels": "{}",
    "words": "{}",
    "hidden": "hidden{}",
    "depth": "depth{}",
    "width": "width{}",
    "image_size": "size{}",
    "batch_norm": "nobn",
    "wd": "wd{}",
    "dropout": "dropout{}",
    "word_dropout": "worddropout{}",
    "augment": "{}",
    "optimizer": "{}",
    "lr": "lr{}",
    "momentum": "momentum{}",
    "lr_decay": "decay{}",
    "batch_size": "batch{}",
    "epochs": "epochs{}",
    "stop_at": "stop{}",
    "early_stopping": "early{}",
    "precision": "{}",
    "data_seed": "dataseed{}",
}


def run_name(script, regime, defaults):
    """Returns the name of a run: `cifar10_alexnet_labels1_wd0.0005_seed0`.

    Args:
        script: The script's name without `.py`.
        regime: The run's `Regime`.
        defaults: The `Regime` that the script has without any flag.
    """
    usual = _with_optimizer(defaults, regime.optimizer)  # its rate need not show
    usual = replace(usual, optimizer=defaults.optimizer)
    parts = [script]
    for field, text in _NAME_PARTS.items():
        value = getattr(regime, field)
        if value != getattr(usual, field):
            parts.append(text.format(_spell(value)))
    return "_".join([*parts, f"seed{regime.seed}"])


def parse(doc, file, argv=None, **defaults):
    """Reads a training script's command line.

    Args:
        doc: The script's docstring; `--help` shows it.
        file: The script's `__file__`.
        argv: List of flags, or None for `sys.argv[1:]`.
        **defaults: The script's own values of `Regime` fields. `batch_norm`,
            `hidden`, `depth`, `width` and `model` are given only by scripts that have
            the choice, `words` and `word_dropout` by those whose data are text,
            `image_size` by those of images in files.

    Returns:
        `(Regime, Options)`.

    Raises:
        SystemExit: With code 2 and the reason, for unknown flags, values out of
            range and settings that contradict each other.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    script = os.path.splitext(os.path.basename(file))[0]
    defaults = Regime(**defaults)
    parser = _parser(doc, script, defaults)
    given = vars(parser.parse_args(argv))
    chosen = {f.name: given[f.name] for f in fields(Regime) if f.name in given}
    if "hidden" in chosen:  # argparse makes a list
        chosen["hidden"] = tuple(chosen["hidden"])
    base = _with_optimizer(defaults, chosen["optimizer"])
    for name in ("lr", "momentum"):
        if chosen[name] is None:
            chosen[name] = getattr(base, name)
    if chosen["label_corruption"] is None:
        chosen["label_corruption"] = float(given["random_labels"])
    elif given["random_labels"] and chosen["label_corruption"] != 1:
        parser.error(
            "--random-labels means --label-corruption 1, but "
            f"--label-corruption {chosen['label_corruption']} was given too: "
            "leave one out."
        )
    regime = replace(defaults, **chosen)
    _refuse_contradictions(parser, regime, defaults)
    _refuse_half_a_cluster(parser, given)
    options = {f: given[f] for f in Options._fields if f in given}
    options["name"] = run_name(script, regime, defaults)
    return regime, Options(script=script, argv=tuple(argv), **options)


def _refuse_contradictions(parser, regime, defaults):
    if "crop" in regime.augment and regime.pixels != "true":
        parser.error(
            f"--random-crop cannot go with --pixels {regime.pixels}: pixel corruption "
            "acts on the fixed centre crop, so that no window is left to draw. "
            "Leave one of the two out."
        )
    if regime.batch_norm is not None and defaults.batch_norm is None:
        parser.error(
            "--batch-norm, --no-batch-norm: this script has no such choice; "
            "those of Inception have it."
        )
    if regime.batch_size == "full" and regime.precision == "float16":
        parser.error(
            "--batch-size full cannot go with --precision float16, which leaves out "
            "parts of the batch that overflow: choose another precision."
        )
    if regime.momentum and regime.optimizer not in ("sgd", "rmsprop"):
        parser.error(
            f"--momentum {regime.momentum} has no meaning for --optimizer "
            f"{regime.optimizer}; it belongs to sgd and rmsprop."
        )


def _refuse_half_a_cluster(parser, given):
    several = given.get("distribute") not in (None, "local")
    if several != (given.get("process") not in (None, (0, 1))):
        parser.error(
            "several hosts need both flags: --distribute HOST:PORT, the same on all, "
            "and --process i/n, with i from 0 to n-1 and n of at least 2."
        )


def _with_optimizer(defaults, optimizer):
    """The script's defaults under another optimizer: its own rate and momentum."""
    if optimizer == defaults.optimizer:
        return defaults
    lr = DEFAULT_RATES[optimizer]
    momentum = Regime.momentum if optimizer == "sgd" else 0.0
    return replace(defaults, optimizer=optimizer, lr=lr, momentum=momentum)


def _spell(value):
    if isinstance(value, tuple):
        return "-".join(map(str, value)) or "noaugment"
    if isinstance(value, float):  # 5e-4 and 0.0005 are one name
        return np.format_float_positional(value, trim="-")
    return str(value)


def number(kind, low, high=math.inf, above=False):
    """Returns an argparse type: a number in [low, high], or (low, high] with `above`.

    Args:
        kind: `int` or `float`.
        low: Smallest value.
        high: Largest value.
        above: Whether `low` itself is refused.
    """
    name = "an integer" if kind is int else "a number"
    left = "more than" if above else "at least"
    limit = f"{left} {low}" + ("" if high == math.inf else f" and at most {high}")

    def read(text):
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        in_range = low < value <= high or (value == low and not above)
        if not in_range or value == math.inf:
            raise argparse.ArgumentTypeError(
                f"received {text!r}, expected {name} of {limit}"
            )
        return value

    return read


seed = number(int, 0, 2**32 - 1)  # what every generator of numbers takes


def _augmentations(text):
    names = [name for name in text.split(",") if name]
    unknown = sorted(set(names) - set(AUGMENTATIONS))
    if unknown:
        raise argparse.ArgumentTypeError(
            f"received {', '.join(unknown)!r}, expected some of "
            f"{','.join(AUGMENTATIONS)} with commas between"
        )
    return tuple(name for name in AUGMENTATIONS if name in names)


class _AddAugmentations(argparse.Action):
    """`--random-crop --augment flip` means both, in whatever order."""

    def __call__(self, parser, namespace, values, option_string=None):
        values = ("crop",) if self.nargs == 0 else values
        names = set(values) | set(getattr(namespace, self.dest))
        setattr(namespace, self.dest, tuple(n for n in AUGMENTATIONS if n in names))


def _depth(text):
    value = number(int, 10)(text)
    if value % 6 != 4:
        raise argparse.ArgumentTypeError(
            f"received {text!r}, expected 6 n + 4: 10, 16, 22, 28, 40 ..."
        )
    return value


def _address(text):
    host, _, port = text.rpartition(":")
    if text != "local" and not (host and port.isdecimal()):
        raise argparse.ArgumentTypeError(
            f"received {text!r}, expected HOST:PORT, as in 10.0.0.1:6380"
        )
    return text


def _process(text):
    process, _, processes = text.partition("/")
    digits = process.isdecimal() and processes.isdecimal()
    if not digits or int(process) >= int(processes):
        raise argparse.ArgumentTypeError(
            f"received {text!r}, expected i/n with i from 0 to n-1, as in 0/2"
        )
    return int(process), int(processes)


def _batch_size(text):
    return text if text == "full" else number(int, 1)(text)


def _parser(doc, script, defaults):
    parser = cli.parser(script, doc)
    group = parser.add_argument_group("what is measured (decides the run's name)")
    usual = vars(defaults) | Options._field_defaults

    def add(flag, text, shown=None, **more):
        default = more.setdefault("default", usual[flag[2:].replace("-", "_")])
        text += f" (default: {default if shown is None else shown})"
        group.add_argument(flag, help=text, **more)

    integer, rate = number(int, 1), number(float, 0, 0.99)
    probability, share = number(float, 0, 1), number(float, 0, 1, above=True)
    add("--dataset", _datasets(defaults), metavar="NAME")
    if defaults.model is not None:
        text = "bag of embeddings, CNN, LSTM or transformer encoder"
        add("--model", text, choices=TEXT_MODELS)
    text = "the first N of a seeded, class-balanced subset; the test set stays whole"
    add("--train-size", text, "all", type=integer, metavar="N")
    text = "replace each training label, with probability P, as --label-noise says"
    add("--label-corruption", text, "0", default=None, type=probability, metavar="P")
    text = "the paper's randomization test: --label-corruption 1"
    group.add_argument("--random-labels", action="store_true", help=text)
    text = (
        "uniform: any class, maybe the true one (the paper's); exclusive: never "
        "the true one; pair: the next class; exact: exactly P*n labels, uniform"
    )
    add("--label-noise", text, choices=LABEL_NOISE)
    if defaults.words is None:
        _add_image_flags(add, group, defaults)
    else:
        _add_text_flags(add, rate)
    text = "weight decay: W/2 * ||kernel||^2 is added to the loss, kernels only"
    add("--wd", text, type=number(float, 0), metavar="W")
    text = (
        "dropout rate, before dense layers (in the MLP before all but the first; "
        "in a Wide ResNet between convolutions)"
    )
    add("--dropout", text, type=rate, metavar="R")
    if defaults.hidden is not None:
        text = "units of the hidden layers"
        add("--hidden", text, "512", type=integer, nargs="+", metavar="UNITS")
    if defaults.depth is not None:
        text = "layers, 6 n + 4: 10, 16, 22, 28, 40 ..."
        add("--depth", text, type=_depth, metavar="D")
        text = "factor of the numbers of channels"
        add("--width", text, type=integer, metavar="K")
    if defaults.image_size is not None:
        text = "side that images are resized to"
        add("--image-size", text, type=number(int, 75), metavar="S")
    add("--optimizer", "update rule", choices=OPTIMIZERS)
    others = {k: v for k, v in DEFAULT_RATES.items() if k != defaults.optimizer}
    shown = f"{defaults.lr} with {defaults.optimizer}; "
    shown += ", ".join(f"{value:g} with {name}" for name, value in others.items())
    text, positive = "learning rate of the first epoch", number(float, 0, above=True)
    add("--lr", text, shown, default=None, type=positive, metavar="RATE")
    shown, below_1 = f"{Regime.momentum} with sgd, else 0", number(float, 0, 0.9999)
    add("--momentum", "momentum", shown, default=None, type=below_1, metavar="M")
    text = "the rate is multiplied by D after every epoch"
    add("--lr-decay", text, type=share, metavar="D")
    text = "an integer, or full for full-batch gradient descent"
    add("--batch-size", text, type=_batch_size, metavar="B")
    add("--epochs", "upper limit", type=integer, metavar="E")
    text = "stop once the fixed model's training accuracy has reached ACC"
    add("--stop-at", text, "off", type=share, metavar="ACC")
    text = (
        "stop N epochs after the best accuracy on a tenth held out of the "
        "training set, and report that best"
    )
    add("--early-stopping", text, "off", type=integer, metavar="N")
    text = "auto: bfloat16 where the hardware computes it natively, else float32"
    add("--precision", text, choices=PRECISIONS)
    add("--seed", "weights, order, augmentation, dropout", type=seed, metavar="S")
    add("--data-seed", "corruption and subset", type=seed, metavar="S")

    group = parser.add_argument_group("how it is run (never in the name)")
    add("--results-dir", "CSV and JSON", metavar="DIR")
    add("--models-dir", ".h5 files and checkpoints", metavar="DIR")
    text = "where data sets are looked for and downloaded to"
    add("--data-dir", text, "~/.keras/datasets", metavar="DIR")
    switch = functools.partial(group.add_argument, action="store_true")
    text = "start an interrupted run over"
    group.add_argument("--no-resume", dest="resume", action="store_false", help=text)
    switch("--overwrite", help="run again though the record is complete")
    switch("--save-init", help="also save the untrained model as NAME_init.h5")
    add("--checkpoint-every", "epochs between checkpoints", type=integer, metavar="N")
    text = (
        "training examples measured after each epoch: a fixed sample (more where 99 %% "
        "or --stop-at may be reached, all in the end), or all of them"
    )
    add("--measure", text, choices=("sample", "all"))
    text = "write TensorBoard logs (pip install tensorboard)"
    add("--tensorboard", text, "off", metavar="DIR")
    switch("--quiet", help="no progress bar, only the verdict")
    if defaults.image_size is not None:
        text = (
            "alone: every device of this machine; with the address of the first "
            "of several processes (KERAS_BACKEND=jax): those of all of them. They need "
            "one shared --models-dir and --results-dir; the first alone writes there"
        )
        address = {"nargs": "?", "const": "local", "metavar": "HOST:PORT"}
        add("--distribute", text, "off", type=_address, **address)
        text = (
            "this is process i of the n that --distribute HOST:PORT joins; 0 is "
            "the one at that address"
        )
        add("--process", text, "0/1", type=_process, metavar="i/n")
    return parser


def _add_image_flags(add, group, defaults):
    text = (
        "shuffled: one permutation for all images; random: one for each image; "
        "gaussian: noise in place of the image"
    )
    add("--pixels", text, choices=PIXELS)
    text = "any of " + ",".join(AUGMENTATIONS) + "; drawn anew for every image"
    more = {"dest": "augment", "action": _AddAugmentations}
    add("--augment", text, "none", type=_augmentations, metavar="A,B", **more)
    text = "the same as --augment crop"
    group.add_argument("--random-crop", nargs=0, help=text, **more)
    text = "BatchNorm, where the model has it"
    more = {"action": argparse.BooleanOptionalAction, "default": defaults.batch_norm}
    group.add_argument("--batch-norm", help=text, **more)


def _add_text_flags(add, rate):
    text = (
        "shuffled: one permutation of the positions for all reviews; "
        "shuffled_each: one for each review; unigram: every word replaced by a "
        "random word of the training set"
    )
    add("--words", text, choices=WORDS)
    text = "rate at which words of training reviews become unknown, drawn anew in every"
    add("--word-dropout", f"{text} epoch", type=rate, metavar="R")


def _datasets(defaults):
    """What --help says of --dataset: each kind of script reads its own kind."""
    if defaults.words is not None:
        return "imdb, synthetic_text"
    if defaults.image_size is not None:
        return "imagenet, synthetic, or your own name for what --data-dir holds"
    return "cifar10, cifar100, mnist, fashion_mnist, mnist_5k, synthetic"

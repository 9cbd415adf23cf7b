"""Settings that several scripts have, each declared once, and what all of them refuse.

`epochs: int = epochs(200)` is such a field; what is a script's own, as a default or
what --help says, is an argument of `settings.setting`. Imports no Keras.
"""

from common import datasets, flag_types, reviews
from common.cli import UsageError
from common.flag_types import integer, probability, several
from common.settings import Settings, setting, short

LABEL_NOISE = ("uniform", "exclusive", "pair", "exact")
OPTIMIZERS = ("sgd", "adam", "rmsprop", "adagrad")
ASCENDING = {"then": flag_types.ascending, "nargs": "+"}
SWITCH = {"action": "store_true", "shown": ""}
RANDOM_LABELS = (
    "--random-labels",
    "the paper's randomization test: --label-corruption 1",
    {"action": "store_true"},
)
REPLACED = "replace each training label with probability P"


def has_choice(defaults, name):
    """Whether a script has a setting that is None where it has no such choice."""
    return getattr(defaults, name) is not None


def reads_files(defaults, _=None):
    """Whether a script's images are in files: any folder of them, by its name."""
    return getattr(defaults, "image_size", None) is not None


def dataset_names(defaults):
    """The names that --dataset takes; none where it takes any name."""
    if reads_files(defaults):
        return ()
    return reviews.NAMES if getattr(defaults, "words", None) else datasets.NAMES


def in_few_digits(word):
    """The part of a name that a number is, or a path's values."""
    return lambda x: word + "-".join(map(short, x if isinstance(x, tuple) else (x,)))


def _say_datasets(defaults):
    files = ", ".join(datasets.FILES)
    own = f"{files}, or your own name for what --data-dir holds"
    return ", ".join(dataset_names(defaults)) or own


# Fields of several scripts. A flag has one word for one thing in all of them; other
# spellings go on working.


def choice(help, part="{}", type=None, **more):
    """A setting that is None where the script has no such choice."""
    return setting(None, help, part, type, offered=has_choice, **more)


def dataset(default, **more):
    """The data set, of those that the script knows."""
    return setting(default, _say_datasets, **more)


def train_size(default, help, type, **more):
    """A number of training examples."""
    names = ("--train-size", "--size", "--sizes")
    return setting(default, help, "n{}", type, names=names, **more)


def sizes(default, help="numbers of training images", **more):
    """Several numbers of training examples, ascending."""
    return train_size(default, help, several, **ASCENDING, **more)


def label_corruption(help=REPLACED, part="labels{}"):
    """A level of label corruption, in [0, 1]."""
    return setting(0.0, help, part, probability, also=(RANDOM_LABELS,))


def noise(help=REPLACED):
    """Several levels of label corruption, ascending."""
    return setting(
        (0.0, 0.2),
        help,
        in_few_digits("labels"),
        probability,
        names=("--label-corruption",),
        **ASCENDING,
    )


def optimizer(default):
    """One of `OPTIMIZERS`."""
    names = ("--optimizer", "--opt")
    return setting(default, "update rule", choices=OPTIMIZERS, names=names)


def batch_size(default, **more):
    """A number of examples."""
    return setting(default, "images an update", "batch{}", integer, **more)


def epochs(default, help="upper limit", **more):
    """A number of passes over the training set."""
    names = ("--epochs", "--max-epochs")
    return setting(default, help, "epochs{}", integer, names=names, **more)


def seeds(default, help="networks of each kind"):
    """How many seeds there are, from `seed` on."""
    return setting(default, help, "seeds{}", integer)


def seed(help, always=True):
    """What the run's generators of numbers start from."""
    return setting(0, help, "seed{}", flag_types.seed, always=always)


def data_seed():
    """What the data are drawn with: which examples, and their corruption."""
    return setting(0, "corruption and subset", "dataseed{}", flag_types.seed)


class Experiment(Settings):
    """Base of the settings of an experiment of many small parts."""

    run_once = True

    def check(self, given):
        refuse_unknown_dataset(self)


def resolve_random_labels(given):
    """--random-labels is --label-corruption 1; see `Settings.resolve`."""
    if given.pop("random_labels", False):
        p = given.setdefault("label_corruption", 1.0)
        if p != 1:
            raise UsageError(
                "--random-labels means --label-corruption 1, but "
                f"--label-corruption {p} was given too: leave one out."
            )


# What is refused, with a `UsageError`.


def refuse_unknown_dataset(settings):
    """Refuses a data set that the script does not know."""
    names = dataset_names(settings)
    if names and settings.dataset not in names:
        raise UsageError(
            f"unknown data set {settings.dataset!r}. Expected {', '.join(names)}."
        )


def refuse_more(flag, asked, there_are, where, by_default=False):
    """Refuses a number of examples above `there_are`; None is none.

    Args:
        by_default: Whether that many are asked for where the flag is not typed.
    """
    if not asked or asked <= there_are:
        return
    if by_default:
        raise UsageError(
            f"{where} has {there_are} training examples, fewer than the default of "
            f"{asked}: add {flag} N, with N at most {there_are}."
        )
    raise UsageError(
        f"{flag} {asked}: {where} has {there_are} training examples. Expected at most "
        f"{there_are}."
    )


def refuse_few(asked, classes, dataset):
    """Refuses fewer examples than classes."""
    if asked < classes:
        raise UsageError(
            f"--train-size {asked}: {dataset} has {classes} classes. Expected at least "
            f"{classes} examples."
        )


def refuse_last_seed(settings):
    """Refuses seeds that would go beyond the last one that there is."""
    if settings.seed + settings.seeds > 2**32:
        raise UsageError(
            f"--seed {settings.seed} --seeds {settings.seeds}: seeds end at "
            f"{2**32 - 1}."
        )


def refuse_what_draws_nothing(settings, drawn):
    """Refuses kinds of label noise, and seeds, where nothing is drawn.

    Args:
        settings: The run's `Settings`.
        drawn: Whether something is that is no label, as a subset.
    """
    p, kind = settings.label_corruption, settings.label_noise
    if kind != "uniform" and not p:
        raise UsageError(
            f"--label-noise {kind} has no meaning without --label-corruption P or "
            "--random-labels: no label is replaced."
        )
    replaced_at_random = p and (kind, p) != ("human", 1)
    if settings.data_seed and not (drawn or replaced_at_random):
        raise UsageError(
            f"--data-seed {settings.data_seed} has no meaning where nothing of the "
            "data is drawn, no subset and no corruption: leave it out."
        )

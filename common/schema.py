"""What a record has to hold: types, ranges, and what must agree (imports no Keras).

`check`, and `csv_lines.check` of its CSV, are all that stands between files that anyone
may have written and their readers; `records.read` and `records.read_rows` ask them.
Fields that are not named here are taken as they are.
"""

import argparse
from dataclasses import fields
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from common import regime, settings
from common.shared_settings import LABEL_NOISE

VERSION = 1  # of new records; a record that does not say is of the first

Share = Annotated[float, Meta(ge=0, le=1)]
Amount = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0, le=10**12)]
Several = Annotated[int, Meta(ge=1, le=10**12)]
_One = str | float | bool | None
Number = float | None
Kept = dict[str, _One | list[_One]]  # of settings


class Final(Struct):
    """The last values of a training; None is a loss that was no number."""

    learning_rate: Amount
    train_accuracy: Share
    val_accuracy: Share
    epoch: Several | None = None
    train_top5_accuracy: Share | None = None
    val_top5_accuracy: Share | None = None


class Training(Struct):
    """The record of a training script."""

    name: str
    script: str
    argv: list[str]
    regime: Kept
    num_classes: Several
    epochs: Several
    epochs_to_fit: Several | None
    stopped_because: Literal["epochs", "stop_at", "early_stopping", "diverged"]
    final: Final
    realized_label_noise: Share
    # What readers can do without.
    schema: Several = 1
    verdict: str = ""
    parameters: Count = 0
    train_examples: Several = 1
    seconds: Amount = 0
    device: str = ""
    precision_in_force: str = ""
    model_sha256: str = ""

    def __post_init__(self):
        if self.epochs_to_fit and self.epochs_to_fit > self.epochs:
            raise ValueError(
                f"epochs_to_fit is {self.epochs_to_fit}, of {self.epochs} epochs"
            )
        if self.stopped_because == "stop_at" and not self.regime.get("stop_at"):
            raise ValueError("stopped_because is stop_at, which its regime has not")


class Model(Struct):
    """What one of the models of an experiment of many parts was trained on."""

    dataset: str
    train_size: Several | None = None
    data_seed: Count = 0
    label_corruption: Share = 0
    label_noise: Literal[LABEL_NOISE] = "uniform"
    inputs: Literal["unit", "whitened"] = "whitened"
    sha256: str = ""


class Parts(Struct):
    """The record of an experiment of many parts (see `resumable`)."""

    name: str
    script: str
    argv: list[str]
    settings: Kept
    verdict: str
    schema: Several = 1
    part: str = ""
    models: dict[str, Model] = {}


class Solved(Struct):
    """A system that min_norm.py solved."""

    ridge: Amount
    train_error: Share
    test_error: Share
    rkhs_norm: Amount


class Fitted(Struct):
    """A line of min_norm.py's CSV: least squares on random features."""

    label_corruption: Share
    draw: Count
    bandwidth: Number
    num_features: Several
    train_error: Share
    test_error: Share
    rkhs_norm: Amount


class MinNorm(Parts, kw_only=True):
    """The record of min_norm.py."""

    train_size: Several
    rows: list[dict]

    def __post_init__(self):
        for row in self.rows:
            if "num_features" in row:
                msgspec.convert(row, Fitted)
            elif row.keys() & {"ridge", "test_error"}:  # else of --sgd
                msgspec.convert(row, Solved)


class Ranked(Struct):
    """How a measure ranks networks."""

    networks: str
    measure: str
    over: str
    tau: Annotated[float, Meta(ge=-1, le=1)]
    low: Annotated[float, Meta(ge=-1, le=1)]
    high: Annotated[float, Meta(ge=-1, le=1)]
    groups: Several


class Measures(Parts, kw_only=True):
    """The record of measures.py."""

    ranking: list[Ranked]


class Memorized(Struct):
    """One of the examples that influence.py shows."""

    train: Count
    label: Count
    score: Number


class Pair(Struct):
    """A training example and a test example that it helps."""

    train: Count
    test: Count
    label: Count
    test_label: Count
    influence: Number


class Influence(Parts, kw_only=True):
    """The record of influence.py."""

    best: list[Memorized]
    pairs: list[Pair]
    image_shape: list[Several]
    images: dict[str, str]
    chance: Share
    mean_score: Number


class Other(Struct):
    """The record of a script that is not one of ours."""

    name: str
    script: str
    verdict: str
    argv: list[str] = []
    schema: Several = 1


class Analysis(Struct):
    """How analyze.py made analysis.csv."""

    script: Literal["analyze"]
    argv: list[str]
    schema: Several = 1


class Score(Struct):
    """How well a score finds wrong labels."""

    best_epoch: Several
    best_auc: Share
    precision: Share
    auc: list[Share]


class Examples(Struct):
    """What examples.py found in a run's file of examples."""

    script: Literal["examples"]
    of: str
    argv: list[str]
    says: str
    examples: Several
    wrong: Count
    epochs: Several
    scores: dict[str, Score]
    courses: dict[str, list[Share]]
    schema: Several = 1


def check(record, name):
    """Refuses what is no record of a run.

    Args:
        record: Dict, as read from JSON.
        name: Of the run, which is that of its file.

    Raises:
        ValueError: With what was found and what was expected, in a few words.
    """
    version = record.get("schema", 1)
    if type(version) is int and version > VERSION:
        raise ValueError(
            f"its schema is {version}, and this version reads up to {VERSION}: update"
        )
    script = record.get("script")
    if name == "analysis":
        msgspec.convert(record, Analysis)
    elif script == "examples":
        msgspec.convert(record, Examples)
        if f"{record['of']}_examples" != name:
            raise ValueError(f"it is of {record['of']!r}")
    else:
        key = script if isinstance(script, str) else ""
        if script == "expressivity":
            key = f"{script} {record.get('part')}"
        _check_run(record, name, key)


def _check_run(record, name, key):
    """As `check`, of a run whose defaults are `regime.DEFAULTS[key]`, if any."""
    usual = regime.DEFAULTS.get(key)
    trains = isinstance(usual, regime.Regime) or (not usual and "regime" in record)
    kind = Training if trains else Parts if usual else Other
    own = {"min_norm": MinNorm, "measures": Measures, "influence": Influence}
    msgspec.convert(record, own.get(key, kind))
    if trains:
        msgspec.convert(record["final"], dict[str, Number])
    if record["name"] != name:
        raise ValueError(f"it is of {record['name']!r}")
    if not name.isprintable():
        raise ValueError(f"its name {name!r} cannot be printed")
    ours = {key.partition(" ")[0] for key in regime.DEFAULTS}
    if not usual and any(f"{name}_".startswith(f"{each}_") for each in ours):
        # Or a part that there is not.
        raise ValueError(f"its script is {record['script']!r}")
    if kind is Other:
        return
    which = "regime" if trains else "settings"
    try:
        made = _settings(record[which], usual or regime.Regime())
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise ValueError(f"its {which}: {error}") from None
    if usual:
        given = settings.name(key.replace(" ", "_"), made, usual)
        if given != name:
            raise ValueError(f"its {which} are those of {given!r}")


def _settings(kept, usual):
    """Returns the `Settings` that a record keeps, in the ranges that flags have.

    Args:
        kept: Dict of JSON's values. What may be missing, in a record of before there
            was such a setting, is what the script has no choice of.
        usual: The script's own `Settings`.

    Raises:
        ValueError: For what no flag could have given.
    """
    absent = {k: v for k, v in vars(usual).items() if k not in kept}
    if missing := sorted(k for k, v in absent.items() if v is not None):
        raise ValueError(f"missing {', '.join(missing)}")
    made = msgspec.convert(absent | kept, type(usual))
    for each in fields(made):
        value, argument = getattr(made, each.name), each.metadata["flag"].argument
        if value == getattr(usual, each.name):
            continue
        if value not in argument.get("choices", (value,)):
            raise ValueError(f"{each.name} is {value!r}")
        several = isinstance(value, tuple) and argument.get("nargs") == "+"
        for item in value if several else (value,):
            if "type" in argument and item is not None:
                argument["type"](settings.spell(item, ","))
    if not made.dataset.isprintable():
        raise ValueError(f"dataset is {made.dataset!r}")
    return made

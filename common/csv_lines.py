"""What the lines of a run's CSV have to hold: types, ranges, and what its record says.

Columns that are not named here are taken as they are; an empty cell is None. Imports no
Keras.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from common.experiments.min_norm import RANDOM_FEATURES
from common.schema import Amount, Count, Fitted, Number, Several, Share


class Epoch(Struct):
    """A line of a training's CSV; other columns are numbers too."""

    epoch: Several
    train_cross_entropy: Number
    train_accuracy: Share
    val_cross_entropy: Number
    val_accuracy: Share


class Replica(Struct):
    """A line of mnist_l2norm.py's CSV."""

    size: Several
    labels: Literal["true", "random"]
    seed: Count
    stop: Literal["accuracy", "loss"]
    reached: Literal["True", "False", "1", "0"]
    epochs: Count
    l2_norm: Number
    product_of_norms: Number
    eigenvalue_1: Number
    trace: Number
    test_accuracy: Share | None = None


class System(Struct):
    """A line of min_norm.py's CSV."""

    filters: Number
    bandwidth: Number
    ridge: Amount
    test_error: Share
    rkhs_norm: Number


class Step(Struct):
    """A line of min_norm.py --sgd's CSV."""

    start: Literal["zero", "random"]
    step: Count
    distance: Number


class LeftOut(Struct):
    """A line of min_norm.py --leave-one-out's CSV."""

    label_corruption: Share
    labels: Literal["all", "true", "wrong"]
    examples: Several
    memorized: Share
    standard_error: Amount
    residual: Number


class Theorem(Struct):
    """A line of expressivity.py theorem's CSV."""

    n: Several
    depth: Several
    train_accuracy: Share
    test_accuracy: Share
    max_error: Number
    float32_train_accuracy: Share
    float32_max_error: Number
    condition: Number
    condition_midway: Number
    smallest_gap: Number
    weight_norm: Number


class Signs(Struct, rename={"kind": "class"}):
    """A line of expressivity.py rademacher's CSV."""

    kind: Annotated[str, Meta(pattern=r"^(linear|linear, bounded norm|width \d{1,9})$")]
    n: Several
    weights: Number
    low: Number
    high: Number
    estimate: Number
    gap_bound: Number


class Capacity(Struct, rename={"kind": "class"}):
    """A line of expressivity.py memorize's CSV."""

    kind: str
    weights: Several
    largest_n: Several


class Bounded(Struct):
    """A line of expressivity.py bound's CSV."""

    labels: Literal["true", "random"]
    n: Several
    width: Count
    updates: Count
    train_error: Share
    test_error: Share
    train_error_bound: Share
    kl: Amount
    bound: Share
    pinsker: Amount


class Width(Struct):
    """A line of double_descent.py's CSV."""

    width: Several
    weights: Several
    noise: Share
    seed: Count
    start: Literal["fresh", "reused"]
    epoch: Count
    last: Literal["True", "False", "1", "0"]
    train_error: Share
    test_error: Share


class Measured(Struct):
    """A line of measures.py's CSV."""

    size: Several
    width: Several
    depth: Several
    batch: Several
    noise: Share
    seed: Count
    reached: Literal["True", "False", "1", "0"]
    gap: Annotated[float, Meta(ge=-1, le=1)]


class Scored(Struct):
    """A line of influence.py's CSV."""

    example: Count
    label: Count
    true_label: Count
    standard_error: Amount
    score: Annotated[float, Meta(ge=-1, le=1)] | None


_LINES = {
    "influence": Scored,
    "measures": Measured,
    "double_descent": Width,
    "bound": Bounded,
    "mnist_l2norm": Replica,
    "min_norm": System,
    "theorem": Theorem,
    "rademacher": Signs,
    "memorize": Capacity,
}


def check(record, rows):
    """Refuses a CSV that is not of its record.

    Args:
        record: Dict that `schema.check` has seen.
        rows: Lines of the CSV as dicts of strings.

    Raises:
        ValueError: With what was found and what was expected, in a few words.
    """
    kind = _kind(record)
    if not kind:
        return
    if not rows:
        raise ValueError("it has no line")
    read = []
    for number, row in enumerate(rows, 2):
        row = {column: cell or None for column, cell in row.items()}
        try:
            read.append(msgspec.convert(row, kind, strict=False))
            if kind is Epoch:
                msgspec.convert(row, dict[str, Number], strict=False)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    if kind is Epoch:
        _check_epochs(record, read)


def _kind(record):
    """What the lines of a record's CSV are; None of a script that is not ours."""
    if "regime" in record:
        return Epoch
    kind = _LINES.get(record.get("part") or record["script"])
    if kind is not System:
        return kind
    settings = record["settings"]
    if settings["sgd"]:
        return Step
    if settings.get("leave_one_out"):
        return LeftOut
    return Fitted if settings["features"] in RANDOM_FEATURES else System


def _check_epochs(record, rows):
    last = record["epochs"]
    if [row.epoch for row in rows] != list(range(1, last + 1)):
        raise ValueError(f"its epochs are not 1 to {last}, which its record has")
    final = record["final"]
    row = rows[min(final.get("epoch") or last, last) - 1]
    for name in ("train_accuracy", "val_accuracy"):
        if abs(getattr(row, name) - final[name]) > 1e-6:
            raise ValueError(
                f"its {name} in epoch {row.epoch} is {getattr(row, name):g}, and "
                f"{final[name]:g} in its record"
            )

"""What may be typed behind a flag: argparse types, each with its range (no Keras).

All of them raise `argparse.ArgumentTypeError` with what was received and is expected.
"""

import argparse
import math
import os
import re
from pathlib import Path

_SPELLINGS = {int: r"[+-]?\d+", float: r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?"}
LARGEST = {int: 2**31 - 1, float: 3.4e38}  # of 32 bits
SMALLEST = 1.2e-38  # float32 rounds what is closer to 0


def number(kind, low, high=None, above=False, metavar="N"):
    """Returns an argparse type: a number in [low, high], or (low, high] with `above`.

    It is spelled in the digits 0 to 9, without spaces or underscores, and is one that
    32 bits hold: nothing is rounded to 0 or infinity later.

    Args:
        kind: `int` or `float`.
        low: Smallest value.
        high: Largest value; by default that of `LARGEST`.
        above: Whether `low` itself is refused.
        metavar: What `setting` shows in its place.
    """
    name = "an integer" if kind is int else "a number"
    limit = f"{'more than' if above else 'at least'} {low}"
    known_limit = limit if high is None else f"{limit} and at most {high}"
    high = LARGEST[kind] if high is None else high

    def read(text):
        known = re.fullmatch(_SPELLINGS[kind], text, re.ASCII | re.IGNORECASE)
        # Python itself refuses integers of thousands of digits.
        value = kind(text) if known and len(text) < 400 else math.nan
        said = known_limit
        if value > high:
            said = f"{limit} and at most {high}"
        elif 0 < abs(value) < SMALLEST or (  # 1e-999 is 0
            value == 0 and re.search("[1-9]", re.split("e", text, flags=re.I)[0])
        ):
            said += f", and none so close to 0 (from {SMALLEST} on)"
        elif low < value or (value == low and not above):
            return value + 0  # -0.0 is 0.0
        raise argparse.ArgumentTypeError(
            f"received {text!r}, expected {name} of {said}"
        )

    read.metavar, read.range = metavar, (kind, low, high, above)
    return read


integer, several = number(int, 1), number(int, 2)
seed = number(int, 0, 2**32 - 1, metavar="S")  # what every generator of numbers takes
probability = number(float, 0, 1, metavar="P")
rate = number(float, 0, 0.99, metavar="R")  # of dropout
positive = number(float, 0, above=True, metavar="X")
share = number(float, 0, 1, above=True, metavar="X")


def one_of_n(first):
    """Returns an argparse type: `i/n`, with i from `first` and of n numbers; as ints.

    Args:
        first: The smallest i, 0 or 1.
    """
    last = "n-1" if first == 0 else "n"

    def read(text):
        known = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.ASCII)
        i, n = map(int, known.groups()) if known else (0, 0)
        if not first <= i < n + first:
            raise argparse.ArgumentTypeError(
                f"received {text!r}, expected i/n with i from {first} to {last}, as in "
                f"{first}/2"
            )
        return i, n

    return read


def address(text):
    """An argparse type: `HOST:PORT`, as in 10.0.0.1:6380."""
    host, _, port = text.rpartition(":")
    known = host and not re.search(r"[\s\0]", host)
    if not (known and re.fullmatch(r"\d{1,5}", port, re.ASCII) and int(port) < 65536):
        raise argparse.ArgumentTypeError(
            f"received {text!r}, expected HOST:PORT, as in 10.0.0.1:6380"
        )
    return text


def path_name(text):
    """An argparse type: the path of a file or folder; ~ is the home folder.

    Refused is what no file system takes, or what is a slip: nothing at all, control
    characters, a name of more than 255 bytes, a user that there is not.
    """
    reason = None
    if not text.strip():
        reason = "the name of a file or folder"
    elif re.search(r"[\0-\x1f\x7f]", text):
        reason = "a path without control characters"
    elif max(len(part.encode(errors="replace")) for part in text.split("/")) > 255:
        reason = "names of at most 255 bytes, which file systems take"
    elif len(text.encode(errors="replace")) > 4000:
        reason = "a path of at most 4000 bytes, which systems take"
    elif text.startswith("~"):
        try:
            return str(Path(text).expanduser())
        except RuntimeError:
            reason = "a path: there is no home folder of that user"
    if reason:
        raise argparse.ArgumentTypeError(f"received {text!r}, expected {reason}")
    return text


def folder_name(text):
    """An argparse type: as `path_name`, of what is a folder or can be made one."""
    path = path_name(text)
    there = next(
        (p for p in (Path(path), *Path(path).parents) if os.path.exists(p)), "."
    )
    if not os.path.isdir(there):
        raise argparse.ArgumentTypeError(
            f"received {text!r}, expected a folder: {there} is a file"
        )
    return path


def file_path(text):
    """As `path_name`, as a `Path`."""
    return Path(path_name(text))


def folder_path(text):
    """As `folder_name`, as a `Path`."""
    return Path(folder_name(text))


def ascending(values):
    """Returns distinct values in ascending order, as a tuple."""
    return tuple(sorted(set(values)))


def distinct(values):
    """Returns distinct values in the order in which they came, as a tuple."""
    return tuple(dict.fromkeys(values))

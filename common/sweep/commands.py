"""Commands as data: read as their scripts read them, and varied, without Keras."""

import argparse
import functools
import shlex
from dataclasses import fields

from common import command_line, reviews
from common.cli import UsageError


def flags(text):
    """An argparse type: flags for runs, as typed in one word."""
    try:
        words = shlex.split(text)
    except ValueError as error:  # a quotation without its end
        raise argparse.ArgumentTypeError(
            f"received {text!r}, expected flags as a shell takes them ({error})"
        ) from None
    if not words:
        raise argparse.ArgumentTypeError(
            f"received {text!r}, expected flags, as in '--image-size 75 --epochs 2'"
        )
    if len(text) > 180 and variation(None, text):
        raise argparse.ArgumentTypeError(
            f"received {len(text)} characters, expected at most 180: they are part of "
            "the names of the report and its figures"
        )
    return text


def split(command):
    """Returns `(script, flags)`: file name, and list of its flags."""
    script, *flags = shlex.split(command)
    return script, flags


def without(words, *flags):
    """Returns the words of a command but for some flags, each with its one value."""
    kept, words = [], iter(words)
    for word in words:
        if word in flags:
            next(words, None)
        elif word.partition("=")[0] not in flags:
            kept.append(word)
    return kept


def starting_from(words, path):
    """Returns the words of a command with another path behind its --init-from."""
    return (*without(words, "--init-from"), "--init-from", str(path))


def varied(run, dataset=None, flags=None):
    """Returns a run on another data set and with more flags, where they are given.

    Args:
        run: A command, `SCRIPT FLAGS`.
        dataset: Name of a data set, in place of the run's own.
        flags: More flags, as typed.

    Raises:
        UsageError: If the script cannot be told so, if its settings suit one data set
            only, or if a flag would move the record.
    """
    script, words = split(run)
    if dataset:
        _refuse_foreign_data(script, dataset)
        if "--init-from" in words and dataset != parse(run)[0].dataset:
            raise UsageError(
                f"--dataset {dataset} cannot go with {run!r}, which starts from "
                "weights that were trained on its own data."
            )
        if "--dataset" in words:
            words[words.index("--dataset") + 1] = dataset
        else:
            words += ["--dataset", dataset]
        run = shlex.join([script, *words])
        try:
            parse(run)
        except UsageError as error:  # of people's labels, which CIFAR-10 alone has
            raise UsageError(
                f"--dataset {dataset} cannot go with {split(run)[0]} ({error})."
            ) from None
    if not flags:
        return run
    more = {flag.partition("=")[0] for flag in shlex.split(flags)}
    if more & {"-h", "--help"}:
        raise UsageError(f"--flags {flags!r}: type python {script} --help.")
    if ours := sorted(more & {"--seed", "--results-dir", "--models-dir"}):
        raise UsageError(
            f"--flags {flags!r}: {ours[0]} is not for the runs. Give reproduce.py "
            "itself --seeds, --results-dir and --models-dir."
        )
    try:
        parse(f"{run} {flags}")
    except UsageError as error:
        raise UsageError(
            f"--flags {flags!r} cannot be added to {run!r} ({error})."
        ) from None
    return f"{run} {flags}"


def _refuse_foreign_data(script, dataset):
    if script == "min_norm.py":
        raise UsageError(
            f"--dataset {dataset} cannot go with the kernels, whose settings are of "
            f"one data set each: type python min_norm.py --dataset {dataset}."
        )
    if (script == "imdb_text.py") != (dataset in reviews.NAMES):
        kind = "text" if script == "imdb_text.py" else "images"
        raise UsageError(
            f"--dataset {dataset} cannot go with {script}, which reads {kind}."
        )


def variation(dataset=None, flags=None):
    """Returns the --dataset and --flags of reproduce.py and report.py that select it.

    Empty where flags change nothing that is measured, as `--distribute`: the runs are
    then those of the experiment itself.
    """
    words = [word for word in shlex.split(flags or "") if word.startswith("--")]
    names = {word[2:].partition("=")[0].removeprefix("no-") for word in words}
    if names <= {each.name.replace("_", "-") for each in fields(command_line.Options)}:
        flags = None
    given = {"--dataset": dataset, "--flags": flags}
    return [f"{flag}={value}" for flag, value in given.items() if value]


@functools.cache  # a report asks for each run again and again
def parse(command, seed=None):
    """Returns the `(settings, Options)` of a command, as its script reads it.

    Args:
        command: `SCRIPT FLAGS`, of one part where the script has several.
        seed: Integer, in place of the command's own.

    Raises:
        UsageError: As `command_line.parse`.
    """
    script, words = split(command)
    words += [] if seed is None else ["--seed", str(seed)]
    found = command_line.read(script.removesuffix(".py"), words)
    if len(found) > 1:
        raise UsageError(f"{command}: name one of {', '.join(found)}.")
    return next(iter(found.values()))


def name_of(run, seed=None):
    """Returns the name of a run's files; arguments as of `parse`."""
    return parse(run, seed)[1].name


def runs_once(run):
    """Whether a run has its own seeds, so that --seeds does not repeat it."""
    return parse(run)[0].run_once

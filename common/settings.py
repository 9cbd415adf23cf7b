"""Settings, declared once: a dataclass <-> the flags <-> the name of a run.

Each field says its flag, help, type, range, default and its part of the name:

  >>> @dataclass(frozen=True)
  ... class Mine(Settings):
  ...     wd: float = setting(0.0, "weight decay", "wd{}", type=number(float, 0))
  ...     seed: int = setting(0, "initial weights", "seed{}", always=True, type=seed)
  >>> name("script", chosen(Mine(), {"wd": 5e-4}), Mine())
  'script_wd0.0005_seed0'
"""

import argparse
import math
from dataclasses import field, fields, replace
from decimal import Decimal
from typing import Any, NamedTuple

from common import cli
from common.cli import UsageError


class Settings:
    """What decides a run's numbers: base of frozen dataclasses of `setting`s."""

    run_once = False  # reproduce.py --seeds repeats a run, unless this is true

    def follow(self, given):
        """Returns the defaults that depend on other settings, as a dict.

        Called on a script's defaults.

        Args:
            given: Dict of the settings that were chosen.
        """
        return {}

    @staticmethod
    def resolve(given):
        """Replaces flags that are no settings of their own by those they stand for.

        Args:
            given: Dict of the flags that were typed; changed in place.

        Raises:
            UsageError: If two flags contradict each other.
        """

    def check(self, given):
        """Refuses settings that contradict each other.

        Args:
            given: Dict of the settings that were typed.

        Raises:
            UsageError: With what was received and what to change.
        """


class Flag(NamedTuple):
    """What a field says of itself; see `setting`."""

    help: Any
    part: Any
    always: bool
    names: tuple
    shown: Any
    offered: Any
    then: Any
    also: tuple
    argument: dict


def setting(
    default,
    help,
    part="{}",
    type=None,
    *,
    always=False,
    names=(),
    shown=None,
    offered=None,
    then=None,
    also=(),
    **argument,
):
    """Returns a dataclass field that is a flag and a part of a run's name.

    Args:
        default: Its value without the flag.
        help: What --help says, or a function of the script's defaults.
        part: How it shows in the name, with {} for the value; or a function of it.
        type: How argparse reads a value; see `number`.
        always: Whether it shows in the name although it is the default.
        names: Spellings of the flag, of which --help shows the first; by default the
            field's name with dashes.
        shown: The default as --help shows it, or a function of the script's defaults;
            by default as in a name. "" shows none.
        offered: Function of the script's defaults and the field's name: whether the
            script has the flag. By default every script has.
        then: Function from what argparse reads, as a list, to the setting's value.
        also: `(flag, help, arguments of add_argument)` of more flags that set it,
            under names of their own (see `Settings.resolve`).
        **argument: More arguments of `ArgumentParser.add_argument`.
    """
    if type:
        argument["type"] = type
    if not argument.keys() & {"action", "choices"}:
        argument.setdefault("metavar", getattr(type, "metavar", "NAME"))
    flag = Flag(help, part, always, names, shown, offered, then, also, argument)
    return field(default=default, metadata={"flag": flag})


def offered(kind, defaults):
    """Returns the fields of `kind` that are flags of a script.

    Args:
        kind: Dataclass with `setting`s.
        defaults: The script's own `Settings`.
    """
    found = [each for each in fields(kind) if "flag" in each.metadata]
    asked = [(each, each.metadata["flag"].offered) for each in found]
    return [each for each, ask in asked if not ask or ask(defaults, each.name)]


def add_flags(group, kind, defaults):
    """Adds the flags of a kind of settings to a group of a parser.

    Args:
        group: Of an `argparse.ArgumentParser`.
        kind: Dataclass with `setting`s.
        defaults: {part: its `Settings`} of a script; a script of one part calls it "".
    """
    first = next(iter(defaults.values()))
    having = {part: offered(kind, ours) for part, ours in defaults.items()}
    for each in fields(kind):
        usual = {  # an option's is that of every script
            part: getattr(ours, each.name, each.default)
            for part, ours in defaults.items()
            if each in having[part]
        }
        if usual:
            _add(group, each.name, each.metadata["flag"], usual, first)


def _add(group, name, flag, usual, defaults):
    help, shown = (x(defaults) if callable(x) else x for x in (flag.help, flag.shown))
    if shown is None:
        each = {part: spell(value, " ") for part, value in usual.items()}
        shown = "; ".join(f"{part} {value}".strip() for part, value in each.items())
        if len({*each.values()}) == 1:
            shown = [*each.values()][0]
    help += f" (default: {shown})" if shown else ""
    argument = {"dest": name, "default": argparse.SUPPRESS, **flag.argument}
    visible, *others = flag.names or ["--" + name.replace("_", "-")]
    group.add_argument(visible, help=help, **argument)
    for other in others:
        group.add_argument(other, help=argparse.SUPPRESS, **argument)
    for other, help, more in flag.also:
        more = {"default": argparse.SUPPRESS, **more}
        group.add_argument(other, help=help, **more)


def chosen(defaults, given):
    """Returns a script's `Settings` with what was typed, and what follows from that.

    Args:
        defaults: The script's own `Settings`.
        given: Dict of the settings that were typed.

    Raises:
        UsageError: If settings contradict each other.
    """
    settings = replace(defaults, **defaults.follow(given) | given)
    settings.check(given)
    return settings


def name(stem, settings, defaults):
    """Returns a run's name: `stem`, and what is not usual in the order of the fields.

    Args:
        stem: The script's name without .py, with its part if it has several.
        settings: The run's `Settings`.
        defaults: Those that the script has without any flag.
    """
    usual = replace(defaults, **defaults.follow(vars(settings)))
    parts = [stem]
    for each in fields(settings):
        flag, value = each.metadata["flag"], getattr(settings, each.name)
        if flag.always or value != getattr(usual, each.name):
            part = flag.part
            parts.append(part(value) if callable(part) else part.format(spell(value)))
    return "_".join(parts)


def spell(value, between="-"):
    """Returns a value as names show it; 5e-4 and 0.0005 are one name."""
    if isinstance(value, tuple):
        return between.join(map(spell, value))
    if isinstance(value, float):
        text = f"{Decimal(repr(value)):f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return str(value)


# A command line.


def parser(table, options, script, doc):
    """Returns the `cli.Parser` of a script.

    Args:
        table: {script, or "script part": its `Settings` without any flag}.
        options: Dataclass of `name`, `script`, `argv` and `setting`s that do not decide
            a run's name, with a static method `check` of what was typed.
        script: The script's name without .py.
        doc: The script's docstring; `--help` shows it.
    """
    reader, parts = cli.parser(script, doc), _parts(table, script)
    if len(parts) > 1:
        text = f"{', '.join(parts)} (default: all)"
        reader.add_argument("parts", nargs="*", metavar="PART", help=text)
    group = reader.add_argument_group("what is measured (decides the run's name)")
    add_flags(group, type(next(iter(parts.values()))), parts)
    group = reader.add_argument_group("how it is run (never in the name)")
    add_flags(group, options, parts)
    return reader


def read(reader, table, options, script, argv):
    """Returns what a command line says, as dict of part -> `(Settings, options)`.

    Args:
        reader: From `parser`, of the same script.
        table, options, script: As of `parser`.
        argv: Tuple of flags; the parts come first, and all are meant if none is named.

    Raises:
        UsageError: For unknown flags, values out of range and contradictions.
    """
    given = vars(reader.parse_args(argv))
    parts = _parts(table, script)
    named = given.pop("parts", None) or [*parts]
    if unknown := set(named) - set(parts):
        raise UsageError(f"unknown part {min(unknown)!r}: expected {', '.join(parts)}.")
    parts = {part: usual for part, usual in parts.items() if part in named}
    kind = type(next(iter(parts.values())))
    kind.resolve(given)
    _refuse_what_no_part_has(kind, parts, given)
    found = {}
    for part, usual in parts.items():
        settings = chosen(usual, _typed(kind, usual, given))
        how = _typed(options, usual, given)
        options.check(how)
        run = name("_".join(filter(None, (script, part))), settings, usual)
        found[part] = settings, options(name=run, script=script, argv=argv, **how)
    return found


def _parts(table, script):
    found = {}
    for key, usual in table.items():
        owner, _, part = key.partition(" ")
        if owner == script:
            found[part] = usual
    if not found:
        raise UsageError(f"{script}.py: its settings are not in `regime.DEFAULTS`.")
    return found


def _typed(kind, usual, given):
    """The values of `kind`'s settings that were typed, as a dict."""
    values = {}
    for each in offered(kind, usual):
        if each.name in given:
            then, value = each.metadata["flag"].then, given[each.name]
            values[each.name] = then(value) if then else value
    return values


def _refuse_what_no_part_has(kind, parts, given):
    had = {each for usual in parts.values() for each in offered(kind, usual)}
    for each in fields(kind):
        if each.name in given and each not in had:
            name = "--" + each.name.replace("_", "-")
            flag = (each.metadata["flag"].names or [name])[0]
            raise UsageError(f"{flag} does not concern {', '.join(parts)}.")


# Types of flags.


def number(kind, low, high=math.inf, above=False, metavar="N"):
    """Returns an argparse type: a number in [low, high], or (low, high] with `above`.

    Args:
        kind: `int` or `float`.
        low: Smallest value.
        high: Largest value.
        above: Whether `low` itself is refused.
        metavar: What `setting` shows in its place.
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

    read.metavar = metavar
    return read


seed = number(int, 0, 2**32 - 1, metavar="S")  # what every generator of numbers takes


def ascending(values):
    """Returns distinct values in ascending order, as a tuple."""
    return tuple(sorted(set(values)))


def distinct(values):
    """Returns distinct values in the order in which they came, as a tuple."""
    return tuple(dict.fromkeys(values))

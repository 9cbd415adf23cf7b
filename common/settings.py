"""Settings, declared once: a dataclass <-> the flags <-> the name of a run.

Each field says its flag, help, type, range, default and its part of the name:

  >>> @dataclass(frozen=True)
  ... class Mine(Settings):
  ...     wd: float = setting(0.0, "weight decay", "wd{}", type=float)
  ...     seed: int = setting(0, "initial weights", "seed{}", always=True, type=int)
  >>> name("script", chosen(Mine(), {"wd": 5e-4}), Mine())
  'script_wd0.0005_seed0'
"""

import argparse
import hashlib
from dataclasses import field, fields, replace
from decimal import Decimal
from typing import Any, NamedTuple

from common import cli
from common.cli import UsageError


class Settings:
    """What decides a run's numbers: base of frozen dataclasses of `setting`s."""

    run_once = False  # reproduce.py --seeds repeats a run, unless this is true
    longest_name = 200  # bytes; what is appended to it, as to `.NAME_….PID.part.h5`, is
    # at most 55, and 255 is what file systems take

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

    def check_data(self, usual):
        """Refuses what the data set does not have, before it is looked for.

        Not a matter of the name: a script asks as it is about to run.

        Args:
            usual: The settings of the same kind that `usual` returns for these: what
                equals them may not have been typed.

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
        type: How argparse reads a value; see `flag_types`.
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
            _add(group, each, usual, first)


def _add(group, each, usual, defaults):
    flag = each.metadata["flag"]
    help, shown = (x(defaults) if callable(x) else x for x in (flag.help, flag.shown))
    if shown is None:
        texts = {part: spell(value, " ") for part, value in usual.items()}
        shown = "; ".join(f"{part} {text}".strip() for part, text in texts.items())
        if len({*texts.values()}) == 1:
            shown = [*texts.values()][0]
    help += f" (default: {shown})" if shown else ""
    argument = {"dest": each.name, "default": argparse.SUPPRESS, **flag.argument}
    group.add_argument(spelling(each), help=help, **argument)
    for other in flag.names[1:]:
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


def usual(settings, defaults):
    """Returns a script's defaults, with those that follow from a run's settings.

    Args:
        settings, defaults: As of `name`.
    """
    return replace(defaults, **defaults.follow(vars(settings)))


def name(stem, settings, defaults):
    """Returns a run's name: `stem`, and what is not usual in the order of the fields.

    A name longer than `Settings.longest_name`, as of 300 hidden layers, is cut, and a
    digest of the whole stands in place of the rest; the seed stays last.

    Args:
        stem: The script's name without .py, with its part if it has several.
        settings: The run's `Settings`.
        defaults: Those that the script has without any flag.
    """
    without_flags = usual(settings, defaults)
    parts = [stem]
    for each in fields(settings):
        flag, value = each.metadata["flag"], getattr(settings, each.name)
        if flag.always or value != getattr(without_flags, each.name):
            part = flag.part
            parts.append(part(value) if callable(part) else part.format(spell(value)))
    whole = "_".join(parts)
    if len(whole.encode()) <= settings.longest_name:
        return whole
    last = "_" + parts.pop() if parts[-1].startswith("seed") else ""
    whole = "_".join(parts).encode()
    end = f"_{hashlib.sha256(whole).hexdigest()[:16]}{last}"
    return whole[: settings.longest_name - len(end)].decode(errors="ignore") + end


def spell(value, between="-"):
    """Returns a value as names show it; 5e-4 and 0.0005 are one name."""
    if isinstance(value, tuple):
        return between.join(map(spell, value))
    if isinstance(value, float):
        text = f"{Decimal(repr(value)):f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return str(value)


def short(value):
    """Returns a number in few digits, as `1e-05`, where they say exactly which it is.

    Else as `spell`: two numbers never look alike.
    """
    text = f"{value:g}"
    return text if float(text) == value else spell(value)


def spelling(each):
    """Returns the flag of a field, as --help shows it."""
    return (each.metadata["flag"].names or ["--" + each.name.replace("_", "-")])[0]


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
            raise UsageError(f"{spelling(each)} does not concern {', '.join(parts)}.")

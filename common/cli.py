"""How a script begins and ends: flags, `--help`, exit codes, one-line errors.

Imports nothing of ours and no package. Scripts import it first: from then on Ctrl-C, or
a package that is not installed, ends them in one line although `run` is yet to come.
"""

import argparse
import contextlib
import difflib
import os
import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class UsageError(ValueError):
    """Settings that cannot be run: exit code 2."""


class MendableError(Exception):
    """A condition a person can mend (no data, damaged file, …): exit code 1.

    The message says what happened, why, and what to do.
    """


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with a message that says how to go on: exit code 130."""


class Parser(argparse.ArgumentParser):
    """Raises `UsageError` where argparse prints its usage and exits."""

    elsewhere = staticmethod(lambda flag: "")  # what to say of a flag that it has not

    def error(self, message):
        raise UsageError(message.removeprefix("argument "))

    def parse_args(self, args=None, namespace=None):
        args = sys.argv[1:] if args is None else list(args)
        for word in args:  # argparse takes `--` out, and gives the flag no value
            if word.startswith("-") and word.endswith("=--"):
                self.error(f"{word[:-3]}: received '--', expected a value.")
        args, rest = self.parse_known_args(args, namespace)
        if not rest:
            return args
        unknown = [word.partition("=")[0] for word in rest if word.startswith("-")]
        if not unknown:
            self.error(f"unexpected word {rest[0]!r}. --help lists all flags.")
        hint = self.elsewhere(unknown[0]) or self._near(unknown[0])
        self.error(f"unknown flag {unknown[0]}.{hint} --help lists all.")

    def _near(self, flag):
        actions = self._option_string_actions.items()
        shown = [name for name, x in actions if x.help is not argparse.SUPPRESS]
        near = difflib.get_close_matches(flag, shown, n=1, cutoff=0.7)
        return f" Did you mean {near[0]}?" if near else ""

    def has(self, flag):
        """Whether the parser knows a flag."""
        return flag in self._option_string_actions


def parser(script, doc):
    """Returns a `Parser` whose `--help` shows `doc` as it is written."""
    return Parser(
        prog=f"{script}.py",
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def existing(folder):
    """Refuses a --data-dir that does not exist; None is none.

    Raises:
        UsageError: Always then.
    """
    if folder is not None and not Path(folder).expanduser().is_dir():
        raise UsageError(f"--data-dir {folder}: there is no such folder.")


def again(script, argv):
    """Returns the command line that continues a run, for a shell in this folder."""
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    first = [f"KERAS_BACKEND={backend}"] * (backend != "tensorflow")
    flags = [flag for flag in argv if flag not in ("--overwrite", "--no-resume")]
    file = f"{script}.py"
    with contextlib.suppress(OSError):  # of a folder that is no more
        file = file if Path.cwd() == ROOT else str(ROOT / file)
    return shlex.join([*first, "python", file, *flags])


@contextlib.contextmanager
def interruptible(message):
    """Turns Ctrl-C within it into `Interrupted`, with what `message()` returns."""
    try:
        yield
    except (KeyboardInterrupt, SystemError) as error:
        if isinstance(error, Interrupted) or not _is_ctrl_c(error):
            raise
        raise Interrupted(message()) from None


def _is_ctrl_c(error):
    """Whether it is Ctrl-C, or compiled code that complains of one."""
    while isinstance(error, SystemError):
        error = error.__cause__ or error.__context__
    return isinstance(error, KeyboardInterrupt)


def run(main, leave=sys.exit):
    """Calls `main()` and turns what a person can mend into one line and a code.

    Exit codes: 0 done; 2 wrong usage or impossible settings; 1 anything else a
    person can mend, a run that diverged among it; 130 after Ctrl-C. Defects of the
    program keep their traceback. `leave` is called with the code, 0 left out.
    """
    for stream in (sys.stdout, sys.stderr):
        # A locale may lack what a name holds. Not every stream can be told so.
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            record = main()
        finally:
            sys.stdout.flush()  # also of --help: nobody may be reading any more
        if isinstance(record, dict) and record.get("stopped_because") == "diverged":
            leave(1)  # its record is written, and its verdict said what to do
    except UsageError as error:
        leave(_say(_shortened(str(error)), 2))
    except MendableError as error:
        leave(_say(error, 1))
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            leave(1)
        else:
            leave(_say(f"{error}. Check the path, permissions and space.", 1))
    except (KeyboardInterrupt, SystemError, ModuleNotFoundError) as error:
        if (code := _explain(error)) is None:
            raise
        leave(code)


def _shortened(line, longest=600):
    """One line of what may quote a whole command line."""
    line = " ".join(line.split())
    if len(line) > longest:
        line = f"{line[: longest // 2]} ... {line[-longest // 3 :]}"
    return line


def _say(line, code):
    name = sys.argv[0].rsplit("/", 1)[-1]
    first = "\n" if code == 130 else ""  # behind the terminal's ^C
    with contextlib.suppress(OSError):  # of a terminal that was closed
        print(f"{first}{name}: {line}", file=sys.stderr)
    return code


def _nobody_reads():
    """Whether what reads stdout is gone, as after `| head`; then it is closed."""
    try:
        print(flush=True)
        return False
    except BrokenPipeError:
        # Else Python would try again as it exits, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True


def _explain(error):
    """Tells of Ctrl-C or a missing package; returns the exit code, else None."""
    if _is_ctrl_c(error):
        told = isinstance(error, Interrupted) and error.args
        return _say(error if told else "interrupted.", 130)
    if not isinstance(error, ModuleNotFoundError):  # a defect
        return None
    package = (error.name or "common").partition(".")[0]
    if package == "common":  # a defect
        return None
    known = (
        package in (ROOT / "requirements.txt").read_text("utf-8") or package == "PIL"
    )
    what = "-r requirements.txt" if known else package
    line = f"the package {package} is not installed. Type: python -m pip install {what}"
    return _say(line, 1)


def _before_main(kind, error, trace, hook=sys.excepthook):
    """`sys.excepthook`: what ends a script before it has called `run`."""
    told = isinstance(error, (KeyboardInterrupt, SystemError, ModuleNotFoundError))
    if (code := _explain(error) if told else None) is None:
        hook(kind, error, trace)
    else:
        sys.exit(code)


_script = Path(sys.argv[0]).resolve()
if _script.parent == ROOT and _script.is_file():  # one of ours
    sys.excepthook = _before_main
    # Keras imports it for its wrappers, which nobody here uses: two of ten seconds.
    sys.modules.setdefault("sklearn", None)

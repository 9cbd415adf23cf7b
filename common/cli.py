"""How a script begins and ends: `--help`, exit codes, one-line errors (no Keras)."""

import argparse
import contextlib
import os
import shlex
import sys


class UsageError(ValueError):
    """Settings that cannot be run: exit code 2."""


class MendableError(Exception):
    """A condition a person can mend (no data, damaged file, …): exit code 1.

    The message says what happened, why, and what to do.
    """


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with a message that says how to go on: exit code 130."""


def parser(script, doc):
    """Returns an `ArgumentParser` whose `--help` shows `doc` as it is written."""
    return argparse.ArgumentParser(
        prog=f"{script}.py",
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def again(script, argv):
    """Returns the command line that continues a run, for a shell."""
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    first = [f"KERAS_BACKEND={backend}"] * (backend != "tensorflow")
    flags = [flag for flag in argv if flag not in ("--overwrite", "--no-resume")]
    return shlex.join([*first, "python", f"{script}.py", *flags])


def run(main, leave=sys.exit):
    """Calls `main()` and turns what a person can mend into one line and a code.

    Exit codes: 0 done; 2 wrong usage or impossible settings; 1 anything else a
    person can mend; 130 after Ctrl-C. Defects of the program keep their
    traceback. `leave` is called with the code.
    """
    name = sys.argv[0].rsplit("/", 1)[-1]
    try:
        main()
    except UsageError as error:
        leave(_say(f"{name}: {error}", 2))
    except MendableError as error:
        leave(_say(f"{name}: {error}", 1))
    except OSError as error:
        leave(_say(f"{name}: {error}. Check the path, permissions and space.", 1))
    except KeyboardInterrupt as error:
        leave(_say(f"\n{name}: {error if error.args else 'interrupted.'}", 130))


def _say(line, code):
    with contextlib.suppress(OSError):  # of a terminal that was closed
        print(line, file=sys.stderr)
    return code

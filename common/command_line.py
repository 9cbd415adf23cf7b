"""What a command line says: a run's settings, and its `Options` (imports no Keras).

A run's name is a pure function of the script and of the settings that differ from the
script's defaults, which are in `regime.DEFAULTS`; `Options` are never in it.
"""

import functools
import sys
from dataclasses import dataclass
from pathlib import Path

from common import cli, memory, settings
from common.cli import UsageError
from common.flag_types import address, folder_name, integer, one_of_n
from common.regime import DEFAULTS, Regime
from common.settings import setting
from common.shared_settings import SWITCH, reads_files


def _devices(text):
    return text if text == "local" else address(text)


# Which scripts have an option: functions of a script's defaults and the field's name.


def _trains(defaults, _):
    return isinstance(defaults, Regime)


def _trains_on_arrays(defaults, name):
    return _trains(defaults, name) and not reads_files(defaults, name)


@dataclass(frozen=True)
class Options:
    """What does not change a run's numbers, and what identifies the run."""

    name: str
    script: str
    argv: tuple
    results_dir: str = setting(
        "results", "CSV, JSON and figures", type=folder_name, metavar="DIR"
    )
    models_dir: str = setting(
        "saved_models", ".h5 files and checkpoints", type=folder_name, metavar="DIR"
    )
    data_dir: str | None = setting(
        None,
        "where data sets are looked for and downloaded to",
        type=folder_name,
        shown="~/.keras/datasets",
        metavar="DIR",
    )
    resume: bool = setting(
        True,
        "start an interrupted run over",
        names=("--no-resume",),
        offered=_trains,
        **SWITCH | {"action": "store_false"},
    )
    overwrite: bool = setting(
        False, "run again though the record is complete", **SWITCH
    )
    save_init: bool = setting(
        False,
        "also save the untrained model as NAME_init.h5",
        offered=_trains,
        **SWITCH,
    )
    checkpoint_every: int = setting(
        1, "epochs between checkpoints", type=integer, offered=_trains
    )
    keep_checkpoint: bool = setting(
        False,
        "keep what continues the run when it is complete, as NAME_state.npz",
        offered=_trains,
        **SWITCH,
    )
    continue_from: str | None = setting(
        None,
        "begin from the end of the run NAME, which differs in its epochs alone and had "
        "--keep-checkpoint",
        offered=_trains,
        shown="off",
        metavar="NAME",
    )
    measure: str = setting(
        "sample",
        "training examples measured after each epoch: a fixed sample (more where a "
        "threshold may be reached, all in the end), or all of them",
        choices=("sample", "all"),
        offered=_trains,
    )
    record_examples: bool = setting(
        False,
        "also write what the network does with each training example after each "
        "epoch, as NAME_examples.h5 for examples.py; measures all of them",
        offered=_trains_on_arrays,
        **SWITCH,
    )
    tensorboard: str | None = setting(
        None,
        "write TensorBoard logs (pip install tensorboard)",
        type=folder_name,
        offered=_trains,
        shown="off",
        metavar="DIR",
    )
    quiet: bool = setting(False, "no progress bar, only the verdict", **SWITCH)
    distribute: str | None = setting(  # "local", or the chief's HOST:PORT
        None,
        "alone: every device of this machine; with the address of the first "
        "of several processes (KERAS_BACKEND=jax): those of all of them. They need "
        "one shared --models-dir and --results-dir; the first alone writes there",
        type=_devices,
        offered=reads_files,
        shown="off",
        nargs="?",
        const="local",
        metavar="HOST:PORT",
    )
    process: tuple = setting(  # number of this process, from 0, and how many there are
        (0, 1),
        "this is process i of the n that --distribute HOST:PORT joins; 0 is "
        "the one at that address",
        type=one_of_n(0),
        offered=reads_files,
        shown="0/1",
        metavar="i/n",
    )

    @staticmethod
    def check(given):
        """Refuses half of what several hosts need, and half a file of examples."""
        if given.get("record_examples") and given.get("continue_from"):
            raise UsageError(
                "--record-examples writes every epoch, and --continue-from begins "
                "after some: leave one of the two out."
            )
        hosts = given.get("distribute") not in (None, "local")
        if hosts != (given.get("process") not in (None, (0, 1))):
            raise UsageError(
                "several hosts need both flags: --distribute HOST:PORT, the same on "
                "all, and --process i/n, with i from 0 to n-1 and n of at least 2."
            )

    @property
    def chief(self):
        """Whether this process writes: the first, or the only one."""
        return self.process[0] == 0

    @property
    def command(self):
        """The command line that continues this run, for a shell."""
        return cli.again(self.script, self.argv)


def parse(doc, file, argv=None):
    """Reads a script's command line.

    Args:
        doc: The script's docstring; `--help` shows it.
        file: The script's `__file__`.
        argv: List of flags, or None for `sys.argv[1:]`.

    Returns:
        `(settings, options)`: the `Regime` of a training script (or `L2Norm`,
        `MinNorm`), and the `Options`.

    Raises:
        UsageError: For unknown flags, values out of range, settings that contradict
            each other, a --data-dir that does not exist, and what cannot fit in
            memory.
    """
    ((settings, options),) = parse_parts(doc, file, argv).values()
    return settings, options


def parse_parts(doc, file, argv=None):
    """As `parse`, for a script whose first words name its parts (all if none is named).

    Returns:
        Dict of part -> `(settings, options)`.
    """
    argv = sys.argv[1:] if argv is None else argv
    script = Path(file).stem
    found = read(script, argv, doc)
    for part, (ours, options) in found.items():
        cli.existing(options.data_dir)
        record = Path(options.results_dir, f"{options.name}.json")
        if options.overwrite or not record.exists():  # else it is only told
            defaults = DEFAULTS[f"{script} {part}".strip()]
            ours.check_data(settings.usual(ours, defaults))
            memory.check(script, ours, defaults, options.process[1])
    return found


def read(script, argv, doc=""):
    """As `parse_parts`, of a script's name without .py, and looking at no folder."""
    return settings.read(parser(script, doc), DEFAULTS, Options, script, tuple(argv))


@functools.cache
def parser(script, doc=""):
    """Returns the `cli.Parser` of a script."""
    reader = settings.parser(DEFAULTS, Options, script, doc)
    reader.elsewhere = functools.partial(_elsewhere, script)
    return reader


def _elsewhere(script, flag):
    """What to say of a flag that another script has and this one has not."""
    others = dict.fromkeys(key.partition(" ")[0] for key in DEFAULTS)
    owners = [name for name in others if name != script and parser(name).has(flag)]
    return f" {owners[0]}.py has it, this script has not." if owners else ""

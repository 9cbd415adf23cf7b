"""Command lines that have to be refused: BAD, of every script.

Each is `(words, exit code, regular expression)`: words from the script's file name on;
the expression is searched in the one line that stderr ends with. Most are made from the
declarations of the flags, a bad value of every kind; the others are by hand. None needs
Keras to be refused. One that passed would run: give it a folder of results to waste.
"""

import argparse
import re

from common import command_line, flag_types, regime
from common.sweep import commands

TRAINING = [key for key in regime.DEFAULTS if " " not in key]
EXPERIMENTS = [*TRAINING, "expressivity"]
LONG = "x" * 256  # bytes; file systems take 255
THAI, FULLWIDTH = "๑", "１"  # digits to Python's int()

WORDS = ["", " ", "nosuch", "TRUE", "-", "1", "a\nb", "x" * 5000]
NUMBERS = ["", " ", "x", "nan", "NaN", "1_0", "1,0", THAI, FULLWIDTH, " 1", "1 "]
NUMBERS += ["1\n", "0x10", "١", "--", "1/2", "²", "9" * 5000, "1e", "+-1", "True"]
PATHS = ["", "  ", "~nosuchuser", "~nosuchuser/data", LONG, f"a/{LONG}/b", "a\nb"]
PATHS += ["x/" * 2500]
FOLDERS = [*PATHS, __file__, f"{__file__}/mine"]
PAIRS = ["", "1", "/", "1/", "2/1", "-1/2", "1/0", "a/b", "١/٢", "1 / 2", "1/2/3"]
ADDRESSES = ["", "host", ":80", "host:", "host:x", "host:99999", "a b:80", "host:٨"]
AUGMENTS = ["", ",,,", "crop,", ",flip", "crop,,flip", "zoom", "CROP", "crop flip"]
SHELL = ["", " ", "--lr '", '--lr "1', "--lr \\", "--lr 1" + "0" * 180]


def bad_numbers(kind, low, high, above):
    """Words that are no number of a range, which is that of `flag_types.number`."""
    words = [*NUMBERS, str(low - 1), "-inf", "inf", "1e999", "-1e999"]
    words += [str(low)] if above else []
    words += [str(high + 1)] if kind is int else ["1e39", "1e-300", "1e-4000"]
    return words + (["1.5", "1e3", "1."] if kind is int else ["1.5.5", "1e5.5", "."])


def bad_values(action):
    """Words that an action of `argparse` has to refuse."""
    kind = action.type
    if action.nargs == 0:
        return []
    if action.choices:
        return WORDS
    if hasattr(kind, "range"):
        return bad_numbers(*kind.range)
    by_type = {
        flag_types.path_name: PATHS,
        flag_types.file_path: PATHS,
        flag_types.folder_name: FOLDERS,
        flag_types.folder_path: FOLDERS,
        commands.flags: SHELL,
        regime._augmentations: AUGMENTS,
        regime._batch_size: ["FULL", *bad_numbers(int, 1, 2**31 - 1, False)],
        regime._depth: ["4", "9", "11", "28.0", *NUMBERS],
        command_line._devices: ADDRESSES,
    }
    if kind in by_type:
        return by_type[kind]
    return PAIRS if action.metavar == "i/n" else []


def from_declarations(script, reader, *first):
    """Rows of a bad value for every flag, of no value, and of one for a switch.

    Args:
        script: File name.
        reader: Its `cli.Parser`.
        *first: Words that have to come before a flag.
    """
    rows = []
    for action in reader._actions:
        for flag in action.option_strings[:1]:
            if flag == "-h":
                continue
            told = rf"{flag}: (received|invalid choice|expected )"
            for value in bad_values(action):
                rows.append(([script, *first, f"{flag}={value}"], 2, told))
            if action.nargs == 0 or isinstance(action, argparse.BooleanOptionalAction):
                words = [script, *first, f"{flag}=yes"]
                rows.append((words, 2, f"{flag}.*ignored explicit argument|{flag}: "))
            elif action.nargs != "?":
                told = f"{flag}: expected (one|at least one) argument"
                rows.append(([script, *first, flag], 2, told))
            if action.nargs == "+":
                good = "1" if getattr(action.type, "range", [0] * 3)[2] == 1 else "2"
                words = [script, *first, flag, good, "x"]
                rows.append((words, 2, f"{flag}: received 'x'"))
            rows.append(([script, *first, f"{flag}s-of-all"], 2, "unknown flag"))
    return rows


def rows(script, code, told):
    """Rows of command lines, one a line: `FLAGS -> expression`."""
    found = []
    for line in filter(str.strip, told.splitlines()):
        flags, _, expression = line.strip().partition(" -> ")
        found.append(([script, *flags.split()], code, expression))
    return found


BAD = []
for name in EXPERIMENTS:
    BAD += from_declarations(f"{name}.py", command_line.parser(name))
    BAD += rows(
        f"{name}.py",
        2,
        """
        --data-dir /nowhere -> --data-dir /nowhere: there is no such folder
        --dataset imagenet2012/x -> unknown data set|expected letters
        --dataset= -> unknown data set|expected letters
        --nosuch -> unknown flag --nosuch
        --nosuch=1 --seed 1 -> unknown flag --nosuch
        -x -> unknown flag -x
        --seed 4294967296 -> at most 4294967295
        --seed -1 -> at least 0
        --train-size 0 -> at least
        --train-size 99999999 -> training examples|needs|takes
        """
        if name != "imagenet_inception_v3"
        else "--dataset a/b -> expected letters",
    )
for name in TRAINING[:6]:
    BAD += rows(
        f"{name}.py",
        2,
        """
        --random-labels --label-corruption 0.5 -> leave one out
        --label-noise pair -> no meaning without --label-corruption
        --data-seed 1 -> nothing of the data is drawn
        --momentum 0.9 --optimizer adam -> belongs to sgd and rmsprop
        --random-labels no -> unexpected word 'no'
        extra -> unexpected word 'extra'
        """,
    )
for name in ("cifar10_mlp", "cifar10_alexnet", "cifar10_wide_resnet"):
    BAD += rows(
        f"{name}.py",
        2,
        """
        --batch-size 50001 -> --batch-size 50001: the run has 50000
        --batch-size 129 --train-size 100 -> the run has 100
        --batch-size 99 --train-size 100 --early-stopping 3 -> the run has 90
        --dataset mnist_5k --train-size 4001 -> mnist_5k has 4000
        --augment crop --pixels random -> no window is left
        --batch-size full --precision float16 -> choose another precision
        --dataset imdb -> unknown data set 'imdb'
        --label-noise human --dataset cifar100 -> people labelled CIFAR-10
        --label-noise transition --label-corruption 0 -> no meaning without
        --human-labels worst --label-noise pair --random-labels -> belongs to human
        --human-labels best -> invalid choice: 'best'
        --label-noise human --data-seed 1 -> nothing of the data is drawn
        --init-from model.keras -> that ends in .h5
        --init-from "a b.h5" -> unexpected word|that ends in .h5
        --record-examples --continue-from x -> leave one of the two out
        """,
    )
BAD += rows(
    "cifar10_mlp.py",
    2,
    """
    --hidden 1000000000 -> needs .* of memory or more, .* at most \\d+ may fit
    --hidden 512 1000000000 -> --hidden 512 1000000000 needs
    --hidden 2000000 2000000 -> of memory or more
    --width 2 -> unknown flag --width. cifar10_wide_resnet.py has it
    """,
)
BAD += rows(
    "cifar10_wide_resnet.py",
    2,
    """
    --width 1000000 -> --width 1000000 needs
    --depth 1000000 -> --depth 1000000 needs
    --depth 2147483644 -> of memory or more
    """,
)
BAD += rows("cifar10_inception.py", 2, "--batch-size 60000 -> the run has 50000")
BAD += rows(
    "imdb_text.py",
    2,
    """
    --batch-size 25001 -> the run has 25000
    --dataset cifar10 -> unknown data set 'cifar10'
    --pixels random -> unknown flag --pixels
    """,
)
BAD += rows(
    "imagenet_inception_v3.py",
    2,
    f"""
    --image-size 100000000 -> --image-size 100000000 needs
    --image-size 74 -> at least 75
    --dataset {LONG} -> at most 255 bytes
    --dataset ../x -> expected letters
    --dataset flowers_n5 -> means another setting
    --dataset labels1 -> means another setting
    --dataset my_random -> means another setting
    --augment rotate -> expected some of
    --augment flip --pixels random -> leave one of the two out
    --batch-size full -> expected an integer
    --process 0/2 -> several hosts need both flags
    --distribute host:80 -> several hosts need both flags
    --data-dir ~nosuchuser -> no home folder of that user
    """,
)
BAD += rows(
    "mnist_l2norm.py",
    2,
    """
    --seeds 1000000000 -> --seeds 1000000000 needs .* of memory
    --seeds 2000000000 --seed 4294967295 -> seeds end at
    --step 128 --train-size 8 -> --step stands in place of --train-size
    --max-size 128 --train-size 8 -> --max-size stands in place of --train-size
    --max-size 100 -> no size is left
    --step 300 --max-size 200 -> no size is left
    --step 2 --max-size 2000000000 -> Expected at most
    --max-size 100000 -> mnist has 60000
    --train-size 1 -> at least 2
    --train-size 60001 -> mnist has 60000
    --batch-size 2000 -> the largest size has 1024
    --label-noise exclusive --no-random-labels -> no label is replaced
    --hidden 5 -> unknown flag
    """,
)
BAD += rows(
    "double_descent.py",
    2,
    """
    --widths 0 -> at least 1
    --widths 1000000000 -> --widths 1000000000 needs .* of memory
    --seeds 1000000000 -> --seeds 1000000000 needs .* of memory
    --seeds 2000000000 --seed 4294967295 -> seeds end at
    --train-size 1 -> at least 2
    --train-size 9 -> mnist has 10 classes. Expected at least 10 examples
    --train-size 60001 -> mnist has 60000
    --dataset mnist_5k --train-size 4001 -> mnist_5k has 4000
    --batch-size 4001 -> the run has 4000
    --label-corruption 0.2 2 -> at most 1
    --hidden 5 -> unknown flag
    """,
)
BAD += rows(
    "influence.py",
    2,
    """
    --width 0 -> at least 1
    --width 1000000000 -> --width 1000000000 needs .* of memory
    --networks 9 -> at least 10
    --networks 1000000000 -> --networks 1000000000 needs .* of memory
    --share 1 -> at most 0.9
    --train-size 9 -> at least 10
    --train-size 60001 -> mnist has 60000
    --random-labels --label-corruption 0.5 -> leave one out
    """,
)
BAD += rows(
    "measures.py",
    2,
    """
    --widths 0 -> at least 1
    --depths 0 -> at least 1
    --widths 1000000000 -> --widths 1000000000 needs .* of memory
    --seeds 1000000000 -> --seeds 1000000000 needs .* of memory
    --train-size 9 -> mnist has 10 classes. Expected at least 10 examples
    --train-size 60001 -> mnist has 60000
    """,
)
BAD += rows(
    "min_norm.py",
    2,
    """
    --features random_conv --filters 1000000000 -> at most 10000000
    --train-size 60001 -> mnist has 60000
    --held-out 60000 -> are fitted
    --held-out 50000 --train-size 20000 -> are fitted
    --label-noise pair -> no label is replaced
    --data-seed 4 -> nothing of the data is drawn
    --filters 8192 -> belongs to --features random_conv
    --features random_conv --kernel gaussian -> linear kernel only
    --kernel linear --bandwidth 1 -> belongs to the Gaussian kernel
    --sgd --ridge 1 -> without a path
    --features fourier --num-features 0 -> at least 1
    --features relu --train-size 5 -> mnist has 10 classes
    --features relu --draws 1000000000000 -> at most 2147483647
    --num-features 10 -> belongs to --features fourier or relu
    --leave-one-out --sgd -> the Gaussian kernel
    --leave-one-out --levels 2 -> at most 1
    --sgd --features gabor -> without a path
    --ridge 1e10 -> at most
    """,
)
BAD += rows(
    "expressivity.py",
    2,
    """
    nosuch -> unknown part 'nosuch'
    theorem nosuch -> unknown part 'nosuch'
    theorem --widths 3 -> --widths does not concern theorem
    memorize --train-size 9 -> --train-size does not concern memorize
    theorem --depths 1000000000 -> do not fill the
    theorem --train-size 5 9 -> do not fill the 50 hidden layers
    theorem --train-size 50001 -> cifar10 has 50000
    rademacher --train-size 10001 -> taken of, in mnist, has 10000
    rademacher --components 785 -> at most 784
    rademacher --dataset mnist_5k --components 4000 -> at most 784
    rademacher --draws 1000000000 -> --draws 1000000000 needs
    memorize --draws 1000000000 -> --draws 1000000000 needs
    memorize --restarts 1000000000 -> --restarts 1000000000 needs
    memorize --widths 1000000000 -> --widths 1000000000 needs
    bound --widths 1000000000 -> --widths 1000000000 needs
    bound --train-size 60001 -> mnist has 60000
    bound --updates 7 -> at least 8
    --step 5 --train-size 9 -> unknown flag --step
    """,
)


# The scripts that declare their flags themselves.
def _own(script, first, flags):
    found = []
    for flag, values in flags.items():
        told = rf"{flag}: (received|invalid choice|expected )"
        for value in values:
            found.append(([script, *first, f"{flag}={value}"], 2, told))
        found.append(([script, *first, flag], 2, f"{flag}: expected"))
    return found


COUNTS = bad_numbers(int, 1, 2**31 - 1, False)
BAD += _own(
    "analyze.py",
    ["model.h5"],
    {
        "--dataset": WORDS,
        "--inputs": WORDS,
        "--examples": COUNTS,
        "--eigenvalues": COUNTS,
        "--results-dir": PATHS,
        "--data-dir": PATHS,
    },
)
BAD += [
    (["analyze.py", path], 2, "models?: received|MODEL.h5: received") for path in PATHS
]
BAD += rows(
    "analyze.py",
    2,
    """
    --quiet -> the following arguments are required: MODEL.h5
    --nosuch model.h5 -> unknown flag
    model.h5 --data-dir /nowhere -> there is no such folder
    """,
)
BAD += _own(
    "examples.py",
    [],
    {"--el2n-epoch": COUNTS, "--results-dir": PATHS, "--data-dir": PATHS},
)
BAD += rows(
    "examples.py",
    2,
    """
    --nosuch -> unknown flag
    --data-dir /nowhere -> there is no such folder
    --results mine -> unknown flag --results. Did you mean --results-dir
    """,
)
BAD += rows(
    "examples.py",
    1,
    """
    --results-dir /nowhere/at/all -> holds no NAME_examples.h5
    nosuch --results-dir /nowhere/at/all -> does not exist: of a file of examples
    """,
)
BAD += _own(
    "report.py",
    [],
    {
        "--dataset": WORDS,
        "--flags": SHELL,
        "--results-dir": PATHS,
        "--data-dir": PATHS,
        "--collect": PATHS,
        "--export": [*PATHS, "runs", "runs.txt", "mlflow:", "wandb:", "nosuch:x"],
    },
)
BAD += rows(
    "report.py",
    2,
    """
    --compare one -> takes two runs or more
    --compare one two --gallery -> leave --gallery
    --compare one two --dataset mnist -> leave --gallery
    --data-dir . -> about the data of --gallery
    --data-dir /nowhere --gallery -> there is no such folder
    --epochs -> about what --export writes
    --export x.csv --gallery -> leave --compare
    --collect a b --dataset mnist -> leave --compare
    --collect a --results-dir b -> leave --results-dir out
    nosuch -> unexpected word 'nosuch'
    --results -> unknown flag --results. Did you mean --results-dir
    """,
)
BAD += rows("report.py", 1, "--results-dir /nowhere/at/all -> holds no record")
BAD += rows("report.py", 1, "--collect /nowhere/at/all -> there is no such folder")
BAD += rows("report.py", 1, "--export x.csv --results-dir /nowhere -> no record in")
BAD += _own(
    "reproduce.py",
    ["demo", "--dry-run"],
    {
        "--dataset": WORDS,
        "--flags": SHELL,
        "--seeds": bad_numbers(int, 1, 10_000, False),
        "--workers": COUNTS,
        "--cpus-per-run": COUNTS,
        "--gpus-per-run": ["", "x", "nan", "inf", "-1", "1.5", "1_0", "١", "9" * 400],
        "--shard": [*PAIRS, "0/2"],
        "--cluster": ADDRESSES,
        "--results-dir": PATHS,
        "--models-dir": PATHS,
        "--data-dir": PATHS,
    },
)
BAD += rows(
    "reproduce.py",
    2,
    """
    --dry-run -> no experiment was named
    nosuch --dry-run -> unknown experiment 'nosuch'
    demo --dry-run --cpus-per-run 2 -> give --cluster ADDRESS too
    demo --dry-run --gpus-per-run 0 -> give --cluster ADDRESS too
    demo --dry-run --cluster auto --workers 2 -> leave one of the two out
    demo --dry-run --cluster auto --data-dir x -> expected a full path
    demo --dry-run --data-dir /nowhere -> there is no such folder
    demo --dry-run --list -> leave --dry-run and --shard out
    demo --shard 1/2 --list -> leave --dry-run and --shard out
    demo --dry-run --only nosuch -> no command of demo holds that
    demo --dry-run --flags=--seed=1 -> is not for the runs
    demo --dry-run --flags=--help -> type python
    demo --dry-run --flags=--nosuch -> cannot be added to
    demo --dry-run --flags=word -> cannot be added to
    demo --dry-run --dataset imdb -> reads images
    kernels --dry-run --dataset mnist -> cannot go with the kernels
    """,
)

assert all(re.compile(told) for *_, told in BAD)

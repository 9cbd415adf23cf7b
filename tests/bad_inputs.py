"""Command lines that are refused: what `faults.py` types, and what it expects.

`{folder}` in them is a scratch folder, which `make` has filled.
"""

import json
import os


def make(folder):
    """Writes the files that the command lines name.

    Args:
        folder: `Path` of an empty folder.
    """
    (folder / "file").write_text("in the way")
    (folder / "empty.h5").touch()
    os.mkfifo(folder / "pipe.h5")
    (folder / "notes.json").write_text(json.dumps([1, 2]))


# (words, expected exit code, regular expression that stderr has to hold)
BAD = [
    ("cifar10_mlp.py --epochs none", 2, "received 'none', expected an integer"),
    ("cifar10_mlp.py --wd -1", 2, "at least 0"),
    ("cifar10_mlp.py --optimiser sgd", 2, "Did you mean --optimizer"),
    ("cifar10_alexnet.py --hidden 8", 2, "unknown flag --hidden"),
    ("cifar10_alexnet.py --random-crop --pixels shuffled", 2, "crop"),
    ("cifar10_inception.py --data-dir {folder}/none", 2, "there is no such folder"),
    ("imdb_text.py --dataset cifar10", 2, "cifar10"),
    ("mnist_l2norm.py --step 9 --max-size 8", 2, "no size is left"),
    ("min_norm.py --ridge -1", 2, "at least 0"),
    ("expressivity.py theorems", 2, "unknown part 'theorems'"),
    ("reproduce.py table_9", 2, "unknown experiment"),
    ("reproduce.py table_1 --shard 3/2", 2, "i/n"),
    ("report.py --results-dir {folder}/none", 1, "none"),
    ("analyze.py", 2, "MODEL.h5"),
    ("analyze.py {folder}/empty.h5", 1, "cannot be opened"),
]

# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 1. Memorize: answers
#
# *For teachers. Run the lab first: the cells below then only read its records and
# models. Alone, this notebook makes the runs that it needs.*

# %%
ADDRESS = ""  # of this collection; `make address URL=…` writes it here
import os
import shutil
import subprocess
import sys
from pathlib import Path

if not any(Path(x, "cifar10_mlp.py").exists() for x in (".", "..", "../..")):
    if Path("rethinking.zip").exists():
        shutil.unpack_archive("rethinking.zip")
    elif ADDRESS and not Path("rethinking").exists():
        subprocess.run(["git", "clone", "-q", ADDRESS, "rethinking"], check=True)
    if not Path("rethinking").exists():
        raise SystemExit(
            "The code is not here: clone the repository and open this notebook in it, "
            "or put rethinking.zip, which `make archive` makes, beside this notebook."
        )
    needed = ["-r", "rethinking/requirements.txt"]
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", *needed], check=True)
for folder in (".", "..", "../..", "rethinking"):
    if Path(folder, "cifar10_mlp.py").exists():
        os.chdir(folder)
        break
sys.path.insert(0, os.getcwd())

# %%
# %matplotlib inline
import shlex

import pandas as pd

import cifar10_mlp
from common.report import lab_figures, reading

IMAGES, EPOCHS = 1000, 60
DIGITS = f"--dataset mnist_5k --train-size {IMAGES} --epochs {EPOCHS}"
DIGITS += " --lr-decay 1 --stop-at 1"
KEPT = "--quiet --results-dir mine --models-dir mine"
FLAGS = {
    "true labels": "",
    "random labels": "--random-labels",
    "40 % random": "--label-corruption 0.4",
    "true, weight decay": "--wd 0.01",
    "random, weight decay": "--random-labels --wd 0.01",
    "true, dropout": "--dropout 0.5",
    "random, dropout": "--random-labels --dropout 0.5",
    "true, rotation": "--augment rotate",
    "random, rotation": "--random-labels --augment rotate",
}
runs = {
    label: cifar10_mlp.main(shlex.split(f"{DIGITS} {flags} {KEPT}"))
    for label, flags in FLAGS.items()
}

# %%
table = pd.DataFrame(
    {
        label: {
            "training %": 100 * record["final"]["train_accuracy"],
            "test %": 100 * record["final"]["val_accuracy"],
            "epochs": record["epochs"],
            "fitted at epoch": record["epochs_to_fit"],
        }
        for label, record in runs.items()
    }
).T.convert_dtypes()
table.round(1)

# %% [markdown]
# **Explain 1** (true labels). Neither. Most trained networks have a training error of
# zero or nearly, those that are used and those that are not; the test set decides. What
# part 2 adds: the network would have had a training error of zero whatever the labels
# were, so that it carries no information about the test error.
#
# **Prediction 2** (random labels). Most people expect that training fails, or stops
# half way. It succeeds, in a few times the epochs: in the paper, too, random labels
# cost a small constant factor, not orders of magnitude.

# %%
fitted = {
    name: runs[name]["epochs_to_fit"] for name in ("true labels", "random labels")
}
print("99 % of the training labels are reproduced at epoch", fitted)

# %% [markdown]
# **Explain 2.** (a) and (b) cannot be: both networks have the same number of weights
# and the same training error. (c) cannot be in this plain form: the same SGD found a
# function that is as complex as its labels. (d) remains: true labels have a structure
# which the network finds *before* it stores the rest, and random labels have none. What
# in the pair of network and algorithm prefers that structure is the open question of
# the paper.
#
# **Explain 3.** The empirical Rademacher complexity is the expected correlation of the
# best function of the class with random labels. The class fits random labels perfectly,
# so that it is about 1, its largest value. The bound then says: test error at most 0 +
# 1, which is true and says nothing. It is the same for both networks, while their test
# errors differ by 80 points.
#
# **Explain 4.** The test accuracy is best in the first epochs, when the network
# reproduces most of the kept labels and says the *true* label of most images whose
# label was replaced: it has learned what the labels have in common. Then it learns the
# replaced labels one by one, and pays for it on the test set. With wrong labels in your
# data: stop early (by a clean validation set), or distrust the examples that are
# learned last.

# %%
history = reading.curves(
    Path("mine") / f"{runs['40 % random']['name']}.csv", runs["40 % random"]
)
pd.DataFrame(history)[
    [
        "epoch",
        "kept_accuracy",
        "flipped_accuracy",
        "flipped_true_accuracy",
        "val_accuracy",
    ]
].iloc[[0, 1, 2, 4, 9, -1] if EPOCHS >= 10 else [0, -1]].round(3)

# %%
lab_figures.parts(runs["40 % random"])

# %% [markdown]
# **Explain 5.** With true labels each adds a point or a few, or nothing. With random
# labels, weight decay of this size and dropout slow memorizing down and do not prevent
# it. Rotations change the images in every epoch, so that there is more to store: that
# run may not have fitted yet (more `--epochs` show it). A much larger weight decay does
# prevent it, but then it also costs training accuracy with true labels. The network
# without any of them generalizes nearly as well, so that explicit regularizers help,
# and are not the reason.
#
# Beware of one conclusion: "regularizers are useless". The paper says that they are
# neither necessary nor by themselves sufficient.
#
# **Part 5.** Gaussian pixels are memorized *faster* than digits: random points in many
# dimensions are far from each other, while digits with different random labels may
# nearly coincide. Shuffled pixels change nothing for a dense network: it has no notion
# of neighbours. Small networks (`--hidden 32`) fit fewer random labels in the same
# epochs.
#
# **Explain 6.** For example: *The same network, trained the same way, learned labels
# that mean nothing as completely as true ones. So its size, its training error, its
# optimizer or its regularizers cannot alone explain why it is right on new images when
# the labels are true.*

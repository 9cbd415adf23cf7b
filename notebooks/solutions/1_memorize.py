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
import pandas as pd

import cifar10_mlp
from common.report import lab_figures, lab_runs

IMAGES, EPOCHS = 1000, 60
DIGITS = f"cifar10_mlp.py --dataset mnist_5k --train-size {IMAGES} --epochs {EPOCHS}"
DIGITS += " --lr-decay 1 --stop-at 1"
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
    label: lab_runs.run(cifar10_mlp.main, f"{DIGITS} {flags}")
    for label, flags in FLAGS.items()
}

# %%
lab_runs.table(runs)

# %% [markdown]
# **Explain 1** (true labels). None at all. Most trained networks have a training error
# of zero or nearly, those that are used and those that are not; the test set decides.
# What part 2 adds: the network would have had a training error of zero whatever the
# labels were, so that it carries no information about the test error.
#
# **Prediction 2** (random labels). Most people expect that training fails, or stops
# half way. It succeeds, in about three times the epochs (last column of the table): in
# the paper, too, random labels cost a small constant factor, not orders of magnitude.
#
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
# errors differ by about 80 points.
#
# **Explain 4.** The test accuracy is best in the first epochs, when the network
# reproduces most of the kept labels and says the *true* label of most images whose
# label was replaced: it has learned what the labels have in common. Then it learns the
# replaced labels one by one, and pays for it on the test set. With wrong labels in your
# data: stop early (by a clean validation set), or distrust the examples that are
# learned last. In %, after some epochs (the best one is the sixth):

# %%
history = pd.read_csv(f"mine/{runs['40 % random']['name']}.csv", index_col="epoch")
columns = {
    "kept_accuracy": "kept",
    "flipped_accuracy": "replaced, as given",
    "flipped_true_accuracy": "replaced, the true ones",
    "val_accuracy": "test",
}
some = sorted({1, 2, 6, 10, 20, history.index[-1]} & {*history.index})
(100 * history.rename(columns=columns)[columns.values()].loc[some]).round(1)

# %%
lab_figures.parts(runs["40 % random"])

# %% [markdown]
# **Explain 5.** With true labels weight decay adds next to nothing, dropout and
# rotation about two points. With random labels, weight decay of this size and dropout
# slow memorizing down and do not prevent it. Rotations change the images in every
# epoch, so that there is more to store: after 60 epochs that run is at 80 % and still
# rising (more `--epochs` show where to). The network without any of them generalizes
# nearly as well, so that explicit regularizers help, and are not the reason.
#
# Beware of one conclusion: "regularizers are useless". The paper says that they are
# neither necessary nor by themselves sufficient.
#
# **Part 5.** This network memorizes Gaussian pixels *faster* than digits: random points
# in many dimensions are far from each other, while digits with different random labels
# may nearly coincide. Shuffled pixels change nothing for a dense network: it has no
# notion of neighbours. Small networks (`--hidden 32`) fit fewer random labels in the
# same epochs.
#
# **Explain 6.** For example: *The same network, trained the same way, learned labels
# that mean nothing as completely as true ones. So its size, its training error, its
# optimizer or its regularizers cannot alone explain why it is right on new images when
# the labels are true.*

# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 2. What the network is fed: answers
#
# *For teachers.*

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
import numpy as np

import cifar10_mlp
from common import corruptions, datasets, pipelines
from common.report import lab_figures, lab_runs

IMAGES, EPOCHS = 1000, 3

# %% [markdown]
# **Question 1.** The overall brightness and contrast of an image, two numbers of 2,352.
# For recognition that is rarely a loss: a bird at dusk is a bird. It makes all images
# alike in scale, which lets one learning rate suit all.

# %%
data = datasets.named("synthetic", IMAGES)
darker = (data.x_train[:5] / 2).astype(np.uint8)
both = np.concatenate([data.x_train[:5], darker])
lab_figures.images(both, ["as it is"] * 5 + ["half as bright"] * 5)

# %%
difference = np.abs(pipelines.prepare(both[:5]) - pipelines.prepare(both[5:])).max()
print(f"largest difference after whitening: {difference:.2f} (only rounding to bytes)")

# %% [markdown]
# **Question 2.** p times 9/10, since one draw in ten hits the true class: 45 % at 0.5
# and 90 % at 1. "Random labels" therefore leave a tenth of the labels true, by chance.

# %%
for p in (0.5, 1):
    labels = corruptions.corrupt_labels(data.y_train, p, data.num_classes, seed=0)
    wrong = 100 * (labels != data.y_train).mean()
    print(f"p = {p}: {wrong:.1f} % wrong, expected {90 * p:.0f} %")

# %% [markdown]
# **Question 3.** Labels that change in every epoch have no fixed answer: the best that
# a network can do is to say the frequencies of the classes for each image, with a loss
# of ln 10 = 2.3 nats. Its training accuracy would stay at 10 %, whatever its size.
# Drawn once, they are a fixed table, which can be stored.
#
# **Question 4.** *Shuffled*: to a dense network this is the same problem (its first
# layer can permute its weights), and it is right on the test set, whose pixels are
# permuted alike. A convolutional network loses its neighbourhoods: it still fits, and
# generalizes less. *Random* and *gaussian*: both kinds of network can fit the training
# set, and the test set, whose images are as they were, is at chance. For a dense
# network Gaussian noise is even the easiest to fit: its images are all far from each
# other. (A convolutional network may take longest for it, as our AlexNet does on
# CIFAR-10: see the figure of the five kinds of data in `5_inception`.) Check it on the
# dense network:

# %%
PICTURES = f"cifar10_mlp.py --dataset synthetic --train-size {IMAGES}"
runs = {}
for pixels in ("true", "shuffled", "random", "gaussian"):
    command = f"{PICTURES} --epochs {10 * EPOCHS} --pixels {pixels}"
    runs[pixels] = lab_runs.run(cifar10_mlp.main, command)
lab_runs.table(runs)

# %% [markdown]
# **Question 5.** Without augmentation none is changed. `flip` and `erase` change half
# of them, and another half in the next epoch. `crop` leaves the centre where it was in
# one of 25 cases. The others draw an angle, a shift of each corner or a factor anew for
# every image, so that all are changed. Labels never are.
#
# **Question 6.** For example: `realized_label_noise` (were 90 % of the labels wrong?),
# `final.train_accuracy` together with what it is measured on (the weights at the end,
# the labels it was given, no augmentation), and `final.val_accuracy`, which has to be
# at chance: a network that is better than chance on the test set has seen true labels.
# Also good: the checksum, since a second run with the same checksum saw the same
# labels.

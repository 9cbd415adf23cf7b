# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 3. The multilayer perceptron: answers
#
# *For teachers. After the lab the cells only read what it left.*

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

import numpy as np
import pandas as pd

import cifar10_mlp
from common import corruptions, datasets, models, pipelines
from common.analysis import norms
from common.models.mlp import mlp
from common.report import lab_figures
from common.sweep import artefacts

IMAGES, EPOCHS = 1000, 40
SMALL = f"--dataset synthetic --train-size {IMAGES} --epochs {EPOCHS}"
SMALL += " --hidden 256 --lr-decay 1"
KEPT = "--quiet --results-dir mine --models-dir mine"

# %% [markdown]
# **Question 1.** 2,352 x 512 + 512 = 1,204,736 in the hidden layer, 512 x 10 + 10 =
# 5,130 in the last: 1,209,866 in all. The hidden layer has 99.6 % of them: an MLP on
# images spends its weights on pixels.

# %%
model = mlp((28, 28, 3), 10)
sizes = {
    layer.name: layer.count_params() for layer in model.layers if layer.count_params()
}
largest = sorted(sizes, key=sizes.get)[-5:]
pd.DataFrame({"parameters": {name: sizes[name] for name in reversed(largest)}})

# %% [markdown]
# **Question 2.** Sooner: about 21 epochs against 68 in our records (99 % of the
# labels). Depth makes memorizing easier. On the test set it gains about three points
# (53.6 against 50.9 %), far less than a convolutional network does with about as many
# weights.
#
# **Question 3.** Usually random labels need the larger weights: storing many unrelated
# answers takes steeper functions. Per unit of norm their margins are the smaller ones.
# Beware of reading it as a law: both numbers grow as long as one trains, so that runs
# have to be compared at the same loss or after the same epochs.

# %%
table = {}
for labels in ("true", "random"):
    command = f"cifar10_mlp.py {SMALL}" + " --random-labels" * (labels == "random")
    record = cifar10_mlp.main(shlex.split(command)[1:] + shlex.split(KEPT))
    regime, _ = artefacts.parse(command)
    feed = pipelines.Feed(corruptions.corrupt(datasets.load(regime), regime), regime)
    network = models.load(f"mine/{record['name']}.h5")
    margin = np.median(norms.margins(network, feed.x_train, feed.y_train))
    norm = norms.total_norms(norms.layer_norms(network))["frobenius"]
    table[f"{labels} labels"] = {
        "epochs": record["epochs"],
        "training %": 100 * record["final"]["train_accuracy"],
        "test %": 100 * record["final"]["val_accuracy"],
        "norm of all kernels": norm,
        "median margin": margin,
        "margin / norm": margin / norm,
    }
pd.DataFrame(table).round(3)

# %% [markdown]
# **A run of your own.** The number of weights has to be of the order of the information
# in the labels, n log2(10) bits. With 1,000 labels that is little: what stops a narrow
# network sooner is not storage but optimization, as a few ReLU units give SGD few
# directions to go. It gets slower before it becomes impossible.

# %%
runs = {}
for name in ("", "--random-labels --hidden 32"):
    runs[name or "as it is"] = cifar10_mlp.main(shlex.split(f"{SMALL} {name} {KEPT}"))
lab_figures.curves(runs)

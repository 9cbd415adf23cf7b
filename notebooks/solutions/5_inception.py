# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 5. The small Inception: answers
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

import cifar10_inception
from common import corruptions, datasets, models, pipelines
from common.analysis import norms
from common.models.inception import small_inception
from common.report import lab_figures
from common.sweep import artefacts

IMAGES, EPOCHS = 100, 12
SMALL = f"--dataset synthetic --train-size {IMAGES} --epochs {EPOCHS}"
SMALL += " --lr-decay 1 --lr 0.05 --batch-size 32"
KEPT = "--quiet --results-dir mine --models-dir mine"

# %% [markdown]
# **Question 1.** In the 3 x 3 convolutions of the last modules, which have the most
# channels. A 3 x 3 convolution from c to k channels has 9 c k weights, and the last
# dense layer only 336 x 10 + 10. BatchNorm subtracts each channel's mean, so that a
# bias before it would vanish; its own offset takes the place. That is also why both
# variants have the same count.

# %%
model = small_inception((28, 28, 3), 10)
sizes = {
    layer.name: layer.count_params() for layer in model.layers if layer.count_params()
}
largest = sorted(sizes, key=sizes.get)[-5:]
pd.DataFrame({"parameters": {name: sizes[name] for name in reversed(largest)}})

# %% [markdown]
# **Question 2.** With true labels: training accuracy 100 % and test accuracy 86.25 %
# (the paper: 85.75 %), without any regularizer. The rows with random labels and with
# regularizers say "not yet run". From the paper one expects 100 % training accuracy
# with random labels too, and 10 % on the test set.
#
# **Question 3.** Usually random labels need the larger weights: storing many unrelated
# answers takes steeper functions. Per unit of norm their margins are the smaller ones.
# Beware of reading it as a law: both numbers grow as long as one trains, so that runs
# have to be compared at the same loss or after the same epochs.

# %%
table = {}
for labels in ("true", "random"):
    command = f"cifar10_inception.py {SMALL}" + " --random-labels" * (
        labels == "random"
    )
    record = cifar10_inception.main(shlex.split(command)[1:] + shlex.split(KEPT))
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
# **A run of your own.** It trains more slowly without BatchNorm (with a learning rate
# as high as this perhaps hardly at all). Where both fit, their test accuracies differ
# by a few points in the paper: BatchNorm helps mostly the optimization.

# %%
runs = {}
for name in ("", "--no-batch-norm"):
    runs[name or "as it is"] = cifar10_inception.main(
        shlex.split(f"{SMALL} {name} {KEPT}")
    )
lab_figures.curves(runs)

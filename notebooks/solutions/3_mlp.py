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
import pandas as pd
from IPython.display import display

import cifar10_mlp
from common import corruptions, datasets, models, pipelines
from common.analysis import norms
from common.models.mlp import mlp
from common.report import lab_figures, lab_runs
from common.sweep import commands

IMAGES, EPOCHS = 1000, 40
SMALL = f"cifar10_mlp.py --dataset mnist_5k --train-size {IMAGES}"
SMALL += f" --epochs {EPOCHS} --hidden 256 --lr-decay 1"

# %% [markdown]
# **Question 1.** 2,352 x 512 + 512 = 1,204,736 in the hidden layer, 512 x 10 + 10 =
# 5,130 in the last: 1,209,866 in all. The hidden layer has 99.6 % of them: an MLP on
# images spends its weights on pixels.

# %%
model = mlp((28, 28, 3), 10)
sizes = pd.Series({layer.name: layer.count_params() for layer in model.layers})
sizes.nlargest(5).to_frame("parameters")

# %% [markdown]
# **Question 2.** Sooner: after about 21 epochs against 70 in our records. Depth makes
# memorizing easier. On the test set it gains less than three points (53.6 against 51.0
# %); AlexNet, with fewer weights than the deep MLP, is at 77 % in the first figure.
#
# **Question 3.** With true labels, many of the hardest look like another class: what is
# blue around a ship or a car is blue around a plane, and this network has no more than
# the colour at each place. With random labels there is nothing to see: a label was
# drawn whatever the image shows. The hardest here are of the 0.8 % that the network has
# not stored. (Of the small network on digits nearly all of them are ones: they look
# alike, and were given different labels.)
#
# **Question 4.** The network with random labels has the larger weights (42.4 against
# 38.7) and, for all that, the smaller margins (median 3.1 against 4.7): storing
# unrelated answers takes steeper functions. So its margin for the norm is the smaller
# one. Much of either norm is that of the random weights which both began with (about
# 29, the last line below). The spectral norms of the two networks hardly differ, and
# that of the first layer is even the larger one with true labels. Beware of reading any
# of it as a law: norms and margins grow as long as one trains, so that runs have to be
# compared at the same loss or, as here, after the same epochs. Norms and margins of the
# two small networks say the same.

# %%
FEW = 2000
found = lab_runs.true_and_random(cifar10_mlp.main, SMALL)
layers, margins = {}, {}
for labels, trained in found.items():
    network = models.load(trained.model)
    regime, _ = commands.parse(trained.command)
    feed = pipelines.Feed(corruptions.corrupt(datasets.load(regime), regime), regime)
    layers[labels] = norms.layer_norms(network)
    margins[labels] = norms.margins(network, feed.x_train[:FEW], feed.y_train[:FEW])
display(lab_runs.norms_and_margins(layers, margins))
fresh = type(network).from_config(network.get_config())  # with new random weights
before = norms.total_norms(norms.layer_norms(fresh))["frobenius"]
print(f"norm of all kernels before training: {before:.1f}")

# %% [markdown]
# **A run of your own.** The number of weights has to be of the order of the information
# in the labels, n log2(10) bits. With 1,000 labels that is little: what stops a narrow
# network sooner is not storage but optimization, as a few ReLU units give SGD few
# directions to go. It gets slower before it becomes impossible.

# %%
runs = {
    flags: lab_runs.run(cifar10_mlp.main, f"{SMALL} {flags}")
    for flags in ("--random-labels", "--random-labels --hidden 32")
}
lab_figures.curves(runs)

# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 4. The small AlexNet: answers
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

import cifar10_alexnet
from common import corruptions, datasets, models, pipelines
from common.analysis import norms
from common.models.alexnet import small_alexnet
from common.report import lab_figures, lab_runs
from common.sweep import commands

IMAGES, EPOCHS = 300, 40
SMALL = f"cifar10_alexnet.py --dataset synthetic --train-size {IMAGES}"
SMALL += f" --epochs {EPOCHS} --lr-decay 1 --lr 0.02 --batch-size 64"

# %% [markdown]
# **Question 1.** The first dense layer: it reads 7 x 7 x 64 = 3,136 values and has
# 3,136 x 384 + 384 = 1,204,608 of the 1,387,786 parameters, 87 %. The convolutions have
# 4,864 and 102,464. The time is in the convolutions, which use each weight hundreds of
# times an image: the second does 14 x 14 x 102,400 = 20 million multiplications, the
# dense layer 1.2 million.

# %%
model = small_alexnet((28, 28, 3), 10)
sizes = pd.Series({layer.name: layer.count_params() for layer in model.layers})
sizes.nlargest(5).to_frame("parameters")

# %% [markdown]
# **Question 2.** Weight decay adds less than a point, crops about four, both together
# somewhat more. Without any the network is at 76.9 %: the regularizers improve it, and
# are not why it is better than guessing. In the paper weight decay adds 1.3 to 1.6
# points.
#
# **Question 3.** With true labels, many of the hardest look like another class, or show
# theirs in an unusual way: a bird and a plane alike, dark in a blue sky; a ship as a
# mere shadow. With random labels there is nothing to see: a label was drawn whatever
# the image shows.
#
# **Question 4.** The network with random labels has the larger weights (40.5 against
# 37.2) and the smaller margins (median 7.4 against 13.2): its margin for the norm is
# half of the other's. Most of either norm is that of the random weights which both
# began with (about 32, the last line below), and only the distance from those would
# tell, as in `6_look_inside`. By the spectral norms it is the first convolution above
# all that has become the steeper one; of the dense layers they hardly differ. Beware of
# reading any of it as a law: norms and margins grow as long as one trains, so that runs
# have to be compared at the same loss or, as here, after the same epochs. Of the two
# small networks the norms hardly differ; the margins do.

# %%
FEW = 2000
found = lab_runs.true_and_random(cifar10_alexnet.main, SMALL)
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
# **A run of your own.** It nearly fits, and takes longer. On the test set it loses
# nearly all of what it had: 17 % in place of 61 %. On the whole of CIFAR-10 our AlexNet
# comes to 50 % with shuffled pixels, as much as a dense network, which they do not
# bother: the prior of a convolution is useful only where the data have the structure
# that it expects.

# %%
runs = {
    "true pixels": lab_runs.run(cifar10_alexnet.main, SMALL),
    "shuffled": lab_runs.run(cifar10_alexnet.main, f"{SMALL} --pixels shuffled"),
}
lab_figures.curves(runs)

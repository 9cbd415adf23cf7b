# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 4. The small AlexNet
#
# *45 minutes in class. All cells together compute for some minutes on two cores (`make
# labs` says how many); nothing is downloaded. Do `1_memorize` first.*
#
# Two convolutions with max-pooling and local response normalization, then dense layers
# of 384 and 192 units: the shape of the network that won ImageNet in 2012, cut to 28 x
# 28 pixels. Convolutions tell it that neighbours belong together and that a thing is
# the same thing elsewhere in the image.

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
from IPython.display import Image, display

import cifar10_alexnet
from common import cli, corruptions, datasets, models, pipelines
from common.analysis import norms
from common.models.alexnet import small_alexnet
from common.report import lab_figures
from common.sweep import artefacts

IMAGES, EPOCHS = 300, 40
SMALL = f"--dataset synthetic --train-size {IMAGES} --epochs {EPOCHS}"
SMALL += " --lr-decay 1 --lr 0.02 --batch-size 64"
KEPT = "--quiet --results-dir mine --models-dir mine"

# %% [markdown]
# ## Layer by layer
#
# A convolution with 5 x 5 windows from c to k channels has 25 c k weights and k biases,
# wherever in the image it is applied.
#
# **Question 1.** Which layer has most of the parameters: a convolution or a dense one?
# Which takes most of the time?
#
# *Your answer:*

# %%
model = small_alexnet((28, 28, 3), 10)
model.summary()
print(f"{model.count_params():,} parameters; the paper's Table 1 says 1,387,786")

# %% [markdown]
# ## Our records beside the paper's
#
# CIFAR-10, accuracies in %, means over the seeds of our runs, from the records in
# `results/`. "Fitted" is the first epoch with 99 % of the training labels reproduced.

# %%
lab_figures.table_1("cifar10_alexnet")

# %% [markdown]
# **Question 2.** Rows 9 to 12 differ in their regularizers only. How many points do
# weight decay and crops add to the test accuracy? How far does the network get without
# any?
#
# *Your answer:*
#
# First, true and random labels. Then: how much longer it takes to fit the more labels
# are corrupted (1b), and what becomes of the test error (1c).

# %%
for name in ["memorization", "figure_1b", "figure_1c"]:
    display(Image(f"results/figures/{name}.png", width=760))

# %% [markdown]
# ## Two trained networks, looked into
#
# One with true labels, one with random labels. Where this collection comes with the
# trained models of its CIFAR-10 runs, and CIFAR-10 lies on this machine, you look into
# those; else two small ones are trained here, on 300 images of the data set
# `synthetic`.

# %%
commands = {
    "true": "cifar10_alexnet.py",
    "random": "cifar10_alexnet.py --random-labels",
}
kept = {
    labels: f"saved_models/{artefacts.name_of(x)}.h5" for labels, x in commands.items()
}
here = all(Path(path).exists() for path in kept.values())
if here:
    try:
        data = datasets.named("cifar10")
    except cli.MendableError as error:
        here = False
        print(error)
if not here:
    print("The trained models of CIFAR-10 are not here. Training two small ones:")
    commands = {
        "true": f"cifar10_alexnet.py {SMALL}",
        "random": f"cifar10_alexnet.py {SMALL} --random-labels",
    }
    for labels, command in commands.items():
        record = cifar10_alexnet.main(shlex.split(command)[1:] + shlex.split(KEPT))
        kept[labels] = f"mine/{record['name']}.h5"
networks, feeds = {}, {}
for labels, command in commands.items():
    regime, _ = artefacts.parse(command)
    data = corruptions.corrupt(datasets.load(regime), regime)
    networks[labels], feeds[labels] = (
        models.load(kept[labels]),
        pipelines.Feed(data, regime),
    )
kept

# %% [markdown]
# **Which images does it get wrong?** For each network the ten training images with the
# smallest margin: the logit of the label that was given less the largest other one.
# Where it is negative the network says something else. And ten test images that the
# network with true labels gets wrong by the largest margin.

# %%
margins = {
    labels: norms.margins(networks[labels], feed.x_train, feed.y_train)
    for labels, feed in feeds.items()
}
for labels, feed in feeds.items():
    print(f"{labels} labels: training images with the smallest margins")
    display(lab_figures.smallest(margins[labels], feed.x_train, feed.y_train))

# %%
feed = feeds["true"]
on_test = norms.margins(networks["true"], feed.x_test, feed.y_test)
says = networks["true"].predict(feed.x_test, verbose=0).argmax(1)
print(
    f"{100 * (on_test < 0).mean():.1f} % of the test images are misfitted. The worst:"
)
lab_figures.smallest(on_test, feed.x_test, feed.y_test, says)

# %% [markdown]
# **How sure is it, and how large are its weights?** Scaled up weights give larger
# margins without any other answer, so that the two have to be seen together.
#
# **Question 3.** Which network needs the larger weights? Which has the larger margins?
# Divide the second by the first.
#
# *Your answer:*

# %%
layers = {labels: norms.layer_norms(network) for labels, network in networks.items()}
table = {}
for labels, measured in layers.items():
    total = norms.total_norms(measured)
    table[f"{labels} labels"] = {
        "norm of all kernels": total["frobenius"],
        "log10 product of spectral norms": total["log10_product_spectral"],
        "median margin": np.median(margins[labels]),
        "smallest margin": margins[labels].min(),
        "margin / norm": np.median(margins[labels]) / total["frobenius"],
    }
pd.DataFrame(table).round(3)

# %%
lab_figures.bars(
    {
        f"{labels} labels": {i + 1: row["spectral"] for i, row in enumerate(measured)}
        for labels, measured in layers.items()
    },
    "spectral norm of each layer",
)

# %% [markdown]
# ## A run of your own
#
# What is left of a convolutional network without neighbourhoods? `--pixels shuffled`
# permutes the pixels of all images alike. Compare its test accuracy with that of true
# pixels (leave the flag out).

# %%
MINE = "--pixels shuffled"
record = cifar10_alexnet.main(shlex.split(f"{SMALL} {MINE} {KEPT}"))
plain = cifar10_alexnet.main(shlex.split(f"{SMALL} {KEPT}"))
lab_figures.curves({"true labels": plain, MINE: record})

# %% [markdown]
# *What did you expect, and what did you see?*
#
# The whole experiment on CIFAR-10, which this notebook only showed: `python
# reproduce.py table_1 --only cifar10_alexnet`.

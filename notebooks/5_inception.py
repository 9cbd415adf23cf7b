# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 5. The small Inception
#
# *45 minutes in class. All cells together compute for about 3½ minutes on two cores.
# CIFAR-10 (170 MB) is downloaded where it is missing, and the notebook also runs
# without it. Do `1_memorize` first.*
#
# Convolutions throughout, in modules that look through 1 x 1 and 3 x 3 windows side by
# side, each followed by BatchNorm; no dense layer but the last. It is the best network
# of the paper on CIFAR-10, and the one with the most computation: on two cores one row
# of the paper's table takes hours, so that you train a small piece of it.

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
import pandas as pd
from IPython.display import Image, display

import cifar10_inception
from common import corruptions, datasets, models, pipelines
from common.analysis import norms
from common.models.inception import small_inception
from common.report import lab_figures, lab_runs
from common.sweep import commands

IMAGES, EPOCHS = 100, 14
SMALL = f"cifar10_inception.py --dataset mnist_5k --train-size {IMAGES}"
SMALL += f" --epochs {EPOCHS} --lr 0.02 --lr-decay 0.9 --batch-size 10 --stop-at 1"

# %% [markdown]
# ## Layer by layer
#
# A module joins what its two convolutions give (`Concatenate`). Two modules halve the
# image on their way. At the end each channel is averaged over the image. *BatchNorm*
# takes off each channel's mean over the batch and divides by its deviation; its layers
# are called `FusedBatchNormalization` here. Trainable parameters are counted: first by
# the kind of layer, then in the five largest, by their number from the input on.
#
# **Question 1.** It has about a third more parameters than the MLP of `3_mlp`, and is
# far deeper. Where are they? Why is there no bias beside BatchNorm?
#
# *Your answer:*

# %%
model = small_inception((28, 28, 3), 10)
table = pd.DataFrame(
    {
        "layer": type(layer).__name__,
        "output": str(layer.output.shape[1:]),
        "trainable parameters": sum(np.prod(w.shape) for w in layer.trainable_weights),
    }
    for layer in model.layers
).astype({"trainable parameters": int})
kinds = table.groupby("layer", sort=False)["trainable parameters"]
display(kinds.agg(layers="size", parameters="sum"))
display(table.nlargest(5, "trainable parameters"))
total = table["trainable parameters"].sum()
print(f"{total:,} trainable parameters; the paper's Table 1 says 1,649,402")

# %% [markdown]
# ## Our records beside the paper's
#
# CIFAR-10, accuracies in %, means over the seeds of our runs. `row` counts the lines of
# the paper's Table 1, and `paper` is its test accuracy. `fitted` is the first epoch
# with 99 % of the training labels reproduced
# (`> 50`: not in 50 epochs); `crop` means random crops, `no BN` without BatchNorm.

# %%
lab_runs.table_1("cifar10_inception.py")

# %% [markdown]
# **Question 2.** What does the table say about true labels, and about random ones? How
# many points of test accuracy are crops, weight decay and BatchNorm worth?
#
# *Your answer:*
#
# Three figures, the paper's curves pale. Figure 1a: the training loss on five kinds of
# data, beside AlexNet's (`2_data` shows what is done to the pixels). Figure 2b: the
# accuracies epoch by epoch with BatchNorm and without, as the paper asks whether it
# regularizes. And where each of the two ends on 5,000 images, in the last two lines.

# %%
for name in ["figure_1a", "figure_2b", "implicit"]:
    display(Image(f"results/figures/{name}.png", width=760))

# %% [markdown]
# ## Two trained networks, looked into
#
# One has learned true labels of CIFAR-10, one random labels; both come with the
# collection, in `saved_models/`. You look at what they do with the first `FEW` images.
# Where CIFAR-10 can be neither found nor downloaded (170 MB), two small networks
# take their place, trained here on 100 digits of `mnist_5k`.

# %%
FEW = 2000
found = lab_runs.true_and_random(cifar10_inception.main, SMALL)
networks, feeds = {}, {}
for labels, trained in found.items():
    networks[labels] = models.load(trained.model)
    regime, _ = commands.parse(trained.command)  # the settings of that command
    data = corruptions.corrupt(datasets.load(regime), regime)  # the labels it was given
    feeds[labels] = pipelines.Feed(data, regime)  # the images as it was fed them
lab_runs.table({labels: trained.record for labels, trained in found.items()})

# %% [markdown]
# **Which images are hard for it?** The *margin* of an image is the logit of its label
# less the largest other one: how clearly the network says that label. Where it is
# negative, the network says another. For each network the ten training images with the
# smallest margins; above each the label that was given, what the network says, and the
# margin (in colour where it is negative):

# %%
margins = {}
for labels, feed in feeds.items():
    x, y = feed.x_train[:FEW], feed.y_train[:FEW]
    margins[labels] = norms.margins(networks[labels], x, y)
    least = margins[labels].argsort()[:10]
    says = networks[labels].predict(x[least], verbose=0).argmax(1)
    print(f"{labels}:")
    shown = x[least], y[least], says, margins[labels][least]
    display(lab_figures.least_margins(*shown, regime.dataset))

# %% [markdown]
# And the test images that the network with true labels gets wrong by the largest
# margin; above each its true label and what the network says:

# %%
network, feed = networks["true labels"], feeds["true labels"]
x, y = feed.x_test[:FEW], feed.y_test[:FEW]
on_test = norms.margins(network, x, y)
least = on_test.argsort()[:10]
says = network.predict(x[least], verbose=0).argmax(1)
wrong = 100 * (on_test < 0).mean()
print(f"{wrong:.1f} % of these test images are misclassified. The worst:")
lab_figures.least_margins(x[least], y[least], says, on_test[least], regime.dataset)

# %% [markdown]
# **Question 3.** Can you see what makes an image hard for the network with true labels,
# among the training images and among the test images? And for the other network?
#
# *Your answer:*

# %% [markdown]
# **How large are its weights, and how sure is it?** The *kernel* of a layer is its
# array of weights; the norm of all kernels is the root of the sum of their squares
# (with what BatchNorm divides by folded into them). Larger weights give larger margins
# without any other answer, so that the two have to be seen together.
#
# **Question 4.** Which network do you expect to have the larger weights? The larger
# margins? And margin for norm?
#
# *Your answer:*

# %%
layers = {labels: norms.layer_norms(network) for labels, network in networks.items()}
lab_runs.norms_and_margins(layers, margins)

# %% [markdown]
# The *spectral norm* of a layer is the largest factor by which it stretches a vector.
# From the first layer to the last (do they tell the two networks apart, too?):

# %%
spectral = {
    labels: {i + 1: row["spectral"] for i, row in enumerate(rows)}
    for labels, rows in layers.items()
}
lab_figures.bars(spectral, "spectral norm of each layer")

# %% [markdown]
# ## A run of your own
#
# BatchNorm is often called a regularizer. Train without it (`--no-batch-norm`) on true
# labels, for half of the epochs. Will the network fit faster or slower? And what do the
# figures above say of where it ends, with far more images and epochs?
#
# *Your prediction:*

# %%
MINE = f"--no-batch-norm --epochs {EPOCHS // 2}"
runs = {
    "BatchNorm": lab_runs.run(cifar10_inception.main, SMALL),
    MINE: lab_runs.run(cifar10_inception.main, f"{SMALL} {MINE}"),
}
lab_figures.curves(runs)

# %% [markdown]
# *What did you see?*
#
# The whole experiment on CIFAR-10, which this notebook only showed: `python
# reproduce.py table_1 --only cifar10_inception`.

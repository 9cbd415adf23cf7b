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
# *45 minutes in class. All cells together compute for about 3 minutes on two cores.
# CIFAR-10 (170 MB) is downloaded where it is missing, and the notebook also runs
# without it. Do `1_memorize` first.*
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
from IPython.display import Image, display

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
# ## Layer by layer
#
# A convolution with 5 x 5 windows from c to k channels has 25 c k weights and k biases,
# wherever in the image it is applied. `LocalResponseNormalization` divides each value
# by a measure of how large the neighbouring channels are; it has no weights.
#
# **Question 1.** Guess before you run the cell: which layer has most of the parameters,
# a convolution or a dense one? And which takes most of the time? (Count the
# multiplications: a convolution uses each weight at every place of its output.)
#
# *Your answer:*

# %%
model = small_alexnet((28, 28, 3), 10)
model.summary()
print(f"{model.count_params():,} parameters; the paper's Table 1 says 1,387,786")

# %% [markdown]
# ## Our records beside the paper's
#
# CIFAR-10, accuracies in %, means over the seeds of our runs. `row` counts the lines of
# the paper's Table 1, and `paper` is its test accuracy. `fitted` is the first epoch
# with 99 % of the training labels reproduced; `crop` means random crops.

# %%
lab_runs.table_1("cifar10_alexnet.py")

# %% [markdown]
# **Question 2.** Rows 9 to 12 differ in their regularizers only. How many points do
# weight decay and crops add to the test accuracy? How far does the network get without
# any?
#
# *Your answer:*
#
# Figures 1b and 1c of the paper, with our records: on the x-axis the share p of labels
# that are replaced; dashed curves are the paper's. First, how many times longer it
# takes to fit them than to fit true ones: to 99 % of them (left), and to a small loss
# (right; a triangle: longer than that). Then what becomes of the test error. (The
# paper's curve seems to be the error on test labels that are corrupted too, our dotted
# line.)

# %%
for name in ["figure_1b", "figure_1c"]:
    display(Image(f"results/figures/{name}.png", width=760))

# %% [markdown]
# ## Two trained networks, looked into
#
# One has learned true labels of CIFAR-10, one random labels; both come with the
# collection, in `saved_models/`. You look at what they do with the first `FEW` images.
# Where CIFAR-10 can be neither found nor downloaded (170 MB), two small networks
# take their place, trained here on 300 images of the data set `synthetic`.

# %%
FEW = 2000
found = lab_runs.true_and_random(cifar10_alexnet.main, SMALL)
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
# array of weights; the norm of all kernels is the root of the sum of their squares.
# Larger weights give larger margins without any other answer, so that the two have to
# be seen together.
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
# What is left of a convolutional network without neighbourhoods? `--pixels shuffled`
# permutes the pixels of all images alike. Will it still fit the training labels? What
# will its test accuracy be, beside that with the true pixels?
#
# *Your prediction:*

# %%
MINE = "--pixels shuffled"
runs = {
    "true pixels": lab_runs.run(cifar10_alexnet.main, SMALL),
    MINE: lab_runs.run(cifar10_alexnet.main, f"{SMALL} {MINE}"),
}
lab_figures.curves(runs)

# %% [markdown]
# *What did you see?*
#
# The whole experiment on CIFAR-10, which this notebook only showed: `python
# reproduce.py table_1 --only cifar10_alexnet`.

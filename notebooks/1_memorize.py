# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 1. Memorize
#
# *45 minutes in class. All cells together compute for about 1 minute on two cores;
# nothing is downloaded. You need to know what a dense network, an epoch and a test set
# are.*
#
# A network with more weights than training images could, in principle, simply store its
# training set. Zhang et al. (2017, [arXiv
# 1611.03530](https://arxiv.org/abs/1611.03530)) asked whether the networks that we use
# *do*, and found an experiment that shows it: replace the labels by random ones and
# train as before. You will repeat it on real digits.
#
# Each part has three steps: **predict**, then **run**, then **explain**. Write the
# prediction down before you run the cell: that is where the surprise is.

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

# %% [markdown]
# ## The network and the digits
#
# 1,000 handwritten digits to train on (28 x 28 pixels, ten classes, 100 of each) and
# 1,000 others to test on. The network has one hidden layer of 512 ReLU units: 407,050
# weights, four hundred for each training image. It is trained by SGD with momentum.
#
# `cifar10_mlp.py` is the collection's script for it. `lab_runs.run` calls it with the
# flags of a command, as a terminal would, and returns the run's *record*: its settings
# and what it came to. Record, curves and model are kept in the folder `mine`: a cell
# that you run again reads them and trains nothing.

# %%
# %matplotlib inline
import cifar10_mlp
from common import corruptions, datasets, models, pipelines
from common.report import lab_figures, lab_runs
from common.sweep import commands

IMAGES, EPOCHS = 1000, 60
DIGITS = f"cifar10_mlp.py --dataset mnist_5k --train-size {IMAGES} --epochs {EPOCHS}"
DIGITS += " --lr-decay 1 --stop-at 1"  # a constant rate, until all are right
runs = {}

# %% [markdown]
# ## 1. True labels
#
# **Predict.** What share of the training labels will the network reproduce in the end?
# What share of the test labels will it get right?
#
# *Your prediction:*

# %%
runs["true labels"] = lab_runs.run(cifar10_mlp.main, DIGITS)
lab_figures.curves(runs)

# %% [markdown]
# Training accuracy here is that of the weights as they are at the end of an epoch, on
# the labels that the network is trained on. The test set always has its true labels.
#
# **Explain 1.** The network makes no error on the training set. Is that a good sign, a
# bad one, or none at all?
#
# *Your answer:*

# %% [markdown]
# ## 2. Random labels
#
# Now each training label is replaced by a draw from the ten classes, once, before
# training. A "3" may be called 7, and another "3" may be called 0. The images stay as
# they are. So do the network, the learning rate and everything else.
#
# **Predict.** Can SGD still find weights that reproduce the training labels? How many
# of them? How much longer will it take? What will the test accuracy be?
#
# *Your prediction:*

# %%
random_labels = f"{DIGITS} --random-labels"
runs["random labels"] = lab_runs.run(cifar10_mlp.main, random_labels)
lab_figures.curves(runs)

# %% [markdown]
# Look at what has been memorized: training images, with the label each was given and
# what the trained network says. A label in colour is not the true one. (The labels are
# drawn again here, and come out the same: 2_data shows why.)

# %%
regime, _ = commands.parse(random_labels)  # the settings of that command
data = corruptions.corrupt(datasets.load(regime), regime)  # the labels it was given
feed = pipelines.Feed(data, regime)  # the images as a network is fed them: 2_data
memorizer = models.load(f"mine/{runs['random labels']['name']}.h5")
says = memorizer.predict(feed.x_train, verbose=0).argmax(1)
lab_figures.images(
    data.x_train[:30],
    [f"given {g}\nsays {s}" for g, s in zip(data.y_train[:30], says, strict=False)],
    data.y_train[:30] != data.y_train_true[:30],
)

# %% [markdown]
# And the same network on images that it has not seen:

# %%
says = memorizer.predict(feed.x_test, verbose=0).argmax(1)
lab_figures.images(data.x_test[:20], [f"says {s}" for s in says[:20]])

# %% [markdown]
# **Explain 2.** Two networks of the same size, found by the same algorithm, make no
# error on their training sets. One is right on most test images, the other guesses.
# Which of these can therefore *not* be the reason why the first one generalizes: (a) it
# has few enough weights, (b) its training error is zero, (c) SGD only finds simple
# functions, (d) something about the labels and the images?
#
# *Your answer:*
#
# **Explain 3.** A classical bound says: the test error is at most the training error
# plus the *Rademacher complexity*. That is a number which says how well networks of
# this kind can fit random labels: 0 if not at all, 1 if perfectly. What is it here, at
# least roughly? What does the bound then say about the first network?
#
# *Your answer:*

# %% [markdown]
# ## 3. Some labels random
#
# Each label is replaced with probability 0.4. One in ten of the replaced ones happens
# to be the true one, so that about 36 % of the labels are wrong.
#
# **Predict.** Will the network learn the kept labels and the replaced ones at the same
# time, or one group first? What does it say of an image whose label was replaced
# *before* it has learned that label? And where will its test accuracy end, between the
# two above?
#
# *Your prediction:*

# %%
partly = f"{DIGITS} --label-corruption 0.4"
runs["40 % random"] = lab_runs.run(cifar10_mlp.main, partly)
lab_figures.curves(runs)

# %%
lab_figures.parts(runs["40 % random"])

# %%
best, final = (runs["40 % random"][key] for key in ("best", "final"))
for word, found in (("best", best), ("last", final)):
    percent = 100 * found["val_accuracy"]
    print(f"{word} test accuracy {percent:.1f} % (epoch {found['epoch']})")

# %% [markdown]
# The orange dotted line is the share of images with a *replaced* label for which the
# network says the *true* one, which it was never told.
#
# **Explain 4.** At which epoch is this network best on the test set? What is happening
# to the replaced labels at that time, and what after it? What would you do if you knew
# that some of your labels are wrong?
#
# *Your answer:*

# %% [markdown]
# ## 4. Regularizers, on and off
#
# Weight decay, dropout and augmentation are said to *make* a network generalize. Then
# without them it should not, and with them it should not be able to memorize.
#
# **Predict.** Fill in: with weight decay (0.01), with dropout (half of the hidden
# units), with rotated images (by up to 25 degrees, anew in each epoch), will the
# network still reproduce random labels? How many points of test accuracy will each add
# with true labels?
#
# *Your prediction:*

# %%
regularizers = {
    "weight decay": "--wd 0.01",
    "dropout": "--dropout 0.5",
    "rotation": "--augment rotate",
}
for name, flags in regularizers.items():
    for labels, more in (("true", ""), ("random", "--random-labels")):
        command = f"{DIGITS} {more} {flags}"
        runs[f"{labels}, {name}"] = lab_runs.run(cifar10_mlp.main, command)

# %% [markdown]
# All runs so far. "Fitted" means 99 % of the training labels; `<NA>` that a run did not
# come to that in its epochs.

# %%
lab_runs.table(runs)

# %% [markdown]
# The curves with true labels:

# %%
lab_figures.curves({name: runs[name] for name in runs if name.startswith("true")})

# %% [markdown]
# And with random ones:

# %%
lab_figures.curves({name: runs[name] for name in runs if name.startswith("random")})

# %% [markdown]
# **Explain 5.** What does each regularizer do to the network with true labels? Does any
# of them keep it from memorizing? So are they *the* reason why the network generalizes?
#
# *Your answer:*

# %% [markdown]
# ## 5. One run of your own
#
# What makes memorizing easier or harder? Change one thing: `--hidden 32`, `--hidden 512
# 512`, `--lr 0.1`, `--batch-size 16`, `--pixels shuffled` (one permutation for all
# images), `--pixels gaussian` (noise in place of images). `python cifar10_mlp.py
# --help` lists all flags. Predict first.

# %%
MINE = "--random-labels --pixels gaussian"
runs[MINE] = lab_runs.run(cifar10_mlp.main, f"{DIGITS} {MINE}")
lab_figures.curves({name: runs[name] for name in ("random labels", MINE)})

# %% [markdown]
# **Explain 6.** In two sentences, to somebody who was not here: what did you see, and
# what does it say about why networks generalize?
#
# *Your answer:*
#
# ---
# Go on with `2_data` (is all of this really what the network was fed?) or
# `6_look_inside` (how do the two networks differ inside?). On CIFAR-10 and with larger
# networks: `3_mlp`, `4_alexnet`, `5_inception`.

# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 6. Look inside
#
# *90 minutes in class. All cells together compute for about half a minute on two cores;
# nothing is downloaded. Do `1_memorize` first.*
#
# Two networks, equal in size and training error: one has learned digits, the other has
# stored random labels. From outside, on the training set, nothing distinguishes them.
# Can you tell them apart from *inside*, without a test set? If a number could, it would
# be a candidate for what generalization depends on. Candidates: how large the weights
# are, how curved the loss is around them, in which order the examples were learned, and
# how all of it changes with the size of the network.

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
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Image, display

import cifar10_mlp
from common import corruptions, datasets, models, pipelines, records
from common.analysis import hessian, norms, spectrum
from common.report import lab_figures, lab_runs
from common.sweep import commands

IMAGES, EPOCHS = 500, 60
FEW = IMAGES // 2  # where a curve over many networks is measured
DIGITS = f"cifar10_mlp.py --dataset mnist_5k --train-size {IMAGES} --epochs {EPOCHS}"
DIGITS += " --hidden 64 --lr 0.05 --lr-decay 1 --batch-size 50"

# %% [markdown]
# ## The two networks
#
# 64 hidden units, 500 digits, the same initial weights and the same order of the
# images. `--save-init` keeps the initial weights, so that we can ask how far each has
# come.

# %%
typed = {"true labels": DIGITS, "random labels": f"{DIGITS} --random-labels"}
runs, networks, initial, feeds = {}, {}, {}, {}
for label, command in typed.items():
    runs[label] = lab_runs.run(cifar10_mlp.main, f"{command} --save-init")
    regime, _ = commands.parse(command)  # the settings of that command
    data = corruptions.corrupt(datasets.load(regime), regime)  # the labels it was given
    feeds[label] = pipelines.Feed(data, regime)
    networks[label] = models.load(f"mine/{runs[label]['name']}.h5")
    initial[label] = models.load(f"mine/{runs[label]['name']}_init.h5")
lab_figures.curves(runs)

# %% [markdown]
# ## 1. Norms and margins
#
# Bounds of the test error count weights, or they measure them. Three such measures: the
# *Frobenius norm* (root of the sum of squares); the *spectral norm* of a layer (how
# much it can stretch a vector; the product over layers bounds the slope of the
# network); the distance from the initial weights. A *margin* is the logit of the given
# label less the largest other one. The larger norm over margin, the larger the bound.
#
# **Question 1.** Which of the two networks do you expect to have the larger norms? The
# larger margins? What would a bound that depends on norm / margin then say?
#
# *Your answer:*

# %%
table = {}
for label, network in networks.items():
    layers = norms.layer_norms(network, initial[label])
    margin = norms.margins(network, feeds[label].x_train, feeds[label].y_train)
    total = norms.total_norms(layers)
    table[label] = {
        "Frobenius norm": total["frobenius"],
        "distance from the initial weights": total["distance"],
        "product of spectral norms": 10 ** total["log10_product_spectral"],
        "median margin": np.median(margin),
        "product / margin": 10 ** total["log10_product_spectral"] / np.median(margin),
        "test accuracy %": 100 * runs[label]["final"]["val_accuracy"],
    }
pd.DataFrame(table).round(2)

# %%
figure, axis = plt.subplots(figsize=(6, 2.6), layout="constrained")
for label, network in networks.items():
    margin = norms.margins(network, feeds[label].x_train, feeds[label].y_train)
    axis.hist(margin, bins=30, alpha=0.6, label=label)
axis.axvline(0, color="0.6", linewidth=0.8)
axis.set(xlabel="margin of the training images (logits)", ylabel="images")
axis.legend(frameon=False)
plt.show()

# %% [markdown]
# **Question 2.** The numbers differ in the expected direction. Does that *explain* why
# one network generalizes? What else differs between the two runs, and what would you
# have to hold fixed for a fair comparison?
#
# *Your answer:*

# %% [markdown]
# ## 2. Curvature
#
# The Hessian of the training loss at the final weights says how fast the loss rises
# when the weights move. Its largest eigenvalue is the *sharpness*; the trace is the sum
# over all directions. "Flat minima generalize" is an old idea. With 50,890 weights the
# matrix has 2.6 thousand million entries; it is never built: eigenvalues come from
# products with vectors.
#
# **Question 3.** Which network sits in the sharper place? Remember that the loss of
# both is near zero, but not equally near: what does the last line say?
#
# *Your answer:*

# %%
curvature, density = {}, {}
for label, network in networks.items():
    matrix = hessian.Hessian(network, feeds[label].x_train, feeds[label].y_train)
    top = spectrum.top_eigenvalues(matrix, k=3)
    trace = spectrum.trace(matrix, num_products=30).value
    loss = runs[label]["final"]["train_cross_entropy"]
    curvature[label] = {
        "training loss (nats)": loss,
        "largest eigenvalue": top.values[0],
        "third largest": top.values[2],
        "trace": trace,
        "trace / loss": trace / loss,
    }
    density[label] = spectrum.spectral_density(matrix, num_probes=2, num_steps=30)
pd.DataFrame(curvature).round(4)

# %%
figure, axis = plt.subplots(figsize=(6, 2.6), layout="constrained")
for label, found in density.items():
    axis.semilogy(found.grid, found.density + 1e-9, label=label)
axis.set(xlabel="eigenvalue of the Hessian", ylabel="density", ylim=(1e-6, None))
axis.legend(frameon=False)
plt.show()

# %% [markdown]
# Nearly all eigenvalues are close to zero: moving along those directions changes
# nothing. A few are large.
#
# **Question 4.** Multiply all weights of the hidden layer by 10 and divide those of the
# last layer by 10. With ReLU units the network computes the same function (without
# biases). What happens to the norms? To the sharpness? What does that say about either
# as an explanation?
#
# *Your answer:*

# %% [markdown]
# Our records of the same comparison, for training sets of several sizes. Two columns
# are what you need: on the left both networks have just reached 100 % training
# accuracy; beside it they have been trained on until both have the same loss
# (`mnist_l2norm.py`: digits, a network of two hidden layers).

# %%
for name in ("norms", "curvature"):
    display(Image(f"results/figures/mnist_l2norm_{name}.png", width=760))

# %% [markdown]
# ## 3. Example by example
#
# A fifth of the labels is replaced. `--record-examples` writes down for each training
# image and epoch what the network says of it and how sure it is, and `examples.py`
# makes scores of that which find wrong labels: the loss of an image, or its margin,
# after an epoch; EL2N (how far the probabilities are from the label); AUM and mean loss
# (margin and loss, averaged over all epochs so far); how often an image was forgotten
# again.
#
# How good is a score? Its *AUC* is the chance that a replaced label has the more
# suspicious value than a kept one: 0.5 by guessing, 1 at best. `found` is the share of
# replaced ones among as many most suspicious ones as there are replaced ones.
#
# **Question 5.** Which images will be learned last? After which epoch is a score best
# at finding the replaced labels: the first, the last, or one between?
#
# *Your answer:*

# %%
import examples

noisy = f"{DIGITS} --label-corruption 0.2"
record = lab_runs.run(cifar10_mlp.main, f"{noisy} --record-examples")
of_the_run = [record["name"], "--results-dir", lab_runs.MINE]
found = lab_runs.without_names(examples.main, of_the_run)

# %% [markdown]
# Four figures, in which "flipped" means replaced: the course of both kinds of images;
# the most suspicious ones; when images are learned; how good each score is after each
# epoch. (An ROC curve, on the right of the last one, shows how many replaced labels are
# found for how many kept ones that are suspected too; AUC is the area under it.)

# %%
for path in records.pictures(f"{record['name']}_examples", "mine"):
    display(Image(str(path), width=640))

# %% [markdown]
# A line an example, those with the smallest AUM over all 60 epochs first. `kept` 0: its
# label was replaced; `true` is what it should be; `learned` is the epoch from which on
# the network says the given label:

# %%
each = pd.read_csv(f"mine/{record['name']}_examples.csv").sort_values("aum")
columns = ["given", "true", "kept", "learned", "forgetting_events", "aum", "mean_loss"]
each[columns].head(10).round(2)

# %% [markdown]
# ## 4. Double descent
#
# Now the size of the model. `min_norm.py --features fourier` fits labels by least
# squares on N random features of the digits, without any training by steps: for N below
# the number of images the best fit, for N above it, where many fits are perfect, the
# one of the smallest norm.
#
# **Question 6.** Classical statistics: beyond the point where a model can fit every
# label, more features only overfit. Draw the curve of the test error against N that you
# expect, with a fifth of the labels replaced and with none.
#
# *Your answer:*

# %%
import min_norm

FEATURES = f"min_norm.py --dataset mnist_5k --train-size {FEW} --features fourier"
solved = lab_runs.run(min_norm.main, f"{FEATURES} --draws 2")

# %%
for path in records.pictures(solved["name"], "mine"):
    display(Image(str(path), width=640))

# %% [markdown]
# **Question 7.** Where is the peak, and what happens to the norm there? The models far
# to the right fit every label, wrong ones too. Why is their test error lower than at
# the peak?
#
# *Your answer:*
#
# **Question 8.** Four ways to look inside: norms, curvature, the order of the examples,
# the size of the model. Which of them told the two networks of the beginning apart
# *without* the test set, and which would you trust for a network of which you do not
# know how it was trained?
#
# *Your answer:*

# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 6. Look inside: answers
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
import numpy as np
import pandas as pd

import cifar10_mlp
from common import corruptions, datasets, models, pipelines
from common.analysis import hessian, norms, spectrum
from common.report import lab_runs
from common.sweep import commands

IMAGES, EPOCHS = 500, 60
FEW = IMAGES // 2
DIGITS = f"cifar10_mlp.py --dataset mnist_5k --train-size {IMAGES} --epochs {EPOCHS}"
DIGITS += " --hidden 64 --lr 0.05 --lr-decay 1 --batch-size 50"

# %% [markdown]
# **Question 1.** Random labels need more: larger norms, twice the distance from the
# initial weights, and still smaller margins. Norm over margin is three times as large
# for them, so that a bound of this kind orders the two networks as the test set does.
# It is not yet the bound: the length of the images (28 after whitening), factors for
# each layer and constants come to it, and what results is above 1 for both. The order
# is right, the number says nothing.
#
# **Question 2.** It is a correlation of two networks. The one with random labels also
# ended at another loss, ten times as high (see the next table). Fair would be: the same
# training loss (stop both there), several seeds, several sizes of the training set, as
# `mnist_l2norm.py` does; and a number that explains should also order networks with
# *true* labels that differ in their test error.

# %%
table = {}
for label, more in (("true labels", ""), ("random labels", "--random-labels")):
    command = f"{DIGITS} {more}"
    record = lab_runs.run(cifar10_mlp.main, f"{command} --save-init")
    regime, _ = commands.parse(command)
    feed = pipelines.Feed(corruptions.corrupt(datasets.load(regime), regime), regime)
    network = models.load(f"mine/{record['name']}.h5")
    start = models.load(f"mine/{record['name']}_init.h5")
    total = norms.total_norms(norms.layer_norms(network, start))
    margin = np.median(norms.margins(network, feed.x_train, feed.y_train))
    product = 10 ** total["log10_product_spectral"]
    table[label] = {"distance": total["distance"], "product / margin": product / margin}
pd.DataFrame(table).round(2)

# %% [markdown]
# **Question 3.** The one with random labels, by every line but the last. At the end of
# training both are at a loss near zero, and there the curvature vanishes with the loss:
# cross-entropy is flat where the network is sure. So the network that has gone further
# down is the flatter one, whatever it has learned; divided by the loss, the two traces
# are alike here. The comparison means something only at the same loss: in our records
# of digits, at a loss of 1e-5, random labels end in the sharper place from some hundred
# images on.
#
# **Question 4.** The Frobenius norm grows ninefold, the sharpness more than twentyfold,
# and the function does not change. The product of the spectral norms stays. So neither
# the Frobenius norm nor the sharpness can by themselves be the reason for what the
# function does on new images (Dinh et al. 2017, *Sharp minima can generalize*). Try it:

# %%
x, y = feed.x_train[:200], feed.y_train[:200]
facts = {}
for factor in (1, 10):
    scaled = models.load(f"mine/{record['name']}.h5")
    kernel, bias, last, last_bias = scaled.get_weights()
    scaled.set_weights([factor * kernel, factor * bias, last / factor, last_bias])
    total = norms.total_norms(norms.layer_norms(scaled))
    top = spectrum.top_eigenvalues(hessian.Hessian(scaled, x, y), k=1)
    facts[f"hidden layer times {factor}"] = {
        "first logit": scaled.predict(x[:1], verbose=0)[0, 0],
        "Frobenius norm": total["frobenius"],
        "product of spectral norms": 10 ** total["log10_product_spectral"],
        "largest eigenvalue": top.values[0],
    }
pd.DataFrame(facts)

# %% [markdown]
# (The bias is scaled with its kernel, so that the function is exactly the same.)

# %% [markdown]
# **Question 5.** The images with replaced labels are learned last: their labels agree
# with no other image. A score is best while the network has learned what is common and
# not yet stored the rest: here after the first epochs. At the end every label is
# reproduced, and loss and margin tell less. The mean loss remembers the beginning,
# where losses were large. AUM forgets it: most of its 60 epochs are of the end, where
# the margins of all images are large, so that it should be stopped early. Medians:

# %%
import examples

noisy = f"{DIGITS} --label-corruption 0.2"
record = lab_runs.run(cifar10_mlp.main, f"{noisy} --record-examples")
of_the_run = [record["name"], "--results-dir", lab_runs.MINE]
found = lab_runs.without_names(examples.main, of_the_run)

# %%
each = pd.read_csv(f"mine/{record['name']}_examples.csv")
each.groupby("kept")[["first_right", "learned", "aum", "mean_loss"]].median().round(2)

# %% [markdown]
# **Question 6.** The test error falls, rises to a peak where the features are about as
# many as the images, and falls again, far below its first minimum. At the peak all are
# close to guessing; on both sides of it the error is higher the more labels are
# replaced.
#
# **Question 7.** At the peak exactly one combination of the features fits all labels,
# whatever that takes: its norm is huge there. Beyond it there are many, and the
# smallest one is taken. More features allow a smaller norm, so that the function
# between the images becomes smoother; it still passes through the wrong labels, in
# narrow spikes.

# %%
import min_norm

FEATURES = f"min_norm.py --dataset mnist_5k --train-size {FEW} --features fourier"
solved = lab_runs.run(min_norm.main, f"{FEATURES} --draws 2")
lines = pd.DataFrame(solved["rows"])
lines.pivot_table("test_error", "num_features", "label_corruption").round(3)

# %%
lines.pivot_table("rkhs_norm", "num_features", "label_corruption").round(1)

# %% [markdown]
# **Question 8.** Norm over margin and the order of learning told them apart; the
# sharpness means something only at an equal loss, and the size of the model not at all
# (both are equal in it). For a network of which nothing is known, norms and margins can
# be computed from its weights and some labelled images, and they compare it only with
# others of the same architecture. The order of learning needs its history. None
# replaces a test set.

# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 2. What the network is fed
#
# *45 minutes in class. All cells together compute for about 20 seconds on two cores;
# nothing is downloaded. Do `1_memorize` first.*
#
# An experiment on random labels is only as good as its randomness. If labels were drawn
# anew in every epoch, nothing could be memorized; if the test labels were corrupted
# too, the test accuracy would mean nothing; if the pixels of each image were shuffled
# alike when they should be shuffled each in its own way, we would measure something
# else. Here you look at every corruption and augmentation, and at the numbers that
# prove that it reached the model.

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
from common import augmentations, corruptions, datasets, pipelines, records
from common.report import gallery, lab_figures, lab_runs
from common.sweep import commands

IMAGES, EPOCHS = 1000, 1
PICTURES = f"cifar10_mlp.py --dataset synthetic --train-size {IMAGES} --epochs {EPOCHS}"

# %% [markdown]
# ## The images
#
# The data set `synthetic` is made by the collection: 32 x 32 colour images of ten
# classes of shapes and textures. It takes no download, and as its images are larger
# than the 28 x 28 that networks see, random crops can be shown.

# %%
data = datasets.named("synthetic", IMAGES)
lab_figures.images(data.x_train[:20], [f"class {y}" for y in data.y_train[:20]])

# %% [markdown]
# ## From bytes to what a network sees
#
# The paper crops the centre (28 x 28) and *whitens each image by itself*: its mean
# becomes 0 and its standard deviation 1.
#
# **Question 1.** What can a network no longer tell after this? Is that a loss for
# recognition?
#
# *Your answer:*

# %%
fed = pipelines.prepare(data.x_train)
print("bytes:", data.x_train.shape, data.x_train.dtype)
print("  fed:", fed.shape, fed.dtype)
means, deviations = fed.mean((1, 2, 3)), fed.std((1, 2, 3))
print(f"means {means.min():.0e} … {means.max():.0e}", end=", ")
print(f"standard deviations {deviations.min():.4f} … {deviations.max():.4f}")

# %% [markdown]
# ## Labels
#
# `--label-corruption p` replaces each label with probability p by a draw over *all*
# classes.
#
# **Question 2.** Which share of the labels will be wrong at p = 0.5? At p = 1?
#
# *Your answer:*

# %%
levels = {}
for p in (0, 0.2, 0.5, 1):
    labels = corruptions.corrupt_labels(data.y_train, p, data.num_classes, seed=0)
    levels[p] = labels
    wrong = labels != data.y_train
    print(f"p = {p}: {100 * wrong.mean():.1f} % of the labels are wrong")

# %% [markdown]
# Four facts about them. The levels nest: what is replaced at 0.2 is replaced by the
# same class at 0.5. All classes remain about as frequent. The draw depends on
# `--data-seed` alone, so that networks of different seeds memorize the same labels. At
# p = 1, the new label tells nothing about the true one: of the 100 images of a class,
# about 10 have each label. (Chance spreads these counts by 3; of a hundred of them, a
# few are off by more than 6.)

# %%
some = levels[0.2] != data.y_train
print("nested:", (levels[0.2] == levels[0.5])[some].all())
print("of each class, before:", np.bincount(data.y_train))
print("            and after:", np.bincount(levels[1], minlength=10))
again = corruptions.corrupt_labels(data.y_train, 1, data.num_classes, seed=0)
print("the same when drawn again:", (again == levels[1]).all())
pd.crosstab(data.y_train, levels[1], rownames=["true"], colnames=["given"])

# %% [markdown]
# **Question 3.** Why must the labels be drawn once, before training, and not in each
# epoch? What would a network learn from labels that are drawn anew each time?
#
# *Your answer:*
#
# Such errors are *uniform*: the new label may be any class. `--label-noise` knows other
# kinds: *exclusive* never draws the true class again, *pair* always takes the next
# class (3 becomes 4). With these two and with *uniform*, chance decides how many labels
# are replaced; *exact* draws as *uniform* does, for exactly the share p of them.

# %%
kinds = {
    kind: corruptions.corrupt_labels(data.y_train, 0.4, 10, seed=0, kind=kind)
    for kind in ("uniform", "exclusive", "pair", "exact")
}
pd.DataFrame(
    {
        kind: {
            "wrong %": 100 * (labels != data.y_train).mean(),
            "of class 3, now 4 %": 100 * (labels == 4)[data.y_train == 3].mean(),
        }
        for kind, labels in kinds.items()
    }
).T.round(1)

# %% [markdown]
# ## Pixels
#
# Labels can be true and the images meaningless. Three degrees:
#
# | `--pixels` | what happens to the pixels |
# |--|--|
# | `shuffled` | *one* permutation for all images, those of the test set too |
# | `random` | each training image has *its own* permutation |
# | `gaussian` | training images are noise of the data's mean and variance |
#
# **Question 4.** A dense network and a convolutional network are trained on each of
# these. For which of the six is it as easy as on true images? Which can be right on the
# test set?
#
# *Your answer:*

# %%
index = np.unique(data.y_train, return_index=True)[1][:8]
rows = gallery.rows_of(data, index)
shown = [name for name in rows if name == "centre crop" or "pixels" in name]
lab_figures.images(
    np.concatenate([rows[name] for name in shown]),
    [title for name in shown for title in (name, *[""] * 7)],
    columns=8,
)

# %% [markdown]
# The numbers behind the pictures, after the mean of each image is taken off.
#
# - *neighbours*: the correlation of a pixel with the one on its right. In images they
#   are alike; after a permutation they are not.
# - *best partner*: for each place in the image, look for the other place whose values
#   correlate with it most, over all images; the mean of these correlations. *One*
#   permutation for all images moves the places and leaves each its partner. Without
#   any order it is about 0.1, by chance, for 1,000 images.
# - *own pixels*: whether each image still has the values of its own pixels, in any
#   order.

# %%
true = corruptions.corrupt_pixels(data, "true").x_train
true = augmentations.centre_crop(true).astype(float)
facts = {}
for pixels in ("true", "shuffled", "random", "gaussian"):
    x = corruptions.corrupt_pixels(data, pixels).x_train.astype(float)
    x = augmentations.centre_crop(x)
    around = x - x.mean((1, 2), keepdims=True)
    left, right = around[:, :, :-1].ravel(), around[:, :, 1:].ravel()
    places = around[..., 0].reshape(len(x), -1)  # of the red channel
    others = np.abs(np.corrcoef(places, rowvar=False))
    np.fill_diagonal(others, 0)
    own = np.sort(x.reshape(len(x), -1)) == np.sort(true.reshape(len(x), -1))
    facts[pixels] = {
        "neighbours": np.corrcoef(left, right)[0, 1],
        "best partner": others.max(0).mean(),
        "own pixels": own.all(),
        "mean": x.mean(),
        "deviation": x.std(),
    }
pd.DataFrame(facts).T.infer_objects().round(2)

# %% [markdown]
# ## Augmentations
#
# They change training batches, anew in each epoch. Labels and test images stay.

# %%
shown = [name for name in rows if name not in shown]
lab_figures.images(
    np.concatenate([rows[name] for name in shown]),
    [title for name in shown for title in (name, *[""] * 7)],
    columns=8,
)

# %% [markdown]
# Do they reach the model? What `fit` consumes are the batches of a `Feed`. We take the
# first batch of two epochs (128 images, in an order of the epoch's own) and compare it
# with the plain images of the same examples.
#
# **Question 5.** Which numbers do you expect in each row: all images changed, half of
# them, none? The same in both epochs?
#
# *Your answer:*

# %%
told = {}
for name in ("none", *augmentations.NAMES):
    flag = "" if name == "none" else f"--augment {name}"
    regime, _ = commands.parse(f"{PICTURES} {flag}")
    feed = pipelines.Feed(data, regime)
    told[name] = {}
    for epoch in range(2):
        x, y = feed.batch(epoch * feed.steps_per_epoch)
        order = pipelines.plan(len(feed.y_train), (), regime.seed, epoch)["order"]
        plain = feed.x_train[order[: len(x)]]
        changed = np.abs(x - plain).max((1, 2, 3)) > 1e-6
        told[name][f"changed in epoch {epoch + 1}, %"] = 100 * changed.mean()
        told[name]["labels kept"] = (y == feed.y_train[order[: len(x)]]).all()
pd.DataFrame(told).T.infer_objects().round(1)

# %% [markdown]
# ## The record's word
#
# Each run writes down what it was trained on, with a checksum of the arrays. A run of
# one epoch, with corrupted labels and shuffled pixels:

# %%
command = f"{PICTURES} --label-corruption 0.5 --pixels shuffled"
record = lab_runs.run(cifar10_mlp.main, command)
final = {f"final: {key}": round(value, 4) for key, value in record["final"].items()}
keys = ("train_examples", "realized_label_noise", "label_histogram", "epochs_to_fit")
pd.Series({key: record[key] for key in keys} | final).to_frame("record")

# %% [markdown]
# (`train_accuracy` is of the network as it is at the end of the epoch, on the labels
# that it was given; `accuracy` of the batches while it was trained on them; `val`
# stands for the test set.) Does the record agree with the arrays that we make here?

# %%
regime, _ = commands.parse(command)  # the settings of that command
plain = datasets.load(regime)
ours = corruptions.corrupt(plain, regime)
same = records.sha256(ours.x_train, ours.y_train) == record["train_sha256"]
print("checksum of images and labels as in the record:", same)
print("share of wrong labels here:", np.mean(ours.y_train != ours.y_train_true))
print("test labels are the true ones:", (ours.y_test == plain.y_test).all())

# %% [markdown]
# **Question 6.** A colleague says: "My network reaches 100 % on random labels!" Which
# three numbers of the record would you ask for, to believe it?
#
# *Your answer:*

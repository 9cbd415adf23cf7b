# ---
# jupyter:
#   accelerator: GPU
#   colab:
#     provenance: []
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Memorize random labels
#
# A network that recognizes digits can also learn labels that were sampled at random: it
# then reproduces its training set perfectly, and knows nothing about any other image.
# Zhang et al. (2017), *Understanding deep learning requires rethinking generalization*
# ([arXiv 1611.03530](https://arxiv.org/abs/1611.03530)), showed it for the networks of
# their day. Here you train one on random labels and look at it; on Colab's CPU it takes
# under a minute, and nothing has to be downloaded but the code.

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
# ## Settings
#
# `SCRIPT` and `FLAGS` are any training script for images and its flags: with
# `cifar10_alexnet.py --random-labels` you run a row of the paper's Table 1 (take a GPU
# for it: Runtime, Change runtime type).

# %%
SCRIPT = "cifar10_mlp.py"
FLAGS = "--dataset mnist_5k --random-labels --lr-decay 1 --epochs 100 --stop-at 0.999"

# %% [markdown]
# ## Train
#
# The last lines are the verdict and the files that the run leaves. When you run the
# cell again, it does not train again; an interrupted run continues. `results/` holds
# our records of many runs; `--results-dir mine` keeps yours apart.

# %%
import shlex

command = [sys.executable, SCRIPT, *shlex.split(FLAGS), "--results-dir", "mine"]
with subprocess.Popen(
    command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
) as process:
    for line in process.stdout:
        print(line, end="")

# %% [markdown]
# ## Look at the history
#
# A line for each epoch. `train_accuracy` is of the labels it was trained on,
# `val_accuracy` of the test set, whose labels are the true ones.

# %%
import pandas as pd

from common.sweep import commands

regime, options = commands.parse(f"{SCRIPT} {FLAGS}")
name = options.name
history = pd.read_csv(f"mine/{name}.csv")
history.tail(3)

# %%
import matplotlib.pyplot as plt

figure, axis = plt.subplots(figsize=(5, 3), layout="constrained")
axis.plot(history.epoch, 100 * history.train_accuracy, label="training")
axis.plot(history.epoch, 100 * history.val_accuracy, ":", label="test")
axis.axhline(10, color="0.7", linewidth=0.8, label="chance")
axis.set(xlabel="epochs", ylabel="accuracy (%)", ylim=(0, 103))
axis.legend(frameon=False)
plt.show()

# %% [markdown]
# The upper line climbs to 100 %: the network has room for any labels. The lower one
# stays at chance: there was nothing to learn. The same network, the same optimizer and
# the same images generalize when the labels are true (leave out `--random-labels` and
# see), so that neither the size of the network nor the optimizer alone can explain why.

# %% [markdown]
# ## Load the model
#
# `saved_models/NAME.h5` is a Keras model from whitened images to logits. It is kept in
# float32; where the hardware trains in bfloat16, its accuracy may differ from the
# record's by an image or two.

# %%
from common import datasets, models, pipelines

model = models.load(f"saved_models/{name}.h5")
model.summary()

# %%
data = datasets.load(regime)
logits = model.predict(pipelines.prepare(data.x_test), verbose=0)
accuracy = (logits.argmax(1) == data.y_test).mean()
print(
    f"test accuracy {100 * accuracy:.1f} %, in the record "
    f"{100 * history.val_accuracy.iloc[-1]:.1f} %"
)

# %% [markdown]
# ## Go on
#
# `python reproduce.py --list` names the paper's tables and figures, and `python
# reproduce.py demo` makes small versions of some of them in minutes. README and docs/
# tell the rest.

"""This project's side of the benchmark: the path of the scripts themselves.

A module of the benchmark: `contender` returns the turns that `bench.py` calls.
"""

import atexit
import dataclasses
import math
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from common import corruptions, pipelines, training
from common.analysis.hessian import Hessian
from common.datasets import FACTS as DATA_SETS
from common.datasets import Data
from common.engine import backend, evaluation, replicas
from common.models import leaves, text
from common.models.alexnet import small_alexnet
from common.models.inception import small_inception
from common.models.mlp import mlp
from common.models.wide_resnet import wide_resnet
from common.regime import DEFAULTS

ROOT = Path(__file__).parents[1]
FACTS = {}  # of the contender: precision, multiply-adds, examples measured
IMAGES = (28, 28, 3), 10
WORDS = (128,), 2, 10_000
BUILD = {
    "mlp_1x512": ("cifar10_mlp", lambda: mlp(*IMAGES, (512,))),
    "mlp_3x512": ("cifar10_mlp", lambda: mlp(*IMAGES, (512, 512, 512))),
    "alexnet": ("cifar10_alexnet", lambda: small_alexnet(*IMAGES)),
    "alexnet_crop_flip": ("cifar10_alexnet", lambda: small_alexnet(*IMAGES)),
    "inception": ("cifar10_inception", lambda: small_inception(*IMAGES)),
    "wide_resnet": ("cifar10_wide_resnet", lambda: wide_resnet(*IMAGES, 28, 1)),
    "text_cnn": ("imdb_text", lambda: text.cnn(*WORDS)),
    "text_lstm": ("imdb_text", lambda: text.lstm(*WORDS)),
    "text_transformer": ("imdb_text", lambda: text.transformer(*WORDS)),
}


def contender(line, data, variant):
    special = {
        "peak": peak,
        "l2norm": l2norm,
        "hessian_mlp": lambda data: products("mlp_1x512", data),
        "hessian_alexnet": lambda data: products("alexnet", data),
        "corruption": corrupts,
        "front_door": answers,
    }
    return special[line](data) if line in special else trains(line, data, variant)


def trains(line, data, variant):
    """A training as the scripts have it, and what measuring after an epoch takes."""
    script, build = BUILD[line]
    flip = {"augment": ("crop", "flip")} if line.endswith("flip") else {}
    chosen = {} if variant == "auto" else {"precision": variant}
    regime = dataclasses.replace(DEFAULTS[script], **flip, **chosen)
    precision = backend.precision_in_force(regime.precision)
    if precision != "float32":
        keras.config.set_dtype_policy(f"mixed_{precision}")
    arrays = [data[name] for name in ("x_train", "y_train", "x_test", "y_test")]
    kind = pipelines.TextFeed if script == "imdb_text" else pipelines.Feed
    num_classes = 2 if script == "imdb_text" else 10
    feed = kind(Data("benchmark", *arrays, num_classes, data["y_train"]), regime)
    model = build()
    train = DATA_SETS[regime.dataset].train
    FACTS.update(precision=precision)
    if script != "imdb_text":  # whose products are in cells and in attention, too
        FACTS.update(multiply_adds=multiply_adds(model))
    FACTS.update(measured=evaluation.sample_size(train))
    training.compile_model(model, feed, regime)
    measure = evaluation.measurer(model, feed, corrupted=False)
    batches = feed.batches()  # once, as a run does

    def epoch():
        steps = feed.steps_per_epoch
        model.fit(batches, steps_per_epoch=steps, verbose=0, shuffle=False)
        return len(feed.y_train)

    def measures():
        row = measure(lambda accuracy: math.inf)  # the sample is enough
        return len(feed.y_test) + row["measured"]

    return {"train": epoch, "measure": measures}


def multiply_adds(model):
    """Multiply-adds of a training step for one image: the matrix products of forward
    and backward, where the first layer needs no gradient of its input."""
    total = 0
    for i, layer in enumerate(x for x in leaves(model) if x.trainable_weights):
        kernel = getattr(layer, "kernel", None)
        if kernel is not None:
            places = math.prod(layer.output.shape[1:-1])
            total += (3 if i else 2) * math.prod(kernel.shape) * places
    return total


def peak(data):
    """The largest rates of this machine: products and convolutions, in Gflop."""
    size, turns = 1024 if data["quick"] else 2048, {}
    rng = np.random.default_rng(0)
    x, filters, square = (
        tf.constant(rng.standard_normal(shape), tf.float32)
        for shape in ((64, 14, 14, 128), (3, 3, 128, 128), (size, size))
    )
    convolution = 2 * 64 * 14 * 14 * 9 * 128 * 128 / 1e9

    def turn(function, flops, *arguments):
        function = tf.function(function, autograph=False)

        def call():
            function(*arguments).numpy()
            return flops

        return call

    for dtype in ("float32", "bfloat16"):
        if dtype == "float32" or data["bfloat16"]:
            a, b, c = (tf.cast(array, dtype) for array in (x, filters, square))
            flops = 2 * size**3 / 1e9
            turns[f"product {dtype}"] = turn(tf.matmul, flops, c, c)
            turns[f"convolution {dtype}"] = turn(
                lambda x, w: tf.nn.conv2d(x, w, 1, "SAME"), convolution, a, b
            )
    return turns


def products(line, data):
    """Hessian products of a network, two in a row after one that wakes the threads."""
    keras.utils.set_random_seed(0)
    x = pipelines.prepare(data["x_train"])
    operator = Hessian(BUILD[line][1](), x, data["y_train"])
    vector = np.random.default_rng(0).standard_normal(operator.shape[0])
    vector = vector.astype("float32")

    def two():
        for _ in range(2):
            operator @ vector
        return 2

    return {"product": two}


def l2norm(data):
    """The loop of mnist_l2norm.py: 20 networks at once, both criteria evaluated."""
    replicas_at_once, turns = 20, {}
    for size in (128, 256, 512, 1024):
        rng, seeds = np.random.default_rng(0), np.arange(replicas_at_once)
        x = rng.standard_normal((size, 784), dtype=np.float32)
        y = rng.integers(0, 10, size)
        models = [mlp((28, 28, 1), 10, (64, 64)) for _ in seeds]
        weights = zip(*(m.get_weights() for m in models), strict=True)
        many = np.repeat(x[None], len(seeds), 0), np.repeat(y[None], len(seeds), 0)
        stacked = [np.stack(w) for w in weights]
        loop = replicas._Loop(stacked, *many, "adam", 128, 0.0, "cross_entropy")

        def turn(loop=loop, seeds=seeds, epochs=replicas.CHUNK // size):
            nobody = np.zeros(len(seeds), bool)
            rows = loop.rows(seeds, range(epochs))
            loop.run(rows, 0, epochs, nobody, nobody)
            return epochs * len(seeds)

        turns[f"n={size}"] = turn
    return turns


def corrupts(data):
    """Corrupts 50,000 images or their labels, each kind once a turn."""
    arrays = [data[name] for name in ("x_train", "y_train", "x_test", "y_test")]
    whole = Data("cifar10", *arrays, 10, data["y_train"])

    def pixels(kind):
        corruptions.corrupt_pixels(whole, kind, 0)
        return 1

    def labels(kind):
        corruptions.corrupt_labels(whole.y_train, 0.5, 10, 0, kind)
        return 1

    turns = {k: lambda k=k: pixels(k) for k in ("shuffled", "random", "gaussian")}
    kinds = "uniform", "exclusive", "pair", "exact"
    return turns | {kind: lambda kind=kind: labels(kind) for kind in kinds}


def answers(data):
    """How soon the scripts answer a command line, each in a process of its own."""
    scripts = sorted(path.name for path in ROOT.glob("*.py"))
    commands = {f"{script} --help": (script, "--help") for script in scripts}
    commands["cifar10_mlp.py --no-such-flag"] = "cifar10_mlp.py", "--no-such-flag"
    commands["cifar10_mlp.py (complete)"] = ("cifar10_mlp.py",)
    commands["reproduce.py --list"] = "reproduce.py", "--list"
    commands["report.py"] = ("report.py", "--results-dir", _copy_of_results())

    def turn(words):
        subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True)
        return 1

    return {name: lambda words=words: turn(words) for name, words in commands.items()}


def _copy_of_results():
    """A folder with the records, so that nothing of the repository is drawn over."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, True)
    for pattern in ("*.json", "*.csv"):
        for path in (ROOT / "results").glob(pattern):
            shutil.copy(path, folder)
    return folder

"""What a script is told reaches the network, the data and the optimizer."""

import keras
import numpy as np
import pytest
from jpegs import write_folder

import cifar10_alexnet
import cifar10_inception
import cifar10_mlp
import cifar10_wide_resnet
import imagenet_inception_v3
import imdb_text
from common import cli, corruptions, datasets, pipelines, reviews, training
from common.image_files import imagenet
from common.regime import Regime

SCRIPTS = [cifar10_mlp, cifar10_alexnet, cifar10_inception, cifar10_wide_resnet]
FOLDERS = ("results", "models")
FLAGS = (
    "--dataset synthetic --train-size 200 --batch-size 30 --seed 2 --data-seed 5 "
    "--label-corruption 0.5 --label-noise exclusive --pixels gaussian "
    "--augment flip,erase --wd 0.02 --dropout 0.3 --early-stopping 3 "
)


@pytest.fixture
def told(monkeypatch, tmp_path):
    """What a script hands to `training.run`, which is not called."""

    def told(script, flags):
        seen = []
        monkeypatch.setattr(training, "run", lambda *given: seen.append(given))
        script.main([*flags.split(), "--results-dir", str(tmp_path)])
        return seen[0]

    return told


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_every_flag_reaches_the_data_the_feed_and_the_network(script, told):
    small = {"cifar10_wide_resnet": "--depth 16 --width 2"}
    build, feed, *_ = told(script, FLAGS + small.get(script.__name__, ""))
    data = datasets.named("synthetic", 200, 5)
    y_train = corruptions.corrupt_labels(data.y_train, 0.5, 10, 5, "exclusive")
    data = corruptions.corrupt_pixels(data._replace(y_train=y_train), "gaussian", 5)
    expected = Regime(
        batch_size=30, augment=("flip", "erase"), seed=2, early_stopping=3
    )
    assert_is_fed(feed, pipelines.Feed(data, expected))
    assert_is_regularized(build())


def test_every_flag_reaches_the_text(told):
    flags = "--dataset synthetic_text --model cnn --train-size 200 --batch-size 30 "
    flags += "--seed 2 --data-seed 5 --label-corruption 0.5 --label-noise exact --wd "
    flags += "0.02 --words unigram --word-dropout 0.4 --dropout 0.3 --early-stopping 3"
    build, feed, *_ = told(imdb_text, flags)
    data = reviews.named("synthetic_text", 200, 5)
    y_train = corruptions.corrupt_labels(data.y_train, 0.5, 2, 5, "exact")
    data = corruptions.corrupt_words(data._replace(y_train=y_train), "unigram", 5)
    expected = Regime(batch_size=30, word_dropout=0.4, seed=2, early_stopping=3)
    assert_is_fed(feed, pipelines.TextFeed(data, expected))
    assert_is_regularized(build())


def test_every_flag_reaches_inception_v3(told, tmp_path, monkeypatch):
    images = write_folder(tmp_path / "images", classes=6)
    name = "common.models.inception_v3.inception_v3"
    monkeypatch.setattr(name, lambda *given: given)
    flags = f"--dataset tiny --data-dir {images} --train-size 24 --image-size 75 "
    flags += "--batch-size 8 --data-seed 5 --label-corruption 0.5 --label-noise pair "
    flags += "--wd 0.02 --dropout 0.3 --no-batch-norm"
    build, feed, *_ = told(imagenet_inception_v3, flags)
    data = imagenet.named("tiny", 24, 5, images)
    y_train = corruptions.corrupt_labels(data.y_train, 0.5, 6, 5, "pair")
    np.testing.assert_array_equal(feed.data.x_train, data.x_train)
    np.testing.assert_array_equal(feed.data.y_train, y_train)
    assert build() == ((75, 75, 3), 6, 0.02, 0.3, False)


def assert_is_fed(feed, expected):
    """The same batches of two epochs, and a tenth of 200 examples held out."""
    assert feed.steps_per_epoch == 6 and len(feed.y_held_out) == 20
    for step in (0, 5, 6):
        for ours, theirs in zip(feed.batch(step), expected.batch(step), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(feed.data.y_train_true, expected.data.y_train_true)


def assert_is_regularized(model):
    """By dropout of 0.3 and a weight decay of 0.02."""
    rates = {x.rate for x in model.layers if isinstance(x, keras.layers.Dropout)}
    assert rates == {0.3}
    kernels = [w.numpy() for w in model.trainable_weights if w.path.endswith("kernel")]
    by_hand = 0.01 * sum(float((k.astype(float) ** 2).sum()) for k in kernels)
    assert float(sum(model.losses)) == pytest.approx(by_hand, rel=1e-4)


def test_batch_norm_is_left_out_when_asked(told):
    for flag, count in (("", 19), ("--no-batch-norm", 0)):
        build, *_ = told(cifar10_inception, f"--dataset synthetic {flag}")
        norms = [
            layer
            for layer in build().layers
            if isinstance(layer, keras.layers.BatchNormalization)
        ]
        assert len(norms) == count


def test_a_seed_has_weights_of_its_own(tmp_path, ctrl_c):
    initial = []
    for number, seed in enumerate((0, 1, 1)):
        flags = f"--dataset mnist_5k --train-size 50 --hidden 4 --seed {seed} --quiet"
        folders = [f"--{kind}-dir={tmp_path / str(number)}" for kind in FOLDERS]
        with ctrl_c(0), pytest.raises(cli.Interrupted):  # they are saved before
            cifar10_mlp.main([*flags.split(), "--save-init", *folders])
        (path,) = tmp_path.glob(f"{number}/*_init.h5")
        initial.append(keras.models.load_model(path, compile=False).get_weights()[0])
    np.testing.assert_array_equal(initial[1], initial[2])
    assert (initial[0] != initial[1]).all()


@pytest.mark.parametrize(
    ("settings", "kind", "momentum"),
    [
        ({}, "SGD", 0.9),
        ({"momentum": 0.0}, "SGD", 0.0),
        ({"optimizer": "adam", "momentum": 0.0}, "Adam", None),
        ({"optimizer": "rmsprop", "momentum": 0.7}, "RMSprop", 0.7),
        ({"optimizer": "adagrad", "momentum": 0.0}, "Adagrad", None),
    ],
)
def test_the_optimizer_is_the_one_named(settings, kind, momentum):
    optimizer = training._optimizer(Regime(lr=0.25, **settings), 1)
    assert isinstance(optimizer, getattr(keras.optimizers, kind))
    assert float(optimizer.learning_rate) == 0.25
    assert getattr(optimizer, "momentum", None) == momentum

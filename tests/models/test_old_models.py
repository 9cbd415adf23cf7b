"""Saved models of the Keras 2 era, written here byte layout by byte layout."""

import json

import h5py
import numpy as np
import pytest

import analyze
from common import models
from common.cli import MendableError

RNG = np.random.default_rng(0)
GLOROT = {
    "class_name": "VarianceScaling",
    "config": {"scale": 1.0, "mode": "fan_avg", "distribution": "uniform"},
}


def dense(name, units, activation, **first):
    config = {
        "name": name,
        "trainable": True,
        **first,
        "units": units,
        "activation": activation,
        "use_bias": True,
        "kernel_initializer": GLOROT,
        "bias_initializer": {"class_name": "Zeros", "config": {}},
        "kernel_regularizer": {"class_name": "L1L2", "config": {"l1": 0.0, "l2": 5e-4}},
        "bias_regularizer": None,
        "activity_regularizer": None,
        "kernel_constraint": None,
        "bias_constraint": None,
    }
    return {"class_name": "Dense", "config": config}


FLATTEN = {
    "class_name": "Flatten",
    "config": {
        "name": "flatten_1",
        "trainable": True,
        "batch_input_shape": [None, 28, 28, 1],
        "dtype": "float32",
        "data_format": "channels_last",
    },
}
DROPOUT = {
    "class_name": "Dropout",
    "config": {"name": "dropout_1", "rate": 0.5, "noise_shape": None, "seed": None},
}
LAYERS = [
    FLATTEN,
    dense("dense_1", 5, "relu"),
    DROPOUT,
    dense("dense_2", 10, "softmax"),
]
WEIGHTS = {
    "flatten_1": {},
    "dense_1": {"kernel": RNG.standard_normal((784, 5)), "bias": np.ones(5)},
    "dropout_1": {},
    "dense_2": {"kernel": RNG.standard_normal((5, 10)), "bias": np.arange(10.0)},
}


def write(path, config, weights=WEIGHTS):
    """Writes a file as Keras 2.2 did: one group a layer, names in attributes."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = np.bytes_("2.2.4")
        file.attrs["backend"] = np.bytes_("tensorflow")
        file.attrs["model_config"] = np.bytes_(
            json.dumps({"class_name": "Sequential", "config": config})
        )
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [name.encode() for name in weights]
        for layer, arrays in weights.items():
            names = [f"{layer}/{name}:0" for name in arrays]
            inner = group.create_group(layer)
            inner.attrs["weight_names"] = [name.encode() for name in names]
            for name, array in zip(names, arrays.values(), strict=True):
                inner[name] = array.astype("float32")
    return path


CONFIGS = {"list": LAYERS, "dict": {"name": "sequential_1", "layers": LAYERS}}


@pytest.mark.parametrize("form", CONFIGS)
@pytest.mark.filterwarnings("ignore:Do not pass an `input_shape`")
def test_a_sequential_of_keras_2_predicts_what_its_weights_say(form, tmp_path):
    model = models.load(write(tmp_path / "old.h5", CONFIGS[form]))
    x = RNG.standard_normal((3, 28, 28, 1)).astype("float32")
    (one, bias_1), (two, bias_2) = (
        WEIGHTS[name].values() for name in ("dense_1", "dense_2")
    )
    logits = np.maximum(x.reshape(3, -1) @ one + bias_1, 0) @ two + bias_2
    odds = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(
        model.predict(x, verbose=0), odds / odds.sum(1, keepdims=True), atol=1e-5
    )
    opened, notes = models.logits_of(model)
    assert notes == ["softmax output taken off"]
    np.testing.assert_allclose(opened.predict(x, verbose=0), logits, atol=1e-3)


def test_it_is_analyzed_like_any_other(tmp_path):
    path = write(tmp_path / "old.h5", LAYERS)
    flags = ["--dataset", "mnist_5k", "--examples", "20", "--quiet"]
    row = analyze.main([str(path), *flags, "--results-dir", str(tmp_path)]).iloc[0]
    assert row.notes == "softmax output taken off"
    kernels = [WEIGHTS[name]["kernel"] for name in ("dense_1", "dense_2")]
    squares = sum((kernel**2).sum() for kernel in kernels)
    assert row.frobenius == pytest.approx(np.sqrt(squares), rel=1e-5)
    assert 0 <= row.test_accuracy < 0.4 and row.trace > 0


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("name", ["LRN", "LocalResponseNormalization", "Lambda"])
def test_layers_whose_code_is_elsewhere_are_refused_with_the_reason(
    name, wrapped, tmp_path
):
    layers = [FLATTEN, {"class_name": name, "config": {"name": "lrn"}}, *LAYERS[1:]]
    config = {"name": "old", "layers": layers} if wrapped else layers
    weights = WEIGHTS | {"lrn": {}}
    path = write(tmp_path / "old.h5", config, weights)
    with pytest.raises(MendableError, match=f"its layers {name} are not.*rebuild"):
        models.load(path)

"""Files of models: from any Keras, and damaged or hostile ones (see `hostile.py`)."""

import json
import os
import subprocess
import sys

import h5py
import hostile
import keras
import numpy as np
import pytest

from common import models
from common.cli import MendableError
from common.models import hdf5, rebuild

SOUND = ["kernel_size '3'", "configuration: infinity", "name ''"]
SOUND += ["a large asset", "a way out", "deflated"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with sound.h5 and sound.keras, and the network in them."""
    folder, network = tmp_path_factory.mktemp("files"), hostile.network()
    for suffix in ("h5", "keras"):
        network.save(folder / f"sound.{suffix}")
    return folder, network


def misread(kinds, path):
    """Opens one file after the other; returns those that were not as they should be."""
    wrong = {}
    for kind in kinds:
        try:
            models.load(path)
            if kind not in SOUND and "flipped" not in kind:
                wrong[kind] = "opened"
        except MendableError as error:
            if kind in SOUND or "\n" in str(error) or len(str(error)) > 600:
                wrong[kind] = str(error)
        except Exception as error:
            wrong[kind] = repr(error)
    return wrong


def test_what_a_configuration_says_is_never_run(files, tmp_path):
    folder, _ = files
    with h5py.File(folder / "sound.h5") as file:
        config = json.loads(file.attrs["model_config"])
    code, opened = hostile.lambda_layer(tmp_path / "ran"), []
    for kind, changed in hostile.configs(config, code).items():
        try:
            rebuild.network(changed, most_weights=1000)
            opened.append(kind)
        except Exception as error:  # `models.load` makes one kind of these
            assert not isinstance(error, MemoryError), kind
    # Old versions of Keras take 0 units; the weights in the file then do not fit.
    assert {*opened} - {"0 units"} == {"kernel_size '3'", "name ''"}
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_a_layer_that_claims_to_be_ours_is_told_in_one_line(suffix, files, tmp_path):
    folder, _ = files
    with h5py.File(folder / "sound.h5") as file:
        config = json.loads(file.attrs["model_config"])
    kinds = hostile.configs(config, hostile.lambda_layer(tmp_path / "ran"))
    text = json.dumps(kinds["Lambda claims to be ours"])
    whole, path = (folder / f"sound{suffix}").read_bytes(), tmp_path / f"bad{suffix}"
    hostile.rewritten(whole, suffix, text, path)
    with pytest.raises(MendableError, match="Lambda registered as.*rebuild"):
        models.load(path)


def test_damaged_hdf5_is_refused(files, tmp_path):
    path, whole = tmp_path / "bad.h5", (files[0] / "sound.h5").read_bytes()
    for kind in hostile.hdf5(whole, path):
        if kind == "names of many megabytes":  # needs the other process's bounds
            assert not misread([kind], path)
            continue
        try:
            hdf5.read_model(path, tmp_path / "copy.npz", len(whole))
        except Exception:  # `main` makes one line of any
            continue
        assert not misread([kind], path)  # its reader sees nothing wrong


def test_damaged_zips_are_refused_in_one_line(files, tmp_path):
    path, whole = tmp_path / "bad.keras", (files[0] / "sound.keras").read_bytes()
    assert not misread(hostile.zips(whole, path), path)


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_cut_files_are_refused_in_one_line(suffix, files, tmp_path):
    path, whole = tmp_path / f"bad{suffix}", (files[0] / f"sound{suffix}").read_bytes()
    for kind, content in hostile.damaged(whole, flips=1, cuts=2).items():
        path.write_bytes(content)
        assert not misread([kind], path)


def test_what_is_no_file_ends_at_once(tmp_path):
    for kind, path in hostile.places(tmp_path).items():
        assert not misread([kind], path)


def test_keys_of_another_keras_are_read(files, tmp_path):
    folder, network = files
    with h5py.File(folder / "sound.h5") as file:
        config = json.loads(file.attrs["model_config"])
    for layer in config["config"]["layers"]:
        layer["config"] |= {"quantization_config": None, "from_the_future": None}
    path = tmp_path / "new.h5"
    whole = (folder / "sound.h5").read_bytes()
    hostile.rewritten(whole, ".h5", json.dumps(config), path)
    x = np.random.default_rng(0).standard_normal((2, 6, 6, 1)).astype("float32")
    np.testing.assert_array_equal(models.load(path)(x), network(x))
    config["config"]["layers"][1]["config"]["from_the_future"] = 2
    hostile.rewritten(whole, ".h5", json.dumps(config), path)
    with pytest.raises(MendableError, match="Conv2D has from_the_future 2"):
        models.load(path)


OLD = {
    "initializer with a dtype": {
        "kernel_initializer": {"class_name": "Zeros", "config": {"dtype": "float32"}}
    },
    "policy": {
        "dtype": {"class_name": "Policy", "config": {"name": "mixed_float16"}},
    },
    "no dtype": {"dtype": None},
    "activation of tf.nn": {"activation": "softmax_v2"},
}


@pytest.mark.parametrize("kind", OLD)
def test_words_of_keras_2_are_translated(kind, files):
    with h5py.File(files[0] / "sound.h5") as file:
        config = json.loads(file.attrs["model_config"])
    config["config"]["layers"][-1]["config"] |= OLD[kind]
    keras.config.set_floatx("float64")
    try:
        last = rebuild.network(config, keras_2=True).layers[-1]
    finally:
        keras.config.set_floatx("float32")
    assert last.compute_dtype == ("float16" if kind == "policy" else "float32")


def test_what_means_something_else_now_is_refused(files):
    with h5py.File(files[0] / "sound.h5") as file:
        config = json.loads(file.attrs["model_config"])
    config["config"]["layers"][-1]["config"]["activation"] = "hard_sigmoid"
    assert rebuild.network(config)
    with pytest.raises(ValueError, match="another function in Keras 3.*sigmoid"):
        rebuild.network(config, keras_2=True)


def test_the_reader_has_one_thread_on_any_machine(files, tmp_path, monkeypatch):
    """Each of NumPy's takes 40 MB of the addresses that the reader may have."""
    for name in ("OPENBLAS", "OMP", "MKL"):
        monkeypatch.setenv(f"{name}_NUM_THREADS", "2")
    given, run = [], subprocess.run

    def spy(command, **kwargs):
        given.append(kwargs["env"])
        return run(command, **kwargs)

    monkeypatch.setattr(subprocess, "run", spy)
    models.load(files[0] / "sound.h5")
    code = "import os, numpy; print(len(os.listdir('/proc/self/task')))"
    counted = [
        run([sys.executable, "-c", code], env=env, capture_output=True, check=True)
        for env in (os.environ, given[0])
    ]
    assert int(counted[1].stdout) == 1
    if len(os.sched_getaffinity(0)) > 1:
        assert int(counted[0].stdout) > 1  # so that this test can fail

"""Keras's global settings decide no number, wherever they come from."""

import gc
import importlib.util
import json
import sys
from types import SimpleNamespace

import keras
import pytest

from common import keras_defaults
from common.cli import MendableError, UsageError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image_data_format", "channels_first"),
        ("floatx", "float16"),
        ("floatx", "float64"),
        ("epsilon", 1e-3),
        ("max_epochs", 1),
        ("max_steps_per_epoch", 1),
    ],
)
def test_what_a_keras_json_has_set_is_set_back(name, value, monkeypatch):
    get = getattr(keras.config, name)
    usual = get()
    getattr(keras.config, f"set_{name}")(value)
    try:
        assert get() == value
    finally:
        keras_defaults.fix(keras)
    assert get() == usual and keras.config.dtype_policy().name == "float32"


def test_float32_is_computed_in_float32():
    tf = pytest.importorskip("tensorflow")
    tf.config.experimental.enable_tensor_float_32_execution(True)
    keras_defaults.fix(keras)
    assert not tf.config.experimental.tensor_float_32_execution_enabled()


def test_a_precision_that_was_chosen_stays():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        keras_defaults.fix(keras)
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy(policy)


@pytest.fixture
def importing(monkeypatch):
    """Imports Keras, which raises an error."""

    def start(error):
        def load(module):
            raise error

        spec = SimpleNamespace(loader=SimpleNamespace(exec_module=load))
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
        keras_defaults._Fixed.find_spec("keras").loader.exec_module(None)

    return start


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (ValueError("Unable to import backend : no"), MendableError, "backend : no"),
        (ValueError("Invalid `floatx`\nconfiguration."), MendableError, "floatx` con"),
        (AttributeError("'list' has no get"), MendableError, "keras.json: expected"),
        (ImportError("libtorch.so: not found"), MendableError, "libtorch.so"),
        (ModuleNotFoundError("torch", name="torch"), MendableError, "KERAS_BACKEND is"),
        (ModuleNotFoundError("jax", name="jax"), ModuleNotFoundError, "jax"),
        (KeyboardInterrupt("Ctrl-C"), KeyboardInterrupt, "Ctrl-C"),
    ],
)
def test_a_keras_that_does_not_start_is_one_line(error, kind, words, importing):
    with pytest.raises(kind, match=words) as raised:
        importing(error)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 500


@pytest.mark.parametrize("name", ["torch", "numpy", "openvino"])
def test_another_backend_is_refused(name):
    config = SimpleNamespace(backend=lambda: name)
    with pytest.raises(UsageError, match=f"is {name}. Expected tensorflow or jax"):
        keras_defaults.fix(SimpleNamespace(config=config))


@pytest.mark.parametrize("value", ["1", "abc"])
def test_limits_of_the_environment_are_ignored_aloud(value, monkeypatch, capsys):
    monkeypatch.setenv("KERAS_MAX_EPOCHS", value)
    monkeypatch.setenv("KERAS_NNX_ENABLED", "")
    keras_defaults._ignore_limits()
    keras_defaults._ignore_limits()
    assert capsys.readouterr().err.splitlines() == [
        "Note: KERAS_MAX_EPOCHS is ignored; --epochs says how long a run is."
    ]


def test_no_garbage_is_looked_for_while_keras_is_imported():
    assert gc.isenabled()
    try:
        with pytest.raises(ImportError), keras_defaults._kept_for_good():
            assert not gc.isenabled()
            cycle = []
            cycle.append(cycle)
            raise ImportError
        assert gc.isenabled() and not any(found is cycle for found in gc.get_objects())
        gc.disable()
        with keras_defaults._kept_for_good():
            pass
        assert not gc.isenabled()  # it was somebody's choice
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("written", "hidden"),
    [(None, True), ("tensorflow", True), ("jax", False), ("[", True)],
)
def test_jax_is_kept_from_tensorflow_unless_it_computes(
    written, hidden, monkeypatch, tmp_path
):
    script = keras_defaults._SCRIPTS / "cifar10_mlp.py"
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(script), raising=False)
    monkeypatch.delenv("KERAS_BACKEND")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    if written:
        text = json.dumps({"backend": written}) if written != "[" else written
        (tmp_path / "keras.json").write_text(text)
    assert ("jax" in keras_defaults._unused()) is hidden


def test_packages_are_kept_from_keras_in_the_scripts_alone(monkeypatch, tmp_path):
    main = sys.modules["__main__"]
    for file, hidden in (
        (keras_defaults._SCRIPTS / "cifar10_mlp.py", True),
        (tmp_path / "my_own.py", False),
        (None, False),  # a notebook
    ):
        monkeypatch.setattr(main, "__file__", file and str(file), raising=False)
        assert ("pandas" in keras_defaults._unused()) is hidden

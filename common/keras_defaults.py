"""Keras's global settings are the same for everyone (imports no Keras).

A keras.json left by other work, or a variable of the environment, would decide the
numbers: `channels_first` builds another network under the same name, `floatx` changes
every loss, and KERAS_MAX_EPOCHS makes a short run look complete.
"""

import contextlib
import gc
import importlib.util
import json
import os
import platform
import sys
from pathlib import Path

from common import quiet
from common.cli import MendableError, UsageError

BACKENDS = ("tensorflow", "jax")
_OTHERS = ("torch", "openvino")  # that Keras would take, and we do not
# Keras imports them where they are, to draw, to take data frames, to be wrapped, and
# TensorFlow JAX, for TensorFlow Lite. The scripts ask for none of that, and they are a
# part of the time it takes to start.
_UNUSED = ("IPython", "matplotlib", "pandas", "sklearn")
_SCRIPTS = Path(__file__).resolve().parents[1]  # the folder they lie in
_LIMITS = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH")


class _Fixed:
    """Imports Keras with the settings of this project."""

    searching = False

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != "keras" or _Fixed.searching:
            return None
        _Fixed.searching = True  # the others find it
        try:
            spec = importlib.util.find_spec(name)
        finally:
            _Fixed.searching = False
        if spec and spec.loader:
            load = spec.loader.exec_module

            def load_fixed(module):
                _ignore_limits()
                try:
                    with quiet.without_packages(*_unused()), _kept_for_good():
                        load(module)
                except Exception as error:
                    missing = isinstance(error, ModuleNotFoundError)
                    if missing and error.name not in _OTHERS:
                        raise  # `cli.run` says how to install it
                    raise _broken(error) from None
                fix(module)

            spec.loader.exec_module = load_fixed
        return spec


@contextlib.contextmanager
def _kept_for_good():
    """Looks for no garbage among the objects that are made within it, then or later.

    Modules stay. Those of TensorFlow hold hundreds of thousands of objects, and to go
    through them again and again took a quarter of the time in which a script starts.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _unused():
    """The packages that Keras need not import: none in a notebook or another's code."""
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    if not main or Path(main).resolve().parent != _SCRIPTS:
        return ()
    chosen = os.environ.get("KERAS_BACKEND") or _of_keras_json()
    return (*_UNUSED, "jax") if chosen == "tensorflow" else _UNUSED


def _of_keras_json():
    home = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return json.loads((home / "keras.json").read_text("utf-8")).get("backend")
    return "tensorflow"


def fix(keras):
    """Sets what a keras.json may have set otherwise, and takes limits away.

    Args:
        keras: The module.

    Raises:
        UsageError: If it computes with a library that this project does not know.
    """
    backend = keras.config.backend()
    if backend not in BACKENDS:
        raise UsageError(
            f"Keras's backend is {backend}. Expected tensorflow or jax: set the "
            "variable KERAS_BACKEND to one of them."
        )
    if keras.config.dtype_policy().name == keras.config.floatx():  # it was not chosen
        keras.config.set_dtype_policy("float32")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    for name in ("set_max_epochs", "set_max_steps_per_epoch"):  # not in every Keras 3
        getattr(keras.config, name, lambda limit: None)(None)
    _round_nothing(importlib.import_module(backend))


def _round_nothing(library):
    """Has float32 computed in float32 on a GPU, too, which else has TF32's 10 bits."""
    if library.__name__ == "tensorflow":
        library.config.experimental.enable_tensor_float_32_execution(False)
    else:
        library.config.update("jax_default_matmul_precision", "highest")


def _ignore_limits():
    os.environ["KERAS_NNX_ENABLED"] = "false"  # else JAX's layers are of another kind
    for name in _LIMITS:
        if os.environ.pop(name, ""):
            line = f"Note: {name} is ignored; --epochs says how long a run is."
            print(line, file=sys.stderr)


def _broken(error):
    chosen = os.environ.get("KERAS_BACKEND")
    where = f"KERAS_BACKEND is {chosen}" if chosen else "KERAS_BACKEND is not set"
    folder = os.environ.get("KERAS_HOME") or "~/.keras"
    reason = " ".join(str(error).split())[:200]
    return MendableError(
        f"Keras does not start: {reason or type(error).__name__}. {where}, and the "
        f"settings are in {folder}/keras.json: expected tensorflow or jax, installed "
        "and working."
    )


def install():
    """Lets Keras have the settings of this project, now or when it is imported."""
    if platform.machine() in ("x86_64", "AMD64"):
        # TensorFlow's own choice but on CPUs before AVX-512 VNNI, where convolutions
        # are 1.6 times as fast with it (benchmarks/README.md).
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    if keras := sys.modules.get("keras"):
        fix(keras)
    else:
        sys.meta_path.insert(0, _Fixed)

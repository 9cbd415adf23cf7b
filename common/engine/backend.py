"""What Keras computes with: device, precision, and what exact resume depends on."""

import functools
import os
import platform
from importlib import metadata

import keras
import numpy as np

from common.cli import UsageError
from common.engine import machine


def device():
    """Returns the device that trains, in words: `AMD EPYC, 2 cores`."""
    gpus = _gpus()
    if gpus:
        return ", ".join(name for name, _ in gpus)
    if _devices("tpu"):
        return "TPU"
    count = len(machine.cores())
    return f"{machine.processor()}, {count} core{'s' if count > 1 else ''}"


def precision_in_force(precision):
    """Resolves `auto` to what the hardware computes natively.

    Args:
        precision: `auto`, `float32`, `bfloat16` or `float16`.

    Returns:
        `bfloat16` for `auto` on CPUs with avx512_bf16 or amx_bf16 (TensorFlow's
        oneDNN kernels use them), NVIDIA GPUs from compute capability 8.0 and
        TPUs; else `float32`. Other values are returned as they are.
    """
    if precision != "auto":
        return precision
    gpus = _gpus()
    if gpus:
        native = all(capability >= 8.0 for _, capability in gpus)
    elif _devices("tpu"):
        native = True
    else:
        flags = set(machine.cpuinfo("flags").split())
        native = keras.backend.backend() == "tensorflow" and bool(
            flags & {"avx512_bf16", "amx_bf16"}
        )
    return "bfloat16" if native else "float32"


def environment():
    """Returns what the last bits of a result depend on, as a dict."""
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    for package in ("keras", keras.backend.backend()):
        versions[package] = _version(package)
    cores = str(len(machine.cores()))
    return {
        "backend": keras.backend.backend(),
        "versions": versions,
        "device": device(),
        "threads": os.environ.get("TF_NUM_INTRAOP_THREADS") or cores,
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default"),
        "keras_settings": {  # as `keras_defaults` has set them
            "floatx": keras.config.floatx(),
            "epsilon": keras.config.epsilon(),
            "image_data_format": keras.config.image_data_format(),
        },
    }


def changed(before, now):
    """Whether what `environment` returned is another one; an old one may say less."""
    return any(now.get(key) != value for key, value in before.items())


@functools.cache
def _version(package):
    """`import tensorflow` may come from tensorflow-cpu, -macos …"""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # what every package says: half a second
        return metadata.version(metadata.packages_distributions()[package][0])


def _devices(kind):
    try:
        return keras.distribution.list_devices(kind)
    except RuntimeError:  # JAX, for a kind that the machine does not have
        return []


def _gpus():
    """[(name, compute capability)] of the GPUs that the backend uses."""
    if not _devices("gpu"):
        return []
    return machine.gpus() or [("GPU", 0.0)]


def require_tensorflow():
    """Refuses another backend, for what is measured by TensorFlow's derivatives.

    Raises:
        UsageError: If Keras computes with another library.
    """
    if keras.backend.backend() != "tensorflow":
        raise UsageError(
            f"KERAS_BACKEND is {keras.backend.backend()}, and what is measured here "
            "needs TensorFlow's derivatives: unset it, or set it to tensorflow."
        )

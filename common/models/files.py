"""Networks as files: `save` ours, `load` whatever a .h5 file holds, `logits_of` it."""

import concurrent.futures
import json
import shutil
import tempfile
import zipfile
from pathlib import Path

import absl.logging
import h5py
import keras
import numpy as np

from common import records
from common.cli import MendableError
from common.models import layers  # noqa: F401  registers our layers with Keras

# Layers whose code is Keras's own or ours. Lambda, TFOpLambda and wrappers carry
# code or other layers inside, and are refused.
ALLOWED_LAYERS = frozenset(
    """Functional Model Sequential InputLayer Dense Conv2D BatchNormalization ReLU
    Activation Softmax Flatten Reshape Dropout MaxPooling2D AveragePooling2D
    GlobalAveragePooling2D GlobalMaxPooling2D Concatenate Add ZeroPadding2D Rescaling
    Embedding Conv1D LSTM MultiHeadAttention LayerNormalization GlobalAveragePooling1D
    GlobalMaxPooling1D rethinking>LocalResponseNormalization
    rethinking>FusedBatchNormalization rethinking>ShiftedReLU rethinking>IsWord
    rethinking>ClearPadding rethinking>AddPositions""".split()
)


def save(build, weights, path):
    """Writes a float32 .h5 without optimizer, whatever the training precision.

    Args:
        build: Function without arguments that returns the untrained model.
        weights: List of arrays, as `model.get_weights()` gives them.
        path: The file, replaced in one step.
    """
    # A new thread has Keras's state as it is at the start: float32, no distribution,
    # and layers counted from the first, so that the same run leaves the same bytes
    # however many networks its process has built.
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        model = thread.submit(build).result()
    model.set_weights(weights)
    level = absl.logging.get_verbosity()
    absl.logging.set_verbosity(absl.logging.ERROR)  # ".h5 is legacy": it is our format
    try:
        with records.replacing(path) as temporary:
            model.save(temporary, include_optimizer=False)
    finally:
        absl.logging.set_verbosity(level)


def load(path):
    """Opens a saved classifier, ours or from elsewhere, without running its code.

    Args:
        path: A `.h5` or `.keras` file; also a Sequential `.h5` of the Keras 2 era.

    Returns:
        `keras.Model`, not compiled.

    Raises:
        MendableError: If the file is missing, damaged, holds no model, holds a layer
            that is not known to be safe, or takes its weights from elsewhere.
    """
    path = Path(path)
    if not path.exists():
        raise MendableError(f"{path} does not exist: train a model first.")
    try:
        config = _config(path)
        _refuse_unknown_layers(config)
        if path.suffix != ".keras" and config != (modern := _modern(config)):
            return _load_with(modern, path)
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        reason = str(error).strip().splitlines()[0]
        raise MendableError(
            f"{path} cannot be opened as a saved Keras model: {reason}"
        ) from None


def leaves(model):
    """Yields a model's layers; in place of a model among them, that model's layers."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from leaves(layer)
        else:
            yield layer


def logits_of(model):
    """Returns the classifier as a float32 network from inputs to logits.

    Derivatives and margins need logits, and float32 at least: a softmax or sigmoid at
    the end is taken off, and half precision is lifted. The result is a copy: every
    layer has been called once, as `analysis.norms` needs it, which is not so of a
    Sequential read from a file.

    Args:
        model: `keras.Model`, as `load` returns it.

    Returns:
        `(model, notes)`; `notes` is a list of what was done, in words.

    Raises:
        ValueError: If it has several inputs or outputs, ends with another function, or
            holds weights that are not finite.
    """
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            f"it has {len(model.inputs)} inputs and {len(model.outputs)} outputs; one "
            "of each is expected."
        )
    weights = [np.asarray(w) for w in model.get_weights()]
    if not all(np.isfinite(w.astype(float)).all() for w in weights):
        raise ValueError(
            "it holds weights that are not finite, as a run that diverged leaves them: "
            "train it with a smaller --lr."
        )
    *_, last = leaves(model)
    softmax = isinstance(last, keras.layers.Softmax)
    activation = "softmax" if softmax else _activation(last)
    if activation not in ("linear", "softmax", "sigmoid"):
        raise ValueError(
            f"it ends with {activation}; expected logits, softmax or sigmoid."
        )
    half = {"float16", "bfloat16"} & {leaf.compute_dtype for leaf in leaves(model)}

    def copy(layer):
        if isinstance(layer, keras.Model):
            return keras.models.clone_model(layer, clone_function=copy)
        config = layer.get_config() | ({"dtype": "float32"} if half else {})
        if layer is last and softmax:
            return _Unchanged(name=layer.name, dtype=config["dtype"])
        if layer is last and "activation" in config:
            config["activation"] = "linear"
        return type(layer).from_config(config)

    notes = []
    if half:
        notes.append("computed in float32, saved under half or mixed precision")
    if activation != "linear":
        notes.append(f"{activation} output taken off")
    if any(isinstance(x, keras.layers.BatchNormalization) for x in leaves(model)):
        notes.append("BatchNorm in inference mode")
    model = copy(model)
    model.set_weights([w.astype("float32") if w.itemsize < 4 else w for w in weights])
    return model, notes


class _Unchanged(keras.layers.Layer):
    """Stands for a softmax, which is called with a mask."""

    def call(self, inputs, mask=None):
        return inputs


def _activation(layer):
    return getattr(getattr(layer, "activation", None), "__name__", "linear")


def _config(path):
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as file:
            with file.open("model.weights.h5") as inner, h5py.File(inner) as weights:
                _refuse_what_lies_elsewhere(weights)
            return json.loads(file.read("config.json"))
    with h5py.File(path, "r") as file:
        if "model_config" not in file.attrs:
            raise ValueError(
                "it holds weights without an architecture; expected a whole model, "
                "as model.save() writes it."
            )
        _refuse_what_lies_elsewhere(file)
        return json.loads(file.attrs["model_config"])


def _refuse_what_lies_elsewhere(group):
    for name in group:
        item = group.get(name)
        linked = not isinstance(group.get(name, getlink=True), h5py.HardLink)
        if not linked and isinstance(item, h5py.Group):
            _refuse_what_lies_elsewhere(item)
        elif linked or item.external or item.is_virtual or item.dtype.kind not in "fiu":
            raise ValueError(
                f"{group.name.rstrip('/')}/{name} is not numbers in this file: it is a "
                "link, lies in another file, or is of another kind (if bfloat16, save "
                "the model in float32)."
            )


def _refuse_unknown_layers(config):
    unknown = sorted(set(_class_names(config)) - ALLOWED_LAYERS)
    if unknown:
        raise ValueError(
            f"its layers {', '.join(unknown)} are not among those known to be safe "
            f"({', '.join(sorted(ALLOWED_LAYERS))}). The file does not hold the code "
            "of other layers: rebuild the network with these, and load its weights."
        )


def _class_names(config):
    name, registered = config["class_name"], config.get("registered_name") or ""
    module = config.get("module") or "keras"  # a .keras file says where its code is
    if registered.startswith("rethinking>"):
        yield registered
    else:
        yield name if module.split(".")[0] == "keras" else f"{module}.{name}"
    for layer in _layers(config):
        yield from _class_names(layer)


def _layers(config):
    inner = config["config"]
    # Before Keras 2.2.3 the config of a Sequential was the list of its layers.
    return inner if isinstance(inner, list) else inner.get("layers", [])


def _modern(config):
    """The config of a Sequential of the Keras 2 era, as Keras 3 reads it."""
    if config["class_name"] != "Sequential" or not _layers(config):
        return config
    first, *others = _layers(config)
    inner = config["config"] if isinstance(config["config"], dict) else {}
    stack = [first, *others]
    if first["class_name"] != "InputLayer" and "batch_input_shape" in first["config"]:
        # Keras 2 kept the input's shape in the first layer.
        kept = dict(first["config"])
        shape = {"batch_shape": kept.pop("batch_input_shape"), "name": "input"}
        stack = [{"class_name": "InputLayer", "config": shape}]
        stack += [first | {"config": kept}, *others]
    name = inner.get("name", "sequential")
    return config | {"config": inner | {"name": name, "layers": stack}}


def _load_with(config, path):
    """Opens a copy of the file that holds another config."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "model.h5"
        shutil.copyfile(path, copy)
        with h5py.File(copy, "r+") as file:
            file.attrs["model_config"] = json.dumps(config)
        return keras.models.load_model(copy, compile=False, safe_mode=True)

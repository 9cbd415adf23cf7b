"""Networks as files: `save` ours, `load` whatever a .h5 file holds, `logits_of` it."""

import contextlib
import itertools
import json
import os
import re
import resource
import tempfile
import zipfile
from pathlib import Path

import absl.logging
import h5py
import keras
import numpy as np

from common import records
from common.cli import MendableError
from common.models import rebuild

LARGEST_CONFIG = 10_000_000  # bytes of JSON; that of a ResNet-152 is 0.5 MB
# What reading takes beside the weights: JSON as Python objects, the libraries' own.
ROOM = 1_000_000_000


def save(build, weights, path):
    """Writes a float32 .h5 without optimizer, whatever the training precision.

    Args:
        build: Function without arguments that returns the untrained model.
        weights: List of arrays, as `model.get_weights()` gives them.
        path: The file, replaced in one step.
    """
    policy = keras.config.dtype_policy()
    devices = keras.distribution.distribution()
    keras.distribution.set_distribution(None)  # one process alone builds this one
    keras.config.set_dtype_policy("float32")
    model = build()
    keras.config.set_dtype_policy(policy)
    keras.distribution.set_distribution(devices)
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

    Keras is given nothing but the weights: `rebuild.network` makes the layers. So it
    does not matter which version opens the file, and what is allocated is bounded by
    the size of the file.

    Args:
        path: A `.h5` or `.keras` file of Keras 2.2 to 3.

    Returns:
        `keras.Model`, not compiled.

    Raises:
        MendableError: If the file is missing, damaged, holds no model, holds a layer
            that is not known to be safe, or takes its weights from elsewhere.
    """
    path = Path(path)
    try:
        if not path.exists():
            raise MendableError(f"{path} does not exist: train a model first.")
        if not path.is_file():
            raise ValueError("it is a folder or a device; expected a file.")
        return (_from_zip if path.suffix == ".keras" else _from_hdf5)(path)
    except MendableError:
        raise
    except Exception as error:  # damaged files raise any: h5py, AttributeError too
        lines = str(error).strip().splitlines() or [type(error).__name__]
        reason = lines[0] if len(lines[0]) <= 400 else f"{lines[0][:397]}..."
        if not isinstance(error, (ValueError, OSError)):
            reason = f"it is damaged, or no model ({type(error).__name__}: {reason})"
        line = f"{path} cannot be opened as a saved Keras model: {reason}"
        line = line.encode("utf-8", "backslashreplace").decode()  # lone surrogates
        raise MendableError("".join(c for c in line if c.isprintable())) from None


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


def _from_hdf5(path):
    size = path.stat().st_size
    with _memory(size), h5py.File(path, "r") as file:
        if "model_config" not in file.attrs:
            raise ValueError(
                "it holds weights without an architecture; expected a whole model, "
                "as model.save() writes it."
            )
        config = _json(_words(file, "model_config"))
        version = "keras_version" in file.attrs and _words(file, "keras_version")
        weights = _weights(file["model_weights"], size)
    count = sum(array.size for arrays in weights.values() for _, array in arrays)
    keras_2 = not str(version).startswith("3")
    model = rebuild.network(config, keras_2, count)
    waiting = {layer.name: layer for layer in model.layers if layer.weights}
    if set(waiting) != {name for name, arrays in weights.items() if arrays}:
        raise ValueError("the layers it has weights of are not those of its network.")
    for name, layer in waiting.items():
        # Keras's order in these files.
        variables = layer.trainable_weights + layer.non_trainable_weights
        names = [re.sub(r"(_\d+)?(:\d+)?$", "", key) for key, _ in weights[name]]
        wanted = [re.sub(r"_\d+$", "", variable.name) for variable in variables]
        if [key.rpartition("/")[2] for key in names] != wanted:
            raise ValueError(
                f"the weights of {rebuild.short(name)} are {', '.join(names)[:100]}; "
                f"expected {', '.join(wanted)[:100]}."
            )
        for variable, (key, array) in zip(variables, weights[name], strict=True):
            if array.shape != tuple(variable.shape):
                raise ValueError(
                    f"{rebuild.short(key)} has shape {array.shape}; its layer expects "
                    f"{tuple(variable.shape)}."
                )
            variable.assign(array)
    return model


def _from_zip(path):
    size = path.stat().st_size
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "model.weights.h5"  # Keras reads no other names
        with _memory(size), zipfile.ZipFile(path) as file:
            config = _json(_unpacked(file, "config.json", LARGEST_CONFIG))
            about = _json(_unpacked(file, "metadata.json", LARGEST_CONFIG))
            copy.write_bytes(_unpacked(file, "model.weights.h5", size))
            with h5py.File(copy, "r") as weights:
                count = sum(x.size for x in _datasets(weights, copy.stat().st_size))
        keras_2 = not str(about.get("keras_version")).startswith("3")
        model = rebuild.network(config, keras_2, count)
        model.load_weights(copy)
    return model


@contextlib.contextmanager
def _memory(size):
    """Bounds what this process may allocate to what a file of `size` bytes needs.

    A damaged or hostile file declares what it likes, and HDF5 believes it. Where the
    system cannot bound memory this does nothing.
    """
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if 2 * size > total:
        raise ValueError(f"it has {size:,} bytes, too many for {total:,} of memory.")
    try:
        used = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:  # not Linux
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = used * os.sysconf("SC_PAGE_SIZE") + 3 * size + ROOM
    limits = [x for x in (limit, soft, hard) if x != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min(limits), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _json(text):
    if len(text) > LARGEST_CONFIG:
        raise ValueError(f"its configuration has {len(text):,} characters.")
    config = json.loads(text)
    if not isinstance(config, dict):
        raise ValueError(f"its configuration is {rebuild.short(config)}.")
    return config


def _unpacked(file, name, most):
    """The content of a file in a zip; most of them are as large as in the zip."""
    entry = file.getinfo(name)
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} in it is compressed in another way than Keras does.")
    if entry.file_size > 10 * most:
        raise ValueError(f"{name} in it unpacks to {entry.file_size:,} bytes.")
    return file.read(entry)


def _words(group, name):
    """A string in an attribute of a group, or a list of strings."""
    value = group.attrs[name]
    if isinstance(value, (str, bytes)):
        return value.decode() if isinstance(value, bytes) else value
    return [x.decode() if isinstance(x, bytes) else str(x) for x in value.ravel()]


def _names(group, name):
    """A list in an attribute, or in NAME0, NAME1, ... where it was too long for one."""
    if name in group.attrs:
        return list(_words(group, name))
    numbered = (f"{name}{i}" for i in itertools.count())
    parts = itertools.takewhile(group.attrs.__contains__, numbered)
    return [word for part in parts for word in _words(group, part)]


def _weights(group, size):
    """`{layer: [(name, array)]}` of the group that a `.h5` keeps its weights in."""
    found, left = {}, size
    for layer in _names(group, "layer_names"):
        inner, found[layer.replace("/", "_")] = group, []
        for name in layer.split("/"):
            inner = _inside(inner, name)
        for key in _names(inner, "weight_names"):
            item = inner
            for name in key.split("/"):
                item = _inside(item, name)
            left -= item.nbytes
            if left < 0:
                raise ValueError("it declares more weights than it holds.")
            found[layer.replace("/", "_")].append((key, item[()]))
    return found


def _datasets(group, size, depth=0):
    """All datasets of a group, each once; in all not more bytes than the file has."""
    found = []
    for name in group:
        item = _inside(group, name)
        if isinstance(item, h5py.Dataset):
            found.append(item)
        elif depth < 50:
            found += _datasets(item, size, depth + 1)
        else:
            raise ValueError("its groups lie in one another, more than 50 deep.")
        if sum(x.nbytes for x in found) > size:
            raise ValueError("it declares more weights than it holds.")
    return found


def _inside(group, name):
    """A group or plain array of numbers that lies in a group itself."""
    item = None
    if isinstance(group, h5py.Group) and name in group:
        if isinstance(group.get(name, getlink=True), h5py.HardLink):
            item = group[name]
    if isinstance(item, h5py.Group):
        return item
    if (
        not isinstance(item, h5py.Dataset)
        or item.external
        or item.is_virtual
        or item.chunks
        or item.dtype.kind not in "fiu"
        or item.nbytes > item.id.get_storage_size()
    ):
        raise ValueError(
            f"{group.name.rstrip('/')}/{name} is not numbers in this file: it is not "
            "there, a link, lies in another file, is compressed, or is of another kind "
            "(if bfloat16, save the model in float32)."
        )
    return item

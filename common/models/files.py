"""Networks as files: `save` ours, `load` whatever a .h5 file holds, `logits_of` it."""

import concurrent.futures
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import absl.logging
import keras
import numpy as np

from common import records
from common.cli import MendableError
from common.models import rebuild

LARGEST_CONFIG = 10_000_000  # bytes of JSON; that of a ResNet-152 is 0.5 MB


def save(build, weights, path):
    """Writes a float32 .h5 without optimizer, whatever the training precision.

    Args:
        build: Function without arguments that returns the untrained model.
        weights: List of arrays, as `model.get_weights()` gives them.
        path: The file, replaced in one step.

    Returns:
        The sha256 of the file, as hex digits, for its record.
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
            return records.sha256_of(temporary)
    finally:
        absl.logging.set_verbosity(level)


def load(path, results_dir=None):
    """Opens a saved classifier, ours or from elsewhere, without running its code.

    Keras is given nothing but the weights: `rebuild.network` makes the layers. So it
    does not matter which version opens the file, and what is allocated is bounded by
    the size of the file.

    Args:
        path: A `.h5` or `.keras` file of Keras 2.2 to 3.
        results_dir: Where its record lies, if it has one (default: beside it, or in
            `results` beside its folder).

    Returns:
        `keras.Model`, not compiled.

    Raises:
        MendableError: If the file is missing, damaged, holds no model, holds a layer
            that is not known to be safe, takes its weights from elsewhere, or is not
            the file whose sha256 its record gives.
    """
    path = Path(path)
    try:
        if not path.exists():
            raise MendableError(
                f"{path} does not exist: expected a network saved by Keras, as .h5 or "
                ".keras."
            )
        if not path.is_file():
            raise ValueError("it is a folder or a device; expected a file.")
        _require_recorded(path, results_dir)
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


def _require_recorded(path, results_dir):
    for folder in [results_dir] if results_dir else records.beside(path):
        try:
            _, recorded = records.of_model(path, folder)
        except MendableError:  # a JSON of that name which is no record of ours
            continue
        if recorded and recorded != records.sha256_of(path):
            raise MendableError(
                f"{path} is not the model of its record in {folder}: its sha256 is "
                "another, so that it is damaged, or of another run. Fetch or train it "
                "again, or name the folder of its own record."
            )


def start_from(model, path):
    """Gives a network the weights of a saved one.

    Args:
        model: `keras.Model`, as it is built; changed in place.
        path: See `load`.

    Raises:
        MendableError: As `load`; if its weights have other shapes, or are not finite.
    """
    weights = load(path).get_weights()
    ours, theirs = (
        [tuple(map(int, w.shape)) for w in x] for x in (model.weights, weights)
    )
    if ours != theirs:
        pairs = itertools.zip_longest(ours, theirs)
        number, (wanted, found) = next(
            (i, pair) for i, pair in enumerate(pairs, 1) if pair[0] != pair[1]
        )
        raise MendableError(
            f"--init-from {path}: its {len(theirs)} arrays of weights do not fit this "
            f"network's {len(ours)}: number {number} is {found}, expected {wanted}."
        )
    try:
        _require_finite(weights)
    except ValueError as error:
        raise MendableError(f"--init-from {path}: {error}") from None
    model.set_weights(weights)


def _require_finite(weights):
    if not all(np.isfinite(np.asarray(w, float)).all() for w in weights):
        raise ValueError(
            "it holds weights that are not finite, as a run that diverged leaves them: "
            "train it with a smaller --lr."
        )


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
    _require_finite(weights)
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
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "model.npz"
        count = _read(path, copy, "model")
        with np.load(copy, allow_pickle=False) as file:
            texts = [bytes(file[x]).decode() for x in ("config", "version", "names")]
            config, version, names = texts[0], texts[1], json.loads(texts[2])
            weights, places = {}, itertools.count()
            for layer, key in names:
                found = weights.setdefault(layer.replace("/", "_"), [])
                if key is not None:
                    found.append((key, file[f"arr_{next(places)}"]))
    config = _json(config)
    keras_2 = not version.startswith("3")
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
        packed, copy = Path(folder) / "packed", Path(folder) / "model.weights.h5"
        with zipfile.ZipFile(path) as file:
            config = _json(_unpacked(file, "config.json", LARGEST_CONFIG))
            about = _json(_unpacked(file, "metadata.json", LARGEST_CONFIG))
            packed.write_bytes(_unpacked(file, "model.weights.h5", 10 * size))
        count = _read(packed, copy, "weights")
        keras_2 = not str(about.get("keras_version")).startswith("3")
        model = rebuild.network(config, keras_2, count)
        model.load_weights(copy)
    return model


def _read(path, copy, kind):
    """Copies what is plain in an HDF5 file; returns how many numbers that is.

    Another process reads it: the library may loop or crash over a damaged file.
    """
    size, pages = path.stat().st_size, os.sysconf("SC_PHYS_PAGES")
    if 2 * size > (total := pages * os.sysconf("SC_PAGE_SIZE")):
        raise ValueError(f"it has {size:,} bytes, too many for {total:,} of memory.")
    reader = Path(__file__).with_name("hdf5.py")
    command = [sys.executable, reader, path, copy, kind]
    # It has bounds, and each thread of NumPy's takes 40 MB of addresses, one a core.
    single = {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "OMP", "MKL")}
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=os.environ | single,
    )
    if done.returncode == 1:
        raise ValueError(done.stderr.decode(errors="replace"))
    if done.returncode:
        raise ValueError("it is damaged: HDF5 cannot read it to its end.")
    return int(done.stdout)


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
    if entry.file_size > most:
        raise ValueError(f"{name} in it unpacks to {entry.file_size:,} bytes.")
    return file.read(entry)

"""Reads HDF5 files of models in a process of its own: python hdf5.py FROM TO KIND.

Damaged HDF5 makes its library loop for ever, take any memory or crash, which no
exception stops. Here that ends this process alone. What is plain in FROM, texts and
arrays of numbers, is written to TO anew. KIND is `model` for a `.h5` with architecture
(to `.npz`: `config`, `version` and `names` as UTF-8, and arrays 0, 1, ...) or `weights`
for what lies in a `.keras` file (to `.h5`). Imports nothing of ours, nor Keras.
"""

import contextlib
import itertools
import json
import os
import resource
import sys

import h5py
import numpy as np

ROOM = 1_000_000_000  # bytes that reading takes beside the weights
SECONDS = 10  # of computing, and one more for 100 MB
MOST_NAMES = 20_000


def read_model(source, target, size):
    """Writes architecture and weights of a `.h5` file; returns how many numbers."""
    with h5py.File(source, "r") as file:
        if "model_config" not in file.attrs:
            raise ValueError(
                "it holds weights without an architecture; expected a whole model, "
                "as model.save() writes it."
            )
        config, version = _words(file, "model_config"), ""
        if "keras_version" in file.attrs:
            version = _words(file, "keras_version")
        names, arrays = [], []
        for layer, key, item in _weights(_inside(file, "model_weights")):
            names.append([layer, key])
            if item is not None:
                size -= item.nbytes
                if size < 0:
                    raise ValueError("it declares more weights than it holds.")
                arrays.append(item[()])
    texts = {"config": config, "version": version, "names": json.dumps(names)}
    texts = {key: np.frombuffer(x.encode(), "u1") for key, x in texts.items()}
    np.savez(target, *arrays, **texts)
    return sum(array.size for array in arrays)


def read_weights(source, target, size):
    """Writes all groups and arrays of a file; returns how many numbers they are."""
    numbers = 0
    with h5py.File(source, "r") as file, h5py.File(target, "w") as new:
        waiting, count = [("/", 0)], 0
        while waiting:
            place, depth = waiting.pop()
            count += 1
            if depth > 50 or count > MOST_NAMES:
                raise ValueError("its groups lie in one another without end.")
            for name in file[place]:
                item, path = _inside(file[place], name), f"{place}{name}"
                if isinstance(item, h5py.Group):
                    new.create_group(path)
                    waiting.append((f"{path}/", depth + 1))
                else:
                    size -= item.nbytes
                    if size < 0:
                        raise ValueError("it declares more weights than it holds.")
                    numbers += item.size
                    new[path] = item[()]
    return numbers


def _words(group, name):
    """A string in an attribute of a group, or a list of strings."""
    value = group.attrs[name]
    if isinstance(value, (str, bytes)):
        return value.decode() if isinstance(value, bytes) else value
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "OSU":
        if not (isinstance(value, np.ndarray) and not value.size):
            raise ValueError(f"its {name} is no text.")
    return [x.decode() if isinstance(x, bytes) else str(x) for x in value.ravel()]


def _names(group, name):
    """A list in an attribute, or in NAME0, NAME1, ... where it was too long for one."""
    if name in group.attrs:
        return _words(group, name)
    numbered = (f"{name}{i}" for i in itertools.count())
    parts = itertools.takewhile(group.attrs.__contains__, numbered)
    return [word for part in parts for word in _words(group, part)]


def _weights(group):
    """Yields `(layer, name, array)`; for a layer without weights, name None."""
    for layer in _names(group, "layer_names"):
        inner = group
        for name in layer.split("/"):
            inner = _inside(inner, name)
        yield layer, None, None
        for key in _names(inner, "weight_names"):
            item = inner
            for name in key.split("/"):
                item = _inside(item, name)
            if not isinstance(item, h5py.Dataset):
                raise ValueError(f"{key[:60]} is a group; expected numbers.")
            yield layer, key, item


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


def main(source, target, kind):
    size = os.path.getsize(source)
    seconds = SECONDS + size // 100_000_000
    for what, limit in (("AS", 3 * size + ROOM), ("CPU", seconds), ("CORE", 0)):
        with contextlib.suppress(OSError, ValueError):  # lower already, or impossible
            resource.setrlimit(getattr(resource, f"RLIMIT_{what}"), (limit, limit))
    try:
        print(
            {"model": read_model, "weights": read_weights}[kind](source, target, size)
        )
    except Exception as error:  # h5py raises any: AttributeError, RuntimeError too
        reason = " ".join((str(error) or type(error).__name__).split())
        sys.exit(ascii(reason[:600])[1:-1])


if __name__ == "__main__":
    main(*sys.argv[1:])

"""NAME_examples.h5: one file a run, written once, read only if it is that run's."""

import hashlib
from typing import NamedTuple

import h5py
import numpy as np

from common import records
from common.cli import MendableError
from common.examples.measures import KINDS

SCHEMA = 1
# Of the chunks: several epochs together, since labels stay the same for many.
_EPOCHS, _EXAMPLES = 16, 4096


class Examples(NamedTuple):
    """A run's file: n examples over E epochs."""

    name: str  # of the run
    num_classes: int
    index: np.ndarray  # (n,) places in the whole training set of `datasets.named`
    given: np.ndarray  # (n,) labels that were trained on
    true: np.ndarray  # (n,) labels before any was replaced
    predicted: np.ndarray  # (E, n) as all that follow; see `measures.measure`
    margin: np.ndarray
    probability: np.ndarray
    loss: np.ndarray
    error_norm: np.ndarray

    @property
    def right(self):
        """Whether the given label was predicted, `(E, n)` bool."""
        return self.predicted == self.given

    @property
    def flipped(self):
        """Whether the given label is not the true one, `(n,)` bool."""
        return self.given != self.true


def write(path, name, labels, num_classes, epochs):
    """Writes the file in one step; the same run gives the same bytes.

    Args:
        path: `Path` of the file.
        name: Of the run.
        labels: Dict of `index`, `given` and `true`: `(n,)` integers.
        num_classes: Integer.
        epochs: Iterable of what `measures.measure` returned, one an epoch.

    Returns:
        Dict of its `bytes` and `sha256`, which the run's record keeps.
    """
    n = len(labels["given"])
    with records.replacing(path) as temporary:
        with h5py.File(temporary, "w") as file:
            file.attrs["schema"], file.attrs["name"] = SCHEMA, name
            file.attrs["num_classes"] = num_classes
            packed = {"compression": "gzip", "shuffle": True}
            for key, values in labels.items():
                file.create_dataset(key, data=np.asarray(values, np.int32), **packed)
            for key, kind in KINDS.items():
                chunks = _EPOCHS, min(n, _EXAMPLES)
                sizes = {"shape": (0, n), "maxshape": (None, n), "chunks": chunks}
                file.create_dataset(key, dtype=kind, **sizes, **packed)
            waiting = []
            for epoch in epochs:
                waiting.append(epoch)
                if len(waiting) == _EPOCHS:  # a chunk is compressed once
                    _append(file, waiting)
                    waiting = []
            _append(file, waiting)
        content = temporary.read_bytes()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _append(file, epochs):
    for key in KINDS if epochs else ():
        block = np.stack([epoch[key] for epoch in epochs])
        file[key].resize(len(file[key]) + len(block), axis=0)
        file[key][-len(block) :] = block


def read(path, record):
    """Reads the file of a run.

    Args:
        path: `Path` of the file.
        record: The run's record (see `records.read`), which knows the file's sha256.

    Returns:
        `Examples`.

    Raises:
        MendableError: If it is missing, damaged, of another run or of another shape.
    """
    again = "run it again with --record-examples --overwrite"
    known = record.get("examples")
    if not isinstance(known, dict):
        raise MendableError(
            f"{record['name']} was run without --record-examples: {again}."
        )
    if not path.is_file():
        raise MendableError(f"{path} is not there: {again}.")
    received = hashlib.sha256(path.read_bytes()).hexdigest()
    if received != known.get("sha256"):
        raise MendableError(
            f"{path} is damaged, or of another run: its sha256 is {received[:12]}..., "
            f"and its record has {str(known.get('sha256'))[:12]}...: {again}."
        )
    try:
        return _read(path, record)
    except (ValueError, KeyError, OSError, RuntimeError) as error:
        raise MendableError(
            f"{path} is no file of examples of this run ({error}): {again}."
        ) from None


def _read(path, record):
    with h5py.File(path, "r") as file:
        if file.attrs["schema"] > SCHEMA:
            raise ValueError(f"its schema is {file.attrs['schema']}: update")
        if file.attrs["name"] != record["name"]:
            raise ValueError(f"it is of {file.attrs['name']!r}")
        n, classes = record["train_examples"], record["num_classes"]
        shapes = dict.fromkeys(("index", "given", "true"), (n,))
        shapes |= dict.fromkeys(KINDS, (record["epochs"], n))
        arrays = {}
        for key, shape in shapes.items():
            kind = KINDS.get(key, np.int32)
            if file[key].shape != shape or file[key].dtype != kind:
                raise ValueError(
                    f"{key} is {file[key].dtype} {file[key].shape}, and its record "
                    f"says {np.dtype(kind)} {shape}"
                )
            arrays[key] = file[key][()]
    for key in ("given", "true", "predicted"):
        if not 0 <= arrays[key].min() <= arrays[key].max() < classes:
            raise ValueError(f"{key} holds other classes than 0 to {classes - 1}")
    return Examples(record["name"], classes, **arrays)

"""The places of images in TFRecord files, without TensorFlow.

Only the pages around the images are read: a record is a length, its checksum, an
`Example` (a protocol buffer message), its checksum.
"""

import mmap
import os
import struct

from common.cli import MendableError


def index(path):
    """Yields ((file name, offset, length), label) of the images of one TFRecord file.

    The keys are those of ImageNet's records, or of a TFDS folder's.

    Args:
        path: `Path` of the file.

    Raises:
        MendableError: If it is damaged, or holds other records.
    """
    start = 0
    try:
        with open(path, "rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        while start < len(data):
            (size,) = struct.unpack_from("<Q", data, start)
            end = start + 12 + size
            if end + 4 > len(data):
                raise ValueError("it is truncated")
            found = dict(_features(data, start + 12, end))
            offset, length = found.get(b"image/encoded") or found[b"image"]
            label = found.get(b"image/class/label") or found[b"label"]
            value, _ = _varint(data, label[0])
            yield (os.fsencode(path.name), offset, length), value
            start = end + 4
    except (KeyError, ValueError, struct.error, IndexError) as error:
        raise MendableError(
            f"{path} is not a file of TFRecords with image/encoded and "
            f"image/class/label, or it is damaged ({error}, byte {start:,})."
        ) from None


def _features(data, start, end):
    """Yields (key, (offset, length) of its first value) of an `Example`."""
    for features in _parts(data, start, end):
        for entry in _parts(data, *features):
            key, feature = list(_parts(data, *entry))
            for kind in _parts(data, *feature):  # a list of bytes, floats or integers
                for first, last in list(_parts(data, *kind))[:1]:
                    yield data[key[0] : key[1]], (first, last - first)


def _parts(data, start, end):
    """Yields (start, end) of the fields of a protocol buffer message."""
    while start < end:
        tag, start = _varint(data, start)
        if tag & 7 == 2:  # a length and so many bytes
            size, start = _varint(data, start)
            stop = start + size
        elif tag & 7 == 0:
            _, stop = _varint(data, start)
        else:
            stop = start + {1: 8, 5: 4}[tag & 7]
        yield start, stop
        start = stop


def _varint(data, start):
    """Returns (integer, where it ends): seven bits a byte, the lowest first."""
    value = shift = 0
    while True:
        byte = data[start]
        start, value = start + 1, value | (byte & 127) << shift
        if byte < 128:
            return value, start
        shift += 7

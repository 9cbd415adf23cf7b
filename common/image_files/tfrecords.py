"""The places of images in TFRecord files, without TensorFlow.

Only the pages around the images are read: a record is a length, its checksum, an
`Example` (a protocol buffer message), its checksum.
"""

import itertools
import mmap
import os
import struct

from common.cli import MendableError

_BYTES, _INTEGERS = 1, 3  # numbers of the kinds of a feature


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
            offset, length = _value(data, found, b"image/encoded", b"image", _BYTES)
            if not length:
                raise ValueError("an image of 0 bytes")
            place, _ = _value(data, found, b"image/class/label", b"label", _INTEGERS)
            label, _ = _varint(data, place, end)
            if label >> 63:  # a negative number
                raise ValueError(f"the label {label - (1 << 64)}")
            yield (os.fsencode(path.name), offset, length), label
            start = end + 4
    except (KeyError, ValueError, struct.error, IndexError) as error:
        compressed = start == 0 and _compressed(path)
        raise MendableError(
            f"{path} is compressed. Unpack it first (gunzip): images are read one by "
            "one from where they lie."
            if compressed
            else f"{path} is not a file of TFRecords with image/encoded and "
            f"image/class/label, or it is damaged ({error}, byte {start:,})."
        ) from None


def _compressed(path):
    """Whether a file begins as gzip or zlib, which TensorFlow writes records with."""
    with open(path, "rb") as file:
        start = file.read(2)
    zlib = (
        len(start) == 2 and start[0] == 0x78 and int.from_bytes(start, "big") % 31 == 0
    )
    return start == b"\x1f\x8b" or zlib


def _value(data, found, key, other, kind):
    """Returns (offset, length) of a feature's one value; a number has length 0."""
    known = key if key in found else other
    ((received, *values),) = _parts(data, *found[known])
    first, *more = itertools.islice(_values(data, kind, *values), 2)
    if received != kind or more:
        raise ValueError(f"{known.decode()} is not one value of the right kind")
    return first


def _values(data, kind, start, end):
    """Yields (offset, length) of the values in a list."""
    for _, first, last in _parts(data, start, end):
        if kind == _BYTES:
            yield first, last - first
        while kind == _INTEGERS and first < last:  # packed, or one alone
            yield first, 0
            _, first = _varint(data, first, last)


def _features(data, start, end):
    """Yields (key, (start, end)) of the features of an `Example`."""
    for _, *features in _parts(data, start, end):
        for _, *entry in _parts(data, *features):
            (_, *key), (_, *feature) = sorted(_parts(data, *entry))
            yield data[slice(*key)], feature


def _parts(data, start, end):
    """Yields (number, start, end) of the fields of a protocol buffer message."""
    while start < end:
        tag, start = _varint(data, start, end)
        if tag & 7 == 2:  # a length and so many bytes
            size, start = _varint(data, start, end)
            stop = start + size
        elif tag & 7 == 0:
            _, stop = _varint(data, start, end)
        else:
            stop = start + {1: 8, 5: 4}[tag & 7]
        if stop > end:
            raise ValueError("a part is longer than the whole")
        yield tag >> 3, start, stop
        start = stop


def _varint(data, start, end):
    """Returns (integer, where it ends): seven bits a byte, the lowest first."""
    value = shift = 0
    while start < end and shift < 70:
        byte = data[start]
        start, value, shift = start + 1, value | (byte & 127) << shift, shift + 7
        if byte < 128:
            return value & 0xFFFF_FFFF_FFFF_FFFF, start
    raise ValueError("an endless number")

"""Feeds the readers of foreign files bytes that are nearly right, guided by coverage.

`make fuzz` gives each a minute. With the name of one and flags of libFuzzer
(`tfrecord -max_total_time=600`) it is that one alone.

A reader returns what its format allows or raises what its callers expect. Anything
else ends the run, as do a GiB of memory and ten seconds; the input is kept in the
current folder as `crash-…`. Needs the package atheris; pytest does not collect it.
"""

import gzip
import json
import pickle
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import atheris
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
with atheris.instrument_imports(include=["common", "json", "gzip", "pickletools"]):
    from common import records
    from common.cli import MendableError
    from common.image_files import tfrecords
    from common.sources import archives

SECONDS = 60
MEMORY = Path("/dev/shm")  # a folder that is no disk, on Linux
FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-", dir=MEMORY if MEMORY.is_dir() else None))


def written(data):
    path = FOLDER / "input"
    path.write_bytes(data)
    return path


def unpickler(data):
    try:
        images, labels = archives._batch(data, b"labels")
    except Exception:  # `download.official` makes one line of any
        return
    if images.nbytes > len(data) or labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise AssertionError(f"it built {images.shape}, {labels.dtype} {labels.shape}")


def idx(data):
    for name in ("x", "x.gz"):
        try:
            found = archives._idx({name: data}, "x")
        except Exception:
            continue
        if found.dtype != np.uint8 or name == "x" and found.size > len(data):
            raise AssertionError(f"it made {found.dtype} {found.shape}")


def tfrecord(data):
    try:
        for (_, offset, length), label in tfrecords.index(written(data)):
            if not (length > 0 <= label < 1 << 63 and offset + length <= len(data)):
                raise AssertionError(f"it found {offset, length, label}")
    except MendableError as error:
        one_line(error)


def record(data):
    try:
        records.read(written(data))
    except MendableError as error:
        one_line(error)


def one_line(error):
    if "\n" in str(error) or len(str(error)) > 600:
        raise AssertionError(f"not one short line: {str(error)[:1000]!r}")


def example(label=3, image=b"\xff\xd8\xff an image"):
    """A TFRecord of one image, written by hand."""

    def part(number, content):
        return bytes([number << 3 | 2, len(content)]) + content

    def feature(key, kind, values):
        return part(1, part(1, key) + part(2, part(kind, part(1, values))))

    features = feature(b"image/encoded", 1, image)
    features += feature(b"image/class/label", 3, bytes([label]))
    message = part(1, features)
    return struct.pack("<Q", len(message)) + b"crc " + message + b"crc "


def samples():
    """A few right inputs of each reader."""
    batch = {b"data": np.zeros((1, 3072), np.uint8), b"labels": [1, 0]}
    small = struct.pack(">I2I", 0x802, 2, 3) + bytes(6)
    return {
        unpickler: [pickle.dumps(batch, protocol=i) for i in (2, 3)],
        idx: [small, gzip.compress(small)],
        tfrecord: [example(), example() * 3, gzip.compress(example())],
        record: [json.dumps({"name": "a", "final": {"x": [1.5, None]}}).encode()],
    }


def main(names):
    """Fuzzes one reader for good, or each in a process of its own."""
    readers = {reader.__name__: contents for reader, contents in samples().items()}
    if names:
        name, *flags = names
        for i, content in enumerate(readers[name]):
            (FOLDER / "corpus").mkdir(exist_ok=True)
            (FOLDER / "corpus" / str(i)).write_bytes(content)
        limits = ["-rss_limit_mb=1024", "-malloc_limit_mb=512", "-timeout=10"]
        flags = [f"-max_total_time={SECONDS}", "-max_len=8192", *limits, *flags]
        atheris.Setup([sys.argv[0], *flags, str(FOLDER / "corpus")], globals()[name])
        atheris.Fuzz()
    failed = [
        name
        for name in readers
        if subprocess.run([sys.executable, __file__, name]).returncode
    ]
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1:])

"""The official files of a data set: found, or downloaded, and always verified.

A file is looked for in `data_dir`, then in Keras's own cache, and its checksum is
compared before one byte of it is interpreted.
"""

import contextlib
import hashlib
import os
import shutil
import time
from pathlib import Path
from typing import NamedTuple

from common.cli import MendableError

LARGEST = 1 << 30  # bytes: no official file has more
SILENCE = 20  # seconds without a byte after which a download is given up
WINDOW, LEAST = 60, 1 << 16  # as is one of fewer bytes in so many seconds


class Source(NamedTuple):
    """The official files of a data set; checksums are md5 (32 digits) or sha256."""

    url: str  # of the archive; of the folder of the files where there is no archive
    checksum: str  # of the archive
    archives: tuple  # its names; the first one is the name downloaded to
    folders: tuple  # names of the unpacked folder, the archive's own first
    files: dict  # name in such a folder -> checksum; with .gz the same file gzipped
    instead: str = "synthetic"  # what needs no download


def looked_in(data_dir):
    """Returns the folders that data are looked for in, in order.

    They are `data_dir`, if any, and `$KERAS_HOME/datasets` (`~/.keras/datasets`).

    Raises:
        MendableError: If there is no such folder, since the user has no home.
    """
    home = os.path.join(os.environ.get("KERAS_HOME") or "~/.keras", "datasets")
    places = [Path(os.path.expanduser(place)) for place in (data_dir, home) if place]
    if str(places[-1]).startswith("~"):  # a user without a name and without $HOME
        places.pop()
    if not places:
        raise MendableError(
            "no folder to look for data in: this user has no home folder. Give one "
            "with --data-dir, or set KERAS_HOME."
        )
    return places


def official(name, source, data_dir, read):
    """Finds the official files of a data set, or downloads them, and reads them.

    A copy that is damaged or lacks a file does not hide a good one elsewhere.

    Args:
        name: What errors call it.
        source: `Source`.
        data_dir: See `datasets.named`.
        read: Function of the folder's or archive's `Path`, the name, the source, and
            a remedy to end its errors with; verifies before it interprets.

    Returns:
        What `read` returns.

    Raises:
        MendableError: The files cannot be had, or are not the official ones.
    """
    places = looked_in(data_dir)
    remedy = (
        f"Move it away, and run again to download {source.url}, or put the official "
        f"{_wanted(source)} into {places[0]}; or use --dataset {source.instead}."
    )
    first = None
    for path in found(source, places):
        try:
            return _read(path, name, source, remedy, read)
        except MendableError as error:
            first = first or error
    if first:
        raise first
    path = _download(name, source, places)
    return _read(path, name, source, remedy, read)


def _read(path, name, source, remedy, read):
    try:
        return read(path, name, source, remedy)
    except MendableError:
        raise
    except KeyError as error:
        raise MendableError(f"{path} lacks {error}. {remedy}") from error
    except Exception as error:  # bad archives and pickles raise a dozen types
        said = " ".join(str(error).split())[:200]
        raise MendableError(
            f"{path} cannot be read ({type(error).__name__}: {said}). {remedy}"
        ) from error


def _wanted(source):
    """What a person is to put into a cache: the archive, or the folder of files."""
    return source.archives[0] if source.archives else f"{source.folders[0]}/"


def found(source, places):
    """Yields the folders and archives that are there, parts of a folder last.

    A folder may be a place itself, or lie in one: as `tar` unpacks it, or below what
    Keras's `get_file` calls after the archive.
    """
    stems = [archive.partition(".")[0] for archive in source.archives]
    outer = ["", *source.archives, *stems, *(f"{stem}_extracted" for stem in stems)]
    archives = [f"{name}_archive" for name in (*source.archives, *stems)]
    names = {file.removesuffix(".gz") for file in source.files}
    parts = []
    for place in places:
        # Reading a folder is faster than an archive.
        below = [place / x / folder for x in outer for folder in source.folders]
        for folder in [*below, place]:
            there = [file for file in source.files if file_of(folder, file)]
            if len({file.removesuffix(".gz") for file in there}) == len(names):
                yield folder
            elif there and folder != place:
                parts.append(folder)
        for archive in (*source.archives, *archives):
            if (place / archive).is_file():
                yield place / archive
    if source.archives:  # without one, what is missing is downloaded
        yield from parts


def file_of(folder, file):
    """Returns the path of an official file, or None: `a-idx3` is `a.idx3` elsewhere."""
    for name in (file, file.replace("-idx", ".idx")):
        path = folder / name
        if path.is_file() or "/" in file and path.is_dir():  # train/neg of reviews
            return path
    return None


def _download(name, source, places):
    """Downloads the archive, or the files that are missing; returns where it is."""
    import http.client  # here, as in `_fetch`: who has the files need not wait for it

    remedy = (
        f"Put the official {_wanted(source)} there, from {source.url}, or use "
        f"--dataset {source.instead}."
    )
    path = places[0] / _wanted(source)
    wanted = {path: (source.url, source.checksum)}
    if not source.archives:
        files = source.files.items()
        wanted = {path / file: (source.url + file, sum_) for file, sum_ in files}
    for file, (url, checksum) in wanted.items():
        try:
            with alone(file) as part:
                if not file.is_file():
                    _fetch(url, part, file.name)
                    verified(part, checksum, f"It was not kept as {file}. {remedy}")
                    os.replace(part, file)
        except (OSError, ValueError, http.client.HTTPException) as error:
            known = " nor ".join([f"{source.folders[0]}/", *source.archives[:1]])
            said = " ".join(str(error).split())[:200]
            raise MendableError(
                f"{name}: found no {known} in {' or '.join(map(str, places))}, and "
                f"{file} could not be downloaded ({said}). {remedy}"
            ) from error
    return path


@contextlib.contextmanager
def alone(path):
    """Yields a path to write, to be renamed to `path`, which one process does at once.

    The others wait. Whatever lies there, of a process that was killed too, is removed
    before and after.
    """
    from filelock import FileLock

    part = path.with_name(f".{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock := part.with_suffix(".lock")):
        try:
            _remove(part)
            yield part
        finally:
            _remove(part)
            _remove(lock)


def _remove(path):
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _fetch(url, path, name):
    """Downloads one file.

    Raises:
        OSError, ValueError, http.client.HTTPException: It cannot be had.
    """
    import urllib.request

    from tqdm import tqdm

    with (
        urllib.request.urlopen(url, timeout=SILENCE) as response,
        open(path, "wb") as file,
        tqdm(
            desc=name,
            total=getattr(response, "length", None),  # None where it is no number
            unit="B",
            unit_scale=True,
            disable=None,  # silent when stderr is not a terminal
        ) as progress,
    ):
        began, before, size = time.monotonic(), 0, 0
        while chunk := response.read1(1 << 20):
            size += file.write(chunk)
            progress.update(len(chunk))
            if size > LARGEST:
                raise OSError(f"it does not end after {LARGEST:,} bytes")
            if time.monotonic() - began > WINDOW:
                if size - before < LEAST:
                    raise OSError(f"it stalls: {size - before:,} bytes in {WINDOW} s")
                began, before = time.monotonic(), size


def verified(path, checksum, remedy):
    """Returns the bytes of a file, or says what it should have been."""
    if (size := path.stat().st_size) > LARGEST:
        raise MendableError(
            f"{path} is not the official file: {size:,} bytes. {remedy}"
        )
    content = path.read_bytes()
    kind = "md5" if len(checksum) == 32 else "sha256"
    received = hashlib.new(kind, content, usedforsecurity=False).hexdigest()
    if received != checksum:
        raise MendableError(
            f"{path} is damaged, truncated or not the official file: received "
            f"{len(content):,} bytes with {kind} {received}, expected {checksum}. "
            f"{remedy}"
        )
    return content

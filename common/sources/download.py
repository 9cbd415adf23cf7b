"""The official files of a data set: found, or downloaded, and always verified.

A file is looked for in `data_dir`, then in Keras's own cache, and its checksum is
compared before one byte of it is interpreted.
"""

import contextlib
import hashlib
import os
from pathlib import Path
from typing import NamedTuple

from common.cli import MendableError


class Source(NamedTuple):
    """The official files of a data set; checksums are md5 (32 digits) or sha256."""

    url: str  # of the archive; of the folder of the files where there is no archive
    checksum: str  # of the archive
    archives: tuple  # names it has in a cache; the first one is the name downloaded to
    folders: tuple  # where its unpacked files lie in a cache
    files: dict  # name in such a folder -> checksum
    instead: str = "synthetic"  # what needs no download


def official(name, source, data_dir, read):
    """Finds the official files of a data set, or downloads them, and reads them.

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
    home = Path(os.environ.get("KERAS_HOME") or "~/.keras") / "datasets"
    places = [Path(place).expanduser() for place in (data_dir, home) if place]
    path = _find(source, places) or _download(name, source, places)
    remedy = (
        f"Move it away, and run again to download {source.url}, or put the official "
        f"{_wanted(source)} into {places[0]}; or use --dataset {source.instead}."
    )
    try:
        return read(path, name, source, remedy)
    except MendableError:
        raise
    except KeyError as error:
        raise MendableError(f"{path} lacks {error}. {remedy}") from error
    except Exception as error:  # bad archives and pickles raise a dozen types
        raise MendableError(
            f"{path} cannot be read ({type(error).__name__}: {error}). {remedy}"
        ) from error


def _wanted(source):
    """What a person is to put into a cache: the archive, or the folder of files."""
    return source.archives[0] if source.archives else f"{source.folders[0]}/"


def _find(source, places):
    """Returns the first folder or archive that is there, or None."""
    enough = any if source.archives else all  # what is missing is downloaded
    for place in places:
        for folder in source.folders:  # reading a folder is faster than an archive
            if enough((place / folder / file).exists() for file in source.files):
                return place / folder
        for archive in source.archives:
            if (place / archive).is_file():
                return place / archive
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
            if not file.is_file():
                _fetch(url, file, checksum, remedy)
        except (OSError, http.client.HTTPException) as error:
            known = " nor ".join([f"{source.folders[0]}/", *source.archives[:1]])
            raise MendableError(
                f"{name}: found no {known} in {' or '.join(map(str, places))}, and "
                f"{file} could not be downloaded ({error}). {remedy}"
            ) from error
    return path


def _fetch(url, path, checksum, remedy):
    """Downloads one file, which gets its name only once it is verified."""
    import urllib.request

    from tqdm import tqdm

    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            urllib.request.urlopen(url, timeout=20) as response,
            open(part, "wb") as file,
            tqdm(
                desc=path.name,
                total=int(response.headers.get("Content-Length") or 0) or None,
                unit="B",
                unit_scale=True,
                disable=None,  # silent when stderr is not a terminal
            ) as progress,
        ):
            while chunk := response.read(1 << 20):
                file.write(chunk)
                progress.update(len(chunk))
        verified(part, checksum, f"It was not kept as {path}. {remedy}")
        os.replace(part, path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def verified(path, checksum, remedy):
    """Returns the bytes of a file, or says what it should have been."""
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

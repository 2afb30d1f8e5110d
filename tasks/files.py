"""Files that data come from: read whole, or refused in one line that names the file."""

from __future__ import annotations

import gzip
import io
import stat
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

from freewalk.tasks.errors import DataError

P = ParamSpec("P")
R = TypeVar("R")

_readers: list[Callable[[], None]] = []
_MOST_BYTES = 1 << 32
_GZIP = b"\x1f\x8b"
_KINDS = {
    _GZIP: "a gzip file",
    b"PK": "a zip file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"7z\xbc\xaf": "a 7-Zip file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"\x93NUMPY": "a .npy file",
    b"\x89HDF": "an HDF5 file",
    b"\x89PNG": "a PNG image",
    b"\xff\xfe": "a text in UTF-16",
    b"\xfe\xff": "a text in UTF-16",
}


def located(source: str) -> Path:
    """Return the absolute path of a file or folder, with ``~`` and links followed.

    Raises
    ------
    DataError
        If it cannot be: a loop of links, a home that nobody has, a name that no file can have.
    """
    try:
        path = Path(source).expanduser().resolve()
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise DataError(f"source={source} is no path ({reason}); give another") from None
    return path


def read_once(reader: Callable[P, R]) -> Callable[P, R]:
    """Let a reader of files keep what it has read until `forget_files`: all trials of a sweep see the same data."""
    kept = cache(reader)
    _readers.append(kept.cache_clear)
    return cast(Callable[P, R], kept)


def forget_files() -> None:
    """Read files again when they are next asked for: they may have been written anew."""
    for forget in _readers:
        forget()


def read_file(path: Path, what: str) -> bytes:
    """Return a regular file's bytes.

    Parameters
    ----------
    path
        The file.
    what
        What it should be, such as ``a UTF-8 file``.

    Raises
    ------
    DataError
        If it is missing, unreadable, a folder, a device or a pipe (which may never end), too large or empty.
    """
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise DataError(f"{path} is a folder; give {what}")
        if not stat.S_ISREG(found.st_mode):
            raise DataError(f"{path} is a device or a pipe; give {what}")
        if found.st_size > _MOST_BYTES:
            raise DataError(f"{path} has {found.st_size:,} bytes, the limit is {_MOST_BYTES:,}; give a smaller one")
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}); give {what}") from None
    if not content:
        raise DataError(f"{path} is empty; give {what}")
    return content


def unzipped(content: bytes, path: Path) -> bytes:
    """Return what a gzip file holds; other content as it is.

    Raises
    ------
    DataError
        If the file is damaged anywhere, cut short, followed by something else, or unpacks to more than 4 GiB.
    """
    if not content.startswith(_GZIP):
        return content
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            inside = file.read(_MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is no whole gzip file ({' '.join(str(error).split())}); get it again") from None
    if len(inside) > _MOST_BYTES:
        raise DataError(f"{path} unpacks to more than {_MOST_BYTES:,} bytes; give a smaller one")
    return inside


def kind_of(content: bytes) -> str:
    """Return what a file of the wrong kind looks like, as `` (it looks like a zip file)``; "" if unknown."""
    found = next((kind for mark, kind in _KINDS.items() if content.startswith(mark)), None)
    if found is None and content.lstrip()[:1] == b"<":
        found = "a web page"
    return "" if found is None else f" (it looks like {found})"

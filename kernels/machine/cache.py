"""Machine code on disk: what one process has compiled, the next one loads.

It lies in a folder of the user's own, never in the package: an installation that cannot be written works, and removing
it leaves nothing behind. Loading machine code is running it, so a folder that others can write is not used.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import pickle
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

_DIGEST_BYTES = 32
_DAYS_UNUSED = 30
"""After so many days without use a file is taken away: it is of other sources, or of another version of Numba."""


def folder_of_machine_code() -> Path:
    """Return where machine code is kept: a folder in NUMBA_CACHE_DIR or, without it, in the user's folder of caches.

    Raises
    ------
    OSError
        If there is none, it cannot be made, or somebody else could put machine code there.
    """
    folder = _place()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.geteuid():
        raise PermissionError(f"{folder} belongs to another user")
    if found.st_mode & 0o022:
        raise PermissionError(f"other users can write to {folder}")
    return folder


def kept_in() -> str | None:
    """Return the folder of machine code; None where there is none."""
    try:
        return str(folder_of_machine_code())
    except OSError:
        return None


def _place() -> Path:
    if numba.config.CACHE_DIR:
        return Path(numba.config.CACHE_DIR, "freewalk").absolute()
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    caches = given if given.is_absolute() else Path(os.path.expanduser("~"), ".cache")
    if not caches.is_absolute():
        raise FileNotFoundError("this user has no home folder")
    return caches / "freewalk"


class MachineCodeCache(FunctionCache):  # type: ignore[misc]
    """The compiled versions of one function, each in a file that its name and its checksum make certain of.

    Numba's own has an index beside the files. Two processes that compile at once can leave one that names the wrong
    file, and a damaged file is an error.

    Parameters
    ----------
    function
        The Python function.
    stamp
        Of everything that decides what it compiles to besides its own bytecode, such as helpers in other files.
    """

    def __init__(self, function: Any, stamp: str) -> None:
        self._py_func = function  # where _index_key of Numba looks
        self._stamp = stamp

    @property
    def cache_path(self) -> str | None:
        """The folder; None where there is none."""
        return kept_in()

    def enable(self) -> None:
        """Do nothing: it is always on."""

    def disable(self) -> None:
        """Do nothing: it is always on."""

    def flush(self) -> None:
        """Do nothing: a file that is not wanted any more is never asked for."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled version of a signature; None if there is none that can be loaded."""
        target_context.refresh()
        path = self._path(sig, target_context.codegen())
        payload = None if path is None else _read(path)
        if payload is None:
            return None
        with suppress(Exception):  # whole, but of another Numba under the same number: compiled anew, written over
            saved_sig, reduced = pickle.loads(payload)
            if saved_sig == sig:
                return CompileResult._rebuild(target_context, *reduced)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the compiled version of a signature, or go on without."""
        path = None if data.library.has_dynamic_globals else self._path(sig, data.codegen)
        if path is not None:
            _write(path, dumps((sig, data._reduce())))

    def _path(self, sig: Any, codegen: Any) -> Path | None:
        try:
            folder = folder_of_machine_code()
        except OSError as error:
            _go_without(f"{error.filename}: {error.strerror}" if error.strerror else str(error))
            return None
        code = self._py_func.__code__
        place = (code.co_filename, code.co_firstlineno, code.co_qualname, sys.implementation.cache_tag)
        key = repr((self._index_key(sig, codegen), self._stamp, numba.__version__, place))
        name = f"{Path(code.co_filename).stem}.{code.co_name}-{hashlib.sha256(key.encode()).hexdigest()[:32]}.nbc"
        return folder / name


def _checksum(path: Path, payload: bytes) -> bytes:
    """Return a checksum of what a file holds, and of its name, which says for which function and types."""
    return hashlib.sha256(path.name.encode() + payload).digest()


def _read(path: Path) -> bytes | None:
    """Return what was written to a file; None if there is none, or it is not whole, as after a power cut."""
    try:
        with path.open("rb") as file:
            is_own = os.fstat(file.fileno()).st_uid == os.geteuid()
            content = file.read() if is_own else b""
    except OSError:
        return None
    digest, payload = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if _checksum(path, payload) != digest:
        return None
    with suppress(OSError):
        os.utime(path)
    return payload


def _write(path: Path, payload: bytes) -> None:
    """Write a file that is at its place only when it is whole; readable by nobody else."""
    _remove_unused(path.parent)
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(_checksum(path, payload) + payload)
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        _go_without(f"{path.parent}: {error.strerror}")


@functools.cache
def _remove_unused(folder: Path) -> None:
    """Remove, once in a process, what nobody has used for long; also what a killed process had begun to write."""
    long_ago = time.time() - _DAYS_UNUSED * 24 * 3600
    with suppress(OSError):
        for path in folder.iterdir():
            with suppress(OSError):
                if path.stat().st_mtime < long_ago:
                    path.unlink()


_reasons: list[str] = []


def _go_without(reason: str) -> None:
    """Say on stderr, once in a process, why every run compiles anew."""
    if not _reasons:
        logging.getLogger("freewalk").warning(
            f"freewalk: compiled kernels cannot be kept ({reason}), so every run compiles them anew;"
            " name a folder of your own in NUMBA_CACHE_DIR"
        )
    _reasons.append(reason)

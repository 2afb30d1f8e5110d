"""Files and folders that appear whole or not at all, and what killed writers left of theirs.

All files of harness and results are written here, but for two that know better: the store's, which SQLite locks
itself, and the machine code of the kernels, which know nothing of results and lose nothing with a file of theirs.
"""

import fcntl
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from freewalk.results.base.errors import StoreError


@contextmanager
def replacing(path: Path, *, folder: bool = False, new: bool = False) -> Iterator[Path]:
    """Yield a place for the block to write to; what is there at its end is moved to the path in one piece.

    It is on the disk before it is moved, so that a power cut leaves what was there before, or what is there now.

    Parameters
    ----------
    path : Path
        What is to be written; a file there is replaced, as is an empty folder.
    folder : bool
        Whether a folder is written, not a file.
    new : bool
        Whether a file that stands there, however it came, is to stay.

    Raises
    ------
    OSError
        It cannot be written (FileExistsError: a new one is there already); what stood there before still does.
    """
    path = path.resolve()  # a link stays one, and "." has a name
    _clear_leftovers(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.callback(_remove, temporary)
        if folder:
            temporary.mkdir()
        else:
            temporary.touch()
        # Held until the process ends, however it does: so the next writer can tell what is left from what is in use.
        lock = os.open(temporary, os.O_RDONLY)
        stack.callback(os.close, lock)
        _try_lock(lock)
        yield temporary
        os.fsync(lock)
        # unlike a rename, a link refuses to replace what is there
        (os.link if new else os.replace)(temporary, path)
        _sync_folder(path.parent)


@contextmanager
def naming_failure(path: Path) -> Iterator[None]:
    """Turn what keeps the block from writing into one line that names the path and what to do.

    Raises
    ------
    StoreError
        In place of an OSError.
    """
    try:
        yield
    except OSError as error:
        problem = error.strerror or error
        raise StoreError(f"cannot write {path}: {problem}; free the cause or pick another --out") from error


def write_bytes(content: bytes, path: Path) -> None:
    """Write a file so that it is there whole or not at all.

    Raises
    ------
    StoreError
        It cannot be written; what stood there before still does.
    """
    with naming_failure(path), replacing(path) as temporary:
        temporary.write_bytes(content)


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # not every file system can, and the file is in its place
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _clear_leftovers(path: Path) -> None:
    """Remove what writers of the same path that were killed left behind."""
    for leftover in path.parent.glob(f".{_literal(path.name)}.*.tmp"):
        with suppress(OSError):
            lock = os.open(leftover, os.O_RDONLY)
            try:
                if _try_lock(lock):
                    _remove(leftover)
            finally:
                os.close(lock)


def _literal(name: str) -> str:
    """Escape what has a meaning in a pattern."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # somebody's, or a file system without locks
        return False
    return True


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)

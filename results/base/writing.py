"""Files and folders that appear whole or not at all, and what killed writers left of theirs."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path, *, folder: bool = False) -> Iterator[Path]:
    """Give a place for the block to write to; what is there at its end is moved to the path in one piece.

    Parameters
    ----------
    path : Path
        What is to be written; a file there is replaced, as is an empty folder.
    folder : bool
        Whether a folder is written, not a file.

    Raises
    ------
    OSError
        It cannot be written; what stood there before still does.
    """
    path = path.resolve()  # a link stays one, and "." has a name
    _clear_leftovers(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
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
        os.replace(temporary, path)


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

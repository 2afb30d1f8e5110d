"""One writer a sweep: an advisory lock that vanishes with the process that holds it."""

import fcntl
import os
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from freewalk.results.base.errors import StoreError

LOCK_NAME: Final = "sweep.lock"
_TRIES: Final = 20
_SECONDS_BETWEEN_TRIES: Final = 0.005

_held: "weakref.WeakSet[WriterLock]" = weakref.WeakSet()


class WriterLock:
    """The right to write into one folder; the file stays when it is released, since removing it would race.

    Raises
    ------
    StoreError
        Another driver holds the lock (its process id is named), or the folder cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        self._descriptor: int | None = _open(directory / LOCK_NAME)
        try:
            _lock(self._descriptor)
        except OSError as error:
            holder = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
            self._close()
            if not isinstance(error, BlockingIOError):
                raise StoreError(f"cannot lock {directory / LOCK_NAME}: {error.strerror}") from error
            raise StoreError(
                f"{directory} is being written by process {holder or '(unknown)'}: "
                "wait until it ends, or pick another --out"
            ) from error
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        except OSError as error:
            self._close()
            raise StoreError(
                f"cannot write {directory / LOCK_NAME}: {error.strerror}; free the cause or pick another --out"
            ) from error
        _held.add(self)

    def release(self) -> None:
        """Release the lock; a second call does nothing."""
        _held.discard(self)
        self._close()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


@contextmanager
def locked(directory: Path) -> Iterator[WriterLock]:
    """Take a folder's lock for a store that the block makes; it is given back only where the block fails."""
    lock = WriterLock(directory)
    try:
        yield lock
    except BaseException:
        lock.release()
        raise


def is_being_written(directory: Path) -> bool:
    """Tell whether a process holds a folder's lock; nothing is made or kept, and a folder without one is not written.

    The look shares the lock for some microseconds, which a writer that comes then waits for.
    """
    try:
        descriptor = os.open(directory / LOCK_NAME, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks: there nobody holds one
        return False
    finally:
        os.close(descriptor)
    return False


def _lock(descriptor: int) -> None:
    """Take the lock; a moment's patience is for those who only look whether somebody holds it."""
    for _ in range(_TRIES - 1):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_SECONDS_BETWEEN_TRIES)
        else:
            return
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise StoreError(f"cannot write in {path.parent}: {error.strerror}; pick another --out") from error


def _forget_in_child() -> None:
    # A forked worker shares the lock's open file: it would keep the sweep locked after its parent died.
    # Closing the child's copy leaves the parent's lock in place.
    for lock in list(_held):
        lock.release()


os.register_at_fork(after_in_child=_forget_in_child)

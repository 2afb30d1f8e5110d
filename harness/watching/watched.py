"""What is known of the sweeps in a folder, looked at again only when their files have changed, and never too often."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from freewalk.harness.watching.left import Left, time_left
from freewalk.results.base.errors import StoreError
from freewalk.results.store.database import DATABASE_NAME, sidecar
from freewalk.results.store.listing import TABLE_NAME, SweepState, folders_in, state_of
from freewalk.results.store.lock import is_being_written

SECONDS_BETWEEN = 1.5
SHARE = 10.0
"""How many times the time of a look lies between two."""

T = TypeVar("T")
Signature = tuple[object, ...]


class Paced(Generic[T]):
    """Something that takes time to find, found again when it is asked for and some time has passed."""

    def __init__(self, find: Callable[[], T]) -> None:
        self._find = find
        self._again_at = 0.0
        self._lock = threading.Lock()

    def __call__(self) -> T:
        """Return what was found last, or what is found now."""
        with self._lock:
            start = time.monotonic()
            if start >= self._again_at:
                self._found = self._find()
                now = time.monotonic()
                self._again_at = now + max(SECONDS_BETWEEN, SHARE * (now - start))
            return self._found


class Look(NamedTuple):
    """A sweep as it was seen."""

    state: SweepState
    left: Left | None
    """What is left of one that runs, where that can be told."""
    signature: Signature
    """Changes with everything that is written."""


class Watched:
    """A sweep that is looked at again and again."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._last: Look | None = None
        self.look = Paced(self._look)

    def _look(self) -> Look:
        signature = self._signature()
        if self._last is None or self._last.signature != signature:
            state = state_of(self.directory)
            self._last = Look(state, self._left(state), signature)
        return self._last

    def _left(self, state: SweepState) -> Left | None:
        if state.state != "running" or state.n_done == state.n_planned:
            return None
        try:
            return time_left(self.directory)
        except (StoreError, ValueError, TypeError):
            return None  # a column that is not what it should be: the report says so

    def _signature(self) -> Signature:
        """Return what tells whether something was written; nothing is opened but the lock."""
        database = self.directory / DATABASE_NAME
        paths = (database, sidecar(database, "-wal"), self.directory / TABLE_NAME, self.directory / "sweep.toml")
        return (is_being_written(self.directory), *map(_stamp, paths))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


class Folder:
    """The sweeps below a folder, by the identifiers that stand for them in addresses."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._known: dict[str, Watched] = {}
        self.sweeps = Paced(self._sweeps)

    def _sweeps(self) -> dict[str, Watched]:
        found = {self._identifier(path): path for path in folders_in(self.directory)}
        self._known = {name: self._known.get(name) or Watched(path) for name, path in found.items()}
        return self._known

    def place(self, watched: Watched) -> str:
        """Return a sweep's path below the folder."""
        return str(watched.directory.relative_to(self.directory))

    def _identifier(self, path: Path) -> str:
        place = str(path.relative_to(self.directory))
        return hashlib.sha256(place.encode("utf-8", "surrogateescape")).hexdigest()[:12]

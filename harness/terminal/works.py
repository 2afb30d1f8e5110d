"""What a folder holds: sweeps, tunings and reproductions, each with the sweeps that it is made of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from freewalk.harness.reproducing.names import COMMANDS_PREFIX, SCALES, SWEEP_PREFIX, VERDICT_NAME
from freewalk.results.base.numbers import counted
from freewalk.results.store.listing import SweepState, folders_in, is_sweep, state_of

_RACES = ("race", "fresh")
_DEEPEST = 3
"""Folders below the one that is listed: a reproduction's lie in a folder of reproductions."""


@dataclass(frozen=True)
class Work:
    """A sweep, a tuning or a reproduction."""

    directory: Path
    kind: Literal["sweep", "tuning", "reproduction"]
    sweeps: tuple[SweepState, ...]
    """What it is made of; none in a reproduction of commands alone."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks of all its sweeps."""
        return tuple(dict.fromkeys(task for one in self.sweeps for task in one.tasks))

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods of all its sweeps."""
        return tuple(dict.fromkeys(method for one in self.sweeps for method in one.methods))

    def total(self, what: str) -> Any:
        """Return the sum of a figure of its sweeps, such as n_done."""
        return sum(getattr(one, what) for one in self.sweeps)

    @cached_property
    def verdict(self) -> dict[str, Any] | None:
        """What a reproduction has come to."""
        with suppress(OSError, ValueError):
            found = json.loads((self.directory / VERDICT_NAME).read_text(encoding="utf-8"))
            return found if isinstance(found, dict) else None
        return None

    @property
    def state(self) -> str:
        """Whether it runs, has stopped before its end, or is finished."""
        states = {one.state for one in self.sweeps}
        for stage in ("unreadable", "running", "waiting"):
            if stage in states:
                return stage
        # the losers of a race are never trained to their ends
        is_whole = self.kind == "tuning" or states <= {"finished"}
        has_ended = {
            "sweep": True,
            "tuning": (self.directory / "tuning.json").is_file(),
            "reproduction": self.verdict is not None,
        }
        return "finished" if is_whole and has_ended[self.kind] else "stopped"

    @property
    def progress(self) -> str:
        """How many trials have ended, in words."""
        if any(one.problem for one in self.sweeps):
            return "cannot be read"
        return f"{self.total('n_done'):,} of {counted(self.total('n_planned'), 'trial')}" if self.sweeps else "commands"

    @cached_property
    def n_bytes(self) -> int:
        """What its folder takes on the disk."""
        return sum(path.stat().st_size for path in self._files())

    @property
    def last_written(self) -> datetime | None:
        """When something of it was last written, in UTC."""
        times = [one.last_written for one in self.sweeps if one.last_written]
        if not times:
            times = [datetime.fromtimestamp(path.stat().st_mtime, UTC) for path in self._files()]
        return max(times, default=None)

    def _files(self) -> Iterator[Path]:
        with suppress(OSError):
            yield from (path for path in self.directory.rglob("*") if path.is_file() and not path.is_symlink())

    def facts(self) -> dict[str, Any]:
        """Return what is known of it, as JSON holds it."""
        written = self.last_written
        return {
            "directory": str(self.directory),
            "kind": self.kind,
            "state": self.state,
            "tasks": list(self.tasks),
            "methods": list(self.methods),
            "n_planned": self.total("n_planned"),
            "n_done": self.total("n_done"),
            "n_failed": self.total("n_failed"),
            "last_written": written.isoformat(timespec="seconds") if written else None,
            "bytes": self.n_bytes,
            "problem": next((one.problem for one in self.sweeps if one.problem), None),
        }


def work_of(directory: Path) -> Work | None:
    """Return what a folder is itself; None if it is none of them."""
    if is_sweep(directory):
        return Work(directory, "sweep", (state_of(directory),))
    races = [directory / name for name in _RACES if is_sweep(directory / name)]
    if races or (directory / "tuning.json").is_file():
        return Work(directory, "tuning", tuple(map(state_of, races)))
    with suppress(OSError):
        names = [path.name for path in directory.iterdir()]
        is_named_so = directory.name.endswith(tuple(f"-{scale}" for scale in SCALES))
        has_parts = any(name.startswith((SWEEP_PREFIX, COMMANDS_PREFIX)) for name in names)
        if VERDICT_NAME in names or (is_named_so and has_parts):
            sweeps = [path for path in folders_in(directory) if path.name.startswith(SWEEP_PREFIX)]
            return Work(directory, "reproduction", tuple(map(state_of, sweeps)))
    return None


def works_in(folder: Path) -> list[Work]:
    """Return what lies in a folder, by when it was last written; nothing is changed."""
    found = _below(folder, _DEEPEST)
    start = datetime.fromtimestamp(0, UTC)
    return sorted(found, key=lambda work: (work.last_written or start, str(work.directory)))


def _below(folder: Path, depth: int) -> Iterator[Work]:
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            if path.is_dir() and not path.is_symlink() and not path.name.startswith("."):
                work = work_of(path)
                if work is not None:
                    yield work
                elif depth > 1:
                    yield from _below(path, depth - 1)


def size_text(n_bytes: float) -> str:
    """Return a size in words."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:,.0f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:,.1f} TB"

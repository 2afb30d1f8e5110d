"""The sweeps that lie below a folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from freewalk.results.base.errors import StoreError
from freewalk.results.base.numbers import counted
from freewalk.results.schema.schema import State
from freewalk.results.store.database import DATABASE_NAME
from freewalk.results.store.store import Store


@dataclass(frozen=True)
class Listed:
    """A folder that holds a sweep."""

    path: Path
    state: str
    """How far it is, in words."""
    changed: str
    """When something was last written, ISO 8601 UTC to the minute."""


def is_sweep(folder: Path) -> bool:
    """Tell whether a folder holds a sweep, as a store or as a table."""
    return any((folder / name).is_file() for name in (DATABASE_NAME, "trials.csv"))


def sweeps_below(folder: Path) -> list[Listed]:
    """List the sweeps in a folder's folders and in theirs, by name; nothing is changed."""
    found: Sequence[Path] = sorted(path for depth in ("*", "*/*") for path in folder.glob(depth) if is_sweep(path))
    return [Listed(path, _state(path), _changed(path)) for path in found]


def _state(folder: Path) -> str:
    if not (folder / DATABASE_NAME).is_file():
        return "trials.csv alone"
    try:
        with Store.open(folder, read_only=True) as store:
            counts = store.counts()
    except StoreError:
        return "cannot be read"
    done, n = counts[State.COMPLETE] + counts[State.FAILED], sum(counts.values())
    failed = f", {counts[State.FAILED]:,} failed" if counts[State.FAILED] else ""
    return f"{done:,} of {counted(n, 'trial')}{failed}"


def _changed(folder: Path) -> str:
    times = [path.stat().st_mtime for name in (DATABASE_NAME, "trials.csv") if (path := folder / name).is_file()]
    return datetime.fromtimestamp(max(times), UTC).strftime("%Y-%m-%d %H:%MZ")

"""Sweeps and how far they are, told in milliseconds and without a trace in their folders."""

import csv
import json
import shutil
import sqlite3
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from freewalk.results.base.errors import StoreError
from freewalk.results.base.numbers import counted
from freewalk.results.schema.configuration import DOCUMENT
from freewalk.results.schema.schema import State
from freewalk.results.store.database import (
    DATABASE_NAME,
    check_header,
    check_layout,
    connect_reader,
    naming,
    sidecar,
    sound,
)
from freewalk.results.store.lock import is_being_written

TABLE_NAME: Final = "trials.csv"
Stage = Literal["waiting", "running", "stopped", "finished", "unreadable"]
STAGES: Final[tuple[Stage, ...]] = ("running", "waiting", "stopped", "finished", "unreadable")

_FACTS: Final = ("task", "method", "state", "n", "n_reached", "seconds", "started_at")
_COUNTS: Final = (
    "SELECT task, method, state, count(*), sum(coalesce(reached, 0)), sum(coalesce(train_seconds, 0)), min(started_at) "
    "FROM trials GROUP BY task, method, state ORDER BY min(position)"
)


@dataclass(frozen=True)
class SweepState:
    """How far a sweep is."""

    directory: Path
    name: str
    """As ``sweep.toml`` names it, else the folder's."""
    state: Stage
    """waiting: no sweep is there yet; running: a process writes it; stopped: trials are left and nobody runs them;
    finished: all trials have ended; unreadable: see `problem`."""
    tasks: tuple[str, ...] = ()
    """In the order of the plan, as are the methods."""
    methods: tuple[str, ...] = ()
    n_planned: int = 0
    n_done: int = 0
    """Trials that have ended, the failed ones among them."""
    n_failed: int = 0
    n_running: int = 0
    """Trials under way, if a process writes."""
    n_reached: int = 0
    """Trials that reached their target."""
    n_seconds: float = 0.0
    """Training seconds of the trials that have ended."""
    started: datetime | None = None
    """When the first of its trials started, in UTC."""
    last_written: datetime | None = None
    """When its store, or its table where there is none, was last written, in UTC."""
    problem: str = ""
    """Why it cannot be read, in one line."""

    @property
    def progress(self) -> str:
        """How far it is, in words: 12 of 24 trials, 1 failed."""
        if self.problem:
            return "cannot be read"
        failed = f", {self.n_failed:,} failed" if self.n_failed else ""
        return f"{self.n_done:,} of {counted(self.n_planned, 'trial')}{failed}"


def is_sweep(folder: Path) -> bool:
    """Tell whether a folder holds a sweep, as a store or as a table."""
    with suppress(OSError):
        return any((folder / name).is_file() for name in (DATABASE_NAME, TABLE_NAME))
    return False


def sweeps_in(folder: Path) -> list[SweepState]:
    """Return the sweeps in a folder's folders and in theirs, as `folders_in` finds them; nothing is changed."""
    return [state_of(path) for path in folders_in(folder)]


def folders_in(folder: Path) -> list[Path]:
    """Return those of a folder's folders, and of theirs, that hold a sweep, sorted.

    Hidden folders and what links lead to outside the folder are left out; no sweep comes twice.
    """
    home = folder.resolve()
    found: dict[Path, Path] = {}
    for path in sorted(_below(folder, 2), key=lambda path: (path.is_symlink() or path.parent.is_symlink(), path)):
        places = [(path / name).resolve() for name in ("", DATABASE_NAME, TABLE_NAME)]
        if is_sweep(path) and all(place.is_relative_to(home) for place in places):
            found.setdefault(places[0], path)
    return sorted(found.values())


def _below(folder: Path, depth: int) -> Iterator[Path]:
    with suppress(OSError):
        for path in [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]:
            yield path
            if depth > 1:
                yield from _below(path, depth - 1)


def state_of(directory: Path) -> SweepState:
    """Return how far the sweep in a folder is; nothing is changed, and nothing raised: see ``SweepState.problem``."""
    path = directory / DATABASE_NAME
    name = directory.resolve().name
    writing = is_being_written(directory)
    blank = SweepState(directory, name, "waiting", last_written=_last_written(directory))
    try:
        if path.exists() and path.stat().st_size:
            check_header(path)
            with reading(path, writing=writing) as connection, naming(path), sound(path):
                check_layout(connection, path)
                rows = connection.execute(_COUNTS).fetchall()
                (configuration,) = connection.execute("SELECT configuration FROM sweep").fetchone() or ("{}",)
            document = json.loads(configuration).get(DOCUMENT)
            return _counted(replace(blank, name=_named(document) or name), rows, writing=writing)
        if (directory / TABLE_NAME).is_file():
            document = _text(directory / "sweep.toml")
            rows = list(_table_rows(directory / TABLE_NAME))
            return _counted(replace(blank, name=_named(document) or name), rows, writing=writing)
    except StoreError as error:
        return replace(blank, state="unreadable", problem=str(error))
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, csv.Error, sqlite3.Error) as error:
        reason = " ".join(str(error).split())
        return replace(blank, state="unreadable", problem=f"{directory} cannot be read ({reason}): restore a copy")
    return blank


@contextmanager
def reading(path: Path, *, writing: bool) -> Iterator[sqlite3.Connection]:
    """Open a store's database for a short look that leaves no files beside it.

    Parameters
    ----------
    path : Path
        The database.
    writing : bool
        Whether a process writes it.

    Raises
    ------
    StoreError
        It cannot be opened.
    """
    log = sidecar(path, "-wal")
    with ExitStack() as stack:
        if not writing and log.exists() and log.stat().st_size:
            # a killed sweep's: to read its log SQLite would write the index beside it, or make one and leave it there
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            for original in (path, log):
                shutil.copyfile(original, folder / original.name)
            path = folder / path.name
        at_rest = not writing and not log.exists()
        yield stack.enter_context(closing(connect_reader(path, at_rest=at_rest)))


def _counted(blank: SweepState, rows: Iterable[tuple[Any, ...]], *, writing: bool) -> SweepState:
    """Sum up rows of ``_FACTS``."""
    facts = [dict(zip(_FACTS, row, strict=True)) for row in rows]

    def total(what: str, *states: State) -> Any:
        return sum(row[what] for row in facts if not states or row["state"] in states)

    n, done = total("n"), total("n", State.COMPLETE, State.FAILED)
    return replace(
        blank,
        state="running" if writing else "finished" if done == n and n else "stopped",
        tasks=tuple(dict.fromkeys(str(row["task"]) for row in facts)),
        methods=tuple(dict.fromkeys(str(row["method"]) for row in facts)),
        n_planned=n,
        n_done=done,
        n_failed=total("n", State.FAILED),
        n_running=total("n", State.RUNNING) if writing else 0,
        n_reached=total("n_reached", State.COMPLETE),
        n_seconds=float(total("seconds", State.COMPLETE, State.FAILED)),
        started=min((time for row in facts if (time := _time(row["started_at"]))), default=None),
    )


def _table_rows(path: Path) -> Iterator[tuple[Any, ...]]:
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            reached = str(row.get("reached")).lower() in ("true", "1")
            seconds = float(row.get("train_seconds") or 0)
            yield row["task"], row["method"], row["state"], 1, int(reached), seconds, row.get("started_at")


def _time(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC)
    except ValueError:
        return None


def _named(document: Any) -> str:
    try:
        return str(tomllib.loads(str(document or "")).get("name") or "")
    except (ValueError, RecursionError):
        return ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _last_written(directory: Path) -> datetime | None:
    database = directory / DATABASE_NAME
    times = []
    for path in (database, sidecar(database, "-wal"), directory / TABLE_NAME):
        with suppress(OSError):
            times.append(path.stat().st_mtime)
    return datetime.fromtimestamp(max(times), UTC) if times else None

"""Which data the trials of a store were trained on, by their SHA-256: other data under the same name are noticed.

A store of a time before has no such table; what stands in ``environment.json`` serves then.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from freewalk.results.base.errors import StoreError
from freewalk.results.schema.configuration import canonical_json
from freewalk.results.store.database import DATABASE_NAME, connect_reader

T = TypeVar("T")

_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS data (task TEXT NOT NULL, parameters TEXT NOT NULL, places TEXT NOT NULL, "
    "content TEXT NOT NULL, PRIMARY KEY (task, parameters))"
)


class DataRow(NamedTuple):
    """The data of the cells of a task that have some parameters."""

    task: str
    parameters: dict[str, Any]
    """The task's own."""
    places: list[str]
    """Which of them name a file or a folder."""
    content: str
    """SHA-256 of the data, in hex digits, wherever they lie."""

    def is_of(self, task: Any, parameters: dict[str, Any]) -> bool:
        """Tell whether a trial of a task with these parameters was trained on the data."""
        return self.task == task and self.parameters.items() <= parameters.items()

    @property
    def where(self) -> str:
        """What names the data in messages."""
        named = ", ".join(f"{key}={self.parameters[key]}" for key in self.places if key in self.parameters)
        return f"task {self.task!r}" + (f" with {named}" if named else "")


def write_data(connection: sqlite3.Connection, rows: Iterable[DataRow]) -> None:
    """Note the data of a sweep; those noted before stay. The caller holds the transaction."""
    found = [(row.task, canonical_json(row.parameters), canonical_json(row.places), row.content) for row in rows]
    if found:
        connection.execute(_TABLE)
        connection.executemany("INSERT OR IGNORE INTO data VALUES (?, ?, ?, ?)", found)


def read_data(connection: sqlite3.Connection) -> list[DataRow]:
    """Return what `write_data` noted; nothing for a store of a time before, or without data."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'data'").fetchone():
        return []
    rows = connection.execute("SELECT task, parameters, places, content FROM data ORDER BY task, parameters")
    return [
        DataRow(task, dict(json.loads(parameters)), list(json.loads(places)), content)
        for task, parameters, places, content in rows
    ]


def recorded(directory: Path) -> list[DataRow]:
    """Return the data of a folder's store without opening it as one; none without a store.

    Whoever opens the store then is told what is wrong with it.
    """
    return _looked_up(directory, read_data, [])


def has_trials(directory: Path, trial_ids: Iterable[str]) -> bool:
    """Tell whether a folder's store has one of the trials; not without a store that can be read."""
    wanted = {*trial_ids}
    query = "SELECT trial_id FROM trials"
    return _looked_up(directory, lambda connection: any(name in wanted for (name,) in connection.execute(query)), False)


def configuration_of(directory: Path) -> dict[str, Any] | None:
    """Return what a folder's store says of its sweep; None without a store that can be read."""
    query = "SELECT configuration FROM sweep"
    return _looked_up(directory, lambda connection: dict(json.loads(connection.execute(query).fetchone()[0])), None)


def planned_trials(directory: Path) -> dict[str, tuple[str, str, str]]:
    """Return the task, the method and the parameters (as JSON) of each trial of a folder's store, by its name.

    None without a store that can be read; whoever opens the store then is told what is wrong with it.
    """
    query = "SELECT trial_id, task, method, parameters FROM trials ORDER BY position"
    return _looked_up(
        directory,
        lambda connection: {
            name: (task, method, parameters) for name, task, method, parameters in connection.execute(query)
        },
        {},
    )


def _looked_up(directory: Path, look: Callable[[sqlite3.Connection], T], without: T) -> T:
    path = directory / DATABASE_NAME
    try:
        if not path.is_file() or not path.stat().st_size:
            return without
        with closing(connect_reader(path)) as connection:
            return look(connection)
    except (OSError, sqlite3.Error, StoreError, ValueError, TypeError, RecursionError):
        return without


def file_entries(environment: dict[str, Any] | None) -> Iterator[tuple[str, str, str]]:
    """Yield (task, path, SHA-256) of the files that ``environment.json`` names; other forms are passed over."""
    environment = environment or {}
    merged = environment.get("merged")
    for one in merged if isinstance(merged, list) else []:
        inner = one.get("environment") if isinstance(one, dict) else None
        yield from file_entries(inner if isinstance(inner, dict) else None)
    data = environment.get("data")
    for task, entries in data.items() if isinstance(data, dict) else ():
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, dict) and isinstance(entry.get("path"), str) and isinstance(entry.get("sha256"), str):
                yield task, entry["path"], entry["sha256"]


@dataclass
class DataSets:
    """The data of several sweeps: equal ones under one name, others under the same name refused."""

    rows: list[DataRow] = field(default_factory=list)
    """Those of all sweeps, equal data under the name that came first."""
    _sources: list[tuple[Path, dict[str, DataRow], dict[tuple[str, str], str]]] = field(default_factory=list)

    def add(self, directory: Path, rows: Sequence[DataRow], environment: dict[str, Any] | None) -> list[DataRow]:
        """Take in a sweep; return its rows as they are.

        Raises
        ------
        StoreError
            It has other data than an earlier one under the same name; the task and both folders are named.
        """
        known = {canonical_json([row.task, row.parameters]): row for row in rows}
        files = {(task, path): sha256 for task, path, sha256 in file_entries(environment)}
        for other, other_rows, other_files in self._sources:
            for name, row in known.items():
                if name in other_rows and other_rows[name].content != row.content:
                    raise _differ(row.where, (other, other_rows[name].content), (directory, row.content))
            if not (rows and other_rows):  # one of a time before: files are all there is to compare
                for key, sha256 in files.items():
                    if other_files.get(key, sha256) != sha256:
                        where = f"task {key[0]!r}, {key[1]},"
                        raise _differ(where, (other, other_files[key]), (directory, sha256))
        self._sources.append((directory, known, files))
        self.rows += [row for row in rows if self._first(row) is row and row not in self.rows]
        return list(rows)

    def _first(self, row: DataRow) -> DataRow:
        """Return the first row of the same data, whose task has the same values besides."""
        return next((other for other in self.rows if _same(other, row)), row)

    def named_alike(self, rows: Sequence[DataRow], task: Any, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return a trial's parameters with the first names of its data in place of others; `rows` are its sweep's."""
        row = next((row for row in rows if row.places and row.is_of(task, parameters)), None)
        first = {} if row is None else self._first(row).parameters
        return {**parameters, **{key: value for key, value in first.items() if key in parameters}}


def _same(one: DataRow, other: DataRow) -> bool:
    if (one.task, one.content, one.places) != (other.task, other.content, other.places):
        return False
    rest = [{k: v for k, v in row.parameters.items() if k not in row.places} for row in (one, other)]
    return rest[0] == rest[1]


def _differ(where: str, there: tuple[Path, str], here: tuple[Path, str]) -> StoreError:
    return StoreError(
        f"the data of {where} have the SHA-256 {there[1][:12]}… in {there[0]} and {here[1][:12]}… in {here[0]}:"
        " take sweeps of the same data, or leave one of them out"
    )

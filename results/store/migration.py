"""From the layout of an older version to today's: columns that are new are missing values, the rest takes steps."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from freewalk.results.schema.layout import STORED_COLUMNS, THIRD_LAYOUT, added_column
from freewalk.results.schema.schema import SCHEMA_VERSION, Column
from freewalk.results.store.database import connect_reader, naming, transaction

Step = Callable[[sqlite3.Connection], None]


def _from_the_second_layout(connection: sqlite3.Connection) -> None:
    for statement in THIRD_LAYOUT:
        connection.execute(statement)


STEPS: Final[dict[int, Step]] = {2: _from_the_second_layout}
"""From layout n to n + 1, for what a new column that starts out missing does not do: renamed or reshaped data."""


def is_current(
    connection: sqlite3.Connection, columns: Sequence[Column] = STORED_COLUMNS, version: int = SCHEMA_VERSION
) -> bool:
    """Tell whether a database has today's layout."""
    (stored,) = connection.execute("PRAGMA user_version").fetchone()
    return bool(stored >= version) and not _absent(connection, columns)


def migrate(
    connection: sqlite3.Connection,
    columns: Sequence[Column] = STORED_COLUMNS,
    version: int = SCHEMA_VERSION,
    steps: Mapping[int, Step] = STEPS,
) -> None:
    """Bring a database to today's layout; the caller holds the transaction.

    Parameters
    ----------
    connection : sqlite3.Connection
        Of a checked database, not newer than `version`.
    columns, version, steps
        The layout wanted, and how to get there.
    """
    (stored,) = connection.execute("PRAGMA user_version").fetchone()
    for layout in range(stored, version):
        if layout in steps:
            steps[layout](connection)
    for column in _absent(connection, columns):
        connection.execute(added_column(column))
    connection.execute(f"PRAGMA user_version = {version}")


def _absent(connection: sqlite3.Connection, columns: Sequence[Column]) -> list[Column]:
    there = {name for _, name, *_ in connection.execute("PRAGMA table_info(trials)")}
    return [column for column in columns if column.name not in there]


def bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    """Bring a database that is open for writing to today's layout, once and for good."""
    with naming(path):
        current = is_current(connection)
    if not current:
        with transaction(connection, path):
            migrate(connection)


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a checked database for reading; one of an older layout is copied into memory, its file stays as it is."""
    connection = connect_reader(path)
    try:
        with naming(path):
            if is_current(connection):
                return connection
        copy = _brought_up_to_date(connection, path)
    except BaseException:
        connection.close()
        raise
    connection.close()
    return copy


def _brought_up_to_date(connection: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    copy = sqlite3.connect(":memory:", isolation_level=None)
    try:
        with naming(path):
            connection.backup(copy)
        with transaction(copy, path):
            migrate(copy)
        copy.execute("PRAGMA query_only = ON")
    except BaseException:
        copy.close()
        raise
    return copy

"""What a store's file holds: its tables and their columns, in SQL."""

from typing import Final

from freewalk.results.schema.schema import SCHEMA_VERSION, TRIAL_COLUMNS, Column, DType, State

APPLICATION_ID: Final = int.from_bytes(b"fwlk", "big")
_SQL_TYPES: Final[dict[DType, str]] = {
    "Int64": "INTEGER",
    "float64": "REAL",
    "boolean": "INTEGER",
    "string": "TEXT",
}
# One value a sweep: kept in the sweep table, added to every row on reading.
_SWEEP_LEVEL: Final = {"schema_version", "sweep_id"}
STORED_COLUMNS: Final[tuple[Column, ...]] = tuple(c for c in TRIAL_COLUMNS if c.name not in _SWEEP_LEVEL)
POINT: Final = ["step", "split", "metric", "evaluations", "train_seconds", "value"]
"""Columns of a curve's points."""

FIRST_WITH_CHECKSUMS: Final = 3
PLAN_CHECKSUM: Final = "plan_checksum"
RESULT_CHECKSUM: Final = "result_checksum"
CURVE_CHECKSUM: Final = "curve_checksum"
SWEEP_CHECKSUM: Final = "checksum"
# What a trial in progress needs to go on; nothing of it is in the tables.
_CHECKPOINTS: Final = (
    "CREATE TABLE checkpoints (position INTEGER PRIMARY KEY, step INTEGER NOT NULL, data BLOB NOT NULL)"
)
THIRD_LAYOUT: Final = (
    _CHECKPOINTS,
    f"ALTER TABLE sweep ADD COLUMN {SWEEP_CHECKSUM} INTEGER",
    *(f"ALTER TABLE trials ADD COLUMN {name} INTEGER" for name in (PLAN_CHECKSUM, RESULT_CHECKSUM, CURVE_CHECKSUM)),
)
"""What layout 3 has beyond the second: checkpoints, and checksums, which stay missing for what was written before."""


def quoted(names: list[str]) -> str:
    """Join column names for SQL; the names are ours, never a user's."""
    return ", ".join(f'"{name}"' for name in names)


def added_column(column: Column) -> str:
    """Return the statement that adds a column to the trials of an older layout; its values are missing."""
    return f'ALTER TABLE trials ADD COLUMN "{column.name}" {_SQL_TYPES[column.dtype]}'


def schema_sql() -> list[str]:
    """Return the statements that make an empty store."""
    states = ", ".join(f"'{state}'" for state in State)
    constraints = {"trial_id": "NOT NULL UNIQUE", "state": f"NOT NULL CHECK (state IN ({states}))"}
    columns = ", ".join(f'"{c.name}" {_SQL_TYPES[c.dtype]} {constraints.get(c.name, "")}' for c in STORED_COLUMNS)
    return [
        "CREATE TABLE sweep (sweep_id TEXT NOT NULL, configuration TEXT NOT NULL)",
        # `position` is the plan's order; `parameters` is JSON because they vary by method.
        f"CREATE TABLE trials (position INTEGER PRIMARY KEY, parameters TEXT NOT NULL, {columns})",
        # The primary key is also the order in which the table is read.
        "CREATE TABLE curves (position INTEGER NOT NULL, step INTEGER NOT NULL, split TEXT NOT NULL, "
        "metric TEXT NOT NULL, evaluations INTEGER NOT NULL, train_seconds REAL, value REAL, "
        "PRIMARY KEY (position, step, split, metric)) WITHOUT ROWID",
        *THIRD_LAYOUT,
        f"PRAGMA application_id = {APPLICATION_ID}",
        f"PRAGMA user_version = {SCHEMA_VERSION}",
    ]

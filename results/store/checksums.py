"""Checksums of what a store holds: a value that nobody wrote (a flipped bit, a stray edit) is noticed on reading.

SQLite keeps none itself; its own check finds damage to the structure of a file, not to the values in it.
"""

import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from freewalk.results.base.errors import DamageError
from freewalk.results.schema.layout import (
    CURVE_CHECKSUM,
    FIRST_WITH_CHECKSUMS,
    PLAN_CHECKSUM,
    POINT,
    RESULT_CHECKSUM,
    STORED_COLUMNS,
    SWEEP_CHECKSUM,
    quoted,
)

# What the plan fixes for good; the other columns are the result's.
PLAN: Final = ["position", "parameters", "trial_id", "task", "method", "seed"]
_LATER: Final = sorted((c for c in STORED_COLUMNS if c.since > FIRST_WITH_CHECKSUMS), key=lambda column: column.since)
"""Columns of later layouts: where all that came with the last ones are missing they do not count, so that checksums of
earlier layouts go on holding."""
_RESULT: Final = [
    *(column.name for column in STORED_COLUMNS if column.name not in PLAN and column not in _LATER),
    *(column.name for column in _LATER),
]

_ONE_RESULT: Final = f"SELECT {quoted(_RESULT)} FROM trials WHERE position = ?"
_ONE_CURVE: Final = f"SELECT {quoted(POINT)} FROM curves WHERE position = ? ORDER BY step, split, metric"
_SEAL: Final = f"UPDATE trials SET {RESULT_CHECKSUM} = ?, {CURVE_CHECKSUM} = ? WHERE position = ?"
# From the trials, so that a curve that is gone is missed.
_CURVES: Final = (
    f"SELECT position, trial_id, {CURVE_CHECKSUM}, {', '.join(f'curves.{name}' for name in POINT)} "
    "FROM trials LEFT JOIN curves USING (position) WHERE state IN ('complete', 'failed') = ? "
    "ORDER BY position, curves.step, curves.split, curves.metric"
)


def checksum(values: Sequence[Any]) -> int:
    """Return the CRC-32 of stored values, or of rows of them, by how Python writes them (floats in full)."""
    return zlib.crc32(repr(values).encode())


def _result_checksum(values: Sequence[Any]) -> int:
    """Return the checksum of a trial's result, in the order of ``_RESULT``."""
    for _, columns in groupby(reversed(_LATER), key=lambda column: column.since):
        n = len(list(columns))
        if any(value is not None for value in values[-n:]):
            break
        values = values[:-n]
    return checksum(tuple(values))


def plan_checksum(row: Mapping[str, Any]) -> int:
    """Return the checksum of a planned trial from its columns as they are stored."""
    return checksum(tuple(row[name] for name in PLAN))


def seal(connection: sqlite3.Connection, position: int) -> None:
    """Note the checksums of a trial that has ended, from its values as SQLite gives them back."""
    result = connection.execute(_ONE_RESULT, (position,)).fetchone()
    points = connection.execute(_ONE_CURVE, (position,)).fetchall()
    connection.execute(_SEAL, (_result_checksum(result), checksum(points), position))


def check_sweep(connection: sqlite3.Connection) -> None:
    """Compare a sweep's name and configuration with what was written.

    Raises
    ------
    DamageError
        They differ.
    """
    for name, configuration, expected in connection.execute(
        f"SELECT sweep_id, configuration, {SWEEP_CHECKSUM} FROM sweep"
    ):
        if expected not in (None, checksum((name, configuration))):
            raise DamageError("its configuration is not what was written")


def check_trials(connection: sqlite3.Connection) -> None:
    """Compare every trial, without its curve, with what was written.

    Raises
    ------
    DamageError
        A trial differs.
    """
    end = 2 + len(PLAN)
    there = {name for _, name, *_ in connection.execute("PRAGMA table_info(trials)")}
    later = [quoted([column.name]) if column.name in there else "NULL" for column in _LATER]
    known = quoted([PLAN_CHECKSUM, RESULT_CHECKSUM, *PLAN, *_RESULT[: -len(_LATER)]])
    for row in connection.execute(f"SELECT {known}, {', '.join(later)} FROM trials ORDER BY position"):
        plan, result = row[2:end], row[end:]
        found = ("plan", row[0], checksum(plan)), ("result", row[1], _result_checksum(result))
        for what, expected, actual in found:
            if expected not in (None, actual):
                raise DamageError(f"the {what} of trial {row[2 + PLAN.index('trial_id')]} is not what was written")


def checked_points(connection: sqlite3.Connection, *, ended: bool = True) -> Iterator[tuple[Any, ...]]:
    """Yield (position, trial_id, *point) of the curves of all trials that have ended, or of all others.

    Points as ``POINT``, ordered by plan, step, split and metric.

    Raises
    ------
    DamageError
        A trial's curve is not what was written.
    """
    for (position, trial_id, expected), rows in groupby(connection.execute(_CURVES, (ended,)), key=itemgetter(0, 1, 2)):
        points = [row[3:] for row in rows]
        if points[0][0] is None:  # a trial without points: their step is never missing
            points = []
        if expected not in (None, checksum(points)):
            raise DamageError(f"the curve of trial {trial_id} is not what was written")
        for point in points:
            yield position, trial_id, *point

"""From the store's rows to the documented tables."""

import json
import sqlite3
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pandas as pd

from freewalk.results.base.errors import DamageError
from freewalk.results.schema.layout import POINT, STORED_COLUMNS, quoted
from freewalk.results.schema.schema import PARAMETER_PREFIX, SCHEMA_VERSION
from freewalk.results.store.checksums import checked_points
from freewalk.results.tables.frames import build_frame, column_dtypes, find_doubt, foreign_series, parameter_series


def read_trials(connection: sqlite3.Connection, sweep_id: str) -> pd.DataFrame:
    """Read ``trials`` in plan order; a parameter's column stands where the plan first names it."""
    names = [column.name for column in STORED_COLUMNS]
    rows = connection.execute(f"SELECT {quoted(names)}, parameters FROM trials ORDER BY position").fetchall()
    fields = _transposed(rows, len(names) + 1)
    parameters = [_parameters(text) for text in fields.pop()]
    parameter_names = list(dict.fromkeys(name for mapping in parameters for name in mapping))
    raw = {
        **dict(zip(names, fields, strict=True)),
        "schema_version": [SCHEMA_VERSION] * len(rows),
        "sweep_id": [sweep_id] * len(rows),
    }
    columns = {name: foreign_series(raw[name], dtype) for name, dtype in column_dtypes("trials").items()}
    for name in parameter_names:
        columns[PARAMETER_PREFIX + name] = parameter_series([mapping.get(name) for mapping in parameters])
    table = build_frame("trials", columns, parameter_names)
    if doubt := find_doubt(table):
        raise DamageError(doubt)
    return table


def _parameters(text: str) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise DamageError(f"the parameters {text[:60]!r} of a trial are not names with values")
    for name, value in found.items():
        if not (value is None or isinstance(value, str | int | float)):
            raise DamageError(f"the parameter {name!r} of a trial is not a single value")
    return found


def read_curves(connection: sqlite3.Connection, *, ended: bool = True) -> pd.DataFrame:
    """Read ``curves`` in the order of plan, step, split and metric; or those so far of trials that have not ended."""
    return _curves(list(checked_points(connection, ended=ended)))


def read_curves_in_parts(connection: sqlite3.Connection, rows: int) -> Iterator[pd.DataFrame]:
    """Read what `read_curves` reads, so many rows at a time: a first part, even an empty one, and then all others."""
    points = checked_points(connection)
    yield _curves(list(islice(points, rows)))
    while part := list(islice(points, rows)):
        yield _curves(part)


def _curves(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    names = ["position", "trial_id", *POINT]
    raw = dict(zip(names, _transposed(rows, len(names)), strict=True))
    raw["schema_version"] = [SCHEMA_VERSION] * len(rows)
    dtypes = column_dtypes("curves")
    return build_frame("curves", {name: foreign_series(raw[name], dtype) for name, dtype in dtypes.items()})


def _transposed(rows: list[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]

"""Columns of documented type, whether they come from the store or from a CSV file."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from freewalk.results.base.numbers import is_missing, value_order
from freewalk.results.base.text import cell_text
from freewalk.results.schema import (  # noqa: F401 - which add tables
    estimates_schema,
    report_schema,
    reproduction_schema,
    tuning_schema,
)
from freewalk.results.schema.records import INT64_MAX, INT64_MIN
from freewalk.results.schema.schema import (
    PARAMETER_PREFIX,
    SCHEMA_VERSION,
    TABLES,
    DType,
    Outcome,
    State,
    TableName,
    column_names,
)

_TRUTH = {"True": True, "False": False}
_INTEGER = re.compile(r"-?(0|[1-9]\d*)")
_FLOAT = re.compile(r"-?((0|[1-9]\d*)(\.\d*)?(e[+-]?\d+)?|inf)")


def typed_series(values: Iterable[Any], dtype: DType) -> pd.Series:
    """Make a column of a documented type.

    Parameters
    ----------
    values : iterable
        Python scalars, None where a value is missing; truth values may be 0 and 1.
    dtype : {"Int64", "float64", "boolean", "string"}
        The documented type.

    Returns
    -------
    pandas.Series
        NaN (float64) or NA (any other type) where a value is missing.
    """
    if dtype == "float64":
        return pd.Series(np.array([math.nan if value is None else value for value in values], np.float64))
    values = list(values)
    if dtype == "boolean":
        values = [None if value is None else bool(value) for value in values]
    return pd.Series(values, dtype=str(dtype))


def foreign_series(values: Iterable[Any], dtype: DType) -> pd.Series:
    """Make a column as `typed_series` does, of values that anybody may have written: texts are made harmless."""
    values = list(values)
    if dtype == "string":
        # few texts stand in many rows
        harmless = {text: cell_text(text) for text in {value for value in values if isinstance(value, str)}}
        values = [harmless.get(value, value) for value in values]
    return typed_series(values, dtype)


def parsed(texts: Iterable[str | None], dtype: DType) -> pd.Series:
    """Read a column of texts; by Python's own rules, which are exact for every float and every 64-bit integer.

    Raises
    ------
    ValueError
        A text is no value of the type.
    """
    values = [text or None for text in texts]
    if dtype == "Int64":
        return typed_series([None if text is None else int(text) for text in values], dtype)
    if dtype == "float64":
        return typed_series([None if text is None else float(text) for text in values], dtype)
    if dtype == "boolean":
        if wrong := {*values} - {*_TRUTH, None}:
            raise ValueError(f"{wrong.pop()!r} is neither True nor False")
        return typed_series([None if text is None else _TRUTH[text] for text in values], dtype)
    return foreign_series(values, dtype)


def parameter_series(values: Iterable[object]) -> pd.Series:
    """Make a parameter's column, whose type nothing documents.

    The type follows from the values' text, so that a table from the store and the same table read from CSV
    agree: Int64, float64 or boolean when every text reads as one, else string. None, "" and NaN are missing.

    Parameters
    ----------
    values : iterable
        Python scalars; kinds may mix.

    Returns
    -------
    pandas.Series
    """
    texts = [_text(value) for value in values]
    return parsed(texts, _text_dtype({text for text in texts if text is not None}))


def sorting_key(column: pd.Series) -> pd.Series:
    """Return what sorts a column: its values, but places for texts, of which those that are numbers come by size."""
    if not isinstance(column.dtype, pd.StringDtype):
        return column
    texts = sorted(column.dropna().unique(), key=lambda text: (value_order(text), text))
    return column.map({text: place for place, text in enumerate(texts)}).astype("Float64")


def _text(value: object) -> str | None:
    if is_missing(value) or value == "":
        return None
    return repr(value) if isinstance(value, float) else str(value)


def _text_dtype(texts: set[str]) -> DType:
    if not texts:
        return "string"
    if texts <= {"True", "False"}:
        return "boolean"
    if all(_INTEGER.fullmatch(text) and INT64_MIN <= int(text) <= INT64_MAX for text in texts):
        return "Int64"
    # Whole numbers beyond 64 bits stay text: as floats they would lose digits.
    if all(_FLOAT.fullmatch(text) for text in texts) and not all(map(_INTEGER.fullmatch, texts)):
        return "float64"
    return "string"


def find_doubt(trials: pd.DataFrame) -> str | None:
    """Say what in a ``trials`` table cannot be: a trial that comes twice or has no name, a state that there is not.

    Returns
    -------
    str or None
        The first thing found, such as "trial 12ab comes twice"; None for a sound table.
    """
    names = trials["trial_id"]
    if names.isna().any():
        return "a trial has no trial_id"
    if names.duplicated().any():
        return f"trial {names[names.duplicated()].iloc[0]} comes twice"
    for column, words, may_miss in (("state", State, False), ("outcome", Outcome, True)):
        if wrong := sorted({*trials[column].dropna()} - {word.value for word in words}):
            return f"the {column} {wrong[0]!r}, not one of {', '.join(words)}"
        if not may_miss and trials[column].isna().any():
            return f"a trial has no {column}"
    return None


def parameter_columns(table: pd.DataFrame) -> list[str]:
    """Return the ``param_*`` columns of a table, in order."""
    return [str(name) for name in table.columns if str(name).startswith(PARAMETER_PREFIX)]


def parameter_names(table: pd.DataFrame) -> list[str]:
    """Return the parameters of a table, without their prefix."""
    return [name.removeprefix(PARAMETER_PREFIX) for name in parameter_columns(table)]


def frame_of(table: TableName, rows: Sequence[Mapping[str, Any]], beside: pd.DataFrame | None = None) -> pd.DataFrame:
    """Make a table of today's layout.

    Parameters
    ----------
    table : str
        Which table.
    rows : sequence of mapping
        What was found, row by row, by the names of the columns.
    beside : pandas.DataFrame, optional
        What is known of the same rows already, and goes before ``rows``: documented columns, and the parameters.
    """
    given = pd.DataFrame() if beside is None else beside
    columns = {
        name: given[name]
        if name in given
        else typed_series([SCHEMA_VERSION if name == "schema_version" else row[name] for row in rows], dtype)
        for name, dtype in column_dtypes(table).items()
    }
    return build_frame(
        table, columns | {name: given[name] for name in parameter_columns(given)}, parameter_names(given)
    )


def build_frame(table: TableName, columns: Mapping[str, pd.Series], parameters: Sequence[str] = ()) -> pd.DataFrame:
    """Put finished columns into the documented order.

    Parameters
    ----------
    table : {"trials", "curves", "summary"}
        Which table.
    columns : mapping of str to pandas.Series
        Every column of the table, ``param_*`` included.
    parameters : sequence of str
        Parameter names without their prefix, in order.

    Returns
    -------
    pandas.DataFrame
        With a plain range index.
    """
    return pd.DataFrame({name: columns[name] for name in column_names(table, parameters)})


def column_dtypes(table: TableName) -> dict[str, DType]:
    """Return the documented columns of a table with their types, in order."""
    return {column.name: column.dtype for column in TABLES[table]}

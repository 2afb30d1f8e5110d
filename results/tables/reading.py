"""Tables from CSV files, those of older layouts too."""

from pathlib import Path

import pandas as pd

from freewalk.results.base.errors import StoreError
from freewalk.results.schema.schema import (
    PARAMETER_PREFIX,
    PARAMETERS_AFTER,
    SCHEMA_VERSION,
    TableName,
    column_names,
)
from freewalk.results.tables.by_hand import completed
from freewalk.results.tables.frames import (
    build_frame,
    column_dtypes,
    find_doubt,
    parameter_names,
    parameter_series,
    parsed,
)


def read_table(path: Path, table: TableName = "trials") -> pd.DataFrame:
    """Read a table that ``write_csv`` wrote; nothing changes on the way but an older layout.

    Trials may also come from a table with a few columns that was made by hand, see docs/tables.md.

    Parameters
    ----------
    path : Path
    table : {"trials", "curves", "summary"} or a table of ``report_schema``
        Which table the file holds.

    Returns
    -------
    pandas.DataFrame
        With the documented types; a parameter's type follows from its values, as in ``Store.trials``. Columns that an
        older layout did not have are missing values, and ``schema_version`` is today's.

    Raises
    ------
    StoreError
        The file is missing, no such table, of a newer layout, or holds a value of the wrong type, a state or outcome
        that there is not, or a trial or a point of a curve twice.

    Warns
    -----
    UnreadColumns
        A table of trials that was made by hand has columns that are none of such a table.
    """
    try:
        raw = pd.read_csv(path, dtype=str, keep_default_na=False, na_filter=False, encoding="utf-8-sig")
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}; check the path") from error
    except (ValueError, pd.errors.ParserError) as error:
        problem = " ".join(str(error).split())
        raise StoreError(f"{path} is not a CSV table ({problem}): export it again") from error
    raw, parameters = _in_todays_layout(raw, path, table)
    try:
        columns = _columns(raw, table)
    except ValueError as error:
        if table != "trials":
            raise StoreError(f"{path} holds a value of the wrong type ({error}): export it again") from error
        columns = _columns(completed(raw, path), table)  # what somebody has edited, or a line that can be named
    columns |= {PARAMETER_PREFIX + name: parameter_series(raw[PARAMETER_PREFIX + name]) for name in parameters}
    frame = build_frame(table, columns, parameters)
    if doubt := _find_doubt(frame, table):
        raise StoreError(f"{path} is damaged ({doubt}): mend it, or export it again")
    return frame


def _columns(raw: pd.DataFrame, table: TableName) -> dict[str, pd.Series]:
    return {name: parsed(raw[name], dtype) for name, dtype in column_dtypes(table).items()}


def _find_doubt(frame: pd.DataFrame, table: TableName) -> str | None:
    if table == "trials":
        return find_doubt(frame)
    keys = ["trial_id", "step", "split", "metric"]
    if table == "curves" and (doubled := frame.duplicated(keys)).any():
        point = frame[doubled].iloc[0]
        return f"trial {point['trial_id']} has two values of {point['metric']} at step {point['step']}"
    return None


def _in_todays_layout(raw: pd.DataFrame, path: Path, table: TableName) -> tuple[pd.DataFrame, list[str]]:
    """Add the columns that an older layout does not have; give the names of the parameters too."""
    names = [str(name) for name in raw.columns]
    parameters = parameter_names(raw)
    expected = column_names(table, parameters if table in PARAMETERS_AFTER else ())
    versions = {*raw["schema_version"]} if "schema_version" in names else set()
    older = bool(versions) and versions <= {str(version) for version in range(1, SCHEMA_VERSION)}
    if table == "trials" and not older and versions <= {str(SCHEMA_VERSION)} and names != expected:
        raw = completed(raw, path)
        parameters = parameter_names(raw)
        return raw[column_names(table, parameters)], parameters
    if names != (expected if not older else [name for name in expected if name in names]):
        missing = {*expected} - {*names} if not older else set()
        culprit = next(iter({*names} - {*expected} or missing), "the order of its columns")
        raise StoreError(f"{path} is not a {table} table (see {culprit}): check the path, or export it again")
    if not older and not versions <= {str(SCHEMA_VERSION)}:
        raise StoreError(f"{path} has another layout than {SCHEMA_VERSION}: read it with the version that wrote it")
    if older:
        raw = raw.reindex(columns=expected, fill_value="").assign(schema_version=str(SCHEMA_VERSION))
    return raw, parameters

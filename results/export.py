"""Files for others: written whole or not at all, read back with the documented types."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pandas as pd

from freewalk.results.errors import StoreError
from freewalk.results.frames import build_frame, column_dtypes, parameter_series, typed_series
from freewalk.results.records import clean_text
from freewalk.results.schema import (
    PARAMETER_PREFIX,
    PARAMETERS_AFTER,
    SCHEMA_VERSION,
    DType,
    TableName,
    column_names,
)
from freewalk.results.store import Store
from freewalk.results.summary import summarise


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    r"""Write a table as CSV: UTF-8, ``\n`` line ends, floats with the fewest digits that give them back.

    Missing values are empty; an empty text is a missing one. In texts ``\r`` becomes ``\n``.

    Raises
    ------
    StoreError
        The file cannot be written; what stood there before still does.
    """
    texts = [name for name in frame.columns if isinstance(frame[name].dtype, pd.StringDtype)]
    clean = frame.assign(
        **{name: frame[name].map(clean_text, na_action="ignore").astype(frame[name].dtype) for name in texts}
    )
    _write(path, lambda file: clean.to_csv(file, index=False, lineterminator="\n"))


def write_text(text: str, path: Path) -> None:
    """Write a text as UTF-8; errors as ``write_csv``."""
    _write(path, lambda file: file.write(text))


def write_json(value: object, path: Path) -> None:
    """Write a value as indented JSON in the order given; errors as ``write_csv``.

    Raises
    ------
    ValueError
        The value holds NaN or an infinity, which JSON does not know.
    """
    write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", path)


def _write(path: Path, fill: Callable[[IO[str]], object]) -> None:
    # In the same folder, since a file moves in one piece only inside a file system.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            with temporary.open("w", encoding="utf-8", newline="") as file:
                fill(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror or error}; free the cause or pick another --out"
        ) from error


def read_csv(path: Path, table: TableName = "trials") -> pd.DataFrame:
    """Read a table that ``write_csv`` wrote; nothing changes on the way.

    Parameters
    ----------
    path : Path
    table : {"trials", "curves", "summary"}
        Which table the file holds.

    Returns
    -------
    pandas.DataFrame
        With the documented types; a parameter's type follows from its values, as in ``Store.trials``.

    Raises
    ------
    StoreError
        The file is missing, no such table, of another layout, or holds a value of the wrong type.
    """
    try:
        raw = pd.read_csv(path, dtype=str, keep_default_na=False, na_filter=False, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}; check the path") from error
    except (ValueError, pd.errors.ParserError) as error:
        problem = " ".join(str(error).split())
        raise StoreError(f"{path} is no CSV table ({problem}): export it again") from error
    parameters = _parameters(raw, path, table)
    if not raw["schema_version"].isin([str(SCHEMA_VERSION)]).all():
        raise StoreError(f"{path} has another layout than {SCHEMA_VERSION}: read it with the version that wrote it")
    try:
        columns = {name: _parsed(raw[name], dtype) for name, dtype in column_dtypes(table).items()}
    except ValueError as error:
        raise StoreError(f"{path} holds a value of the wrong type ({error}): export it again") from error
    columns |= {PARAMETER_PREFIX + name: parameter_series(raw[PARAMETER_PREFIX + name]) for name in parameters}
    return build_frame(table, columns, parameters)


def _parameters(raw: pd.DataFrame, path: Path, table: TableName) -> list[str]:
    names = [str(name) for name in raw.columns]
    parameters = [name.removeprefix(PARAMETER_PREFIX) for name in names if name.startswith(PARAMETER_PREFIX)]
    expected = column_names(table, parameters if table in PARAMETERS_AFTER else ())
    if names != expected:
        culprit = next(iter({*expected} ^ {*names}), "the order of its columns")
        raise StoreError(f"{path} is no {table} table (see {culprit}): check the path, or export it again")
    return parameters


def _parsed(texts: pd.Series, dtype: DType) -> pd.Series:
    """Read a column; by Python's own rules, which are exact for every float and every 64-bit integer."""
    values = [text or None for text in texts]
    if dtype == "Int64":
        return typed_series([None if text is None else int(text) for text in values], dtype)
    if dtype == "float64":
        return typed_series([None if text is None else float(text) for text in values], dtype)
    if dtype == "boolean":
        return typed_series([None if text is None else _TRUTH[text] for text in values], dtype)
    return typed_series(values, dtype)


class _Truth(dict[str, bool]):
    def __missing__(self, text: str) -> bool:
        raise ValueError(f"{text!r} is neither True nor False")


_TRUTH = _Truth({"True": True, "False": False})


def export_tables(store: Store, directory: Path | None = None) -> dict[TableName, pd.DataFrame]:
    """Write ``trials.csv``, ``curves.csv`` and ``summary.csv``.

    Parameters
    ----------
    store : Store
        Open for reading or writing.
    directory : Path, optional
        Where; the store's own folder unless given.

    Returns
    -------
    dict of str to pandas.DataFrame
        The tables as written.

    Raises
    ------
    StoreError
        A file cannot be written.
    """
    trials = store.trials()
    tables: dict[TableName, pd.DataFrame] = {
        "trials": trials,
        "curves": store.curves(),
        "summary": summarise(trials),
    }
    for name, frame in tables.items():
        write_csv(frame, (directory or store.directory) / f"{name}.csv")
    return tables

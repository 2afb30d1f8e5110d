"""Files for others: written whole or not at all, read back with the documented types."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from freewalk.results.analysis.summary import summarise
from freewalk.results.base.text import clean_text
from freewalk.results.base.writing import naming_failure, replacing, write_bytes
from freewalk.results.schema.schema import TableName
from freewalk.results.store.store import Store
from freewalk.results.tables.reading import read_table as read_csv

__all__ = ["export_tables", "json_rows", "read_csv", "write_csv", "write_csv_in_parts", "write_json", "write_text"]


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    r"""Write a table as CSV: UTF-8, ``\n`` line ends, floats with the fewest digits that give them back.

    Missing values are empty; an empty text is a missing one. In texts ``\r`` becomes ``\n``.

    Raises
    ------
    StoreError
        The file cannot be written; what stood there before still does.
    """
    write_csv_in_parts([frame], path)


def write_csv_in_parts(parts: Iterable[pd.DataFrame], path: Path) -> None:
    """Write a table that comes in parts, as ``write_csv`` would write it whole."""
    with naming_failure(path), replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        for number, part in enumerate(parts):
            _clean(part).to_csv(file, index=False, header=number == 0, lineterminator="\n")


def _clean(frame: pd.DataFrame) -> pd.DataFrame:
    texts = [name for name in frame.columns if isinstance(frame[name].dtype, pd.StringDtype)]
    dirty = [name for name in texts if any(clean_text(text) != text for text in frame[name].dropna().unique())]
    return frame.assign(
        **{name: frame[name].map(clean_text, na_action="ignore").astype(frame[name].dtype) for name in dirty}
    )


def write_text(text: str, path: Path) -> None:
    """Write a text as UTF-8; errors as ``write_csv``."""
    write_bytes(text.encode(), path)


def write_json(value: object, path: Path) -> None:
    """Write a value as indented JSON in the order given; errors as ``write_csv``.

    Raises
    ------
    ValueError
        The value holds NaN or an infinity, which JSON does not know.
    """
    write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", path)


def json_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table as JSON holds it: null where there is no number."""
    rows: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=15))
    return rows


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
        ``trials`` and ``summary`` as written; curves may be too many to hold, see `Store.curves`.

    Raises
    ------
    StoreError
        A file cannot be written.
    """
    store.check_place()
    target = directory or store.directory
    write_csv_in_parts(store.curves_in_parts(), target / "curves.csv")
    trials = store.trials()
    tables: dict[TableName, pd.DataFrame] = {"trials": trials, "summary": summarise(trials)}
    for name, frame in tables.items():
        write_csv(frame, target / f"{name}.csv")
    return tables

"""Any table of results on the terminal, or as CSV."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from rich.markup import escape

from freewalk.harness.base.text import counted, significant
from freewalk.harness.terminal.console import make_console, make_table, print_line
from freewalk.results.base.numbers import is_missing
from freewalk.results.schema.schema import PARAMETER_PREFIX

_ROWS_SHOWN = 40
_LONGEST_CELL = 60
_COUNTS = re.compile(r"^n_|(?:steps?|evaluations|budget)$")
"""Columns of whole numbers that are counted, and written as counts are: 32,000. A seed or a batch size is typed."""
_KEPT = ("task", "success_rate", "ert_evaluations")
"""Columns that have room before others: what a table of cells is looked at for, however many parameters vary."""


def print_csv(table: pd.DataFrame) -> None:
    """Print a table as the CSV files have it."""
    table.to_csv(sys.stdout, index=False, lineterminator="\n")


def print_data_table(table: pd.DataFrame, *, chosen: bool, limited: bool) -> None:
    """Print as many rows and columns as there is room for; say what is left out.

    Parameters
    ----------
    table : pandas.DataFrame
    chosen : bool
        Whether somebody asked for these columns: then all are printed, also those that say nothing.
    limited : bool
        Whether somebody asked for these rows.
    """
    rows = table if limited else table.head(_ROWS_SHOWN)
    console = make_console()
    names = [str(name) for name in table.columns]
    shown = names if chosen else [name for name in names if _tells(table[name])] or names
    texts = {name: [_text(value, name) for value in rows[name]] for name in shown}
    short = {name: name.removeprefix(PARAMETER_PREFIX) for name in shown}
    headings = {name: name if name != text and text in names else text for name, text in short.items()}
    if not chosen:
        shown = _fitting(shown, texts, headings, console.width)
    grid = make_table()
    for name in shown:
        numeric = pd.api.types.is_numeric_dtype(table[name].dtype)
        grid.add_column(escape(headings[name]), justify="right" if numeric else "left", no_wrap=not chosen)
    for values in zip(*(texts[name] for name in shown), strict=True):
        grid.add_row(*(escape(value) for value in values))  # a text may look like markup
    console.print(grid)
    print_line(console, _caption(table, rows, names, shown), style="dim")


def _tells(column: pd.Series[Any]) -> bool:
    """Whether a column says something: values differ, and are there."""
    return bool(column.notna().all()) if len(column) == 1 else len(column.drop_duplicates()) > 1


def _fitting(names: Sequence[str], texts: dict[str, list[str]], headings: dict[str, str], width: int) -> list[str]:
    """Return the first columns that there is room for; before parameters go, in whose midst it ends, the cost does."""
    widths = {name: max([len(headings[name]), *map(len, texts[name])]) + 3 for name in names}
    kept = [name for name in names if name in _KEPT]
    fitting = list(kept)
    used = 1 + sum(widths[name] for name in kept)
    for name in names:
        if name in kept:
            continue
        used += widths[name]
        if used > width and fitting:
            break
        fitting.append(name)
    return [name for name in names if name in fitting]


def _text(value: Any, column: str) -> str:
    if is_missing(value):
        return "-"
    if isinstance(value, int | np.integer) and _COUNTS.search(column):
        return f"{value:,}"
    is_finite = isinstance(value, float) and math.isfinite(value)
    text = significant(value, 4) if is_finite else str(value)
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_CELL else text[: _LONGEST_CELL - 1] + "…"


def _caption(table: pd.DataFrame, rows: pd.DataFrame, names: Sequence[str], shown: Sequence[str]) -> str:
    what = counted(len(table), "row") if len(rows) == len(table) else f"{len(rows):,} of {counted(len(table), 'row')}"
    if len(shown) == len(names):
        return what
    return f"{what}, {len(shown)} of {len(names)} columns; choose with --columns and --limit, or take all with --csv"

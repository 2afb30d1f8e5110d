"""The cells that two sweeps have in common, also where one of them knows more parameters than the other."""

import math
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pandas as pd

from freewalk.results.cells import Rows, cell_columns, group_rows, parameter_columns

Key: TypeAlias = tuple[object, ...]


class MatchError(ValueError):
    """Two tables whose cells cannot be told to be the same; the message names the column."""


@dataclass(frozen=True)
class Matching:
    """Cells of A and B side by side."""

    columns: list[str]
    """What makes a cell in both."""
    pairs: list[tuple[Rows, Rows]]
    """Rows of A and rows of B of each common cell, in the order of A."""
    only_a: int
    """Cells without a partner."""
    only_b: int
    alone_a: list[Rows] = field(default_factory=list)
    """Rows of A of each of its cells without a partner."""
    ignored: list[str] = field(default_factory=list)
    """Parameters that one side alone has, always with the same value."""


def match_cells(a: pd.DataFrame, b: pd.DataFrame) -> Matching:
    """Pair the cells of two ``trials`` tables.

    Values are compared as numbers where both are, so that 16 and 16.0 are one. A parameter that only one side has
    (another version added it) is left aside as long as that side never varies it.

    Raises
    ------
    MatchError
        A parameter that one side does not have varies on the other.
    """
    shared = [name for name in cell_columns(a) if name in cell_columns(b)]
    ignored = []
    for table, other, side in ((a, b, "A"), (b, a, "B")):
        for name in parameter_columns(table):
            if name in parameter_columns(other):
                continue
            if len(table[name].dropna().unique()) > 1:
                raise MatchError(f"{name} varies in {side}, and the other has no such column")
            ignored.append(name)
    cells_a, cells_b = _cells(a, shared), _cells(b, shared)
    pairs = [(rows, cells_b[key]) for key, rows in cells_a.items() if key in cells_b]
    alone = [rows for key, rows in cells_a.items() if key not in cells_b]
    return Matching(shared, pairs, len(alone), len(cells_b) - len(pairs), alone, ignored)


def _cells(trials: pd.DataFrame, columns: list[str]) -> dict[Key, Rows]:
    keys = trials[columns]
    groups = group_rows(keys)
    return {tuple(_plain(value) for value in keys.iloc[int(rows[0])]): rows for rows in groups}


def _plain(value: Any) -> object:
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, str):
        return value
    return str(bool(value)) if str(value) in ("True", "False") else float(value)

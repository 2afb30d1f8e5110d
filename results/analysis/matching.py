"""The cells that two sweeps have in common, also where one of them knows more parameters than the other."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pandas as pd

from freewalk.results.analysis.cells import Rows, group_rows
from freewalk.results.base.numbers import is_missing
from freewalk.results.schema.schema import PARAMETER_PREFIX
from freewalk.results.tables.frames import parameter_columns, parameter_names

_CELL = ("task", "method")
Key: TypeAlias = tuple[object, ...]


class MatchError(ValueError):
    """Two tables whose cells cannot be told to be the same; the message names the column."""


class UnknownParameterError(MatchError):
    """A parameter to compare across that neither table has."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"neither has a parameter {name}")
        self.name, self.known = name, known


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
    across: dict[str, tuple[str, str]] = field(default_factory=dict)
    """What was left out of the matching on request: its value in A and in B."""


def match_cells(a: pd.DataFrame, b: pd.DataFrame, across: Sequence[str] = ()) -> Matching:
    """Pair the cells of two ``trials`` tables.

    Values are compared as numbers where both are, so that 16 and 16.0 are one. A parameter that only one side has
    (another version added it) is left aside as long as that side never varies it.

    Parameters
    ----------
    a, b : pandas.DataFrame
    across : sequence of str
        Parameters (or ``method``) that do not count: what is compared is one value of them with another.

    Raises
    ------
    MatchError
        A parameter that one side does not have varies on the other, or one to compare across has several values on a
        side, or is unknown (an ``UnknownParameterError``, with the names that there are).
    """
    left_out = {_across_column(name, a, b): name for name in across}
    values = {
        name: (_only_value(a, column, name, "A"), _only_value(b, column, name, "B"))
        for column, name in left_out.items()
    }
    a, b = (table.drop(columns=[name for name in left_out if name in table]) for table in (a, b))
    shared = [name for name in (*_CELL, *parameter_columns(a)) if name in a and name in b]
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
    return Matching(shared, pairs, len(alone), len(cells_b) - len(pairs), alone, ignored, values)


def _across_column(name: str, a: pd.DataFrame, b: pd.DataFrame) -> str:
    column = name if name == "method" else PARAMETER_PREFIX + name.removeprefix(PARAMETER_PREFIX)
    if column not in a and column not in b:
        known = dict.fromkeys(["method", *parameter_names(a), *parameter_names(b)])
        raise UnknownParameterError(name, [*known])
    return column


def _only_value(trials: pd.DataFrame, column: str, name: str, side: str) -> str:
    found = _values(trials, column)
    if len(found) > 1:
        raise MatchError(f"{name} has several values in {side}: {', '.join(found)}")
    return "".join(found)


def _values(trials: pd.DataFrame, column: str) -> list[str]:
    """Return the values of a column in words, in order of appearance."""
    values = trials[column].drop_duplicates() if column in trials else [None]
    return ["not given" if _plain(value) is None else _word(value) for value in values]


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def differences(a: pd.DataFrame, b: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Name what keeps all cells of two tables apart: the columns without a common value, and the values of both."""
    names = [*_CELL, *dict.fromkeys([*parameter_columns(a), *parameter_columns(b)])]
    apart = {}
    for name in names:
        here, there = ({_plain(value) for value in t.get(name, [None])} for t in (a, b))
        if not here & there and len(here) == len(there) == 1:
            apart[name.removeprefix(PARAMETER_PREFIX)] = (_values(a, name)[0], _values(b, name)[0])
    return apart


def _cells(trials: pd.DataFrame, columns: list[str]) -> dict[Key, Rows]:
    keys = trials[columns]
    groups = group_rows(keys)
    return {tuple(_plain(value) for value in keys.iloc[int(rows[0])]): rows for rows in groups}


def _plain(value: Any) -> object:
    if is_missing(value):
        return None
    if isinstance(value, str):
        return value
    return str(bool(value)) if str(value) in ("True", "False") else float(value)

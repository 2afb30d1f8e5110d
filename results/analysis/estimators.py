"""Estimators of a gradient in words, and where one becomes cheaper than another as a parameter grows."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Self

import numpy as np
import pandas as pd

from freewalk.results.base.numbers import is_missing, parameter_text
from freewalk.results.schema.schema import PARAMETER_PREFIX
from freewalk.results.statistics.cell import Floats
from freewalk.results.tables.frames import parameter_columns

PRICE = "evaluations_needed"
_LEAST_VALUES = 3


@dataclass(frozen=True)
class PriceLine:
    """What an estimator needs at each value of a parameter."""

    words: str
    """The method, and what else varies of it."""
    x: Floats
    price: Floats
    low: Floats
    high: Floats
    expected: Floats


@dataclass(frozen=True)
class Crossing:
    """Where the prices of two estimators are equal, by straight lines between measured values on logarithmic axes."""

    parameter: str
    below: str
    """Which is the cheaper one at smaller values."""
    above: str
    value: float
    low: float
    high: float
    """Where the intervals of the two prices cease and begin to overlap."""


@dataclass(frozen=True)
class Names:
    """What tells the estimators of a table apart."""

    varied: tuple[str, ...]
    """Columns of parameters that take several values."""
    usual: Mapping[str, object]
    """Of some of them the value that most estimators have."""

    @classmethod
    def of(cls, estimates: pd.DataFrame) -> Self:
        """Look at a table."""
        varied, usual = [], {}
        for name in parameter_columns(estimates):
            counts = estimates[name].value_counts()
            if len(counts) > 1:
                varied.append(name)
                if 2 * int(counts.iloc[0]) > int(counts.sum()):
                    usual[name] = counts.index[0]
        return cls(tuple(varied), usual)

    def words(self, row: Mapping[str, Any], without: Collection[str] = ()) -> str:
        """Return an estimator in words: its method, and what is unusual of it."""
        parts = [str(row["method"])]
        parts += [
            f"{name.removeprefix(PARAMETER_PREFIX)} {parameter_text(row[name])}"
            for name in self.varied
            if name not in without and not is_missing(row[name]) and row[name] != self.usual.get(name)
        ]
        return ", ".join(parts)

    @property
    def usual_words(self) -> str:
        """What `words` leaves out."""
        parts = ((name.removeprefix(PARAMETER_PREFIX), parameter_text(value)) for name, value in self.usual.items())
        return ", ".join(f"{name} {text}" for name, text in parts)


def by_estimator(table: pd.DataFrame, names: Names, without: Collection[str] = ()) -> Iterator[pd.DataFrame]:
    """Yield the rows of each estimator, or of those that differ in nothing but some parameters."""
    columns = ["method", *(name for name in names.varied if name not in without)]
    for _, part in table.groupby(columns, dropna=False, sort=False):
        yield part


def numeric_axes(estimates: pd.DataFrame) -> list[str]:
    """Return the columns of numeric parameters with at least three values."""
    numeric = [name for name in parameter_columns(estimates) if pd.api.types.is_numeric_dtype(estimates[name])]
    return [name for name in numeric if len(estimates[name].value_counts()) >= _LEAST_VALUES]


def price_lines(estimates: pd.DataFrame, axis: str, names: Names) -> list[PriceLine]:
    """Return what estimators of one task and place that differ in nothing but one parameter need at its values."""
    lines = []
    for part in by_estimator(estimates[estimates["kind"] == "estimated"].dropna(subset=[axis]), names, [axis]):
        part = part.sort_values(axis)
        x = part[axis].to_numpy(np.float64)
        if len(np.unique(x)) == len(x) >= _LEAST_VALUES:
            values = (part[f"{PRICE}{end}"].to_numpy(np.float64) for end in ("", "_low", "_high", "_expected"))
            lines.append(PriceLine(names.words(_first(part), [axis]), x, *values))
    return lines


def _first(part: pd.DataFrame) -> dict[str, Any]:
    return {str(name): value for name, value in part.iloc[0].items()}


def crossings(lines: Sequence[PriceLine], parameter: str) -> list[Crossing]:
    """Return where the prices of any two lines cross, in the order of the lines."""
    return [found for a, b in combinations(lines, 2) for found in _crossings(a, b, parameter)]


def _crossings(a: PriceLine, b: PriceLine, parameter: str) -> Iterator[Crossing]:
    x, at_a, at_b = np.intersect1d(a.x, b.x, return_indices=True)
    with np.errstate(all="ignore"):
        ratio, low, high = (
            np.log(one[at_a] / other[at_b]) for one, other in ((a.price, b.price), (a.low, b.high), (a.high, b.low))
        )
    good = np.isfinite(ratio) & (x > 0)
    x, ratio, low, high = np.log(x[good]), ratio[good], low[good], high[good]
    for k in np.flatnonzero(np.sign(ratio[:-1]) * np.sign(ratio[1:]) < 0).tolist():
        rising = ratio[k] < 0  # a is the cheaper one below
        ends = sorted((_zero(x, high if rising else low, k), _zero(x, low if rising else high, k)))
        first, second = (a, b) if rising else (b, a)
        yield Crossing(
            parameter.removeprefix(PARAMETER_PREFIX),
            first.words,
            second.words,
            *(math.exp(value) for value in (_zero(x, ratio, k), *ends)),
        )


def _zero(x: Floats, y: Floats, k: int) -> float:
    """Return where a line changes its sign nearest to the k-th of its pieces; the end of x where it does not."""
    changes = np.flatnonzero(np.sign(y[:-1]) * np.sign(y[1:]) <= 0)
    if not changes.size:
        return float(x[-1] if abs(y[-1]) < abs(y[0]) else x[0])
    j = int(changes[np.argmin(np.abs(changes - k))])
    if y[j + 1] == y[j]:
        return float(x[j])
    return float(x[j] - y[j] * (x[j + 1] - x[j]) / (y[j + 1] - y[j]))

"""What a run says of a published result: a quantity with its interval, beside what was published, and a verdict."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from freewalk.results.statistics.bootstrap import bootstrap_interval
from freewalk.results.statistics.cell import Interval, expected_running_time, median, student_quantile, wilson_interval
from freewalk.results.statistics.intervals import median_interval, running_time_interval
from freewalk.results.tables.arithmetic import calculate
from freewalk.results.tables.selection import ExpressionError, select, shortened

Statistic = Literal["mean", "median", "share", "ert"]
Compare = Literal["ratio", "difference"]
CONFIDENCE: Final = 0.95
_LARGEST_EXPONENT: Final = 700
_ERT_COLUMNS: Final = ("reached", "evaluations_to_target", "evaluations", "evaluations_budget")
_LOOKED_AT: Final = 1001
"""Points of a transform, to see whether it turns."""
_FEW: Final = 8
"""Of fewer values the interval of a mean is Student's."""


class Verdict(StrEnum):
    """What a reproduction comes to."""

    REPRODUCED = "reproduced"
    """Every check holds, and nothing was changed."""
    AT_ANOTHER_SCALE = "at another scale"
    """Every check holds, and something was changed that is said."""
    NOT_REPRODUCED = "not reproduced"
    """A check does not hold."""
    UNDECIDED = "undecided"
    """No check fails, but of one there are too few trials to say that it holds."""


@dataclass(frozen=True)
class Check:
    """One published number or claim, and how it is found in the tables of a run."""

    claim: str
    """In words."""
    value: str
    """What is calculated of each row, see `calculate`; not of `ert`."""
    statistic: Statistic = "mean"
    """Of these values: their mean or median; the share of those that are not 0; or `ert`, the expected evaluations
    until a trial reaches its target, failures counted in."""
    where: str = ""
    """Which rows, see `select`; empty for all."""
    against: str = ""
    """Rows that those are compared with; empty for none."""
    compare: Compare = "ratio"
    """The statistic of `where` over that of `against`, or less it."""
    table: str = "trials"
    transform: str = ""
    """What is calculated of the result, a monotone function of `x`; empty for nothing."""
    resolution: str = ""
    """By how much a value may be too high, calculated of each row; empty for not at all."""
    published: float | None = None
    published_low: float | None = None
    published_high: float | None = None
    """The publication's own interval, if it has one."""
    margin: float | None = None
    """How wide an interval may be, to each side, that is to tell anything of a number; None for the number itself."""
    above: float | None = None
    below: float | None = None
    """The claim is a bound, in place of a number."""

    @property
    def is_bound(self) -> bool:
        """Whether a bound decides, and not a number."""
        return self.above is not None or self.below is not None


@dataclass(frozen=True)
class Found:
    """What a check comes to."""

    estimate: float
    low: float
    high: float
    """Of an interval that holds with 95 %, together with those of the other numbers of the reproduction."""
    n: int
    """Rows that it rests on."""
    holds: bool | None
    """None where there are too few rows to say."""


def judge(checks: Sequence[Check], tables: Mapping[str, pd.DataFrame]) -> list[Found]:
    """Return what checks come to.

    A number holds if the interval has it, or meets the publication's own interval, and is no wider than the margin to
    each side; a bound if the whole interval lies beyond it, which by chance happens with p < 0.025. As all have to
    hold, the intervals of m numbers are those of 1 - 0.05 / m each (Bonferroni's correction); those of bounds need
    none.

    Trials that failed do not count. Where no row is left nothing is found, and nothing holds or does not.

    Raises
    ------
    ExpressionError
        A check names a table or a column that is not there; it says of which check.
    """
    n_numbers = sum(not check.is_bound for check in checks)
    found = []
    for check in checks:
        try:
            found.append(_found(check, tables, 1 - (1 - CONFIDENCE) / (1 if check.is_bound else n_numbers)))
        except ExpressionError as error:
            raise ExpressionError(f"check {check.claim!r}: {error}") from None
    return found


def refuse_unknown(check: Check, tables: Mapping[str, pd.DataFrame]) -> None:
    """Raise ExpressionError if a check cannot be calculated of tables with such columns, whatever they hold."""
    table = _table(check, tables)
    for where in filter(None, (check.where, check.against)):
        select(table, where)
    for expression in _ERT_COLUMNS if check.statistic == "ert" else filter(None, (check.value, check.resolution)):
        calculate(table, expression)
    if check.transform:
        calculate(pd.DataFrame({"x": [1.0]}), check.transform)


def verdict_of(found: Sequence[Found], changed: str) -> Verdict:
    """Return the verdict on a run; `changed` says what differs from the publication, if anything."""
    if any(one.holds is False for one in found):
        return Verdict.NOT_REPRODUCED
    if any(one.holds is None for one in found):
        return Verdict.UNDECIDED
    return Verdict.AT_ANOTHER_SCALE if changed else Verdict.REPRODUCED


def _table(check: Check, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    if check.table not in tables:
        raise ExpressionError(f"there is no table {check.table!r}; there are: {', '.join(tables)}")
    return tables[check.table]


def _found(check: Check, tables: Mapping[str, pd.DataFrame], confidence: float) -> Found:
    table = _table(check, tables)
    estimate, (low, high), n = _of_rows(check, table, check.where, confidence)
    if check.against:
        other, ends, n_other = _of_rows(check, table, check.against, confidence)
        n += n_other
        compared = _ratio if check.compare == "ratio" else _difference
        estimate, low, high = compared(estimate, low, high, other, *ends)
    if check.transform:
        estimate, low, high = _transformed(check.transform, estimate, low, high)
    return Found(estimate, low, high, n, _holds(check, low, high))


def _transformed(transform: str, estimate: float, low: float, high: float) -> tuple[float, float, float]:
    """Return the function's values, whose interval is that between those of both ends.

    Raises
    ------
    ExpressionError
        It rises and falls between them.
    """
    estimate_after, *ends = calculate(pd.DataFrame({"x": [estimate, low, high]}), transform).tolist()
    if any(map(math.isnan, ends)):
        return estimate_after, math.nan, math.nan
    if math.isfinite(low) and math.isfinite(high):
        between = pd.DataFrame({"x": np.linspace(low, high, _LOOKED_AT)})
        with np.errstate(invalid="ignore"):  # of infinities
            steps = np.diff(calculate(between, transform))
            rounding = 1e-9 * np.abs(steps).sum()
        if steps.max() > rounding and steps.min() < -rounding:
            raise ExpressionError(
                f"transform {shortened(repr(transform))} rises and falls between {low:.3g} and {high:.3g};"
                " give one that only rises or only falls"
            )
    return estimate_after, min(ends), max(ends)


def _of_rows(check: Check, table: pd.DataFrame, where: str, confidence: float) -> tuple[float, Interval, int]:
    rows = select(table, where) if where else table
    if "state" in rows:
        rows = rows[(rows["state"] != "failed").fillna(True)]
    if not len(rows):
        return math.nan, (math.nan, math.nan), 0
    if check.statistic == "ert":
        reached, at_target, spent, budgets = (calculate(rows, name) for name in _ERT_COLUMNS)
        reached = np.nan_to_num(reached) != 0
        costs = np.where(reached, at_target, spent)
        budget = float(np.nan_to_num(budgets).max()) or math.nan
        ends = running_time_interval(costs, reached, confidence=confidence, budget=budget)
        return expected_running_time(costs, reached), ends, len(rows)
    values = calculate(rows, check.value)
    if check.statistic == "share":
        hits = int((np.nan_to_num(values) != 0).sum())
        return hits / len(rows), wilson_interval(hits, len(rows), confidence), len(rows)
    values = np.where(np.isnan(values), math.inf, values)  # a trial that never got there
    estimate, (low, high) = _centre(values, check.statistic, confidence)
    if check.resolution:
        lower = low - float(np.nan_to_num(calculate(rows, check.resolution)).mean())
        low = max(0.0, lower) if low >= 0 else lower
    return estimate, (low, high), len(rows)


def _centre(values: NDArray[np.float64], statistic: Statistic, confidence: float) -> tuple[float, Interval]:
    if statistic == "median":
        return float(median(values)), median_interval(values, confidence=confidence)
    estimate = float(values.mean())
    if len(values) < 2:
        return estimate, (math.nan, math.nan)
    if len(values) >= _FEW:
        return estimate, bootstrap_interval(values, _mean, confidence=confidence)
    if not math.isfinite(estimate):
        return estimate, (-math.inf, math.inf)
    with np.errstate(over="ignore"):  # of losses that diverged
        spread = float(values.std(ddof=1))
    half = student_quantile(confidence, len(values) - 1) * spread / math.sqrt(len(values))
    if values.min() >= 0 and estimate > 0:  # on logarithms: counts and errors are skewed, and none is below 0
        factor = math.exp(min(half / estimate, _LARGEST_EXPONENT))
        return estimate, (estimate / factor, estimate * factor)
    return estimate, (estimate - half, estimate + half)


def _mean(values: NDArray[np.float64]) -> Any:
    return values.mean(axis=-1)


def _ratio(a: float, low_a: float, high_a: float, b: float, low_b: float, high_b: float) -> tuple[float, float, float]:
    """Return A / B with its interval, from those of both by the method of variance estimates recovery on logarithms.

    Source: G. Y. Zou, A. Donner, Statistics in Medicine 27, 1693 (2008). Values that vary together (the same seeds)
    make it too wide rather than too narrow.
    """
    if math.isinf(a) and math.isfinite(b):
        return math.inf, max(0.0, low_a) / high_b if high_b > 0 else math.nan, math.inf
    if not (math.isfinite(a) and math.isfinite(b) and a > 0 and b > 0):
        return math.nan, math.nan, math.nan
    below = math.hypot(_log_distance(low_a, a), _log_distance(b, high_b))
    above = math.hypot(_log_distance(a, high_a), _log_distance(low_b, b))
    return a / b, a / b * math.exp(-below), a / b * math.exp(above) if above < 700 else math.inf


def _log_distance(low: float, high: float) -> float:
    if math.isnan(low) or math.isnan(high):
        return math.nan
    return math.inf if low <= 0 or math.isinf(high) else math.log(high / low)


def _difference(
    a: float, low_a: float, high_a: float, b: float, low_b: float, high_b: float
) -> tuple[float, float, float]:
    """Return A - B with its interval, as `_ratio` does."""
    return a - b, a - b - math.hypot(a - low_a, high_b - b), a - b + math.hypot(high_a - a, b - low_b)


def _holds(check: Check, low: float, high: float) -> bool | None:
    if math.isnan(low) or math.isnan(high):
        return None
    if check.is_bound:
        inside = (check.above is None or low > check.above) and (check.below is None or high < check.below)
        outside = (check.above is not None and high < check.above) or (check.below is not None and low > check.below)
        return True if inside else False if outside else None
    wanted = check.published if check.published is not None else math.nan
    least, most = (wanted if end is None else end for end in (check.published_low, check.published_high))
    if not (low <= most and high >= least):
        return False
    margin = max(abs(wanted), (most - least) / 2) if check.margin is None else check.margin
    return True if (high - low) / 2 <= margin else None

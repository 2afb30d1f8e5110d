"""Two sides of sweeps, cell by cell: does one need more evaluations, or more time a step, and is that more than chance.

All cells together are in `comparison_whole`.
"""

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtr

from freewalk.results.analysis.cells import Rows, TrialArrays, counted_rows
from freewalk.results.analysis.contrast import ALIKE_COST, Outcomes, Verdict, contrast, ends, judge, rank_test
from freewalk.results.analysis.matching import Matching
from freewalk.results.schema.report_schema import COMPARISON
from freewalk.results.statistics.cell import Floats, expected_running_time, median, student_quantile
from freewalk.results.statistics.ranks import SIGNIFICANT, holm, signed_rank, smallest_p
from freewalk.results.statistics.ratio import UNKNOWN, Ratio
from freewalk.results.tables.frames import column_dtypes, frame_of

EVALUATIONS: Final = "evaluations_to_target"
SECONDS: Final = "seconds_per_step"
MEASURES: Final = (EVALUATIONS, SECONDS)
STUDENT: Final = "Student's t of pairs of runs"
FEWEST_RUNS: Final = 3
"""Pairs of runs that a test of seconds takes."""

Runs = tuple[Rows, Rows]


def compare(
    a: pd.DataFrame,
    b: pd.DataFrame,
    matching: Matching,
    measures: Sequence[str] = MEASURES,
    runs: Runs | None = None,
) -> pd.DataFrame:
    """Compare the cells that two ``trials`` tables have in common.

    Evaluations: the ratio of the expected running times, the median ratio of the costs where both reached the target,
    and a rank test of the costs, where a trial that did not reach the target is worse than any that did. Trials with
    equal seeds share their noise and are compared as pairs where there are enough of them. Of trials of one cell and
    seed one is counted.
    Seconds a step: the trials of a run share the machine's state, which flips between two speeds for minutes, so what
    is counted are pairs of runs, A and B in turn: signed ranks of their log ratios, which six pairs at least can make
    significant. (Of all cells together Student's t is, from three pairs on. Of single cells it would be too sure: where
    the speed flips between two, the same flip in three pairs is one case in 64, and no spread is seen.) Whether the
    seconds come from one machine is for the caller to know.

    Parameters
    ----------
    a, b : pandas.DataFrame
        The ``trials`` tables of all runs of a side, one below the other; complete trials count.
    matching : Matching
        Their common cells, from ``match_cells``.
    measures : sequence of {"evaluations_to_target", "seconds_per_step"}
        What to compare.
    runs : pair of ndarray of int, optional
        The number of the run of each row of `a` and of `b`; runs with the same number are a pair. All one pair without.

    Returns
    -------
    pandas.DataFrame
        The ``comparison`` table: measure by measure, in each one row per cell. Cells with different targets are left
        out of the evaluations, cells without a complete trial on both sides out of both.
    """
    sides = Sides(a, b, matching, runs)
    records, firsts = [], []
    for measure in measures:
        if measure == EVALUATIONS:
            cells = sides.evaluations()
            found = [_evaluations(one, other, len(cells)) for _, (one, other) in cells]
            firsts += [row for row, _ in cells]
        else:
            timed = sides.seconds()
            found = [_seconds(one, other, len(timed)) for _, (one, other) in timed]
            firsts += [row for row, _ in timed]
        for kind in ("p_value", "p_worse"):
            for row, adjusted in zip(found, holm([row[kind] for row in found]), strict=True):
                row["p_adjusted" if kind == "p_value" else "p_worse_adjusted"] = float(adjusted)
        records += [_judged(row) for row in found]
    first = a.iloc[firsts].reset_index(drop=True)
    return frame_of(COMPARISON, records, first[[*dict.fromkeys(["task", "method", *matching.columns])]])


class Pace(NamedTuple):
    """The complete trials of a cell on one side, as a clock sees them."""

    runs: Rows
    seconds: Floats
    """Training seconds a step."""
    n_reached: int

    @property
    def is_known(self) -> bool:
        """Whether the seconds of any trial are."""
        return not np.isnan(self.seconds).all()


class Sides:
    """The trials of both sides, and their cells."""

    def __init__(self, a: pd.DataFrame, b: pd.DataFrame, matching: Matching, runs: Runs | None = None) -> None:
        self._matching = matching
        self._tables = (a, b)
        self._arrays = (TrialArrays(a), TrialArrays(b))
        self._runs = runs or (np.zeros(len(a), np.intp), np.zeros(len(b), np.intp))

    def evaluations(self) -> list[tuple[int, tuple[Outcomes, Outcomes]]]:
        """Return a row of A for each cell that can be compared, and its trials on both sides."""
        counted = [counted_rows(table) for table in self._tables]
        found = []
        for rows in self._matching.pairs:
            one, other = (
                Outcomes.of(arrays, of_side[np.isin(of_side, kept)])
                for arrays, of_side, kept in zip(self._arrays, rows, counted, strict=True)
            )
            if one.costs.size and other.costs.size and self._target(0, rows[0]) == self._target(1, rows[1]):
                found.append((int(rows[0][0]), (one, other)))
        return found

    def _target(self, side: int, rows: Rows) -> tuple[str | None, float] | None:
        """Return a cell's metric and its value; None where nobody says."""
        arrays = self._arrays[side]
        known = rows[arrays.complete[rows] & ~np.isnan(arrays.numbers["target"][rows])]
        return (arrays.metric_names[known[0]], float(arrays.numbers["target"][known[0]])) if len(known) else None

    def seconds(self) -> list[tuple[int, tuple[Pace, Pace]]]:
        """Return a row of A for each cell with a complete trial on both sides, and its trials.

        Nothing where no cell has seconds on both, as tables that were made by hand.
        """
        found = []
        for rows in self._matching.pairs:
            one, other = (self._pace(side, of_side) for side, of_side in enumerate(rows))
            if one.runs.size and other.runs.size:
                found.append((int(rows[0][0]), (one, other)))
        return found if any(one.is_known and other.is_known for _, (one, other) in found) else []

    def _pace(self, side: int, rows: Rows) -> Pace:
        arrays = self._arrays[side]
        complete = rows[arrays.complete[rows]]
        with np.errstate(divide="ignore", invalid="ignore"):
            pace = arrays.numbers["train_seconds"][complete] / arrays.numbers["steps"][complete]
        known = np.where(np.isfinite(pace) & (pace > 0), pace, math.nan)
        return Pace(self._runs[side][complete], known, int(arrays.reached[complete].sum()))


def log_ratios(a: Pace, b: Pace) -> dict[int, float]:
    """Return the logarithm of B over A in each pair of runs, of the median trial of each."""
    found = {}
    for run in np.intersect1d(a.runs, b.runs):
        one, other = (float(median(s.seconds[(s.runs == run) & ~np.isnan(s.seconds)])) for s in (a, b))
        if math.isfinite(one) and math.isfinite(other):
            found[int(run)] = math.log(other / one)
    return found


def student_ratio(logs: Floats) -> tuple[Ratio, float, float]:
    """Return the geometric mean of ratios with Student's interval, and p-values: of both sides, and of a mean above 1.

    Nothing is tested of fewer than three.
    """
    if not logs.size:
        return UNKNOWN, math.nan, math.nan
    mean = float(logs.mean())
    if logs.size < FEWEST_RUNS:
        return Ratio(math.exp(mean), 0.0, math.inf), math.nan, math.nan
    error = float(logs.std(ddof=1)) / math.sqrt(logs.size)
    half = student_quantile(0.95, logs.size - 1) * error
    t = mean / error if error else math.copysign(math.inf, mean) if mean else 0.0
    p_worse = float(stdtr(logs.size - 1, -t))
    return Ratio(math.exp(mean), math.exp(mean - half), math.exp(mean + half)), 2 * min(p_worse, 1 - p_worse), p_worse


def _evaluations(a: Outcomes, b: Outcomes, n_tests: int) -> dict[str, Any]:
    test, effect = rank_test(a.scores, a.seeds, b.scores, b.seeds, n_tests)
    found = contrast(a, b, n_tests)
    sizes = a.costs.size, b.costs.size
    return {
        "measure": EVALUATIONS,
        "n_a": sizes[0],
        "n_b": sizes[1],
        "n_reached_a": int(a.reached.sum()),
        "n_reached_b": int(b.reached.sum()),
        "value_a": expected_running_time(a.costs, a.reached),
        "value_b": expected_running_time(b.costs, b.reached),
        "resolution_a": a.resolution,
        "resolution_b": b.resolution,
        **ends("ratio", found.ratio),
        **ends("cost_ratio", found.cost_ratio),
        **ends("superiority", effect),
        "test": test.name,
        "p_value": test.p_value,
        "p_worse": test.p_larger,
        "p_attainable": min(1.0, smallest_p(test.name, *sizes) * n_tests),
        "contrast": found,
    }


def _seconds(a: Pace, b: Pace, n_tests: int) -> dict[str, Any]:
    logs = np.array([*log_ratios(a, b).values()])
    ratio = student_ratio(logs)[0]
    test = signed_rank(np.zeros(logs.size), logs) if logs.size >= FEWEST_RUNS else None
    values = [float(median(s.seconds[~np.isnan(s.seconds)])) for s in (a, b)]
    return {
        **dict.fromkeys(column_dtypes(COMPARISON)),
        "measure": SECONDS,
        "n_a": a.runs.size,
        "n_b": b.runs.size,
        "n_reached_a": a.n_reached,
        "n_reached_b": b.n_reached,
        "value_a": values[0],
        "value_b": values[1],
        **ends("ratio", ratio),
        "test": test and test.name,
        "p_value": test.p_value if test else math.nan,
        "p_worse": test.p_larger if test else math.nan,
        "p_attainable": min(1.0, smallest_p(test.name, logs.size, logs.size) * n_tests) if test else math.nan,
        "contrast": None,
    }


def _judged(row: dict[str, Any]) -> dict[str, Any]:
    """Add whether and how the sides differ."""
    if math.isnan(row["p_adjusted"]):
        return row | {"different": None, "verdict": None}
    told = row["p_adjusted"] < SIGNIFICANT
    direction = 0 if not told else 1 if row["p_worse"] < row["p_value"] else -1
    verdict = judge(row["contrast"], direction)
    if row["measure"] == SECONDS and not told and 1 / ALIKE_COST <= row["ratio_low"] <= row["ratio_high"] <= ALIKE_COST:
        verdict = Verdict.ALIKE
    return row | {"different": bool(told), "verdict": str(verdict)}

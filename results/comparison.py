"""Two sweeps, cell by cell: does one need more evaluations, or more time a step, and is that more than chance."""

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from freewalk.results.cells import Bools, Rows, TrialArrays
from freewalk.results.frames import build_frame, column_dtypes, typed_series
from freewalk.results.matching import Matching
from freewalk.results.report_schema import COMPARISON
from freewalk.results.schema import PARAMETER_PREFIX, SCHEMA_VERSION
from freewalk.results.statistics import Floats, expected_running_time, median
from freewalk.results.statistics_effect import paired_superiority, superiority
from freewalk.results.statistics_ranks import (
    SIGNED_RANK,
    SIGNIFICANT,
    better_suited,
    holm,
    mann_whitney,
    signed_rank,
    smallest_p,
)
from freewalk.results.statistics_ratio import running_time_ratio, shift_ratio

EVALUATIONS: Final = "evaluations_to_target"
SECONDS: Final = "seconds_per_step"
MEASURES: Final = (EVALUATIONS, SECONDS)


def compare(a: pd.DataFrame, b: pd.DataFrame, matching: Matching, measures: Sequence[str] = MEASURES) -> pd.DataFrame:
    """Compare the cells that two ``trials`` tables have in common.

    Evaluations: the ratio of the expected running times, and a rank test of the costs, where a trial that did not reach
    the target is worse than any that did. Trials with equal seeds share their noise and are compared as pairs where
    there are enough of them. Seconds a step: the median of all ratios, and a test of unpaired trials, since the noise
    of a clock has no seed. Whether the seconds come from one machine is for the caller to know.

    Parameters
    ----------
    a, b : pandas.DataFrame
        The ``trials`` tables; complete trials count.
    matching : Matching
        Their common cells, from ``match_cells``.
    measures : sequence of {"evaluations_to_target", "seconds_per_step"}
        What to compare.

    Returns
    -------
    pandas.DataFrame
        The ``comparison`` table: measure by measure, in each one row a cell. Cells with different targets are left
        out of the evaluations, cells without a complete trial on both sides out of both.
    """
    arrays_a, arrays_b = TrialArrays(a), TrialArrays(b)
    seeds_a, seeds_b = (table["seed"].to_numpy(dtype=np.int64, na_value=-1) for table in (a, b))
    samples = [
        (_Sample.of(arrays_a, seeds_a, rows_a), _Sample.of(arrays_b, seeds_b, rows_b))
        for rows_a, rows_b in matching.pairs
    ]
    records, firsts = [], []
    for measure in measures:
        record = _evaluations if measure == EVALUATIONS else _seconds
        measured = [(a.known, b.known) for a, b in samples] if measure == EVALUATIONS else samples
        usable = [
            (pair, rows)
            for pair, (rows, _) in zip(measured, matching.pairs, strict=True)
            if pair[0].costs.size and pair[1].costs.size and (measure == SECONDS or pair[0].target == pair[1].target)
        ]
        found = [record(*pair, len(usable)) for pair, _ in usable]
        for row, adjusted in zip(found, holm([row["p_value"] for row in found]), strict=True):
            row["p_adjusted"] = float(adjusted)
            row["different"] = None if math.isnan(adjusted) else bool(adjusted < SIGNIFICANT)
        records += found
        firsts += [int(rows[0]) for _, rows in usable]
    cells = a.iloc[firsts].reset_index(drop=True)
    columns = {
        name: cells[name] if name in ("task", "method") else typed_series([row[name] for row in records], dtype)
        for name, dtype in column_dtypes(COMPARISON).items()
    }
    parameters = [name for name in matching.columns if name.startswith(PARAMETER_PREFIX)]
    columns |= {name: cells[name] for name in parameters}
    return build_frame(COMPARISON, columns, [name.removeprefix(PARAMETER_PREFIX) for name in parameters])


class _Sample(NamedTuple):
    """The complete trials of a cell on one side."""

    seeds: Rows
    costs: Floats
    """Evaluations to the target, or all that were spent."""
    reached: Bools
    pace: Floats
    """Training seconds a step; NaN for a trial without a step."""
    target: tuple[str | None, float] | None
    """Metric and its value; None where nobody says."""

    @classmethod
    def of(cls, trials: TrialArrays, seeds: Rows, rows: Rows) -> "_Sample":
        complete = rows[trials.complete[rows]]
        reached = trials.reached[complete]
        to_target, until_end = (trials.numbers[name][complete] for name in ("evaluations_to_target", "evaluations"))
        with np.errstate(divide="ignore", invalid="ignore"):
            pace = trials.numbers["train_seconds"][complete] / trials.numbers["steps"][complete]
        known = complete[~np.isnan(trials.numbers["target"][complete])]
        return cls(
            seeds[complete],
            np.where(reached, to_target, until_end),
            reached,
            np.where(np.isfinite(pace) & (pace > 0), pace, math.nan),
            (trials.metric_names[known[0]], float(trials.numbers["target"][known[0]])) if len(known) else None,
        )

    @property
    def known(self) -> "_Sample":
        """Those whose cost is known; a table of another program, or of an older layout, may not say."""
        return self.at(np.flatnonzero(~np.isnan(self.costs)))

    def at(self, places: Rows) -> "_Sample":
        """Give some of the trials, in another order."""
        return self._replace(
            seeds=self.seeds[places],
            costs=self.costs[places],
            reached=self.reached[places],
            pace=self.pace[places],
        )


def _evaluations(a: _Sample, b: _Sample, n_tests: int) -> dict[str, Any]:
    costs_a, costs_b = (np.where(s.reached, np.log1p(s.costs), math.inf) for s in (a, b))
    seeds, places, partners = np.intersect1d(a.seeds, b.seeds, return_indices=True)
    n_pairs = len(seeds) if len(seeds) == a.seeds.size == b.seeds.size else 0
    test = better_suited(n_pairs, a.costs.size, b.costs.size, n_tests)
    if test == SIGNED_RANK:
        first, second = costs_a[places], costs_b[partners]
        p, effect = signed_rank(first, second).p_value, paired_superiority(first, second)
    else:
        p, effect = mann_whitney(costs_a, costs_b).p_value, superiority(costs_a, costs_b)
    if n_pairs:  # in the order of the seeds, so that equal trials stand side by side
        a, b = a.at(places), b.at(partners)
    ratio = running_time_ratio(a.costs, a.reached, b.costs, b.reached)
    values = [expected_running_time(s.costs, s.reached) for s in (a, b)]
    return _record(EVALUATIONS, a, b, values, ratio, effect, test, p, n_tests)


def _seconds(a: _Sample, b: _Sample, n_tests: int) -> dict[str, Any]:
    pace_a, pace_b = (s.pace[~np.isnan(s.pace)] for s in (a, b))
    effect, ratio = superiority(pace_a, pace_b), shift_ratio(pace_a, pace_b)
    test = mann_whitney(pace_a, pace_b)
    values = [float(median(pace)) for pace in (pace_a, pace_b)]
    return _record(SECONDS, a, b, values, ratio, effect, test.name, test.p_value, n_tests)


def _record(
    measure: str,
    a: _Sample,
    b: _Sample,
    values: Sequence[float],
    ratio: tuple[float, float, float],
    effect: tuple[float, float, float],
    test: str,
    p_value: float,
    n_tests: int,
) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "measure": measure,
        "n_a": a.costs.size,
        "n_b": b.costs.size,
        "n_reached_a": int(a.reached.sum()),
        "n_reached_b": int(b.reached.sum()),
        "value_a": values[0],
        "value_b": values[1],
        **dict(zip(("ratio", "ratio_low", "ratio_high"), ratio, strict=True)),
        **dict(zip(("superiority", "superiority_low", "superiority_high"), effect, strict=True)),
        "test": test,
        "p_value": p_value,
        "p_attainable": min(1.0, smallest_p(test, a.costs.size, b.costs.size) * n_tests),
    }


class Overall(NamedTuple):
    """All cells of a measure together."""

    measure: str
    n_cells: int
    ratio: float
    """Median of the cells' ratios."""
    p_value: float
    """Wilcoxon's signed ranks of the logarithms of the cells' ratios (Demšar, JMLR 7, 1, 2006)."""
    n_worse: int
    """Cells that are told apart, with a ratio above 1."""
    n_better: int


def overall(comparison: pd.DataFrame) -> list[Overall]:
    """Sum up each measure of a ``comparison``; cells whose ratio is unknown do not count."""
    found = []
    for measure in dict.fromkeys(comparison["measure"]):
        rows = comparison[(comparison["measure"] == measure) & comparison["ratio"].notna()]
        ratios = rows["ratio"].to_numpy(dtype=np.float64)
        different = rows["different"].to_numpy(dtype=np.bool_, na_value=False)
        with np.errstate(divide="ignore"):
            p = signed_rank(np.zeros(len(ratios)), np.log(ratios)).p_value
        worse, better = int((different & (ratios > 1)).sum()), int((different & (ratios < 1)).sum())
        found.append(Overall(str(measure), len(ratios), float(median(ratios)), p, worse, better))
    return found


def regressions(comparison: pd.DataFrame, threshold: float) -> tuple[pd.DataFrame, list[Overall]]:
    """Give what is worse in B by more than a factor, with evidence.

    A cell is, where its ratio is above the threshold and A and B are told apart; so is a measure as a whole, where the
    median ratio of its cells is above the threshold and their signed ranks are significant. So many small differences
    count that no cell shows alone, and few seeds hide nothing that all cells share.

    Returns
    -------
    pandas.DataFrame, list of Overall
        The rows of `comparison`, and the measures as a whole.
    """
    ratios = comparison["ratio"].to_numpy(dtype=np.float64)
    told = comparison["different"].to_numpy(dtype=np.bool_, na_value=False)
    whole = [o for o in overall(comparison) if o.ratio > threshold and o.p_value < SIGNIFICANT]
    return comparison[told & (np.nan_to_num(ratios, nan=0.0, posinf=math.inf) > threshold)], whole

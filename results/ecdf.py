"""How many (trial, target) pairs are solved after how much work."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from freewalk.results.cells import Rows, group_rows
from freewalk.results.schema import State
from freewalk.results.statistics import Floats

HARDEST_ABOVE: Final = 1e-12
"""Targets below this share of the easiest one are rounding errors."""


def ecdf(
    trials: pd.DataFrame,
    curves: pd.DataFrame,
    *,
    by: Sequence[str] = ("task", "method"),
    metric: str = "loss",
    split: str = "heldout",
    unit: str = "evaluations",
    targets: Mapping[str, ArrayLike] | None = None,
    n_targets: int = 51,
) -> pd.DataFrame:
    """Give the share of (trial, target) pairs that are solved within a cost, for groups of trials.

    A pair is solved at the first curve point at or below its target. Trials without a curve, failed ones too, count
    with all their pairs unsolved; those that have not run yet do not count.
    Source: Hansen, Auger, Brockhoff, Tusar, Tusar, COCO: performance assessment, arXiv:1605.03560 (2016).

    Parameters
    ----------
    trials, curves : pandas.DataFrame
        The tables.
    by : sequence of str
        Columns of ``trials`` that make the groups.
    metric, split : str
        Which curve; it is to be low.
    unit : {"evaluations", "step", "train_seconds"}
        What work is measured in.
    targets : mapping of str to array_like of float, optional
        Targets of each task. Unless given they are spaced by equal ratios, from the median first value of the task's
        curves down to the lowest value of any, so that the hardest is solved once at least.
    n_targets : int
        How many, where they are not given.

    Returns
    -------
    pandas.DataFrame
        ``by``, the unit, ``solved`` (from that cost on), ``n_pairs``. In each group costs increase, from 0 to the
        largest of the curves; a task without a positive value has no targets and no rows.

    Raises
    ------
    ValueError
        ``n_targets`` is below 2.
    """
    if n_targets < 2:
        raise ValueError(f"n_targets is at least 2, not {n_targets}")
    told = trials[trials["state"].isin([State.COMPLETE, State.FAILED])].reset_index(drop=True)
    hits = FirstHits(told, curves, metric, split, unit)
    found = targets or {task: hits.spaced_targets(task, n_targets) for task in dict.fromkeys(told["task"])}
    costs = {task: hits.costs(task, np.asarray(values, np.float64)) for task, values in found.items()}
    frames = []
    for rows in group_rows(told[list(by)]):
        parts = [costs[task][rows[hits.tasks[rows] == task]].ravel() for task in dict.fromkeys(hits.tasks[rows])]
        solved = _steps(np.concatenate(parts), hits.last_cost, unit)
        key = told.iloc[[int(rows[0])]][list(by)]
        frames.append(key.loc[key.index.repeat(len(solved))].reset_index(drop=True).join(solved))
    if not frames:
        return pd.DataFrame({name: told[name] for name in by} | {name: [] for name in (unit, "solved", "n_pairs")})
    return pd.concat(frames, ignore_index=True)


def _steps(costs: Floats, last: float, unit: str) -> pd.DataFrame:
    """Give the steps of the distribution of costs, infinite ones never solved."""
    if not costs.size:
        return pd.DataFrame({unit: costs, "solved": costs, "n_pairs": np.array([], np.int64)})
    at, counts = np.unique(np.concatenate([[0.0, last], costs[np.isfinite(costs)]]), return_counts=True)
    for end in {0.0, last}:
        counts[at == end] -= 1 if last else 2
    return pd.DataFrame({unit: at, "solved": np.cumsum(counts) / costs.size, "n_pairs": costs.size})


class FirstHits:
    """When each trial's curve first came down to a target."""

    def __init__(self, trials: pd.DataFrame, curves: pd.DataFrame, metric: str, split: str, unit: str) -> None:
        self.tasks: Any = trials["task"].to_numpy()
        chosen = curves[(curves["metric"] == metric) & (curves["split"] == split)]
        place = pd.Index(trials["trial_id"]).get_indexer(pd.Index(chosen["trial_id"]))
        values = chosen["value"].to_numpy(np.float64)
        work = chosen[unit].to_numpy(np.float64, na_value=math.nan)
        known = (place >= 0) & ~np.isnan(values) & ~np.isnan(work)
        order = np.lexsort((work[known], place[known]))
        self._values, self._work = values[known][order], work[known][order]
        self._bounds: Rows = np.searchsorted(place[known][order], np.arange(len(trials) + 1))
        self.last_cost = float(self._work.max(initial=0.0))

    def _curve(self, row: int | np.intp) -> slice:
        return slice(int(self._bounds[row]), int(self._bounds[row + 1]))

    def spaced_targets(self, task: str, n_targets: int) -> Floats:
        """Give targets with equal ratios between; none for a task whose curves are never positive."""
        curves = [self._values[self._curve(row)] for row in np.flatnonzero(self.tasks == task)]
        curves = [values for values in curves if values.size]
        if not curves:
            return np.array([])
        easiest = float(np.median([values[0] for values in curves]))
        lowest = min(float(values.min()) for values in curves)
        if not (easiest > 0 and math.isfinite(easiest)):
            return np.array([])
        return np.geomspace(easiest, max(min(lowest, easiest), HARDEST_ABOVE * easiest), n_targets)

    def costs(self, task: str, targets: Floats) -> Floats:
        """Give the cost of each pair, +inf where unsolved; shape (n_trials, n_targets), other tasks' rows empty."""
        costs = np.full((len(self.tasks), targets.size), math.inf)
        for row in np.flatnonzero(self.tasks == task):
            curve = self._curve(int(row))
            lowest = np.minimum.accumulate(self._values[curve])
            first = np.searchsorted(-lowest, -targets)
            solved = first < lowest.size
            costs[row, solved] = self._work[curve][first[solved]]
        return costs

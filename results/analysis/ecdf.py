"""Success over cost: which share of trials met the target, and easier ones, within how much work."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from freewalk.results.analysis.cells import TrialArrays, by_trial, group_rows
from freewalk.results.schema.schema import State
from freewalk.results.statistics.cell import Floats

_OF_TRIALS: Final = {
    "evaluations": ("evaluations", "evaluations_to_target"),
    "step": ("steps", "steps_to_target"),
    "train_seconds": ("train_seconds", "seconds_to_target"),
}
"""A curve's unit of work, and where the trials have what was spent in all and up to the target."""


def ecdf(
    trials: pd.DataFrame,
    curves: pd.DataFrame,
    *,
    by: Sequence[str] = ("task", "method"),
    higher: Collection[str] = (),
    split: str = "heldout",
    unit: str = "evaluations",
    targets: Mapping[str, ArrayLike] | None = None,
) -> pd.DataFrame:
    """Return the shares of trials that met their target, and of (trial, target) pairs that were met, within a cost.

    The last target of a task is the one that its trials were run for: it is met where and when ``trials`` says so. An
    easier one is met at the first point of the curve of the task's metric that is as good, and with the last one at the
    latest. Failed trials count as having met nothing; those that have not ended do not count.
    Source: Hansen, Auger, Brockhoff, Tusar, Tusar, COCO: performance assessment, arXiv:1605.03560 (2016).

    Parameters
    ----------
    trials, curves : pandas.DataFrame
        The tables; ``curves`` may be empty: then only the last target can be met.
    by : sequence of str
        Columns of ``trials`` that make the groups.
    higher : collection of str
        Tasks whose metric is to be high; all others' is to be low.
    split : str
        Which curves.
    unit : {"evaluations", "step", "train_seconds"}
        What work is measured in.
    targets : mapping of str to array_like of float, optional
        Targets of each task, the easiest first; ``spaced_targets`` unless given.

    Returns
    -------
    pandas.DataFrame
        ``by``, the unit, ``reached`` and ``solved`` (the two shares, from that cost on), ``n_trials``. In each group
        costs increase, from 0 to the most that one of its trials spent. No rows for a task without a target.
    """
    told = trials[trials["state"].isin([State.COMPLETE, State.FAILED])].reset_index(drop=True)
    found = spaced_targets(told, curves, higher=higher, split=split) if targets is None else targets
    hits = _Hits(told, curves, split, unit)
    frames = []
    for rows in group_rows(told[list(by)]):
        known = [(row, task) for row in rows if (task := str(hits.tasks[row])) in found]
        costs = [hits.costs(row, np.asarray(found[task], np.float64), task in higher) for row, task in known]
        if costs:
            key = told.iloc[[int(rows[0])]][list(by)]
            shares = _shares(costs, float(hits.spent[rows].max()), unit)
            frames.append(key.loc[key.index.repeat(len(shares))].reset_index(drop=True).join(shares))
    if not frames:
        return pd.DataFrame(
            {n: told[n].iloc[:0] for n in by} | {n: [] for n in (unit, "reached", "solved", "n_trials")}
        )
    return pd.concat(frames, ignore_index=True)


def _shares(costs: Sequence[Floats], last: float, unit: str) -> pd.DataFrame:
    """Return both shares at every cost at which one of them changes."""
    pairs, ends = np.sort(np.concatenate(costs)), np.sort([cost[-1] for cost in costs])
    at = np.unique(np.concatenate([[0.0, last], pairs[np.isfinite(pairs)]]))
    reached, solved = (np.searchsorted(known, at, side="right") / len(known) for known in (ends, pairs))
    return pd.DataFrame({unit: at, "reached": reached, "solved": solved, "n_trials": len(costs)})


def spaced_targets(
    trials: pd.DataFrame,
    curves: pd.DataFrame,
    *,
    higher: Collection[str] = (),
    split: str = "heldout",
    n_targets: int = 50,
) -> dict[str, Floats]:
    """Return each task's targets, see ``targets_between``, from the median first value of its curves.

    Without a curve there is the target alone; a task without a target is left out.
    """
    hits = _Hits(trials, curves, split, "evaluations")
    found = {}
    for task in dict.fromkeys(hits.tasks):
        rows = np.flatnonzero(hits.tasks == task)
        known = hits.targets[rows][~np.isnan(hits.targets[rows])]
        first = [values[0] for row in rows if (values := hits.curve(row)[1]).size]
        if known.size:
            start = float(np.median(first)) if first else math.nan
            found[str(task)] = targets_between(start, float(known[0]), n_targets, higher=task in higher)
    return found


def targets_between(start: float, target: float, n_targets: int, *, higher: bool) -> Floats:
    """Space targets between where training starts, which is none of them, and the target, which is the last.

    Parameters
    ----------
    start, target : float
        Values of the metric.
    n_targets : int
        How many; one where there is nothing between, since the start is unknown or no worse than the target.
    higher : bool
        Whether the metric is to be high.

    Returns
    -------
    ndarray of float64, shape (n_targets,)
        By equal ratios of the distance to the ideal, which is 0 for what is to be low, and 1 for a share that is to be
        high; by equal steps where there is no ratio (an error of 0, a share of 1, other numbers that are to be high).
    """
    if n_targets < 1:
        raise ValueError(f"n_targets is at least 1, not {n_targets}")
    if not math.isfinite(start) or (start >= target if higher else start <= target):
        return np.array([target])
    shares = np.arange(1, n_targets + 1) / n_targets
    if (start >= 0 and target < 1) if higher else target > 0:
        ideal = 1.0 if higher else 0.0
        values = ideal + (start - ideal) * ((target - ideal) / (start - ideal)) ** shares
    else:
        values = start + (target - start) * shares
    values[-1] = target
    return np.asarray(values, np.float64)


class _Hits:
    """When each trial met which target."""

    def __init__(self, trials: pd.DataFrame, curves: pd.DataFrame, split: str, unit: str) -> None:
        self.tasks: Any = trials["task"].to_numpy()
        self.targets: Floats = trials["target"].to_numpy(np.float64, na_value=math.nan)
        in_all, to_target = _OF_TRIALS[unit]
        self.spent: Floats = np.nan_to_num(trials[in_all].to_numpy(np.float64, na_value=math.nan))
        arrays = TrialArrays(trials)
        met = trials[to_target].to_numpy(np.float64, na_value=math.nan)
        self._to_target: Floats = np.where(arrays.reached, met, math.inf)
        chosen = curves[curves["split"] == split]
        judged_by = dict(zip(trials["trial_id"], arrays.metric_names, strict=True))
        metric = np.array([judged_by.get(trial) for trial in chosen["trial_id"]], object)
        chosen = chosen[chosen["metric"].to_numpy(object) == metric]
        values, work = (chosen[name].to_numpy(np.float64, na_value=math.nan) for name in ("value", unit))
        self._values, self._work, self._bounds = by_trial(trials, chosen, values, work)

    def curve(self, row: int | np.intp) -> tuple[Floats, Floats]:
        """Return the work and the values of a trial's metric."""
        part = slice(int(self._bounds[row]), int(self._bounds[row + 1]))
        return self._work[part], self._values[part]

    def costs(self, row: int | np.intp, targets: Floats, higher: bool) -> Floats:
        """Return what a trial had spent when it met each target, +inf for those that it did not meet."""
        work, values = self.curve(row)
        sign = -1.0 if higher else 1.0
        lowest = np.minimum.accumulate(sign * values)
        first = np.searchsorted(-lowest, -sign * targets)  # lowest never rises
        costs: Floats = np.minimum(np.append(work, math.inf)[first], self._to_target[row])
        costs[-1] = self._to_target[row]
        return costs

"""From trials to cells: one row of statistics for each point of the grid."""

import math
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from freewalk.results.frames import build_frame, column_dtypes, typed_series
from freewalk.results.schema import PARAMETER_PREFIX, SCHEMA_VERSION, Outcome, State
from freewalk.results.statistics import (
    Floats,
    bootstrap_interval,
    expected_running_time,
    interquartile_mean,
    median,
    nan_as_worst,
    quartiles,
    wilson_interval,
)

Bools: TypeAlias = NDArray[np.bool_]
Rows: TypeAlias = NDArray[np.intp]

_NUMBERS: Final = (
    "steps",
    "evaluations",
    "loss_final",
    "metric_final",
    "target",
    "steps_to_target",
    "evaluations_to_target",
    "seconds_to_target",
)


class _Trials:
    """The columns that statistics need, as plain arrays: a cell is then a cheap selection."""

    def __init__(self, trials: pd.DataFrame) -> None:
        self.numbers: dict[str, Floats] = {
            name: trials[name].to_numpy(dtype=np.float64, na_value=math.nan) for name in _NUMBERS
        }
        self.metric_names = [None if name is pd.NA else str(name) for name in trials["metric_name"]]
        self.complete: Bools = (trials["state"] == State.COMPLETE).to_numpy(dtype=np.bool_, na_value=False)
        self.failed: Bools = (trials["state"] == State.FAILED).to_numpy(dtype=np.bool_, na_value=False)
        met: Bools = trials["reached"].to_numpy(dtype=np.bool_, na_value=False)
        self.reached: Bools = met & self.complete
        diverged = (trials["outcome"] == Outcome.DIVERGED).to_numpy(dtype=np.bool_, na_value=False)
        # Whatever number a diverged trial ended on, it is no better than any other's.
        self.numbers["loss_final"] = nan_as_worst(np.where(diverged, math.inf, self.numbers["loss_final"]))
        self.numbers["metric_final"] = np.where(
            diverged | np.isnan(self.numbers["metric_final"]),
            _worst_metric(trials, self.complete & ~diverged, self.reached, self.numbers),
            self.numbers["metric_final"],
        )


def _worst_metric(trials: pd.DataFrame, judged: Bools, reached: Bools, numbers: dict[str, Floats]) -> Floats:
    """Give for each trial the worst value of its task's metric: +inf, -inf, or NaN where it cannot be told.

    The trials table does not say whether a metric is to be low or high, but its trials do: one that met the
    target lies on the good side of it, one that missed it on the other.
    """
    metric, target = numbers["metric_final"], numbers["target"]
    vote = np.where(judged, np.sign(np.nan_to_num(metric - target)), 0.0) * np.where(reached, -1.0, 1.0)
    tasks = pd.factorize(trials["task"])[0]
    votes = np.bincount(tasks + 1, weights=vote)[tasks + 1]
    return np.where(votes == 0, math.nan, np.where(votes > 0, math.inf, -math.inf))


def summarise(trials: pd.DataFrame) -> pd.DataFrame:
    """Give one row a cell, in order of first appearance.

    A cell is a task, a method and all parameters; a missing parameter is a value like any other. Statistics
    rest on the complete trials: a diverged one has loss +inf and the worst metric, one that missed its target
    costs all it spent. Failed trials are counted on their own, others are still to come.

    Parameters
    ----------
    trials : pandas.DataFrame
        The ``trials`` table.

    Returns
    -------
    pandas.DataFrame
        The ``summary`` table. Statistics without a trial to rest on are NaN.
    """
    parameters = [name for name in trials.columns if name.startswith(PARAMETER_PREFIX)]
    cells = _cells(trials[["task", "method", *parameters]])
    arrays = _Trials(trials)
    records = [_cell_record(arrays, rows) for rows in cells]
    first = trials.iloc[[int(rows[0]) for rows in cells]].reset_index(drop=True)
    columns: dict[str, pd.Series] = {
        name: first[name] if name in ("task", "method") else typed_series([r[name] for r in records], dtype)
        for name, dtype in column_dtypes("summary").items()
    }
    columns.update({name: first[name] for name in parameters})
    return build_frame("summary", columns, [name.removeprefix(PARAMETER_PREFIX) for name in parameters])


def _cells(keys: pd.DataFrame) -> list[Rows]:
    # Codes instead of a groupby: missing values then need no special care, and the order is that of the rows.
    codes = [pd.factorize(keys[name])[0] for name in keys.columns]
    places: dict[tuple[int, ...], list[int]] = {}
    for row, key in enumerate(zip(*(code.tolist() for code in codes), strict=True)):
        places.setdefault(key, []).append(row)
    return [np.array(rows, dtype=np.intp) for rows in places.values()]


def _cell_record(trials: _Trials, rows: Rows) -> dict[str, Any]:
    complete = rows[trials.complete[rows]]
    reached = trials.reached[complete]
    n, successes = len(complete), int(reached.sum())
    low, high = wilson_interval(successes, n)
    loss = trials.numbers["loss_final"][complete]
    q25, q75 = quartiles(loss)
    iqm_low, iqm_high = bootstrap_interval(loss, interquartile_mean)
    return {
        "schema_version": SCHEMA_VERSION,
        "n_trials": len(rows),
        "n_complete": n,
        "n_failed": int(trials.failed[rows].sum()),
        "n_reached": successes,
        "success_rate": successes / n if n else math.nan,
        "success_rate_low": low,
        "success_rate_high": high,
        "ert_evaluations": _running_time(trials, complete, reached, "evaluations"),
        "ert_steps": _running_time(trials, complete, reached, "steps"),
        "seconds_to_target_median": _median(trials.numbers["seconds_to_target"][complete[reached]]),
        "loss_final_median": median(loss),
        "loss_final_q25": q25,
        "loss_final_q75": q75,
        "loss_final_iqm": interquartile_mean(loss),
        "loss_final_iqm_low": iqm_low,
        "loss_final_iqm_high": iqm_high,
        "metric_name": next((name for name in map(trials.metric_names.__getitem__, rows) if name), None),
        "metric_final_median": _median(trials.numbers["metric_final"][complete]),
        "target": next((t for t in trials.numbers["target"][rows] if not math.isnan(t)), math.nan),
    }


def _running_time(trials: _Trials, complete: Rows, reached: Bools, unit: str) -> float:
    to_target, spent = trials.numbers[f"{unit}_to_target"][complete], trials.numbers[unit][complete]
    return expected_running_time(np.where(reached, to_target, spent), reached)


def _median(values: Floats) -> float:
    return math.nan if np.isnan(values).any() else float(median(values))


def best_cells(summary: pd.DataFrame, per_task: int = 5) -> pd.DataFrame:
    """Give the first cells of each task: by success rate, then ERT in evaluations, then median final loss.

    Parameters
    ----------
    summary : pandas.DataFrame
        The ``summary`` table.
    per_task : int
        How many cells a task, at most.

    Returns
    -------
    pandas.DataFrame
        Tasks in order of first appearance; ties keep the order of ``summary``; cells without a complete trial
        come last.

    Raises
    ------
    ValueError
        ``per_task`` is below 1.
    """
    if per_task < 1:
        raise ValueError(f"per_task is at least 1, not {per_task}")
    task = pd.factorize(summary["task"])[0]
    # lexsort: the last key counts most, NaN sorts last, ties keep their order.
    order = np.lexsort(
        (
            summary["loss_final_median"].to_numpy(),
            summary["ert_evaluations"].to_numpy(),
            -summary["success_rate"].to_numpy(),
            task,
        )
    )
    return summary.iloc[order].groupby(task[order], sort=False).head(per_task).reset_index(drop=True)

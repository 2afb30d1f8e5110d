"""From trials to cells: one row of statistics for each point of the grid."""

import math
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from freewalk.results.analysis.cells import Rows, TrialArrays, cell_columns, group_rows
from freewalk.results.statistics.cell import (
    Floats,
    expected_running_time,
    interquartile_mean,
    median,
    quartiles,
    wilson_interval,
)
from freewalk.results.statistics.intervals import iqm_interval
from freewalk.results.tables.frames import frame_of

SORTED_BY: Final = "success rate, then expected evaluations, then final loss"
"""What ``cell_order`` does, in words."""
ORDER: Final = f"Cells stand in the order of {SORTED_BY}."


def summarise(trials: pd.DataFrame) -> pd.DataFrame:
    """Return one row per cell, in order of first appearance.

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
    cells = group_rows(trials[cell_columns(trials)])
    arrays = TrialArrays(trials)
    records = [_cell_record(arrays, rows) for rows in cells]
    first = trials.iloc[[int(rows[0]) for rows in cells]].reset_index(drop=True)
    return frame_of("summary", records, first[cell_columns(trials)])


def _cell_record(trials: TrialArrays, rows: Rows) -> dict[str, Any]:
    complete = rows[trials.complete[rows]]
    reached = trials.reached[complete]
    n, successes = len(complete), int(reached.sum())
    low, high = wilson_interval(successes, n)
    # a table that somebody made by hand may know no losses at all
    loss = trials.numbers["loss_final"][complete if trials.loss_known[complete].any() else complete[:0]]
    q25, q75 = quartiles(loss)
    iqm_low, iqm_high = iqm_interval(loss, lowest=trials.lowest_loss)
    cost, resolution = (
        trials.numbers[name][complete[reached]] for name in ("evaluations_to_target", "evaluations_resolution")
    )
    unconfirmed = trials.numbers["n_unconfirmed"][complete]
    return {
        "n_trials": len(rows),
        "n_complete": n,
        "n_failed": int(trials.failed[rows].sum()),
        "n_reached": successes,
        "success_rate": successes / n if n else math.nan,
        "success_rate_low": low,
        "success_rate_high": high,
        "n_first_look": None if np.isnan(resolution).any() else int(((resolution == cost) & (cost > 0)).sum()),
        "n_unconfirmed": None if np.isnan(unconfirmed).any() else int(unconfirmed.sum()),
        "ert_evaluations": expected_running_time(trials.spent("evaluations")[complete], reached),
        "ert_resolution": float(resolution.mean()) if successes else math.nan,
        "ert_steps": expected_running_time(trials.spent("steps")[complete], reached),
        "ert_seconds": expected_running_time(trials.spent("seconds")[complete], reached),
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


def _median(values: Floats) -> float:
    return math.nan if np.isnan(values).any() else float(median(values))


def cell_order(summary: pd.DataFrame) -> NDArray[np.intp]:
    """Order cells by task (of first appearance), then success rate, ERT in evaluations, and median final loss.

    Ties keep the order of ``summary``; cells without a complete trial come last in their task.
    """
    # lexsort: the last key counts most, NaN sorts last, ties keep their order.
    return np.lexsort(
        (
            summary["loss_final_median"].to_numpy(),
            summary["ert_evaluations"].to_numpy(),
            -summary["success_rate"].to_numpy(),
            pd.factorize(summary["task"])[0],
        )
    )


def best_cells(summary: pd.DataFrame, per_task: int = 5) -> pd.DataFrame:
    """Return the first cells of each task: by success rate, then ERT in evaluations, then median final loss.

    Parameters
    ----------
    summary : pandas.DataFrame
        The ``summary`` table.
    per_task : int
        How many cells per task, at most.

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
    order = cell_order(summary)
    tasks = pd.factorize(summary["task"])[0][order]
    return summary.iloc[order].groupby(tasks, sort=False).head(per_task).reset_index(drop=True)

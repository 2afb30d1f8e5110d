"""Trials as plain arrays, and the cells they belong to."""

import math
from typing import Final, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from freewalk.results.schema.schema import FURTHEST_FIRST, Outcome, State
from freewalk.results.statistics.cell import Floats, nan_as_worst
from freewalk.results.tables.frames import parameter_columns

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
    "train_seconds",
)
_LATER_NUMBERS: Final = ("evaluations_budget", "evaluations_resolution", "n_unconfirmed")
"""What a table that somebody made by hand need not have: then it is unknown."""
_CUT_SHORT: Final = (Outcome.DIVERGED, Outcome.COLLAPSED, Outcome.SATURATED)


class TrialArrays:
    """The columns that statistics need, as plain arrays: a cell is then a cheap selection."""

    def __init__(self, trials: pd.DataFrame) -> None:
        self.numbers: dict[str, Floats] = {
            name: trials[name].to_numpy(dtype=np.float64, na_value=math.nan)
            if name in trials or name in _NUMBERS
            else np.full(len(trials), math.nan)
            for name in (*_NUMBERS, *_LATER_NUMBERS)
        }
        self.seeds: Rows = trials["seed"].to_numpy(dtype=np.int64, na_value=-1)
        self.metric_names = [None if name is pd.NA else str(name) for name in trials["metric_name"]]
        self.complete: Bools = (trials["state"] == State.COMPLETE).to_numpy(dtype=np.bool_, na_value=False)
        self.failed: Bools = (trials["state"] == State.FAILED).to_numpy(dtype=np.bool_, na_value=False)
        met: Bools = trials["reached"].to_numpy(dtype=np.bool_, na_value=False)
        self.reached: Bools = met & self.complete
        self.hopeless: Bools = trials["outcome"].isin(_CUT_SHORT).to_numpy(dtype=np.bool_, na_value=False)
        """Whether more time would have changed nothing."""
        diverged = (trials["outcome"] == Outcome.DIVERGED).to_numpy(dtype=np.bool_, na_value=False)
        self.loss_known: Bools = diverged | ~np.isnan(self.numbers["loss_final"])
        # Whatever number a diverged trial ended on, it is no better than any other's.
        self.numbers["loss_final"] = nan_as_worst(np.where(diverged, math.inf, self.numbers["loss_final"]))
        self.numbers["metric_final"] = np.where(
            diverged | np.isnan(self.numbers["metric_final"]),
            _worst_metric(trials, self.complete & ~diverged, self.reached, self.numbers),
            self.numbers["metric_final"],
        )
        losses = self.numbers["loss_final"][self.complete]
        self.lowest_loss = 0.0 if bool((losses >= 0).all()) else -math.inf
        """What no loss can be below, as far as these trials tell."""

    def spent(self, unit: str) -> Floats:
        """Return what each trial cost up to the target, or up to its end; ``unit`` is steps, evaluations or seconds."""
        until_end = self.numbers["train_seconds" if unit == "seconds" else unit]
        return np.where(self.reached, self.numbers[f"{unit}_to_target"], until_end)

    def cost(self, unit: str) -> Floats:
        """Return what each trial cost up to the target, +inf for one that did not reach it; NaN where it is unknown."""
        return np.where(self.reached, self.numbers[f"{unit}_to_target"], math.inf)


def _worst_metric(trials: pd.DataFrame, judged: Bools, reached: Bools, numbers: dict[str, Floats]) -> Floats:
    """Return for each trial the worst value of its task's metric: +inf, -inf, or NaN where it cannot be told.

    The trials table does not say whether a metric is to be low or high, but its trials do: one that met the
    target lies on the good side of it, one that missed it on the other.
    """
    metric, target = numbers["metric_final"], numbers["target"]
    vote = np.where(judged, np.sign(np.nan_to_num(metric - target)), 0.0) * np.where(reached, -1.0, 1.0)
    tasks = pd.factorize(trials["task"])[0]
    votes = np.bincount(tasks + 1, weights=vote)[tasks + 1]
    return np.where(votes == 0, math.nan, np.where(votes > 0, math.inf, -math.inf))


def cell_columns(table: pd.DataFrame) -> list[str]:
    """Return the columns that make a cell: task, method and all parameters."""
    return ["task", "method", *parameter_columns(table)]


def counted_once(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials that may be counted as independent: each cell and seed once.

    The seed decides a walk, so a second trial of a cell and seed (another budget of the same walk, say) is no further
    evidence. The one that is further is taken, of two that are as far the first.

    Parameters
    ----------
    trials : pandas.DataFrame
        The ``trials`` table.

    Returns
    -------
    pandas.DataFrame
        The table itself where nothing comes twice, else the rows to count, in their order.
    """
    rows = counted_rows(trials)
    return trials if len(rows) == len(trials) else trials.iloc[rows].reset_index(drop=True)


def counted_rows(trials: pd.DataFrame) -> Rows:
    """Return the rows that ``counted_once`` keeps, in their order."""
    keys = [*cell_columns(trials), "seed"]
    if not trials.duplicated(keys).any():
        return np.arange(len(trials))
    place = {state: number for number, state in enumerate(FURTHEST_FIRST)}
    order = np.argsort(trials["state"].map(place).fillna(len(place)).to_numpy(), kind="stable")
    return np.sort(order[~trials[keys].iloc[order].duplicated().to_numpy()])


def varies(column: pd.Series) -> bool:
    """Tell whether a column has several values; missing is one like any other."""
    return len(column.unique()) > 1


def by_trial(trials: pd.DataFrame, curves: pd.DataFrame, values: Floats, work: Floats) -> tuple[Floats, Floats, Rows]:
    """Return the known values and work of the curves' points, trial by trial in the order of work, and the bounds.

    The points of row n of ``trials`` are those from ``bounds[n]`` to ``bounds[n + 1]``; NaN is not known.
    """
    place = pd.Index(trials["trial_id"]).get_indexer(pd.Index(curves["trial_id"]))
    known = np.flatnonzero((place >= 0) & ~np.isnan(values) & ~np.isnan(work))
    order = known[np.lexsort((work[known], place[known]))]
    return values[order], work[order], np.searchsorted(place[order], np.arange(len(trials) + 1))


def group_rows(keys: pd.DataFrame) -> list[Rows]:
    """Return the rows of each group of equal keys, in order of first appearance; missing is a value like any other."""
    # Codes instead of a groupby: missing values then need no special care, and the order is that of the rows.
    codes = [pd.factorize(keys[name])[0] for name in keys.columns]
    places: dict[tuple[int, ...], list[int]] = {}
    for row, key in enumerate(zip(*(code.tolist() for code in codes), strict=True)):
        places.setdefault(key, []).append(row)
    return [np.array(rows, dtype=np.intp) for rows in places.values()]

"""The course of a group of trials: median and quartiles of their curves on common points."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from freewalk.results.analysis.cells import Bools, by_trial, cell_columns, group_rows
from freewalk.results.schema.schema import Outcome
from freewalk.results.statistics.cell import Floats, median, nan_as_worst, quartiles

BAND_COLUMNS: Final = ("n_trials", "q25", "median", "q75")


def curve_bands(
    trials: pd.DataFrame,
    curves: pd.DataFrame,
    *,
    by: Sequence[str] | None = None,
    metric: str = "loss",
    split: str = "heldout",
    unit: str = "evaluations",
    n_points: int = 60,
    worst: float = math.inf,
) -> pd.DataFrame:
    """Return median and quartiles over the trials of each group, at points spaced by equal ratios.

    A trial has the value it was last seen with; after its end it keeps its final value, so that those that reached
    their target early stay in, and a diverged one has the worst. Between its points nothing is interpolated.

    Parameters
    ----------
    trials, curves : pandas.DataFrame
        The tables. Trials without a curve do not count.
    by : sequence of str, optional
        Columns of ``trials`` that make the groups; the cell unless given.
    metric, split : str
        Which curve.
    unit : {"evaluations", "step", "train_seconds"}
        What the points are measured in.
    n_points : int
        At least 2; groups whose curves have fewer different points get these.
    worst : float
        What a value that is missing counts as: +inf for what is to be low, -inf for what is to be high.

    Returns
    -------
    pandas.DataFrame
        ``by``, the unit, ``n_trials``, ``q25``, ``median``, ``q75``; points of a group increase from its first to its
        last.

    Raises
    ------
    ValueError
        ``n_points`` is below 2.
    """
    if n_points < 2:
        raise ValueError(f"n_points is at least 2, not {n_points}")
    keys = list(by) if by is not None else cell_columns(trials)
    chosen = curves[(curves["metric"] == metric) & (curves["split"] == split)]
    values, work = chosen["value"].to_numpy(np.float64), chosen[unit].to_numpy(np.float64, na_value=math.nan)
    values, work, bounds = by_trial(trials, chosen, nan_as_worst(values, worst), work)
    diverged = (trials["outcome"] == Outcome.DIVERGED).to_numpy(np.bool_, na_value=False)
    frames = []
    for rows in group_rows(trials[keys]):
        with_curve = rows[bounds[rows + 1] > bounds[rows]]
        if not with_curve.size:
            continue
        curves_of = [(work[s], values[s]) for s in (slice(bounds[row], bounds[row + 1]) for row in with_curve)]
        band = _band(curves_of, diverged[with_curve], unit, n_points, worst)
        key = trials.iloc[[int(rows[0])] * len(band)][keys].reset_index(drop=True)
        frames.append(key.join(band))
    if not frames:
        return pd.DataFrame({name: trials[name].iloc[:0] for name in keys} | {n: [] for n in (unit, *BAND_COLUMNS)})
    return pd.concat(frames, ignore_index=True)


def _band(curves: list[tuple[Floats, Floats]], diverged: Bools, unit: str, n_points: int, worst: float) -> pd.DataFrame:
    points = _points(np.unique(np.concatenate([work for work, _ in curves])), n_points)
    table = np.empty((len(points), len(curves)))
    for column, ((work, values), lost) in enumerate(zip(curves, diverged, strict=True)):
        at = np.searchsorted(work, points, side="right") - 1
        table[:, column] = np.where(at < 0, values[0], values[at])  # before its first point: that point
        if lost:
            table[points >= work[-1], column] = worst
    low, high = quartiles(table)
    return pd.DataFrame({unit: points, "n_trials": len(curves), "q25": low, "median": median(table), "q75": high})


def _points(seen: Floats, n_points: int) -> Floats:
    """Choose points with equal ratios between, each one that some curve has; the first and the last are among them."""
    if len(seen) <= n_points:
        return seen
    positive = seen[seen > 0]
    wanted = np.geomspace(positive[0], positive[-1], n_points - (len(positive) < len(seen)))
    nearest = positive[np.searchsorted(positive, wanted * (1 - 1e-9))]
    return np.unique(np.concatenate([seen[:1], nearest, seen[-1:]]))

"""Which method learns a task: the best cell of each against the best of all."""

from typing import Any, Final

import numpy as np
import pandas as pd

from freewalk.results.cells import TrialArrays, cell_columns, group_rows, parameter_columns, parameter_names
from freewalk.results.contrast import Outcomes
from freewalk.results.frames import build_frame, column_dtypes, typed_series
from freewalk.results.report_schema import METHODS
from freewalk.results.statistics_ratio import UNKNOWN, Ratio, running_time_ratio

_CONFIDENCE: Final = 0.95


def best_of_methods(trials: pd.DataFrame, ranking: pd.DataFrame) -> pd.DataFrame:
    """Compare the methods of each task by their best cells.

    Each method is represented by the cell that ranks first among its own; a method with more cells had more draws. What
    the ranking says of these cells beside the first already holds for all pairs of cells. The intervals of the ratios
    are made wide enough to hold for all pairs of a cell of one method and a cell of the other at once (Bonferroni), and
    so for the two that were picked.

    Parameters
    ----------
    trials : pandas.DataFrame
        The ``trials`` table.
    ranking : pandas.DataFrame
        Its ``ranking``.

    Returns
    -------
    pandas.DataFrame
        The ``methods`` table: tasks in order of first appearance, in each the best method first. Tasks with one method
        have one row.
    """
    finished = ranking[ranking["n_complete"] > 0].reset_index(drop=True)
    n_cells = finished.groupby(["task", "method"], sort=False)["rank"].transform("size")
    best = finished.assign(n_cells=n_cells)[~finished.duplicated(["task", "method"])].reset_index(drop=True)
    ratios = _ratios(trials, best)
    made = {
        "n_cells": best["n_cells"].tolist(),
        "rank": (best.groupby("task", sort=False).cumcount() + 1).tolist(),
        "cell_rank": best["rank"].tolist(),
        "ratio": [ratio.estimate for ratio in ratios],
        "ratio_low": [ratio.low for ratio in ratios],
        "ratio_high": [ratio.high for ratio in ratios],
    }
    columns = {
        name: typed_series(made[name], dtype) if name in made else best[name]
        for name, dtype in column_dtypes(METHODS).items()
    }
    return build_frame(
        METHODS, columns | {name: best[name] for name in parameter_columns(trials)}, parameter_names(trials)
    )


def _ratios(trials: pd.DataFrame, best: pd.DataFrame) -> list[Ratio]:
    """Give the ratio of each row's expected running time to that of its task's first row, which has none."""
    columns = cell_columns(trials)
    cells = {_key(trials.iloc[int(rows[0])], columns): rows for rows in group_rows(trials[columns])}
    arrays, seeds = TrialArrays(trials), trials["seed"].to_numpy(dtype=np.int64, na_value=-1)
    outcomes = [Outcomes.of(arrays, cells[_key(row, columns)], seeds) for _, row in best.iterrows()]
    first: dict[Any, int] = {}
    ratios = []
    for place, task in enumerate(best["task"]):
        lead = first.setdefault(task, place)
        a, b = outcomes[lead], outcomes[place]
        if place == lead or not a.costs.size or not b.costs.size:
            ratios.append(UNKNOWN._replace(low=np.nan, high=np.nan))
            continue
        n_pairs = int(best["n_cells"].iloc[lead]) * int(best["n_cells"].iloc[place])
        confidence = 1 - (1 - _CONFIDENCE) / n_pairs
        budgets = {"budget_a": a.budget, "budget_b": b.budget}
        ratios.append(running_time_ratio(a.costs, a.reached, b.costs, b.reached, confidence, **budgets))
    return ratios


def _key(row: pd.Series, columns: list[str]) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in columns)

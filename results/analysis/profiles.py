"""Performance profiles of the cells of a sweep over its tasks and seeds."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from freewalk.results.analysis.cells import TrialArrays, group_rows, parameter_columns
from freewalk.results.schema.schema import State
from freewalk.results.statistics.profiles import performance_profile

_FACTORS_A_DOUBLING: Final = 4
_DOUBLINGS: Final = 10


def performance_profiles(
    trials: pd.DataFrame, *, unit: str = "evaluations", factors: Sequence[float] | None = None
) -> pd.DataFrame:
    """Give for each solver the share of problems that it solves within a factor of the best.

    A solver is a method with its parameters, a problem a task with a seed. A trial that failed or missed its target
    has not solved its problem, nor has a solver that did not try it; problems that nobody has finished do not count.

    Parameters
    ----------
    trials : pandas.DataFrame
        The ``trials`` table.
    unit : {"evaluations", "steps", "seconds"}
        What the cost is measured in; seconds mean something on one machine only.
    factors : sequence of float, optional
        From 1 on; 1 to 1024 in equal ratios unless given.

    Returns
    -------
    pandas.DataFrame
        ``method``, ``param_*``, ``factor``, ``solved``, ``n_problems``; solvers in order of first appearance.

    Raises
    ------
    ValueError
        A factor is below 1.
    """
    at = np.asarray(factors if factors is not None else 2 ** (np.arange(_FACTORS_A_DOUBLING * _DOUBLINGS + 1) / 4))
    keys = ["method", *parameter_columns(trials)]
    told = trials[trials["state"].isin([State.COMPLETE, State.FAILED])].reset_index(drop=True)
    groups = group_rows(told[["task", "seed"]])
    problems = np.empty(len(told), np.intp)
    for problem, rows in enumerate(groups):
        problems[rows] = problem
    arrays = TrialArrays(told)
    cost = np.nan_to_num(arrays.cost(unit), nan=math.inf, posinf=math.inf)
    solvers = group_rows(told[keys])
    table = np.full((len(groups), len(solvers)), math.inf)
    for solver, rows in enumerate(solvers):
        np.minimum.at(table[:, solver], problems[rows], cost[rows])
    solved = performance_profile(table, at).T.ravel()
    first = told.iloc[np.repeat([int(rows[0]) for rows in solvers], at.size)][keys].reset_index(drop=True)
    return first.assign(factor=np.tile(at, len(solvers)), solved=solved, n_problems=len(table))

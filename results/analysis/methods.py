"""Which method learns a task: the best cell of each against the best of all, neither favoured by having been picked."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from freewalk.results.analysis.cells import Rows, TrialArrays, cell_columns, group_rows
from freewalk.results.analysis.contrast import Outcomes, beside_first, contrast, rank_test
from freewalk.results.schema.report_schema import METHODS
from freewalk.results.statistics.cell import Floats, expected_running_time
from freewalk.results.tables.frames import frame_of

_COMPARED: Final = (
    *(f"{name}{end}" for name in ("ratio", "cost_ratio") for end in ("", "_low", "_high")),
    *("test", "p_value", "p_adjusted", "p_attainable", "verdict"),
)


def best_of_methods(trials: pd.DataFrame, ranking: pd.DataFrame) -> pd.DataFrame:
    """Compare the methods of each task by their best cells.

    Each method is shown by the cell that ranks first among its own. That cell was picked because it did well on these
    very seeds, and a method with more cells had more draws. So the comparison takes, seed by seed, what the cell costs
    there that does best on all other seeds (leave-one-out cross-validation): nothing is judged by what it was picked
    by.

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
    records: list[dict[str, Any]] = []
    by_cell = _by_cell(trials)
    for _, rows in best.groupby("task", sort=False):
        left_out = [_left_out(by_cell[task, method]) for task, method in zip(rows["task"], rows["method"], strict=True)]
        n_tests = len(list(combinations(left_out, 2)))
        for place, (cell_rank, n, own) in enumerate(zip(rows["rank"], rows["n_cells"], left_out, strict=True)):
            places = {"rank": place + 1, "cell_rank": cell_rank, "n_cells": n}
            against = _against(left_out[0], own, n_tests) if place else dict.fromkeys(_COMPARED)
            records.append(places | {"ert_left_out": expected_running_time(own.costs, own.reached)} | against)
    known = best.drop(columns=[name for name in best if records and name in records[0]])
    return frame_of(METHODS, records, known)


class _Cell(NamedTuple):
    """The complete trials of a cell whose cost is known."""

    outcomes: Outcomes
    losses: Floats
    """Final ones, which tell cells apart that never reached the target."""


def _by_cell(trials: pd.DataFrame) -> dict[tuple[str, str], list[_Cell]]:
    """Return the cells with a result of each task and method."""
    arrays = TrialArrays(trials)
    found: dict[tuple[str, str], list[_Cell]] = {}
    for rows in group_rows(trials[cell_columns(trials)]):
        known: Rows = rows[arrays.complete[rows] & ~np.isnan(arrays.spent("evaluations")[rows])]
        if len(known):
            cell = _Cell(Outcomes.of(arrays, known), arrays.numbers["loss_final"][known])
            first = trials.iloc[int(rows[0])]
            found.setdefault((str(first["task"]), str(first["method"])), []).append(cell)
    return found


def _left_out(cells: Sequence[_Cell]) -> Outcomes:
    """Return what each seed costs in the cell that does best on the other seeds; a seed that it lacks is left out."""
    seeds = np.unique(np.concatenate([cell.outcomes.seeds for cell in cells]))
    if len(cells) == 1 or len(seeds) == 1:
        return cells[0].outcomes
    shape = (len(cells), len(seeds))
    costs, losses = np.zeros(shape), np.zeros(shape)
    reached, there = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    for row, cell in enumerate(cells):
        at = np.searchsorted(seeds, cell.outcomes.seeds)
        costs[row, at], losses[row, at], reached[row, at] = cell.outcomes.costs, cell.losses, cell.outcomes.reached
        there[row, at] = True
    n = there.sum(axis=1, keepdims=True) - there
    hits = reached.sum(axis=1, keepdims=True) - reached
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = hits / n
        running = (costs.sum(axis=1, keepdims=True) - costs) / hits
        loss = (losses.sum(axis=1, keepdims=True) - losses) / n
    picked = []
    for place in range(len(seeds)):
        # as the ranking has it, but for the mean in place of the median loss; NaN comes last
        order = np.lexsort((loss[:, place], running[:, place], -rate[:, place]))
        picked.append(int(order[0]))
    kept = np.flatnonzero(there[picked, np.arange(len(seeds))])
    cell_of = np.array(picked)[kept]
    budget = max((cell.outcomes.budget for cell in cells), key=lambda value: -1.0 if np.isnan(value) else value)
    return Outcomes(seeds[kept], costs[cell_of, kept], reached[cell_of, kept], budget)


def _against(first: Outcomes, other: Outcomes, n_tests: int) -> dict[str, Any]:
    """Compare a method with the best one."""
    if not first.costs.size or not other.costs.size:
        return dict.fromkeys(_COMPARED)
    # one that did not reach the target is worse than any that did
    test, _ = rank_test(first.scores, first.seeds, other.scores, other.seeds, n_tests)
    known = bool(first.reached.any() or other.reached.any())
    found = contrast(first, other, n_tests) if known else None
    return dict.fromkeys(_COMPARED) | beside_first(found, test, (first.costs.size, other.costs.size), n_tests)

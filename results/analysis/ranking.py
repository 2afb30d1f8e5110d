"""The cells of each task in order, and which of them are really worse than the first."""

import math
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from freewalk.results.analysis.cells import Rows, TrialArrays, cell_columns, group_rows
from freewalk.results.analysis.contrast import Outcomes, beside_first, contrast, ends, rank_test
from freewalk.results.analysis.summary import cell_order, summarise
from freewalk.results.schema.report_schema import RANKING
from freewalk.results.statistics.cell import NOTHING, Floats
from freewalk.results.statistics.intervals import running_time_interval
from freewalk.results.statistics.ranks import SIGNIFICANT
from freewalk.results.statistics.survival import median_time
from freewalk.results.tables.frames import frame_of

_COMPARED: Final = (
    *(f"{name}{end}" for name in ("ratio", "cost_ratio", "superiority") for end in ("", "_low", "_high")),
    *("test", "p_value", "p_adjusted", "p_attainable", "different", "verdict"),
)


def ranking(trials: pd.DataFrame, summary: pd.DataFrame | None = None) -> pd.DataFrame:
    """Rank the cells of each task and compare each with the first.

    A trial beats another by reaching the target in fewer evaluations; one that did not reach it is worse than any that
    did, and two that did not are compared by their final loss (worst-rank scores). The first cell is picked by the same
    trials that it is then tested with, and any cell may be: p-values are multiplied by the number of pairs of cells,
    k (k - 1) / 2 of k. So in a task whose cells are all the same, any of them is told apart from the first with a
    probability below 5 %, however many there are. (Permutations within a seed would gain little: of 60 normal
    variables, the largest difference needs 4.17 standard errors, one of 1,770 tests 4.18.)
    Which way a cell differs is a word, ``verdict``: success rate and cost are tested too, and where they disagree with
    each other or with the scores, the cell is a trade-off.
    Source of the scores: J. M. Lachin, Controlled Clinical Trials 20, 408 (1999).

    Parameters
    ----------
    trials : pandas.DataFrame
        The ``trials`` table.
    summary : pandas.DataFrame, optional
        Its ``summarise``, where the caller has it.

    Returns
    -------
    pandas.DataFrame
        The ``ranking`` table: tasks in order of first appearance, in each the best cell first.
    """
    cells = group_rows(trials[cell_columns(trials)])
    table = summarise(trials) if summary is None else summary
    arrays = TrialArrays(trials)
    scores = _scores(arrays, pd.factorize(trials["task"])[0])
    order = cell_order(table)
    samples = [_Sample.of(arrays, cells[place], scores) for place in order]
    tasks = table["task"].to_numpy()[order]
    records: list[dict[str, Any]] = []
    for task in dict.fromkeys(tasks):
        of_task = [sample for sample, name in zip(samples, tasks, strict=True) if name == task]
        records.extend(_record(place, sample, of_task) for place, sample in enumerate(of_task))
    return frame_of(RANKING, records, table.iloc[order].reset_index(drop=True))


def _scores(trials: TrialArrays, tasks: Rows) -> Floats:
    """Return the place of each trial in its task, from best to worst; equal ones have the same."""
    cost, loss = trials.cost("evaluations"), np.where(trials.reached, 0.0, trials.numbers["loss_final"])
    order = np.lexsort((loss, cost, tasks))
    new = np.ones(len(order), dtype=np.bool_)
    for key in (tasks, cost, loss):
        ordered = key[order]
        new[1:] = (ordered[1:] != ordered[:-1]) if key is tasks else new[1:] | (ordered[1:] != ordered[:-1])
    scores = np.empty(len(order), dtype=np.float64)
    scores[order] = np.cumsum(new)
    return scores


class _Sample(NamedTuple):
    """The complete trials of a cell."""

    scores: Floats
    seeds: Rows
    spent: Floats
    """Evaluations to the target or to the end; +inf for a trial that more evaluations would not have helped."""
    outcomes: Outcomes
    """Those whose cost is known."""

    @classmethod
    def of(cls, trials: TrialArrays, rows: Rows, scores: Floats) -> "_Sample":
        complete = rows[trials.complete[rows]]
        spent = np.where(
            trials.hopeless[complete] & ~trials.reached[complete], math.inf, trials.spent("evaluations")[complete]
        )
        return cls(scores[complete], trials.seeds[complete], spent, Outcomes.of(trials, complete))

    @property
    def is_known(self) -> bool:
        """Whether the cost of every trial is known."""
        return self.outcomes.costs.size == self.scores.size


def _record(place: int, sample: _Sample, of_task: list[_Sample]) -> dict[str, Any]:
    known = sample.outcomes if sample.is_known else None
    running = running_time_interval(known.costs, known.reached, budget=known.budget) if known else (math.nan, math.nan)
    middle = median_time(sample.spent, known.reached) if known else NOTHING
    record: dict[str, Any] = {
        "rank": place + 1,
        "ert_evaluations_low": running[0],
        "ert_evaluations_high": running[1],
        **ends("evaluations_median", middle),
    }
    n_cells = sum(one.scores.size > 0 for one in of_task)
    return record | _against(of_task[0], sample, n_cells * (n_cells - 1) // 2 if place else 0)


def _against(first: _Sample, other: _Sample, n_tests: int) -> dict[str, Any]:
    """Compare a cell with the first of its task; nothing is said of the first itself, nor without trials."""
    if not n_tests or not first.scores.size or not other.scores.size:
        return dict.fromkeys(_COMPARED)
    test, effect = rank_test(first.scores, first.seeds, other.scores, other.seeds, n_tests)
    known = first.is_known and other.is_known and (first.outcomes.reached.any() or other.outcomes.reached.any())
    found = contrast(first.outcomes, other.outcomes, n_tests) if known else None
    beside = beside_first(found, test, (first.scores.size, other.scores.size), n_tests)
    told = {"different": beside["p_adjusted"] < SIGNIFICANT, **ends("superiority", effect)}
    return dict.fromkeys(_COMPARED) | beside | told

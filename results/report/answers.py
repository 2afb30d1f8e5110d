"""The answer for a task in plain sentences: which cell wins, by how much, and how sure that is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import pandas as pd

from freewalk.results.report.numbers import (
    MISSING,
    between,
    counted,
    interval,
    listed,
    parameter_text,
    percent,
    seconds,
    short_value,
    significant,
)
from freewalk.results.report.subject import Row, Task, ordered_values, parameter_key, records
from freewalk.results.schema import PARAMETER_PREFIX, State
from freewalk.results.statistics_ranks import better_suited, smallest_p

Verdict = Literal["decided", "narrowed down", "undecided", "only cell", "not learned", "failed", "no result yet"]

LEVEL: Final = 0.05
_VALUES_NAMED: Final = 4
_FEW_SEEDS: Final = 20
_MOST_SEEDS: Final = 200
_NOTABLE_FOLD: Final = 1.05
"""A response that is hardly higher at a parameter's worst value than at its best, so many times, is no influence."""


@dataclass(frozen=True)
class Answer:
    """What is known of a task."""

    verdict: Verdict
    sentences: tuple[str, ...]
    """The first one answers the question, the others say how sure that is and what follows."""
    best: Row | None
    """The first row of the ranking, where any of its trials is complete."""
    figures: tuple[tuple[str, str, str], ...] = ()
    """Key figures of the best cell: what, value, remark."""


def answer(task: Task) -> Answer:
    """Answer the question for a task.

    Parameters
    ----------
    task : Task
        Its ranking decides; the cells that do not differ from the first by its tests share the first place.

    Returns
    -------
    Answer
    """
    finished = task.finished
    if not finished:
        return _without_result(task)
    best = finished[0]
    if best["n_reached"] == 0:
        return Answer("not learned", _not_learned(task, best), best, _loss_figures(best))
    figures = _cost_figures(best)
    if len(task.cells) == 1:
        return Answer("only cell", (_winner(task, best),), best, figures)
    rivals = tied(task)
    n_others = len(task.finished) - 1
    verdict: Verdict = (
        "decided" if not rivals and n_others else "narrowed down" if len(rivals) < n_others else "undecided"
    )
    return Answer(verdict, (_winner(task, best), *_certainty(task, rivals), *_influence(task)), best, figures)


def tied(task: Task) -> list[Row]:
    """Give the finished cells of which no test says that they differ from the first, best first."""
    return [cell for cell in task.finished[1:] if not _is_different(cell)]


def _is_different(cell: Row) -> bool:
    return cell["different"] is not pd.NA and bool(cell["different"])


def _without_result(task: Task) -> Answer:
    n_failed = int((task.trials["state"] == State.FAILED).sum())
    if n_failed and n_failed == len(task.trials):
        error = task.trials["error"].dropna()
        reason = f" Most often: {error.mode().iloc[0]}" if len(error) else ""
        return Answer("failed", (f"All {counted(n_failed, 'trial')} failed.{reason}",), None)
    failed = f"; {counted(n_failed, 'trial')} failed" if n_failed else ""
    return Answer("no result yet", (f"No trial has ended yet{failed}.",), None)


def _winner(task: Task, best: Row) -> str:
    n, reached = int(best["n_complete"]), int(best["n_reached"])
    what = f"{task.label(best)}" if len(task.cells) > 1 else f"The only cell ({task.label(best)})"
    sure = f"{percent(best['success_rate_low'])} to {percent(best['success_rate_high'])}"
    return (
        f"{what} reached {task.goal} in {reached} of {counted(n, 'trial')} (95 % interval {sure}),"
        f" at an expected {significant(best['ert_evaluations'])} evaluations{_interval(best)}."
    )


def _interval(best: Row) -> str:
    low, high = best["ert_evaluations_low"], best["ert_evaluations_high"]
    if math.isnan(low) or low == high:
        return ""
    if math.isinf(high):
        return f" (95 % interval from {significant(low)} without upper limit)"
    return f" (95 % interval {significant(low)} to {significant(high)})"


def _certainty(task: Task, rivals: Sequence[Row]) -> list[str]:
    others = task.finished[1:]
    if not others:
        return ["No other cell has a result yet."]
    if not rivals:
        return [_lead(task, others)]
    shared = shared_values(task, [task.finished[0], *rivals])
    common = f" All that remain have {shared}." if shared else ""
    # NaN where a cell has too few trials for any test.
    if not any(float(cell["p_attainable"]) < LEVEL for cell in others):
        return [f"Not decided: {_too_few(task.n_seeds, len(others))}{_ratio(task, others[0])}"]
    n_worse = len(others) - len(rivals)
    if n_worse:
        rest = f"the other {n_worse} are" if n_worse > 1 else "the other one is"
        first = f"Narrowed down: {len(rivals)} of the {len(others)} other cells may be as good, {rest} clearly worse."
    else:
        each = "each of " if len(others) > 1 else ""
        first = f"Not decided: {each}the {counted(len(others), 'other cell')} may be as good."
    more = " More seeds would tell." if task.n_seeds < _FEW_SEEDS else ""
    return [f"{first}{common}{_ratio(task, others[0])}{more}"]


def _too_few(n_seeds: int, n_others: int) -> str:
    few = f"{n_seeds} seeds a cell are" if n_seeds > 1 else "one seed a cell is"
    enough = f"; it takes {needed} at least" if (needed := seeds_needed(n_others)) else ""
    return f"{few} too few for any test to tell {counted(n_others + 1, 'cell')} apart{enough}."


def seeds_needed(n_others: int) -> int | None:
    """Give the fewest seeds with which a cell can be told apart from the first of its task; None for very many.

    Parameters
    ----------
    n_others : int
        Cells that the first is compared with: each test has to be that much clearer.
    """
    for n in range(2, _MOST_SEEDS):
        test = better_suited(n, n, n, n_others)
        if n_others * smallest_p(test, n, n) < LEVEL:
            return n
    return None


def _lead(task: Task, others: Sequence[Row]) -> str:
    worst = max(float(cell["p_adjusted"]) for cell in others)
    p = f"every adjusted p at most {significant(worst, 2)}" if len(others) > 1 else f"p = {significant(worst, 2)}"
    return f"Decided: {counted(len(others), 'other cell')} clearly behind ({p}).{_ratio(task, others[0])}"


def _ratio(task: Task, second: Row) -> str:
    """Say by how much the next cell is behind."""
    cost, best = float(second["ert_evaluations"]), float(task.finished[0]["ert_evaluations"])
    name = task.label(second)
    if not math.isfinite(cost):
        return f" The next, {name}, never reached it."
    if best == 0:
        return f" The next, {name}, needs {significant(cost)} evaluations."
    times = significant(cost / best, 2)
    return f" The next, {name}, needs {f'{times} times ' if times != '1' else ''}as many evaluations."


def shared_values(task: Task, cells: Sequence[Row]) -> str:
    """Say which values these cells keep to, out of those that the task's cells have; nothing if to no fewer."""
    names = [*(["method"] if len(task.methods) > 1 else []), *(PARAMETER_PREFIX + name for name in task.varied)]
    kept = []
    for name in names:
        there = {parameter_key(cell[name]) for cell in task.cells}
        here = {parameter_key(cell[name]) for cell in cells}
        if len(here) < len(there) and len(here) <= _VALUES_NAMED:
            words = [parameter_text(value) for value in ordered_values(cell[name] for cell in cells)] or [MISSING]
            kept.append(f"{name.removeprefix(PARAMETER_PREFIX)} {listed(words, 'or')}")
    return listed(kept)


def effects_of(task: Task) -> list[Row]:
    """Give the rows of the sensitivity table that tell of what the grid varies, largest share first."""
    names = {"method", *(PARAMETER_PREFIX + name for name in task.varied), *task.varied}
    rows = records(task.sensitivity)
    return [row for row in rows if row["parameter"] in names and not math.isnan(row["variance_share"])]


def _influence(task: Task) -> list[str]:
    """Name the parameter that matters most, where one does."""
    effects = effects_of(task)
    if len(effects) < 2:
        return []
    first = effects[0]
    untested = math.isnan(first["p_adjusted"])
    if not untested and first["p_adjusted"] >= LEVEL:
        return ["No single parameter has a clear effect on its own."]
    if first["fold"] < _NOTABLE_FOLD:
        return []
    response = "cost" if first["response"] == "evaluations_to_target" else "final loss"
    name = str(first["parameter"]).removeprefix(PARAMETER_PREFIX)
    times = significant(first["fold"], 2)
    size = f", which is {times} times as high at its worst value as at its best, {short_value(first['best_value'])}"
    return [
        f"{name} {'seems to matter' if untested else 'matters'} most: it explains {percent(first['variance_share'])} of"
        f" the variation of the {response}{size if math.isfinite(first['fold']) else ''}."
        f"{' It varies together with others, so that no test can part them.' if untested else ''}"
    ]


def _not_learned(task: Task, best: Row) -> tuple[str, ...]:
    n = sum(int(cell["n_complete"]) for cell in task.cells)
    cells = counted(len(task.finished), "cell") if len(task.finished) > 1 else "the only cell"
    first = f"Not learned: none of {counted(n, 'trial')} of {cells} reached {task.goal}."
    loss = best["loss_final_iqm"]
    if not math.isfinite(loss):
        return (first, "The loss of the best cell is not finite at the end.")
    name = f" {task.label(best)}," if len(task.cells) > 1 else ""
    return (
        first,
        f"Closest came{name} with a final loss of {significant(loss)} (interquartile mean).",
        *([task.remedy] if task.remedy else _influence(task)),
    )


def _cost_figures(best: Row) -> tuple[tuple[str, str, str], ...]:
    rate = between(percent(best["success_rate_low"]), percent(best["success_rate_high"]))
    return (
        ("reached", f"{best['n_reached']}/{best['n_complete']}", rate),
        ("evaluations", significant(best["ert_evaluations"]), "expected"),
        ("time", seconds(best["seconds_to_target_median"]), "median"),
    )


def _loss_figures(best: Row) -> tuple[tuple[str, str, str], ...]:
    rate = between(percent(0), percent(best["success_rate_high"]))
    loss = interval(best["loss_final_iqm_low"], best["loss_final_iqm_high"])
    return (
        ("reached", f"0/{best['n_complete']}", rate),
        ("final loss", significant(best["loss_final_iqm"]), loss),
    )

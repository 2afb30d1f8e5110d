"""The answer for a task in plain sentences: which cell wins, by how much, and how sure that is."""

import math
from dataclasses import dataclass
from typing import Final, Literal

import pandas as pd

from freewalk.results.report.comparing import LEVEL, Standing, interval_words, standing
from freewalk.results.report.numbers import (
    between,
    counted,
    interval,
    percent,
    seconds,
    short_value,
    significant,
)
from freewalk.results.report.subject import Row, Task, records
from freewalk.results.schema import PARAMETER_PREFIX, State

HARDLY: Final = 1.05
"""Below this, "so many times as high" would read as once."""

Verdict = Standing | Literal["only cell", "not learned", "failed", "no result yet"]


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
        Its ranking decides, by the verdict on each cell beside the first.

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
    if len(finished) == 1:
        return Answer("undecided", (_winner(task, best), "No other cell has a result yet."), best, figures)
    verdict, certainty = standing(task)
    return Answer(verdict, (_winner(task, best), *certainty, *_influence(task)), best, figures)


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
    cost = interval_words(best, "ert_evaluations")
    return (
        f"{what} reached {task.goal} in {reached} of {counted(n, 'trial')} (95 % interval {sure}),"
        f" at an expected {significant(best['ert_evaluations'])} evaluations{f' ({cost})' if cost else ''}."
    )


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
    response = "cost" if first["response"] == "evaluations_to_target" else "final loss"
    name = str(first["parameter"]).removeprefix(PARAMETER_PREFIX)
    size = (
        f", which is {fold_words(first)} times as high at its worst value as at its best,"
        f" {short_value(first['best_value'])}"
        if first["fold"] >= HARDLY
        else ", which it changes by less than 5 % all the same"
    )
    return [
        f"{name} {'seems to matter' if untested else 'matters'} most: it explains {percent(first['variance_share'])} of"
        f" the variation of the {response}{size if math.isfinite(first['fold']) else ''}."
        f"{' It varies together with others, so that no test can part them.' if untested else ''}"
    ]


def fold_words(effect: Row) -> str:
    """Give by how much a parameter's values differ: 13, or at least 13 where what it would have cost is not known."""
    at_least = "at least " if effect["fold_is_bound"] is not pd.NA and effect["fold_is_bound"] else ""
    return f"{at_least}{significant(effect['fold'], 2)}"


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
        *_influence(task),
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

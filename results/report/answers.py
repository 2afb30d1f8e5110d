"""The answer for a task in plain sentences: which cell wins, by how much, and how sure that is."""

import math
from dataclasses import dataclass
from typing import Literal

from freewalk.results.base.numbers import between, counted, interval, percent, seconds, significant
from freewalk.results.report.comparing import Standing, contest, interval_words, standing
from freewalk.results.report.effects import influence
from freewalk.results.report.resolution import resolution_text
from freewalk.results.report.subject import Row, Task
from freewalk.results.schema.schema import State

_FAR = 3.0
"""An interval that reaches so many times above its estimate wants a reason."""

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
    verdict, certainty = contest(task) if len(task.contest) > 1 else standing(task)
    return Answer(verdict, (_winner(task, best), *certainty, *influence(task)), best, figures)


def _without_result(task: Task) -> Answer:
    n_failed = int((task.trials["state"] == State.FAILED).sum())
    if n_failed and n_failed == len(task.trials):
        error = task.trials["error"].dropna()
        reason = f" Most often: {error.mode().iloc[0]}" if len(error) else ""
        return Answer("failed", (f"All {counted(n_failed, 'trial')} failed.{reason}",), None)
    failed = f"; {counted(n_failed, 'trial')} failed" if n_failed else ""
    n_running = int((task.trials["state"] == State.RUNNING).sum())
    running = f"; {counted(n_running, 'trial')} {'is' if n_running == 1 else 'are'} under way" if n_running else ""
    return Answer("no result yet", (f"No trial has ended yet{running}{failed}.",), None)


def _winner(task: Task, best: Row) -> str:
    n, reached = int(best["n_complete"]), int(best["n_reached"])
    what = f"{task.label(best)}" if len(task.cells) > 1 else f"The only cell ({task.label(best)})"
    sure = f"{percent(best['success_rate_low'])} to {percent(best['success_rate_high'])}"
    interval_text = interval_words(best, "ert_evaluations")
    if interval_text and reached == n and best["ert_evaluations_high"] > _FAR * best["ert_evaluations"]:
        interval_text += ", so high because so few seeds may have missed failures"
    cost = "; ".join(words for words in (interval_text, resolution_text(best)) if words)
    return (
        f"{what} reached {task.goal} in {reached} of {counted(n, 'trial')} (95 % interval {sure}),"
        f" at an expected {significant(best['ert_evaluations'])} evaluations{f' ({cost})' if cost else ''}."
    )


def _not_learned(task: Task, best: Row) -> tuple[str, ...]:
    n = sum(int(cell["n_complete"]) for cell in task.cells)
    cells = counted(len(task.finished), "cell") if len(task.finished) > 1 else "the only cell"
    first = f"Not learned: none of {counted(n, 'trial')} of {cells} reached {task.goal}."
    loss = best["loss_final_iqm"]
    if math.isnan(loss):
        return (first, *influence(task))
    if not math.isfinite(loss):
        return (first, "The loss of the best cell is not finite at the end.")
    name = f" {task.label(best)}," if len(task.cells) > 1 else ""
    return (
        first,
        f"Closest came{name} with a final loss of {significant(loss)} (interquartile mean).",
        *([task.remedy] if task.remedy else influence(task)),
    )


def _cost_figures(best: Row) -> tuple[tuple[str, str, str], ...]:
    rate = between(percent(best["success_rate_low"]), percent(best["success_rate_high"]))
    return (
        ("reached", f"{best['n_reached']}/{best['n_complete']}", rate),
        ("evaluations", significant(best["ert_evaluations"]), "expected"),
        ("time", seconds(best["ert_seconds"]), "expected"),
    )


def _loss_figures(best: Row) -> tuple[tuple[str, str, str], ...]:
    rate = between(percent(0), percent(best["success_rate_high"]))
    loss = interval(best["loss_final_iqm_low"], best["loss_final_iqm_high"])
    return (
        ("reached", f"0/{best['n_complete']}", rate),
        ("final loss", significant(best["loss_final_iqm"]), loss),
    )

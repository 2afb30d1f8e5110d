"""Which method learns the task: best against best, in sentences."""

import math

from freewalk.results.analysis.contrast import ALIKE_COST, ALIKE_RATE, Verdict
from freewalk.results.base.numbers import counted, listed, significant
from freewalk.results.report.comparing import (
    LEVEL,
    STANDINGS,
    Standing,
    in_brackets,
    interval_words,
    share_of_trials,
    state_of,
)
from freewalk.results.report.subject import Row, Task


def contest(task: Task) -> tuple[Standing, list[str]]:
    """Say how the methods stand beside the best one, each by its best cell, and how sure that is.

    Parameters
    ----------
    task : Task
        With two methods at least that have a result.
    """
    first, *others = task.contest
    state = state_of([str(row["verdict"]) for row in others])
    sentences = [f"{STANDINGS[state]}: best against best, {_against(task, first, others[0])}."]
    sentences += [f"{_against(task, first, other)}." for other in others[1:]]
    if any(int(row["n_cells"]) > 1 for row in task.contest):
        counts = [f"{row['n_cells']} of {row['method']}" for row in task.contest]
        sentences.append(
            f"No method gains by having been picked as the best cell of many ({listed(counts)}): each seed is judged by"
            " the cell that does best on the other seeds."
        )
    return state, sentences


def _against(task: Task, first: Row, other: Row) -> str:
    """Say how a method stands beside the best one."""
    label = task.words(other, frozenset(task.varied))
    name = f"{other['method']}{f' ({label})' if label else ''}"
    reached = f"reached it in {share_of_trials(other)} trials"
    if not int(other["n_reached"]):
        least = float(other["ratio_low"])
        at_least = f", which is at least {significant(least, 2)} times the cost" if least > 1 else ""
        return f"{name} never reached it in {counted(int(other['n_complete']), 'trial')}{at_least}{_evidence(other)}"
    costs = [f"{significant(other['ert_evaluations'])} evaluations"]
    if math.isfinite(float(other["cost_ratio"])):
        interval = in_brackets(interval_words(other, "cost_ratio", digits=2))
        times = f"{significant(other['cost_ratio'], 2)} times those of {first['method']}"
        costs.append(f"{times} where both reached it{interval}")
    if int(other["n_reached"]) < int(other["n_complete"]) and math.isfinite(float(other["ratio"])):
        interval = in_brackets(interval_words(other, "ratio", digits=2))
        costs.append(f"{significant(other['ratio'], 2)} times with failures counted in{interval}")
    return f"{name} {reached} at {', '.join(costs)}{_evidence(other)}"


def _evidence(other: Row) -> str:
    verdict = str(other["verdict"])
    if verdict == Verdict.WORSE:
        return f": it is clearly worse (p = {significant(other['p_adjusted'], 2)})"
    if verdict == Verdict.TRADE_OFF:
        return ": success rate and cost point in different directions, a trade-off"
    if verdict == Verdict.ALIKE:
        return f": it is as good (cost within {ALIKE_COST:g} times, success rate within {100 * ALIKE_RATE:.0f} points)"
    too_few = float(other["p_attainable"]) >= LEVEL
    return f": {'so few seeds can tell nothing' if too_few else 'it may be as good; more seeds would tell'}"

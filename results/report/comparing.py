"""What is said of other cells and methods beside the first: behind, as good, a trade-off, or not to be told yet."""

import math
from collections.abc import Collection, Sequence
from typing import Final, Literal

from freewalk.results.analysis.contrast import ALIKE_COST, ALIKE_RATE, Verdict
from freewalk.results.base.numbers import MISSING, counted, listed, parameter_text, significant
from freewalk.results.report.subject import Row, Task, ordered_values, parameter_key
from freewalk.results.schema.schema import PARAMETER_PREFIX
from freewalk.results.statistics.ranks import better_suited, smallest_p

LEVEL: Final = 0.05
_VALUES_NAMED: Final = 4
_FEW_SEEDS: Final = 20
_MOST_SEEDS: Final = 200

Standing = Literal["decided", "trade-off", "no difference", "narrowed down", "undecided"]
STANDINGS: Final[dict[Standing, str]] = {
    "decided": "Decided",
    "trade-off": "Trade-off",
    "no difference": "No difference",
    "narrowed down": "Narrowed down",
    "undecided": "Not decided",
}
_GROUPS: Final = (Verdict.UNCLEAR, Verdict.ALIKE, Verdict.TRADE_OFF, Verdict.WORSE)
"""In the order in which they are told."""


def standing(task: Task) -> tuple[Standing, list[str]]:
    """Say how the finished cells stand beside the first, and how sure that is.

    Parameters
    ----------
    task : Task
        With two finished cells at least.
    """
    others = task.finished[1:]
    groups = {verdict: [cell for cell in others if cell["verdict"] == verdict] for verdict in _GROUPS}
    state = state_of([str(cell["verdict"]) for cell in others])
    # NaN where a cell has too few trials for any test.
    if len(groups[Verdict.UNCLEAR]) == len(others) and not any(float(cell["p_attainable"]) < LEVEL for cell in others):
        return state, [f"Not decided: {_too_few(task.n_seeds, len(others))}{_next(task, others[0])}"]
    remaining = [cell for verdict in _GROUPS[:-1] for cell in groups[verdict]]
    shared = shared_values(task, [task.finished[0], *remaining]) if remaining and groups[Verdict.WORSE] else ""
    common = f" All that remain have {shared}." if shared else ""
    more = " More seeds would tell." if groups[Verdict.UNCLEAR] and task.n_seeds < _FEW_SEEDS else ""
    trades = groups[Verdict.TRADE_OFF]
    if trades and len(others) == 1:
        return state, [f"{STANDINGS[state]}: {_trade_off(task, trades[0])}"]
    second = "" if others[0] in trades else _next(task, others[0])
    traded = f" {_trade_off(task, trades[0])}" if trades else ""
    return state, [f"{STANDINGS[state]}: {_told(groups, len(others))}.{common}{traded}{second}{more}"]


def state_of(verdicts: Collection[str]) -> Standing:
    """Say how the first stands that others were compared with, from the verdicts on them."""
    if Verdict.UNCLEAR in verdicts:
        return "narrowed down" if Verdict.WORSE in verdicts else "undecided"
    if Verdict.TRADE_OFF in verdicts:
        return "trade-off"
    if Verdict.ALIKE in verdicts:
        return "narrowed down" if Verdict.WORSE in verdicts else "no difference"
    return "decided"


def _told(groups: dict[Verdict, list[Row]], n_others: int) -> str:
    """Count the cells of each group: 1 of the 3 other cells may be as good, the other 2 are clearly worse."""
    told = [verdict for verdict in _GROUPS if groups[verdict]]
    if len(told) == 1:
        n = n_others
        subject = "the other cell" if n == 1 else f"each of the {n} other cells" if told[0] == Verdict.UNCLEAR else ""
        return f"{subject or f'the other {n} cells'} {_words(told[0], n)}{_evidence(told[0], groups[told[0]])}"
    parts: list[str] = []
    for verdict in told:
        n = len(groups[verdict])
        subject = (
            f"{n} of the {n_others} other cells"
            if not parts
            else str(n)
            if verdict != told[-1]
            else ("the other one" if n == 1 else f"the other {n}")
        )
        parts.append(f"{subject} {_words(verdict, n)}")
    return ", ".join(parts)


def _words(verdict: Verdict, n: int) -> str:
    are = "is" if n == 1 else "are"
    return {
        Verdict.UNCLEAR: "may be as good",
        Verdict.ALIKE: f"{are} as good (costs within {ALIKE_COST:g} times, success rates within "
        f"{100 * ALIKE_RATE:.0f} points)",
        Verdict.TRADE_OFF: "is a trade-off" if n == 1 else "are trade-offs",
        Verdict.WORSE: f"{are} clearly worse",
    }[verdict]


def _evidence(verdict: Verdict, cells: Sequence[Row]) -> str:
    if verdict != Verdict.WORSE:
        return ""
    worst = significant(max(float(cell["p_adjusted"]) for cell in cells), 2)
    return f" (every adjusted p at most {worst})" if len(cells) > 1 else f" (p = {worst})"


def _too_few(n_seeds: int, n_others: int) -> str:
    few = f"{n_seeds} seeds a cell are" if n_seeds > 1 else "one seed a cell is"
    enough = f"; it takes {needed} at least" if (needed := seeds_needed(n_others)) else ""
    return f"{few} too few for any test to tell {counted(n_others + 1, 'cell')} apart{enough}."


def seeds_needed(n_others: int) -> int | None:
    """Return the fewest seeds with which a cell can be told apart from the first of its task; None for very many.

    Parameters
    ----------
    n_others : int
        Cells that the first is compared with. Each test has to be as much clearer as there are pairs of cells.
    """
    n_tests = n_others * (n_others + 1) // 2
    for n in range(2, _MOST_SEEDS):
        if n_tests * smallest_p(better_suited(n, n, n, n_tests), n, n) < LEVEL:
            return n
    return None


def _trade_off(task: Task, cell: Row) -> str:
    """Return both sides of a cell that is better in one thing and worse in another."""
    first = task.finished[0]
    name = task.label(cell)
    reached = f"{name} reached it in {share_of_trials(cell)} trials (the first: {share_of_trials(first)})"
    if not all(math.isfinite(float(cell[ratio])) for ratio in ("cost_ratio", "ratio")):
        return f"{reached}; success rate and cost point in different directions."
    joint = "but" if float(cell["success_rate"]) < float(first["success_rate"]) else "and"
    where_both, with_failures = (
        f"{significant(float(cell[ratio]), 2)} times{what}{in_brackets(interval_words(cell, ratio, digits=2))}"
        for ratio, what in (("cost_ratio", " the evaluations where both did"), ("ratio", " with failures counted in"))
    )
    return f"{reached} {joint} needs {where_both}, {with_failures}."


def share_of_trials(cell: Row) -> str:
    """Return how many trials reached the target: 29 of 30."""
    return f"{cell['n_reached']} of {cell['n_complete']}"


def in_brackets(words: str) -> str:
    """Put words that are there into brackets after a blank."""
    return f" ({words})" if words else ""


def interval_words(cell: Row, name: str, unit: str = "", digits: int = 3) -> str:
    """Return an interval of a cell in words; nothing where it tells nothing."""
    low, high = float(cell[f"{name}_low"]), float(cell[f"{name}_high"])
    if math.isnan(low) or low == high or (low <= 0 and math.isinf(high)):
        return ""
    if math.isinf(high):
        return f"95 % interval from {significant(low, digits)}{unit} without upper limit"
    return f"95 % interval {significant(low, digits)} to {significant(high, digits)}{unit}"


def _next(task: Task, second: Row) -> str:
    """Say by how much the next cell is behind."""
    first = task.finished[0]
    cost, best = float(second["ert_evaluations"]), float(first["ert_evaluations"])
    name = task.label(second)
    if not math.isfinite(cost):
        least = float(second["ratio_low"])
        at_least = f": that is at least {significant(least, 2)} times as many evaluations" if least > 1 else ""
        return f" The next, {name}, never reached it{at_least}."
    rate = (
        f"reached it in {share_of_trials(second)} trials and " if second["success_rate"] < first["success_rate"] else ""
    )
    if best == 0:
        return f" The next, {name}, {rate}needs {significant(cost)} evaluations."
    times = significant(cost / best, 2)
    as_many = "as many" if times == "1" else f"{times} times as many"
    interval = interval_words(second, "ratio", " times" if times == "1" else "", digits=2)
    return f" The next, {name}, {rate}needs {as_many} evaluations{in_brackets(interval)}."


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


def contest(task: Task) -> tuple[Standing, list[str]]:
    """Say how the methods stand beside the best one, each by its best cell, and how sure that is.

    Parameters
    ----------
    task : Task
        With two methods at least that have a result.
    """
    first, *others = task.contest
    state = state_of([str(row["verdict"]) for row in others])
    sentences = [f"{STANDINGS[state]}: best against best, {_method_against(task, first, others[0])}."]
    sentences += [f"{_method_against(task, first, other)}." for other in others[1:]]
    if any(int(row["n_cells"]) > 1 for row in task.contest):
        counts = [f"{row['n_cells']} of {row['method']}" for row in task.contest]
        sentences.append(
            f"No method gains by having been picked as the best cell of many ({listed(counts)}): each seed is judged by"
            " the cell that does best on the other seeds."
        )
    return state, sentences


def _method_against(task: Task, first: Row, other: Row) -> str:
    """Say how a method stands beside the best one."""
    label = task.words(other, frozenset(task.varied))
    name = f"{other['method']}{f' ({label})' if label else ''}"
    reached = f"reached it in {share_of_trials(other)} trials"
    if not int(other["n_reached"]):
        least = float(other["ratio_low"])
        at_least = f", which is at least {significant(least, 2)} times the cost" if least > 1 else ""
        return f"{name} never reached it in {counted(int(other['n_complete']), 'trial')}{at_least}{_beside_best(other)}"
    costs = [f"{significant(other['ert_evaluations'])} evaluations"]
    if math.isfinite(float(other["cost_ratio"])):
        interval = in_brackets(interval_words(other, "cost_ratio", digits=2))
        times = f"{significant(other['cost_ratio'], 2)} times those of {first['method']}"
        costs.append(f"{times} where both reached it{interval}")
    if int(other["n_reached"]) < int(other["n_complete"]) and math.isfinite(float(other["ratio"])):
        interval = in_brackets(interval_words(other, "ratio", digits=2))
        costs.append(f"{significant(other['ratio'], 2)} times with failures counted in{interval}")
    return f"{name} {reached} at {', '.join(costs)}{_beside_best(other)}"


def _beside_best(other: Row) -> str:
    verdict = str(other["verdict"])
    if verdict == Verdict.WORSE:
        return f": it is clearly worse (p = {significant(other['p_adjusted'], 2)})"
    if verdict == Verdict.TRADE_OFF:
        return ": success rate and cost point in different directions, a trade-off"
    if verdict == Verdict.ALIKE:
        return f": it is as good (cost within {ALIKE_COST:g} times, success rate within {100 * ALIKE_RATE:.0f} points)"
    too_few = float(other["p_attainable"]) >= LEVEL
    return f": {'so few seeds can tell nothing' if too_few else 'it may be as good; more seeds would tell'}"

"""The report's first lines: the question, what was run, whether it has ended, and what does well on all tasks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from freewalk.results.base.numbers import counted, counted_seeds, listed, percent, significant
from freewalk.results.report.subject import FINISHED, Row, Task
from freewalk.results.schema.schema import State

_NAMED_AT_MOST = 5


@dataclass(frozen=True)
class Headline:
    """What stands above the answers."""

    question: str
    extent: str
    """How much was run, in one sentence."""
    progress: str
    """What is still to come; empty when all trials have ended."""
    share_done: float


def headline(tasks: Sequence[Task], trials: pd.DataFrame) -> Headline:
    """Put the first lines together."""
    states = trials["state"]
    done = int(states.isin([state.value for state in FINISHED]).sum())
    share = done / len(trials) if len(trials) else 0.0
    return Headline(_question(tasks), _extent(tasks, trials), _progress(states, done), share)


def _question(tasks: Sequence[Task]) -> str:
    names = _some([task.name for task in tasks])
    varied = list(dict.fromkeys(name for task in tasks for name in task.varied))
    methods = list(dict.fromkeys(name for task in tasks for name in task.methods))
    verb = "learn" if len(varied) > 1 else "learns"
    if len(methods) > 1:
        return f"Which method learns {names} most surely, and at the least cost?"
    if not varied:
        return f"Does {methods[0] if methods else 'it'} learn {names}?"
    return f"Which {_some(varied)} {verb} {names} most surely, and at the least cost?"


def _some(names: Sequence[str]) -> str:
    if len(names) > _NAMED_AT_MOST:
        return f"{', '.join(names[: _NAMED_AT_MOST - 1])} and {len(names) - _NAMED_AT_MOST + 1} more"
    return listed(list(names))


def _extent(tasks: Sequence[Task], trials: pd.DataFrame) -> str:
    cells = [cell for task in tasks for cell in task.cells]
    each = "each " if len(cells) > 1 else ""
    return (
        f"{counted(len(trials), 'trial')}: {counted(len(cells), 'cell')} on {counted(len(tasks), 'task')},"
        f" {each}with {counted_seeds(int(cell['n_trials']) for cell in cells)}."
    )


def _progress(states: pd.Series, done: int) -> str:
    left = len(states) - done
    if not left:
        return ""
    counts = {state: int((states == state).sum()) for state in (State.RUNNING, State.INTERRUPTED, State.PENDING)}
    words = {State.RUNNING: "running", State.INTERRUPTED: "interrupted", State.PENDING: "still to run"}
    rest = listed([f"{n:,} {words[state]}" for state, n in counts.items() if n])
    return (
        f"This sweep has not ended: {done:,} of {counted(len(states), 'trial')} ({percent(done / len(states))}) are"
        f" done, {rest}. What follows rests on those that are done and may change."
    )


@dataclass(frozen=True)
class Overall:
    """The cell that reached the target in most trials over all tasks, then at the least cost."""

    label: str
    n_reached: int
    n_complete: int
    ratio: float
    """Geometric mean over the tasks of its cost by that of the task's best cell; infinite if it failed one."""
    n_cells: int
    """Cells that were run on every task."""

    @property
    def sentence(self) -> str:
        """The finding in words."""
        cost = (
            f" It needs {self._size} the evaluations of each task's best cell (geometric mean)."
            if math.isfinite(self.ratio)
            else " No cell reached the target on every task."
        )
        return (
            f"One setting for all: of {counted(self.n_cells, 'cell')} that every task shares, {self.label} reached"
            f" most often, in {self.n_reached} of {counted(self.n_complete, 'trial')}.{cost}"
        )

    @property
    def _size(self) -> str:
        times = significant(self.ratio, 2)
        return "no more than" if self.ratio == 1 else "about" if times == "1" else f"{times} times"


def overall(tasks: Sequence[Task]) -> Overall | None:
    """Find the cell; None for fewer than two tasks, or where the tasks do not share two cells with a success."""
    if len(tasks) < 2:
        return None
    by_key = [{task.key(cell): cell for cell in task.finished} for task in tasks]
    shared = [key for key in by_key[0] if all(key in cells for cells in by_key)]
    if len(shared) < 2:
        return None
    best = min(shared, key=lambda key: _overall_order([cells[key] for cells in by_key], tasks))
    cells = [cells[best] for cells in by_key]
    n_reached = sum(int(cell["n_reached"]) for cell in cells)
    if not n_reached:
        return None
    n_complete = sum(int(cell["n_complete"]) for cell in cells)
    return Overall(tasks[0].label(cells[0]), n_reached, n_complete, _overall_ratio(cells, tasks), len(shared))


def _overall_order(cells: Sequence[Row], tasks: Sequence[Task]) -> tuple[float, float]:
    shares = [cell["n_reached"] / cell["n_complete"] for cell in cells]
    return -sum(shares), _overall_ratio(cells, tasks)


def _overall_ratio(cells: Sequence[Row], tasks: Sequence[Task]) -> float:
    costs = [float(cell["ert_evaluations"]) for cell in cells]
    if not all(map(math.isfinite, costs)):
        return math.inf
    least = [min(float(cell["ert_evaluations"]) for cell in task.finished) for task in tasks]
    # At least one evaluation each, since a target may be met before the first.
    ratios = [max(cost, 1.0) / max(best, 1.0) for cost, best in zip(costs, least, strict=True)]
    return math.exp(math.fsum(map(math.log, ratios)) / len(ratios))

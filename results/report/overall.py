"""All tasks at once: the setting that does well on each of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from freewalk.results.base.numbers import counted, significant
from freewalk.results.report.subject import Row, Task


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
    best = min(shared, key=lambda key: _order([cells[key] for cells in by_key], tasks))
    cells = [cells[best] for cells in by_key]
    n_reached = sum(int(cell["n_reached"]) for cell in cells)
    if not n_reached:
        return None
    n_complete = sum(int(cell["n_complete"]) for cell in cells)
    return Overall(tasks[0].label(cells[0]), n_reached, n_complete, _ratio(cells, tasks), len(shared))


def _order(cells: Sequence[Row], tasks: Sequence[Task]) -> tuple[float, float]:
    shares = [cell["n_reached"] / cell["n_complete"] for cell in cells]
    return -sum(shares), _ratio(cells, tasks)


def _ratio(cells: Sequence[Row], tasks: Sequence[Task]) -> float:
    costs = [float(cell["ert_evaluations"]) for cell in cells]
    if not all(map(math.isfinite, costs)):
        return math.inf
    least = [min(float(cell["ert_evaluations"]) for cell in task.finished) for task in tasks]
    # At least one evaluation each, since a target may be met before the first.
    ratios = [max(cost, 1.0) / max(best, 1.0) for cost, best in zip(costs, least, strict=True)]
    return math.exp(math.fsum(map(math.log, ratios)) / len(ratios))

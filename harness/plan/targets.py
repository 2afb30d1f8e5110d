"""Targets of tasks of one's own that no output can reach, named before time is spent on them."""

from __future__ import annotations

from collections.abc import Iterable

from freewalk.harness.plan.plan import Cell
from freewalk.kernels.data.datapoints import draw_rows
from freewalk.kernels.model.noise import Stream
from freewalk.tasks.given import warn_unreachable
from freewalk.tasks.registry import BUILT_IN, TASKS
from freewalk.tasks.task import Problem, Task

_N = 256


def warn_of_targets(cells: Iterable[Cell]) -> None:
    """Warn of each task of one's own whose datapoint function, asked for a few, gives targets beyond 0 to 1.

    Tasks of arrays have been looked at when they were made.
    """
    seen: list[tuple[str, Problem]] = []
    for cell in cells:
        if cell.task not in BUILT_IN and cell.parameters.get("output") not in ("linear", "tanh"):
            problem = TASKS[cell.task].problem(cell.parameters)
            if (cell.task, problem) not in seen:
                seen.append((cell.task, problem))
                warn_of_task(TASKS[cell.task], problem, int(cell.parameters.get("timesteps") or 0))


def warn_of_task(task: Task, problem: Problem, timesteps: int = 0) -> None:
    """Warn of the task with its parameters filled in; see `warn_of_targets`."""
    if task.name in BUILT_IN or problem.load_stored is not None or problem.output_activation != "sigmoid":
        return
    steps = timesteps or problem.default_timesteps
    _, y = draw_rows(
        problem.network(0), problem.data(), steps, seed=0, stream=Stream.DATA, step=0, n_datapoints=_N
    )  # fmt: skip
    warn_unreachable(y, f"task {task.name!r}: y", stacklevel=3)

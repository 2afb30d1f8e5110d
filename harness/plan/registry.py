"""The tasks and methods there are, as a plan wants to know them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from freewalk.harness.methods.registered import METHODS
from freewalk.harness.parameters.parameters import Scalar
from freewalk.harness.plan.plugins import load_entry_points


class BuiltInRegistry:
    """The tasks and methods that come with freewalk, and those of plug-ins loaded so far.

    Raises
    ------
    UsageError
        If an installed package offers a plug-in that cannot be loaded.
    """

    def __init__(self) -> None:
        load_entry_points()

    def task_names(self) -> Sequence[str]:
        """Name the tasks, in the order to show."""
        from freewalk.tasks.registry import TASKS  # loads what compiles tasks

        return tuple(TASKS)

    def method_names(self) -> Sequence[str]:
        """Name the methods, in the order to show."""
        return tuple(METHODS)

    def task_parameters(self, task: str) -> Mapping[str, Scalar]:
        """Give the task's own parameters with their defaults."""
        from freewalk.tasks.registry import TASKS

        return TASKS[task].parameters

    def default_timesteps(self, task: str, parameters: Mapping[str, Scalar | None]) -> int:
        """Give the timesteps for a cell that does not say."""
        from freewalk.tasks.registry import TASKS

        return TASKS[task].problem(parameters).default_timesteps

    def evaluations_per_step(self, task: str, method: str, parameters: Mapping[str, Scalar | None]) -> float:
        """Return what a step costs; raise ValueError with a plain sentence when the values do not fit together."""
        from freewalk.harness.methods.problem import resolve_problem

        return resolve_problem(task, method, parameters).evaluations_per_step

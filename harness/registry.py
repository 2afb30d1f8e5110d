"""The tasks and methods there are, as a plan wants to know them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from freewalk.harness.parameters import METHOD_PARAMETERS, Scalar
from freewalk.harness.problem import resolve_problem
from freewalk.tasks.registry import TASKS


class BuiltInRegistry:
    """The tasks and methods that come with freewalk."""

    def task_names(self) -> Sequence[str]:
        """Name the tasks, in the order to show."""
        return tuple(TASKS)

    def method_names(self) -> Sequence[str]:
        """Name the methods, in the order to show."""
        return tuple(METHOD_PARAMETERS)

    def task_parameters(self, task: str) -> Mapping[str, Scalar]:
        """Give the task's own parameters with their defaults."""
        return TASKS[task].parameters

    def default_timesteps(self, task: str, parameters: Mapping[str, Scalar | None]) -> int:
        """Give the timesteps for a cell that does not say."""
        return TASKS[task].problem(parameters).default_timesteps

    def evaluations_per_step(self, task: str, method: str, parameters: Mapping[str, Scalar | None]) -> float:
        """Return what a step costs; raise ValueError with a plain sentence when the values do not fit together."""
        return resolve_problem(task, method, parameters).evaluations_per_step

"""The best cell of each task while a sweep runs: cheap to update, trial by trial."""

from __future__ import annotations

import math
from dataclasses import dataclass

from freewalk.harness.parameters.parameters import Scalar
from freewalk.harness.plan.configuration import SweepConfiguration
from freewalk.harness.plan.plan import Cell, Plan
from freewalk.harness.trial.watch import TrialResult


@dataclass
class Score:
    """What is known of a cell so far."""

    n_trials: int = 0
    n_reached: int = 0
    evaluations: int = 0

    @property
    def expected_evaluations(self) -> float:
        """Evaluations spent for each success; infinite without one."""
        return self.evaluations / self.n_reached if self.n_reached else math.inf

    @property
    def rank(self) -> tuple[float, float, float]:
        """Smaller is better: success rate, then its cost, then how many trials say so."""
        return -self.n_reached / self.n_trials, self.expected_evaluations, -self.n_trials


class Leaderboard:
    """Scores of all cells that have a finished trial."""

    def __init__(self, plan: Plan, configuration: SweepConfiguration) -> None:
        self._scores: dict[str, dict[Cell, Score]] = {}
        self._best: dict[str, Cell] = {}
        self._varying = varying_parameters(plan, configuration)

    def add(self, cell: Cell, result: TrialResult) -> None:
        """Count a finished trial in."""
        of_task = self._scores.setdefault(cell.task, {})
        score = of_task.setdefault(cell, Score())
        score.n_trials += 1
        score.n_reached += bool(result.fields["reached"])
        score.evaluations += int(str(result.fields["evaluations"]))
        best = self._best.get(cell.task)
        if best is None or score.rank < of_task[best].rank:
            self._best[cell.task] = cell
        elif best == cell:  # it may have fallen behind another
            self._best[cell.task] = min(of_task, key=lambda other: of_task[other].rank)

    def best(self) -> list[str]:
        """Return the best cell of each task in a few words; a task without a success is left out."""
        return [self._words(cell) for cell in self._best.values() if self._scores[cell.task][cell].n_reached]

    def _words(self, cell: Cell) -> str:
        score = self._scores[cell.task][cell]
        return (
            f"{self.describe(cell)}: {score.n_reached}/{score.n_trials} reached,"
            f" {score.expected_evaluations:,.0f} evaluations"
        )

    def describe(self, cell: Cell) -> str:
        """Return a cell's task and in what the plan's cells differ."""
        values = ((name, value_of(cell, name)) for name in self._varying)
        return " ".join([cell.task, *(f"{name}={value}" for name, value in values if value is not None)])


def value_of(cell: Cell, name: str) -> Scalar | None:
    """Return what a cell has for ``method`` or a parameter."""
    return cell.method if name == "method" else cell.parameters[name]


def varying_parameters(plan: Plan, configuration: SweepConfiguration) -> tuple[str, ...]:
    """Return what tells the plan's cells of some task apart: ``method`` and parameters of the grid, in their order.

    A parameter that the grid leaves to its default may differ too (the learning rate follows the optimizer), and one
    that does not apply to every method, but that says nothing that the others do not.
    """
    of_task: dict[tuple[str, str], set[object]] = {}
    of_method: dict[tuple[str, str, str], set[object]] = {}
    for cell in plan.cells:
        for name in ("method", *plan.parameter_names):
            value = value_of(cell, name)
            of_method.setdefault((cell.task, cell.method, name), set()).add(value)
            of_task.setdefault((cell.task, name), set()).update(() if value is None else (value,))
    several = {key[-1] for values in (of_task, of_method) for key, seen in values.items() if len(seen) > 1}
    given = {key for table in configuration.grid for key in table}
    return tuple(name for name in ("method", *plan.parameter_names) if name in several & given)

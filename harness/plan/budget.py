"""How long a trial trains and when it is judged, in steps of its own cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from freewalk.harness.plan.configuration import Looks, SweepConfiguration

GROWTH = 20
"""Looks that grow apart are at most this part of the steps so far apart: 5 %."""


@dataclass(frozen=True)
class Budget:
    """How long trials train and how they are judged."""

    epochs: int
    """Equal parts of a trial, by which a plateau is counted."""
    steps_per_epoch: int
    """Does not count where `evaluations` are given."""
    evaluation_points: int
    target: float | None = None
    """None: each task's own."""
    plateau: int | None = None
    """Epochs without improvement after which a trial stops; None: never."""
    evaluations: int | None = None
    """Forward passes of one datapoint, or their worth, that a trial may spend on training; None: what its steps
    cost."""
    looks: Looks = "epochs"
    """When a trial is judged on held-out data: growing: after the first step, and then again when 5 % more steps have
    been taken, or one where that is less; epochs: after every epoch."""

    @classmethod
    def of(cls, configuration: SweepConfiguration) -> Self:
        """Return the budget of a sweep's trials."""
        c = configuration
        return cls(c.epochs, c.steps_per_epoch, c.evaluation_points, c.target, c.plateau, c.evaluations, c.looks)

    def steps(self, evaluations_per_step: float) -> int:
        """Return the steps of a trial that runs to its end: as many as the evaluations pay for, but at least one."""
        if self.evaluations is None:
            return self.epochs * self.steps_per_epoch
        return max(1, int(self.evaluations // evaluations_per_step))

    def next_end(self, step: int, evaluations_per_step: float) -> int | None:
        """Return the next step after which a trial is judged; None after the last.

        The epochs end at equal distances, and never two after the same step.
        """
        steps = self.steps(evaluations_per_step)
        if self.looks == "growing":
            return min(steps, step + max(1, step // GROWTH)) if step < steps else None
        n = min(self.epochs, steps)
        epoch = -(-(step + 1) * n // steps)  # the first with epoch * steps // n > step
        return epoch * steps // n if epoch <= n else None

    def epochs_ended(self, step: int, evaluations_per_step: float) -> int:
        """Return how many epochs have ended after a step."""
        steps = self.steps(evaluations_per_step)
        return step * min(self.epochs, steps) // steps

    def ends(self, evaluations_per_step: float) -> Iterator[int]:
        """Yield the steps after which a trial that runs to its end is judged, without the look before the first."""
        end = self.next_end(0, evaluations_per_step)
        while end is not None:
            yield end
            end = self.next_end(end, evaluations_per_step)

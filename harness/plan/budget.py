"""How long a trial trains and when it is measured, in steps of its own cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

from freewalk.harness.plan.settings import Looks, TrialSettings

GROWTH = 20
"""Measurements that grow apart are at most this part of the steps so far apart: 5 %."""


class Budget(TrialSettings):
    """How long trials train and when they are measured."""

    looks: Looks = "epochs"

    @classmethod
    def of(cls, settings: TrialSettings) -> Self:
        """Return the budget of a sweep's trials."""
        return cls(**{name: getattr(settings, name) for name in TrialSettings.model_fields})

    def steps(self, evaluations_per_step: float) -> int:
        """Return the steps of a trial that runs to its end: as many as the evaluations pay for, but at least one."""
        if self.evaluations is None:
            return self.epochs * self.steps_per_epoch
        return max(1, int(self.evaluations // evaluations_per_step))

    def next_end(self, step: int, evaluations_per_step: float) -> int | None:
        """Return the next step after which a trial is measured; None after the last.

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
        """Yield the steps after which a trial that runs to its end is measured, but for the one before the first."""
        end = self.next_end(0, evaluations_per_step)
        while end is not None:
            yield end
            end = self.next_end(end, evaluations_per_step)

"""How long a trial trains and when it is judged, in steps of its own cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from freewalk.harness.configuration import SweepConfiguration


@dataclass(frozen=True)
class Budget:
    """How long trials train and how they are judged."""

    epochs: int
    """A trial is judged on held-out data after every epoch."""
    steps_per_epoch: int
    """Does not count where `evaluations` are given."""
    evaluation_points: int
    target: float | None = None
    """None: each task's own."""
    plateau: int | None = None
    """Evaluations without improvement after which a trial stops; None: never."""
    evaluations: int | None = None
    """Forward passes of one datapoint, or their worth, that a trial may spend on training; None: what its steps
    cost."""

    @classmethod
    def of(cls, configuration: SweepConfiguration) -> Self:
        """Return the budget of a sweep's trials."""
        c = configuration
        return cls(c.epochs, c.steps_per_epoch, c.evaluation_points, c.target, c.plateau, c.evaluations)

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
        n = min(self.epochs, steps)
        epoch = -(-(step + 1) * n // steps)  # the first with epoch * steps // n > step
        return epoch * steps // n if epoch <= n else None

"""What is known of a trial so far, whether it has ended or waits: whoever decides what runs next looks at it."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from freewalk.harness.plan.budget import Budget
from freewalk.harness.trial.watch import evaluations_at
from freewalk.results.schema.records import CurvePoint
from freewalk.results.schema.schema import Outcome, State

_LOSS = ("heldout", "loss")


class Observation(NamedTuple):
    """A trial as it was when it had spent so many evaluations, whatever it has done since."""

    cost: float
    """Evaluations to the target; of a trial that has not met it, what they are more than."""
    reached: bool
    ended: bool
    """Whether more evaluations would change nothing."""
    spent: float
    """Evaluations up to its last measurement."""
    loss: float
    """At the last measurement; +inf for one that diverged or failed."""


@dataclass(frozen=True)
class History:
    """The measurements of a trial so far, and how it ended."""

    evaluations: tuple[float, ...]
    """At each measurement."""
    losses: tuple[float, ...]
    next_look: float
    """Evaluations at the next measurement; +inf for a trial that has ended."""
    cost: float = math.inf
    """Evaluations to the target; +inf for a trial that has not met it."""

    @property
    def ended(self) -> bool:
        """Whether the trial has come to its end."""
        return math.isinf(self.next_look)

    def tells(self, cap: float) -> bool:
        """Return whether it is known how the trial stands after so many evaluations."""
        return self.ended or cap < self.next_look

    def at(self, cap: float) -> Observation:
        """Return how the trial stood after `cap` evaluations, which the history has to tell."""
        n = bisect_right(self.evaluations, cap)
        spent = self.evaluations[n - 1] if n else 0.0
        loss = self.losses[n - 1] if n else math.inf
        if self.cost <= cap and math.isfinite(self.cost):
            return Observation(self.cost, True, True, self.cost, loss)
        if self.ended and n == len(self.evaluations):
            return Observation(spent, False, True, spent, loss)
        return Observation(max(cap, spent), False, False, spent, loss)

    @classmethod
    def of_curve(cls, curve: Iterable[CurvePoint], next_look: float = math.inf, cost: float = math.inf) -> History:
        """Return the history that a curve tells, of a trial that ended at a measurement that was due."""
        points = sorted((p.evaluations, p.value) for p in curve if (p.split, p.metric) == _LOSS)
        losses = tuple(math.inf if math.isnan(loss) else loss for _, loss in points)
        return cls(tuple(float(spent) for spent, _ in points), losses, next_look, cost)

    @classmethod
    def of_end(
        cls, curve: Sequence[CurvePoint], fields: Mapping[str, Any], evaluations_per_step: float, budget: Budget
    ) -> History:
        """Return the history of a trial that has ended, by its columns of the trials table.

        One that diverged did so between two measurements. Whoever pauses it learns that only when the next was due.
        """
        if fields["state"] == State.FAILED:
            return FAILED
        cost = float(fields["evaluations_to_target"]) if fields["reached"] else math.inf
        known = cls.of_curve(curve, cost=cost)
        steps = sorted({point.step for point in curve if (point.split, point.metric) == _LOSS})
        if fields["outcome"] != Outcome.DIVERGED or len(steps) < 2:
            return known
        end = budget.next_end(steps[-2], evaluations_per_step)
        due = known.evaluations[-1] if end is None else evaluations_at(end, evaluations_per_step)
        return replace(known, evaluations=(*known.evaluations[:-1], float(due)), losses=(*known.losses[:-1], math.inf))

    @classmethod
    def of_pause(cls, curve: Sequence[CurvePoint], evaluations_per_step: float, budget: Budget) -> History:
        """Return the history of a trial that waits, or goes on from a checkpoint."""
        last = max((point.step for point in curve if point.split == "heldout"), default=None)
        end = 0 if last is None else budget.next_end(last, evaluations_per_step)
        assert end is not None, "a trial that was measured for the last time has ended"
        return cls.of_curve(curve, next_look=evaluations_at(end, evaluations_per_step))


FAILED = History((), (), math.inf)
"""Of a trial that ended in an error: it cost nothing, and never meets its target."""

"""A bundle of works on its way to a worker and back, and when to wait for it no longer."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field

from freewalk.harness.cluster.members import Member
from freewalk.harness.cluster.pulse import SECONDS_BETWEEN
from freewalk.harness.cluster.remote import Outcome
from freewalk.harness.cluster.waiting import Piece
from freewalk.harness.methods.cost import judging_cost, step_cost
from freewalk.harness.methods.problem import resolve_problem
from freewalk.harness.plan.budget import Budget

STUCK_SECONDS = 60.0
"""How long a slice may go without a check whether it is to stop; usually a tenth of a second."""
LONGER_EACH_TIME = 5.0
"""By how much longer the next worker may take for trials with which one has hung."""
_TIMES_THE_LONGEST, _TIMES_THE_MODEL = 10.0, 100.0


@dataclass(eq=False)
class Flight:
    """Works that travel together."""

    pieces: tuple[Piece, ...]
    member: Member
    is_alone: bool = False
    """Whether its worker gets nothing beside it: others have died with it."""
    bytes_out: int = 0
    bytes_back: int = 0
    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    task: asyncio.Task[Outcome] | None = None
    checks: int | None = None
    """How often it had checked whether to stop, as the worker said last; None while it did not run."""
    stuck_seconds: float = 0.0
    """For how long that has been the same."""

    @property
    def on_gpu(self) -> bool:
        """Whether it is one for a GPU."""
        return self.pieces[0].on_gpu

    def cancel(self) -> None:
        """Wait for it no longer; what still comes is dropped."""
        if self.task is not None:
            self.task.cancel()

    def heard(self, checks: int | None) -> None:
        """Take what the worker says of it, once in `SECONDS_BETWEEN`."""
        moves = checks is None or checks != self.checks
        self.checks = checks
        self.stuck_seconds = 0.0 if moves else self.stuck_seconds + SECONDS_BETWEEN

    def is_stuck(self, hangs: int, longest: float, budget: Budget) -> bool:
        """Tell whether it will hardly come back: single steps may be long, and kernels have to be compiled.

        Parameters
        ----------
        hangs
            Workers in a row that have hung while they had its trials.
        longest
            Seconds that the longest flight of the sweep took.
        budget
            Of the sweep.
        """
        if self.stuck_seconds < max(STUCK_SECONDS * LONGER_EACH_TIME**hangs, _TIMES_THE_LONGEST * longest):
            return False
        return self.stuck_seconds >= _TIMES_THE_MODEL * max(_model_seconds(piece, budget) for piece in self.pieces)


def _model_seconds(piece: Piece, budget: Budget) -> float:
    """Return the model's time of the longest call of a kernel: a step of all trials, or a measurement."""
    problems = [resolve_problem(t.cell.task, t.cell.method, t.cell.parameters) for t in piece.work.trials]
    points = budget.evaluation_points
    return sum(step_cost(one) + judging_cost(one, one.problem.evaluation_points(points)) for one in problems)

"""A bundle of works on its way to a worker and back: when to wait for it no longer, and what such journeys cost."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field

from freewalk.harness.cluster.members import SECONDS_BETWEEN_PULSES, Member
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
        """Take what the worker says of it, once in `SECONDS_BETWEEN_PULSES`."""
        moves = checks is None or checks != self.checks
        self.checks = checks
        self.stuck_seconds = 0.0 if moves else self.stuck_seconds + SECONDS_BETWEEN_PULSES

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


@dataclass
class Figures:
    """What a sweep has cost beside its work; a journey takes works to a worker and what came of them back."""

    slices: int = 0
    journeys: int = 0
    lost: int = 0
    """Journeys whose worker died."""
    bytes_out: int = 0
    bytes_back: int = 0
    busy_seconds: float = 0.0
    """Time that workers spent on slices."""
    longest_seconds: float = 0.0
    """Of a journey."""
    seconds: float = 0.0
    """In which works were under way."""
    thread_seconds: float = 0.0
    """The same times the threads there were."""

    def count(self, flight: Flight, n_slices: int, seconds: float) -> None:
        """Count a journey that has come back."""
        self.slices += n_slices
        self.journeys += 1
        self.bytes_out += flight.bytes_out
        self.bytes_back += flight.bytes_back
        self.busy_seconds += seconds
        self.longest_seconds = max(self.longest_seconds, seconds)

    def run_for(self, seconds: float, n_threads: int) -> None:
        """Count a run of so many seconds with so many threads."""
        self.seconds += seconds
        self.thread_seconds += n_threads * seconds

    def sentence(self) -> str:
        """Return the costs in a sentence."""
        if not self.slices:
            return "cluster: no slice came back"
        lost = f", {self.lost} lost with a worker and made again" if self.lost else ""
        idle = max(0.0, self.thread_seconds - self.busy_seconds)
        return (
            f"cluster: {self.slices} slices, {self.journeys} journeys{lost}, {self.seconds:.1f} s; per slice"
            f" {self.bytes_out / self.slices:,.0f} bytes out and {self.bytes_back / self.slices:,.0f} back,"
            f" {1e3 * self.busy_seconds / self.slices:,.1f} ms of work,"
            f" {1e3 * idle / self.slices:,.1f} ms of idle thread"
        )

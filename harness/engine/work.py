"""Trials that run together on one thread: one with a trainer of its own, or a pack whose steps are taken together."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.base.checkpoint import Checkpoint
from freewalk.harness.methods.cost import step_cost
from freewalk.harness.methods.problem import ResolvedProblem
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.plan import Trial
from freewalk.harness.trial.trial import (
    SECONDS_BETWEEN_CHECKS,
    TrialPaused,
    resolve_trial,
    run_trial,
    start_trial,
)
from freewalk.harness.trial.watch import TrialResult, TrialWatch, finish_trial, judge_of
from freewalk.kernels.backend import Backend
from freewalk.kernels.machine.clock import running_seconds
from freewalk.kernels.model.pack import Pack, PackTrial
from freewalk.kernels.model.walk import WalkConfiguration

Ended = tuple[Trial, TrialResult | Checkpoint]
"""A trial with its result, or with what it needs to go on where it has only come as far as it was to go for now."""
Check = Callable[[], None]
"""Called between calls of the kernels, at least every SECONDS_BETWEEN_CHECKS or step; may raise Interrupted."""


@dataclass(frozen=True)
class Work:
    """Trials that shall run together, from their beginnings or from checkpoints."""

    trials: tuple[Trial, ...]
    checkpoints: tuple[Checkpoint | None, ...]
    together: bool
    """Whether in one kernel, even if one is left of it; otherwise there is one trial, with a trainer of its own."""
    pause_at: float = math.inf
    """Evaluations that each trial may spend for now; it pauses at the last measurement within them."""

    def pairs(self) -> list[tuple[Trial, Checkpoint | None]]:
        """Return each trial with its checkpoint."""
        return list(zip(self.trials, self.checkpoints, strict=True))

    def halves(self) -> tuple[Work, Work]:
        """Return every second trial as one half, which is fair where they are sorted by what is left of them."""
        return self._only(slice(0, None, 2)), self._only(slice(1, None, 2))

    def _only(self, part: slice) -> Work:
        return replace(self, trials=self.trials[part], checkpoints=self.checkpoints[part])


class PackRun(ABC):
    """A pack in progress; `run` may be left at a check, and `left` then says what remains."""

    _counted_seconds = 0.0

    @property
    @abstractmethod
    def compile_seconds(self) -> float:
        """What compilation has taken so far, as whoever compiles says; no part of the trials' own seconds."""

    def newly_compiled(self) -> float:
        """Return the seconds of compilation since the last call, so that whoever adds them up counts none twice."""
        before, self._counted_seconds = self._counted_seconds, self.compile_seconds
        return self._counted_seconds - before

    @abstractmethod
    def run(self, check: Check) -> Iterator[Ended]:
        """Train until every trial has come to its outcome, or pauses; yield each when it has."""

    @abstractmethod
    def left(self) -> Work:
        """Return the trials that have not come to an outcome, with checkpoints where they can give one."""

    @property
    def can_be_left(self) -> bool:
        """Whether nothing is lost by going on from `left`: a method of one's own may not know how."""
        return True

    @abstractmethod
    def request_stop(self) -> None:
        """Let a kernel that runs in another thread return soon."""

    @property
    @abstractmethod
    def open(self) -> list[tuple[Trial, TrialWatch]]:
        """Trials that have not come to an outcome, with what is known of them."""

    @property
    @abstractmethod
    def seconds_left(self) -> float:
        """What the rest takes at the present pace, at most; 0 while that is unknown."""


class TrialAlone(PackRun):
    """One trial with a trainer of its own."""

    def __init__(self, work: Work, budget: Budget, backend: Backend) -> None:
        ((self.trial, saved),) = work.pairs()
        self._work, self._backend = work, backend
        self.progress = start_trial(self.trial.cell, self.trial.seed, budget, backend)
        if saved is not None:
            self.progress.trainer.restore(saved.state)
            self.progress.recall(saved.memory, saved.curve)

    def run(self, check: Check) -> Iterator[Ended]:
        """Train until the outcome, or the pause of a trial that can be left; yield what came of it."""
        pause_at = self._work.pause_at if self.can_be_left else math.inf
        try:
            result = run_trial(self.progress, self._backend, check=lambda _: check(), pause_at=pause_at)
        except TrialPaused:
            yield self.trial, self._checkpoint()
        else:
            yield self.trial, result

    @property
    def compile_seconds(self) -> float:
        """What the trainer says; 0 for one that compiles nothing of its own."""
        return float(getattr(self.progress.trainer, "compile_seconds", 0.0))

    def left(self) -> Work:
        """Return the trial with a checkpoint."""
        return replace(self._work, checkpoints=(self._checkpoint() if self.can_be_left else None,))

    def _checkpoint(self) -> Checkpoint:
        return checkpoint_of(self.progress, self.progress.trainer.state(), self._backend)

    @property
    def can_be_left(self) -> bool:
        """Whether the trainer can give its state and go on from it."""
        return hasattr(self.progress.trainer, "state") and hasattr(self.progress.trainer, "restore")

    def request_stop(self) -> None:
        """Let a kernel that runs in another thread return soon."""
        self.progress.trainer.request_stop()

    @property
    def open(self) -> list[tuple[Trial, TrialWatch]]:
        """The one."""
        return [(self.trial, self.progress)]

    @property
    def seconds_left(self) -> float:
        """What the rest takes at the present pace, at most; 0 while that is unknown."""
        return (self.progress.steps - self.progress.trainer.step) * self.progress.seconds_per_step


@dataclass
class PackMember:
    """One trial of a pack, as `TrialWatch` wants to see it: the kernels' pack trains and measures."""

    pack: Pack
    place: int

    @property
    def step(self) -> int:
        """Steps taken so far."""
        return int(self.pack.steps[self.place])

    @property
    def weights(self) -> NDArray[np.float64]:
        """A copy of the weights, (n_from, n_to)."""
        return self.pack.weights(self.place)


class TrialsTogether(PackRun):
    """Trials whose steps are taken together.

    The seconds of a call are shared out among the trials by what their steps cost, so that the seconds of all trials
    add up to what the device has worked.
    """

    def __init__(self, work: Work, budget: Budget, backend: Backend) -> None:
        self._work, self._backend = work, backend
        problems = [resolve_trial(trial.cell, budget) for trial in work.trials]
        self._pack = _make_pack(work, problems, budget, backend)
        self._runs: dict[int, tuple[Trial, TrialWatch]] = {}
        for place, ((trial, saved), problem) in enumerate(zip(work.pairs(), problems, strict=True)):
            watch = TrialWatch(problem, PackMember(self._pack, place), judge_of(problem, budget), budget, trial.seed)
            if saved is not None:
                watch.recall(saved.memory, saved.curve)
            self._runs[place] = trial, watch
        self._costs = np.array([step_cost(problem) for problem in problems])
        self._seconds_per_step = 0.0

    @property
    def compile_seconds(self) -> float:
        """What the kernels' pack says."""
        return self._pack.compile_seconds

    def run(self, check: Check) -> Iterator[Ended]:
        """Train until every trial has come to its outcome, or pauses; yield each when it has."""
        yield from self._pause([*self._pack.active])
        while places := tuple(self._pack.active):
            steps = self._pack.steps
            steps_left = {place: self._next_end(place) - int(steps[place]) for place in places}
            due = [place for place in places if steps_left[place] <= 0 or not self._runs[place][1].is_finite]
            if due:
                yield from self._measure(due)
                yield from self._pause([place for place in due if place in self._pack.active])
                continue
            check()
            self._train(min(steps_left.values()))

    def _next_end(self, place: int) -> int:
        end = self._runs[place][1].next_end
        assert end is not None, "a trial without a next measurement has left its pack"
        return end

    def _train(self, most_steps: int) -> None:
        """Take steps, as many as fit between two checks."""
        known = self._seconds_per_step
        n_steps = max(1, min(most_steps, int(SECONDS_BETWEEN_CHECKS / known))) if known else 1
        places = list(self._pack.active)
        progress = self._pack.train(n_steps)
        seconds = self._pack.kernel_seconds
        self._seconds_per_step = seconds / n_steps
        shares = self._costs[places] / self._costs[places].sum()
        for place, done, share in zip(places, progress, shares, strict=True):
            self._runs[place][1].took(done, seconds * float(share))

    def _measure(self, places: Sequence[int]) -> Iterator[Ended]:
        """Measure trials; those that have come to an outcome leave the pack."""
        compiled_before, start = self.compile_seconds, running_seconds()
        evaluations = self._pack.evaluate(places)
        seconds = (running_seconds() - start - (self.compile_seconds - compiled_before)) / len(places)
        for place, evaluation in zip(places, evaluations, strict=True):
            trial, run = self._runs[place]
            run.measured(evaluation, seconds)
            if run.convergence.outcome is not None or run.next_end is None:
                result = finish_trial(run, self._backend)
                self._pack.drop(place)
                yield trial, result

    def _pause(self, places: Sequence[int]) -> Iterator[Ended]:
        """Let those leave the pack that have come as far as they were to go."""
        for place in places:
            trial, run = self._runs[place]
            if not run.goes_on(self._work.pause_at):
                saved = checkpoint_of(run, self._pack.state(place), self._backend)
                self._pack.drop(place)
                yield trial, saved

    def left(self) -> Work:
        """Return the trials that have not come to an outcome, with checkpoints, those with most left first."""
        places = sorted(self._pack.active, key=lambda place: -self._cost_left(place))
        watches = [(self._runs[place], self._pack.state(place)) for place in places]
        return replace(
            self._work,
            trials=tuple(trial for (trial, _), _ in watches),
            checkpoints=tuple(checkpoint_of(watch, state, self._backend) for (_, watch), state in watches),
        )

    def _cost_left(self, place: int) -> float:
        return float(self._costs[place]) * self._steps_left(place)

    def _steps_left(self, place: int) -> int:
        return self._runs[place][1].steps - int(self._pack.steps[place])

    def request_stop(self) -> None:
        """Let a kernel that runs in another thread return soon."""
        self._pack.request_stop()

    @property
    def open(self) -> list[tuple[Trial, TrialWatch]]:
        """Trials that have not come to an outcome, with what is known of them."""
        return [self._runs[place] for place in self._pack.active]

    @property
    def seconds_left(self) -> float:
        """What the rest takes at the present pace, at most; 0 while that is unknown."""
        return self._seconds_per_step * max((self._steps_left(place) for place in self._pack.active), default=0)


def start_pack(work: Work, budget: Budget, backend: Backend) -> TrialAlone | TrialsTogether:
    """Make what trains this work.

    Raises
    ------
    ValueError
        If a checkpoint does not fit its trial.
    """
    return TrialsTogether(work, budget, backend) if work.together else TrialAlone(work, budget, backend)


def alone_again(work: Work, unfinished: Iterable[Trial], backend: Backend) -> list[Work]:
    """Return what of a work that ended in an error shall try again, each trial alone; empty where all have failed.

    Trials that share nothing but noise do: one of them has failed, not all.
    """
    if len(work.trials) == 1 or not backend.most_sharing_noise:
        return []
    return [Work((trial,), (None,), together=False, pause_at=work.pause_at) for trial in unfinished]


def checkpoint_of(run: TrialWatch, state: dict[str, NDArray[Any]], backend: Backend) -> Checkpoint:
    """Return a trial in progress as something that can be stored and sent."""
    return Checkpoint(state, run.memory(), tuple(run.curve), backend.name)


def _make_pack(work: Work, problems: Sequence[ResolvedProblem], budget: Budget, backend: Backend) -> Pack:
    trials = [
        PackTrial(
            own.configuration,
            trial.seed,
            own.given_weights(trial.seed),
            None if saved is None else saved.state,
        )
        for (trial, saved), own in zip(work.pairs(), problems, strict=True)
        if isinstance(own.configuration, WalkConfiguration)
    ]
    first = problems[0]
    points = first.problem.evaluation_points(budget.evaluation_points)
    return backend.make_pack(first.network, first.problem.data(), trials, evaluation_points=points, mask=first.mask)

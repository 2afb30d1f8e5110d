"""The engine for backends that run many trials at once: trials of one network share launches until each has ended."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.budget import Budget
from freewalk.harness.engine import Event, Failed, Finished, Started, Stopped
from freewalk.harness.plan import Trial
from freewalk.harness.problem import ResolvedProblem
from freewalk.harness.trial import (
    SECONDS_BETWEEN_LOOKS,
    Interrupted,
    TrialRun,
    TrialWatch,
    finish_trial,
    judge_of,
    resolve_trial,
    run_trial,
    start_trial,
)
from freewalk.kernels.backend import Backend
from freewalk.kernels.batch import BatchTrial, TrialBatch
from freewalk.kernels.walk import WalkConfiguration

Member = tuple[Trial, ResolvedProblem]


@dataclass
class BatchMember:
    """One trial of a batch, as `TrialWatch` wants to see it: the batch does the training and the measuring."""

    batch: TrialBatch
    place: int

    @property
    def step(self) -> int:
        """Steps taken so far."""
        return int(self.batch.steps[self.place])

    @property
    def weights(self) -> NDArray[np.float64]:
        """A copy of the weights, (n_from, n_to)."""
        return self.batch.weights(self.place)


class BatchEngine:
    """Runs trials batch by batch in the calling thread; the same events as `Engine`.

    A launch's seconds are shared out evenly among its trials, so that the seconds of all trials add up to what the
    device has worked.

    Parameters
    ----------
    backend, budget
        Where trials run, and how long.
    plan
        All trials of the sweep. How many of them could share a batch decides whether they do or run one by one, which
        differ in the last bits; so a sweep that is resumed must not decide by what is left.
    """

    def __init__(self, backend: Backend, budget: Budget, plan: Sequence[Trial]) -> None:
        self.backend = backend
        self._budget = budget
        self._together = Counter(self._what_a_batch_shares(resolve_trial(trial.cell, budget)) for trial in plan)
        self._stop = False
        self._left: list[Event] = []
        self.compile_seconds = 0.0

    def run(self, trials: Sequence[Trial]) -> Generator[Event]:
        """Run the trials, batch by batch; yield what happens.

        When the consumer stops early, call `drain` for the trials that were under way.
        """
        for batch in self._batches(trials):
            if self._stop:
                return
            open_trials = {trial.trial_id: trial for trial, _ in batch}
            try:
                for event in self._run_batch(batch):
                    if not isinstance(event, Started):
                        del open_trials[event.trial.trial_id]
                    yield event
            except Interrupted:
                pass
            except Exception as error:
                for trial in open_trials.values():
                    yield Failed(trial, error)
                open_trials.clear()
            finally:
                self._left = [Stopped(trial) for trial in open_trials.values()]

    def stop(self) -> None:
        """Let the running batch stop after its present launch, and start no more."""
        self._stop = True

    def drain(self) -> Iterator[Event]:
        """Yield the events that were left when `run` was cut short."""
        left, self._left = self._left, []
        yield from left

    def _batches(self, trials: Sequence[Trial]) -> Iterator[list[Member]]:
        """Put trials together that one batch can hold, in the order of the plan; those that are too few stay alone."""
        groups: dict[Hashable, list[Member]] = {}
        for trial in trials:
            problem = resolve_trial(trial.cell, self._budget)
            groups.setdefault(self._what_a_batch_shares(problem), []).append((trial, problem))
        for shared, group in groups.items():
            most = self.backend.most_together if self._goes_together(shared) else 1
            for first in range(0, len(group), most):
                yield group[first : first + most]

    def _goes_together(self, shared: Hashable) -> bool:
        return self._together[shared] >= self.backend.fewest_together

    def _what_a_batch_shares(self, problem: ResolvedProblem) -> Hashable:
        configuration = problem.configuration
        if not isinstance(configuration, WalkConfiguration):
            raise TypeError(f"no batch of {problem.method}")
        ends = tuple(self._budget.epoch_ends(problem.evaluations_per_step))
        data = problem.problem
        return (
            *(problem.network, problem.layers, data.datapoint, data.argument, ends),
            *(configuration.noise, configuration.sides, data.evaluation_points(self._budget.evaluation_points)),
            problem.task.name,
        )

    def _run_batch(self, members: Sequence[Member]) -> Iterator[Event]:
        for trial, _ in members:
            yield Started(trial)
        problem = members[0][1]
        if not self._goes_together(self._what_a_batch_shares(problem)):
            yield self._run_alone(members[0][0])
            return
        batch = self._make_batch(members)
        runs = {
            place: (trial, TrialWatch(own, BatchMember(batch, place), judge_of(own, self._budget), self._budget))
            for place, (trial, own) in enumerate(members)
        }
        yield from self._judge(batch, runs)
        taken, seconds_per_step = 0, 0.0
        for end in self._budget.epoch_ends(problem.evaluations_per_step):
            while taken < end and batch.active:
                if self._stop:
                    raise Interrupted
                fitting = int(SECONDS_BETWEEN_LOOKS / seconds_per_step) if seconds_per_step else 1
                n_steps = max(1, min(end - taken, fitting))
                seconds = self._train(batch, runs, n_steps)
                taken, seconds_per_step = taken + n_steps, seconds / n_steps
            yield from self._judge(batch, runs)
        for place in tuple(batch.active):
            yield self._finish(batch, runs, place)

    def _run_alone(self, trial: Trial) -> Finished:
        run = start_trial(trial.cell, trial.seed, self._budget, self.backend)
        self.compile_seconds += getattr(run.trainer, "compile_seconds", 0.0)
        return Finished(trial, run_trial(run, self.backend, look=self._look))

    def _look(self, run: TrialRun) -> None:
        if self._stop:
            raise Interrupted

    def _make_batch(self, members: Sequence[Member]) -> TrialBatch:
        problem = members[0][1]
        trials = [
            BatchTrial(own.configuration, trial.seed, None if own.layers is None else own.initial_weights(trial.seed))
            for trial, own in members
            if isinstance(own.configuration, WalkConfiguration)
        ]
        points = problem.problem.evaluation_points(self._budget.evaluation_points)
        data, mask = problem.data(), problem.mask
        return self.backend.make_batch(problem.network, data, trials, evaluation_points=points, mask=mask)

    def _train(self, batch: TrialBatch, runs: dict[int, tuple[Trial, TrialWatch]], n_steps: int) -> float:
        """Take steps; return the seconds the launch took."""
        compiled_before = batch.compile_seconds
        places = tuple(batch.active)
        progress = batch.train(n_steps)
        self.compile_seconds += batch.compile_seconds - compiled_before
        for place, done in zip(places, progress, strict=True):
            runs[place][1].took(done, batch.kernel_seconds / len(places))
        return batch.kernel_seconds

    def _judge(self, batch: TrialBatch, runs: dict[int, tuple[Trial, TrialWatch]]) -> Iterator[Event]:
        """Measure the trials that still run; those that have come to an outcome leave the batch."""
        compiled_before = batch.compile_seconds
        start = time.perf_counter()
        places = tuple(batch.active)
        evaluations = batch.evaluate()
        compiled = batch.compile_seconds - compiled_before
        self.compile_seconds += compiled
        seconds = (time.perf_counter() - start - compiled) / max(1, len(places))
        for place, evaluation in zip(places, evaluations, strict=True):
            run = runs[place][1]
            run.measured(evaluation, seconds)
            if run.convergence.outcome is not None:
                yield self._finish(batch, runs, place)

    def _finish(self, batch: TrialBatch, runs: dict[int, tuple[Trial, TrialWatch]], place: int) -> Finished:
        trial, run = runs[place]
        batch.drop(place)
        return Finished(trial, finish_trial(run, self.backend))

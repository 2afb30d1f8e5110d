"""One trial from its first step to its outcome."""

from __future__ import annotations

import math
import resource
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from freewalk.harness.base.interrupts import TRAINING, patience
from freewalk.harness.methods.problem import ResolvedProblem, resolve_problem
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.plan import Cell
from freewalk.harness.trial.confirmation import confirm
from freewalk.harness.trial.final_measure import measure_test_part
from freewalk.harness.trial.output_signal import heldout_signal
from freewalk.kernels.backend import Backend
from freewalk.kernels.machine.clock import running_seconds
from freewalk.kernels.model.walk import Evaluation, Progress, Trainer
from freewalk.results.ending.convergence import Convergence
from freewalk.results.schema.records import CurvePoint
from freewalk.tasks.task import Task

SECONDS_BETWEEN_CHECKS = 0.1
"""How long a trial may train before it checks whether it is to stop."""


_WORTH_SPREADING_SECONDS = 3.0
"""A trial that has less left than this is not worth loading the kernel that spreads it over all threads."""
_SECONDS_BEFORE_ANOTHER_TRY = 10.0


_REMEMBERED = ("train_seconds", "evaluation_seconds", "last_train_loss", "seconds_per_step")


class Interrupted(Exception):  # noqa: N818 - not an error: somebody asked for it
    """The trial was told to stop before its end."""


def one_blas_thread() -> AbstractContextManager[object]:
    """Keep NumPy's matrix products on the thread that asks for them, inside a with block.

    Layered networks are small: their products are too short to be shared out, and trials already take the threads.
    """
    limits: AbstractContextManager[object] = threadpool_limits(limits=1, user_api="blas")
    return limits


@dataclass
class TrialResult:
    """What a finished trial leaves."""

    fields: dict[str, object]
    """Columns of the trials table."""
    curve: list[CurvePoint]


class Trained(Protocol):
    """What a trial in progress shows of itself."""

    @property
    def step(self) -> int:
        """Steps taken so far."""

    @property
    def weights(self) -> NDArray[np.float64]:
        """A copy of the weights, (n_from, n_to)."""


@dataclass
class TrialWatch:
    """What is known of a trial in progress, whoever runs it: its judge, its clock and its curve."""

    problem: ResolvedProblem
    trainer: Trained
    convergence: Convergence
    budget: Budget
    seed: int
    train_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    curve: list[CurvePoint] = field(default_factory=list)
    last_evaluation: Evaluation | None = None
    last_train_loss: float | None = None
    seconds_per_step: float = 0.0

    @property
    def task(self) -> Task:
        """What is learned."""
        return self.problem.task

    @property
    def steps(self) -> int:
        """Steps of this trial if it runs to its end."""
        return self.budget.steps(self.problem.evaluations_per_step)

    @property
    def evaluations(self) -> int:
        """Forward passes of one datapoint, or their worth, spent on training so far."""
        return round(self.trainer.step * self.problem.evaluations_per_step)

    @property
    def seconds(self) -> float:
        """What training and measurements on held-out data have taken so far."""
        return self.train_seconds + self.evaluation_seconds

    @property
    def is_finite(self) -> bool:
        """Whether the last training loss was finite."""
        return self.last_train_loss is None or math.isfinite(self.last_train_loss)

    def took(self, progress: Progress, seconds: float) -> None:
        """Count steps that the trainer has taken."""
        self.train_seconds += seconds
        if progress.steps:
            self.seconds_per_step = seconds / progress.steps
            self.last_train_loss = progress.loss

    def measured(self, evaluation: Evaluation, seconds: float) -> None:
        """Add a measurement on held-out data to the curve and let the judge see it.

        A training loss that is not finite stands for the held-out loss before the judge: the step that met it moved
        nothing, so the weights themselves may still look sound.
        """
        self.evaluation_seconds += seconds
        self.last_evaluation = evaluation
        if self.last_train_loss is not None:
            self._record("train", "loss", self.last_train_loss)
        for metric in self.task.recorded_metrics:
            self._record("heldout", metric, float(getattr(evaluation, metric)))
        before, now = (self._epochs_ended(step) for step in (self.convergence.last_step or 0, self.trainer.step))
        self.convergence.observe(
            step=self.trainer.step,
            evaluations=self.evaluations,
            train_seconds=self.train_seconds,
            loss=evaluation.loss if self.is_finite else math.nan,
            metric=self.task.measure(evaluation),
            output_spread=evaluation.output_spread,
            n_epochs=now - before,
            confirm=self._confirm,
        )

    def _epochs_ended(self, step: int) -> int:
        return self.budget.epochs_ended(step, self.problem.evaluations_per_step)

    def _confirm(self) -> bool:
        """Return whether the target is met on fresh datapoints too; add what they show to the curve."""
        start, judge = running_seconds(), self.convergence
        sure, value = confirm(
            self.problem,
            self.trainer.weights,
            lambda metric: judge.meets(metric, judge.target),
            seed=self.seed,
            earlier=judge.n_unconfirmed,
            n_seen=self.problem.problem.evaluation_points(self.budget.evaluation_points),
        )
        self.evaluation_seconds += running_seconds() - start
        if value is not None:
            self._record("fresh", self.task.metric, value)
        return sure

    def signal(self) -> float:
        """Measure the training signal that the outputs let through; add it and their spread to the curve.

        On datapoints that are the same for every trial; see `freewalk.harness.trial.output_signal`.
        """
        start = running_seconds()
        signal = heldout_signal(self.problem, self.trainer.weights)
        self.evaluation_seconds += running_seconds() - start
        self._record("heldout", "signal", signal)
        if self.last_evaluation is not None:
            self._record("heldout", "output_spread", self.last_evaluation.output_spread)
        return signal

    def memory(self) -> dict[str, Any]:
        """Return clocks, counters and what the judge knows, as plain values; the curve is beside it."""
        return {**{name: getattr(self, name) for name in _REMEMBERED}, "judge": self.convergence.memory()}

    def recall(self, memory: Mapping[str, Any], curve: Sequence[CurvePoint]) -> None:
        """Go on from the memory and the curve of the same trial.

        Raises
        ------
        ValueError
            If something is missing.
        """
        try:
            self.convergence.recall(memory["judge"])
            for name in _REMEMBERED:
                setattr(self, name, memory[name])
        except KeyError as error:
            raise ValueError(f"a trial's memory lacks {error}") from None
        self.curve = list(curve)

    @property
    def next_end(self) -> int | None:
        """The step of the next measurement; None after the last."""
        last = self.convergence.last_step
        return 0 if last is None else self.budget.next_end(last, self.problem.evaluations_per_step)

    def measure_test_part(self) -> None:
        """Add the measures of the test part to the curve, if the task's data have one; nothing is judged by them."""
        start = running_seconds()
        evaluation = measure_test_part(self.problem, self.trainer.weights)
        self.evaluation_seconds += running_seconds() - start
        if evaluation is not None:
            for metric in self.task.recorded_metrics:
                self._record("test", metric, float(getattr(evaluation, metric)))

    def _record(self, split: str, metric: str, value: float) -> None:
        self.curve.append(CurvePoint(self.trainer.step, self.evaluations, self.train_seconds, split, metric, value))


@dataclass
class TrialRun(TrialWatch):
    """A trial in progress with a trainer of its own."""

    trainer: Trainer
    seconds_alone: float | None = None
    """Seconds a step took on one thread, while the trial is spread over several."""
    spread_not_before: float = 0.0
    """Clock time of the next try to spread it."""

    def train(self, n_steps: int) -> None:
        """Take up to `n_steps` steps, as many as fit between two checks."""
        if self.seconds_per_step:
            n_steps = max(1, min(n_steps, int(SECONDS_BETWEEN_CHECKS / self.seconds_per_step)))
        else:
            n_steps = 1  # the first step tells how long one takes
        start = running_seconds()
        progress = self.trainer.train(n_steps)
        self.took(progress, running_seconds() - start)

    def evaluate(self) -> None:
        """Measure on held-out data, add to the curve and let the judge see it."""
        start = running_seconds()
        evaluation = self.trainer.evaluate()
        self.measured(evaluation, running_seconds() - start)


def resolve_trial(cell: Cell, budget: Budget) -> ResolvedProblem:
    """Return what a trial of a cell trains, for the steps that the budget gives it."""
    problem = resolve_problem(cell.task, cell.method, cell.parameters)
    return problem.over(budget.steps(problem.evaluations_per_step))


def judge_of(problem: ResolvedProblem, budget: Budget) -> Convergence:
    """Return the judge of a trial that has not been measured yet."""
    task = problem.task
    return Convergence(
        task.target if budget.target is None else budget.target,
        task.direction,
        strict=task.strict,
        plateau=budget.plateau,
    )


def start_trial(
    cell: Cell, seed: int, budget: Budget, backend: Backend, initial: NDArray[np.float64] | None = None
) -> TrialRun:
    """Make a trial that has taken no step yet, at the `initial` weights (n_from, n_to) or those of the seed."""
    return start_problem(resolve_problem(cell.task, cell.method, cell.parameters), seed, budget, backend, initial)


def start_problem(
    problem: ResolvedProblem,
    seed: int,
    budget: Budget,
    backend: Backend,
    initial: NDArray[np.float64] | None = None,
) -> TrialRun:
    """Make a trial of a cell that has been made concrete; see `start_trial`."""
    problem = problem.over(budget.steps(problem.evaluations_per_step))
    trainer = problem.start(backend, seed=seed, evaluation_points=budget.evaluation_points, initial=initial)
    return TrialRun(problem, trainer, judge_of(problem, budget), budget, seed)


def run_trial(run: TrialRun, backend: Backend, *, check: Callable[[TrialRun], None] = lambda run: None) -> TrialResult:
    """Train on until the target, a divergence, a plateau when asked for, or the end of the budget.

    Parameters
    ----------
    check
        Called between calls of the kernels, at least every SECONDS_BETWEEN_CHECKS or step; may raise Interrupted.
    """
    while run.convergence.outcome is None and (end := run.next_end) is not None:
        while run.is_finite and run.trainer.step < end:
            check(run)
            run.train(end - run.trainer.step)
        run.evaluate()
    return finish_trial(run, backend)


def finish_trial(run: TrialWatch, backend: Backend) -> TrialResult:
    """Come to an outcome if there is none yet, and return the trial's row and curve."""
    run.convergence.finish(run.signal() if run.convergence.needs_signal else None)
    run.measure_test_part()
    return TrialResult(_fields(run, backend), run.curve)


def run_interruptibly(
    run: TrialRun, backend: Backend, *, check: Callable[[TrialRun], None] = lambda run: None
) -> TrialResult:
    """Do what `run_trial` does in another thread, so that Ctrl-C in this one need not wait for the end of a step.

    Raises
    ------
    KeyboardInterrupt
        After the trial has stopped, or as long after as `patience` has it; a step that is cut short moves nothing.
    """
    stop = threading.Event()

    def check_or_stop(run: TrialRun) -> None:
        if stop.is_set():
            raise Interrupted
        check(run)

    pool = ThreadPoolExecutor(1, thread_name_prefix=TRAINING)
    with one_blas_thread():
        future = pool.submit(run_trial, run, backend, check=check_or_stop)
        try:
            return future.result()
        except KeyboardInterrupt:
            stop.set()
            run.trainer.request_stop()
            wait([future], timeout=min(patience(), threading.TIMEOUT_MAX))
            raise
        finally:
            pool.shutdown(wait=future.done())


def spread_if_worth(run: TrialRun, backend: Backend) -> float:
    """Let a trial that is alone use all threads if much is left of it; return the seconds of compilation.

    Where other programs keep the processors busy, the threads of a step wait for each other and one thread is faster:
    then the trial goes back to one and tries again later.
    """
    if run.seconds_alone is not None:
        if run.seconds_per_step > run.seconds_alone:
            backend.gather(run.trainer)
            run.seconds_alone = None
            run.spread_not_before = time.perf_counter() + _SECONDS_BEFORE_ANOTHER_TRY
        return 0.0
    left = (run.steps - run.trainer.step) * run.seconds_per_step
    if left <= _WORTH_SPREADING_SECONDS or time.perf_counter() < run.spread_not_before:
        return 0.0
    run.seconds_alone = run.seconds_per_step
    return backend.spread(run.trainer)


def _fields(run: TrialWatch, backend: Backend) -> dict[str, object]:
    return {
        **run.convergence.record(),
        "metric_name": run.task.metric,
        "judged_on": "held-out" if run.problem.problem.is_held_out else "training",
        "backend": backend.name,
        "device": backend.device,
        "dtype": backend.dtype,
        "effective_learning_rate": run.problem.configuration.effective_learning_rate,
        "n_weights": run.problem.n_weights,
        "evaluations_per_step": run.problem.evaluations_per_step,
        "steps": run.trainer.step,
        "evaluations": run.evaluations,
        "evaluations_budget": run.steps * run.problem.evaluations_per_step,
        "train_seconds": run.train_seconds,
        "evaluation_seconds": run.evaluation_seconds,
        "peak_memory_mb": peak_memory_mb(),
    }


def peak_memory_mb() -> float:
    """Return the largest resident memory of this process so far, in MB (10**6 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6

"""One trial from its first step to its outcome."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from freewalk.harness.base.interrupts import TRAINING, patience
from freewalk.harness.methods.problem import ResolvedProblem, resolve_problem
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.plan import Cell
from freewalk.harness.trial.watch import TrialResult, TrialWatch, finish_trial, judge_of
from freewalk.kernels.backend import Backend
from freewalk.kernels.machine.clock import running_seconds
from freewalk.kernels.model.walk import Trainer

SECONDS_BETWEEN_CHECKS = 0.1
"""How long a trial may train before it checks whether it is to stop."""


_WORTH_SPREADING_SECONDS = 3.0
"""A trial that has less left than this is not worth loading the kernel that spreads it over all threads."""
_SECONDS_BEFORE_ANOTHER_TRY = 10.0


class Interrupted(Exception):  # noqa: N818 - not an error: somebody asked for it
    """The trial was told to stop before its end."""


class TrialPaused(Exception):  # noqa: N818 - as Interrupted
    """The trial has come as far as it was to go for now."""


def one_blas_thread() -> AbstractContextManager[object]:
    """Keep NumPy's matrix products on the thread that asks for them, inside a with block.

    Layered networks are small: their products are too short to be shared out, and trials already take the threads.
    """
    limits: AbstractContextManager[object] = threadpool_limits(limits=1, user_api="blas")
    return limits


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


def run_trial(
    run: TrialRun,
    backend: Backend,
    *,
    check: Callable[[TrialRun], None] = lambda run: None,
    pause_at: float = math.inf,
) -> TrialResult:
    """Train on until the target, a divergence, a plateau when asked for, or the end of the budget.

    Parameters
    ----------
    check
        Called between calls of the kernels, at least every SECONDS_BETWEEN_CHECKS or step; may raise Interrupted.
    pause_at
        Evaluations that the trial may spend for now.

    Raises
    ------
    TrialPaused
        If it would spend more before its next measurement.
    """
    while run.convergence.outcome is None and (end := run.next_end) is not None:
        if not run.goes_on(pause_at):
            raise TrialPaused
        while run.is_finite and run.trainer.step < end:
            check(run)
            run.train(end - run.trainer.step)
        run.evaluate()
    return finish_trial(run, backend)


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

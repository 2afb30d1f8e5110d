"""One trial from its first step to its outcome."""

from __future__ import annotations

import math
import resource
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Self

from freewalk.harness.configuration import SweepConfiguration
from freewalk.harness.parameters import Scalar
from freewalk.kernels.backend import Backend
from freewalk.kernels.walk import Evaluation, Walk, WalkConfiguration
from freewalk.results.convergence import Convergence
from freewalk.results.records import CurvePoint
from freewalk.tasks.registry import TASKS
from freewalk.tasks.task import Task

SECONDS_BETWEEN_LOOKS = 0.1
"""How long a trial may train before it looks whether it shall stop."""


_WORTH_SPREADING_SECONDS = 3.0
"""A trial that has less left than this is not worth loading the kernel that spreads it over all threads."""
_SECONDS_BEFORE_ANOTHER_TRY = 10.0


class Interrupted(Exception):  # noqa: N818 - not an error: somebody asked for it
    """The trial was told to stop before its end."""


@dataclass(frozen=True)
class Budget:
    """How long trials train and how they are judged."""

    epochs: int
    """A trial is judged on held-out data after every epoch."""
    steps_per_epoch: int
    evaluation_points: int
    target: float | None = None
    """None: each task's own."""
    plateau: int | None = None
    """Evaluations without improvement after which a trial stops; None: never."""

    @classmethod
    def of(cls, configuration: SweepConfiguration) -> Self:
        """Return the budget of a sweep's trials."""
        c = configuration
        return cls(c.epochs, c.steps_per_epoch, c.evaluation_points, c.target, c.plateau)

    @property
    def steps(self) -> int:
        """Steps of a trial that runs to its end."""
        return self.epochs * self.steps_per_epoch


@dataclass
class TrialResult:
    """What a finished trial leaves."""

    fields: dict[str, object]
    """Columns of the trials table."""
    curve: list[CurvePoint]


@dataclass
class TrialRun:
    """A trial in progress: the walk, its judge, its clock and its curve."""

    task: Task
    walk: Walk
    configuration: WalkConfiguration
    convergence: Convergence
    train_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    curve: list[CurvePoint] = field(default_factory=list)
    last_evaluation: Evaluation | None = None
    last_train_loss: float | None = None
    seconds_per_step: float = 0.0
    seconds_alone: float | None = None
    """Seconds a step took on one thread, while the trial is spread over several."""
    spread_not_before: float = 0.0
    """Clock time of the next try to spread it."""

    @property
    def evaluations(self) -> int:
        """Forward passes of one datapoint spent on training so far."""
        return self.walk.step * self.configuration.batch_size * self.configuration.forward_passes

    @property
    def is_finite(self) -> bool:
        """Whether the last training loss was finite."""
        return self.last_train_loss is None or math.isfinite(self.last_train_loss)

    def train(self, n_steps: int) -> None:
        """Take up to `n_steps` steps, as many as fit between two looks."""
        if self.seconds_per_step:
            n_steps = max(1, min(n_steps, int(SECONDS_BETWEEN_LOOKS / self.seconds_per_step)))
        else:
            n_steps = 1  # the first step tells how long one takes
        start = time.perf_counter()
        progress = self.walk.train(n_steps)
        seconds = time.perf_counter() - start
        self.train_seconds += seconds
        if progress.steps:
            self.seconds_per_step = seconds / progress.steps
            self.last_train_loss = progress.loss

    def evaluate(self) -> None:
        """Measure on held-out data, add to the curve and let the judge see it.

        A training loss that is not finite stands for the held-out loss before the judge: the step that met it moved
        nothing, so the weights themselves may still look sound.
        """
        start = time.perf_counter()
        evaluation = self.walk.evaluate()
        self.evaluation_seconds += time.perf_counter() - start
        self.last_evaluation = evaluation
        if self.last_train_loss is not None:
            self._record("train", "loss", self.last_train_loss)
        for metric in self.task.recorded_metrics:
            self._record("heldout", metric, float(getattr(evaluation, metric)))
        self.convergence.observe(
            step=self.walk.step,
            evaluations=self.evaluations,
            train_seconds=self.train_seconds,
            loss=evaluation.loss if self.is_finite else math.nan,
            metric=self.task.measure(evaluation),
            output_spread=evaluation.output_spread,
        )

    def _record(self, split: str, metric: str, value: float) -> None:
        self.curve.append(CurvePoint(self.walk.step, self.evaluations, self.train_seconds, split, metric, value))


def walk_configuration(parameters: Mapping[str, Scalar | None], steps: int) -> WalkConfiguration:
    """Return the kernels' configuration of a cell; parameters that do not apply keep their defaults."""
    names = WalkConfiguration.__dataclass_fields__
    given = {name: value for name, value in parameters.items() if name in names and value is not None}
    return WalkConfiguration(**given, schedule_steps=steps)  # type: ignore[arg-type]


def start_trial(
    task_name: str, parameters: Mapping[str, Scalar | None], seed: int, budget: Budget, backend: Backend
) -> TrialRun:
    """Make a trial that has taken no step yet."""
    task = TASKS[task_name]
    problem = task.problem(parameters)
    configuration = walk_configuration(parameters, budget.steps)
    walk = backend.make_walk(
        problem.network(int(parameters["hidden"] or 0)),
        configuration,
        problem.data(),
        seed=seed,
        evaluation_points=problem.evaluation_points(budget.evaluation_points),
    )
    convergence = Convergence(
        task.target if budget.target is None else budget.target,
        task.direction,
        strict=task.strict,
        plateau=budget.plateau,
    )
    return TrialRun(task, walk, configuration, convergence)


def run_trial(
    run: TrialRun, budget: Budget, backend: Backend, *, look: Callable[[TrialRun], None] = lambda run: None
) -> TrialResult:
    """Train until the target, a divergence, a plateau when asked for, or the end of the budget.

    Parameters
    ----------
    look
        Called between calls of the kernels, at least every SECONDS_BETWEEN_LOOKS or step; may raise Interrupted.
    """
    run.evaluate()
    for epoch in range(1, budget.epochs + 1):
        if run.convergence.outcome is not None:
            break
        end = epoch * budget.steps_per_epoch
        while run.is_finite and run.walk.step < end:
            look(run)
            run.train(end - run.walk.step)
        run.evaluate()
    run.convergence.finish()
    return TrialResult(_fields(run, backend), run.curve)


def run_interruptibly(
    run: TrialRun, budget: Budget, backend: Backend, *, look: Callable[[TrialRun], None] = lambda run: None
) -> TrialResult:
    """Do what `run_trial` does in another thread, so that Ctrl-C in this one need not wait for the end of a step.

    Raises
    ------
    KeyboardInterrupt
        After the trial has stopped; the step that was cut short has moved nothing.
    """
    stop = threading.Event()

    def look_or_stop(run: TrialRun) -> None:
        if stop.is_set():
            raise Interrupted
        look(run)

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run_trial, run, budget, backend, look=look_or_stop)
        try:
            return future.result()
        except KeyboardInterrupt:
            stop.set()
            run.walk.request_stop()
            raise


def spread_if_worth(run: TrialRun, budget: Budget, backend: Backend) -> float:
    """Let a trial that is alone use all threads if much is left of it; return the seconds of compilation.

    Where other programs keep the processors busy, the threads of a step wait for each other and one thread is faster:
    then the trial goes back to one and tries again later.
    """
    if run.seconds_alone is not None:
        if run.seconds_per_step > run.seconds_alone:
            backend.gather(run.walk)
            run.seconds_alone = None
            run.spread_not_before = time.perf_counter() + _SECONDS_BEFORE_ANOTHER_TRY
        return 0.0
    left = (budget.steps - run.walk.step) * run.seconds_per_step
    if left <= _WORTH_SPREADING_SECONDS or time.perf_counter() < run.spread_not_before:
        return 0.0
    run.seconds_alone = run.seconds_per_step
    return backend.spread(run.walk)


def _fields(run: TrialRun, backend: Backend) -> dict[str, object]:
    return {
        **run.convergence.record(),
        "metric_name": run.task.metric,
        "backend": backend.name,
        "device": backend.device,
        "dtype": backend.dtype,
        "effective_learning_rate": run.configuration.effective_learning_rate,
        "n_weights": run.walk.network.n_weights,
        "steps": run.walk.step,
        "evaluations": run.evaluations,
        "train_seconds": run.train_seconds,
        "evaluation_seconds": run.evaluation_seconds,
        "peak_memory_mb": peak_memory_mb(),
    }


def peak_memory_mb() -> float:
    """Return the largest resident memory of this process so far, in MB (10**6 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6

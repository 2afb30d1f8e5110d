"""What is known of a trial in progress, whoever runs it, and the row and curve that it leaves."""

from __future__ import annotations

import math
import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.methods.problem import ResolvedProblem
from freewalk.harness.plan.budget import Budget
from freewalk.harness.trial.confirmation import confirm
from freewalk.harness.trial.measures import heldout_signal, measure_test_part
from freewalk.kernels.backend import Backend
from freewalk.kernels.machine.clock import running_seconds
from freewalk.kernels.model.walk import Evaluation, Progress
from freewalk.results.ending.convergence import Convergence
from freewalk.results.schema.records import CurvePoint
from freewalk.tasks.task import Task

_REMEMBERED = ("train_seconds", "evaluation_seconds", "last_train_loss", "seconds_per_step")


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
        return evaluations_at(self.trainer.step, self.problem.evaluations_per_step)

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
            # one datapoint's answer has no other to differ from
            output_spread=None if self.problem.problem.domain_size == 1 else evaluation.output_spread,
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

        On datapoints that are the same for every trial; see `freewalk.harness.trial.measures`.
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

    def goes_on(self, pause_at: float) -> bool:
        """Tell whether the next measurement costs no more evaluations than the trial may spend for now."""
        end = self.next_end
        return end is None or evaluations_at(end, self.problem.evaluations_per_step) <= pause_at

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


def evaluations_at(step: int, evaluations_per_step: float) -> int:
    """Return what a trial has spent after a step, as tables have it."""
    return round(step * evaluations_per_step)


def judge_of(problem: ResolvedProblem, budget: Budget) -> Convergence:
    """Return the judge of a trial that has not been measured yet."""
    task = problem.task
    return Convergence(
        task.target if budget.target is None else budget.target,
        task.direction,
        strict=task.strict,
        plateau=budget.plateau,
    )


def finish_trial(run: TrialWatch, backend: Backend) -> TrialResult:
    """Come to an outcome if there is none yet, and return the trial's row and curve."""
    run.convergence.finish(run.signal() if run.convergence.needs_signal else None)
    run.measure_test_part()
    return TrialResult(_fields(run, backend), run.curve)


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

"""Outcomes of real training: what saturates, collapses, diverges, and what does not."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from freewalk.harness.plan.plan import Plan
from freewalk.harness.trial.trial import Budget, TrialRun, run_trial, start_trial
from freewalk.harness.trial.watch import TrialResult
from freewalk.kernels.backend import resolve_backend
from freewalk.results.ending.convergence import Convergence
from freewalk.results.report.explanation import explain
from freewalk.results.schema.schema import Outcome

MakePlan = Callable[..., Plan]

GOLDEN = Path(__file__).parents[2] / "golden" / "addition_synthetic_all_layers.npz"
REFERENCE, CPU = resolve_backend("reference"), resolve_backend("cpu")


def begin(
    plan: MakePlan, task: str, method: str, *specs: str, backend: Any = CPU, seed: int = 0, **budget: Any
) -> TrialRun:
    (only,) = plan(*specs, tasks=[task], methods=[method], seeds=[seed]).trials
    limits = Budget(**({"epochs": 20, "steps_per_epoch": 25, "evaluation_points": 64} | budget))
    return start_trial(only.cell, only.seed, limits, backend)


def run(plan: MakePlan, task: str, method: str, *specs: str, **options: Any) -> TrialResult:
    return run_trial(begin(plan, task, method, *specs, **options), options.get("backend", CPU))


def outcome(result: TrialResult) -> str:
    return str(result.fields["outcome"])


RUN_THE_ORIGINAL = """
import json
import sys

import numpy as np

from freewalk.harness.trial.measures import output_signal
from original_programs import AdditionProgram

golden = np.load(sys.argv[1])
x, y = golden["x"].astype(float), golden["y"].astype(float)
program = AdditionProgram(
    "synthetic_all_layers",
    [golden[f"weights_{layer}"] for layer in range(3)],
    float(golden["alpha"]),
    int(golden["batch_size"]),
    predictors=[golden[f"synthetic_{layer}"] for layer in range(3)],
)
network = program.network
measures, errors = [], []
with np.errstate(over="ignore"):
    for step in range(600):
        if step % 60 == 0 or step > 440:
            matrix = network.embed(program.parameters.weights, program.parameters.biases)
            o = program.outputs(x)
        errors.append(program.iterate(x, y))
        if step % 60 == 0 or errors[-1] < 1e-6:
            loss, right = ((o - y) ** 2).sum(axis=1).mean(), ((o > 0.5) == (y > 0.5)).mean()
            measures.append((step, loss, right, (o.max(axis=0) - o.min(axis=0)).max()))
        if errors[-1] < 1e-6:
            break
signal = output_signal(network.free_network, matrix, x, y, network.depth)
print(json.dumps([measures, errors, signal]))
"""
"""In a process of its own with one thread: small matrix products crawl when threads fight over processors."""


def test_the_original_program_whose_error_vanishes_has_saturated() -> None:
    """Its own error, which its author watched, goes to 0 while half the bits and no sum are right."""
    done = subprocess.run(
        [sys.executable, "-c", RUN_THE_ORIGINAL, GOLDEN],
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    measures, errors, signal = json.loads(done.stdout)
    judge = Convergence(0.99, "maximize")
    for step, loss, right, spread in measures:
        judge.observe(step=step, evaluations=0, train_seconds=0.0, loss=loss, metric=right, output_spread=spread)
    assert errors[0] > 1000
    assert errors[-1] < 1e-6
    assert 450 < len(errors) < 520, "where the recorded trace ends; rounding decides the iteration"
    assert 0.4 < judge.metric_final < 0.6
    assert signal < 1e-9
    assert judge.finish(signal) is Outcome.SATURATED


class Climber:
    """An optimiser with the wrong sign."""

    def __init__(self, optimizer: Any) -> None:
        self._optimizer = optimizer

    def change(self, gradient: Any, step: int) -> Any:
        return -self._optimizer.change(gradient, step)


@pytest.mark.parametrize("task", ["and", "or", "xor", "sign", "parity", "shifted-sums", "addition"])
@pytest.mark.parametrize(("seed", "rate", "epochs"), [(0, 1.0, 4), (0, 1.0, 16), (1, 0.3, 8), (1, 3.0, 20)])
def test_a_gradient_with_the_wrong_sign_diverges_or_collapses(
    plan: MakePlan, task: str, seed: int, rate: float, epochs: int
) -> None:
    specs = ("hidden=8", "batch_size=16", "optimizer=sgd", f"learning_rate={rate}")
    started = begin(plan, task, "backprop", *specs, backend=REFERENCE, seed=seed, epochs=epochs)
    started.trainer._optimizer = Climber(started.trainer._optimizer)  # type: ignore[attr-defined]
    result = run_trial(started, REFERENCE)
    assert outcome(result) in ("diverged", "collapsed")
    text = explain(result.fields, result.curve)
    assert text.startswith(f"{outcome(result)}: ")
    assert ("instead of against it" in text) is (outcome(result) == "diverged")


@pytest.mark.parametrize("task", ["and", "xor", "sign"])
def test_the_right_sign_does_not(plan: MakePlan, task: str) -> None:
    result = run(plan, task, "backprop", "hidden=8", "batch_size=16", "optimizer=adam", "learning_rate=0.05")
    assert outcome(result) == "reached"
    assert {point.metric for point in result.curve} & {"signal", "output_spread"} == set(), "nothing was looked into"


def test_one_neuron_gives_up_on_xor_with_a_constant(plan: MakePlan) -> None:
    """The best it can do is 0.5 for every row; the training signal is alive and well there."""
    result = run(plan, "xor", "backprop", "architecture=2-1", "batch_size=16", "learning_rate=5", epochs=40)
    assert outcome(result) == "collapsed"
    last = {point.metric: point.value for point in result.curve}
    assert last["signal"] == pytest.approx(0.5, abs=0.01)
    assert last["output_spread"] < 1e-3
    assert "no output differs by more than" in explain(result.fields, result.curve)


@pytest.mark.parametrize("method", ["walk", "backprop"])
def test_an_enormous_step_saturates(plan: MakePlan, method: str) -> None:
    rule = ("update=normalised",) if method == "walk" else ()
    result = run(plan, "parity", method, "hidden=8", "batch_size=16", "learning_rate=1e6", *rule)
    assert outcome(result) == "saturated"
    (signal,) = [point.value for point in result.curve if point.metric == "signal"]
    assert signal < 1e-6
    assert "the training signal is gone though the answer is wrong" in explain(result.fields, result.curve)


def test_a_healthy_trial_that_runs_out_of_steps_is_only_exhausted(plan: MakePlan) -> None:
    result = run(plan, "shifted-sums", "backprop", "batch_size=64", "learning_rate=0.05", epochs=4)
    assert outcome(result) == "exhausted"
    assert "signal" not in {point.metric for point in result.curve}, "it still improves: nothing to look into"
    assert "so more steps may reach it" in explain(result.fields, result.curve)


def test_a_trial_that_stands_with_its_signal_alive_is_only_exhausted(plan: MakePlan) -> None:
    result = run(plan, "shifted-sums", "walk", "update=raw", "stddev=0", "hidden=4", "batch_size=4")
    assert outcome(result) == "exhausted"
    (signal,) = [point.value for point in result.curve if point.metric == "signal"]
    assert 0.01 < signal < 1
    assert "more steps alone will hardly help" in explain(result.fields, result.curve)


def test_a_trial_that_stands_still_is_plateaued_when_asked(plan: MakePlan) -> None:
    result = run(plan, "shifted-sums", "walk", "update=raw", "stddev=0", "hidden=4", "batch_size=4", plateau=3)
    assert outcome(result) == "plateaued"
    assert "has not improved notably on its best" in explain(result.fields, result.curve)


def test_numbers_that_are_not_finite_are_not_looked_into(plan: MakePlan) -> None:
    result = run(plan, "xor", "walk", "update=normalised", "learning_rate=1e300", "batch_size=16")
    assert outcome(result) == "diverged"
    assert math.isnan(float(str(result.fields["loss_final"])))
    assert "signal" not in {point.metric for point in result.curve}
    assert "was not finite" in explain(result.fields, result.curve)

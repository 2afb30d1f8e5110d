"""Trials on the device against the same trials elsewhere, and against themselves: alone, in a batch, cut in two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.bench.accelerator import Accelerator, ManyTrials, OneTrial
from freewalk.harness.bench.checks.cases import BASE, CASES, MOMENTUM, QUICK, SIGNS, Case
from freewalk.harness.bench.checks.check import Check, Measure
from freewalk.harness.bench.own import relative_error
from freewalk.kernels.cpu.trial import CpuWalk
from freewalk.kernels.model.pack import PackTrial
from freewalk.kernels.model.walk import Evaluation, Progress
from freewalk.kernels.trainers.reference_walk import ReferenceWalk
from freewalk.tasks.registry import TASKS

_POINTS = 500
_STEPS = 5
_EXAMPLE = TASKS["shifted-sums"].problem({})
_NETWORK = _EXAMPLE.network(30)
_LEAST = 1e-2
"""Differences are taken relative to no less than this: the spread of nearly equal outputs has few digits."""

_TOGETHER = (
    # trials of one batch agree in noise and sides, and in nothing else
    (
        PackTrial(BASE, 0),
        PackTrial(replace(BASE, stddev=0.05, batch_size=77, timesteps=2), 1),
        PackTrial(replace(MOMENTUM, batch_size=1000), 2**40 + 7),
        PackTrial(replace(MOMENTUM, timesteps=7), 3),
        PackTrial(replace(MOMENTUM, optimizer="sgd", schedule="cosine", schedule_steps=3), 4),
    ),
    (PackTrial(SIGNS, 0), PackTrial(replace(SIGNS, batch_size=333, timesteps=3, update="raw"), 2**64 - 1)),
)


def walk_checks(accelerator: Accelerator, *, quick: bool) -> Iterator[Check]:
    """Yield the checks of whole trials."""
    for case in CASES:
        if not quick or case.name in QUICK:
            other = "reference" if case.judge is ReferenceWalk else "processor"
            yield Check(f"trial: device = {other}", case.name, partial(_compare, accelerator, case))
    for specs in _TOGETHER:
        words = f"{len(specs)} trials, own parameters each, {specs[0].configuration.noise}"
        yield Check("batch of trials: device = processor", words, partial(_compare_batch, accelerator, specs))
    yield Check("same bits", "a trial twice", partial(_differing, accelerator, (7,), (7,)))
    yield Check("same bits", "7 steps = 3 + 4", partial(_differing, accelerator, (3, 4), (7,)))
    yield Check("same bits", "a batch twice", partial(_batch_twice, accelerator))
    yield Check("same bits", "trials of a batch alone = together", partial(_alone, accelerator))


def _compare(accelerator: Accelerator, case: Case) -> Measure:
    options: dict[str, Any] = {"seed": 3, "evaluation_points": _POINTS, "mask": case.mask}
    device = accelerator.one(case.network, case.configuration, case.data(), **options)
    judge = case.judge(case.network, case.configuration, case.data(), **options)
    start = judge.weights
    if not np.array_equal(device.weights, start):
        raise ValueError("the trial starts with other weights")
    found, wanted = device.train(case.steps), judge.train(case.steps)
    if found.steps != case.steps:
        raise ValueError(f"{found.steps} steps taken instead of {case.steps}")
    errors = {"update": relative_error(device.weights - start, judge.weights - start)}
    return _measure(errors | _differences((found, wanted), (device.evaluate(), judge.evaluate())), case.tolerance)


def _measure(errors: dict[str, float], allowed: float) -> Measure:
    """Return the largest error; a NaN counts as the largest."""
    worst = max(errors, key=lambda name: np.nan_to_num(errors[name], nan=np.inf))
    return Measure("largest relative error", errors[worst], allowed, f"of the {worst}")


def _differences(losses: tuple[Progress, Progress], evaluations: tuple[Evaluation, Evaluation]) -> dict[str, float]:
    """Return relative differences; a share of outputs may differ by two datapoints, whose outputs lie near 1/2."""
    found, wanted = evaluations
    pairs = {"training loss": (losses[0].loss, losses[1].loss), "held-out loss": (found.loss, wanted.loss)}
    pairs["largest error"] = (found.max_error, wanted.max_error)
    pairs["spread"] = (found.output_spread, wanted.output_spread)
    errors = {name: abs(a - b) / max(abs(b), _LEAST) for name, (a, b) in pairs.items()}
    shares = (("bits", found.bit_accuracy, wanted.bit_accuracy), ("rows", found.row_accuracy, wanted.row_accuracy))
    return errors | {f"share of right {name}": max(0.0, abs(a - b) - 2 / _POINTS) for name, a, b in shares}


def _many(accelerator: Accelerator, specs: Sequence[PackTrial]) -> ManyTrials:
    return accelerator.many(_NETWORK, _EXAMPLE.data(), specs, evaluation_points=_POINTS)


def _compare_batch(accelerator: Accelerator, specs: Sequence[PackTrial]) -> Measure:
    batch = _many(accelerator, specs)
    progress = batch.train(_STEPS)
    evaluations = batch.evaluate()
    errors: dict[str, float] = {}
    for k, spec in enumerate(specs):
        walk = CpuWalk(_NETWORK, spec.configuration, _EXAMPLE.data(), seed=spec.seed, evaluation_points=_POINTS)
        start = walk.weights
        made = walk.train(_STEPS)
        found = {"update": relative_error(batch.weights(k) - start, walk.weights - start)}
        found |= _differences((progress[k], made), (evaluations[k], walk.evaluate()))
        errors |= {f"{name} of trial {k}": error for name, error in found.items()}
    return _measure(errors, Case("", BASE).tolerance)


def _trained(accelerator: Accelerator, parts: tuple[int, ...]) -> NDArray[np.float64]:
    configuration = replace(MOMENTUM, batch_size=1000)
    trial: OneTrial = accelerator.one(_NETWORK, configuration, _EXAMPLE.data(), seed=3, evaluation_points=_POINTS)
    for steps in parts:
        trial.train(steps)
    return trial.weights


def _count(found: NDArray[np.float64], wanted: NDArray[np.float64]) -> Measure:
    return Measure("weights that differ", float(np.count_nonzero(found != wanted)), 0)


def _differing(accelerator: Accelerator, parts: tuple[int, ...], others: tuple[int, ...]) -> Measure:
    return _count(_trained(accelerator, parts), _trained(accelerator, others))


def _batch_weights(accelerator: Accelerator, specs: Sequence[PackTrial]) -> NDArray[np.float64]:
    batch = _many(accelerator, specs)
    batch.train(_STEPS)
    return np.stack([batch.weights(k) for k in range(len(specs))])


def _batch_twice(accelerator: Accelerator) -> Measure:
    return _count(_batch_weights(accelerator, _TOGETHER[0]), _batch_weights(accelerator, _TOGETHER[0]))


def _alone(accelerator: Accelerator) -> Measure:
    alone = [_batch_weights(accelerator, [spec]) for spec in _TOGETHER[0]]
    return _count(_batch_weights(accelerator, _TOGETHER[0]), np.concatenate(alone))

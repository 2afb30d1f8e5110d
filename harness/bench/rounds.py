"""Timing implementations beside each other: warmed, calibrated, in rounds that visit each of them in turn."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from freewalk.harness.bench.clock import Deadline
from freewalk.harness.bench.peers.peer import Device, Loop
from freewalk.harness.bench.workloads import Workload

_WARM_CALLS = 2  # one compiles; JAX compiles once more when it meets its own output as input
_MOST_STEPS = 100_000
_MOST_GROWTH = 4  # from one guess to the next
_GUESSES = 4
_GROWN = 2  # a guess that grew by this much is not the last
_FEWEST_ROUNDS = 3
_SHARE_OF_WAKING = 10  # a tenth of a measurement goes before it, untimed


class Implementation(Protocol):
    """Something that can take the step of a workload."""

    @property
    def device(self) -> Device:
        """Where it runs."""

    def wants(self, workload: Workload) -> bool:
        """Tell whether it takes part in the workload."""

    def check(self, workload: Workload) -> float:
        """Return the relative error of an update."""

    def start(self, workload: Workload) -> Loop:
        """Return a loop to be timed."""


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    seconds: float = 0.1
    """Aim for one measurement."""
    rounds: int = 9
    most_seconds: float = 4.0
    """Of all measurements of an implementation: a slow one gets fewer rounds, but at least three."""
    rest: float = 0.0
    """Seconds before each measurement in which the threads of the one before it may fall asleep."""


@dataclass(frozen=True)
class Plan:
    """How a loop is measured."""

    n_steps: int
    """Of one measurement."""
    rounds: int
    rest: float = 0.0
    """Seconds before each."""


def calibrate(loop: Loop, effort: Effort) -> Plan:
    """Warm a loop; return how many steps make a measurement of the wanted length, and how many of them to take."""
    for _ in range(_WARM_CALLS):
        loop.measure(loop.steps_at_once)
    most_calls = _MOST_STEPS // loop.steps_at_once
    seconds = _seconds_a_call(loop, 1)
    calls = min(math.ceil(effort.seconds / seconds), most_calls)
    for _ in range(_GUESSES):  # a call alone takes longer than one among many, the more so while threads wake
        if calls == 1:
            break
        seconds = _seconds_a_call(loop, calls)
        before, calls = calls, max(1, min(math.ceil(effort.seconds / seconds), _MOST_GROWTH * calls, most_calls))
        if calls < _GROWN * before:
            break
    rounds = int(effort.most_seconds / max(seconds * calls, effort.seconds))
    return Plan(calls * loop.steps_at_once, max(_FEWEST_ROUNDS, min(effort.rounds, rounds)), effort.rest)


def _seconds_a_call(loop: Loop, calls: int) -> float:
    return max(loop.measure(calls * loop.steps_at_once) / calls, 1e-9)


class Rounds(NamedTuple):
    """What rounds of measurements gave."""

    samples: dict[str, list[float]]
    """Seconds a step."""
    failures: dict[str, Exception]
    """Loops that failed while they were timed; they have no samples."""


def interleave(loops: Mapping[str, Loop], plans: Mapping[str, Plan], deadline: Deadline) -> Rounds:
    """Measure in rounds, each loop once a round as long as it has rounds left.

    After the deadline the round under way is finished and no other begun.
    """
    samples: dict[str, list[float]] = {name: [] for name in loops}
    failures: dict[str, Exception] = {}
    for round_ in range(max((plans[name].rounds for name in loops), default=0)):
        for name in [name for name in samples if round_ < plans[name].rounds]:
            try:
                samples[name].append(_measured(loops[name], plans[name]))
            except Exception as error:
                failures[name] = error
                del samples[name]
        if deadline.passed:
            break
    return Rounds(samples, failures)


def _measured(loop: Loop, plan: Plan) -> float:
    """Return seconds a step, once other threads sleep (they wait busily for a while) and its own are awake."""
    time.sleep(plan.rest)
    waking = plan.n_steps // _SHARE_OF_WAKING // loop.steps_at_once * loop.steps_at_once
    if waking:
        loop.measure(waking)
    return loop.measure(plan.n_steps) / plan.n_steps


@dataclass(frozen=True)
class Spread:
    """What the rounds of one implementation say."""

    median: float
    q25: float
    q75: float
    least: float
    rounds: int


def spread(samples: Sequence[float]) -> Spread:
    """Return median, quartiles and least of the samples."""
    q25, median, q75 = np.quantile(samples, [0.25, 0.5, 0.75])
    return Spread(float(median), float(q25), float(q75), float(min(samples)), len(samples))


def ratio(samples: Sequence[float], base: Sequence[float]) -> float:
    """Return how many times longer than the base a step took: the median over rounds of the quotient in a round."""
    return float(np.median([a / b for a, b in zip(samples, base, strict=False)]))

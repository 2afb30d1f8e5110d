"""Time to a held-out loss: the walk's best settings, each peer with the same rule or its own idiom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.bench.clock import Deadline
from freewalk.harness.bench.cpu.plan import TARGET, TARGET_WORKLOAD
from freewalk.harness.bench.cpu.remote import Process, RemoteError, RemoteLoop
from freewalk.harness.bench.cpu.rows import TargetRow
from freewalk.harness.bench.cpu.table import OURS
from freewalk.harness.bench.cpu.timings import NOT_RUN
from freewalk.harness.bench.peers.peer import Loop, Unavailable
from freewalk.harness.bench.rounds import spread
from freewalk.harness.bench.workloads import Workload, example_data
from freewalk.kernels.reference import reference

_STEPS_BETWEEN_LOOKS = 5
_MOST_STEPS = 2000
_HELD_OUT = 4000
_RULES = {"evosax": "OpenAI-ES: centred ranks, Adam at 0.01"}
_RULE = "normalised, momentum 0.9, learning_rate 0.3"


class Way(NamedTuple):
    """One trial's way to the target."""

    steps: int
    seconds: float
    """Of the steps alone."""
    loss: float


def held_out_loss(workload: Workload, weights: NDArray[np.floating]) -> float:
    """Return the loss on fresh points of the task, by the reference."""
    x, y = example_data(np.random.default_rng(12345), workload, 1, _HELD_OUT)
    outputs = reference.forward(workload.network, weights.astype(np.float64), x[0], workload.timesteps)
    return float(reference.losses(workload.network, outputs, y[0]).mean())


def walk_to_target(loop: Loop, workload: Workload, target: float, most_steps: int = _MOST_STEPS) -> Way:
    """Take steps until the held-out loss is at most the target; looking takes no time."""
    n = -(-_STEPS_BETWEEN_LOOKS // loop.steps_at_once) * loop.steps_at_once
    steps, seconds, loss = 0, 0.0, held_out_loss(workload, loop.weights()[0])
    while loss > target and steps < most_steps:
        seconds += loop.measure(n)
        steps += n
        loss = held_out_loss(workload, loop.weights()[0])
    return Way(steps, seconds, loss)


def measure_targets(names: Sequence[str], n_seeds: int, deadline: Deadline) -> Iterator[TargetRow]:
    """Yield the time to the target of each; freewalk's should be the first."""
    ours: float | None = None
    for name in names:
        if deadline.passed:
            yield _row(name, [], n_seeds, ours, NOT_RUN)
            continue
        try:
            row = _row(name, list(_ways(name, n_seeds)), n_seeds, ours)
        except Unavailable:
            continue
        except RemoteError as error:
            row = _row(name, [], n_seeds, ours, str(error))
        if name == OURS:
            ours = row.seconds
            row = TargetRow(**{**vars(row), "ratio": None if ours is None else 1.0})
        yield row


def _ways(name: str, n_seeds: int) -> Iterator[Way]:
    with Process(name) as process:
        process.ask("settle", TARGET_WORKLOAD)
        for seed in range(n_seeds):
            loop = RemoteLoop(process, TARGET_WORKLOAD, seed)
            yield walk_to_target(loop, TARGET_WORKLOAD, TARGET)
            loop.close()


def _row(name: str, ways: Sequence[Way], n_seeds: int, ours: float | None, note: str = "") -> TargetRow:
    there = [way for way in ways if way.loss <= TARGET]
    fixed = (name, _RULES.get(name, _RULE), TARGET, n_seeds, len(there))
    if len(there) < n_seeds or not there:
        left = [f"{way.loss:.2g} after {way.steps} steps" for way in ways if way.loss > TARGET]
        return TargetRow(*fixed, None, None, None, None, None, note or "not reached: " + ", ".join(left))
    found = spread([way.seconds for way in there])
    ratio = None if ours is None else found.median / ours
    steps = float(np.median([way.steps for way in there]))
    return TargetRow(*fixed, steps, found.median, found.q25, found.q75, ratio, note)

"""Time to a held-out loss: the walk's best settings, each peer with the same rule or its own idiom; a seed a round."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.contest import clock, replay
from benchmarks.peers.peer import Unavailable, example_data
from benchmarks.processes import Process
from benchmarks.test_memory import NAMES
from freewalk.harness.bench import Loop, Workload
from freewalk.kernels.reference import reference

TARGET = 1e-3
WORKLOAD = Workload(update="momentum")
SEEDS = 5
_STEPS_BETWEEN_LOOKS = 5
_MOST_STEPS = 2000
_HELD_OUT = 4000


def held_out_loss(workload: Workload, weights: NDArray[np.floating]) -> float:
    """Return the loss on fresh points of the task, by the reference."""
    x, y = example_data(np.random.default_rng(12345), workload, 1, _HELD_OUT)
    outputs = reference.forward(workload.network, weights.astype(np.float64), x[0], workload.timesteps)
    return float(reference.losses(workload.network, outputs, y[0]).mean())


def walk_to_target(loop: Loop, workload: Workload, target: float, most_steps: int = _MOST_STEPS) -> tuple[int, float]:
    """Take steps until the held-out loss is at most the target; return them and their seconds, looking not counted."""
    n = -(-_STEPS_BETWEEN_LOOKS // loop.steps_at_once) * loop.steps_at_once
    steps, seconds = 0, 0.0
    while (loss := held_out_loss(workload, loop.weights()[0])) > target:
        assert steps < most_steps, f"a loss of {loss:.2g} after {steps} steps"
        seconds += loop.measure(n)
        steps += n
    return steps, seconds


@pytest.mark.benchmark(timer=clock, group=f"time to a held-out loss of {TARGET:g}")
@pytest.mark.parametrize("name", NAMES)
def test_target(benchmark: Any, name: str) -> None:
    ways = []
    with Process(name) as process:
        try:
            process.ask("settle", WORKLOAD)
        except Unavailable as reason:
            pytest.skip(f"{name}: {reason}")
        for seed in range(SEEDS):
            loop = process.start(WORKLOAD, seed)
            ways.append(walk_to_target(loop, WORKLOAD, TARGET))
            loop.close()
    benchmark.name = name
    rule = (
        "OpenAI-ES: centred ranks, Adam at 0.01" if name == "evosax" else "normalised, momentum 0.9, learning_rate 0.3"
    )
    benchmark.extra_info |= {"steps": [steps for steps, _ in ways], "rule": rule, "target": TARGET}
    replay(benchmark, [seconds for _, seconds in ways])

"""A rule of one's own, examples/own_rule.py, beside the built-in walk: one thread, the same network, batch and data.

Off by default; `pytest benchmarks/test_own_rule.py --benchmark-only` times both, each step a call of its own and all in
one. With slopes that are never clipped their weights are the same after a step, which is looked at first.
"""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from freewalk.harness.bench import DEFAULT, PROBLEM, SEED, Workload, first_weights
from freewalk.kernels.cpu.trial import CpuWalk
from freewalk.methods import Start

OWN = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "own_rule.py"))["CLIPPED"]
SMALL = Workload(hidden=4, batch_size=256)
WORKLOADS = [pytest.param(one, id=one.label) for one in (DEFAULT, SMALL)]
RATE = 0.1


def make_walk(workload: Workload) -> Any:
    configuration = replace(workload.configuration, update="normalised", optimizer="sgd", learning_rate=RATE)
    weights = first_weights(workload)[0]
    return CpuWalk(
        workload.network, configuration, PROBLEM.data(), seed=SEED, evaluation_points=1, initial=weights
    )  # fmt: skip


def make_rule(workload: Workload) -> Any:
    options = {"stddev": workload.stddev, "optimizer": "sgd", "learning_rate": RATE, "most": 1e9}
    start = Start(
        network=workload.network,
        mask=None,
        layers=None,
        timesteps=workload.timesteps,
        data=PROBLEM.data(),
        initial=first_weights(workload)[0],
        seed=SEED,
        evaluation_points=1,
        batch_size=workload.batch_size,
        steps=1,
        parameters=OWN.parameters(**options),
    )
    return OWN.make_trainer(start)


def one_by_one(trainer: Any, n_steps: int) -> None:
    for _ in range(n_steps):
        trainer.train(1)


def in_one_call(trainer: Any, n_steps: int) -> None:
    trainer.train(n_steps)


@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize("called", [one_by_one, in_one_call], ids=["one by one", "in one call"])
@pytest.mark.parametrize("make", [make_walk, make_rule], ids=["walk", "own rule"])
def test_steps(benchmark: Any, make: Any, called: Any, workload: Workload) -> None:
    walk, rule = make_walk(workload), make_rule(workload)
    before = walk.weights
    for one in (walk, rule):
        one.train(1)
    assert np.linalg.norm(rule.weights - walk.weights) < 1e-5 * np.linalg.norm(walk.weights - before)
    steps = 100_000 // workload.batch_size
    benchmark.group = f"{steps} steps of one's own rule, {called.__name__.replace('_', ' ')}: {workload.label}"
    benchmark.pedantic(called, args=(make(workload), steps), rounds=15, warmup_rounds=1)

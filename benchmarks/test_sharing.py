"""What walks that share their noise cost: the default step, per trial, against the size of the batch.

Off by default; `pytest benchmarks/test_sharing.py --benchmark-only` runs it, and `--benchmark-json` keeps
the ratios, as extra information. Rivals take turns in one process. On one thread the time is the thread's own, so that
the ratios do not depend on what else the machine does; two threads are timed by the clock, and their best round counts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from freewalk.harness.bench import DEFAULT, PROBLEM, ArrayStep, first_weights
from freewalk.kernels.backend import resolve_backend
from freewalk.kernels.cpu.trial import CpuWalk
from freewalk.kernels.model.pack import Pack, PackTrial
from freewalk.kernels.model.walk import WalkConfiguration

GROUP = "trial-steps that share noise: 3-30-2, T 4, B 1000"
SIZES = (1, 2, 4, 8, 12, 16, 24, 32)
ROUNDS = 40
NETWORK, SEED = DEFAULT.network, 0


def configuration(place: int) -> WalkConfiguration:
    return replace(DEFAULT.configuration, stddev=DEFAULT.stddev * (1 + place / 10))


def batch_of(n_trials: int, seed: int = SEED) -> Pack:
    trials = [PackTrial(configuration(place), seed) for place in range(n_trials)]
    batch = resolve_backend("cpu").make_pack(NETWORK, PROBLEM.data(), trials, evaluation_points=1)
    batch.train(2)
    return batch


def walk_alone() -> CpuWalk:
    walk = CpuWalk(NETWORK, configuration(0), PROBLEM.data(), seed=SEED, evaluation_points=1)
    walk.train(2)
    return walk


def in_turns(clock: Callable[[], float], *actions: Callable[[], object]) -> NDArray[np.float64]:
    """Return the seconds of each action in each round, (ROUNDS, n_actions)."""

    def seconds(action: Callable[[], object]) -> float:
        start = clock()
        action()
        return clock() - start

    return np.array([[seconds(action) for action in actions] for _ in range(ROUNDS)])


@pytest.mark.benchmark(group=GROUP)
@pytest.mark.parametrize("n_trials", SIZES)
def test_a_batch_on_one_thread(benchmark: Any, n_trials: int) -> None:
    """From twelve trials on, one costs at most 0.55 of a trial alone."""
    batch, walk = batch_of(n_trials), walk_alone()
    rounds = in_turns(time.thread_time, lambda: batch.train(1), lambda: walk.train(1))
    together, alone = np.median(rounds, axis=0)
    share = together / n_trials / alone
    benchmark.extra_info["microseconds of a trial-step"] = round(together / n_trials * 1e6, 1)
    benchmark.extra_info["share of a trial alone"] = round(share, 3)
    benchmark.pedantic(batch.train, args=(1,), rounds=ROUNDS, warmup_rounds=5)
    assert n_trials < 12 or share <= 0.55


@pytest.mark.benchmark(group=GROUP)
def test_two_batches_on_two_threads(benchmark: Any) -> None:
    """A trial-step takes at most a thirtieth of the vectorised NumPy step's time."""
    n_trials, n_steps = resolve_backend("cpu").most_sharing_noise, 5
    batches = [batch_of(n_trials, seed) for seed in (1, 2)]
    numpy_step = ArrayStep().start(DEFAULT, first_weights(DEFAULT), 0)

    def train_both() -> None:
        threads = [threading.Thread(target=batch.train, args=(n_steps,)) for batch in batches]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    together, numpy_seconds = in_turns(time.perf_counter, train_both, lambda: numpy_step.measure(1)).min(axis=0)
    times = numpy_seconds / (together / (2 * n_trials * n_steps))
    benchmark.extra_info["times a NumPy step"] = round(times, 1)
    benchmark.pedantic(train_both, rounds=10, warmup_rounds=1)
    assert times >= 30

"""freewalk's own implementations of the timed step: on the GPU for one trial or many, on the processor."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.bench.accelerator import Accelerator, ManyTrials, OneTrial
from freewalk.harness.bench.peers.peer import Device, Loop
from freewalk.harness.bench.workloads import TASK, Workload, reference_batch
from freewalk.kernels.cpu.trial import CpuWalk
from freewalk.kernels.machine.threads import usable_threads
from freewalk.kernels.model.pack import PackTrial
from freewalk.kernels.trainers.reference_walk import ReferenceWalk
from freewalk.tasks.registry import TASKS

_DATA = TASKS[TASK].problem({}).data
_EVALUATION_POINTS = 1000
_FIRST_SEED = 100


def _seeds(workload: Workload) -> range:
    return range(_FIRST_SEED, _FIRST_SEED + workload.n_trials)


def _cpu_walk(workload: Workload, seed: int, threads: int = 1) -> CpuWalk:
    return CpuWalk(
        workload.network,
        workload.configuration,
        _DATA(),
        seed=seed,
        evaluation_points=_EVALUATION_POINTS,
        threads=threads,
    )


def relative_error(found: NDArray[np.floating], wanted: NDArray[np.floating]) -> float:
    """Return |found - wanted| / |wanted|, both taken as long vectors; 0 where both are 0, infinite where one is."""
    difference, size = float(np.linalg.norm(np.asarray(found, np.float64) - wanted)), float(np.linalg.norm(wanted))
    return (difference / size if size else math.inf) if difference else 0.0


class _WalkLoop:
    """Trials in progress, one object or one a trial, timed together."""

    steps_at_once = 1

    def __init__(
        self,
        train: Callable[[int], object],
        weights: Callable[[], Sequence[NDArray[np.float64]]],
        seconds: Callable[[Callable[[], object]], float],
    ) -> None:
        self._train = train
        self._weights = weights
        self._seconds = seconds

    def measure(self, n_steps: int) -> float:
        return self._seconds(lambda: self._train(n_steps))

    def weights(self) -> NDArray[np.float64]:
        return np.stack(list(self._weights()))

    def close(self) -> None:
        del self._train, self._weights


class OnGpu:
    """freewalk on the GPU: one trial over all of it, or many trials, a block each.

    Parameters
    ----------
    always_blocks
        Whether a single trial gets a block alone too, as it does among many.
    """

    device: Device = "cuda"

    def __init__(self, accelerator: Accelerator, *, always_blocks: bool = False) -> None:
        self._accelerator = accelerator
        self._always_blocks = always_blocks

    def wants(self, workload: Workload) -> bool:
        """Tell whether the workload is one of this implementation's."""
        return workload.family == "default" or not self._always_blocks

    def _one(self, workload: Workload) -> OneTrial:
        return self._accelerator.one(
            workload.network,
            workload.configuration,
            _DATA(),
            seed=_FIRST_SEED,
            evaluation_points=_EVALUATION_POINTS,
        )

    def _many(self, workload: Workload) -> ManyTrials:
        specs = [PackTrial(workload.configuration, seed) for seed in _seeds(workload)]
        return self._accelerator.many(workload.network, _DATA(), specs, evaluation_points=_EVALUATION_POINTS)

    def start(self, workload: Workload) -> Loop:
        """Return the loop that is timed, with the device's events."""
        if workload.n_trials == 1 and not self._always_blocks:
            walk = self._one(workload)
            return _WalkLoop(walk.train, lambda: [walk.weights], self._accelerator.seconds)
        batch = self._many(workload)
        return _WalkLoop(
            batch.train, lambda: [batch.weights(k) for k in range(workload.n_trials)], self._accelerator.seconds
        )

    def check(self, workload: Workload) -> float:
        """Return the relative error of the first update, at full size, of the first and the last trial."""
        loop = self.start(workload)
        before = loop.weights()
        loop.measure(1)
        updates = loop.weights() - before
        loop.close()
        errors = []
        for k in sorted({0, workload.n_trials - 1}):
            walk = _cpu_walk(workload, _seeds(workload)[k])
            start = walk.weights
            walk.train(1)
            errors.append(relative_error(updates[k], walk.weights - start))
        return max(errors)


class OnProcessor:
    """freewalk on the processor: one trial on all threads, or a thread a trial."""

    device: Device = "cpu"

    def __init__(self, *, everywhere: bool) -> None:
        self._everywhere = everywhere

    def wants(self, workload: Workload) -> bool:
        """Tell whether the workload is one of this implementation's."""
        return self._everywhere or (workload.is_main and workload.n_trials <= 132)

    def start(self, workload: Workload) -> Loop:
        """Return the loop that is timed."""
        threads = usable_threads()
        if workload.n_trials == 1:
            walk = _cpu_walk(workload, _FIRST_SEED, threads)
            return _WalkLoop(walk.train, lambda: [walk.weights], _wall_seconds)
        walks = [_cpu_walk(workload, seed) for seed in _seeds(workload)]

        def train(n_steps: int) -> None:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(lambda walk: walk.train(n_steps), walks))

        return _WalkLoop(train, lambda: [walk.weights for walk in walks], _wall_seconds)

    def check(self, workload: Workload) -> float:
        """Return the relative error of one trial's first update, with fewer datapoints, to the reference's."""
        small = replace(workload, batch_size=reference_batch(workload))
        walk = _cpu_walk(small, _FIRST_SEED)
        judge = ReferenceWalk(small.network, small.configuration, _DATA(), seed=_FIRST_SEED, evaluation_points=1)
        start = judge.weights
        walk.train(1)
        judge.train(1)
        return relative_error(walk.weights - start, judge.weights - start)


def _wall_seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start

"""freewalk's own ways to take the step on the processor: threads, noise, sides, alone or in batches, the reference."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.bench.own import relative_error
from freewalk.harness.bench.peers.peer import Device, Unavailable
from freewalk.harness.bench.workloads import TASK, Workload, reference_batch
from freewalk.kernels.backend import resolve_backend
from freewalk.kernels.cpu.trial import CpuWalk
from freewalk.kernels.machine.threads import usable_threads
from freewalk.kernels.model.noise import Noise
from freewalk.kernels.model.pack import PackTrial
from freewalk.kernels.model.walk import Sides, Trainer, WalkConfiguration
from freewalk.kernels.trainers.reference_walk import ReferenceWalk
from freewalk.tasks.registry import TASKS

_DATA = TASKS[TASK].problem({}).data
_SEED = 100
_EVALUATION_POINTS = 1000


class WalkLoop:
    """Trials in progress that are trained by one call."""

    steps_at_once = 1

    def __init__(self, train: Callable[[int], object], weights: Callable[[], Sequence[NDArray[np.float64]]]) -> None:
        self._train, self._weights = train, weights

    def measure(self, n_steps: int) -> float:
        """Take steps; return the seconds."""
        start = time.perf_counter()
        self._train(n_steps)
        return time.perf_counter() - start

    def weights(self) -> NDArray[np.float64]:
        """Return the weights of all trials."""
        return np.stack(list(self._weights()))

    def close(self) -> None:
        """Give the memory back."""
        del self._train, self._weights


@dataclass(frozen=True)
class OnCpu:
    """The compiled kernels, one trial."""

    threads: int
    noise: Noise = "gaussian"
    sides: Sides = "one"
    largest_error: float = 1e-4

    device: ClassVar[Device] = "cpu"

    def wants(self, workload: Workload) -> bool:
        """Tell whether it takes part."""
        return workload.n_trials == 1

    def _configuration(self, workload: Workload) -> WalkConfiguration:
        return replace(workload.configuration, noise=self.noise, sides=self.sides)

    def _walk(self, workload: Workload, seed: int = _SEED) -> CpuWalk:
        return CpuWalk(
            workload.network,
            self._configuration(workload),
            _DATA(),
            seed=seed,
            evaluation_points=_EVALUATION_POINTS,
            threads=self.threads,
        )

    def start(self, workload: Workload, seed: int = _SEED) -> WalkLoop:
        """Return the loop that is timed."""
        walk = self._walk(workload, seed)
        return WalkLoop(walk.train, lambda: [walk.weights])

    def check(self, workload: Workload) -> float:
        """Return the relative error of the first update to the reference's, with fewer datapoints."""
        small = replace(workload, batch_size=reference_batch(workload))
        return _error_of_first_update(self._walk(small), _reference(small, self._configuration(small)))


def _reference(workload: Workload, configuration: WalkConfiguration) -> ReferenceWalk:
    return ReferenceWalk(workload.network, configuration, _DATA(), seed=_SEED, evaluation_points=1)


def _error_of_first_update(walk: Trainer, judge: Trainer) -> float:
    updates = []
    for trainer in (walk, judge):
        start = trainer.weights
        trainer.train(1)
        updates.append(trainer.weights - start)
    return relative_error(*updates)


class OnReference:
    """The NumPy float64 reference on the walk's own noise: what is checked against, not made for speed."""

    device: Device = "cpu"
    largest_error = 1e-4

    def wants(self, workload: Workload) -> bool:
        """Tell whether it takes part."""
        return workload.n_trials == 1

    def start(self, workload: Workload) -> WalkLoop:
        """Return the loop that is timed."""
        walk = _reference(workload, workload.configuration)
        return WalkLoop(walk.train, lambda: [walk.weights])

    def check(self, workload: Workload) -> float:
        """Return the relative error of the first update to the kernels', with fewer datapoints."""
        small = replace(workload, batch_size=reference_batch(workload))
        return _error_of_first_update(_reference(small, small.configuration), OnCpu(1)._walk(small))


class Alone:
    """Trials of one seed, each drawing its own noise, a thread a trial."""

    device: Device = "cpu"
    largest_error = 1e-4

    def wants(self, workload: Workload) -> bool:
        """Tell whether it takes part."""
        return workload.n_trials > 1

    def start(self, workload: Workload) -> WalkLoop:
        """Return the loop that is timed."""
        walks = [_walk_of(workload, trial) for trial in shared_trials(workload)]
        pool = ThreadPoolExecutor(usable_threads())
        return WalkLoop(
            lambda n_steps: list(pool.map(lambda walk: walk.train(n_steps), walks)),
            lambda: [walk.weights for walk in walks],
        )

    def check(self, workload: Workload) -> float:
        """Return the relative error of the last trial's first update to the reference's, with fewer datapoints."""
        trial = shared_trials(replace(workload, batch_size=reference_batch(workload)))[-1]
        return _error_of_first_update(_walk_of(workload, trial), _reference(workload, trial.configuration))


def _walk_of(workload: Workload, trial: PackTrial) -> CpuWalk:
    points = _EVALUATION_POINTS
    return CpuWalk(workload.network, trial.configuration, _DATA(), seed=trial.seed, evaluation_points=points)


def shared_trials(workload: Workload) -> list[PackTrial]:
    """Return trials of one seed whose stddevs lie evenly between 0.5 and 1.5 times the workload's."""
    stddevs = workload.stddev * (0.5 + np.arange(workload.n_trials) / workload.n_trials)
    return [PackTrial(replace(workload.configuration, stddev=float(stddev)), _SEED) for stddev in stddevs]


class SharedNoise:
    """Trials of one seed in batches that draw their noise once, a batch a thread.

    Raises
    ------
    Unavailable
        The kernels have no such batches.
    """

    device: Device = "cpu"
    largest_error = 1e-4

    def __init__(self) -> None:
        self._backend = resolve_backend("cpu")
        self._most = self._backend.most_sharing_noise
        if self._most < 2:
            raise Unavailable("these kernels have no batches that share noise")

    def wants(self, workload: Workload) -> bool:
        """Tell whether it takes part."""
        return workload.n_trials > 1

    def start(self, workload: Workload) -> WalkLoop:
        """Return the loop that is timed."""
        trials, threads = shared_trials(workload), usable_threads()
        n_parts = max(min(threads, len(trials)), -(-len(trials) // self._most))
        parts = [trials[k::n_parts] for k in range(n_parts)]
        data, points = _DATA(), _EVALUATION_POINTS
        batches = [self._backend.make_pack(workload.network, data, part, evaluation_points=points) for part in parts]
        pool = ThreadPoolExecutor(threads)

        def weights() -> list[NDArray[np.float64]]:
            return [batches[k % len(batches)].weights(k // len(batches)) for k in range(len(trials))]

        return WalkLoop(lambda n_steps: list(pool.map(lambda batch: batch.train(n_steps), batches)), weights)

    def check(self, workload: Workload) -> float:
        """Return the largest relative error of a trial's first update to the same trial alone: 0, to the last bit."""
        loop, alone = self.start(workload), Alone().start(workload)
        updates = []
        for some in (loop, alone):
            before = some.weights()
            some.measure(1)
            updates.append(some.weights() - before)
            some.close()
        return max(relative_error(*pair) for pair in zip(*updates, strict=True))

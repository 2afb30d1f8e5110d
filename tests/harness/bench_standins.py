"""Stand-ins for a GPU, for peers and for a clock: what the suite needs, on a machine that has none."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.bench.peers.peer import Device
from freewalk.harness.bench.workloads import Workload
from freewalk.kernels.cpu.trial import CpuWalk
from freewalk.kernels.cuda.device import GpuInfo
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import Noise, unit_perturbations
from freewalk.kernels.model.pack import PackTrial
from freewalk.kernels.model.walk import Data, Evaluation, Progress, WalkConfiguration

H200 = GpuInfo("stand-in", (9, 0), "0.0", 141.0, 132, 1980.0)


class Walks:
    """Trials of a batch, one after the other."""

    def __init__(self, walks: Sequence[CpuWalk]) -> None:
        self._walks = walks

    def train(self, n_steps: int) -> list[Progress]:
        return [walk.train(n_steps) for walk in self._walks]

    def evaluate(self) -> list[Evaluation]:
        return [walk.evaluate() for walk in self._walks]

    def weights(self, k: int) -> NDArray[np.float64]:
        return self._walks[k].weights


class ProcessorAsGpu:
    """The processor's kernels behind a GPU's interface; `walk` makes a trial."""

    walk: Callable[..., Any] = CpuWalk

    def facts(self) -> GpuInfo:
        return H200

    def one(self, network: FreeNetwork, configuration: WalkConfiguration, data: Data, **options: Any) -> Any:
        return type(self).walk(network, configuration, data, **options)

    def many(self, network: FreeNetwork, data: Data, trials: Sequence[PackTrial], **options: Any) -> Walks:
        return Walks([self.one(network, trial.configuration, data, seed=trial.seed, **options) for trial in trials])

    def unit_noise(
        self, network: FreeNetwork, seed: int, step: int, datapoints: NDArray[np.integer], noise: Noise
    ) -> NDArray[np.floating]:
        return unit_perturbations(
            network.n_from, network.n_to, seed=seed, step=step, datapoints=datapoints, noise=noise
        ).astype(np.float32)

    def seconds(self, work: Callable[[], object]) -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start


class Clock:
    """A clock that moves only when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


class Steps:
    """A loop whose every step takes the same time on a clock; it may fail, or not move."""

    def __init__(
        self,
        clock: Clock,
        seconds: float,
        *,
        first_call: float = 0.0,
        steps_at_once: int = 1,
        moves: float = 1.0,
        log: list[str] | None = None,
        name: str = "",
    ) -> None:
        self.steps_at_once = steps_at_once
        self.closed = False
        self.asked: list[int] = []
        self.fails_at: int | None = None
        self._clock, self._seconds, self._extra, self._moves = clock, seconds, first_call, moves
        self._log, self._name = log, name
        self._at = np.zeros((1, 2, 2))

    def measure(self, n_steps: int) -> float:
        assert n_steps % self.steps_at_once == 0
        if self.fails_at is not None and len(self.asked) >= self.fails_at:
            raise RuntimeError("CUDA error: out of memory")
        if self._log is not None:
            self._log.append(self._name)
        self.asked.append(n_steps)
        seconds = n_steps * self._seconds + self._extra
        self._extra = 0.0
        self._clock.pass_(seconds)
        self._at = self._at + n_steps * self._moves
        return seconds

    def weights(self) -> NDArray[np.floating]:
        return self._at

    def close(self) -> None:
        self.closed = True


class Contestant:
    """An implementation with a loop given beforehand."""

    device: Device = "cuda"

    def __init__(self, steps: Steps | Exception, *, error: float | Exception = 1e-6, main_only: bool = False) -> None:
        self._steps, self._error, self._main_only = steps, error, main_only
        self.workloads: list[Workload] = []

    def wants(self, workload: Workload) -> bool:
        return workload.is_main or not self._main_only

    def check(self, workload: Workload) -> float:
        if isinstance(self._error, Exception):
            raise self._error
        return self._error

    def start(self, workload: Workload) -> Steps:
        self.workloads.append(workload)
        if isinstance(self._steps, Exception):
            raise self._steps
        return self._steps

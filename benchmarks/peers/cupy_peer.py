"""The step in CuPy, whose functions have NumPy's names: products by cuBLAS, normals by cuRAND's Philox."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.peers.peer import Device, Unavailable, optional_import
from freewalk.harness.bench import ArrayStep, Single


class CupyPeer(ArrayStep):
    """NumPy's step on a GPU."""

    def __init__(self, cupy: Any) -> None:
        super().__init__()
        self.xp = cupy
        self.seconds = self._seconds

    def _seconds(self, work: Callable[[], object]) -> float:
        start, end = self.xp.cuda.Event(), self.xp.cuda.Event()
        start.record()
        work()
        end.record()
        end.synchronize()
        return float(self.xp.cuda.get_elapsed_time(start, end)) / 1000

    def generator(self, seed: int) -> Any:
        """Return cuRAND's Philox."""
        return self.xp.random.RandomState(seed, method=self.xp.cuda.curand.CURAND_RNG_PSEUDO_PHILOX4_32_10)

    def uniform(self, random: Any, shape: tuple[int, ...]) -> Any:
        """Return float32 numbers in [0, 1)."""
        return random.random_sample(shape, dtype=np.float32)

    def normal(self, random: Any, stddev: float, shape: tuple[int, ...]) -> Any:
        """Return float32 normals."""
        return random.normal(0.0, stddev, shape, dtype=np.float32)

    def to_numpy(self, array: Any) -> Single:
        """Return an array in the processor's memory."""
        result: Single = self.xp.asnumpy(array)
        return result

    def release(self) -> None:
        """Give memory back that is kept for later."""
        self.xp.get_default_memory_pool().free_all_blocks()


def make_cupy(device: Device) -> CupyPeer:
    """Return the step in CuPy."""
    if device != "cuda":
        raise Unavailable("runs on a GPU alone")
    cupy = optional_import("cupy")
    cupy.zeros(1).sum().get()
    return CupyPeer(cupy)

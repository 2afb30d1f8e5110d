"""Which backend runs a walk: the compiled CPU kernels or the NumPy reference."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numba
import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.trial import CpuWalk, compile_kernels
from freewalk.kernels.network import FreeNetwork
from freewalk.kernels.reference_walk import ReferenceWalk
from freewalk.kernels.walk import Data, Walk, WalkConfiguration

BackendName = Literal["cpu", "reference"]


@dataclass(frozen=True)
class Backend:
    """A usable backend on this machine."""

    name: BackendName
    device: str
    """The processor's name."""
    dtype: str
    """Type of the network arithmetic; master weights are float64 everywhere."""
    workers: int
    """Walks that may run at once, each on a thread of its own."""

    def make_walk(
        self,
        network: FreeNetwork,
        configuration: WalkConfiguration,
        data: Data,
        *,
        seed: int,
        evaluation_points: int,
        mask: NDArray[np.bool_] | None = None,
    ) -> Walk:
        """Return a new walk at step 0."""
        kind: type[Any] = CpuWalk if self.name == "cpu" else ReferenceWalk
        walk: Walk = kind(network, configuration, data, seed=seed, evaluation_points=evaluation_points, mask=mask)
        return walk

    def warm_up(self) -> float:
        """Compile the kernels of one thread, or load them from the cache; return the seconds it took."""
        start = time.perf_counter()
        if self.name == "cpu":
            compile_kernels(threads=1)
        return time.perf_counter() - start

    def spread(self, walk: Walk) -> float:
        """Let a walk use all threads from its next step on; return the seconds that compilation took.

        Only one walk at a time may be spread: Numba's simplest thread pool ends the process otherwise.
        """
        if not isinstance(walk, CpuWalk) or walk.threads == walk.most_threads(self.workers):
            return 0.0
        start = time.perf_counter()
        compile_kernels(threads=2)
        walk.use_threads(self.workers)
        return time.perf_counter() - start

    def gather(self, walk: Walk) -> None:
        """Let a walk go on with one thread."""
        if isinstance(walk, CpuWalk):
            walk.use_threads(1)


def resolve_backend(name: str) -> Backend:
    """Return the backend of that name; `auto` takes the fastest that this machine has.

    Raises
    ------
    ValueError
        If there is no such backend.
    """
    if name in ("auto", "cpu"):
        return Backend("cpu", processor_name(), "float32", usable_threads())
    if name == "reference":
        return Backend("reference", processor_name(), "float64", 1)
    raise ValueError(f"unknown backend {name!r}")


def usable_threads() -> int:
    """Return how many threads to use: Numba's setting, but no more processors than this process may use."""
    threads = int(numba.get_num_threads())
    return min(threads, len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else threads


@cache
def processor_name() -> str:
    """Return the processor's name as the operating system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown"

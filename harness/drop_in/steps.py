"""Who takes the steps: the backend that the configuration names, on as many threads as are worth it."""

from __future__ import annotations

import time
from statistics import fmean
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.base.errors import UsageError
from freewalk.harness.drop_in.settings import Settings

if TYPE_CHECKING:
    from freewalk.kernels.cpu.given import GivenWalk
    from freewalk.kernels.trainers.reference_walk import ReferenceGivenWalk

_STEPS_OF_A_COMPARISON = 5
_SECONDS_OF_A_COMPARISON = 1.0
"""Less than that many steps when they take longer than this."""
_SECONDS_BETWEEN_COMPARISONS = 5.0


Stepper: TypeAlias = "GivenWalk | ReferenceGivenWalk | BestThreads"
"""A walk on given batches, in progress."""


def make_stepper(settings: Settings) -> tuple[Stepper, str]:
    """Return who takes the steps, and the backend's name.

    Raises
    ------
    UsageError
        If the backend cannot be used.
    """
    from freewalk.kernels.cpu.given import GivenWalk
    from freewalk.kernels.machine.threads import usable_threads
    from freewalk.kernels.trainers.reference_walk import ReferenceGivenWalk

    options: dict[str, Any] = {"seed": settings.keys.seed, "mask": settings.mask, "initial": settings.initial}
    if settings.keys.backend == "reference":
        return ReferenceGivenWalk(settings.network, settings.configuration, **options), "reference"
    if settings.keys.backend == "cuda":
        raise UsageError(
            "configuration key 'backend': batches from Python run on the CPU; give backend='cpu', or make the data a"
            " task, which harness train runs on a GPU"
        )
    threads = usable_threads() if settings.keys.threads is None else settings.keys.threads
    walk = GivenWalk(settings.network, settings.configuration, threads=threads, **options)
    return (walk if settings.keys.threads is not None or walk.threads == 1 else BestThreads(walk)), "cpu"


class BestThreads:
    """A walk that takes its steps on all threads, or on one while that is faster; the bits do not depend on it.

    Where other programs keep the processors busy, the threads of a step wait for each other. So every few seconds some
    steps are timed on both.
    """

    def __init__(self, walk: Any) -> None:
        self._walk = walk
        self._most = walk.threads
        self._seconds: dict[int, list[float]] = {}
        self._to_compare = [self._most, 1]
        self._next_comparison = 0.0

    @property
    def step(self) -> int:
        """Steps taken so far."""
        return int(self._walk.step)

    @property
    def threads(self) -> int:
        """Threads of the next step."""
        return int(self._walk.threads)

    @property
    def weights(self) -> NDArray[np.float64]:
        """A copy of the weights, (n_from, n_to)."""
        weights: NDArray[np.float64] = self._walk.weights
        return weights

    def take_step(self, x: NDArray[np.floating], y: NDArray[np.floating], **options: Any) -> float:
        """Take one step; return the mean loss before it."""
        start = time.perf_counter()
        loss: float = self._walk.take_step(x, y, **options)
        now = time.perf_counter()
        if self._to_compare:
            self._compare(now - start, now)
        elif now >= self._next_comparison:
            self._seconds.clear()
            self._to_compare = [self._most, 1]
            self._walk.use_threads(self._most)
        return loss

    def _compare(self, seconds: float, now: float) -> None:
        """Count a step of the comparison under way; at its end keep the faster number of threads."""
        times = self._seconds.setdefault(self._to_compare[0], [])
        times.append(seconds)
        if len(times) < _STEPS_OF_A_COMPARISON and sum(times) < _SECONDS_OF_A_COMPARISON:
            return
        self._to_compare.pop(0)
        if self._to_compare:
            self._walk.use_threads(self._to_compare[0])
            return
        self._walk.use_threads(min(self._seconds, key=lambda threads: fmean(self._seconds[threads])))
        self._next_comparison = now + _SECONDS_BETWEEN_COMPARISONS

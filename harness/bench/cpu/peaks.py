"""What this processor can do at most, measured: multiply-adds, normals, signs, bytes of memory a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from freewalk.harness.bench.cpu.floors import Generator
from freewalk.harness.bench.cpu.peak_kernels import (
    CHAINS,
    multiply_adds,
    multiply_adds_alone,
    read_memory,
    write_memory,
)
from freewalk.harness.bench.workloads import DEFAULT
from freewalk.kernels.cpu.layout import aligned
from freewalk.kernels.machine.lanes import LANES

_SECONDS = 0.03
"""Of one measurement, about."""
_REPEATS = 15
_MULTIPLY_ADDS = 10_000
"""Of a chain, at least."""
_BIG, _SMALL = 32 << 20, 256 << 10
"""Bytes a thread: far beyond a private cache, and what a tile of noise takes in it."""


@dataclass(frozen=True)
class PeakRow:
    """The highest of several measurements."""

    quantity: str
    threads: int
    unit: str
    best: float
    median: float
    how: str


def best_rate(work: Callable[[int], object], amount: float) -> tuple[float, float]:
    """Return the best and the median rate of `work(n)`, which does `amount` of something n times, in 1 / s."""
    work(1)
    n = 1
    while (seconds := _seconds(work, n)) < _SECONDS and n < 1 << 24:
        n = max(2 * n, int(n * 0.8 * _SECONDS / max(seconds, 1e-9)))
    rates = [n * amount / _seconds(work, n) for _ in range(_REPEATS)]
    return max(rates), float(np.median(rates))


def _seconds(work: Callable[[int], object], n: int) -> float:
    start = time.perf_counter()
    work(n)
    return max(time.perf_counter() - start, 1e-9)


def measure_peaks(threads: int) -> Iterator[PeakRow]:
    """Yield what one thread and all `threads` reach."""
    for n in dict.fromkeys((1, threads)):
        yield _multiply_adds(n)
        yield _row("normals", n, *_generator(n, "gaussian"), "Philox-4x32-10 and Box-Muller, by the walk's generator")
        yield _row("signs", n, *_generator(n, "rademacher"), "the walk's generator of signs")
        for name, size in (("memory", _BIG), ("cache", _SMALL)):
            memory = aligned(n, size // 4)
            memory[:] = 1.0
            out = aligned(n, LANES)
            read = best_rate(lambda k, m=memory, o=out: read_memory(m, k, o), memory.nbytes)  # type: ignore[misc]
            yield _row(f"{name} read, bytes", n, *read, f"{size >> 10:,} KiB a thread, again and again")
            written = best_rate(lambda k, m=memory: write_memory(m, k), memory.nbytes)  # type: ignore[misc]
            yield _row(f"{name} written, bytes", n, *written, f"{size >> 10:,} KiB a thread, again and again")


def _row(quantity: str, threads: int, best: float, median: float, how: str) -> PeakRow:
    return PeakRow(quantity, threads, "1/s", best, median, how)


def _multiply_adds(threads: int) -> PeakRow:
    out = aligned(threads, 2 * LANES)
    out[:, 0], out[:, 1] = 0.5, 1.0  # towards 2: no overflow, nothing denormal
    run = multiply_adds_alone if threads == 1 else multiply_adds
    rates = []
    for chains in CHAINS:
        amount = float(threads * chains * _MULTIPLY_ADDS * LANES)
        found = best_rate(lambda k, c=chains: run(c, k * _MULTIPLY_ADDS, out), amount)  # type: ignore[misc]
        rates.append((*found, f"{chains} chains in registers"))
    if not np.allclose(out[:, LANES:], 2.0 * chains):
        raise RuntimeError("the multiply-adds do not give their limit")
    return _row("multiply-adds", threads, *max(rates))


def _generator(threads: int, noise: str) -> tuple[float, float]:
    implementation = Generator(threads, noise)  # type: ignore[arg-type]
    error = implementation.check(DEFAULT)
    if error > implementation.largest_error:
        raise RuntimeError(f"the generator of {noise} noise is wrong: relative error {error:.1e}")
    loop = implementation.start(DEFAULT)
    return best_rate(loop.measure, float(DEFAULT.batch_size * DEFAULT.network.n_weights))

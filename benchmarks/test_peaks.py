"""What this processor can do at most: multiply-adds, sigmoids, normals, signs, bytes of memory a second."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from benchmarks.floors import Generator
from benchmarks.implementations import MANY
from benchmarks.peak_kernels import CHAINS, multiply_adds, multiply_adds_alone, read_memory, sigmoids, write_memory
from freewalk.harness.bench import DEFAULT, wall_seconds
from freewalk.kernels.cpu.layout import aligned
from freewalk.kernels.machine.lanes import LANES
from freewalk.kernels.model.noise import Kind

GROUP = "what this processor can do"
_SECONDS = 0.03
"""Of one measurement, about."""
_REPEATS = 15
_MULTIPLY_ADDS = 10_000
"""Of a chain, at least."""
_SIZES = {"memory": 32 << 20, "cache": 256 << 10}
"""Bytes a thread: far beyond a private cache, and what a tile of noise takes in it."""
threads_once_and_all = pytest.mark.parametrize("threads", list(dict.fromkeys((1, MANY))))


def rate(benchmark: Any, work: Callable[[int], object], amount: float, quantity: str, threads: int, how: str) -> None:
    """Time `work(n)`, which does `amount` of something n times, for an n that takes long enough."""
    work(1)
    n = 1
    while (seconds := wall_seconds(partial(work, n))) < _SECONDS and n < 1 << 24:
        n = max(2 * n, int(n * 0.8 * _SECONDS / max(seconds, 1e-9)))
    benchmark.group, benchmark.name = GROUP, f"{quantity}, {threads} thread{'s' * (threads > 1)}"
    benchmark.extra_info |= {"quantity": quantity, "threads": threads, "amount": n * amount, "how": how}
    benchmark.pedantic(work, args=(n,), rounds=_REPEATS)


@threads_once_and_all
@pytest.mark.parametrize("chains", CHAINS)
def test_multiply_adds(benchmark: Any, threads: int, chains: int) -> None:
    out = aligned(threads, 2 * LANES)
    out[:, 0], out[:, 1] = 0.5, 1.0  # towards 2: no overflow, nothing denormal
    run = multiply_adds_alone if threads == 1 else multiply_adds
    amount = float(threads * chains * _MULTIPLY_ADDS * LANES)
    how = f"{chains} chains in registers"
    rate(benchmark, lambda n: run(chains, n * _MULTIPLY_ADDS, out), amount, "multiply-adds", threads, how)
    assert np.allclose(out[:, LANES:], 2.0 * chains)


@threads_once_and_all
def test_sigmoids(benchmark: Any, threads: int) -> None:
    values = aligned(threads, DEFAULT.network.n_to * LANES)
    how = "of a layer in the cache, by the walk's function"
    rate(benchmark, lambda n: sigmoids(values, n), values.size, "sigmoids", threads, how)
    fixed = values[0, 0]  # where the sigmoid of a number is the number
    assert np.allclose(values, 1 / (1 + np.exp(-fixed)))


@threads_once_and_all
@pytest.mark.parametrize(("noise", "quantity"), [("gaussian", "normals"), ("rademacher", "signs")])
def test_generator(benchmark: Any, threads: int, noise: Kind, quantity: str) -> None:
    generator = Generator(threads, noise)
    assert generator.check(DEFAULT) <= generator.largest_error
    amount = float(DEFAULT.batch_size * DEFAULT.network.n_weights)
    how = "Philox-4x32-10 and Box-Muller, by the walk's generator" if noise == "gaussian" else "the walk's generator"
    rate(benchmark, generator.start(DEFAULT).measure, amount, quantity, threads, how)


@threads_once_and_all
@pytest.mark.parametrize("place", _SIZES)
@pytest.mark.parametrize("way", ["read", "written"])
def test_memory(benchmark: Any, threads: int, place: str, way: str) -> None:
    memory, out = aligned(threads, _SIZES[place] // 4), aligned(threads, LANES)
    memory[:] = 1.0

    def work(n: int) -> None:
        if way == "read":
            read_memory(memory, n, out)
        else:
            write_memory(memory, n)

    how = f"{_SIZES[place] >> 10:,} KiB a thread, again and again"
    rate(benchmark, work, memory.nbytes, f"{place} {way}, bytes", threads, how)

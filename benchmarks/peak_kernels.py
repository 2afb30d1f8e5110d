"""Small kernels that do nothing but one thing: multiply-adds in registers, sigmoids, reading memory, writing it."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.functions import SIGMOID
from freewalk.kernels.cpu.products import activate
from freewalk.kernels.machine.jit import helper_function, kernel, parallel_kernel
from freewalk.kernels.machine.lanes import LANES, F32x16, fma, load_f32, splat_f32, store

CHAINS = (4, 12)
"""Independent chains of multiply-adds: as many as hide their latency within 16 registers of 256 bits, 32 of 512."""


@helper_function
def _four_chains(n: int, out: NDArray[np.float32]) -> None:
    b, c = splat_f32(out[0]), splat_f32(out[1])
    a0 = a1 = a2 = a3 = c
    for _ in range(n):
        a0, a1, a2, a3 = fma(a0, b, c), fma(a1, b, c), fma(a2, b, c), fma(a3, b, c)
    store(out, LANES, (a0 + a1) + (a2 + a3))


@helper_function
def _twelve_chains(n: int, out: NDArray[np.float32]) -> None:
    b, c = splat_f32(out[0]), splat_f32(out[1])
    a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = a8 = a9 = a10 = a11 = c
    for _ in range(n):
        a0, a1, a2, a3 = fma(a0, b, c), fma(a1, b, c), fma(a2, b, c), fma(a3, b, c)
        a4, a5, a6, a7 = fma(a4, b, c), fma(a5, b, c), fma(a6, b, c), fma(a7, b, c)
        a8, a9, a10, a11 = fma(a8, b, c), fma(a9, b, c), fma(a10, b, c), fma(a11, b, c)
    store(out, LANES, _sum_of_four(a0 + a4 + a8, a1 + a5 + a9, a2 + a6 + a10, a3 + a7 + a11))


@helper_function
def _sum_of_four(a: F32x16, b: F32x16, c: F32x16, d: F32x16) -> F32x16:
    return (a + b) + (c + d)


@parallel_kernel
def multiply_adds(chains: int, n: int, out: NDArray[np.float32]) -> None:
    """Make n multiply-adds of sixteen lanes in each chain, on as many threads as `out` (workers, 2 * LANES) has rows.

    out[:, 0] and out[:, 1] are the factor and the summand; the last LANES of a row get the sum, which needs them all.
    """
    for worker in numba.prange(len(out)):
        if chains == 4:
            _four_chains(n, out[worker])
        else:
            _twelve_chains(n, out[worker])


@parallel_kernel
def sigmoids(
    values: NDArray[np.float32],  # INOUT (workers, n * LANES)
    passes: int,
) -> None:
    """Replace each row by its sigmoids, as a pass does with weighted sums, on a thread of its own."""
    columns = values.shape[1] // LANES
    for worker in numba.prange(len(values)):
        for _ in range(passes):
            activate(SIGMOID, values[worker], 0, columns)


@helper_function
def _read(memory: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    t0 = t1 = t2 = t3 = splat_f32(np.float32(0.0))
    for at in range(0, len(memory), 4 * LANES):
        t0, t1 = t0 + load_f32(memory, at), t1 + load_f32(memory, at + LANES)
        t2, t3 = t2 + load_f32(memory, at + 2 * LANES), t3 + load_f32(memory, at + 3 * LANES)
    store(out, 0, (t0 + t1) + (t2 + t3))


@helper_function
def _write(memory: NDArray[np.float32], value: np.float32) -> None:
    for at in range(0, len(memory), 4 * LANES):
        for k in range(4):
            store(memory, at + k * LANES, splat_f32(value))


@parallel_kernel
def read_memory(
    memory: NDArray[np.float32],  # IN (workers, n), n a multiple of 4 * LANES
    passes: int,
    out: NDArray[np.float32],  # OUT (workers, LANES)
) -> None:
    """Read each row on a thread of its own."""
    for worker in numba.prange(len(memory)):
        for _ in range(passes):
            _read(memory[worker], out[worker])


@parallel_kernel
def write_memory(memory: NDArray[np.float32], passes: int) -> None:
    """Write each row on a thread of its own."""
    for worker in numba.prange(len(memory)):
        for k in range(passes):
            _write(memory[worker], np.float32(k))


@kernel
def multiply_adds_alone(chains: int, n: int, out: NDArray[np.float32]) -> None:
    """Do what `multiply_adds` does, on the calling thread."""
    for worker in range(len(out)):
        if chains == 4:
            _four_chains(n, out[worker])
        else:
            _twelve_chains(n, out[worker])

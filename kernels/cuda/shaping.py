"""From the losses of a step to what weighs its perturbations; see freewalk.kernels.reference.reference.shaped.

`judge`: one block a trial; is the loss finite? It leaves differences, over their standard deviation if that is asked
for, or what is to be ranked. `rank`: a thread for each perturbation counts what lies below its own.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cuda.jit import SIMULATED, cuda, cuda_kernel, device_function, types
from freewalk.kernels.cuda.layout import (
    BATCH_SIZE,
    DATAPOINTS,
    LOSS,
    SHAPING,
    SHAPING_CODES,
    SHARED,
    STDDEV,
    STEPS_DONE,
)

JUDGES = 32 if SIMULATED else 256
"""Threads of a block of `judge`; a power of two."""
_STD, _RANKS = SHAPING_CODES["std"], SHAPING_CODES["ranks"]


class ShapingKernels(NamedTuple):
    """Compiled on first use."""

    judge: Any
    rank: Any


@device_function
def _sum_of_block(partial: Any, value: float) -> float:
    """Return the sum over the threads of a block, added in an order that is always the same, in every thread."""
    thread = cuda.threadIdx.x
    partial[thread] = value
    cuda.syncthreads()
    half = JUDGES // 2
    while half > 0:
        if thread < half:
            partial[thread] += partial[thread + half]
        cuda.syncthreads()
        half //= 2
    value = partial[0]
    cuda.syncthreads()
    return value


@cache
def make_shaping(*, two_sided: bool, clean_apart: bool) -> ShapingKernels:
    """Return the kernels for losses on one or two sides, unperturbed losses of shared datapoints found once or not."""
    sides = 2 if two_sided else 1

    @cuda_kernel
    def judge(
        order: NDArray[np.int32],  # IN (slots,), the trial of each slot
        sizes: NDArray[np.int64],  # IN (n_trials, N_SIZES)
        numbers: NDArray[np.float64],  # IN (n_trials, N_NUMBERS)
        found: NDArray[np.float32],  # IN (slots, 2, pairs of a step): perturbed, other
        values: NDArray[np.float64],  # OUT (slots, 2, perturbations): sums over datapoints
        coefficients: NDArray[np.float32],  # OUT (slots, perturbations)
        results: NDArray[np.float64],  # INOUT (n_trials, N_RESULTS)
        offset: int,
    ) -> None:
        """Leave the mean loss and count the step; after a loss that is not finite, nothing counts."""
        partial = cuda.shared.array((2, JUDGES), np.float64)
        slot, thread = cuda.blockIdx.x, cuda.threadIdx.x
        trial = order[slot]
        if not math.isfinite(results[trial, LOSS]):
            return
        datapoints, shaping = sizes[trial, DATAPOINTS], sizes[trial, SHAPING]
        n = sizes[trial, BATCH_SIZE] // datapoints
        parts = max(1, JUDGES // n)  # threads that share the datapoints of a perturbation
        part, of_a_round = thread % parts, JUDGES // parts
        loss, total = 0.0, 0.0
        for first in range(0, n, of_a_round):
            k = first + thread // parts
            mine = thread < of_a_round * parts and k < n
            plus, other = 0.0, 0.0
            if mine:
                for d in range(part, datapoints, parts):
                    pair = k * datapoints + d
                    plus += np.float64(found[slot, 0, pair])
                    other += np.float64(found[slot, 1, d if clean_apart else pair])
            partial[0, thread] = plus
            partial[1, thread] = other
            cuda.syncthreads()
            if mine and part == 0:
                for p in range(1, parts):
                    plus += partial[0, thread + p]
                    other += partial[1, thread + p]
                loss += 0.5 * (plus + other) if two_sided else other
                difference = 0.5 * (plus - other) if two_sided else plus - other
                total += difference
                is_compared = shaping == _RANKS and two_sided
                values[slot, 0, k] = plus if is_compared and sizes[trial, SHARED] else difference
                if is_compared:
                    values[slot, 1, k] = other if sizes[trial, SHARED] else -difference
            cuda.syncthreads()
        loss = _sum_of_block(partial[0], loss) / sizes[trial, BATCH_SIZE]
        scale = 1.0
        if shaping == _STD:
            mean, squares = _sum_of_block(partial[0], total) / n, 0.0
            for k in range(thread, n, JUDGES):
                squares += (values[slot, 0, k] - mean) * (values[slot, 0, k] - mean)
            deviation = math.sqrt(_sum_of_block(partial[0], squares) / (n - 1))
            scale = numbers[trial, STDDEV] * datapoints / deviation if deviation > 0 else 0.0
        if shaping != _RANKS:
            for k in range(thread, n, JUDGES):
                coefficients[slot, k] = -scale * values[slot, 0, k]
        if thread == 0:
            results[trial, LOSS] = loss
            results[trial, STEPS_DONE] = offset + 1

    @cuda_kernel
    def rank(
        order: NDArray[np.int32],  # IN (slots,), the trial of each slot
        sizes: NDArray[np.int64],  # IN (n_trials, N_SIZES)
        numbers: NDArray[np.float64],  # IN (n_trials, N_NUMBERS)
        values: NDArray[np.float64],  # IN (slots, 2, perturbations)
        coefficients: NDArray[np.float32],  # OUT (slots, perturbations)
        results: NDArray[np.float64],  # IN (n_trials, N_RESULTS)
    ) -> None:
        k, slot = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x, cuda.blockIdx.y
        trial = order[slot]
        n = sizes[trial, BATCH_SIZE] // sizes[trial, DATAPOINTS]
        if k >= n or sizes[trial, SHAPING] != _RANKS or not math.isfinite(results[trial, LOSS]):
            return
        up, down = values[slot, 0, k], values[slot, sides - 1, k]
        # twice the rank of each: those below count two, equals one, and the value itself is no equal
        up_rank, down_rank = -1, -1
        for side in range(sides):
            for j in range(n):
                value = values[slot, side, j]
                up_rank += 2 if value < up else 1 if value == up else 0
                down_rank += 2 if value < down else 1 if value == down else 0
        steps = 2.0 * (sides * n - 1)
        slope = 0.5 * (up_rank - down_rank) / steps if two_sided else up_rank / steps - 0.5
        coefficients[slot, k] = -slope * numbers[trial, STDDEV] * sizes[trial, DATAPOINTS]

    return ShapingKernels(judge, rank)


_TRIALS = (types.int32[::1], types.int64[:, ::1], types.float64[:, ::1])
_VALUES, _COEFFICIENTS, _RESULTS = types.float64[:, :, ::1], types.float32[:, ::1], types.float64[:, ::1]
JUDGE = types.void(*_TRIALS, types.float32[:, :, ::1], _VALUES, _COEFFICIENTS, _RESULTS, types.int64)
RANK = types.void(*_TRIALS, _VALUES, _COEFFICIENTS, _RESULTS)
"""Signatures of the kernels."""

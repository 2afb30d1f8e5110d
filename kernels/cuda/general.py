"""Networks of any size: noise is drawn again wherever it is needed, so that nothing has to be kept.

A step takes four launches. `differences`: a block runs a datapoint, its threads the columns in turn, and draws the
noise anew at every timestep. `judge`: is the loss finite? `accumulate`: a thread owns a few weights, and draws their
noise again for one datapoint after another. `finish`: the partial sums are added in order, and the weights move.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cuda.forward import make_pass
from freewalk.kernels.cuda.jit import SIMULATED, cuda, cuda_kernel, device_function, types
from freewalk.kernels.cuda.layout import (
    ARGUMENT,
    BATCH_SIZE,
    LOSS,
    SEED,
    STDDEV,
    STEP,
    STEPS_DONE,
    TIMESTEPS,
    Spec,
)
from freewalk.kernels.cuda.noise import keys, make_values
from freewalk.kernels.cuda.optimizers import move
from freewalk.kernels.model.noise import Stream

_ZERO, _HALF = np.float32(0.0), np.float32(0.5)
_DATA = np.uint32(Stream.DATA)
JUDGES = 32 if SIMULATED else 256
"""Threads of the only block of `judge`."""
_FLUSH = 32  # datapoints that are summed in float32 before they go into a float64


class GeneralKernels(NamedTuple):
    """Compiled on first use."""

    differences: Any
    judge: Any
    accumulate: Any
    finish: Any
    rows: int
    """Weights of a column that one thread of `accumulate` owns."""


@cache
def make_general(spec: Spec, threads: int) -> GeneralKernels:
    """Return the kernels of a network of any size, for blocks of so many threads."""
    n_to, n_from = spec.n_to, spec.n_from
    n_weights = n_from * n_to
    two_sided, masked = spec.two_sided, spec.masked
    rows, values = make_values(spec.noise)
    row_groups = -(-n_from // rows)
    run_pass = make_pass(spec, threads, perturbed=True)
    datapoint = device_function(spec.datapoint)

    @cuda_kernel
    def differences(
        sizes: NDArray[np.int64],  # IN (n_trials, N_SIZES)
        numbers: NDArray[np.float64],  # IN (n_trials, N_NUMBERS)
        single: NDArray[np.float32],  # IN (n_trials, n_weights)
        mask: NDArray[np.float32],  # IN (n_weights,), or (0,)
        x: NDArray[np.float32],  # SCRATCH (blocks, 1, input_rows, n_input)
        y: NDArray[np.float32],  # SCRATCH (blocks, 1, output_rows, n_output)
        activations: NDArray[np.float32],  # SCRATCH (blocks, 2, 2, n_to)
        lowered: NDArray[np.float32],  # OUT (batch_size,)
        losses: NDArray[np.float32],  # OUT (batch_size,)
        results: NDArray[np.float64],  # IN (n_trials, N_RESULTS)
        trial: int,
        offset: int,
    ) -> None:
        block, thread = cuda.blockIdx.x, cuda.threadIdx.x
        if not math.isfinite(results[trial, LOSS]):
            return
        step = sizes[trial, STEP] + offset
        for index in range(block, sizes[trial, BATCH_SIZE], cuda.gridDim.x):
            if thread == 0:
                datapoint(
                    np.uint64(sizes[trial, SEED]),
                    _DATA,
                    np.uint32(step),
                    index,
                    sizes[trial, TIMESTEPS],
                    sizes[trial, ARGUMENT],
                    x[block, 0],
                    y[block, 0],
                )
            cuda.syncthreads()
            plus, other = run_pass(
                sizes[trial, TIMESTEPS],
                np.float32(numbers[trial, STDDEV]),
                single[trial],
                mask,
                x[block, 0],
                y[block, 0],
                activations[block],
                sizes[trial, SEED],
                index,
                step,
            )
            if thread == 0:
                lowered[index] = _HALF * (other - plus) if two_sided else other - plus
                losses[index] = _HALF * (other + plus) if two_sided else other

    @cuda_kernel
    def judge(
        sizes: NDArray[np.int64],  # IN (n_trials, N_SIZES)
        losses: NDArray[np.float32],  # IN (batch_size,)
        results: NDArray[np.float64],  # INOUT (n_trials, N_RESULTS)
        trial: int,
        offset: int,
    ) -> None:
        """Leave the mean loss and count the step, by one block; after a loss that is not finite, nothing counts."""
        partial = cuda.shared.array(JUDGES, np.float64)
        thread = cuda.threadIdx.x
        if not math.isfinite(results[trial, LOSS]):
            return
        summed = 0.0
        for index in range(thread, sizes[trial, BATCH_SIZE], JUDGES):
            summed += losses[index]
        partial[thread] = summed
        cuda.syncthreads()
        if thread == 0:
            for k in range(1, JUDGES):
                summed += partial[k]
            results[trial, LOSS] = summed / sizes[trial, BATCH_SIZE]
            results[trial, STEPS_DONE] = offset + 1

    @cuda_kernel
    def accumulate(
        sizes: NDArray[np.int64],  # IN (n_trials, N_SIZES)
        lowered: NDArray[np.float32],  # IN (batch_size,)
        results: NDArray[np.float64],  # IN (n_trials, N_RESULTS)
        partial: NDArray[np.float64],  # OUT (chunks, n_weights)
        trial: int,
        offset: int,
    ) -> None:
        noise = cuda.local.array(rows, np.float32)
        sums = cuda.local.array(rows, np.float32)
        chunk, chunks = cuda.blockIdx.y, cuda.gridDim.y
        here = cuda.grid(1)
        if here >= row_groups * n_to or not math.isfinite(results[trial, LOSS]):
            return
        first_row, column = here // n_to * rows, here % n_to  # neighbours own neighbouring columns
        own_rows = min(rows, n_from - first_row)
        k0, k1 = keys(sizes[trial, SEED])
        batch_size, step = sizes[trial, BATCH_SIZE], sizes[trial, STEP] + offset
        begin, end = batch_size * chunk // chunks, batch_size * (chunk + 1) // chunks
        for r in range(own_rows):
            partial[chunk, (first_row + r) * n_to + column] = 0.0
        for first in range(begin, end, _FLUSH):
            for r in range(rows):
                sums[r] = _ZERO
            for index in range(first, min(first + _FLUSH, end)):
                values(noise, k0, k1, n_from, first_row, column, index, step)
                for r in range(rows):
                    sums[r] += lowered[index] * noise[r]
            for r in range(own_rows):
                partial[chunk, (first_row + r) * n_to + column] += np.float64(sums[r])

    @cuda_kernel
    def finish(
        sizes: NDArray[np.int64],  # IN (n_trials, N_SIZES)
        numbers: NDArray[np.float64],  # IN (n_trials, N_NUMBERS)
        state: NDArray[np.float64],  # INOUT (n_trials, N_STATES, n_weights)
        single: NDArray[np.float32],  # INOUT (n_trials, n_weights)
        mask: NDArray[np.float32],  # IN (n_weights,), or (0,)
        results: NDArray[np.float64],  # IN (n_trials, N_RESULTS)
        partial: NDArray[np.float64],  # IN (chunks, n_weights)
        trial: int,
        offset: int,
    ) -> None:
        position = cuda.grid(1)
        if position >= n_weights or not math.isfinite(results[trial, LOSS]):
            return
        summed = 0.0
        for chunk in range(partial.shape[0]):
            summed += partial[chunk, position]
        if masked:
            summed *= mask[position]
        move(sizes, numbers, state, single, trial, sizes[trial, STEP] + offset, position, summed)

    return GeneralKernels(differences, judge, accumulate, finish, rows)


_INT64, _FLOAT32, _FLOAT64 = types.int64, types.float32, types.float64
_SIZES, _NUMBERS, _SINGLE, _MASK = _INT64[:, ::1], _FLOAT64[:, ::1], _FLOAT32[:, ::1], _FLOAT32[::1]
_DATAPOINTS, _EACH, _RESULTS = _FLOAT32[:, :, :, ::1], _FLOAT32[::1], _FLOAT64[:, ::1]
SIGNATURES = {
    "differences": types.void(
        *(_SIZES, _NUMBERS, _SINGLE, _MASK, _DATAPOINTS, _DATAPOINTS, _FLOAT32[:, :, :, ::1]),
        *(_EACH, _EACH, _RESULTS, _INT64, _INT64),
    ),
    "judge": types.void(_SIZES, _EACH, _RESULTS, _INT64, _INT64),
    "accumulate": types.void(_SIZES, _EACH, _RESULTS, _FLOAT64[:, ::1], _INT64, _INT64),
    "finish": types.void(
        *(_SIZES, _NUMBERS, _FLOAT64[:, :, ::1], _SINGLE, _MASK, _RESULTS, _FLOAT64[:, ::1], _INT64, _INT64)
    ),
}
"""Of the kernels, by their names in GeneralKernels."""

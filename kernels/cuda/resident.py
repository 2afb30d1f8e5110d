"""Small networks: a thread owns a weight column, whose noise and sums stay in its registers.

A team of one or two warps runs a datapoint: each thread draws its column's noise once, uses it in both passes through
all timesteps, and adds it, times the loss difference, to its own sums. Weights and activations lie in shared memory. A
block has several teams; what the teams of a block have summed is added in the teams' order, in float64, so that
nothing depends on the order of execution.

Sizes are compiled in because an array lives in registers only if every index is known; loops over rows are unrolled.
"""

from __future__ import annotations

import math
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cuda.block import make_sum_datapoints, teams_of
from freewalk.kernels.cuda.jit import cuda, cuda_kernel, device_function, types
from freewalk.kernels.cuda.layout import BATCH_SIZE, LOSS, STEP, STEPS_DONE, LaunchShape, Spec
from freewalk.kernels.cuda.optimizers import move
from freewalk.kernels.cuda.team import team_size_of

_WEIGHTS_OF_A_ROUND = 32  # that a block reduces at a time, in `train_one`


class ResidentKernels(NamedTuple):
    """Compiled on first use."""

    train_trials: Any
    """One trial a block, the loop over steps inside."""
    train_one: Any
    """One trial over the whole grid, which meets twice a step."""
    sum_step: Any
    """The first half of a step of `train_one`, for devices whose grids cannot meet."""
    move_step: Any
    """The second half."""
    threads: int
    """Of a block."""
    teams: int
    """Of a block."""


@cache
def make_resident(spec: Spec, shape: LaunchShape) -> ResidentKernels:
    """Return the kernels of a network that fits into registers."""
    teams, kernel = teams_of(spec, shape), partial(cuda_kernel, max_registers=shape.registers)
    n_weights, threads = spec.n_from * spec.n_to, teams * team_size_of(spec)
    weights_of_a_round = min(_WEIGHTS_OF_A_ROUND, threads)
    parts = threads // weights_of_a_round
    sum_datapoints = make_sum_datapoints(spec, teams)

    @kernel
    def train_trials(
        order: NDArray[np.int32],  # IN (blocks,), the trial of each block
        sizes: NDArray[np.int64],  # IN (n_trials, N_SIZES)
        numbers: NDArray[np.float64],  # IN (n_trials, N_NUMBERS)
        state: NDArray[np.float64],  # INOUT (n_trials, N_STATES, n_weights)
        single: NDArray[np.float32],  # INOUT (n_trials, n_weights)
        mask: NDArray[np.float32],  # IN (n_weights,), or (0,)
        x: NDArray[np.float32],  # SCRATCH
        y: NDArray[np.float32],  # SCRATCH
        total: NDArray[np.float64],  # SCRATCH (blocks, n_weights)
        results: NDArray[np.float64],  # OUT (n_trials, N_RESULTS)
        n_steps: int,
    ) -> None:
        block, thread = cuda.blockIdx.x, cuda.threadIdx.x
        trial = order[block]
        batch_size = sizes[trial, BATCH_SIZE]
        for k in range(n_steps):
            step = sizes[trial, STEP] + k
            loss = sum_datapoints(sizes, numbers, single, mask, x, y, total, trial, step, 0, batch_size) / batch_size
            if thread == 0:
                results[trial, STEPS_DONE] = k + 1
                results[trial, LOSS] = loss
            if not math.isfinite(loss):
                break  # the same in every thread: all have added the same numbers
            for position in range(thread, n_weights, threads):
                move(sizes, numbers, state, single, trial, step, position, total[block, position])
            cuda.syncthreads()

    @device_function
    def reduce_and_move(
        sizes: NDArray[np.int64],
        numbers: NDArray[np.float64],
        state: NDArray[np.float64],
        single: NDArray[np.float32],
        total: NDArray[np.float64],
        step: int,
    ) -> None:
        """Add what the blocks have summed, in an order that is always the same, and move the weights."""
        shared = cuda.shared.array(threads, np.float64)
        thread, blocks = cuda.threadIdx.x, cuda.gridDim.x
        part, own = thread // weights_of_a_round, thread % weights_of_a_round
        for first in range(cuda.blockIdx.x * weights_of_a_round, n_weights, blocks * weights_of_a_round):
            position = first + own
            summed = 0.0
            if position < n_weights:
                for block in range(part, blocks, parts):
                    summed += total[block, position]
            shared[thread] = summed
            cuda.syncthreads()
            if part == 0 and position < n_weights:
                for k in range(1, parts):
                    summed += shared[k * weights_of_a_round + own]
                move(sizes, numbers, state, single, 0, step, position, summed)
            cuda.syncthreads()

    @device_function
    def is_finite(block_losses: NDArray[np.float64]) -> Any:
        """Return whether every block's loss is finite, and so their sum: the same answer in every block."""
        finite = np.int32(1)
        for other in range(cuda.threadIdx.x, cuda.gridDim.x, threads):
            if not math.isfinite(block_losses[other]):
                finite = np.int32(0)
        return cuda.syncthreads_and(finite) != 0

    @device_function
    def mean_loss(block_losses: NDArray[np.float64], batch_size: int) -> float:
        loss = 0.0
        for other in range(cuda.gridDim.x):
            loss += block_losses[other]
        return loss / batch_size

    @kernel
    def train_one(
        sizes: NDArray[np.int64],  # IN (1, N_SIZES)
        numbers: NDArray[np.float64],  # IN (1, N_NUMBERS)
        state: NDArray[np.float64],  # INOUT (1, N_STATES, n_weights)
        single: NDArray[np.float32],  # INOUT (1, n_weights)
        mask: NDArray[np.float32],  # IN (n_weights,), or (0,)
        x: NDArray[np.float32],  # SCRATCH
        y: NDArray[np.float32],  # SCRATCH
        total: NDArray[np.float64],  # SCRATCH (blocks, n_weights)
        block_losses: NDArray[np.float64],  # SCRATCH (blocks,)
        results: NDArray[np.float64],  # OUT (1, N_RESULTS)
        n_steps: int,
    ) -> None:
        grid = cuda.cg.this_grid()
        block, blocks, thread = cuda.blockIdx.x, cuda.gridDim.x, cuda.threadIdx.x
        batch_size = sizes[0, BATCH_SIZE]
        begin, end = batch_size * block // blocks, batch_size * (block + 1) // blocks
        for k in range(n_steps):
            step = sizes[0, STEP] + k
            loss = sum_datapoints(sizes, numbers, single, mask, x, y, total, 0, step, begin, end)
            if thread == 0:
                block_losses[block] = loss
            grid.sync()
            goes_on = is_finite(block_losses)
            if goes_on:
                reduce_and_move(sizes, numbers, state, single, total, step)
            if block == 0 and thread == 0 and (k + 1 == n_steps or not goes_on):
                results[0, STEPS_DONE] = k + 1
                results[0, LOSS] = mean_loss(block_losses, batch_size)
            grid.sync()
            if not goes_on:
                break

    @kernel
    def sum_step(
        sizes: NDArray[np.int64],  # IN (1, N_SIZES)
        numbers: NDArray[np.float64],  # IN (1, N_NUMBERS)
        single: NDArray[np.float32],  # IN (1, n_weights)
        mask: NDArray[np.float32],  # IN (n_weights,), or (0,)
        x: NDArray[np.float32],  # SCRATCH
        y: NDArray[np.float32],  # SCRATCH
        total: NDArray[np.float64],  # OUT (blocks, n_weights)
        block_losses: NDArray[np.float64],  # OUT (blocks,)
        results: NDArray[np.float64],  # IN (1, N_RESULTS)
        offset: int,
    ) -> None:
        block, blocks, batch_size = cuda.blockIdx.x, cuda.gridDim.x, sizes[0, BATCH_SIZE]
        if math.isfinite(results[0, LOSS]):
            begin, end = batch_size * block // blocks, batch_size * (block + 1) // blocks
            step = sizes[0, STEP] + offset
            loss = sum_datapoints(sizes, numbers, single, mask, x, y, total, 0, step, begin, end)
            if cuda.threadIdx.x == 0:
                block_losses[block] = loss

    @kernel
    def move_step(
        sizes: NDArray[np.int64],  # IN (1, N_SIZES)
        numbers: NDArray[np.float64],  # IN (1, N_NUMBERS)
        state: NDArray[np.float64],  # INOUT (1, N_STATES, n_weights)
        single: NDArray[np.float32],  # OUT (1, n_weights)
        total: NDArray[np.float64],  # IN (blocks, n_weights)
        block_losses: NDArray[np.float64],  # IN (blocks,)
        results: NDArray[np.float64],  # INOUT (1, N_RESULTS)
        offset: int,
    ) -> None:
        if is_finite(block_losses):
            reduce_and_move(sizes, numbers, state, single, total, sizes[0, STEP] + offset)
        if cuda.blockIdx.x == 0 and cuda.threadIdx.x == 0 and math.isfinite(results[0, LOSS]):
            results[0, STEPS_DONE] = offset + 1
            results[0, LOSS] = mean_loss(block_losses, sizes[0, BATCH_SIZE])

    return ResidentKernels(train_trials, train_one, sum_step, move_step, threads, teams)


_INT32, _INT64, _FLOAT32, _FLOAT64 = types.int32, types.int64, types.float32, types.float64
_TRIALS = (_INT64[:, ::1], _FLOAT64[:, ::1], _FLOAT64[:, :, ::1], _FLOAT32[:, ::1], _FLOAT32[::1])
_SCRATCH = (_FLOAT32[:, :, :, ::1], _FLOAT32[:, :, :, ::1], _FLOAT64[:, ::1])
SIGNATURES = {
    "train_trials": types.void(_INT32[::1], *_TRIALS, *_SCRATCH, _FLOAT64[:, ::1], _INT64),
    "train_one": types.void(*_TRIALS, *_SCRATCH, _FLOAT64[::1], _FLOAT64[:, ::1], _INT64),
    "sum_step": types.void(*_TRIALS[:2], *_TRIALS[3:], *_SCRATCH, _FLOAT64[::1], _FLOAT64[:, ::1], _INT64),
    "move_step": types.void(*_TRIALS[:4], _SCRATCH[2], _FLOAT64[::1], _FLOAT64[:, ::1], _INT64),
}
"""Of the kernels, by their names in ResidentKernels."""

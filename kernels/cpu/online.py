"""Descent along gradients that are carried forward in time, in one compiled loop: RTRL, RFLO and UORO.

Weights do not move during a sequence, so a tile of groups runs forward first, as for backpropagation, which leaves u_t
of every timestep and the derivatives of the loss by the outputs' weighted sums. Then each group goes through time once
more, in the same direction, with what its rule carries, and adds up the gradient.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu import backprop
from freewalk.kernels.cpu.carried import Carried, Estimator, add_gradient, advance, row_of_carried
from freewalk.kernels.cpu.lane_group import load_group
from freewalk.kernels.cpu.layout import Shape, Source, Sums, Tiling
from freewalk.kernels.cpu.memory import Blocked, Memory, Rows, row_of_memory, write_blocked
from freewalk.kernels.cpu.optimizers import Rule, Weights, descend
from freewalk.kernels.cpu.through_time import enter, read_group, run_forward, targets_of
from freewalk.kernels.cpu.walk import add_chunks
from freewalk.kernels.machine.jit import helper_function, kernel, parallel_kernel
from freewalk.kernels.machine.lanes import LANES, store

_ZERO = np.float32(0.0)
tiling_of = backprop.tiling_of


@helper_function
def _run_group(
    shape: Shape,
    rows: Rows,
    estimator: Estimator,
    blocked: Blocked,
    memory: Memory,
    carried: Carried,
    step: int,
    datapoint: int,
    group: int,
    groups: int,
    partial: NDArray[np.float64],  # INOUT (n_padded,)
) -> None:
    """Add the gradients of one group, which has run forward and has been read; cut short, leave what nobody may use."""
    deltas, last = targets_of(rows, memory, group), shape.timesteps - 1
    for t in range(shape.timesteps):
        if memory.stop[0]:
            return
        if t == last or shape.output_rows > 1:
            here = (t * groups + group) * rows.entering * LANES
            there = min(t, shape.output_rows - 1) * shape.n_output * LANES
            add_gradient(
                shape, estimator, blocked, carried, t == 0, memory.entering, here, deltas, there, partial
            )  # fmt: skip
        if t < last:
            advance(shape, rows, estimator, blocked, memory, carried, step, datapoint, t, group, groups)


@helper_function
def _run_tile(
    shape: Shape,
    rows: Rows,
    estimator: Estimator,
    source: Source,
    seed: np.uint64,
    blocked: Blocked,
    memory: Memory,
    carried: Carried,
    step: int,
    first: int,  # datapoint
    n_datapoints: int,
    partial: NDArray[np.float64],  # INOUT (n_padded,)
) -> float:
    """Add the gradients of a tile's datapoints; return their summed loss."""
    groups = (n_datapoints + LANES - 1) // LANES
    for group in range(groups):
        load_group(shape, source, seed, step, first + group * LANES, memory.x, targets_of(rows, memory, group))
        enter(shape, rows, memory, group, groups)
    run_forward(shape, rows, blocked, memory, groups)
    loss = 0.0
    for group in range(groups):
        store(memory.losses, 0, read_group(shape, rows, memory, group, groups))
        used = min(LANES, n_datapoints - group * LANES)
        for lane in range(used):
            loss += memory.losses[lane]
        deltas = targets_of(rows, memory, group)
        for row in range(rows.outputs):
            for lane in range(used, LANES):
                deltas[row * LANES + lane] = _ZERO
        datapoint = first + group * LANES
        _run_group(shape, rows, estimator, blocked, memory, carried, step, datapoint, group, groups, partial)
    return loss


@helper_function
def run_chunk(
    shape: Shape,
    rows: Rows,
    estimator: Estimator,
    source: Source,
    seed: np.uint64,
    tiling: Tiling,
    blocked: Blocked,
    memory: Memory,
    carried: Carried,
    worker: int,
    sums: Sums,
    step: int,
    chunk: int,
) -> None:
    """Run the tiles of one chunk in order and leave their partial sums; cut short, leave what nobody may use."""
    own, own_carried = row_of_memory(memory, worker), row_of_carried(carried, worker)
    partial = sums.partial[chunk]
    partial[:] = 0.0
    loss = 0.0
    datapoints = tiling.groups * LANES
    for tile in range(tiling.n_tiles * chunk // tiling.n_chunks, tiling.n_tiles * (chunk + 1) // tiling.n_chunks):
        if memory.stop[0]:
            return
        first = tile * datapoints
        n = min(datapoints, tiling.batch_size - first)
        loss += _run_tile(
            shape, rows, estimator, source, seed, blocked, own, own_carried, step, first, n, partial
        )  # fmt: skip
    sums.loss[chunk] = loss


@helper_function
def _finish_step(
    shape: Shape, rule: Rule, tiling: Tiling, weights: Weights, blocked: Blocked, sums: Sums, step: int
) -> float:
    """Move the weights by the chunks' sums, unless the loss is not finite; return the mean loss."""
    loss = add_chunks(sums, tiling.n_chunks) / tiling.batch_size
    if math.isfinite(loss):
        descend(rule, weights, sums.total, 1.0 / tiling.batch_size, step)
        write_blocked(shape, weights.single, blocked)
    return loss


def take_steps(
    shape: Shape,
    rows: Rows,
    rule: Rule,
    estimator: Estimator,
    source: Source,
    seed: np.uint64,
    tiling: Tiling,
    weights: Weights,
    blocked: Blocked,  # SCRATCH
    memory: Memory,
    carried: Carried,
    sums: Sums,  # OUT total: the gradient, summed over the batch of the last step
    first_step: int,
    n_steps: int,
) -> tuple[int, float]:
    """Take `n_steps` steps, on a thread for each row of the memory, as `freewalk.kernels.cpu.walk.take_steps` does."""
    workers = len(memory.entering)
    loss = math.nan
    write_blocked(shape, weights.single, blocked)
    for step in range(first_step, first_step + n_steps):
        for worker in numba.prange(workers):
            for chunk in range(worker, tiling.n_chunks, workers):
                run_chunk(
                    shape, rows, estimator, source, seed, tiling, blocked, memory, carried, worker, sums, step, chunk
                )  # fmt: skip
        if memory.stop[0]:
            return step - first_step, loss
        loss = _finish_step(shape, rule, tiling, weights, blocked, sums, step)
        if not math.isfinite(loss):
            return step + 1 - first_step, loss
    return n_steps, loss


train, train_parallel = kernel(take_steps), parallel_kernel(take_steps)
"""On the calling thread, for one row; or on all threads, to the same bits."""

"""Gradient descent by backpropagation through time: forward, backward, outer products and move, in one compiled loop.

A tile of groups runs forward and backward, which leaves u_t and delta_t of every timestep; then the gradient is the
sum over datapoints and timesteps of the outer products u_t' delta_t, four rows by four columns at a time in registers,
one sum over the lanes for each weight and tile.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.lane_group import load_group
from freewalk.kernels.cpu.layout import Shape, Source, Sums, Tiling
from freewalk.kernels.cpu.memory import SIDE, Blocked, Memory, Rows, row_of_memory, rows_of, write_blocked
from freewalk.kernels.cpu.optimizers import Rule, Weights, descend
from freewalk.kernels.cpu.through_time import enter, read_group, run_backward, run_forward, targets_of
from freewalk.kernels.cpu.tiles import WIDE, add_outer_product, add_sums_of_lanes, empty_tile
from freewalk.kernels.cpu.walk import add_chunks
from freewalk.kernels.machine.jit import helper_function, inline_function, kernel, parallel_kernel
from freewalk.kernels.machine.lanes import LANES, store

_BYTES_OF_A_TILE = 1 << 20  # what may stay in a level-2 cache between the passes and the outer products
MAX_GROUPS = 8
_MAX_CHUNKS = 64
_PARTIAL_SUM_BYTES = 1 << 25
_SIDE = SIDE
_PART = SIDE if WIDE else SIDE // 2  # of a register tile that is computed at a time
_TILE = _PART * _PART
_ZERO = np.float32(0.0)


def tiling_of(shape: Shape, batch_size: int) -> Tiling:
    """Return how a batch is cut; it depends on the batch size and the network alone."""
    bytes_of_a_group = shape.timesteps * sum(rows_of(shape)[:2]) * LANES * 4
    groups = max(1, min(MAX_GROUPS, _BYTES_OF_A_TILE // bytes_of_a_group))
    n_tiles = -(-batch_size // (groups * LANES))
    most_chunks = max(1, min(_MAX_CHUNKS, _PARTIAL_SUM_BYTES // (n_sums(shape) * 8)))
    return Tiling(batch_size, groups, n_tiles, min(n_tiles, most_chunks))


def n_sums(shape: Shape) -> int:
    """Return how many sums the register tiles of all weights hold."""
    return shape.n_rows * -(-shape.n_to // SIDE) * SIDE


def make_sums(shape: Shape, tiling: Tiling) -> Sums:
    """Allocate the partial sums of a batch: in register tiles, their total by position."""
    return Sums(
        partial=np.zeros((tiling.n_chunks, n_sums(shape))),
        loss=np.zeros(tiling.n_chunks),
        total=np.zeros(n_sums(shape)),
    )


@inline_function
def _no_lanes_after(rows: Rows, deltas: NDArray[np.float32], timesteps: int, groups: int, used: int) -> None:
    """Set to 0 the deltas of the last group's lanes from `used` on, which are past the end of the batch."""
    for t in range(timesteps):
        here = ((t + 1) * groups - 1) * rows.deltas * LANES
        for row in range(rows.deltas):
            for lane in range(used, LANES):
                deltas[here + row * LANES + lane] = _ZERO


@inline_function
def accumulate(
    shape: Shape,
    rows: Rows,
    entering: NDArray[np.float32],  # IN (T, groups, rows.entering, LANES)
    deltas: NDArray[np.float32],  # IN (T, groups, rows.deltas, LANES)
    groups: int,
    partial: NDArray[np.float64],  # INOUT (n_sums,), column tiles of row tiles of SIDE columns of SIDE rows
) -> None:
    """Add the outer products of a tile, summed over its datapoints and timesteps.

    Nothing comes from activations of the first timestep, which are 0, nor from hidden neurons of the last.
    """
    stride, size = rows.entering * LANES, rows.deltas * LANES
    row_tiles, column_tiles = shape.n_rows // _SIDE, (shape.n_to + _SIDE - 1) // _SIDE
    for column_tile in range(column_tiles):
        column = column_tile * _SIDE
        end = shape.timesteps if column < shape.n_output else shape.timesteps - 1
        for row_tile in range(row_tiles):
            row = row_tile * _SIDE
            start = 0 if row <= shape.n_input else 1
            to = (column_tile * row_tiles + row_tile) * _SIDE * _SIDE
            for j in range(0, _SIDE, _PART):
                for i in range(0, _SIDE, _PART):
                    tile = empty_tile(_TILE)
                    for k in range(start * groups, end * groups):
                        a, b = k * stride + (row + i) * LANES, k * size + (column + j) * LANES
                        tile = add_outer_product(tile, entering, a, deltas, b)
                    add_sums_of_lanes(partial, to + j * _SIDE + i, tile)


@helper_function
def _run_tile(
    shape: Shape,
    rows: Rows,
    source: Source,
    seed: np.uint64,
    blocked: Blocked,
    memory: Memory,
    step: int,
    first: int,  # datapoint
    n_datapoints: int,
    partial: NDArray[np.float64],  # INOUT (n_sums,)
) -> float:
    """Add the gradients of a tile's datapoints; return their summed loss."""
    groups = (n_datapoints + LANES - 1) // LANES
    for group in range(groups):
        y = targets_of(rows, memory, group)
        load_group(shape, source, seed, step, first + group * LANES, memory.x, y)
        enter(shape, rows, memory, group, groups)
    run_forward(shape, rows, blocked, memory, groups)
    loss = 0.0
    for group in range(groups):
        store(memory.losses, 0, read_group(shape, rows, memory, group, groups))
        for lane in range(min(LANES, n_datapoints - group * LANES)):
            loss += memory.losses[lane]
    run_backward(shape, rows, blocked, memory, groups)
    if groups * LANES > n_datapoints:
        _no_lanes_after(rows, memory.deltas, shape.timesteps, groups, n_datapoints - (groups - 1) * LANES)
    accumulate(shape, rows, memory.entering, memory.deltas, groups, partial)
    return loss


@helper_function
def run_chunk(
    shape: Shape,
    rows: Rows,
    source: Source,
    seed: np.uint64,
    tiling: Tiling,
    blocked: Blocked,
    memory: Memory,
    worker: int,
    sums: Sums,
    step: int,
    chunk: int,
) -> None:
    """Run the tiles of one chunk in order and leave their partial sums; cut short, leave what nobody may use."""
    own = row_of_memory(memory, worker)
    partial = sums.partial[chunk]
    partial[:] = 0.0
    loss = 0.0
    datapoints = tiling.groups * LANES
    for tile in range(tiling.n_tiles * chunk // tiling.n_chunks, tiling.n_tiles * (chunk + 1) // tiling.n_chunks):
        if memory.stop[0]:
            return
        first = tile * datapoints
        n = min(datapoints, tiling.batch_size - first)
        loss += _run_tile(shape, rows, source, seed, blocked, own, step, first, n, partial)
    sums.loss[chunk] = loss


@helper_function
def _by_position(shape: Shape, sums: NDArray[np.float64], mask: NDArray[np.bool_], out: NDArray[np.float64]) -> None:
    """Reorder sums of register tiles by position, 0 where a mask allows no weight."""
    for column in range(shape.n_to):
        first, here = column * shape.n_rows, (column // _SIDE * shape.n_rows + column % _SIDE) * _SIDE
        for row in range(0, shape.n_rows, _SIDE):
            for i in range(_SIDE):
                out[first + row + i] = sums[here + row * _SIDE + i]
    for position in range(len(mask)):
        if not mask[position]:
            out[position] = 0.0


@helper_function
def finish_step(
    shape: Shape,
    rule: Rule,
    tiling: Tiling,
    weights: Weights,
    mask: NDArray[np.bool_],
    blocked: Blocked,
    sums: Sums,
    gradient: NDArray[np.float64],
    step: int,
) -> float:
    """Move the weights by the chunks' sums, unless the loss is not finite; return the mean loss."""
    loss = add_chunks(sums, tiling.n_chunks) / tiling.batch_size
    if math.isfinite(loss):
        _by_position(shape, sums.total, mask, gradient)
        descend(rule, weights, gradient, 1.0 / tiling.batch_size, step)
        write_blocked(shape, weights.single, blocked)
    return loss


def take_steps(
    shape: Shape,
    rows: Rows,
    rule: Rule,
    source: Source,
    seed: np.uint64,
    tiling: Tiling,
    weights: Weights,
    mask: NDArray[np.bool_],  # IN (n_padded,) by position, or (0,) without a mask
    blocked: Blocked,  # SCRATCH
    memory: Memory,
    sums: Sums,
    gradient: NDArray[np.float64],  # OUT (n_padded,), summed over the batch of the last step
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
                run_chunk(shape, rows, source, seed, tiling, blocked, memory, worker, sums, step, chunk)
        if memory.stop[0]:
            return step - first_step, loss
        loss = finish_step(shape, rule, tiling, weights, mask, blocked, sums, gradient, step)
        if not math.isfinite(loss):
            return step + 1 - first_step, loss
    return n_steps, loss


train, train_parallel = kernel(take_steps), parallel_kernel(take_steps)
"""On the calling thread, for one row; or on all threads, to the same bits."""

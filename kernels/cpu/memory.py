"""Memory of backpropagation: what enters the layer at each timestep, its deltas, and weights as products read them.

Arrays over datapoints have LANES as their innermost axis. u and delta lie timestep after timestep, in each the groups
of the tile, so that what a weight's gradient sums over is one run of memory.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.layout import Shape, aligned
from freewalk.kernels.cpu.products import BLOCK
from freewalk.kernels.machine.jit import helper_function, inline_function
from freewalk.kernels.machine.lanes import LANES

SIDE = 4
"""Rows and columns of a register tile of the gradient."""
_BLOCK = BLOCK


class Rows(NamedTuple):
    """Rows that sixteen datapoints take in memory at one timestep."""

    entering: int  # of u_t: n_rows, or more where a whole block of activations needs them
    deltas: int  # n_to, padded to whole blocks
    outputs: int  # of all timesteps that are read


class Memory(NamedTuple):
    """Scratch memory of backpropagation, one row a worker; or the rows of one worker."""

    entering: NDArray[np.float32]  # (workers, T * groups * rows.entering * LANES), u
    deltas: NDArray[np.float32]  # (workers, T * groups * rows.deltas * LANES)
    slopes: NDArray[np.float32]  # (workers, T * groups * rows.deltas * LANES) with a leak, which hides f(z); or none
    kept: NDArray[
        np.float32
    ]  # (workers, groups * rows.deltas * LANES) with a leak, dL/da of the next timestep; or none
    last: NDArray[np.float32]  # (workers, groups * BLOCKs of n_output * LANES), activations after the last timestep
    x: NDArray[np.float32]  # (workers, input_rows * n_input * LANES)
    y: NDArray[np.float32]  # (workers, groups * rows.outputs * LANES)
    read: NDArray[np.float32]  # (workers, rows.outputs * LANES), activations of the output neurons
    outputs: NDArray[np.float32]  # (workers, rows.outputs * LANES), the same or their softmax
    losses: NDArray[np.float32]  # (workers, LANES)
    stop: NDArray[np.uint8]  # (1,), set from another thread to leave a step unfinished


class Blocked(NamedTuple):
    """Weights in the order in which products read them: blocks of eight columns, row after row."""

    forward: NDArray[np.float32]  # (blocks of n_to, n_from, BLOCK), W
    backward: NDArray[np.float32]  # (blocks of n_to, n_to, BLOCK), W_a transposed


def rows_of(shape: Shape) -> Rows:
    """Return the rows that one timestep takes."""
    deltas = -(-shape.n_to // BLOCK) * BLOCK
    return Rows(max(shape.n_rows, shape.n_input + 1 + deltas), deltas, shape.output_rows * shape.n_output)


def make_memory(shape: Shape, groups: int, workers: int) -> Memory:
    """Allocate scratch memory for `workers` threads, independent of the batch size."""
    rows = rows_of(shape)
    last = -(-shape.n_output // BLOCK) * BLOCK
    leaky = groups * int(shape.leak != 1)
    return Memory(
        entering=aligned(workers, shape.timesteps * groups * rows.entering * LANES),
        deltas=aligned(workers, shape.timesteps * groups * rows.deltas * LANES),
        slopes=aligned(workers, shape.timesteps * leaky * rows.deltas * LANES),
        kept=aligned(workers, leaky * rows.deltas * LANES),
        last=aligned(workers, groups * last * LANES),
        x=aligned(workers, shape.input_rows * shape.n_input * LANES),
        y=aligned(workers, groups * rows.outputs * LANES),
        read=aligned(workers, rows.outputs * LANES),
        outputs=aligned(workers, rows.outputs * LANES),
        losses=aligned(workers, LANES),
        stop=np.zeros(1, dtype=np.uint8),
    )


def make_blocked(shape: Shape) -> Blocked:
    """Allocate blocked weights; columns beyond n_to stay 0."""
    n = rows_of(shape).deltas
    return Blocked(aligned(1, n * shape.n_from)[0], aligned(1, n * shape.n_to)[0])


@inline_function
def whole_blocks(n: int) -> int:
    """Return n, made up to whole blocks."""
    return (n + _BLOCK - 1) // _BLOCK * _BLOCK


@inline_function
def row_of_memory(memory: Memory, worker: int) -> Memory:
    """Return one worker's arrays."""
    return Memory(
        memory.entering[worker],
        memory.deltas[worker],
        memory.slopes[worker],
        memory.kept[worker],
        memory.last[worker],
        memory.x[worker],
        memory.y[worker],
        memory.read[worker],
        memory.outputs[worker],
        memory.losses[worker],
        memory.stop,
    )


@helper_function
def write_blocked(shape: Shape, weights: NDArray[np.float32], blocked: Blocked) -> None:
    """Copy weights by position, (n_padded,), into blocked order."""
    for column in range(shape.n_to):
        here = column * shape.n_rows
        there = column // _BLOCK * shape.n_from * _BLOCK + column % _BLOCK
        for row in range(shape.n_from):
            blocked.forward[there + row * _BLOCK] = weights[here + row]
        here += shape.n_input + 1
        for first in range(0, shape.n_to, _BLOCK):
            there = (first // _BLOCK * shape.n_to + column) * _BLOCK
            for k in range(min(_BLOCK, shape.n_to - first)):
                blocked.backward[there + k] = weights[here + first + k]

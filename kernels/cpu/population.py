"""Weight sets on the same datapoints: sixteen datapoints in lanes, members shared out to threads.

Lane groups are drawn once for many members and kept as long as they fit a level-2 cache; one that no member comes to is
never drawn.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.forward import forward
from freewalk.kernels.cpu.lane_group import load_group
from freewalk.kernels.cpu.layout import Shape, Source, Workspace, aligned, make_workspace
from freewalk.kernels.machine.jit import helper_function, kernel, parallel_kernel
from freewalk.kernels.machine.lanes import LANES, store

_DATA_BYTES = 1 << 19  # of lane groups kept beside the weights of a member
_ZERO = np.float32(0.0)


def make_memory(shape: Shape, n_datapoints: int, workers: int) -> Workspace:
    """Allocate scratch memory for `workers` threads: as many lane groups as a step has or a cache holds."""
    x_size, y_size = shape.input_rows * shape.n_input * LANES, shape.output_rows * shape.n_output * LANES
    groups = min(-(-n_datapoints // LANES), max(1, _DATA_BYTES // (4 * (x_size + y_size))))
    memory = make_workspace(shape, 0, workers)
    return memory._replace(x=aligned(workers, groups * x_size), y=aligned(workers, groups * y_size))


@helper_function
def _all_within(
    tolerance: float,
    used: int,
    n: int,
    outputs: NDArray[np.float32],  # IN (n, LANES)
    y: NDArray[np.float32],  # IN (n, LANES)
) -> bool:
    """Tell whether every output of the first lanes is within the tolerance of its target, where there is one.

    An output that is NaN never is; a target that is does not count.
    """
    for k in range(n):
        for lane in range(used):
            target = y[k * LANES + lane]
            if target == target and not abs(outputs[k * LANES + lane] - target) < tolerance:
                return False
    return True


@helper_function
def _try_some(
    shape: Shape,
    source: Source,
    seed: np.uint64,
    step: int,
    n_datapoints: int,
    tolerance: float,
    members: NDArray[np.float32],  # IN (K, n_padded)
    first: int,
    end: int,
    memory: Workspace,
    worker: int,
    losses: NDArray[np.float64],  # OUT first .. end - 1
    seen: NDArray[np.int64],  # OUT first .. end - 1
    right: NDArray[np.bool_],  # OUT first .. end - 1
) -> None:
    """Run the members first .. end - 1. Cut short, leave what nobody may use."""
    n_outputs = shape.output_rows * shape.n_output
    x_size, y_size = shape.input_rows * shape.n_input * LANES, n_outputs * LANES
    xs, ys, lanes = memory.x[worker], memory.y[worker], memory.coefficients[worker]
    state, outputs = memory.state[worker], memory.outputs[worker]
    at_once = len(xs) // x_size * LANES
    for k in range(first, end):
        losses[k], seen[k], right[k] = 0.0, 0, True
    for tile in range(0, n_datapoints, at_once):
        here = min(at_once, n_datapoints - tile)
        loaded = 0
        for k in range(first, end):
            if not right[k]:
                continue
            if memory.stop[0]:
                return
            total = losses[k]
            for datapoint in range(0, here, LANES):
                group = datapoint // LANES
                x, y = xs[group * x_size : (group + 1) * x_size], ys[group * y_size : (group + 1) * y_size]
                if datapoint == loaded:
                    load_group(shape, source, seed, step, tile + datapoint, x, y)
                    loaded += LANES
                used = min(LANES, here - datapoint)
                store(lanes, 0, forward(shape, members[k], None, 0, _ZERO, x, y, state, outputs))
                for lane in range(used):
                    total += lanes[lane]
                seen[k] += used
                if tolerance < math.inf and not _all_within(tolerance, used, n_outputs, outputs, y):
                    right[k] = False
                    break
            losses[k] = total
    for k in range(first, end):
        mean = losses[k] / seen[k]
        losses[k] = mean if mean == mean else math.inf


def _try_members(
    shape: Shape,
    source: Source,
    seed: np.uint64,
    step: int,
    n_datapoints: int,
    tolerance: float,
    members: NDArray[np.float32],  # IN (K, n_padded)
    memory: Workspace,
    losses: NDArray[np.float64],  # OUT (K,)
    seen: NDArray[np.int64],  # OUT (K,)
    right: NDArray[np.bool_],  # OUT (K,)
) -> None:
    """Write what K members come to on the datapoints of a step, on a thread for each row of the memory.

    `freewalk.kernels.reference.population.try_members` says what; each member's bits depend on nothing else.
    """
    n, workers = len(members), len(memory.x)
    for worker in numba.prange(workers):
        first, end = n * worker // workers, n * (worker + 1) // workers
        _try_some(
            shape, source, seed, step, n_datapoints, tolerance, members, first, end, memory, worker, losses, seen, right
        )


try_members, try_members_parallel = kernel(_try_members), parallel_kernel(_try_members)
"""On the calling thread, for one row; or on all threads, to the same bits."""


def to_positions(
    members: NDArray[Any], positions: NDArray[np.int64], others: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return (K, n_padded) float32 weights by position of (K, P) members, those of `others` elsewhere."""
    padded = np.repeat(others[None], len(members), axis=0)
    padded[:, positions] = members
    return padded

"""Gradient descent by central differences: every weight up and down, on every datapoint of the batch.

A loss is known to some eps e of float32 and has higher derivatives of the order of itself, so a difference over 2 h is
wrong by about e / h from rounding and h**2 / 6 from curvature; the sum is least near h = e**(1/3), 2**-8. Differences
are taken for each datapoint, where both losses carry nearly the same rounding, and only then added, in float64.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.forward import forward
from freewalk.kernels.cpu.lane_group import load_group
from freewalk.kernels.cpu.layout import Shape, Source, Workspace, aligned, make_workspace
from freewalk.kernels.cpu.optimizers import Rule, Weights, descend
from freewalk.kernels.machine.jit import helper_function, inline_function, kernel, parallel_kernel
from freewalk.kernels.machine.lanes import LANES, F32x16, store

STEP = 2.0**-8
"""How far a weight is moved up and down."""
_STEP = np.float32(STEP)
_ZERO = np.float32(0.0)


def make_memory(shape: Shape, workers: int) -> Workspace:
    """Allocate scratch memory for `workers` threads: a copy of the weights, one moved at a time, in place of noise."""
    return make_workspace(shape, 0, workers)._replace(noise=aligned(workers, shape.n_to * shape.n_rows))


@inline_function
def _losses(shape: Shape, workspace: Workspace, worker: int) -> F32x16:
    """Return the losses of the sixteen datapoints at hand with a worker's weights."""
    weights, x, y = workspace.noise[worker], workspace.x[worker], workspace.y[worker]
    return forward(shape, weights, None, 0, _ZERO, x, y, workspace.state[worker], workspace.outputs[worker])


@inline_function
def _sum(losses: NDArray[np.float32], used: int) -> float:
    total = 0.0
    for lane in range(used):
        total += losses[lane]
    return total


@helper_function
def try_weights(
    shape: Shape,
    source: Source,
    seed: np.uint64,
    batch_size: int,
    single: NDArray[np.float32],  # IN (n_padded,)
    positions: NDArray[np.int64],  # IN (n,) of the weights that there are
    first: int,
    end: int,
    workspace: Workspace,
    worker: int,
    step: int,
    gradient: NDArray[np.float64],  # OUT at the positions first .. end - 1, summed over the batch
) -> float:
    """Write the central differences of some weights; return the summed loss. Cut short, leave what nobody may use."""
    weights, losses = workspace.noise[worker], workspace.coefficients[worker]
    weights[: len(single)] = single
    for k in range(first, end):
        gradient[positions[k]] = 0.0
    loss = 0.0
    for datapoint in range(0, batch_size, LANES):
        used = min(LANES, batch_size - datapoint)
        load_group(shape, source, seed, step, datapoint, workspace.x[worker], workspace.y[worker])
        store(losses, 0, _losses(shape, workspace, worker))
        loss += _sum(losses, used)
        for k in range(first, end):
            if workspace.stop[0]:
                return loss
            q = positions[k]
            weights[q] = single[q] + _STEP
            above = _losses(shape, workspace, worker)
            weights[q] = single[q] - _STEP
            store(losses, 0, above - _losses(shape, workspace, worker))
            weights[q] = single[q]
            gradient[q] += _sum(losses, used)
    for k in range(first, end):
        w = single[positions[k]]
        gradient[positions[k]] /= np.float64(w + _STEP) - np.float64(w - _STEP)  # as they were rounded
    return loss


@helper_function
def _finish_step(
    rule: Rule, batch_size: int, weights: Weights, gradient: NDArray[np.float64], summed_loss: float, step: int
) -> float:
    """Move the weights, unless the loss is not finite; return the mean loss."""
    loss = summed_loss / batch_size
    if math.isfinite(loss):
        descend(rule, weights, gradient, 1.0 / batch_size, step)
    return loss


def take_steps(
    shape: Shape,
    rule: Rule,
    source: Source,
    seed: np.uint64,
    batch_size: int,
    weights: Weights,
    positions: NDArray[np.int64],  # IN (n,) of the weights that there are
    workspace: Workspace,
    losses: NDArray[np.float64],  # SCRATCH (workers,)
    gradient: NDArray[np.float64],  # OUT (n_padded,), summed over the batch of the last step
    first_step: int,
    n_steps: int,
) -> tuple[int, float]:
    """Take `n_steps` steps, on a thread for each row of the memory, as `freewalk.kernels.cpu.walk.take_steps` does."""
    single, n, workers = weights.single, len(positions), len(workspace.noise)
    loss = math.nan
    for step in range(first_step, first_step + n_steps):
        for worker in numba.prange(workers):
            first, end = n * worker // workers, n * (worker + 1) // workers
            losses[worker] = try_weights(
                shape, source, seed, batch_size, single, positions, first, end, workspace, worker, step, gradient
            )
        if workspace.stop[0]:
            return step - first_step, loss
        loss = _finish_step(rule, batch_size, weights, gradient, losses[0], step)
        if not math.isfinite(loss):
            return step + 1 - first_step, loss
    return n_steps, loss


train, train_parallel = kernel(take_steps), parallel_kernel(take_steps)
"""On the calling thread, for one row; or on all threads, to the same bits."""

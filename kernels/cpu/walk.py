"""The smart random walk: perturb, run, compare, accumulate and move, fused; training steps in one compiled loop."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.forward import forward
from freewalk.kernels.cpu.lane_group import load_group
from freewalk.kernels.cpu.layout import NoiseSource, Shape, Source, Sums, Tiling, Workspace
from freewalk.kernels.cpu.noise import draw
from freewalk.kernels.cpu.optimizers import Rule, Weights, move
from freewalk.kernels.cpu.tangent import forward_with_tangent
from freewalk.kernels.cpu.tiles import add_multiples, add_sums_in_a_row, empty_tile
from freewalk.kernels.machine.jit import helper_function, inline_function, kernel, parallel_kernel
from freewalk.kernels.machine.lanes import LANES, F32x16, load_f32, splat_f32, store

_ZERO = np.float32(0.0)
_HALF = np.float32(0.5)


@inline_function
def rows_of(workspace: Workspace, worker: int) -> Workspace:
    """Return one worker's arrays."""
    return Workspace(
        workspace.noise[worker],
        workspace.state[worker],
        workspace.x[worker],
        workspace.y[worker],
        workspace.outputs[worker],
        workspace.coefficients[worker],
        workspace.stop,
    )


@inline_function
def _differences(
    shape: Shape, rule: Rule, weights: NDArray[np.float32], scratch: Workspace, at: int
) -> tuple[F32x16, F32x16]:
    """Return (how much the perturbation lowered the loss, the loss itself) of sixteen datapoints."""
    noise, x, y, state, outputs = scratch.noise, scratch.x, scratch.y, scratch.state, scratch.outputs
    scale = np.float32(rule.stddev)
    if shape.tangent:
        loss, slope = forward_with_tangent(shape, weights, noise, at, x, y, state, outputs)
        return splat_f32(-scale) * slope, loss
    plus = forward(shape, weights, noise, at, scale, x, y, state, outputs)
    if rule.two_sided:
        minus = forward(shape, weights, noise, at, -scale, x, y, state, outputs)
        half = splat_f32(_HALF)
        return half * (minus - plus), half * (minus + plus)
    unperturbed = forward(shape, weights, None, 0, _ZERO, x, y, state, outputs)
    return unperturbed - plus, unperturbed


@helper_function
def run_group(
    shape: Shape,
    rule: Rule,
    tiling: Tiling,
    weights: NDArray[np.float32],  # IN (n_padded,)
    scratch: Workspace,  # with the group's datapoints and unit noise
    first: int,  # datapoint
    group: int,  # in its tile
) -> float:
    """Leave the loss differences of one group; return its summed loss.

    Lanes past the end of the batch get the coefficient 0 and no loss.
    """
    at = group * len(weights) * LANES
    lowered, loss = _differences(shape, rule, weights, scratch, at)
    losses_at = tiling.groups * LANES
    store(scratch.coefficients, group * LANES, lowered)
    store(scratch.coefficients, losses_at, loss)
    total = 0.0
    for lane in range(LANES):
        if first + lane < tiling.batch_size:
            total += scratch.coefficients[losses_at + lane]
        else:
            scratch.coefficients[group * LANES + lane] = _ZERO
    return total


@inline_function
def accumulate(
    noise: NDArray[np.float32],  # IN (groups, n_padded, LANES)
    coefficients: NDArray[np.float32],  # IN (groups, LANES)
    groups: int,
    partial: NDArray[np.float64],  # INOUT (n_padded,)
) -> None:
    """Add noise times coefficient, summed over the datapoints of a tile, position by position."""
    n = len(partial)
    for position in range(0, n, 4):  # columns are padded to a multiple of four
        tile = empty_tile(4)
        for group in range(groups):
            coefficient = load_f32(coefficients, group * LANES)
            tile = add_multiples(tile, noise, (group * n + position) * LANES, coefficient)
        add_sums_in_a_row(partial, position, tile)


@helper_function
def run_chunk(
    shape: Shape,
    rule: Rule,
    source: Source,
    noise_source: NoiseSource,
    tiling: Tiling,
    weights: NDArray[np.float32],  # IN (n_padded,)
    workspace: Workspace,
    worker: int,
    sums: Sums,
    step: int,
    chunk: int,
) -> None:
    """Run the tiles of one chunk in order and leave their partial sums; cut short, leave what nobody may use."""
    scratch = rows_of(workspace, worker)
    partial = sums.partial[chunk]
    partial[:] = 0.0
    loss = 0.0
    for tile in range(tiling.n_tiles * chunk // tiling.n_chunks, tiling.n_tiles * (chunk + 1) // tiling.n_chunks):
        if workspace.stop[0]:
            return
        used = 0
        for group in range(tiling.groups):
            first = (tile * tiling.groups + group) * LANES
            if first < tiling.batch_size:
                load_group(shape, source, noise_source.seed, step, first, scratch.x, scratch.y)
                draw(shape, noise_source, first, step, scratch.noise, group * len(partial) * LANES)
                loss += run_group(shape, rule, tiling, weights, scratch, first, group)
                used += 1
        accumulate(scratch.noise, scratch.coefficients, used, partial)
    sums.loss[chunk] = loss


@helper_function
def add_chunks(sums: Sums, n_chunks: int) -> float:
    """Leave the total of the partial sums, added in order; return the summed loss."""
    sums.total[:] = 0.0
    loss = 0.0
    for chunk in range(n_chunks):
        loss += sums.loss[chunk]
        for position in range(len(sums.total)):
            sums.total[position] += sums.partial[chunk, position]
    return loss


@helper_function
def _finish_step(rule: Rule, tiling: Tiling, weights: Weights, sums: Sums, step: int) -> float:
    """Move the weights by the chunks' sums, unless the loss is not finite; return the mean loss."""
    loss = add_chunks(sums, tiling.n_chunks) / tiling.batch_size
    if math.isfinite(loss):
        move(rule, weights, sums.total, tiling.batch_size, step)
    return loss


def take_steps(
    shape: Shape,
    rule: Rule,
    source: Source,
    noise_source: NoiseSource,
    tiling: Tiling,
    weights: Weights,
    workspace: Workspace,
    sums: Sums,
    first_step: int,
    n_steps: int,
) -> tuple[int, float]:
    """Take `n_steps` steps, on a thread for each row of the workspace; return their number and the last mean loss.

    It stops after a step whose loss is not finite; that step moves nothing. It stops within a step, which then does
    not count, when the workspace says so: a step of a very large batch takes minutes.
    """
    workers = len(workspace.noise)
    single = weights.single
    loss = math.nan
    for step in range(first_step, first_step + n_steps):
        for worker in numba.prange(workers):
            for chunk in range(worker, tiling.n_chunks, workers):
                run_chunk(shape, rule, source, noise_source, tiling, single, workspace, worker, sums, step, chunk)
        if workspace.stop[0]:
            return step - first_step, loss
        loss = _finish_step(rule, tiling, weights, sums, step)
        if not math.isfinite(loss):
            return step + 1 - first_step, loss
    return n_steps, loss


train, train_parallel = kernel(take_steps), parallel_kernel(take_steps)
"""On the calling thread, for one row; or on all threads, to the same bits."""

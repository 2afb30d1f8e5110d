"""Parts of a step on their own, made of the walk's own functions: its noise, its two unperturbed forward passes."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.forward import forward
from freewalk.kernels.cpu.lane_group import load_group
from freewalk.kernels.cpu.layout import NoiseSource, Shape, Source, Tiling, Workspace
from freewalk.kernels.cpu.noise import draw
from freewalk.kernels.machine.jit import helper_function, kernel, parallel_kernel
from freewalk.kernels.machine.lanes import LANES, store

_ZERO = np.float32(0.0)


@helper_function
def _draw_groups(
    shape: Shape, source: NoiseSource, tiling: Tiling, step: int, workspace: Workspace, worker: int, workers: int
) -> None:
    """Draw the noise of every `workers`-th tile into the worker's scratch memory, as the walk does."""
    length = shape.n_to * shape.n_rows * LANES
    for tile in range(worker, tiling.n_tiles, workers):
        for group in range(tiling.groups):
            first = (tile * tiling.groups + group) * LANES
            if first < tiling.batch_size:
                draw(shape, source, first, step, workspace.noise[worker], group * length)


@kernel
def draw_steps(
    shape: Shape, source: NoiseSource, tiling: Tiling, workspace: Workspace, first_step: int, n_steps: int
) -> None:
    """Draw the noise of some steps on the calling thread."""
    for step in range(first_step, first_step + n_steps):
        _draw_groups(shape, source, tiling, step, workspace, 0, 1)


@parallel_kernel
def draw_steps_parallel(
    shape: Shape, source: NoiseSource, tiling: Tiling, workspace: Workspace, first_step: int, n_steps: int
) -> None:
    """Draw the noise of some steps on as many threads as the workspace has rows; they meet after every step."""
    workers = len(workspace.noise)
    for step in range(first_step, first_step + n_steps):
        for worker in numba.prange(workers):
            _draw_groups(shape, source, tiling, step, workspace, worker, workers)


@helper_function
def _infer_groups(
    shape: Shape,
    source: Source,
    seed: np.uint64,
    weights: NDArray[np.float32],  # IN (n_padded,)
    tiling: Tiling,
    step: int,
    workspace: Workspace,
    worker: int,
    workers: int,
) -> None:
    """Run every `workers`-th group of a step's datapoints twice; leave the last group's losses of both passes."""
    x, y, outputs = workspace.x[worker], workspace.y[worker], workspace.outputs[worker]
    state, losses = workspace.state[worker], workspace.coefficients[worker]
    n_groups = (tiling.batch_size + LANES - 1) // LANES
    for group in range(worker, n_groups, workers):
        load_group(shape, source, seed, step, group * LANES, x, y)
        for k in range(2):
            store(losses, k * LANES, forward(shape, weights, None, 0, _ZERO, x, y, state, outputs))


@kernel
def infer_steps(
    shape: Shape,
    source: Source,
    seed: np.uint64,
    weights: NDArray[np.float32],
    tiling: Tiling,
    workspace: Workspace,
    first_step: int,
    n_steps: int,
) -> None:
    """Make the two forward passes of some steps, without noise, on the calling thread."""
    for step in range(first_step, first_step + n_steps):
        _infer_groups(shape, source, seed, weights, tiling, step, workspace, 0, 1)


@parallel_kernel
def infer_steps_parallel(
    shape: Shape,
    source: Source,
    seed: np.uint64,
    weights: NDArray[np.float32],
    tiling: Tiling,
    workspace: Workspace,
    first_step: int,
    n_steps: int,
) -> None:
    """Do what `infer_steps` does on as many threads as the workspace has rows; they meet after every step."""
    workers = len(workspace.noise)
    for step in range(first_step, first_step + n_steps):
        for worker in numba.prange(workers):
            _infer_groups(shape, source, seed, weights, tiling, step, workspace, worker, workers)

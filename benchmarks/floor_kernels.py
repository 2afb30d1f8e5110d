"""Parts of a step on their own, made of the walk's own functions: its noise, its two unperturbed forward passes."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu.blocks import Blocks
from freewalk.kernels.cpu.factors import FactorSource, draw_factors
from freewalk.kernels.cpu.lane_group import load_group
from freewalk.kernels.cpu.layout import NoiseSource, Shape, Source, Tiling, Workspace
from freewalk.kernels.cpu.noise import draw
from freewalk.kernels.cpu.shared_pass import Passes, passes_of, run_passes
from freewalk.kernels.machine.jit import helper_function, kernel, parallel_kernel
from freewalk.kernels.machine.lanes import LANES


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


def _draw_steps(
    shape: Shape, source: NoiseSource, tiling: Tiling, workspace: Workspace, first_step: int, n_steps: int
) -> None:
    """Draw the noise of some steps on as many threads as the workspace has rows; they meet after every step."""
    workers = len(workspace.noise)
    for step in range(first_step, first_step + n_steps):
        for worker in numba.prange(workers):
            _draw_groups(shape, source, tiling, step, workspace, worker, workers)


@helper_function
def _draw_low_rank(
    blocks: Blocks,
    source: FactorSource,
    batch_size: int,
    at_once: int,  # lane groups
    step: int,
    all_passes: Passes,
    indices: NDArray[np.uint64],  # SCRATCH (workers, LANES)
    worker: int,
    workers: int,
) -> None:
    """Draw the vectors of a worker's share of the perturbations of a step into its scratch memory, as the walk does."""
    a, b, n_groups = all_passes.a[worker], all_passes.b[worker], (batch_size + LANES - 1) // LANES
    for first in range(worker * at_once, n_groups, workers * at_once):
        used = min(at_once, n_groups - first)
        draw_factors(source, blocks, first * LANES, 1, used, step, indices[worker], a, b)


def _draw_low_rank_steps(
    blocks: Blocks,
    source: FactorSource,
    batch_size: int,
    at_once: int,
    all_passes: Passes,
    indices: NDArray[np.uint64],
    first_step: int,
    n_steps: int,
) -> None:
    """Draw the vectors of the perturbations of some steps of low rank."""
    workers = len(indices)
    for step in range(first_step, first_step + n_steps):
        for worker in numba.prange(workers):
            _draw_low_rank(blocks, source, batch_size, at_once, step, all_passes, indices, worker, workers)


@helper_function
def _infer_groups(
    shape: Shape,
    blocks: Blocks,
    source: Source,
    seed: np.uint64,
    single: NDArray[np.float32],  # IN, see `freewalk.kernels.cpu.blocks`
    batch_size: int,
    groups_of: NDArray[np.int64],  # IN, each lane group twice
    scales: NDArray[np.float32],  # IN, zeros
    step: int,
    all_passes: Passes,
    worker: int,
    workers: int,
) -> None:
    """Run a worker's share of the lane groups of a step twice; leave the last ones' losses of both passes."""
    passes = passes_of(all_passes, worker)
    at_once, n_groups = len(groups_of) // 2, (batch_size + LANES - 1) // LANES
    x_size, y_size = shape.input_rows * shape.n_input * LANES, shape.output_rows * shape.n_output * LANES
    for first in range(worker * at_once, n_groups, workers * at_once):
        used = min(at_once, n_groups - first)
        for group in range(used):
            x, y = passes.x[group * x_size :], passes.y[group * y_size :]
            load_group(shape, source, seed, step, (first + group) * LANES, x, y)
        run_passes(shape, blocks, single, passes, groups_of[: 2 * used], scales[: 2 * used], 0)


def _infer_steps(
    shape: Shape,
    blocks: Blocks,
    source: Source,
    seed: np.uint64,
    single: NDArray[np.float32],
    batch_size: int,
    groups_of: NDArray[np.int64],
    scales: NDArray[np.float32],
    all_passes: Passes,
    first_step: int,
    n_steps: int,
) -> None:
    """Make the data and the two forward passes of some steps, without noise."""
    workers = len(all_passes.losses)
    for step in range(first_step, first_step + n_steps):
        for worker in numba.prange(workers):
            _infer_groups(
                shape, blocks, source, seed, single, batch_size, groups_of, scales, step, all_passes, worker, workers
            )


draw_steps, draw_steps_parallel = kernel(_draw_steps), parallel_kernel(_draw_steps)
draw_low_rank_steps, draw_low_rank_steps_parallel = kernel(_draw_low_rank_steps), parallel_kernel(_draw_low_rank_steps)
infer_steps, infer_steps_parallel = kernel(_infer_steps), parallel_kernel(_infer_steps)
"""Each on the calling thread, for one worker, or on as many threads as there are workers."""

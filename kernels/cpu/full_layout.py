"""What the walk with full perturbations of the family is told and needs, as tuples of arrays and runtime values."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.machine.jit import inline_function

AT_ONCE = 4
"""Lane groups that are run at once."""


class Cut(NamedTuple):
    """How a step is cut, as runtime values; it depends on the configuration and the network alone."""

    datapoints: int  # of one perturbation
    share_data: int
    shaping: int  # one of SHAPING_CODES
    in_turn: int  # perturbations, not side by side
    of_a_unit: int  # perturbations
    parts: int  # of a perturbation's datapoints, a unit each
    of_a_part: int  # lane groups
    n_chunks: int


class FullTrials(NamedTuple):
    """Trials of one seed by place: what differs between them, and what each needs for itself; perhaps just one."""

    timesteps: NDArray[np.int64]  # (n_trials,)
    input_rows: NDArray[np.int64]  # (n_trials,)
    output_rows: NDArray[np.int64]  # (n_trials,)
    perturbations: NDArray[np.int64]  # (n_trials,)
    choices: NDArray[np.int64]  # (n_trials, 3), the whole numbers of Rule: kind, two_sided, cosine_steps
    numbers: NDArray[np.float64]  # (n_trials, 3), the others: stddev, learning_rate, momentum
    master: NDArray[np.float64]  # (n_trials, n_padded), in the order of single, as the next two
    single: NDArray[np.float32]
    first: NDArray[np.float64]
    second: NDArray[np.float64]
    partial: NDArray[np.float64]  # (n_trials, 1 or n_chunks, n_padded), of the present chunk, or of all
    total: NDArray[np.float64]  # (n_trials, n_padded), of the chunks before it, or of all
    base: NDArray[np.float32]  # (n_trials, datapoints), unperturbed losses of shared data, to whole lane groups
    plus: NDArray[np.float64]  # (n_trials, perturbations * parts), summed losses at W + D; for shaping
    other: NDArray[np.float64]  # (n_trials, perturbations * parts), at W or W - D
    coefficients: NDArray[np.float32]  # (n_trials, perturbations), shaped
    chunk_loss: NDArray[np.float64]  # (n_trials, n_chunks)
    loss: NDArray[np.float64]  # (n_trials,), of the step


class FullMemory(NamedTuple):
    """Scratch memory, one row a worker; or the rows of one worker."""

    noise: NDArray[np.float32]  # (workers, of_a_unit / LANES * n_padded * LANES), or (workers, n_padded)
    perturbed: NDArray[np.float32]  # (workers, n_padded), weights of one perturbation
    raw_x: NDArray[np.float32]  # (workers, input_rows * n_input * LANES), datapoints before they are dealt out
    raw_y: NDArray[np.float32]  # (workers, output_rows * n_output * LANES)
    sums: NDArray[np.float64]  # (workers, 2 * LANES), losses of sixteen perturbations at W + D and at W or W - D
    coefficients: NDArray[np.float32]  # (workers, of_a_unit)
    groups_of: NDArray[np.int64]  # (workers, AT_ONCE)
    scales: NDArray[np.float32]  # (workers, AT_ONCE)
    stop: NDArray[np.uint8]  # (1,), set from another thread to leave a step unfinished


@inline_function
def memory_of(memory: FullMemory, worker: int) -> FullMemory:
    """Return one worker's arrays."""
    return FullMemory(
        memory.noise[worker],
        memory.perturbed[worker],
        memory.raw_x[worker],
        memory.raw_y[worker],
        memory.sums[worker],
        memory.coefficients[worker],
        memory.groups_of[worker],
        memory.scales[worker],
        memory.stop,
    )

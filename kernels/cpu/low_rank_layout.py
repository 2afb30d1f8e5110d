"""What the walk of low rank is told and needs, as tuples of arrays and runtime values."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Family(NamedTuple):
    """How the pairs of a step are made and weighed, as runtime values; the same in all trials that run together."""

    datapoints: int  # of one perturbation
    share_data: int
    two_sided: int
    shaping: int  # one of SHAPING_CODES
    groups: int  # lane groups that are run at once


class LowRankTrials(NamedTuple):
    """Trials of one seed by place: what differs between them, and what each needs for itself; perhaps just one."""

    timesteps: NDArray[np.int64]  # (n_trials,)
    input_rows: NDArray[np.int64]  # (n_trials,)
    output_rows: NDArray[np.int64]  # (n_trials,)
    batch_sizes: NDArray[np.int64]  # (n_trials,), pairs
    choices: NDArray[np.int64]  # (n_trials, 3), the whole numbers of Rule: kind, two_sided, cosine_steps
    numbers: NDArray[np.float64]  # (n_trials, 3), the others: stddev, learning_rate, momentum
    master: NDArray[np.float64]  # (n_trials, n_padded), this and the next three as in Weights
    single: NDArray[np.float32]
    first: NDArray[np.float64]
    second: NDArray[np.float64]
    sums: NDArray[np.float64]  # (n_trials, n_padded), over perturbations
    base: NDArray[np.float32]  # (n_trials, datapoints + padding), unperturbed losses of shared data
    plus: NDArray[np.float32]  # (n_trials, pairs of a round), losses at W + D
    other: NDArray[np.float32]  # (n_trials, pairs of a round), at W or W - D
    mean_plus: NDArray[np.float64]  # (n_trials, K), over each perturbation's datapoints
    mean_other: NDArray[np.float64]  # (n_trials, K)
    coefficients: NDArray[np.float32]  # (n_trials, K)
    total_loss: NDArray[np.float64]  # (n_trials,), of the step


class LowRankMemory(NamedTuple):
    """Scratch memory; rows of `workers` belong to one thread each."""

    shared_x: NDArray[np.float32]  # (input_rows * n_input, datapoints + padding), repeated; of shared data only
    shared_y: NDArray[np.float32]  # (output_rows * n_output, datapoints + padding)
    indices: NDArray[np.uint64]  # (workers, LANES)
    turned: NDArray[np.float32]  # (workers, LANES * LANES)
    groups_of: NDArray[np.int64]  # (workers, vectors)
    scales: NDArray[np.float32]  # (workers, vectors)
    scaled: NDArray[np.float32]  # (workers, 2 * rank * per_round * LANES), panels of b times coefficients
    tile: NDArray[np.float32]  # (workers, LANES * LANES)
    stop: NDArray[np.uint8]  # (1,), set from another thread to leave a step unfinished

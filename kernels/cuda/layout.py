"""How the CUDA kernels see trials: what is compiled in, and the packed arrays that hold the rest.

Launching from Python costs time for every argument, so a trial's numbers lie in two rows: sizes (int64) and numbers
(float64). Weights lie row after row, position row * n_to + column, so that the threads of neighbouring columns read
neighbouring words. Nothing of size batch x weights exists.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import Kind
from freewalk.kernels.model.optimizers import OPTIMIZER_CODES, RAW, cosine_steps
from freewalk.kernels.model.walk import Data, WalkConfiguration

TIMESTEPS, BATCH_SIZE, KIND, COSINE_STEPS, SEED, STEP, ARGUMENT = range(7)
"""Columns of a trial's sizes; COSINE_STEPS is 0 for a constant learning rate, SEED the bits of the unsigned seed."""
N_SIZES = 7
STDDEV, LEARNING_RATE, MOMENTUM = range(3)
"""Columns of a trial's numbers."""
N_NUMBERS = 3
MASTER, FIRST, SECOND = range(3)
"""Rows of a trial's state: weights, and the optimiser's first and second moments."""
N_STATES = 3
STEPS_DONE, LOSS = range(2)
"""Columns of a trial's results."""
N_RESULTS = 2

WARP = 32
MOST_RESIDENT_ROWS = 72
"""Weights of a column, up to which one thread keeps a column's noise and sums in registers."""
MOST_RESIDENT_COLUMNS = 64


@dataclass(frozen=True)
class LaunchShape:
    """How the kernels of a small network share a multiprocessor out: it has 65,536 registers and four schedulers."""

    warps: int = 8
    """Of a block."""
    registers: int | None = None
    """Of a thread, at most; None for all 255, with which eight warps fill a multiprocessor."""

    @property
    def name(self) -> str:
        """For tables."""
        return f"{self.warps} warps a block, {self.registers or 'any'} registers"


DEFAULT_SHAPE = LaunchShape()
OTHER_SHAPES = (
    LaunchShape(4),
    LaunchShape(4, 168),
    LaunchShape(4, 128),
    LaunchShape(8, 128),
    LaunchShape(16, 128),
)
"""What a GPU may find faster: fewer registers a thread, but three or four warps a scheduler instead of two."""


@dataclass(frozen=True)
class Spec:
    """What a walk's kernels are compiled for."""

    n_input: int
    n_output: int
    n_to: int
    sequence_input: bool
    sequence_output: bool
    softmax: bool
    cross_entropy: bool
    tanh: bool
    noise: Kind
    two_sided: bool
    masked: bool
    datapoint: Callable[..., None]

    @property
    def n_from(self) -> int:
        """Rows of the weight matrix."""
        return self.n_input + 1 + self.n_to

    @property
    def is_resident(self) -> bool:
        """Whether a thread can keep a whole column's noise in registers."""
        return self.n_from <= MOST_RESIDENT_ROWS and self.n_to <= MOST_RESIDENT_COLUMNS


def spec_of(network: FreeNetwork, configuration: WalkConfiguration, data: Data, *, masked: bool) -> Spec:
    """Return what the kernels of a walk are compiled for.

    Raises
    ------
    ValueError
        If the data has no plain function that a kernel could compile in.
    """
    if data.datapoint is None:
        raise ValueError("a walk on a GPU needs the task's plain data function, not only its address")
    return Spec(
        n_input=network.n_input,
        n_output=network.n_output,
        n_to=network.n_to,
        sequence_input=network.sequence_input,
        sequence_output=network.sequence_output,
        softmax=network.softmax,
        cross_entropy=network.loss == "categorical_crossentropy",
        tanh=network.hidden_activation == "tanh",
        noise=configuration.kind,
        two_sided=configuration.sides == "two",
        masked=masked,
        datapoint=data.datapoint,
    )


def sizes_of(configuration: WalkConfiguration, data: Data, seed: int) -> NDArray[np.int64]:
    """Return a trial's sizes, (N_SIZES,), at step 0."""
    sizes = np.zeros(N_SIZES, dtype=np.int64)
    sizes[TIMESTEPS] = configuration.timesteps
    sizes[BATCH_SIZE] = configuration.batch_size
    sizes[KIND] = RAW if configuration.update == "raw" else OPTIMIZER_CODES[configuration.optimizer]
    sizes[COSINE_STEPS] = cosine_steps(configuration)
    sizes[SEED] = np.uint64(seed).view(np.int64)
    sizes[ARGUMENT] = data.argument
    return sizes


def numbers_of(configuration: WalkConfiguration) -> NDArray[np.float64]:
    """Return a trial's numbers, (N_NUMBERS,)."""
    numbers = np.zeros(N_NUMBERS)
    numbers[STDDEV] = configuration.stddev
    numbers[LEARNING_RATE] = configuration.learning_rate
    numbers[MOMENTUM] = configuration.momentum
    return numbers

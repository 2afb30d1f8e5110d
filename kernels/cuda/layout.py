"""How the CUDA kernels see trials: what is compiled in, and the packed arrays that hold the rest.

Launching from Python costs time for every argument, so a trial's numbers lie in two rows: sizes (int64) and numbers
(float64). Weights lie row after row, position row * n_to + column, so that the threads of neighbouring columns read
neighbouring words. Nothing of size batch x weights exists.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.network import Activation, FreeNetwork, OutputActivation
from freewalk.kernels.model.noise import Kind
from freewalk.kernels.model.optimizers import OPTIMIZER_CODES, RAW, cosine_steps
from freewalk.kernels.model.walk import Data, Shaping, WalkConfiguration

TIMESTEPS, BATCH_SIZE, KIND, COSINE_STEPS, SEED, STEP, ARGUMENT, DATAPOINTS, SHARED, SHAPING = range(10)
"""Columns of a trial's sizes; COSINE_STEPS is 0 for a constant learning rate, SEED the bits of the unsigned seed,
DATAPOINTS those of a perturbation, SHARED 1 if all perturbations share theirs, SHAPING a code."""
N_SIZES = 10
SHAPING_CODES: dict[Shaping, int] = {"none": 0, "std": 1, "ranks": 2}
STDDEV, LEARNING_RATE, MOMENTUM = range(3)
"""Columns of a trial's numbers."""
N_NUMBERS = 3
MASTER, FIRST, SECOND = range(3)
"""Rows of a trial's state: weights, and the optimiser's first and second moments."""
N_STATES = 3
STEPS_DONE, LOSS = range(2)
"""Columns of a trial's results."""
N_RESULTS = 2

INDEX = np.uint64
"""Type of an index in a hot loop: of a signed one Numba asks whether it is negative, which costs more than the load."""
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
class Family:
    """What the kernels of perturbations other than the plain ones are compiled for, besides."""

    rank: int
    """Products of two vectors that make a perturbation; 0: every weight has a number of its own."""
    orthogonal: bool
    clean_apart: bool
    """Whether the unperturbed losses of a step are found once, because all perturbations share them."""
    pairs: int
    """Pairs of a perturbation and a datapoint that a block runs together."""

    @property
    def has_vectors(self) -> bool:
        """Whether perturbations are made of vectors, which are drawn before they are used."""
        return self.rank > 0 or self.orthogonal


_PAIRS = 8
"""Of a block: each weight that it loads serves them all. More would leave multiprocessors idle at usual batch sizes."""


def family_of(configuration: WalkConfiguration) -> Family | None:
    """Return what a configuration needs compiled in beside the network; None for a plain one."""
    if configuration.is_plain:
        return None
    pairs = min(_PAIRS, 1 << (configuration.datapoints - 1).bit_length())  # of one perturbation, where it is full
    return Family(
        rank=configuration.rank or 0,
        orthogonal=configuration.directions == "orthogonal",
        clean_apart=configuration.share_data and configuration.sides == "one" and configuration.tangent != "exact",
        pairs=pairs if configuration.rank is None else _PAIRS,
    )


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
    of_hidden: Activation
    of_outputs: OutputActivation
    leak: float
    tangent: bool
    noise: Kind
    two_sided: bool
    masked: bool
    datapoint: Callable[..., None]
    family: Family | None = None
    """None for plain perturbations."""

    @property
    def n_from(self) -> int:
        """Rows of the weight matrix."""
        return self.n_input + 1 + self.n_to

    @property
    def is_resident(self) -> bool:
        """Whether a thread can keep a whole column's noise in registers."""
        return self.family is None and self.n_from <= MOST_RESIDENT_ROWS and self.n_to <= MOST_RESIDENT_COLUMNS


def family_in(spec: Spec) -> Family:
    """Return the family of a spec whose perturbations are not plain."""
    assert spec.family is not None
    return spec.family


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
        of_hidden=network.hidden_activation,
        of_outputs=network.output_activation,
        leak=network.leak,
        tangent=configuration.tangent == "exact",
        noise=configuration.kind,
        two_sided=configuration.sides == "two",
        masked=masked,
        datapoint=data.datapoint,
        family=family_of(configuration),
    )


def common_spec(network: FreeNetwork, configurations: Sequence[WalkConfiguration], data: Data, *, masked: bool) -> Spec:
    """Return what the kernels of several walks are compiled for.

    Raises
    ------
    ValueError
        As `spec_of`, or if the walks differ in what is compiled in, or in what chooses it.
    """
    specs = {spec_of(network, configuration, data, masked=masked) for configuration in configurations}
    if len(specs) != 1:
        names = ("noise", "sides", "rank", "directions", "datapoints", "share_data", "shaping", "tangent")
        differing = [name for name in names if len({getattr(given, name) for given in configurations}) > 1]
        raise ValueError(
            f"trials of one pack must agree in what is compiled in; these differ in {', '.join(differing)}"
        )
    return specs.pop()


def sizes_of(configuration: WalkConfiguration, data: Data, seed: int) -> NDArray[np.int64]:
    """Return a trial's sizes, (N_SIZES,), at step 0."""
    sizes = np.zeros(N_SIZES, dtype=np.int64)
    sizes[TIMESTEPS] = configuration.timesteps
    sizes[BATCH_SIZE] = configuration.batch_size
    sizes[KIND] = RAW if configuration.update == "raw" else OPTIMIZER_CODES[configuration.optimizer]
    sizes[COSINE_STEPS] = cosine_steps(configuration)
    sizes[SEED] = np.uint64(seed).view(np.int64)
    sizes[ARGUMENT] = data.argument
    sizes[DATAPOINTS] = configuration.datapoints
    sizes[SHARED] = configuration.share_data
    sizes[SHAPING] = SHAPING_CODES[configuration.shaping]
    return sizes


def numbers_of(configuration: WalkConfiguration) -> NDArray[np.float64]:
    """Return a trial's numbers, (N_NUMBERS,)."""
    numbers = np.zeros(N_NUMBERS)
    numbers[STDDEV] = configuration.stddev
    numbers[LEARNING_RATE] = configuration.learning_rate
    numbers[MOMENTUM] = configuration.momentum
    return numbers

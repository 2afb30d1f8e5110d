"""The walk as a method: its configuration, what it reports, and what every trial in progress can do."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import DEFAULT_GENERATOR, DEFAULT_NOISE, Generator, Kind, Noise

Update = Literal["raw", "normalised"]
Optimizer = Literal["sgd", "momentum", "adam"]
Schedule = Literal["constant", "cosine"]
Sides = Literal["one", "two"]
Directions = Literal["independent", "orthogonal"]
Shaping = Literal["none", "std", "ranks"]
Tangent = Literal["difference", "exact"]
State = dict[str, NDArray[Any]]
"""Everything that a trial needs to go on to the same bits; see `freewalk.kernels.model.state`."""

_WORDS: dict[str, tuple[str, ...]] = {
    "optimizer": get_args(Optimizer),
    "schedule": get_args(Schedule),
}


def check_words(configuration: Any, **words: tuple[str, ...]) -> None:
    """Raise ValueError, naming the choices, unless each named field, optimizer and schedule hold one of their words."""
    for name, choices in (words | _WORDS).items():
        if getattr(configuration, name) not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}, got {getattr(configuration, name)!r}")


def check_counts(configuration: Any, *names: str) -> None:
    """Raise ValueError unless the named fields are at least 1, the batch size within 32 bits."""
    for name in names:
        if getattr(configuration, name) < 1:
            raise ValueError(f"{name} must be at least 1, got {getattr(configuration, name)}")
    if configuration.batch_size >= 2**32:
        raise ValueError(f"batch_size must be below 2**32, got {configuration.batch_size}")


def check_positive(configuration: Any, *names: str) -> None:
    """Raise ValueError unless the named fields are finite and above 0."""
    for name in names:
        value = getattr(configuration, name)
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be a finite number above 0, got {value}")


def check_shares(configuration: Any, *names: str) -> None:
    """Raise ValueError unless the named fields are at least 0 and below 1."""
    for name in names:
        value = getattr(configuration, name)
        if not 0 <= value < 1:
            raise ValueError(f"{name} must be at least 0 and below 1, got {value}")


def check_learning_rates(configuration: Any, *names: str) -> None:
    """Raise ValueError unless the named rates are finite and above 0, and the momentum below 1."""
    check_positive(configuration, *names)
    check_shares(configuration, "momentum")


@dataclass(frozen=True)
class WalkConfiguration:
    """Everything that decides a step, beside the network and the data.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    method: ClassVar = "walk"
    stddev: float
    """Standard deviation of the perturbations."""
    batch_size: int
    """Pairs of a perturbation and a datapoint a step."""
    timesteps: int
    """How often the layer is applied before the output is read."""
    update: Update = "raw"
    """`raw`: the original rule, without a learning rate. `normalised`: an optimiser on the estimated gradient."""
    optimizer: Optimizer = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    """Share of the velocity kept, for optimizer `momentum`."""
    schedule: Schedule = "constant"
    """`cosine` lets the learning rate fall to 0 over `schedule_steps`."""
    schedule_steps: int = 1
    sides: Sides = "one"
    """`one` compares W + D with W; `two` compares W + D with W - D."""
    noise: Noise = DEFAULT_NOISE
    """Distribution of the independent numbers that a perturbation is made of."""
    generator: Generator = DEFAULT_GENERATOR
    """Of Gaussian numbers: `xoshiro` takes less time, and draws others."""
    rank: int | None = None
    """Of a perturbation, a sum of so many products of two random vectors; None: every weight's own number."""
    directions: Directions = "independent"
    """`orthogonal`: the perturbations of a step are orthogonal, by rows of a transform and random signs; see
    `freewalk.kernels.model.directions`."""
    datapoints: int = 1
    """Datapoints that see one perturbation."""
    share_data: bool = False
    """Whether all perturbations of a step see the same `datapoints` datapoints, instead of their own."""
    shaping: Shaping = "none"
    """What becomes of the loss differences before they weigh their perturbations; see
    `freewalk.kernels.reference.reference.shaped`."""
    tangent: Tangent = "difference"
    """`exact`: the derivative of the loss along a perturbation, which passes forward beside the activations, in the
    place of a difference over stddev (forward gradient: Baydin et al., arXiv:2202.08587, 2022)."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.stddev) and self.stddev >= 0):
            raise ValueError(f"stddev must be a finite number of at least 0, got {self.stddev}")
        if self.update == "normalised" and self.stddev == 0:
            raise ValueError("stddev must be above 0 with update=normalised, which divides by it")
        check_learning_rates(self, "learning_rate")
        words = {"directions": get_args(Directions), "shaping": get_args(Shaping), "generator": get_args(Generator)}
        words["tangent"] = get_args(Tangent)
        check_words(self, update=get_args(Update), sides=get_args(Sides), noise=get_args(Noise), **words)
        check_counts(self, "batch_size", "timesteps", "schedule_steps", "datapoints")
        self._check_family()

    def _check_family(self) -> None:
        """Raise ValueError unless the choices that make the perturbations fit each other."""
        if self.tangent == "exact" and self.update == "raw":
            raise ValueError("tangent=exact takes no step of stddev squared; give update=normalised")
        if self.tangent == "exact" and self.sides == "two":
            raise ValueError("tangent=exact has no other side; give sides=one")
        if self.rank is not None and self.rank < 1:
            raise ValueError(f"rank must be full or at least 1, got {self.rank}")
        if self.batch_size % self.datapoints:
            nearest = max(self.datapoints, round(self.batch_size / self.datapoints) * self.datapoints)
            raise ValueError(
                f"batch_size must be a multiple of datapoints ({self.datapoints}), so that every perturbation sees"
                f" as many; got {self.batch_size}, take {nearest}"
            )
        if self.generator != DEFAULT_GENERATOR and self.noise != "gaussian":
            raise ValueError(f"generator={self.generator} needs noise=gaussian, got noise={self.noise}")
        if self.generator != DEFAULT_GENERATOR and not self.is_plain:
            raise ValueError(
                f"generator={self.generator} draws full perturbations, one for each datapoint: it needs rank=full,"
                " directions=independent, datapoints=1, share_data=no and shaping=none"
            )
        if self.shaping != "none":
            if self.update == "raw":
                raise ValueError(f"shaping={self.shaping} needs update=normalised: it leaves no loss to step by")
            if self.n_perturbations < 2:
                raise ValueError(
                    f"shaping={self.shaping} compares perturbations and needs at least 2 a step; batch_size"
                    f" {self.batch_size} with datapoints {self.datapoints} makes one"
                )

    @property
    def kind(self) -> Kind:
        """What its perturbations are drawn as: the row of `freewalk.kernels.model.noise.NOISES`."""
        return self.noise if self.generator == DEFAULT_GENERATOR else "gaussian-xoshiro"

    @property
    def n_perturbations(self) -> int:
        """Perturbations a step, K."""
        return self.batch_size // self.datapoints

    @property
    def is_plain(self) -> bool:
        """Whether every datapoint has a perturbation of its own, of independent numbers, weighed by its difference."""
        plain = (None, "independent", 1, False, "none")
        return (self.rank, self.directions, self.datapoints, self.share_data, self.shaping) == plain

    @property
    def data_per_step(self) -> int:
        """Datapoints drawn for a step."""
        return self.datapoints if self.share_data else self.batch_size

    @property
    def effective_learning_rate(self) -> float:
        """The learning rate on the estimated gradient: stddev squared under the raw rule."""
        return self.stddev**2 if self.update == "raw" else self.learning_rate

    @property
    def moved_by(self) -> str:
        """What moves the weights, and so what a state holds: `raw`, the original rule, or the optimiser."""
        return "raw" if self.update == "raw" else self.optimizer

    def evaluations_per_step(self, network: object = None) -> float:
        """Return the forward passes of one datapoint that a step costs, whatever the network.

        2 B for B pairs; with shared data one side costs B + datapoints, since all perturbations compare with the same
        unperturbed passes.
        """
        shares = self.sides == "one" and self.tangent == "difference"
        compared = self.data_per_step if shares else self.batch_size
        return float(self.batch_size + compared)


@dataclass(frozen=True)
class Data:
    """Where training and held-out datapoints come from; see `freewalk.kernels.data.task_functions`."""

    address: int
    """Address of the compiled function that fills groups of datapoints."""
    argument: int = 0
    """Number handed to it."""
    datapoint: Callable[..., None] | None = None
    """The plain function that it was compiled from, which CUDA kernels compile in."""
    table: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    """Memory at the address that `argument` then is. It points nowhere outside itself: on a GPU `argument` is the
    address of a copy."""


class Progress(NamedTuple):
    """What a call of `train` did."""

    steps: int
    """Steps taken, fewer than asked for if the loss became NaN or infinite."""
    loss: float
    """Mean training loss of the last step, before its update."""


class Evaluation(NamedTuple):
    """Measures on held-out data, outputs unperturbed."""

    loss: float
    """Mean loss."""
    bit_accuracy: float
    """Share of outputs on the same side of 1/2 as their target."""
    row_accuracy: float
    """Share of datapoints with every output right."""
    max_error: float
    """Largest distance of an output from its target."""
    output_spread: float
    """Largest difference that one output shows between two inputs."""
    accuracy: float = math.nan
    """Share of classes found: of the output rows with a class, a target above 1/2, those whose largest output, the
    first of equals, is where the largest target is. NaN if no row has a class."""


class Trainer(Protocol):
    """One trial in progress on some backend, whatever its method."""

    network: FreeNetwork
    step: int
    """Steps taken so far."""

    def train(self, n_steps: int) -> Progress:
        """Take `n_steps` steps."""

    def request_stop(self) -> None:
        """Let a `train` that runs in another thread return soon; a step it leaves unfinished does not count."""

    def evaluate(self) -> Evaluation:
        """Measure the weights on held-out data."""

    @property
    def weights(self) -> NDArray[np.float64]:
        """A copy of the weights, (n_from, n_to)."""

    def state(self) -> State:
        """Return a copy of everything that the trial needs to go on; not while it trains."""

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a state of a trial like this one, to the bits that it would have come to.

        Raises
        ------
        ValueError
            If the state is not of such a trial: another network, method, optimiser or mask.
        """


def check_data_shapes(network: FreeNetwork, x: NDArray[Any], y: NDArray[Any], timesteps: int) -> None:
    """Raise ValueError, naming expected and found shapes, unless x (dense) and y (dense) fit the network."""
    wanted_x = (timesteps, network.n_input) if network.sequence_input else (network.n_input,)
    wanted_y = (timesteps, network.n_output) if network.sequence_output else (network.n_output,)
    for name, array, wanted in (("x", x, wanted_x), ("y", y, wanted_y)):
        if array.shape[1:] != wanted:
            raise ValueError(f"{name} must have shape (B, {', '.join(map(str, wanted))}), got {array.shape}")
    if len(x) != len(y):
        raise ValueError(f"x and y must have as many datapoints, got {len(x)} and {len(y)}")

"""Methods that propose whole weight sets and look at nothing but their losses: what they share, whatever computes.

A step asks a strategy for K members, runs them on the same m datapoints and tells the strategy their losses. Members
and answers are vectors of the P weights that exist, in the order of the rows of the weight matrix.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.layered import Network
from freewalk.kernels.model.noise import Stream, counters, normal_from_words, philox, uniform_from_words

Array = NDArray[np.float64]


class Tried(NamedTuple):
    """What a strategy is told of its K members."""

    losses: NDArray[np.float64]
    """(K,) mean losses of the datapoints that a member has seen; infinite where they are not a number."""
    seen: NDArray[np.int64]
    """(K,) datapoints that it has seen: all of the step, or those up to the first lane group with a wrong one."""
    right: NDArray[np.bool_]
    """(K,) whether every output of every datapoint is within the tolerance of its target."""


@dataclass(frozen=True)
class Origin:
    """Where a strategy starts."""

    weights: Array
    """(P,) weights that the trial was given."""
    neurons: NDArray[np.intp]
    """(P,) the neuron that each weight enters."""
    seed: int
    """Key of its random numbers."""
    members: int
    """K."""
    parameters: Any
    """The method's own."""


class Strategy(ABC):
    """Proposes members and learns from their losses; its arrays, seed and step decide all that it does.

    Parameters
    ----------
    origin
        Where it starts.
    """

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.arrays: dict[str, NDArray[Any]] = {}
        """What it needs to go on, of shapes that stay."""

    @abstractmethod
    def ask(self, step: int) -> Array:
        """Return the (K, P) members of a step."""

    @abstractmethod
    def tell(self, step: int, members: Array, tried: Tried) -> None:
        """Learn from what the members of a step have come to."""

    @property
    @abstractmethod
    def answer(self) -> Array:
        """The (P,) weights that the strategy would give now."""

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what it needs to go on to the same bits."""
        return self.arrays

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `state`, whose arrays have the shapes of `shapes`."""
        for name, array in self.arrays.items():
            self.arrays[name] = state[name].astype(array.dtype)

    def shapes(self, state: Mapping[str, NDArray[Any]]) -> dict[str, tuple[int, ...]]:
        """Return the shapes that the arrays of a state must have."""
        return {name: array.shape for name, array in self.arrays.items()}


@dataclass(frozen=True)
class PopulationConfiguration:
    """Everything that decides a step, beside the network and the data.

    Raises
    ------
    ValueError
        If a count is below 1 or a step would need more datapoints than 32 bits count.
    """

    method: str
    strategy: Callable[[Origin], Strategy] = field(repr=False)
    batch_size: int
    """Datapoints of a step, m, that every member sees."""
    timesteps: int
    population: int | None = None
    """Members of a step, K; None for `default_members`."""
    tolerance: float = math.inf
    """How far an output may be from its target; below infinity a member stops at the first lane group that is wrong."""
    refusal: Callable[[Any, int, int], str | None] | None = field(default=None, repr=False)
    """Of the own parameters, numbers of weights and members: why the strategy does not take them, None if it does."""
    parameters: Any = None
    """The method's own."""
    schedule_steps: int = 1
    moved_by: ClassVar = "strategy"
    optimizer: ClassVar = "sgd"  # what keeps nothing: none takes a step here

    def __post_init__(self) -> None:
        for name in ("batch_size", "timesteps", "schedule_steps", "population"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.batch_size >= 2**32:
            raise ValueError(f"batch_size must be below 2**32, got {self.batch_size}")

    def members(self, n_weights: int) -> int:
        """Return K for a network of P weights."""
        return default_members(n_weights) if self.population is None else self.population

    @property
    def data_per_step(self) -> int:
        """Datapoints drawn for a step: all members see the same."""
        return self.batch_size

    @property
    def effective_learning_rate(self) -> float:
        """NaN: there is no gradient."""
        return math.nan

    def evaluations_per_step(self, network: Network) -> float:
        """Return K m; a member that is left early has taken fewer.

        Raises
        ------
        ValueError
            If the strategy does not take so many weights or members.
        """
        members = self.members(network.n_weights)
        if self.refusal is not None and (reason := self.refusal(self.parameters, network.n_weights, members)):
            raise ValueError(reason)
        return float(members * self.batch_size)


def default_members(n_weights: int) -> int:
    """Return 4 + floor(3 ln P), the population that CMA-ES and natural evolution strategies take (Hansen, 2016)."""
    return 4 + int(3 * math.log(n_weights))


def member_words(seed: int, step: int, members: NDArray[np.integer], first: int, n: int) -> NDArray[np.uint32]:
    """Return (members, n) words of random bits; `first` is the block that they begin with."""
    blocks = first + np.arange(-(-n // 4))
    words = philox(counters(blocks, members[:, None], step, Stream.POPULATION), seed)
    return words.reshape(len(members), -1)[:, :n]


def member_uniforms(seed: int, step: int, members: NDArray[np.integer], first: int, n: int) -> Array:
    """Return (members, n) numbers uniform in [0, 1), as `member_words` draws them."""
    return uniform_from_words(member_words(seed, step, members, first, n))


def member_normals(seed: int, step: int, members: NDArray[np.integer], first: int, n: int) -> Array:
    """Return (members, n) standard normals, as `member_words` draws them."""
    return normal_from_words(member_words(seed, step, members, first, n + n % 2))[:, :n]


def matrices(
    members: NDArray[Any], mask: NDArray[np.bool_] | None, shape: tuple[int, ...], fixed: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Return (K, n_from, n_to) weight matrices of (K, P) members; where the mask is False those `fixed`, or zero."""
    if mask is None:
        return members.reshape(len(members), *shape)
    result = np.zeros((len(members), *shape), dtype=members.dtype)
    if fixed is not None:
        result[:] = fixed
    result[:, mask] = members
    return result


def origin_of(
    weights: Array, mask: NDArray[np.bool_] | None, seed: int, configuration: PopulationConfiguration
) -> Origin:
    """Return where a trial's strategy starts; weights and mask (n_from, n_to)."""
    there = np.ones(weights.shape, dtype=np.bool_) if mask is None else mask
    own = weights[there]
    members = configuration.members(len(own))
    return Origin(own, np.nonzero(there)[1], seed, members, configuration.parameters)

"""Training along a gradient as a method: what every such rule needs to take a step, and what a step costs."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from freewalk.kernels.model.layered import Network
from freewalk.kernels.model.walk import Optimizer, Schedule, check_counts, check_learning_rates, check_words


@dataclass(frozen=True)
class DescentConfiguration(ABC):
    """What decides a step of every gradient method, beside the network and the data; a rule adds what it alone needs.

    An evaluation is one multiply-add for each of a network's P weights (a timestep).

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    method: ClassVar[str]
    """Its name, which states hold."""
    batch_size: int
    """Datapoints a step."""
    timesteps: int
    """How often the layer is applied before the output is read; the depth of a layered network."""
    optimizer: Optimizer = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    """Share of the velocity kept, for optimizer `momentum`."""
    schedule: Schedule = "constant"
    """`cosine` lets the learning rate fall to 0 over `schedule_steps`."""
    schedule_steps: int = 1

    def __post_init__(self) -> None:
        check_learning_rates(self, "learning_rate")
        check_words(self)
        check_counts(self, "batch_size", "timesteps", "schedule_steps")

    @property
    def data_per_step(self) -> int:
        """Datapoints drawn for a step."""
        return self.batch_size

    @property
    def moved_by(self) -> str:
        """What moves the weights, and so what a state holds: the optimiser."""
        return self.optimizer

    @property
    def effective_learning_rate(self) -> float:
        """The learning rate on the gradient of the mean loss."""
        return self.learning_rate

    def evaluations_per_step(self, network: Network) -> float:
        """Return what a step costs, in forward passes of one datapoint."""
        return self.batch_size * self.evaluations_per_datapoint(network)

    @abstractmethod
    def evaluations_per_datapoint(self, network: Network) -> float:
        """Return what a step costs for each datapoint, in forward passes."""


@dataclass(frozen=True)
class BackpropConfiguration(DescentConfiguration):
    """The exact gradient, or another that is sent backwards.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    method: ClassVar = "backprop"
    backward_cost: float = 2.0
    """Evaluations that one backward pass of one datapoint counts for: half for the gradients of the weights, half for
    those sent down."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (math.isfinite(self.backward_cost) and self.backward_cost >= 0):
            raise ValueError(f"backward_cost must be a finite number of at least 0, got {self.backward_cost}")

    def evaluations_per_datapoint(self, network: Network) -> float:
        """Return 1 + `backward_cost`: a pass forward and one backward."""
        return 1.0 + self.backward_cost


@dataclass(frozen=True)
class NumericalConfiguration(DescentConfiguration):
    """The gradient by central differences."""

    method: ClassVar = "numerical"

    def evaluations_per_datapoint(self, network: Network) -> float:
        """Return 2 P: each weight up and down."""
        return 2.0 * network.n_weights

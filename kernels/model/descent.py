"""Training by gradients as a method: exact, by finite differences, or predicted. Its configuration and its costs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from freewalk.kernels.model.walk import Optimizer, Schedule, check_counts, check_learning_rates, check_words

Method = Literal["backprop", "numerical", "synthetic"]


class Way(NamedTuple):
    """How a method comes to its gradient; by passes backward, if nothing else is said."""

    tries: bool = False
    """Every weight up and down."""
    predicts: bool = False
    """Layer by layer, by predictors that learn: for layered networks alone."""


METHODS: dict[Method, Way] = {"backprop": Way(), "numerical": Way(tries=True), "synthetic": Way(predicts=True)}
Predictor = Literal["linear", "bias", "conditioned"]


def n_features(predictor: Predictor, width: int, n_output: int) -> int:
    """Return how many numbers a predictor of a layer's gradient is linear in.

    The layer's outputs; `bias` adds a one, `conditioned` the target and a one.
    """
    return width + {"linear": 0, "bias": 1, "conditioned": n_output + 1}[predictor]


@dataclass(frozen=True)
class DescentConfiguration:
    """Everything that decides a step of a gradient method, beside the network and the data.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    method: Method
    """`backprop`: the exact gradient. `numerical`: central differences. `synthetic`: predicted, layer by layer."""
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
    predictor: Predictor = "linear"
    """What predicts a layer's gradient, for `synthetic`: a linear map of its output, one with biases, or one that sees
    the target as well."""
    predictor_learning_rate: float = 0.1
    """Of the predictors, which learn by plain stochastic gradient descent."""
    backward_cost: float = 2.0
    """Evaluations that one backward pass of one datapoint counts for."""

    def __post_init__(self) -> None:
        check_learning_rates(self, "learning_rate", "predictor_learning_rate")
        check_words(self, method=tuple(METHODS), predictor=get_args(Predictor))
        check_counts(self, "batch_size", "timesteps", "schedule_steps")
        if not (math.isfinite(self.backward_cost) and self.backward_cost >= 0):
            raise ValueError(f"backward_cost must be a finite number of at least 0, got {self.backward_cost}")

    @property
    def data_per_step(self) -> int:
        """Datapoints drawn for a step."""
        return self.batch_size

    @property
    def way(self) -> Way:
        """How the method comes to its gradient."""
        return METHODS[self.method]

    @property
    def effective_learning_rate(self) -> float:
        """The learning rate on the gradient of the mean loss."""
        return self.learning_rate

    def evaluations_per_step(self, n_weights: int, n_predictor_weights: int = 0) -> float:
        """Return what a step costs, in forward passes of one datapoint.

        An evaluation is one multiply-add for each of the P weights (a timestep), and a backward pass counts for
        `backward_cost` c of them: half for the gradients of the weights, half for those sent down.

        backprop:   B (1 + c)
        numerical:  2 P B, each weight up and down
        synthetic:  B (1 + c) + B (1 + c/2) S/P with S predictor weights: a predictor runs forward once and gets the
                    gradients of its weights, but sends nothing down

        Parameters
        ----------
        n_weights
            P, weights that a mask forbids not counted.
        n_predictor_weights
            S, see `LayeredNetwork.n_predictor_weights`.
        """
        if self.way.tries:
            return 2.0 * n_weights * self.batch_size
        cost = 1.0 + self.backward_cost
        if self.way.predicts:
            cost += (1.0 + self.backward_cost / 2) * n_predictor_weights / n_weights
        return self.batch_size * cost

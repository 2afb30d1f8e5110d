"""Synthetic gradients as a method: what predicts, and what a step costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from freewalk.kernels.model.descent import BackpropConfiguration
from freewalk.kernels.model.layered import LayeredNetwork, Network
from freewalk.kernels.model.walk import check_learning_rates, check_words

Predictor = Literal["linear", "bias", "conditioned"]


def n_features(predictor: Predictor, width: int, n_output: int) -> int:
    """Return how many numbers a predictor of a layer's gradient is linear in.

    The layer's outputs; `bias` adds a one, `conditioned` the target and a one.
    """
    return width + {"linear": 0, "bias": 1, "conditioned": n_output + 1}[predictor]


def n_predictor_weights(predictor: Predictor, layers: LayeredNetwork) -> int:
    """Return how many weights the predictors of the hidden layers' gradients have together."""
    return sum(n_features(predictor, n, layers.widths[-1]) * n for n in layers.widths[1:-1])


@dataclass(frozen=True)
class SyntheticConfiguration(BackpropConfiguration):
    """Predicted gradients.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    method: ClassVar = "synthetic"
    predictor: Predictor = "linear"
    """What predicts a layer's gradient: a linear map of its output, one with biases, or one that sees the target as
    well."""
    predictor_learning_rate: float = 0.1
    """Of the predictors, which learn by plain stochastic gradient descent."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_learning_rates(self, "predictor_learning_rate")
        check_words(self, predictor=get_args(Predictor))

    def evaluations_per_datapoint(self, network: Network) -> float:
        """Return 1 + c + (1 + c/2) S/P with c of `backward_cost` and S predictor weights.

        A predictor runs forward once and gets the gradients of its weights, but sends nothing down.
        """
        assert isinstance(network, LayeredNetwork)
        share = n_predictor_weights(self.predictor, network) / network.n_weights
        return super().evaluations_per_datapoint(network) + (1.0 + self.backward_cost / 2) * share

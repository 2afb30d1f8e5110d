"""Synthetic gradients as a method: what predicts, and what a step costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from freewalk.kernels.model.descent import BackpropConfiguration
from freewalk.kernels.model.layered import LayeredNetwork, Network
from freewalk.kernels.model.walk import check_learning_rates, check_words

Predictor = Literal["linear", "bias", "input", "conditioned", "context"]
Normalisation = Literal["none", "batch"]


def n_features(predictor: Predictor, width: int, network: Network) -> int:
    """Return how many numbers a predictor of the gradient by `width` activations is linear in.

    The activations; `bias` adds a one, `input` the network's input and a one, `conditioned` the target and a one,
    `context` both and a one.
    """
    n_input, n_output = (
        (network.widths[0], network.widths[-1])
        if isinstance(network, LayeredNetwork)
        else (network.n_input, network.n_output)
    )
    beside = {"linear": 0, "bias": 1, "input": n_input + 1, "conditioned": n_output + 1}
    return width + beside.get(predictor, n_input + n_output + 1)


def n_predictor_weights(predictor: Predictor, network: Network) -> int:
    """Return how many weights the predictors have together: of each hidden layer, or of a free network's neurons."""
    widths = network.widths[1:-1] if isinstance(network, LayeredNetwork) else (network.n_to,)
    return sum(n_features(predictor, n, network) * n for n in widths)


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
    """What predicts the gradient by activations: a linear map of them, one with biases, or one that sees the input, the
    target or both as well; of a sequence those of the timestep that follows."""
    predictor_learning_rate: float = 0.1
    """Of the predictors, which learn by plain stochastic gradient descent."""
    predictor_normalisation: Normalisation = "none"
    """`batch`: predictors see activations of mean 0 and variance 1 over the batch."""
    truncation: int = 1
    """Timesteps of a free network through which a gradient is sent back, before a predicted one is; 0 for all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_learning_rates(self, "predictor_learning_rate")
        check_words(self, predictor=get_args(Predictor), predictor_normalisation=get_args(Normalisation))
        if self.truncation < 0:
            raise ValueError(f"truncation must be at least 0, got {self.truncation}")
        if self.predictor_normalisation == "batch" and self.batch_size < 2:
            raise ValueError("predictor_normalisation=batch needs a batch_size of at least 2")

    def evaluations_per_datapoint(self, network: Network) -> float:
        """Return 1 + c + (1 + c/2) n S/P with c of `backward_cost`, S predictor weights and n predictions a pass.

        A predictor runs forward once and gets the gradients of its weights, but sends nothing down. In layers n is 1;
        on a free network it is the number of boundaries between segments over the timesteps, which all count P.
        """
        share = n_predictor_weights(self.predictor, network) / network.n_weights
        if not isinstance(network, LayeredNetwork):
            share *= (-(-self.timesteps // self.truncation) - 1 if self.truncation else 0) / self.timesteps
        return super().evaluations_per_datapoint(network) + (1.0 + self.backward_cost / 2) * share

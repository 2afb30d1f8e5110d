"""The free network: its sizes and its options."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Loss = Literal["mean_squared_error", "categorical_crossentropy"]
Activation = Literal["sigmoid", "tanh", "relu", "linear"]
OutputActivation = Literal["sigmoid", "tanh", "linear"]


@dataclass(frozen=True)
class FreeNetwork:
    """One fully connected recurrent layer, applied `timesteps` times before its output is read.

    The weight matrix has shape (n_from, n_to): rows in the order input, bias, output, hidden; columns in the order
    output, hidden.

    Raises
    ------
    ValueError
        If a size is out of range or a loss or an activation is unknown.
    """

    n_input: int
    n_output: int
    n_hidden: int
    """Hidden neurons, the output neurons not counted."""
    sequence_input: bool = False
    """Whether the input has a row for each timestep; otherwise one row is fed at every timestep."""
    sequence_output: bool = False
    """Whether the output is read at every timestep; otherwise only after the last."""
    softmax: bool = False
    """Whether a softmax over the outputs follows their activation."""
    loss: Loss = "mean_squared_error"
    """`mean_squared_error` is the sum of squares over outputs and timesteps; the name comes from the original. A target
    that is NaN does not count."""
    hidden_activation: Activation = "sigmoid"
    """Of the hidden neurons."""
    output_activation: OutputActivation = "sigmoid"
    """Of the output neurons; `linear` with `softmax` is a softmax on logits."""
    leak: float = 1.0
    """How much of a hidden neuron's activation is new at each timestep, a <- (1 - leak) a + leak f(z): one over its
    time constant in timesteps (Jaeger et al., Neural Networks 20, 2007). Output neurons keep nothing."""
    hidden_first: bool = False
    """Whether output neurons hear what hidden neurons do in the same timestep, and not in the one before."""

    def __post_init__(self) -> None:
        for name, least in (("n_input", 1), ("n_output", 1), ("n_hidden", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.loss not in get_args(Loss):
            raise ValueError(f"unknown loss {self.loss!r}")
        for name, words in (
            ("hidden_activation", get_args(Activation)),
            ("output_activation", get_args(OutputActivation)),
        ):
            if getattr(self, name) not in words:
                raise ValueError(f"{name} must be one of {', '.join(words)}, got {getattr(self, name)!r}")
        if self.loss == "categorical_crossentropy" and self.output_activation != "sigmoid" and not self.softmax:
            raise ValueError("categorical_crossentropy needs outputs between 0 and 1: sigmoid ones, or a softmax")
        if not (math.isfinite(self.leak) and 0 < self.leak <= 1):
            raise ValueError(f"leak must be above 0 and at most 1, got {self.leak}")

    @property
    def n_from(self) -> int:
        """Rows of the weight matrix."""
        return self.n_input + 1 + self.n_output + self.n_hidden

    @property
    def n_to(self) -> int:
        """Columns of the weight matrix."""
        return self.n_output + self.n_hidden

    @property
    def n_weights(self) -> int:
        """Number of weights P."""
        return self.n_from * self.n_to

    def input_rows(self, timesteps: int) -> int:
        """Rows of one datapoint's input array: one for each timestep, or one in all."""
        return timesteps if self.sequence_input else 1

    def output_rows(self, timesteps: int) -> int:
        """Rows of one datapoint's output array: one for each timestep, or one in all."""
        return timesteps if self.sequence_output else 1


def check_mask(network: FreeNetwork, mask: NDArray[np.bool_] | None) -> None:
    """Raise ValueError unless `mask` is None or a boolean array of shape (n_from, n_to)."""
    if mask is not None and (mask.dtype != np.bool_ or mask.shape != (network.n_from, network.n_to)):
        raise ValueError(
            f"mask must be boolean of shape {(network.n_from, network.n_to)}, got {mask.dtype} of shape {mask.shape}"
        )


@dataclass(frozen=True)
class Wired:
    """A free network of which some weights only are trained, as far as costs go."""

    n_weights: int
    """Those that are trained."""


def check_initial(network: FreeNetwork, initial: NDArray[np.float64] | None) -> None:
    """Raise ValueError unless `initial` is None or finite weights of shape (n_from, n_to)."""
    if initial is None:
        return
    if initial.shape != (network.n_from, network.n_to):
        raise ValueError(f"initial weights must have shape {(network.n_from, network.n_to)}, got {initial.shape}")
    if not np.isfinite(initial).all():
        raise ValueError("initial weights must be finite")

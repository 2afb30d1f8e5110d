"""Layered networks: free networks whose mask leaves only the weights from each layer to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.network import Activation, FreeNetwork, Loss, OutputActivation
from freewalk.kernels.model.noise import initial_uniforms

Array = NDArray[np.float64]


class Place(NamedTuple):
    """Where one layer's weights lie in the free network's matrix."""

    rows: slice
    """Of the neurons, or inputs, that feed the layer."""
    columns: slice
    """Of the layer's own neurons."""


def parse_architecture(text: str) -> tuple[int, ...]:
    """Return the widths that a text such as `24-128-64-12` names: inputs, hidden layers, outputs.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    parts = text.split("-")
    if len(parts) < 2 or not all(part.isascii() and part.isdecimal() and int(part) >= 1 for part in parts):
        raise ValueError(f"architecture must be widths such as 24-128-64-12, two or more of at least 1, got {text!r}")
    return tuple(int(part) for part in parts)


@dataclass(frozen=True)
class LayeredNetwork:
    """A feed-forward network: every layer sees the one before it and a bias.

    Its weights are exchanged as the matrix of the free network that it is a part of, zero where there is no weight.
    That free network, run for as many timesteps as there are layers, gives the same outputs: after timestep t layer t
    holds what it should, and what the other layers hold then never reaches the output.

    Raises
    ------
    ValueError
        If there are fewer than two widths or one is below 1.
    """

    widths: tuple[int, ...]
    """Inputs, hidden layers in order, outputs."""
    hidden_activation: Activation = "sigmoid"
    """Of the hidden layers."""
    output_activation: OutputActivation = "sigmoid"
    """Of the last layer."""
    softmax: bool = False
    """Whether a softmax over the outputs follows their activation."""
    loss: Loss = "mean_squared_error"

    def __post_init__(self) -> None:
        if len(self.widths) < 2 or min(self.widths) < 1:
            raise ValueError(f"widths must be two or more of at least 1, got {self.widths}")
        _ = self.free_network  # which knows the activations and losses

    @classmethod
    def part_of(cls, network: FreeNetwork, widths: Sequence[int]) -> Self:
        """Return the layered network of some widths with a free network's activations, softmax and loss."""
        return cls(
            tuple(widths),
            hidden_activation=network.hidden_activation,
            output_activation=network.output_activation,
            softmax=network.softmax,
            loss=network.loss,
        )

    @property
    def depth(self) -> int:
        """Layers of weights, and the timesteps that the free network needs."""
        return len(self.widths) - 1

    @property
    def n_weights(self) -> int:
        """Number of weights P, biases included."""
        return sum((n_in + 1) * n_out for n_in, n_out in self.layer_sizes)

    @property
    def layer_sizes(self) -> list[tuple[int, int]]:
        """Inputs and neurons of each layer."""
        return list(zip(self.widths[:-1], self.widths[1:], strict=True))

    @cached_property
    def free_network(self) -> FreeNetwork:
        """The free network that this one is a masked part of."""
        return FreeNetwork(
            self.widths[0],
            self.widths[-1],
            sum(self.widths[1:-1]),
            softmax=self.softmax,
            loss=self.loss,
            hidden_activation=self.hidden_activation,
            output_activation=self.output_activation,
        )

    @property
    def places(self) -> list[Place]:
        """Where each layer's weights lie in the matrix: hidden layers in order after the outputs."""
        n_input, n_output = self.widths[0], self.widths[-1]
        first_column = n_output
        rows = slice(0, n_input)
        places = []
        for width in self.widths[1:-1]:
            columns = slice(first_column, first_column + width)
            places.append(Place(rows, columns))
            rows = slice(columns.start + n_input + 1, columns.stop + n_input + 1)
            first_column += width
        return [*places, Place(rows, slice(0, n_output))]

    @property
    def bias_row(self) -> int:
        """Row of the matrix that holds the biases."""
        return self.widths[0]

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(n_from, n_to), True where the layered network has a weight."""
        mask = np.zeros((self.free_network.n_from, self.free_network.n_to), dtype=np.bool_)
        for rows, columns in self.places:
            mask[rows, columns] = True
            mask[self.bias_row, columns] = True
        return mask

    def embed(self, weights: Sequence[NDArray[Any]], biases: Sequence[NDArray[Any]]) -> Array:
        """Return the matrix (n_from, n_to) of layers' weights (n_in, n_out) and biases (n_out,), zero elsewhere.

        Raises
        ------
        ValueError
            If there are not as many as layers, or one has another shape.
        """
        for name, arrays, wanted in (
            ("weights", weights, self.layer_sizes),
            ("biases", biases, [(n_out,) for _, n_out in self.layer_sizes]),
        ):
            shapes = [array.shape for array in arrays]
            if shapes != wanted:
                raise ValueError(f"{name} must have shapes {wanted}, got {shapes}")
        matrix = np.zeros((self.free_network.n_from, self.free_network.n_to))
        for (rows, columns), layer, bias in zip(self.places, weights, biases, strict=True):
            matrix[rows, columns] = layer
            matrix[self.bias_row, columns] = bias
        return matrix

    def split(self, matrix: NDArray[Any]) -> tuple[list[Array], list[Array]]:
        """Return copies of the layers' weights (n_in, n_out) and biases (n_out,) that a matrix (n_from, n_to) holds.

        Raises
        ------
        ValueError
            If the matrix has another shape, or a weight that is not 0 where the layered network has none.
        """
        self.check(matrix)
        weights = [matrix[rows, columns].astype(np.float64) for rows, columns in self.places]
        biases = [matrix[self.bias_row, columns].astype(np.float64) for _, columns in self.places]
        return weights, biases

    def check(self, matrix: NDArray[Any]) -> None:
        """Raise ValueError unless a matrix (n_from, n_to) holds a layered network's weights and zeros."""
        wanted = (self.free_network.n_from, self.free_network.n_to)
        if matrix.shape != wanted:
            raise ValueError(f"weights must have shape {wanted}, got {matrix.shape}")
        if matrix[~self.mask].any():
            widths = "-".join(map(str, self.widths))
            raise ValueError(
                f"weights are not those of the layered network {widths}: some outside its layers are not 0"
            )

    def initial_weights(self, seed: int, *, biases: bool = False) -> Array:
        """Return (n_from, n_to) weights, Glorot-uniform in each layer, U(±sqrt(6 / (n_in + n_out))); biases 0, or so.

        A weight's random word is the one that belongs to its position in the matrix.
        """
        network = self.free_network
        uniforms = initial_uniforms(network.n_from, network.n_to, seed)
        matrix = np.zeros_like(uniforms)
        for rows, columns in self.places:
            n_in, n_out = rows.stop - rows.start, columns.stop - columns.start
            matrix[rows, columns] = uniforms[rows, columns] * np.sqrt(6.0 / (n_in + n_out))
            if biases:
                matrix[self.bias_row, columns] = uniforms[self.bias_row, columns] * np.sqrt(6.0 / (n_in + n_out))
        return matrix


Network = FreeNetwork | LayeredNetwork
"""What is trained: with all its weights, or layer by layer."""

"""Which weights of a gradient belong together, and what their neurons are called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.network import FreeNetwork

Name = Callable[[int], str]


def _numbered(index: int) -> str:
    return str(index)


@dataclass(frozen=True, eq=False)
class Layer:
    """A rectangle of weights that one step of a gradient computation yields."""

    name: str
    indices: NDArray[np.intp]
    """(rows, columns): where the weights stand in the flat gradient."""
    row_name: Name = _numbered
    """Name of the neuron that row i comes from."""
    column_name: Name = _numbered
    """Name of the neuron that column j goes to."""
    depth: int = 0
    """Place among the layers of a layered network, 1 next to the input; 0 where there is no order."""
    is_bias: bool = False


def free_layers(network: FreeNetwork) -> tuple[Layer, ...]:
    """Return the rows of a free network's matrix by what they come from: input, bias, outputs, hidden neurons."""
    positions = np.arange(network.n_weights).reshape(network.n_from, network.n_to)
    first = network.n_input + 1
    groups = (
        ("input rows", "input", 0, network.n_input),
        ("bias row", "bias", network.n_input, first),
        ("output rows", "output", first, first + network.n_output),
        ("hidden rows", "hidden", first + network.n_output, network.n_from),
    )
    return tuple(
        Layer(
            name,
            positions[start:stop],
            _bias if kind == "bias" else _prefixed(kind),
            lambda column: neuron_name(network, column),
            is_bias=kind == "bias",
        )
        for name, kind, start, stop in groups
        if stop > start
    )


def layered_layers(network: LayeredNetwork) -> tuple[Layer, ...]:
    """Return the weights and the biases of each layer, as they stand in the free network's matrix."""
    free = network.free_network
    positions = np.arange(free.n_weights).reshape(free.n_from, free.n_to)
    layers = []
    for depth, (rows, columns) in enumerate(network.places, start=1):
        below = _prefixed("input" if depth == 1 else f"layer {depth - 1} neuron")
        above = _prefixed(f"layer {depth} neuron")
        biases = positions[[network.bias_row], columns]
        layers.append(Layer(f"layer {depth}", positions[rows, columns], below, above, depth))
        layers.append(Layer(f"layer {depth} bias", biases, _bias, above, depth, is_bias=True))
    return tuple(layers)


def array_layers(names: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> tuple[Layer, ...]:
    """Return one layer for each of the arrays that are laid flat one after another; a 1-D array counts as biases.

    Arrays of more than two axes are shown with all but the first axis as columns.
    """
    layers: list[Layer] = []
    start = 0
    for name, shape in zip(names, shapes, strict=True):
        size = int(np.prod(shape))
        is_bias = len(shape) < 2
        depth = 1 + sum(layer.is_bias == is_bias for layer in layers)
        grid = (1, size) if is_bias else (shape[0], size // max(1, shape[0]))
        indices = np.arange(start, start + size).reshape(grid)
        layers.append(Layer(name, indices, _bias if is_bias else _numbered, depth=depth, is_bias=is_bias))
        start += size
    return tuple(layers)


def neuron_name(network: FreeNetwork, column: int) -> str:
    """Return the name of the neuron that a column of the matrix belongs to."""
    n = network.n_output
    return f"output {column}" if column < n else f"hidden {column - n}"


def _prefixed(word: str) -> Name:
    return lambda index: f"{word} {index}"


def _bias(_: int) -> str:
    return "bias"

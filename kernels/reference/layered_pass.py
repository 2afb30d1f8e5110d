"""Layered networks computed layer by layer, in float32 or float64: outputs, and gradients by backpropagation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.network import Activation
from freewalk.kernels.reference.gradient import SLOPES, output_deltas
from freewalk.kernels.reference.reference import ACTIVATIONS, softmax

Array = NDArray[Any]  # float32 or float64
Through = Callable[[Activation, Array, Array], Array]
"""From what arrives at activations to the derivative by their weighted sums, each (B, width)."""


@dataclass(frozen=True)
class Parameters:
    """Weights and biases of all layers as views of one flat array, each layer's weights before its biases."""

    flat: Array
    """(P,)"""
    weights: list[Array]
    """(n_in, n_out) of each layer."""
    biases: list[Array]
    """(n_out,) of each layer."""
    of_layer: list[Array]
    """Each layer's part of the flat array."""


def make_parameters(network: LayeredNetwork, dtype: DTypeLike = np.float64) -> Parameters:
    """Return parameters that are all 0."""
    flat = np.zeros(network.n_weights, dtype=dtype)
    parameters = Parameters(flat, [], [], [])
    first = 0
    for n_in, n_out in network.layer_sizes:
        part = flat[first : first + (n_in + 1) * n_out]
        parameters.of_layer.append(part)
        parameters.weights.append(part[: n_in * n_out].reshape(n_in, n_out))
        parameters.biases.append(part[n_in * n_out :])
        first += len(part)
    return parameters


def set_parameters(network: LayeredNetwork, parameters: Parameters, matrix: NDArray[np.float64]) -> None:
    """Copy a matrix (n_from, n_to) of the free network into parameters, in place."""
    weights, biases = network.split(matrix)
    for arrays, values in ((parameters.weights, weights), (parameters.biases, biases)):
        for array, value in zip(arrays, values, strict=True):
            array[:] = value


def activate(activation: Activation, z: Array) -> Array:
    """Return the activations of weighted sums."""
    return ACTIVATIONS[activation](z)


def slope(activation: Activation, a: Array) -> Array:
    """Return f'(z) of activations a = f(z)."""
    return SLOPES[activation](a)


def through(activation: Activation, arriving: Array, a: Array) -> Array:
    """Return f'(z) of activations a = f(z) times what arrives at them.

    A sigmoid's as (arriving a) (1 - a), in which order the first addition program multiplies: its trace is met to the
    last bit.
    """
    result: Array = arriving * a * (1 - a) if activation == "sigmoid" else arriving * slope(activation, a)
    return result


def activation_of(network: LayeredNetwork, layer: int) -> Activation:
    """Return the activation of a layer: the last has that of outputs."""
    return network.hidden_activation if layer < network.depth - 1 else network.output_activation


def forward_layers(network: LayeredNetwork, parameters: Parameters, x: Array) -> list[Array]:
    """Return the input and the activations of every layer, (B, width) each, the last before any softmax."""
    activations = [x]
    for layer, (weights, bias) in enumerate(zip(parameters.weights, parameters.biases, strict=True)):
        activations.append(activate(activation_of(network, layer), activations[-1] @ weights + bias))
    return activations


def outputs_of(network: LayeredNetwork, last: Array) -> Array:
    """Return the outputs (B, n_output) that the last layer's activations give."""
    return softmax(last) if network.softmax else last


def last_deltas(network: LayeredNetwork, last: Array, y: Array) -> Array:
    """Return the derivative of each datapoint's loss by the weighted sums of the output neurons, (B, n_output)."""
    if network.loss == "mean_squared_error" and not network.softmax:
        return through(network.output_activation, np.where(np.isnan(y), 0, 2 * (last - y)), last)
    return output_deltas(network, last, outputs_of(network, last), y)


def layer_deltas(
    network: LayeredNetwork, parameters: Parameters, activations: list[Array], last: Array, through: Through = through
) -> list[Array]:
    """Return the derivative of each datapoint's loss by the weighted sums of every layer, (B, width) each.

    delta_i = (delta_{i+1} W_{i+1}') f'(h_i), from `last`, that of the output layer.
    """
    deltas = [last]
    for layer in range(network.depth - 2, -1, -1):
        arriving = deltas[0] @ parameters.weights[layer + 1].T
        deltas.insert(0, through(activation_of(network, layer), arriving, activations[layer + 1]))
    return deltas


def write_gradient(gradient: Parameters, activations: list[Array], deltas: list[Array]) -> None:
    """Write the gradient of the mean loss into `gradient`, in place."""
    for layer, delta in enumerate(deltas):
        np.matmul(activations[layer].T, delta, out=gradient.weights[layer])
        np.add.reduce(delta, axis=0, out=gradient.biases[layer])
    np.divide(gradient.flat, len(deltas[0]), out=gradient.flat)

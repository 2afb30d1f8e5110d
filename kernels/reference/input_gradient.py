"""Derivatives of a free network's outputs by its inputs, in NumPy float64.

Shapes and symbols as in `freewalk.kernels.reference.gradient`: with delta_t the derivative by the weighted sums of
timestep t, that by the input of this timestep is W_x delta_t, where W_x are the rows of W that x_t enters by.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.reference import reference
from freewalk.kernels.reference.gradient import SLOPES, timestep_slopes
from freewalk.kernels.reference.reference import Array


class Level(NamedTuple):
    """One output of B datapoints on a scale without ends, which does not saturate with the output."""

    level: Array
    """(B,): the weighted sum z of the output's neuron, whose activation is the output; log(output) with a softmax."""
    output: Array
    """(B,), in (0, 1) of a sigmoid, in (-1, 1) of a tanh."""
    gradient: Array
    """Derivative of each datapoint's level by its own inputs, shaped like them."""


def level_gradient(
    network: FreeNetwork, weights: Array, x: NDArray[Any], output: int, read_after: int, *, by_input: bool = True
) -> Level:
    """Return one output's level and its derivative by the inputs.

    Parameters
    ----------
    weights
        (n_from, n_to) float64.
    x
        (B, n_input), or (B, T, n_input) for a sequence input; rows after the last that counts have the derivative 0.
    output
        Which output, from 0.
    read_after
        Timesteps after which it is read, from 1.
    by_input
        Whether the derivative is wanted; otherwise it is empty.
    """
    entering, after = reference.run(network, weights, x, read_after)
    n = network.n_output
    activations = after[:, -1, :n]
    at_sums = np.zeros_like(activations)
    if network.softmax:
        outputs = reference.softmax(activations)
        level = np.log(outputs[:, output])
        at_sums[:] = -outputs
        at_sums[:, output] += 1
        at_sums *= SLOPES[network.output_activation](activations)
    else:
        outputs = activations
        level = entering[-1] @ weights[:, output]
        at_sums[:, output] = 1
    gradient = _by_input(network, weights, x, entering, after, at_sums) if by_input else np.zeros(0)
    return Level(level, outputs[:, output], gradient)


def _by_input(
    network: FreeNetwork, weights: Array, x: NDArray[Any], entering: list[Array], after: Array, at_sums: Array
) -> Array:
    """Send the derivative by the output neurons' last weighted sums, (B, n_output), back to the inputs."""
    gradient = np.zeros(x.shape)
    delta, arriving, keep = np.zeros((len(x), network.n_to)), np.zeros((len(x), network.n_to)), reference.kept(network)
    delta[:, : network.n_output] = at_sums
    into_x, into_a = weights[: network.n_input].T, weights[network.n_input + 1 :].T
    for t in range(after.shape[1] - 1, -1, -1):
        if network.sequence_input:
            gradient[:, t] = delta @ into_x
        else:
            gradient += delta @ into_x
        if t:
            arriving = delta @ into_a + keep * arriving
            delta = arriving * timestep_slopes(network, entering[t - 1], after[:, t - 1])
    return gradient

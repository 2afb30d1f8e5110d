"""Exact gradients of the free network in NumPy float64, by backpropagation through time: the judge's counterpart.

Shapes as in `freewalk.kernels.reference.reference`. With z_t the weighted sums of timestep t, u_t = [x_t, 1, a_t] and
a_{t+1} = k a_t + (1 - k) f(z_t), where k is what a neuron keeps:

    e_t = W_a delta_t + k e_{t+1} + dL/da_t        delta_t = (1 - k) f'(z_t) e_{t+1}        dL/dW = sum of u_t' delta_t

where e_t is the derivative of the loss by a_t and W_a are the rows of W that a_t enters by. (Werbos, Backpropagation
through time: what it does and how to do it, 1990.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.network import Activation, FreeNetwork, check_mask
from freewalk.kernels.reference import reference
from freewalk.kernels.reference.reference import Array


class Passes(NamedTuple):
    """What a pass there and back leaves of B datapoints."""

    losses: Array
    """(B,)"""
    entering: list[Array]
    """u_t, T of (B, n_from)."""
    deltas: Array
    """delta_t, (B, T, n_to): the derivative of each datapoint's loss by the weighted sums of each timestep."""


def passes(network: FreeNetwork, weights: Array, x: NDArray[Any], y: NDArray[Any], timesteps: int) -> Passes:
    """Run datapoints there and back; parameters as for `loss_gradient`."""
    entering, after = reference.run(network, weights, x, timesteps)
    outputs = reference.read_outputs(network, after)
    n, target = network.n_output, reference.dense_targets(network, y)
    at_outputs = np.zeros((*after.shape[:2], n))
    read = np.s_[:] if network.sequence_output else np.s_[-1]
    at_outputs[:, read] = output_deltas(network, after[:, read, :n], outputs, target)

    deltas = np.zeros(after.shape)
    arriving, keep = np.zeros((len(after), network.n_to)), reference.kept(network)
    for t in range(timesteps - 1, -1, -1):
        deltas[:, t] = arriving * timestep_slopes(network, entering[t], after[:, t])
        deltas[:, t, :n] += at_outputs[:, t]
        arriving = deltas[:, t] @ weights[network.n_input + 1 :].T + keep * arriving
    return Passes(reference.losses(network, outputs, y), entering, deltas)


def loss_gradient(
    network: FreeNetwork,
    weights: Array,
    x: NDArray[Any],
    y: NDArray[Any],
    timesteps: int,
    mask: NDArray[np.bool_] | None = None,
) -> tuple[float, Array]:
    """Return the mean loss over the datapoints and its gradient.

    Parameters
    ----------
    weights
        (n_from, n_to) float64.
    x, y
        Inputs and targets of B datapoints, shapes as in `freewalk.kernels.reference.reference`.
    mask
        (n_from, n_to), False where there is no weight: the gradient is 0 there.

    Returns
    -------
    The mean loss, and (n_from, n_to) float64

    Raises
    ------
    ValueError
        If the mask does not fit the network.
    """
    check_mask(network, mask)
    found = passes(network, weights, x, y, timesteps)
    gradient = np.zeros((network.n_from, network.n_to))
    for t in range(timesteps - 1, -1, -1):
        gradient += found.entering[t].T @ found.deltas[:, t]
    gradient /= len(found.losses)
    return float(found.losses.mean()), gradient if mask is None else gradient * mask


def datapoint_gradients(found: Passes, mask: NDArray[np.bool_] | None = None) -> Array:
    """Return the gradient of each datapoint's own loss, (B, n_from, n_to); 0 where the mask is False."""
    gradients: Array = np.stack(found.entering, axis=2) @ found.deltas
    return gradients if mask is None else gradients * mask


SLOPES: Mapping[Activation, Callable[[Array], Array]] = {
    "sigmoid": lambda a: a * (1 - a),
    "tanh": lambda a: 1 - a * a,
    "relu": lambda a: (a > 0).astype(a.dtype),
    "linear": np.ones_like,
}
"""f'(z) of activations a = f(z), by name; that of relu is 0 at 0."""


def slopes(network: FreeNetwork, a: Array) -> Array:
    """Return f'(z) of activations a = f(z), (..., n_to)."""
    n = network.n_output
    of_outputs, of_hidden = SLOPES[network.output_activation], SLOPES[network.hidden_activation]
    return np.concatenate([of_outputs(a[..., :n]), of_hidden(a[..., n:])], axis=-1)


def timestep_slopes(network: FreeNetwork, entering: Array, after: Array) -> Array:
    """Return the derivative of a timestep's activations by its own weighted sums, (B, n_to): (1 - k) f'(z).

    Parameters
    ----------
    entering, after
        (B, n_from) and (B, n_to): what entered the layer, and the activations after it.
    """
    if network.leak == 1:
        return slopes(network, after)
    keep = reference.kept(network)
    fired = (after - keep * entering[:, network.n_input + 1 :]) / (1 - keep)
    return (1 - keep) * slopes(network, fired)


def output_deltas(
    network: FreeNetwork | LayeredNetwork,
    activations: NDArray[Any],
    outputs: NDArray[Any],
    target: NDArray[Any],
) -> NDArray[Any]:
    """Return the derivative of each datapoint's loss by the weighted sums of the output neurons.

    Parameters
    ----------
    network
        Whose loss and output activation count.
    activations
        (..., n_output) activations of the output neurons, at the timesteps that are read.
    outputs
        (..., n_output), their softmax if there is one, else the same.
    target
        (..., n_output), NaN where an output does not count.

    Returns
    -------
    (..., n_output). With s the activation's slope, a (1 - a) or 1: 2 (o - y) s, and -y (1 - a) for the cross-entropy
    -y log a, which needs no division by a small output; after a softmax o (g - sum g o) s with g = dL/do, which for the
    cross-entropy is (o sum y - y) s.
    """
    slope = SLOPES[network.output_activation](activations)
    counts = ~np.isnan(target)
    deltas: NDArray[Any]
    if network.loss == "categorical_crossentropy":
        wanted = np.where(counts, target, 0)
        if network.softmax:
            deltas = (outputs * wanted.sum(axis=-1, keepdims=True) - wanted) * slope
        else:
            deltas = -wanted * (1 - activations)
        return deltas
    by_output = np.where(counts, 2 * (outputs - target), 0)
    if network.softmax:
        by_output = outputs * (by_output - (by_output * outputs).sum(axis=-1, keepdims=True))
    deltas = by_output * slope
    return deltas

"""Exact gradients of the free network in NumPy float64, by backpropagation through time: the judge's counterpart.

Shapes as in `freewalk.kernels.reference.reference`. With z_t the weighted sums of timestep t, a_{t+1} = f(z_t) and
u_t = [x_t, 1, a_t]:

    delta_t = (W_a delta_{t+1} + dL/da_{t+1}) f'(z_t)        dL/dW = sum over t of u_t' delta_t

where W_a are the rows of W that a_t enters by. (Werbos, Backpropagation through time: what it does and how to do it,
1990.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.network import FreeNetwork, Loss, check_mask
from freewalk.kernels.reference import reference
from freewalk.kernels.reference.reference import Array


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
    entering, after = reference.run(network, weights, x, timesteps)
    outputs = reference.read_outputs(network, after)
    loss = float(reference.losses(network, outputs, y).mean())
    target = reference.dense_targets(network, y)
    n = network.n_output
    at_outputs = np.zeros((*after.shape[:2], n))
    read = np.s_[:] if network.sequence_output else np.s_[-1]
    at_outputs[:, read] = output_deltas(network.loss, network.softmax, after[:, read, :n], outputs, target)

    gradient = np.zeros((network.n_from, network.n_to))
    arriving = np.zeros((len(after), network.n_to))
    for t in range(timesteps - 1, -1, -1):
        delta = arriving * slopes(network, after[:, t])
        delta[:, :n] += at_outputs[:, t]
        gradient += entering[t].T @ delta
        arriving = delta @ weights[network.n_input + 1 :].T
    gradient /= len(after)
    return loss, gradient if mask is None else gradient * mask


def slopes(network: FreeNetwork, a: Array) -> Array:
    """Return f'(z) of activations a = f(z), (..., n_to): a (1 - a) for sigmoid, 1 - a**2 for tanh."""
    n = network.n_output if network.hidden_activation == "tanh" else network.n_to
    return np.concatenate([a[..., :n] * (1 - a[..., :n]), 1 - a[..., n:] ** 2], axis=-1)


def output_deltas(
    loss: Loss,
    softmax: bool,
    activations: NDArray[Any],
    outputs: NDArray[Any],
    target: NDArray[Any],
) -> NDArray[Any]:
    """Return the derivative of each datapoint's loss by the weighted sums of the output neurons.

    Parameters
    ----------
    activations
        (..., n_output) sigmoid activations of the output neurons, at the timesteps that are read.
    outputs
        (..., n_output), their softmax if there is one, else the same.
    target
        (..., n_output).

    Returns
    -------
    (..., n_output). With s = a (1 - a): 2 (o - y) s, and -y (1 - a) for the cross-entropy -y log a, which needs no
    division by a small output; after a softmax o (g - sum g o) s with g = dL/do, which for the cross-entropy is
    (o sum y - y) s.
    """
    slope = activations * (1 - activations)
    deltas: NDArray[Any]
    if loss == "categorical_crossentropy":
        if softmax:
            deltas = (outputs * target.sum(axis=-1, keepdims=True) - target) * slope
        else:
            deltas = -target * (1 - activations)
        return deltas
    by_output = 2 * (outputs - target)
    if softmax:
        by_output = outputs * (by_output - (by_output * outputs).sum(axis=-1, keepdims=True))
    deltas = by_output * slope
    return deltas

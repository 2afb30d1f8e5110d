"""Derivatives of the loss along directions in the weights, in NumPy float64: forward gradients.

Shapes as in `freewalk.kernels.reference.reference`. A derivative passes forward beside the activations (Wengert, CACM
7, 1964), and a direction times it is an unbiased estimate of the gradient (Baydin et al., arXiv:2202.08587, 2022).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.reference import reference
from freewalk.kernels.reference.gradient import output_deltas, timestep_slopes
from freewalk.kernels.reference.reference import Array


def loss_slopes(
    network: FreeNetwork,
    weights: Array,
    x: NDArray[Any],
    y: NDArray[Any],
    timesteps: int,
    directions: Array,
    *,
    share_data: bool = False,
) -> Array:
    """Return the (K, datapoints) derivatives of the loss along K directions in the weights, by forward differentiation.

    With z_t the sums of timestep t and a dot for the derivative along D, dot z_t = [0, 0, dot a_t] W + u_t D and
    dot a_{t+1} = k dot a_t + (1 - k) f'(z_t) dot z_t. Parameters as for `perturbed_losses`.
    """
    n = len(directions)
    each = len(x) if share_data else len(x) // n
    seen = np.arange(n * each) % len(x)
    own = np.repeat(directions, each, axis=0)
    entering, after = reference.run(network, weights, x[seen], timesteps)
    outputs, target = reference.read_outputs(network, after), reference.dense_targets(network, y[seen])
    rate, keep, slopes = np.zeros((n * each, network.n_to)), reference.kept(network), np.zeros(n * each)
    for t in range(timesteps):
        rate_of_sums = rate @ weights[network.n_input + 1 :] + np.einsum("bi,bij->bj", entering[t], own)
        if network.sequence_output or t == timesteps - 1:
            read = np.s_[:, t] if network.sequence_output else np.s_[:]
            deltas = output_deltas(network, after[:, t, : network.n_output], outputs[read], target[read])
            slopes += (deltas * rate_of_sums[:, : network.n_output]).sum(axis=1)
        rate = keep * rate + timestep_slopes(network, entering[t], after[:, t]) * rate_of_sums
    return slopes.reshape(n, each)


def tangent_estimate(
    network: FreeNetwork,
    weights: Array,
    x: NDArray[Any],
    y: NDArray[Any],
    timesteps: int,
    directions: Array,
    *,
    share_data: bool = False,
    shaping: reference.Shaping = "none",
) -> Array:
    """Return the estimate of the gradient of the mean loss: mean_k D_k mean_b (the slope of L_b along D_k).

    Parameters
    ----------
    x, y
        Datapoints in the order of the directions that see them, as many for each; or those that all see.
    directions
        D, (K, n_from, n_to), 0 where there is no weight.
    share_data
        Whether all directions see all datapoints.
    shaping
        See `freewalk.kernels.reference.reference.shaped`.
    """
    slopes = loss_slopes(network, weights, x, y, timesteps, directions, share_data=share_data).mean(axis=1)
    weighing = reference.shaped(slopes, np.zeros_like(slopes), 1.0, "one", share_data, shaping)
    result: Array = (directions * weighing[:, None, None]).mean(axis=0)
    return result

"""The free network and the walk in NumPy float64, written as the formulas read: the judge of every fast kernel.

Shapes: B datapoints, T timesteps, weights (n_from, n_to), or (B, n_from, n_to) for a weight matrix of its own for each
datapoint. Inputs x: (B, n_input) static, (B, T, n_input) sequence, or (B, T) integers meant one-hot. Targets y:
(B, n_output), (B, T, n_output) for a sequence output, or (B, T) integers meant one-hot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.network import Activation, FreeNetwork

Array = NDArray[np.float64]
Update = Literal["raw", "normalised"]
Sides = Literal["one", "two"]
Shaping = Literal["none", "std", "ranks"]


def one_hot(indices: NDArray[Any], n: int) -> Array:
    """Return (..., n) zeros with a one at each index.

    Raises
    ------
    ValueError
        If an index lies outside 0..n-1.
    """
    if indices.size and (indices.min() < 0 or indices.max() >= n):
        raise ValueError(f"one-hot indices must lie in 0..{n - 1}, got {indices.min()}..{indices.max()}")
    rows: Array = np.eye(n)[indices]
    return rows


def _dense(values: NDArray[Any], n: int, is_sequence: bool) -> Array:
    """Return x or y as floats with a last axis of n; integers without that axis are one-hot."""
    if np.issubdtype(values.dtype, np.integer) and is_sequence and values.ndim == 2:
        return one_hot(values, n)
    return values.astype(np.float64)


def dense_inputs(network: FreeNetwork, x: NDArray[Any]) -> Array:
    """Return x as float64, (B, T, n_input) or (B, n_input), integers of a sequence made one-hot."""
    return _dense(x, network.n_input, network.sequence_input)


def dense_targets(network: FreeNetwork, y: NDArray[Any]) -> Array:
    """Return y as float64, (B, T, n_output) or (B, n_output), integers of a sequence made one-hot."""
    return _dense(y, network.n_output, network.sequence_output)


def sigmoid(z: Array) -> Array:
    """Return 1 / (1 + e**-z)."""
    with np.errstate(over="ignore"):  # e**710 is infinite, and 1 / infinity the right answer
        result: Array = 1.0 / (1.0 + np.exp(-z))
    return result


def softmax(z: Array) -> Array:
    """Return e**z normalised over the last axis."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    result: Array = e / e.sum(axis=-1, keepdims=True)
    return result


ACTIVATIONS: Mapping[Activation, Callable[[Array], Array]] = {
    "sigmoid": sigmoid,
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0.0),
    "linear": lambda z: z,
}
"""f(z) by name."""


def activate(network: FreeNetwork, z: Array) -> Array:
    """Return f(z) of weighted sums (..., n_to), outputs and hidden neurons by the activation of each."""
    n = network.n_output
    of_outputs, of_hidden = ACTIVATIONS[network.output_activation], ACTIVATIONS[network.hidden_activation]
    return np.concatenate([of_outputs(z[..., :n]), of_hidden(z[..., n:])], axis=-1)


def kept(network: FreeNetwork) -> Array:
    """Return how much of its activation each neuron keeps from timestep to timestep, (n_to,): 1 - leak if hidden."""
    share = np.full(network.n_to, 1 - network.leak)
    share[: network.n_output] = 0.0
    return share


def run(network: FreeNetwork, weights: Array, x: NDArray[Any], timesteps: int) -> tuple[list[Array], Array]:
    """Return what enters the layer at each timestep, T of (B, n_from), and the activations after each, (B, T, n_to).

    a_0 = 0, a_{t+1} = k a_t + (1 - k) f([x_t, 1, a_t] @ W), where k is what `kept` returns; with hidden neurons first,
    output neurons see their new activations in a_t, and so do the entries of what enters.
    """
    inputs = dense_inputs(network, x)
    a, keep = np.zeros((len(inputs), network.n_to)), kept(network)
    one = np.ones((len(inputs), 1))
    entering, after = [], []
    for t in range(timesteps):
        x_t = inputs[:, t] if network.sequence_input else inputs
        entering.append(np.concatenate([x_t, one, a], axis=1))
        a = _after(network, weights, entering[-1], a, keep)
        if network.hidden_first:
            hidden = a[:, network.n_output :]
            entering[-1] = np.concatenate([entering[-1][:, : network.n_input + 1 + network.n_output], hidden], axis=1)
            a = np.concatenate([_after(network, weights, entering[-1], a, keep)[:, : network.n_output], hidden], axis=1)
        after.append(a)
    return entering, np.stack(after, axis=1)


def _after(network: FreeNetwork, weights: Array, entering: Array, before: Array, keep: Array) -> Array:
    """Return the activations (B, n_to) that what enters the layer makes of those before."""
    fired = activate(network, (entering[:, None, :] @ weights)[:, 0, :])
    return fired if network.leak == 1 else keep * before + (1 - keep) * fired


def read_outputs(network: FreeNetwork, after: Array) -> Array:
    """Return the outputs that activations after each timestep, (B, T, n_to), hold."""
    read = after[:, :, : network.n_output]
    outputs = read if network.sequence_output else read[:, -1]
    return softmax(outputs) if network.softmax else outputs


def forward(network: FreeNetwork, weights: Array, x: NDArray[Any], timesteps: int) -> Array:
    """Return the outputs: the first n_output activations after the last timestep, or after each.

    Returns
    -------
    (B, n_output), or (B, T, n_output) for a sequence output
    """
    return read_outputs(network, run(network, weights, x, timesteps)[1])


def losses(network: FreeNetwork, outputs: Array, y: NDArray[Any]) -> Array:
    """Return the (B,) losses: the sum over outputs and timesteps of (o - y)**2, or of -y log(o), but where y is NaN."""
    target = dense_targets(network, y)
    if network.loss == "mean_squared_error":
        each = (outputs - target) ** 2
    else:
        with np.errstate(divide="ignore"):  # 0 log(0) counts as 0, any other log(0) as it is: infinite
            each = -target * np.log(np.where(target == 0, 1.0, outputs))
    counted = np.where(np.isnan(target), 0.0, each)
    total: Array = counted.reshape(len(each), -1).sum(axis=1)
    return total


def perturbed_losses(
    network: FreeNetwork,
    weights: Array,
    x: NDArray[Any],
    y: NDArray[Any],
    timesteps: int,
    perturbations: Array,
    *,
    share_data: bool = False,
) -> Array:
    """Return the (K, datapoints) losses of K perturbed networks.

    Parameters
    ----------
    x, y
        K times as many datapoints as one perturbation sees, or those that all see, with `share_data`.
    perturbations
        (K, n_from, n_to).
    """
    n = len(perturbations)
    each = len(x) if share_data else len(x) // n
    seen = np.arange(n * each) % len(x)
    own = np.repeat(weights + perturbations, each, axis=0)
    return losses(network, forward(network, own, x[seen], timesteps), y[seen]).reshape(n, each)


def gradient_estimate(
    network: FreeNetwork,
    weights: Array,
    x: NDArray[Any],
    y: NDArray[Any],
    timesteps: int,
    unit_noise: Array,
    stddev: float,
    *,
    sides: Sides = "one",
    mask: NDArray[np.bool_] | None = None,
    share_data: bool = False,
    shaping: Shaping = "none",
) -> Array:
    """Return the walk's estimate of the gradient of the mean loss, times stddev squared.

    With D_k = stddev * unit_noise[k], masked weights unperturbed, and the mean over the datapoints b that see D_k:
    mean_k D_k mean_b (L_b(W + D_k) - L_b(W)), or two-sided mean_k D_k mean_b (L_b(W + D_k) - L_b(W - D_k)) / 2.
    Shaping puts numbers of its own in the place of the K mean differences over stddev.

    Parameters
    ----------
    x, y
        Datapoints in the order of the perturbations that see them, as many for each; or those that all see.
    unit_noise
        (K, n_from, n_to), of unit variance.
    mask
        (n_from, n_to), False where there is no weight.
    share_data
        Whether all perturbations see all datapoints.
    shaping
        See `shaped`.
    """
    perturbations = stddev * unit_noise * (1.0 if mask is None else mask)

    def losses_at(sign: float) -> Array:
        every = perturbed_losses(network, weights, x, y, timesteps, sign * perturbations, share_data=share_data)
        means: Array = every.mean(axis=1)
        return means

    other = losses_at(0 if sides == "one" else -1)
    weighing = shaped(losses_at(1), other, stddev, sides, share_data, shaping)
    result: Array = (perturbations * weighing[:, None, None]).mean(axis=0)
    return result


def shaped(plus: Array, other: Array, stddev: float, sides: Sides, share_data: bool, shaping: Shaping) -> Array:
    """Return the (K,) numbers that weigh unit perturbations in an estimate of the gradient, times stddev.

    none:   the slopes: over stddev, the loss at plus less that at the centre, or half of it less that at minus
    std:    the slopes over their standard deviation (K - 1 below); 0 if that is 0: FZOO (Dang et al., 2025)
    ranks:  centred ranks in [-1/2, 1/2] of the slopes; two-sided half of the difference of the two centred ranks among
            all 2 K losses, as in OpenAI-ES (Salimans et al., 2017), or, if data are not shared, among the 2 K
            differences from the mean of each pair. Equals have the mean of their ranks.

    Parameters
    ----------
    plus, other
        (K,) mean losses of each perturbation's datapoints at W + D, and at W or, two-sided, at W - D.
    """
    difference = plus - other if sides == "one" else (plus - other) / 2
    if shaping == "none":
        return difference
    if shaping == "std":
        deviation = difference.std(ddof=1)
        return stddev * difference / deviation if deviation > 0 else np.zeros_like(difference)
    if sides == "one":
        return stddev * centred_ranks(difference)
    both = [plus, other] if share_data else [difference, -difference]
    up, down = np.split(centred_ranks(np.concatenate(both)), 2)
    half: Array = stddev * (up - down) / 2
    return half


def centred_ranks(values: Array) -> Array:
    """Return the ranks of (n,) values, from -1/2 for the least to 1/2 for the largest; equals share their mean."""
    ordered = np.sort(values)
    below = np.searchsorted(ordered, values, side="left")
    up_to = np.searchsorted(ordered, values, side="right") - 1
    result: Array = (below + up_to) / 2 / (len(values) - 1) - 0.5
    return result


def numerical_gradient(
    function: Callable[[Array], float], weights: Array, h: float = 1e-5, mask: NDArray[np.bool_] | None = None
) -> Array:
    """Return the gradient of a function of the weights by central differences, one weight at a time.

    Where the mask is False, nothing is tried and the gradient is 0.
    """
    gradient = np.zeros_like(weights)
    for index in np.ndindex(weights.shape):
        if mask is None or mask[index]:
            up, down = weights.copy(), weights.copy()
            up[index] += h
            down[index] -= h
            gradient[index] = (function(up) - function(down)) / (2 * h)
    return gradient

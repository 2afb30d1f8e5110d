"""Node perturbation in NumPy float64: noise on the weighted sums of neurons instead of on the weights.

Shapes as in `freewalk.kernels.reference.reference`. Beside the clean pass, z_t = u_t W with u_t = [x_t, 1, a_t], runs a
noisy one in which every sum has its own noise, ~z_t = ~u_t W + sigma xi_t. With dL = L(~) - L and the u_t of the clean
pass, a datapoint's part of the estimate is

    node perturbation           sum over t of u_t' xi_t dL / sigma
    activity-based              sqrt(N) sum over t of u_t' d_t dL / |d|**2, with d_t = ~z_t - z_t

where N counts the sums that have noise: all but those that reach no output, which are the hidden ones of the last
timestep. In a layered network the sums of layer k count at timestep k alone.

Node perturbation: Widrow and Lehr, Proceedings of the IEEE 78, 1990 (Madaline rule III); Werfel, Xie and Seung, Neural
Computation 17, 2005; through time, with the eligibility above: Fiete and Seung, Physical Review Letters 97, 2006.
Activity-based: Dalm, van Gerven and Ahmad, arXiv:2310.00965; through time: Fernández, Keemink and van Gerven, Frontiers
in Neuroscience 18, 2024.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import Noise, Stream, unit_perturbations
from freewalk.kernels.reference import reference
from freewalk.kernels.reference.gradient import Passes
from freewalk.kernels.reference.reference import Array


def unit_node_noise(
    network: FreeNetwork, timesteps: int, *, seed: int, step: int, datapoints: NDArray[np.integer], noise: Noise
) -> Array:
    """Return xi of some datapoints at one step, (n, timesteps, n_to); 0 for hidden neurons at the last timestep."""
    drawn: Array = unit_perturbations(
        network.n_to, timesteps, seed=seed, step=step, datapoints=datapoints, noise=noise, stream=Stream.NODES
    ).swapaxes(1, 2)
    drawn[:, -1, network.n_output :] = 0.0
    return drawn


def node_estimate(
    network: FreeNetwork,
    weights: Array,
    x: NDArray[Any],
    y: NDArray[Any],
    timesteps: int,
    xi: Array,
    stddev: float,
    *,
    sides: reference.Sides = "one",
    activity: bool = False,
) -> tuple[float, Array]:
    """Return the mean loss of the clean pass and the estimate of its gradient, (n_from, n_to).

    Parameters as for `node_traces`.
    """
    loss, entering, traces = node_traces(network, weights, x, y, timesteps, xi, stddev, sides=sides, activity=activity)
    estimate = sum((u.T @ traces[:, t] for t, u in enumerate(entering)), np.zeros_like(weights))
    return float(loss.mean()), estimate / len(loss)


def node_traces(
    network: FreeNetwork,
    weights: Array,
    x: NDArray[Any],
    y: NDArray[Any],
    timesteps: int,
    xi: Array,
    stddev: float,
    *,
    sides: reference.Sides = "one",
    activity: bool = False,
) -> tuple[Array, list[Array], Array]:
    """Return the losses of the clean pass, u_t, and what stands for delta_t in the gradient, the sum of u_t' delta_t.

    Two-sided, dL is half the difference of the losses with +xi and -xi.

    Parameters
    ----------
    weights
        (n_from, n_to) float64.
    x, y
        Inputs and targets of B datapoints.
    xi
        (B, timesteps, n_to), of unit variance, 0 at sums without noise.
    stddev
        Of the noise, sigma.
    sides
        Whether one noisy pass is compared with the clean one, or two with each other.
    activity
        Whether the change of the sums takes the noise's place; needs one side.

    Returns
    -------
    (B,), T of (B, n_from), and (B, T, n_to)
    """

    def losses(after: Array) -> Array:
        return reference.losses(network, reference.read_outputs(network, after), y)

    entering, after = reference.run(network, weights, x, timesteps)
    clean = losses(after)
    sums, noisy = _noisy_pass(network, weights, x, stddev * xi)
    if sides == "two":
        change = (losses(noisy) - losses(_noisy_pass(network, weights, x, -stddev * xi)[1])) / 2
    else:
        change = losses(noisy) - clean
    if activity:
        moved = np.where(xi == 0, 0.0, sums - np.stack([u @ weights for u in entering], axis=1))
        length = (moved**2).sum(axis=(1, 2))
        return clean, entering, moved * (np.sqrt(np.count_nonzero(xi[0])) * change / length)[:, None, None]
    return clean, entering, xi * (change / stddev)[:, None, None]


def _noisy_pass(network: FreeNetwork, weights: Array, x: NDArray[Any], noise: Array) -> tuple[Array, Array]:
    """Return the sums and the activations after each timestep, (B, T, n_to), with noise (B, T, n_to) on the sums."""
    inputs, keep = reference.dense_inputs(network, x), reference.kept(network)
    a, one = np.zeros((len(inputs), network.n_to)), np.ones((len(inputs), 1))
    sums, after = [], []
    for t in range(noise.shape[1]):
        x_t = inputs[:, t] if network.sequence_input else inputs
        sums.append(np.concatenate([x_t, one, a], axis=1) @ weights + noise[:, t])
        a = keep * a + (1 - keep) * reference.activate(network, sums[-1])
        after.append(a)
    return np.stack(sums, axis=1), np.stack(after, axis=1)


def node_expected_squares(found: Passes, noisy: NDArray[np.bool_], noise: Noise = "gaussian") -> Array:
    """Return E g^**2 of each weight over the noise, for each datapoint, if its loss is linear in the noise.

    With M_t the sums of timestep t that have noise and G the datapoint's gradient, of the weight from i to j

        E g^_ij**2 = |delta|**2 sum over t with j in M_t of u_ti**2 + 2 G_ij**2

    for normal noise; signs have 2 sum over t of u_ti**2 delta_tj**2 less. Summed over all weights and divided by
    |G|**2 that is c, the variance constant: S |delta|**2 / |G|**2 + 2 with S = sum over t of |M_t| |u_t|**2.

    Parameters
    ----------
    found
        A pass there and back of B datapoints.
    noisy
        (T, n_to), which sums have noise.

    Returns
    -------
    (B, n_from, n_to)
    """
    squares = np.stack(found.entering, axis=2) ** 2
    deltas = np.where(noisy, found.deltas, 0.0)
    result: Array = (squares @ noisy.astype(np.float64)) * (deltas**2).sum(axis=(1, 2))[:, None, None]
    result += 2 * (np.stack(found.entering, axis=2) @ deltas) ** 2
    if noise == "rademacher":
        result -= 2 * squares @ deltas**2
    return result


def noisy_sums(network: FreeNetwork, timesteps: int, layers: LayeredNetwork | None = None) -> NDArray[np.bool_]:
    """Return which sums have noise, (T, n_to): all that reach an output; in layers each at its own timestep."""
    noisy = np.ones((timesteps, network.n_to), dtype=np.bool_)
    noisy[-1, network.n_output :] = False
    if layers is not None:
        noisy[:] = False
        for t, (_, columns) in enumerate(layers.places):
            noisy[t, columns] = True
    return noisy

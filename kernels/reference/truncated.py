"""Truncated backpropagation through time with a synthetic gradient at the end of every segment, float32 or float64.

Jaderberg et al., Decoupled Neural Interfaces using Synthetic Gradients, 2017, arXiv:1608.05343, section 2.1. With
s(a_t) the guess of the derivative of the loss of all later timesteps by the activations a_t:

    at a boundary t   what arrives from later timesteps is replaced by s(a_t),
                      and is itself the target of s(a_t): exact within the next segment, a guess of s beyond it
    elsewhere         backpropagation through time, see `freewalk.kernels.reference.gradient`

Without boundaries it is the exact gradient; with s = 0 it is truncated backpropagation through time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.reference import reference
from freewalk.kernels.reference.gradient import output_deltas, timestep_slopes

Array = NDArray[Any]  # float32 or float64


class Boundary(NamedTuple):
    """Where one segment ends and the next begins."""

    timestep: int
    """The first of the next segment."""
    activations: Array
    """(B, n_to), which enter it."""
    guess: Array
    """(B, n_to), of the derivative of each datapoint's later loss by them."""
    target: Array
    """(B, n_to), what the next segment sends back."""


def run_steps(network: FreeNetwork, weights: Array, x: Array, timesteps: int) -> tuple[list[Array], Array]:
    """Return what `reference.run` returns, of dense inputs and in the type of the weights."""
    a, keep = np.zeros((len(x), network.n_to), weights.dtype), reference.kept(network).astype(weights.dtype)
    one = np.ones((len(x), 1), weights.dtype)
    entering, after = [], []
    for t in range(timesteps):
        entering.append(np.concatenate([x[:, t] if network.sequence_input else x, one, a], axis=1))
        fired = reference.activate(network, entering[-1] @ weights)
        a = fired if network.leak == 1 else keep * a + (1 - keep) * fired
        after.append(a)
    return entering, np.moveaxis(np.stack(after), 0, 1)  # a timestep lies together in memory


def boundaries_of(timesteps: int, truncation: int) -> range:
    """Return the timesteps at which segments of a length end and others begin; none for length 0, the whole."""
    return range(truncation, timesteps, truncation) if truncation else range(0)


def truncated_gradient(
    network: FreeNetwork,
    weights: Array,
    x: Array,
    y: Array,
    timesteps: int,
    truncation: int,
    guess: Callable[[int, Array], Array],
) -> tuple[float, Array, list[Boundary]]:
    """Return the mean loss, what is taken for its gradient, (n_from, n_to) float64, and the boundaries, last first.

    Parameters
    ----------
    x, y
        Dense inputs and targets, shapes as in `freewalk.kernels.reference.reference`.
    truncation
        Timesteps of a segment, the last perhaps shorter; 0 for all.
    guess
        From a boundary's timestep and activations (B, n_to) to s (B, n_to).
    """
    entering, after = run_steps(network, weights, x, timesteps)
    outputs = reference.read_outputs(network, after)
    loss = float(reference.losses(network, outputs, y).mean())
    n, inside = network.n_output, boundaries_of(timesteps, truncation)
    at_outputs = np.zeros((*after.shape[:2], n), weights.dtype)
    read = np.s_[:] if network.sequence_output else np.s_[-1]
    at_outputs[:, read] = output_deltas(network, after[:, read, :n], outputs, y)

    gradient = np.zeros((network.n_from, network.n_to))
    keep = reference.kept(network).astype(weights.dtype)
    arriving = np.zeros((len(after), network.n_to), weights.dtype)
    found = []
    for t in range(timesteps - 1, -1, -1):
        if t + 1 in inside:
            guessed = guess(t + 1, after[:, t])
            found.append(Boundary(t + 1, after[:, t], guessed, arriving))
            arriving = guessed
        delta = arriving * timestep_slopes(network, entering[t], after[:, t]).astype(weights.dtype, copy=False)
        delta[:, :n] += at_outputs[:, t]
        gradient += entering[t].T @ delta
        arriving = delta @ weights[network.n_input + 1 :].T + keep * arriving
    return loss, gradient / len(after), found

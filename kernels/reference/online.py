"""Gradients of the free network that are carried forward in time, in NumPy float64: RTRL, RFLO and UORO.

Shapes as in `freewalk.kernels.reference.reference`. With z_t the weighted sums of timestep t, u_t = [x_t, 1, a_t] and
a_{t+1} = k a_t + (1 - k) f(z_t), let s_t = (1 - k) f'(z_t). How neuron m answers to the weight from i to j:

    P_t[ij, m] = da_t[m] / dW[ij]
    P_{t+1}[ij, m] = k_m P_t[ij, m] + s_t[m] (sum of P_t[ij, n] W_a[n, m] over n + [j = m] u_t[i])

where W_a are the rows of W that a_t enters by. The outputs that are read after timestep t are activations of the output
neurons o, which keep nothing. With delta_t[o] the derivative of their loss by their weighted sums,

    dL/dW[ij] = sum over t of    [j is an output] u_t[i] delta_t[j]    +    sum of P_t[ij, n] l_t[n] over n

The first part needs no memory, and all rules take it as it is. In the second, the *learning signal* l_t = W_a delta_t
is the derivative of the loss by what *entered* the timestep: an error at the outputs reaches the other neurons through
the output neurons' weights, which read activations of the timestep before. Output neurons are neurons of the layer like
others, so they get a learning signal too. The rules differ in what they carry in the place of P. Weights stay as they
are during a sequence, and the gradient moves them at its end.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import Stream, counters, philox, sign_from_words, uniform_from_words
from freewalk.kernels.reference import reference
from freewalk.kernels.reference.gradient import output_deltas, timestep_slopes
from freewalk.kernels.reference.reference import Array

EPSILON = 1e-7
"""What UORO adds so that nothing is divided by 0, as in the paper."""


class Carried(ABC):
    """What a rule carries forward in the place of P, of B datapoints; 0 before the first timestep."""

    def __init__(self, network: FreeNetwork, weights: Array, batch_size: int) -> None:
        self.among = weights[network.n_input + 1 :]
        """W_a, (n_to, n_to)."""
        self.to_outputs = self.among[:, : network.n_output]
        """Of W_a, what leads to the output neurons, (n_to, n_output)."""
        self.keep = reference.kept(network)
        self.shape = (batch_size, network.n_from, network.n_to)

    @abstractmethod
    def credit(self, deltas: Array) -> Array:
        """Return the second part of the gradient for deltas (B, n_output) of a timestep, (B, n_from, n_to)."""

    @abstractmethod
    def advance(self, entering: Array, slopes: Array) -> None:
        """Go on by a timestep with u_t, (B, n_from), and s_t, (B, n_to)."""


class Rtrl(Carried):
    """P itself: the gradient is exact (Williams and Zipser, Neural Computation 1, 1989)."""

    def __init__(self, network: FreeNetwork, weights: Array, batch_size: int) -> None:
        super().__init__(network, weights, batch_size)
        self.influence = np.zeros((*self.shape, network.n_to))

    def credit(self, deltas: Array) -> Array:
        """Return the sum of P[ij, n] l[n] over n."""
        result: Array = np.einsum("bijn,bn->bij", self.influence, deltas @ self.to_outputs.T)
        return result

    def advance(self, entering: Array, slopes: Array) -> None:
        """P[ij, m] <- k_m P[ij, m] + s[m] (sum of P[ij, n] W_a[n, m] over n + [j = m] u[i])."""
        through = self.influence @ self.among
        through += entering[:, :, None, None] * np.eye(self.shape[2])
        self.influence = self.keep * self.influence + slopes[:, None, None, :] * through


class Rflo(Carried):
    """A trace for each weight, p[ij] in the place of P[ij, j], and 0 in the place of all else.

        p_{t+1}[ij] = k_j p_t[ij] + s_t[j] u_t[i]        second part: p_t[ij] (F delta_t)[j]

    Dropped from RTRL is W_a in the course of P, a neuron's weight on itself too: an activation lives on in what its own
    neuron keeps of it, and acts on outputs straight through the weights to them. With leak 1 nothing is kept, and a
    trace reaches back one timestep. With F the weights to the outputs (symmetric feedback: what e-prop comes to for
    such neurons, Bellec et al., Nature Communications 11:3625, 2020) the gradient is exact over two timesteps, and over
    any number where outputs alone hear neurons and nobody hears outputs. With F fixed and random it is RFLO (Murray,
    eLife 8:e43299, 2019), there with linear readouts outside the layer, which see activations without the timestep of
    delay, and with weights that move at every timestep.
    """

    def __init__(self, network: FreeNetwork, weights: Array, batch_size: int, feedback: Array | None = None) -> None:
        super().__init__(network, weights, batch_size)
        self.feedback = self.to_outputs if feedback is None else feedback
        """F, (n_to, n_output)."""
        self.trace = np.zeros(self.shape)

    def credit(self, deltas: Array) -> Array:
        """Return p[ij] (F delta)[j]."""
        return self.trace * (deltas @ self.feedback.T)[:, None, :]

    def advance(self, entering: Array, slopes: Array) -> None:
        """p[ij] <- k_j p[ij] + s[j] u[i]."""
        self.trace = self.keep * self.trace + entering[:, :, None] * slopes[:, None, :]


class Uoro(Carried):
    """A product of two vectors whose mean is P (Tallec and Ollivier, arXiv:1702.05043, 2017): E v[m] w[ij] = P[ij, m].

    With r_t the derivative of a_{t+1} by a_t applied to v_t, r_t = k v_t + s_t (v_t W_a), signs n_t that are drawn
    anew, and g_t[ij] = n_t[j] s_t[j] u_t[i]:

        v_{t+1} = rho_0 r_t + rho_1 n_t        w_{t+1} = w_t / rho_0 + g_t / rho_1
        rho_0 = sqrt(|w_t| / (|r_t| + e)) + e        rho_1 = sqrt(|g_t| / (|n_t| + e)) + e

    Its mean over the signs is the exact gradient, whatever both rho are; these make its variance small. Norms are of
    one datapoint.
    """

    def __init__(self, network: FreeNetwork, weights: Array, batch_size: int, signs: Array) -> None:
        super().__init__(network, weights, batch_size)
        self.signs = signs
        """n, (T, B, n_to)."""
        self.timestep = 0
        self.rho_0 = np.ones(batch_size)
        """Of the last timestep."""
        self.neurons, self.weights = np.zeros((batch_size, network.n_to)), np.zeros(self.shape)

    def credit(self, deltas: Array) -> Array:
        """Return w[ij] (sum of v[n] l[n] over n)."""
        along = (self.neurons * (deltas @ self.to_outputs.T)).sum(axis=1)
        result: Array = along[:, None, None] * self.weights
        return result

    def advance(self, entering: Array, slopes: Array) -> None:
        """Go on by a timestep, with its signs."""
        signs = self.signs[self.timestep]
        through = self.keep * self.neurons + slopes * (self.neurons @ self.among)
        immediate = entering[:, :, None] * (signs * slopes)[:, None, :]
        rho_0 = self.rho_0 = np.sqrt(_norms(self.weights) / (_norms(through) + EPSILON)) + EPSILON
        rho_1 = np.sqrt(_norms(immediate) / (_norms(signs) + EPSILON)) + EPSILON
        self.neurons = rho_0[:, None] * through + rho_1[:, None] * signs
        self.weights = self.weights / rho_0[:, None, None] + immediate / rho_1[:, None, None]
        self.timestep += 1


def online_gradient(
    network: FreeNetwork, weights: Array, x: NDArray[Any], y: NDArray[Any], timesteps: int, carried: Carried
) -> tuple[float, Array]:
    """Return the mean loss over the datapoints and what a rule takes for its gradient.

    Parameters
    ----------
    weights
        (n_from, n_to) float64.
    x, y
        Inputs and targets of B datapoints, shapes as in `freewalk.kernels.reference.reference`.
    carried
        The rule, of these weights and B datapoints, before the first timestep.

    Returns
    -------
    The mean loss, and (n_from, n_to) float64
    """
    entering, after = reference.run(network, weights, x, timesteps)
    outputs, target = reference.read_outputs(network, after), reference.dense_targets(network, y)
    n = network.n_output
    gradient = np.zeros((network.n_from, network.n_to))
    for t in range(timesteps):
        if network.sequence_output or t == timesteps - 1:
            read = np.s_[:, t] if network.sequence_output else np.s_[:]
            deltas = output_deltas(network, after[:, t, :n], outputs[read], target[read])
            gradient[:, :n] += entering[t].T @ deltas
            gradient += carried.credit(deltas).sum(axis=0)
        if t < timesteps - 1:
            carried.advance(entering[t], timestep_slopes(network, entering[t], after[:, t]))
    return float(reference.losses(network, outputs, y).mean()), gradient / len(after)


def random_feedback(network: FreeNetwork, seed: int) -> Array:
    """Return RFLO's F for a seed, (n_to, n_output): uniform, of mean 0 and variance 1 / n_output.

    The variance is that of the paper's program, whose numbers are normal. Output neurons get 0: they learn from their
    own error alone, as there.
    """
    n = network.n_output
    per_column = -(-network.n_to // 4)  # a word a neuron
    blocks = np.arange(n * per_column).reshape(n, per_column)
    words = philox(counters(blocks, 0, 0, Stream.FEEDBACK), seed).reshape(n, -1)[:, : network.n_to]
    feedback: Array = (2.0 * uniform_from_words(words) - 1.0).T * np.sqrt(3.0 / n)
    feedback[:n] = 0.0
    return feedback


def uoro_signs(network: FreeNetwork, timesteps: int, *, seed: int, step: int, datapoints: NDArray[np.integer]) -> Array:
    """Return the signs of some datapoints at one step, (timesteps, n, n_to): a bit each, 128 neurons a block."""
    per_timestep = -(-network.n_to // 128)
    blocks = np.arange(timesteps * per_timestep).reshape(-1, 1, per_timestep)
    words = philox(counters(blocks, datapoints[None, :, None], step, Stream.SIGNS), seed)
    signs = sign_from_words(words.reshape(timesteps, len(datapoints), per_timestep * 4))
    return signs[..., : network.n_to]


def _norms(values: Array) -> Array:
    """Return the Euclidean norm of each datapoint's numbers, (B,)."""
    result: Array = np.sqrt((values.reshape(len(values), -1) ** 2).sum(axis=1))
    return result

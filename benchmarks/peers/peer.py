"""What a peer is: an entry for a step on given noise, and a loop with the library's own random numbers.

Every peer makes the same step for a batch of trials, in float32: W += mean_b D_b (L_b(W) - L_b(W + D_b)), with
D_b = stddev * noise; shapes as in freewalk.harness.bench.ArrayStep. Master weights are float32, which spares the peers
a conversion.
"""

from __future__ import annotations

import importlib
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.bench import Loop, Single, Workload
from freewalk.kernels.reference import reference

Device = Literal["cpu", "cuda"]


class Unavailable(Exception):  # noqa: N818 - a peer that is not there is no error
    """A peer cannot run here; the message says why, in a few words."""


def optional_import(name: str) -> Any:
    """Import a library that need not be there; raise Unavailable if it is not, or does not load."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Unavailable(f"not installed here: {error}") from None


class Peer(Protocol):
    """A library's version of the step on one device."""

    def update(self, workload: Workload, weights: Single, x: Single, y: Single, *noise: Single) -> Single:
        """Return what a step on given unit noise adds to the weights, (N, n_from, n_to).

        Of rank 1 the noise is two arrays, a (N, B, n_from) and b (N, B, n_to): D_b = stddev * a_b b_bᵀ.
        """

    def start(self, workload: Workload, weights: Single, seed: int) -> Loop:
        """Return a loop over steps that draws data and noise with the library's own generator."""


class InferringPeer(Peer, Protocol):
    """A peer that also shows what two passes without perturbations take."""

    def losses(self, workload: Workload, weights: Single, x: Single, y: Single) -> Single:
        """Return the (N, B) losses without perturbation."""

    def infer(self, workload: Workload, weights: Single, seed: int) -> Loop:
        """Return a loop that makes twice as many datapoints and runs each once, in place of a step."""


def relative_error(found: NDArray[np.floating], wanted: NDArray[np.floating]) -> float:
    """Return |found - wanted| / |wanted|, both taken as long vectors; 0 where both are 0, infinite where one is."""
    difference, size = float(np.linalg.norm(np.asarray(found, np.float64) - wanted)), float(np.linalg.norm(wanted))
    return (difference / size if size else float("inf")) if difference else 0.0


def example_data(
    random: np.random.Generator, workload: Workload, n_trials: int, batch_size: int
) -> tuple[Single, Single]:
    """Return x (n_trials, B, T, 3) and y (n_trials, B, 2) of the task's distribution, float32.

    x_0 is uniform in [-1, 1)^3, x_t = x_0 + t, y = sigmoid of x_0[0] + x_0[1] and of x_0[0] + x_0[2].
    """
    first = random.uniform(-1, 1, (n_trials, batch_size, 1, 3)).astype(np.float32)
    x = first + np.arange(workload.timesteps, dtype=np.float32)[:, None]
    return x, np.reciprocal(1 + np.exp(-(first[:, :, 0, :1] + first[:, :, 0, 1:])))


def update_error(peer: Peer, workload: Workload, weights: Single) -> float:
    """Return the largest relative error over trials of a peer's update on given data and noise."""
    network, random, n_trials = workload.network, np.random.default_rng(3), len(weights)
    x, y = example_data(random, workload, n_trials, workload.batch_size)
    batch = (n_trials, workload.batch_size)
    noise = [random.standard_normal((*batch, *shape), dtype=np.float32) for _, shape in workload.noise_shapes]
    found = peer.update(workload, weights, x, y, *noise)
    errors = []
    for k in range(n_trials):
        first, *second = (array[k].astype(np.float64) for array in noise)
        estimate = reference.gradient_estimate(
            network,
            weights[k].astype(np.float64),
            x[k],
            y[k],
            workload.timesteps,
            first[:, :, None] * second[0][:, None, :] if second else first,
            workload.stddev,
            sides=getattr(peer, "sides", "one"),
        )
        errors.append(relative_error(found[k], -estimate))
    return max(errors)


def losses_error(peer: InferringPeer, workload: Workload, weights: Single) -> float:
    """Return the largest relative error over trials of a peer's losses of given data."""
    x, y = example_data(np.random.default_rng(3), workload, len(weights), workload.batch_size)
    found = peer.losses(workload, weights, x, y)
    errors = []
    for k, matrix in enumerate(weights.astype(np.float64)):
        outputs = reference.forward(workload.network, matrix, x[k], workload.timesteps)
        errors.append(relative_error(found[k], reference.losses(workload.network, outputs, y[k])))
    return max(errors)

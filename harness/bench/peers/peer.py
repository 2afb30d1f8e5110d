"""What a peer is: one entry for a step on given noise, and a loop with the library's own random numbers.

Every peer makes the same step for a batch of trials, in float32: W += mean_b D_b (L_b(W) - L_b(W + D_b)), with
D_b = stddev * noise. Shapes: N trials, B datapoints, T timesteps; weights (N, n_from, n_to), x (N, B, T, n_input),
y (N, B, n_output), noise (N, B, n_from, n_to). Master weights are float32, which spares the peers a conversion.
"""

from __future__ import annotations

import importlib
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.bench.workloads import Workload

Device = Literal["cpu", "cuda"]
Single = NDArray[np.float32]


class Unavailable(Exception):  # noqa: N818 - a peer that is not there is no error
    """A peer cannot run here; the message says why, in a few words."""


def optional_import(name: str) -> Any:
    """Import a library that need not be there.

    Raises
    ------
    Unavailable
        It is not installed, or does not load.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Unavailable(f"not installed here: {error}") from None


class Loop(Protocol):
    """Trials in progress, to be timed."""

    steps_at_once: int
    """`measure` takes multiples of this many steps."""

    def measure(self, n_steps: int) -> float:
        """Take steps; return the seconds they took, the device's work included."""

    def weights(self) -> NDArray[np.floating]:
        """Return the weights of all trials, (n_trials, n_from, n_to)."""

    def close(self) -> None:
        """Give the memory back."""


class Peer(Protocol):
    """A library's version of the step on one device."""

    def update(self, workload: Workload, weights: Single, x: Single, y: Single, noise: Single) -> Single:
        """Return what a step with given unit noise adds to the weights, (N, n_from, n_to)."""

    def start(self, workload: Workload, weights: Single, seed: int) -> Loop:
        """Return a loop over steps that draws data and noise with the library's own generator."""

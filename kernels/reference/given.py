"""The walk on given batches in NumPy float64, as the formulas read: the judge of the fast one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.network import FreeNetwork, check_initial, check_mask
from freewalk.kernels.model.noise import initial_weights, unit_perturbations
from freewalk.kernels.model.optimizers import make_optimizer
from freewalk.kernels.model.walk import Optimizer, Schedule, WalkConfiguration
from freewalk.kernels.reference import reference
from freewalk.kernels.reference.reference import Array


@dataclass
class _Settings:
    """What an optimiser reads; the learning rate may change from step to step."""

    optimizer: Optimizer
    learning_rate: float
    momentum: float
    schedule: Schedule
    schedule_steps: int


class ReferenceGivenWalk:
    """One walk in NumPy whose batches are arrays. Parameters as for `freewalk.kernels.cpu.given.GivenWalk`."""

    threads = 1

    def __init__(
        self,
        network: FreeNetwork,
        configuration: WalkConfiguration,
        *,
        seed: int,
        mask: NDArray[np.bool_] | None = None,
        initial: NDArray[np.float64] | None = None,
    ) -> None:
        check_mask(network, mask)
        check_initial(network, initial)
        self.step = 0
        self._network, self._configuration, self._seed, self._mask = network, configuration, seed, mask
        start = initial_weights(network.n_from, network.n_to, seed) if initial is None else initial.astype(np.float64)
        self._weights: Array = start if mask is None else start * mask
        c = configuration
        self._settings = _Settings(c.optimizer, c.learning_rate, c.momentum, c.schedule, c.schedule_steps)
        self._optimizer = make_optimizer(self._settings)

    @property
    def weights(self) -> Array:
        """A copy of the weights, (n_from, n_to) float64."""
        return self._weights.copy()

    def take_step(
        self,
        x: NDArray[np.floating],
        y: NDArray[np.floating],
        *,
        learning_rate: float | None = None,
        unit_noise: NDArray[np.floating] | None = None,
    ) -> float:
        """Take one step; return the mean loss before it. See `freewalk.kernels.cpu.given.GivenWalk.take_step`."""
        network, c = self._network, self._configuration
        xs = x.reshape(-1, c.timesteps, network.n_input) if network.sequence_input else x
        ys = y.reshape(-1, c.timesteps, network.n_output) if network.sequence_output else y
        noise = self._drawn(len(xs)) if unit_noise is None else unit_noise.astype(np.float64)
        if learning_rate is not None:
            self._settings.learning_rate = learning_rate
        with np.errstate(all="ignore"):  # a loss that is not finite is for the caller to judge
            loss = self._training_loss(xs, ys, noise)
            estimate = reference.gradient_estimate(
                network, self._weights, xs, ys, c.timesteps, noise, c.stddev, sides=c.sides, mask=self._mask
            )
            if math.isfinite(loss):
                raw = c.update == "raw"
                change = estimate if raw else self._optimizer.change(estimate / c.stddev**2, self.step)
                self._weights = self._weights - change
        self.step += 1
        return loss

    def _drawn(self, n: int) -> Array:
        network = self._network
        return unit_perturbations(
            network.n_from,
            network.n_to,
            seed=self._seed,
            step=self.step,
            datapoints=np.arange(n),
            noise=self._configuration.noise,
        )

    def _training_loss(self, x: NDArray[Any], y: NDArray[Any], noise: Array) -> float:
        """Return the mean loss that a step sees: unperturbed, or two-sided over both perturbations."""
        c = self._configuration
        perturbations = c.stddev * noise * (1.0 if self._mask is None else self._mask)
        offsets = (0.0,) if c.sides == "one" else (perturbations, -perturbations)
        seen = [reference.forward(self._network, self._weights + offset, x, c.timesteps) for offset in offsets]
        return float(np.mean([reference.losses(self._network, outputs, y) for outputs in seen]))

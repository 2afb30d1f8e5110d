"""The walk in NumPy float64 on the same noise and data as the fast backends; slow, for checking."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.directions import blocks_of, unit_directions
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.walk import Data, WalkConfiguration
from freewalk.kernels.reference import reference
from freewalk.kernels.reference.tangent import tangent_estimate
from freewalk.kernels.trainers.reference_trainer import ReferenceTrainer


class ReferenceWalk(ReferenceTrainer):
    """One walk in NumPy. Parameters as for `freewalk.kernels.cpu.trial.CpuWalk`; it knows no threads."""

    _configuration: WalkConfiguration

    def _take_step(self) -> float:
        configuration = self._configuration
        x, y = self._batch()
        noise = self._unit_noise(configuration.n_perturbations)
        loss = self._training_loss(x, y, noise)
        estimate = self._estimate(x, y, noise)
        if math.isfinite(loss):
            self._weights = self._weights - self._change(estimate)
        return loss

    def _estimate(self, x: NDArray[Any], y: NDArray[Any], noise: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the estimate of the gradient, times stddev squared."""
        network, configuration = self.network, self._configuration
        family: dict[str, Any] = {"share_data": configuration.share_data, "shaping": configuration.shaping}
        if configuration.tangent == "exact":
            directions = noise * (1.0 if self._mask is None else self._mask)
            along = tangent_estimate(network, self._weights, x, y, configuration.timesteps, directions, **family)
            return along * configuration.stddev**2
        return reference.gradient_estimate(
            network,
            self._weights,
            x,
            y,
            configuration.timesteps,
            noise,
            configuration.stddev,
            sides=configuration.sides,
            mask=self._mask,
            **family,
        )

    def _unit_noise(self, n: int) -> NDArray[np.float64]:
        configuration = self._configuration
        return unit_directions(
            blocks_of(self.network, self._mask),
            (self.network.n_from, self.network.n_to),
            noise=configuration.kind,
            rank=configuration.rank,
            directions=configuration.directions,
            seed=self._seed,
            step=self.step,
            indices=np.arange(n),
        )

    def _change(self, estimate: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what is subtracted from the weights; `estimate` is stddev squared times the gradient."""
        if self._configuration.update == "raw":
            return estimate
        return self._optimizer.change(estimate / self._configuration.stddev**2, self.step)

    def _training_loss(self, x: NDArray[Any], y: NDArray[Any], noise: NDArray[np.float64]) -> float:
        """Return the mean loss that a step sees: unperturbed, or two-sided over both perturbations."""
        configuration = self._configuration
        perturbations = configuration.stddev * noise * (1.0 if self._mask is None else self._mask)
        offsets = (0.0 * perturbations[:1],) if configuration.sides == "one" else (perturbations, -perturbations)
        seen = [
            reference.perturbed_losses(
                self.network, self._weights, x, y, configuration.timesteps, offset, share_data=configuration.share_data
            )
            for offset in offsets
        ]
        return float(np.mean(seen))


class ReferenceGivenWalk(ReferenceWalk):
    """One walk in NumPy whose batches are arrays. Parameters as for `freewalk.kernels.cpu.given.GivenWalk`."""

    threads = 1

    def __init__(self, network: FreeNetwork, configuration: WalkConfiguration, *, seed: int, **options: Any) -> None:
        super().__init__(network, configuration, Data(0), seed=seed, evaluation_points=1, **options)

    def take_step(
        self,
        x: NDArray[np.floating],
        y: NDArray[np.floating],
        *,
        learning_rate: float | None = None,
        unit_noise: NDArray[np.floating] | None = None,
    ) -> float:
        """Take one step; return the mean loss before it. See `freewalk.kernels.cpu.given.GivenWalk.take_step`."""
        network, timesteps = self.network, self._timesteps
        self._given = (
            x.reshape(-1, timesteps, network.n_input) if network.sequence_input else x,
            y.reshape(-1, timesteps, network.n_output) if network.sequence_output else y,
        )
        self._given_noise = None if unit_noise is None else unit_noise.astype(np.float64)
        if learning_rate is not None:
            settings: Any = SimpleNamespace(**vars(self._configuration) | {"learning_rate": learning_rate})
            self._optimizer.settings = settings
        return self.train(1).loss

    def _batch(self) -> tuple[NDArray[Any], NDArray[Any]]:
        return self._given

    def _unit_noise(self, n: int) -> NDArray[np.float64]:
        return super()._unit_noise(n) if self._given_noise is None else self._given_noise

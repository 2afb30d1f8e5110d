"""The walk in NumPy float64 on the same noise and data as the fast backends; slow, for checking."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.noise import unit_perturbations
from freewalk.kernels.model.walk import WalkConfiguration
from freewalk.kernels.reference import reference
from freewalk.kernels.trainers.reference_trainer import ReferenceTrainer


class ReferenceWalk(ReferenceTrainer):
    """One walk in NumPy. Parameters as for `freewalk.kernels.cpu.trial.CpuWalk`; it knows no threads."""

    _configuration: WalkConfiguration

    def _take_step(self) -> float:
        network, configuration = self.network, self._configuration
        x, y = self._batch()
        noise = unit_perturbations(
            network.n_from,
            network.n_to,
            seed=self._seed,
            step=self.step,
            datapoints=np.arange(configuration.batch_size),
            noise=configuration.noise,
        )
        loss = self._training_loss(x, y, noise)
        estimate = reference.gradient_estimate(
            network,
            self._weights,
            x,
            y,
            configuration.timesteps,
            noise,
            configuration.stddev,
            sides=configuration.sides,
            mask=self._mask,
        )
        if math.isfinite(loss):
            self._weights = self._weights - self._change(estimate)
        return loss

    def _change(self, estimate: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what is subtracted from the weights; `estimate` is stddev squared times the gradient."""
        if self._configuration.update == "raw":
            return estimate
        return self._optimizer.change(estimate / self._configuration.stddev**2, self.step)

    def _training_loss(self, x: NDArray[Any], y: NDArray[Any], noise: NDArray[np.float64]) -> float:
        """Return the mean loss that a step sees: unperturbed, or two-sided over both perturbations."""
        perturbations = self._configuration.stddev * noise * (1.0 if self._mask is None else self._mask)
        offsets = (0.0,) if self._configuration.sides == "one" else (perturbations, -perturbations)
        seen = [
            reference.forward(self.network, self._weights + offset, x, self._configuration.timesteps)
            for offset in offsets
        ]
        return float(np.mean([reference.losses(self.network, outputs, y) for outputs in seen]))

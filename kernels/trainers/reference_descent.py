"""Gradient methods on the free network in NumPy float64; slow, for checking."""

from __future__ import annotations

import math

from freewalk.kernels.model.descent import DescentConfiguration
from freewalk.kernels.reference import reference
from freewalk.kernels.reference.gradient import loss_gradient
from freewalk.kernels.reference.reference import Array
from freewalk.kernels.trainers.reference_trainer import ReferenceTrainer


class ReferenceDescent(ReferenceTrainer):
    """One trial of `backprop` or `numerical` in NumPy. Parameters as for `freewalk.kernels.cpu.descent.CpuBackprop`."""

    _configuration: DescentConfiguration

    def _take_step(self) -> float:
        loss, gradient = self._loss_and_gradient()
        if math.isfinite(loss):
            self._weights = self._weights - self._optimizer.change(gradient, self.step)
        return loss

    def _loss_and_gradient(self) -> tuple[float, Array]:
        network, timesteps = self.network, self._timesteps
        x, y = self._batch()
        if not self._configuration.way.tries:
            return loss_gradient(network, self._weights, x, y, timesteps, self._mask)

        def mean_loss(weights: Array) -> float:
            return float(reference.losses(network, reference.forward(network, weights, x, timesteps), y).mean())

        return mean_loss(self._weights), reference.numerical_gradient(mean_loss, self._weights, mask=self._mask)

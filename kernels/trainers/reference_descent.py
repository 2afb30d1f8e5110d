"""Gradient methods on the free network in NumPy float64; slow, for checking."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

from numpy.typing import NDArray

from freewalk.kernels.model.descent import DescentConfiguration
from freewalk.kernels.reference.reference import Array
from freewalk.kernels.trainers.reference_trainer import ReferenceTrainer


class ReferenceDescent(ReferenceTrainer):
    """One trial of a gradient method in NumPy; what it takes for the gradient, its subclasses say.

    Parameters as for `ReferenceTrainer`.
    """

    _configuration: DescentConfiguration

    @abstractmethod
    def _loss_and_gradient(self, x: NDArray[Any], y: NDArray[Any]) -> tuple[float, Array]:
        """Return the mean loss of a batch and its gradient, (n_from, n_to), 0 where there is no weight."""

    def _take_step(self) -> float:
        loss, gradient = self._loss_and_gradient(*self._batch())
        if math.isfinite(loss):
            self._weights = self._weights - self._optimizer.change(gradient, self.step)
        return loss

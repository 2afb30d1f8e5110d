"""The optimisers in NumPy float64, for gradients of any shape; their compiled twins are in cpu/optimizers.py."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.walk import Optimizer, Schedule

ADAM_BETAS = (0.9, 0.999)
ADAM_EPSILON = 1e-8
MOMENTS: dict[str, tuple[str, ...]] = {
    "raw": (),
    "sgd": (),
    "momentum": ("velocity",),
    "adam": ("first_moment", "second_moment"),
}
"""What each rule keeps from step to step, besides the weights."""


class OptimizerSettings(Protocol):
    """What an optimiser reads of a configuration."""

    @property
    def optimizer(self) -> Optimizer: ...  # noqa: D102
    @property
    def learning_rate(self) -> float: ...  # noqa: D102
    @property
    def momentum(self) -> float: ...  # noqa: D102
    @property
    def schedule(self) -> Schedule: ...  # noqa: D102
    @property
    def schedule_steps(self) -> int: ...  # noqa: D102


class Sgd:
    """W -= rate * g."""

    def __init__(self, settings: OptimizerSettings) -> None:
        self._settings = settings
        self.moments: dict[str, float | NDArray[np.float64]] = dict.fromkeys(MOMENTS[settings.optimizer], 0.0)

    def _rate(self, step: int) -> float:
        s = self._settings
        if s.schedule == "constant":
            return s.learning_rate
        return s.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, step / s.schedule_steps)))

    def direction(self, gradient: NDArray[np.float64], step: int) -> NDArray[np.float64]:
        """Return what the learning rate multiplies."""
        return gradient

    def change(self, gradient: NDArray[np.float64], step: int) -> NDArray[np.float64]:
        """Return what is subtracted from the weights at a step, counted from 0."""
        return self._rate(step) * self.direction(gradient, step)


class Momentum(Sgd):
    """v = momentum * v + g; W -= rate * v (Polyak, 1964)."""

    def direction(self, gradient: NDArray[np.float64], step: int) -> NDArray[np.float64]:
        """Return the velocity."""
        velocity: NDArray[np.float64] = self._settings.momentum * self.moments["velocity"] + gradient
        self.moments["velocity"] = velocity
        return velocity


class Adam(Sgd):
    """Adam with bias correction (Kingma and Ba, 2015)."""

    def direction(self, gradient: NDArray[np.float64], step: int) -> NDArray[np.float64]:
        """Return the corrected first moment over the root of the second."""
        beta_1, beta_2 = ADAM_BETAS
        first = beta_1 * self.moments["first_moment"] + (1 - beta_1) * gradient
        second = beta_2 * self.moments["second_moment"] + (1 - beta_2) * gradient**2
        self.moments.update(first_moment=first, second_moment=second)
        corrected = second / (1 - beta_2 ** (step + 1))
        result: NDArray[np.float64] = first / (1 - beta_1 ** (step + 1)) / (np.sqrt(corrected) + ADAM_EPSILON)
        return result


def make_optimizer(settings: OptimizerSettings) -> Sgd:
    """Return the optimiser that a configuration names, at its start."""
    return {"sgd": Sgd, "momentum": Momentum, "adam": Adam}[settings.optimizer](settings)

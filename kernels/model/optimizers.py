"""The optimisers: for gradients of any shape, of NumPy or another library, and one weight at a time for Numba.

The functions of one weight are plain Python; cpu/optimizers.py and cuda/optimizers.py compile the same ones.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.walk import Optimizer, Schedule

ADAM_BETAS = (0.9, 0.999)
ADAM_EPSILON = 1e-8
MOMENTS: dict[str, tuple[str, ...]] = {
    "raw": (),
    "strategy": (),
    "sgd": (),
    "momentum": ("velocity",),
    "adam": ("first_moment", "second_moment"),
}
"""What each rule keeps from step to step, besides the weights."""

RAW, SGD, MOMENTUM, ADAM = range(4)
OPTIMIZER_CODES: dict[Optimizer, int] = {"sgd": SGD, "momentum": MOMENTUM, "adam": ADAM}
"""What compiled code knows the rules by; RAW is the original rule, which has no optimiser."""
_BETA_1, _BETA_2 = ADAM_BETAS


def rate_at(learning_rate: float, cosine_steps: int, step: int) -> float:
    """Return the learning rate of a step: constant, or falling to 0 along a half cosine of so many steps if any."""
    if cosine_steps > 0:
        return learning_rate * 0.5 * (1.0 + math.cos(math.pi * min(1.0, step / cosine_steps)))
    return learning_rate


def corrections(kind: int, step: int) -> tuple[float, float]:
    """Return what Adam divides its two moments by at a step, counted from 0."""
    if kind == ADAM:
        return 1.0 - _BETA_1 ** (step + 1), 1.0 - _BETA_2 ** (step + 1)
    return 1.0, 1.0


def direction(
    kind: int, momentum: float, g: float, first: Any, second: Any, q: int, correction_1: float, correction_2: float
) -> Any:
    """Return what the learning rate multiplies for the weight at q with gradient g; move its moments, in place.

    sgd:       g
    momentum:  v = momentum * v + g (Polyak, 1964)
    adam:      Kingma and Ba, 2015, with bias correction
    """
    if kind == SGD:
        return g
    if kind == MOMENTUM:
        first[q] = momentum * first[q] + g
        return first[q]
    first[q] += (1.0 - _BETA_1) * (g - first[q])
    second[q] += (1.0 - _BETA_2) * (g * g - second[q])
    return (first[q] / correction_1) / (math.sqrt(second[q] / correction_2) + ADAM_EPSILON)


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


def cosine_steps(settings: OptimizerSettings) -> int:
    """Return over how many steps the learning rate falls; 0 if it is constant."""
    return settings.schedule_steps if settings.schedule == "cosine" else 0


class Sgd:
    """W -= rate * g."""

    def __init__(self, settings: OptimizerSettings) -> None:
        self.settings = settings
        self.moments: dict[str, float | NDArray[np.float64]] = dict.fromkeys(MOMENTS[settings.optimizer], 0.0)

    def _rate(self, step: int) -> float:
        s = self.settings
        return rate_at(s.learning_rate, cosine_steps(s), step)

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
        velocity: NDArray[np.float64] = self.settings.momentum * self.moments["velocity"] + gradient
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
        result: NDArray[np.float64] = first / (1 - beta_1 ** (step + 1)) / (corrected**0.5 + ADAM_EPSILON)
        return result


def make_optimizer(settings: OptimizerSettings) -> Sgd:
    """Return the optimiser that a configuration names, at its start."""
    return {"sgd": Sgd, "momentum": Momentum, "adam": Adam}[settings.optimizer](settings)

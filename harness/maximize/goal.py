"""What is looked for: one output of a network as large, as small, or as near to a value as can be."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.reference.input_gradient import level_gradient

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Goal:
    """An output and what it shall be.

    The higher the score, the better. It is counted on the output's level
    (`freewalk.kernels.reference.input_gradient.Level`), which orders inputs as
    the output does but has a slope where the output is flat.
    """

    network: FreeNetwork
    weights: Array
    output: int
    read_after: int
    """Timesteps after which the output is read."""
    target: float
    """1: as large as can be; 0: as small; else as near to it as can be."""

    def scores(self, x: Array) -> Array:
        """Return the scores (B,) of inputs (B, ...)."""
        level = level_gradient(self.network, self.weights, x, self.output, self.read_after, by_input=False).level
        return self._score(level)

    def outputs(self, x: Array) -> Array:
        """Return the outputs (B,) of inputs (B, ...)."""
        return level_gradient(self.network, self.weights, x, self.output, self.read_after, by_input=False).output

    def scores_and_gradients(self, x: Array) -> tuple[Array, Array]:
        """Return the scores (B,) of inputs and their derivatives by them, shaped like x."""
        level, _, gradient = level_gradient(self.network, self.weights, x, self.output, self.read_after)
        by_level = self._slope(level)
        return self._score(level), gradient * by_level.reshape(-1, *[1] * (x.ndim - 1))

    @property
    def _wanted(self) -> float:
        if self.network.softmax:
            return math.log(self.target)
        if self.network.output_activation == "sigmoid":
            return math.log(self.target) - math.log1p(-self.target)
        return math.atanh(self.target) if self.network.output_activation == "tanh" else self.target

    def _score(self, level: Array) -> Array:
        if self.target in (0, 1):
            return level if self.target else -level
        score: Array = -((level - self._wanted) ** 2)
        return score

    def _slope(self, level: Array) -> Array:
        if self.target in (0, 1):
            return np.full_like(level, 1.0 if self.target else -1.0)
        slope: Array = -2 * (level - self._wanted)
        return slope

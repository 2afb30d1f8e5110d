"""Backpropagation written out in NumPy, and twice more with a fault that `harness gradcheck` is to name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from freewalk.methods import ArrayTrainer, OwnMethod, Start

Array = NDArray[np.float64]
Slope = Callable[[Array], Array]


class Parameters(BaseModel):
    """What these methods have beyond the common parameters."""

    learning_rate: float = Field(0.1, gt=0, description="length of a step along the gradient")


class WrittenOut(ArrayTrainer):
    """One trial of a layered network of sigmoids."""

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        if start.layers is None:
            raise ValueError("backprop-written-out learns layered networks; give an architecture such as 2-3-1")
        self._layers = start.layers

    def slope(self, h: Array) -> Array:
        """Return the derivative of sigmoid where it is h (B, n)."""
        return h * (1 - h)

    def scale(self, n_cases: int) -> float:
        """Return what the sum of the cases' gradients is multiplied by; their loss is a mean."""
        return 1 / n_cases

    def take_step(self) -> float:
        """Step along the gradient; return the mean loss before it."""
        x, y = (part.astype(np.float64) for part in self.batch())
        layers, biases = self._layers.split(self.values)
        h = [x]
        for layer, bias in zip(layers, biases, strict=True):
            h.append(_sigmoid(h[-1] @ layer + bias))
        self.evaluations += len(x)
        delta = 2 * (h[-1] - y) * self.slope(h[-1])
        by_layers: list[Array] = []
        by_biases: list[Array] = []
        for k in reversed(range(len(layers))):
            by_layers.insert(0, h[k].T @ delta)
            by_biases.insert(0, delta.sum(axis=0))
            if k:
                delta = (delta @ layers[k].T) * self.slope(h[k])
        step = self.start.parameters.learning_rate * self.scale(len(x))
        self.values = self.values - step * self._layers.embed(by_layers, by_biases)
        return float(((h[-1] - y) ** 2).sum(axis=1).mean())


class Divided(WrittenOut):
    """Divides by the number of cases once too often, as a program does whose loss is their sum."""

    def scale(self, n_cases: int) -> float:
        """Return a factor that is too small by the number of cases."""
        return 1 / n_cases**2


class OfActivations(WrittenOut):
    """Takes sigmoid' of what is an activation already, with the wrong sign."""

    def slope(self, h: Array) -> Array:
        """Return sigmoid'(h), where sigmoid'(z) = h (1 - h) is wanted."""
        return _sigmoid(h) * (1 - _sigmoid(h))

    def scale(self, n_cases: int) -> float:
        """Return the right factor with the wrong sign."""
        return -1 / n_cases


def _sigmoid(z: Array) -> Array:
    result: Array = 1 / (1 + np.exp(-z))
    return result


def _method(name: str, summary: str, trial: Callable[[Start], WrittenOut]) -> OwnMethod:
    return OwnMethod(
        name=name,
        summary=summary,
        make_trainer=trial,
        evaluations_per_step=lambda parameters, batch_size, n_weights: 3 * batch_size,
        parameters=Parameters,
        gradient="exact",
    )


METHODS = [
    _method("backprop-written-out", "backpropagation in NumPy, as it should be", WrittenOut),
    _method("backprop-divided", "its gradient is divided by the number of cases once too often", Divided),
    _method("backprop-of-activations", "its derivatives are taken of activations, with the wrong sign", OfActivations),
]

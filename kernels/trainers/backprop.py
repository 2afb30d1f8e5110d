"""Backpropagation, through time or layers."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from freewalk.kernels.cpu.descent import CpuBackprop
from freewalk.kernels.model.descent import BackpropConfiguration
from freewalk.kernels.reference.gradient import loss_gradient
from freewalk.kernels.reference.layered_pass import forward_layers, last_deltas, layer_deltas, write_gradient
from freewalk.kernels.reference.reference import Array
from freewalk.kernels.trainers.descent import Descent
from freewalk.kernels.trainers.layered_descent import LayeredDescent
from freewalk.kernels.trainers.reference_descent import ReferenceDescent


class LayeredBackprop(LayeredDescent):
    """One trial of backpropagation through layers. Parameters as for `LayeredDescent`."""

    def _find_gradient(self, x: NDArray[Any], y: NDArray[Any]) -> float:
        layers, used = self._layers, self._used
        activations = forward_layers(layers, used, x)
        deltas = layer_deltas(layers, used, activations, last_deltas(layers, activations[-1], y))
        write_gradient(self._gradient, activations, deltas)
        return self._mean_loss(activations[-1], y)


class ReferenceBackprop(ReferenceDescent):
    """One trial of backpropagation through time in NumPy. Parameters as for `ReferenceTrainer`."""

    def _loss_and_gradient(self, x: NDArray[Any], y: NDArray[Any]) -> tuple[float, Array]:
        return loss_gradient(self.network, self._weights, x, y, self._timesteps, self._mask)


BACKPROP = Descent(
    BackpropConfiguration, LayeredBackprop, CpuBackprop, ReferenceBackprop, compile_free=CpuBackprop.compile_kernels
)

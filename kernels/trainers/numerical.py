"""Central differences of the loss, weight by weight."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from freewalk.kernels.cpu.descent import CpuNumerical
from freewalk.kernels.model.descent import NumericalConfiguration
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.walk import Data, Trainer
from freewalk.kernels.reference import reference
from freewalk.kernels.reference.layered_pass import forward_layers, make_parameters
from freewalk.kernels.reference.reference import Array
from freewalk.kernels.trainers.descent import Descent
from freewalk.kernels.trainers.layered_descent import LayeredDescent
from freewalk.kernels.trainers.reference_descent import ReferenceDescent


class LayeredNumerical(LayeredDescent):
    """One trial of central differences on layers, on NumPy. Parameters as for `LayeredDescent`."""

    def _find_gradient(self, x: NDArray[Any], y: NDArray[Any]) -> float:
        tried = make_parameters(self._layers, self._dtype)

        def mean_loss(flat: Array) -> float:
            tried.flat[:] = flat
            return self._mean_loss(forward_layers(self._layers, tried, x)[-1], y)

        self._gradient.flat[:] = reference.numerical_gradient(mean_loss, self._master.flat)
        return mean_loss(self._master.flat)


class ReferenceNumerical(ReferenceDescent):
    """One trial of central differences on the free network in NumPy. Parameters as for `ReferenceTrainer`."""

    def _loss_and_gradient(self, x: NDArray[Any], y: NDArray[Any]) -> tuple[float, Array]:
        network, timesteps = self.network, self._timesteps

        def mean_loss(weights: Array) -> float:
            return float(reference.losses(network, reference.forward(network, weights, x, timesteps), y).mean())

        return mean_loss(self._weights), reference.numerical_gradient(mean_loss, self._weights, mask=self._mask)


def _start_layered(
    layers: LayeredNetwork,
    configuration: NumericalConfiguration,
    data: Data,
    *,
    dtype: DTypeLike,
    seed: int,
    initial: NDArray[np.float64] | None,
    **options: Any,
) -> Trainer:
    """Return a trial on layers: in float32 on the compiled kernels of the free network that they are a part of."""
    if dtype == np.float64:
        return LayeredNumerical(layers, configuration, data, dtype=dtype, seed=seed, initial=initial, **options)
    start = layers.initial_weights(seed) if initial is None else initial
    layers.check(start)
    network = layers.free_network
    return CpuNumerical(network, configuration, data, mask=layers.mask, seed=seed, initial=start, **options)


NUMERICAL = Descent(
    NumericalConfiguration, _start_layered, CpuNumerical, ReferenceNumerical, compile_free=CpuNumerical.compile_kernels
)

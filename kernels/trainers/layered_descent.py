"""Gradient methods on layered networks, on NumPy's matrix products; float64 master weights."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from freewalk.kernels.cpu.gather import Gatherer
from freewalk.kernels.model.descent import DescentConfiguration
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.noise import Stream
from freewalk.kernels.model.optimizers import Sgd
from freewalk.kernels.model.state import check_state, make_state, moment_names
from freewalk.kernels.model.walk import Data, State
from freewalk.kernels.reference import reference
from freewalk.kernels.reference.layered_pass import (
    Array,
    Parameters,
    forward_layers,
    make_parameters,
    outputs_of,
    set_parameters,
)
from freewalk.kernels.trainers.reference_trainer import ReferenceTrainer


class LayeredTrainer(ReferenceTrainer):
    """One trial of a gradient method on a layered network; what a step is, its subclasses say.

    The matrix products are NumPy's: their last bits may depend on the machine and on the threads that its library uses.

    Parameters
    ----------
    layers, configuration
        What is trained and how; the timesteps are the network's depth.
    data, seed, evaluation_points
        As for `ReferenceTrainer`.
    initial
        (n_from, n_to) weights to start from, of the free network; None draws them.
    dtype
        Of the network's arithmetic.

    Raises
    ------
    ValueError
        If the initial weights are not the layered network's.
    """

    _configuration: DescentConfiguration

    def __init__(
        self,
        layers: LayeredNetwork,
        configuration: DescentConfiguration,
        data: Data,
        *,
        seed: int,
        evaluation_points: int,
        initial: NDArray[np.float64] | None = None,
        dtype: DTypeLike = np.float64,
    ) -> None:
        super().__init__(
            layers.free_network,
            configuration,
            data,
            seed=seed,
            evaluation_points=evaluation_points,
            mask=None,
            initial=layers.initial_weights(seed) if initial is None else initial,
        )
        self._layers = layers
        self._dtype = dtype
        self._master, self._gradient = make_parameters(layers), make_parameters(layers, dtype)
        set_parameters(layers, self._master, self._weights)
        self._used = self._master if dtype == np.float64 else make_parameters(layers, dtype)
        self._used.flat[:] = self._master.flat
        self._gatherers = {
            stream: Gatherer(self.network, layers.depth, data, seed, stream)
            for stream in (Stream.DATA, Stream.EVALUATION_DATA)
        }

    @property
    def weights(self) -> NDArray[np.float64]:
        """A copy of the weights as the free network's matrix, (n_from, n_to)."""
        return self._layers.embed(self._master.weights, self._master.biases)

    def state(self) -> State:
        """Return a copy of everything that the trial needs to go on."""
        moments = [self._moment(name) for name in moment_names(self._configuration)]
        return make_state(self._configuration, self.step, self.weights, moments, **self._learned)

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a state of a trial like this one; raise ValueError, naming what does not fit, otherwise."""
        shapes = {name: array.shape for name, array in self._learned.items()}
        check_state(state, self._configuration, self._weights.shape, mask=self._layers.mask, fixed=None, **shapes)
        self.step = int(state["step"])
        set_parameters(self._layers, self._master, state["weights"])
        self._used.flat[:] = self._master.flat
        for name in moment_names(self._configuration):
            parts = make_parameters(self._layers)
            set_parameters(self._layers, parts, state[name])
            for optimizer, part in self._optimizers_and_parts(parts):
                optimizer.moments[name] = part
        for name, array in self._learned.items():
            array[:] = state[name]

    def _moment(self, name: str) -> NDArray[np.float64]:
        """Return what the optimisers keep under a name, as the free network's matrix."""
        parts = make_parameters(self._layers)
        for optimizer, part in self._optimizers_and_parts(parts):
            part[:] = optimizer.moments[name]
        return self._layers.embed(parts.weights, parts.biases)

    def _optimizers_and_parts(self, parameters: Parameters) -> list[tuple[Sgd, Array]]:
        """Return each optimiser with the part of the parameters that it moves."""
        return [(self._optimizer, parameters.flat)]

    def _draw(self, stream: Stream, step: int, n_datapoints: int) -> tuple[Array, Array]:
        x, y = self._gatherers[stream].draw(step, n_datapoints)
        return x.astype(self._dtype, copy=False), y.astype(self._dtype, copy=False)

    def _outputs(self, x: Array) -> Array:
        return outputs_of(self._layers, forward_layers(self._layers, self._used, x)[-1])

    def _mean_loss(self, last: Array, y: Array) -> float:
        return float(reference.losses(self.network, outputs_of(self._layers, last), y).mean())


class LayeredDescent(LayeredTrainer):
    """One trial whose optimiser moves all layers at once; what it takes for the gradient, its subclasses say.

    Parameters as for `LayeredTrainer`.
    """

    def _take_step(self) -> float:
        loss = self._find_gradient(*self._batch())
        if math.isfinite(loss):
            self._move(self._optimizer.change(self._gradient.flat.astype(np.float64), self.step))
        return loss

    def _move(self, change: Array) -> None:
        """Subtract a change, (P,), from the weights."""
        self._master.flat[:] -= change
        self._used.flat[:] = self._master.flat

    @abstractmethod
    def _find_gradient(self, x: Array, y: Array) -> float:
        """Return the mean loss of a batch; leave in `_gradient` what is taken for its gradient."""

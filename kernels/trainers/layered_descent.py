"""Gradient methods on layered networks, on NumPy's matrix products; float64 master weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from freewalk.kernels.cpu.gather import Gatherer
from freewalk.kernels.model.descent import DescentConfiguration, n_features
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.noise import Stream
from freewalk.kernels.model.optimizers import Sgd, make_optimizer
from freewalk.kernels.model.state import check_state, make_state, moment_names
from freewalk.kernels.model.walk import Data, State
from freewalk.kernels.reference import reference
from freewalk.kernels.reference.layered_pass import (
    Array,
    Parameters,
    forward_layers,
    last_deltas,
    layer_deltas,
    make_parameters,
    outputs_of,
    set_parameters,
    write_gradient,
)
from freewalk.kernels.reference.synthetic import decoupled_pass, predictor_gradient
from freewalk.kernels.trainers.reference_trainer import ReferenceTrainer


class LayeredDescent(ReferenceTrainer):
    """One trial of a gradient method on a layered network.

    The matrix products are NumPy's: their last bits may depend on the machine and on the threads that its library uses.

    Parameters
    ----------
    layers, configuration
        What is trained and how; the timesteps are the network's depth, whatever the configuration says.
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
            replace(configuration, timesteps=layers.depth),
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
        self._decoupled = Decoupled(layers, configuration, self._master, self._used)
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
        return make_state(self._configuration, self.step, self.weights, moments, **self._predictors)

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a state of a trial like this one; raise ValueError, naming what does not fit, otherwise."""
        shapes = {name: array.shape for name, array in self._predictors.items()}
        check_state(state, self._configuration, self._weights.shape, mask=self._layers.mask, **shapes)
        self.step = int(state["step"])
        set_parameters(self._layers, self._master, state["weights"])
        self._used.flat[:] = self._master.flat
        for name in moment_names(self._configuration):
            parts = make_parameters(self._layers)
            set_parameters(self._layers, parts, state[name])
            for optimizer, part in self._optimizers_and_parts(parts):
                optimizer.moments[name] = part
        for name, array in self._predictors.items():
            array[:] = state[name]

    def _moment(self, name: str) -> NDArray[np.float64]:
        """Return what the optimisers keep under a name, as the free network's matrix."""
        parts = make_parameters(self._layers)
        for optimizer, part in self._optimizers_and_parts(parts):
            part[:] = optimizer.moments[name]
        return self._layers.embed(parts.weights, parts.biases)

    def _optimizers_and_parts(self, parameters: Parameters) -> list[tuple[Sgd, Array]]:
        """Return each optimiser with the part of the parameters that it moves."""
        if self._configuration.way.predicts:
            return list(zip(self._decoupled.optimizers, parameters.of_layer, strict=True))
        return [(self._optimizer, parameters.flat)]

    @property
    def _predictors(self) -> dict[str, Array]:
        if not self._configuration.way.predicts:
            return {}
        return {f"predictor_{k}": own for k, own in enumerate(self._decoupled.predictors) if own is not None}

    def _draw(self, stream: Stream, step: int, n_datapoints: int) -> tuple[Array, Array]:
        x, y = self._gatherers[stream].draw(step, n_datapoints)
        return x.astype(self._dtype, copy=False), y.astype(self._dtype, copy=False)

    def _outputs(self, x: Array) -> Array:
        return outputs_of(self._layers, forward_layers(self._layers, self._used, x)[-1])

    def _mean_loss(self, last: Array, y: Array) -> float:
        return float(reference.losses(self.network, outputs_of(self._layers, last), y).mean())

    def _take_step(self) -> float:
        x, y = self._batch()
        if self._configuration.way.predicts:
            return self._synthetic(x, y)
        loss = self._numerical(x, y) if self._configuration.way.tries else self._backprop(x, y)
        if math.isfinite(loss):
            self._master.flat[:] -= self._optimizer.change(self._gradient.flat.astype(np.float64), self.step)
            self._used.flat[:] = self._master.flat
        return loss

    def _backprop(self, x: Array, y: Array) -> float:
        """Return the mean loss; leave its gradient."""
        activations = forward_layers(self._layers, self._used, x)
        deltas = layer_deltas(self._layers, self._used, activations, last_deltas(self._layers, activations[-1], y))
        write_gradient(self._gradient, activations, deltas)
        return self._mean_loss(activations[-1], y)

    def _synthetic(self, x: Array, y: Array) -> float:
        """Return the mean loss; move layers and predictors."""
        before = self._master.flat.copy()
        loss = self._mean_loss(self._decoupled.step(x, y, self.step), y)
        if not math.isfinite(loss):
            self._master.flat[:] = before
            self._used.flat[:] = before
        return loss

    def _numerical(self, x: Array, y: Array) -> float:
        """Return the mean loss; leave its gradient by central differences."""
        tried = make_parameters(self._layers, self._dtype)

        def mean_loss(flat: NDArray[np.float64]) -> float:
            tried.flat[:] = flat
            return self._mean_loss(forward_layers(self._layers, tried, x)[-1], y)

        self._gradient.flat[:] = reference.numerical_gradient(mean_loss, self._master.flat)
        return mean_loss(self._master.flat)


class Decoupled:
    """Synthetic gradients: the predictors of the hidden layers, and how layers and predictors move.

    The layers take the walk's optimisers, each layer with a state of its own; predictors start at 0 and learn by plain
    gradient descent on half the mean squared distance from what arrives. The last layer learns from the true gradient.

    Parameters
    ----------
    layers, configuration
        What is trained and how.
    master, used
        The float64 weights and the copy that the network computes with; both are moved in place.
    """

    def __init__(
        self, layers: LayeredNetwork, configuration: DescentConfiguration, master: Parameters, used: Parameters
    ) -> None:
        self._layers = layers
        self._configuration = configuration
        self._master, self._used = master, used
        self._gradient = make_parameters(layers, used.flat.dtype)
        self.optimizers = [make_optimizer(configuration) for _ in range(layers.depth)]
        self._step = 0
        kind, n_output = configuration.predictor, layers.widths[-1]
        self.predictors: list[Array | None] = [
            np.zeros((n_features(kind, n, n_output), n), dtype=used.flat.dtype) for n in layers.widths[1:-1]
        ]
        self.predictors.append(None)

    def step(self, x: Array, y: Array, step: int) -> Array:
        """Take one step, in place; return the last layer's activations before it, (B, n_output)."""
        self._step = step
        return decoupled_pass(
            self._layers,
            self._used,
            self.predictors,
            self._configuration.predictor,
            x,
            y,
            lambda last: last_deltas(self._layers, last, y),
            self,
        )

    def move_layer(self, layer: int, entering: Array, deltas: Array) -> None:
        """Move a layer by the gradient of the mean loss, in place."""
        gradient, part = self._gradient, self._master.of_layer[layer]
        np.matmul(entering.T, deltas, out=gradient.weights[layer])
        np.add.reduce(deltas, axis=0, out=gradient.biases[layer])
        mean = gradient.of_layer[layer].astype(np.float64) / len(deltas)
        part -= self.optimizers[layer].change(mean, self._step)
        self._used.of_layer[layer][:] = part

    def move_predictor(self, layer: int, h: Array, y: Array, errors: Array) -> None:
        """Move a predictor by the gradient of half its mean squared error, in place."""
        own = self.predictors[layer]
        assert own is not None
        c = self._configuration
        own -= (c.predictor_learning_rate / len(errors)) * predictor_gradient(c.predictor, h, y, errors)

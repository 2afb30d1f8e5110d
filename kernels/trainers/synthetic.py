"""Synthetic gradients on layered networks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.optimizers import Sgd, make_optimizer
from freewalk.kernels.model.synthetic import SyntheticConfiguration, n_features
from freewalk.kernels.model.walk import Data
from freewalk.kernels.reference.layered_pass import Array, Parameters, last_deltas, make_parameters
from freewalk.kernels.reference.synthetic import decoupled_pass, predictor_gradient
from freewalk.kernels.trainers.descent import Descent
from freewalk.kernels.trainers.layered_descent import LayeredTrainer


class LayeredSynthetic(LayeredTrainer):
    """One trial of synthetic gradients. Parameters as for `LayeredTrainer`."""

    _configuration: SyntheticConfiguration

    def __init__(
        self, layers: LayeredNetwork, configuration: SyntheticConfiguration, data: Data, **options: Any
    ) -> None:
        super().__init__(layers, configuration, data, **options)
        self._decoupled = Decoupled(layers, configuration, self._master, self._used)

    def _optimizers_and_parts(self, parameters: Parameters) -> list[tuple[Sgd, Array]]:
        return list(zip(self._decoupled.optimizers, parameters.of_layer, strict=True))

    @property
    def _learned(self) -> dict[str, Array]:
        return {f"predictor_{k}": own for k, own in enumerate(self._decoupled.predictors) if own is not None}

    def _take_step(self) -> float:
        x, y = self._batch()
        before = self._master.flat.copy()
        loss = self._mean_loss(self._decoupled.step(x, y, self.step), y)
        if not math.isfinite(loss):
            self._master.flat[:] = before
            self._used.flat[:] = before
        return loss


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
        self, layers: LayeredNetwork, configuration: SyntheticConfiguration, master: Parameters, used: Parameters
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


SYNTHETIC = Descent(SyntheticConfiguration, LayeredSynthetic)

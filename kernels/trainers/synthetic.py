"""Synthetic gradients on layered networks and, through time, on free ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.optimizers import Sgd, make_optimizer
from freewalk.kernels.model.synthetic import SyntheticConfiguration, n_features
from freewalk.kernels.model.walk import Data
from freewalk.kernels.reference import reference
from freewalk.kernels.reference.layered_pass import Array, Parameters, last_deltas, make_parameters
from freewalk.kernels.reference.synthetic import (
    decoupled_pass,
    normalised,
    predict,
    predictor_gradient,
    seen_beside,
)
from freewalk.kernels.reference.truncated import run_steps, truncated_gradient
from freewalk.kernels.trainers.descent import Descent
from freewalk.kernels.trainers.layered_descent import LayeredTrainer
from freewalk.kernels.trainers.reference_descent import ReferenceDescent


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
        self.predictors: list[Array | None] = [
            np.zeros((n_features(configuration.predictor, n, layers), n), dtype=used.flat.dtype)
            for n in layers.widths[1:-1]
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
            normalise=self._configuration.predictor_normalisation == "batch",
        )

    def move_layer(self, layer: int, entering: Array, deltas: Array) -> None:
        """Move a layer by the gradient of the mean loss, in place."""
        gradient, part = self._gradient, self._master.of_layer[layer]
        np.matmul(entering.T, deltas, out=gradient.weights[layer])
        np.add.reduce(deltas, axis=0, out=gradient.biases[layer])
        mean = gradient.of_layer[layer].astype(np.float64) / len(deltas)
        part -= self.optimizers[layer].change(mean, self._step)
        self._used.of_layer[layer][:] = part

    def move_predictor(self, layer: int, h: Array, beside: Sequence[Array], errors: Array) -> None:
        """Move a predictor by the gradient of half its mean squared error, in place."""
        own = self.predictors[layer]
        assert own is not None
        c = self._configuration
        own -= (c.predictor_learning_rate / len(errors)) * predictor_gradient(c.predictor, h, beside, errors)


class RecurrentSynthetic(ReferenceDescent):
    """One trial of synthetic gradients on a free network: truncated backpropagation through time with predictions.

    One predictor serves all boundaries between segments. It starts at 0 and learns by plain gradient descent on half
    the squared distance from what the next segment sends back, a mean over datapoints and boundaries. Weights and
    predictor move once a step, after the whole sequence.

    Parameters
    ----------
    network, configuration, data, seed, evaluation_points, initial
        As for `ReferenceTrainer`.
    dtype
        Of the network's arithmetic.
    """

    _configuration: SyntheticConfiguration

    def __init__(
        self,
        network: FreeNetwork,
        configuration: SyntheticConfiguration,
        data: Data,
        *,
        dtype: DTypeLike = np.float64,
        **options: Any,
    ) -> None:
        super().__init__(network, configuration, data, **options)
        self._dtype = np.dtype(dtype)
        features = n_features(configuration.predictor, network.n_to, network)
        self._predictor = np.zeros((features, network.n_to), self._dtype)

    @property
    def _learned(self) -> dict[str, Array]:
        return {"predictor": self._predictor}

    def _loss_and_gradient(self, x: Array, y: Array) -> tuple[float, Array]:
        """Return the mean loss and what is taken for its gradient; move the predictor."""
        network, c = self.network, self._configuration
        x, y = (values.astype(self._dtype, copy=False) for values in (x, y))

        def seen(t: int, a: Array) -> tuple[Array, list[Array]]:
            x_t, y_t = x[:, t] if network.sequence_input else x, y[:, t] if network.sequence_output else y
            beside = seen_beside(c.predictor, x_t, np.nan_to_num(y_t))
            return normalised(a) if c.predictor_normalisation == "batch" else a, beside

        def guess(t: int, a: Array) -> Array:
            return predict(c.predictor, self._predictor, *seen(t, a))

        used = self._weights.astype(self._dtype)
        loss, gradient, boundaries = truncated_gradient(network, used, x, y, self._timesteps, c.truncation, guess)
        if math.isfinite(loss) and boundaries:
            rate = c.predictor_learning_rate / (len(x) * len(boundaries))
            errors = [
                predictor_gradient(c.predictor, *seen(one.timestep, one.activations), one.guess - one.target)
                for one in boundaries
            ]
            self._predictor -= rate * sum(errors)
        return loss, gradient

    def _outputs(self, x: Array) -> Array:
        used = self._weights.astype(self._dtype)
        _, after = run_steps(self.network, used, x.astype(self._dtype, copy=False), self._timesteps)
        return reference.read_outputs(self.network, after)


SYNTHETIC = Descent(
    SyntheticConfiguration,
    LayeredSynthetic,
    free=partial(RecurrentSynthetic, dtype=np.float32),
    reference=RecurrentSynthetic,
)

"""The four addition programs that freewalk began with, by their own rules, on the trainers' own passes.

Sigmoid layers; minibatches in order, no shuffling; sums over a minibatch where the trainers take means; half the
squared error. Their traces are golden cases, and the last one is the example of a network that saturates instead of
learning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.network import Activation
from freewalk.kernels.reference.layered_pass import (
    Parameters,
    forward_layers,
    last_deltas,
    layer_deltas,
    make_parameters,
    slope,
    through,
)
from freewalk.kernels.reference.synthetic import decoupled_pass, predictor_gradient

Array = NDArray[np.float64]
Program = Literal["backprop", "layers", "synthetic_bias", "synthetic_all_layers"]


class AdditionProgram:
    """One of the programs in progress.

    `backprop` and `layers` are the same rule written twice: W -= alpha h' delta, without biases. The first multiplies
    by h and by 1 - h, one after the other, the others by the product h (1 - h): that rounds differently.
    `synthetic_bias` predicts the gradients of the hidden layers; biases move by alpha times the mean.
    `synthetic_all_layers` predicts that of the last layer too, has no biases, and adds where it should subtract, so
    that each predictor climbs its own error.

    Parameters
    ----------
    program
        Which one.
    weights
        (n_in, n_out) float64 of each layer before training.
    alpha
        The learning rate.
    batch_size
        Datapoints of a minibatch.
    biases
        (n_out,) of each layer, for `synthetic_bias`.
    predictors
        (n_out, n_out) of each layer, for the synthetic programs.
    predictor_biases
        (n_out,) of each layer's predictor, for `synthetic_bias`.
    """

    def __init__(
        self,
        program: Program,
        weights: Sequence[Array],
        alpha: float,
        batch_size: int,
        *,
        biases: Sequence[Array] = (),
        predictors: Sequence[Array] = (),
        predictor_biases: Sequence[Array] = (),
    ) -> None:
        self.program = program
        self.network = LayeredNetwork((len(weights[0]), *(layer.shape[1] for layer in weights)))
        self.parameters: Parameters = make_parameters(self.network)
        for layer, values in enumerate(weights):
            self.parameters.weights[layer][:] = values
        for layer, values in enumerate(biases):
            self.parameters.biases[layer][:] = values
        self.predictors: list[Array | None] = [values.copy() for values in predictors]
        if program == "synthetic_bias":  # a bias is one more feature, and the last layer learns from the truth
            self.predictors = [
                np.vstack([values, bias]) for values, bias in zip(predictors, predictor_biases, strict=True)
            ]
            self.predictors[-1] = None
        self._alpha = alpha
        self._batch_size = batch_size
        self._error = 0.0
        self.predictor_error = 0.0
        """What the predictor of the last hidden layer was off by in the last iteration, summed absolutely."""

    def outputs(self, x: Array) -> Array:
        """Return the outputs (B, n_output)."""
        return forward_layers(self.network, self.parameters, x)[-1]

    def iterate(self, x: Array, y: Array) -> float:
        """Pass once over the data; return the error that the program itself notes, a sum over all of them.

        `backprop`, `layers` and `synthetic_all_layers` note |(h - y) h (1 - h)| of the outputs h, which vanishes when
        they saturate, right or wrong; `synthetic_bias` notes |h - y|.
        """
        self._error = self.predictor_error = 0.0
        for first in range(0, len(x), self._batch_size):
            batch = slice(first, first + self._batch_size)
            if self.program in ("backprop", "layers"):
                self._backprop(x[batch], y[batch])
            else:
                self._decoupled(x[batch], y[batch])
        return self._error

    def _half_deltas(self, last: Array, y: Array) -> Array:
        """Return ((h - y) h) (1 - h), of half the squared error."""
        half: Array = last_deltas(self.network, last, y) / 2
        return half

    def _backprop(self, x: Array, y: Array) -> None:
        activations = forward_layers(self.network, self.parameters, x)
        noted = self._half_deltas(activations[-1], y)
        first = self.program == "backprop"
        last = noted if first else _by_product("sigmoid", activations[-1] - y, activations[-1])
        deltas = layer_deltas(self.network, self.parameters, activations, last, through if first else _by_product)
        for layer, delta in enumerate(deltas):
            self.parameters.weights[layer][:] -= self._alpha * (activations[layer].T @ delta)
        self._error += float(np.abs(noted).sum())

    def _decoupled(self, x: Array, y: Array) -> None:
        own = self.program == "synthetic_bias"

        def truth(last: Array) -> Array:
            return _by_product("sigmoid", last - y, last) if own else last - y

        outputs = decoupled_pass(
            self.network, self.parameters, self.predictors, "bias" if own else "linear", x, y, truth, self
        )
        self._error += float(np.abs(outputs - y if own else self._half_deltas(outputs, y)).sum())

    def move_layer(self, layer: int, entering: Array, deltas: Array) -> None:
        """Move a layer by the program's rule, in place."""
        change = self._alpha * (entering.T @ deltas)
        if self.program == "synthetic_all_layers":
            self.parameters.weights[layer][:] += change
        else:
            self.parameters.weights[layer][:] -= change
            self.parameters.biases[layer][:] -= self._alpha * deltas.mean(axis=0)

    def move_predictor(self, layer: int, h: Array, beside: Sequence[Array], errors: Array) -> None:
        """Move a predictor by the program's rule, in place."""
        own = self.predictors[layer]
        assert own is not None
        if layer == self.network.depth - 2:
            self.predictor_error += float(np.abs(errors).sum())
        if self.program == "synthetic_all_layers":
            own += self._alpha * predictor_gradient("linear", h, beside, errors)
        else:
            gradient = predictor_gradient("bias", h, beside, errors)
            gradient[-1] /= len(errors)  # the bias, by the mean
            own -= self._alpha * gradient


def _by_product(activation: Activation, arriving: Array, a: Array) -> Array:
    """Return what arrives times f'(z), which is multiplied out first."""
    product: Array = arriving * slope(activation, a)
    return product

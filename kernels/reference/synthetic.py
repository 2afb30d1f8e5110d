"""Decoupled neural interfaces: each layer moves at once by a gradient that is predicted from its own output.

Jaderberg et al., Decoupled Neural Interfaces using Synthetic Gradients, 2017. A predictor of layer i maps features of
its output h_i to s_i, its guess of dL/dh_i, and learns from what arrives from the layer above: that layer's own delta
sent through its weights, itself a guess unless the layer above is the last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.synthetic import Predictor
from freewalk.kernels.reference.layered_pass import Parameters, activate, activation_of, slope

Array = NDArray[Any]

NORMALISATION_EPSILON = 1e-5
"""Added to variances, as in batch normalisation (Ioffe and Szegedy, 2015)."""


class Moves(Protocol):
    """What is done with the deltas of a batch, at once and in place."""

    def move_layer(self, layer: int, entering: Array, deltas: Array) -> None:
        """Move a layer's weights by deltas (B, n_out) at its weighted sums, for what enters it (B, n_in)."""

    def move_predictor(self, layer: int, h: Array, beside: Sequence[Array], errors: Array) -> None:
        """Move a predictor's weights by its errors (B, n_out), for a layer's output and what it sees beside it."""


def seen_beside(predictor: Predictor, x: Array, y: Array) -> list[Array]:
    """Return what a predictor sees beside a layer's output, of inputs (B, n_input) and targets (B, n_output)."""
    return {"input": [x], "conditioned": [y], "context": [y, x]}.get(predictor, [])


def normalised(h: Array) -> Array:
    """Return (B, n) with mean 0 and variance 1 over the batch: batch normalisation, before any scale and shift."""
    centred = h - h.mean(axis=0)
    result: Array = centred / np.sqrt((centred * centred).mean(axis=0) + h.dtype.type(NORMALISATION_EPSILON))
    return result


def predict(predictor: Predictor, own: Array, h: Array, beside: Sequence[Array]) -> Array:
    """Return (B, n_out) predictions from outputs (B, n), what is seen beside them, and weights (n_features, n_out).

    The weights' rows are those of the outputs, then perhaps those of what is beside them and the bias.
    """
    first = h.shape[1]
    prediction: Array = h @ own[:first]
    for values in beside:
        last = first + values.shape[1]
        prediction += values @ own[first:last]
        first = last
    return prediction if predictor == "linear" else prediction + own[-1]


def predictor_gradient(predictor: Predictor, h: Array, beside: Sequence[Array], errors: Array) -> Array:
    """Return the gradient (n_features, n_out) of half the squared errors (B, n_out), summed over the datapoints."""
    by_output: Array = h.T @ errors
    if predictor == "linear":
        return by_output
    others = [values.T @ errors for values in beside]
    return np.concatenate([by_output, *others, np.add.reduce(errors, axis=0, keepdims=True)])


def decoupled_pass(
    network: LayeredNetwork,
    parameters: Parameters,
    predictors: Sequence[Array | None],
    predictor: Predictor,
    x: Array,
    y: Array,
    truth: Callable[[Array], Array],
    moves: Moves,
    *,
    normalise: bool = False,
) -> Array:
    """Run a batch up through the layers, moving each as it is reached, then let the predictors learn.

    Parameters
    ----------
    predictors
        (n_features, n_out) of each layer, or None for a layer that learns from the truth: the last, if any.
    predictor
        What they see.
    x, y
        (B, n_input) and (B, n_output).
    truth
        From the last layer's activations to the derivative of the loss: by these activations where the last layer has
        a predictor, whose target it then is; by their weighted sums where it has none.
    moves
        Called for each layer going up; what the layer sends down passes its moved weights.
    normalise
        Whether predictors see outputs that are `normalised`.

    Returns
    -------
    The last layer's activations, before anything moved them, (B, n_output)
    """
    h, beside = x, seen_beside(predictor, x, y)
    learning = []  # layer, what its predictor saw of its output, prediction
    arriving: list[Array] = []  # at each layer, from the one above
    for layer, (weights, bias, own) in enumerate(zip(parameters.weights, parameters.biases, predictors, strict=True)):
        activation = activation_of(network, layer)
        above = activate(activation, h @ weights + bias)
        if own is None:
            deltas = truth(above)
        else:
            seen = normalised(above) if normalise else above
            prediction = predict(predictor, own, seen, beside)
            learning.append((layer, seen, prediction))
            deltas = prediction * slope(activation, above)
        moves.move_layer(layer, h, deltas)
        if layer:
            arriving.append(deltas @ weights.T)
        h = above
    if predictors[-1] is not None:
        arriving.append(truth(h))
    for layer, seen, prediction in learning:
        moves.move_predictor(layer, seen, beside, prediction - arriving[layer])
    return h

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

from freewalk.kernels.descent import Predictor
from freewalk.kernels.layered import LayeredNetwork
from freewalk.kernels.layered_pass import Parameters, activate, activation_of, slope

Array = NDArray[Any]


class Moves(Protocol):
    """What is done with the deltas of a batch, at once and in place."""

    def move_layer(self, layer: int, entering: Array, deltas: Array) -> None:
        """Move a layer's weights by deltas (B, n_out) at its weighted sums, for what enters it (B, n_in)."""

    def move_predictor(self, layer: int, features: Array, errors: Array) -> None:
        """Move a predictor's weights by its errors (B, n_out), for its features (B, n_features)."""


def features_of(predictor: Predictor, h: Array, y: Array) -> Array:
    """Return what a predictor is linear in, (B, n_features): the output, and perhaps the target and a one."""
    if predictor == "linear":
        return h
    one = np.ones((len(h), 1), dtype=h.dtype)
    return np.concatenate([h, one] if predictor == "bias" else [h, y, one], axis=1)


def decoupled_pass(
    network: LayeredNetwork,
    parameters: Parameters,
    predictors: Sequence[Array | None],
    predictor: Predictor,
    x: Array,
    y: Array,
    truth: Callable[[Array], Array],
    moves: Moves,
) -> Array:
    """Run a batch up through the layers, moving each as it is reached, then let the predictors learn.

    Parameters
    ----------
    predictors
        (n_features, n_out) of each layer, or None for a layer that learns from the truth: the last, if any.
    predictor
        Which features they see.
    x, y
        (B, n_input) and (B, n_output).
    truth
        From the last layer's activations to the derivative of the loss: by these activations where the last layer has
        a predictor, whose target it then is; by their weighted sums where it has none.
    moves
        Called for each layer going up; what the layer sends down passes its moved weights.

    Returns
    -------
    The last layer's activations, before anything moved them, (B, n_output)
    """
    h = x
    learning = []  # layer, features, prediction
    arriving: list[Array] = []  # at each layer, from the one above
    for layer, (weights, bias, own) in enumerate(zip(parameters.weights, parameters.biases, predictors, strict=True)):
        activation = activation_of(network, layer)
        above = activate(activation, h @ weights + bias)
        if own is None:
            deltas = truth(above)
        else:
            features = features_of(predictor, above, y)
            prediction = features @ own
            learning.append((layer, features, prediction))
            deltas = prediction * slope(activation, above)
        moves.move_layer(layer, h, deltas)
        if layer:
            arriving.append(deltas @ weights.T)
        h = above
    if predictors[-1] is not None:
        arriving.append(truth(h))
    for layer, features, prediction in learning:
        moves.move_predictor(layer, features, prediction - arriving[layer])
    return h

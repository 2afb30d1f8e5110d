"""Backpropagation with the faults that people make, one at a time: what a wrong gradient is compared with.

Written apart from `freewalk.kernels.reference.gradient`, which it judges: here every derivative can be replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.gradcheck.fits import Suspect
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.reference import reference

Array = NDArray[np.float64]
Slope = Callable[[Array, Array], Array]
"""f'(z) of sums z and activations a = f(z)."""


def _sigmoid_slope(z: Array, a: Array) -> Array:
    return a * (1 - a)


def _one(z: Array, a: Array) -> Array:
    return np.ones_like(z)


def _tanh_slope(z: Array, a: Array) -> Array:
    return 1 - a**2


_SLOPES: Mapping[str, Slope] = {
    "sigmoid": _sigmoid_slope,
    "tanh": _tanh_slope,
    "relu": lambda z, a: (z > 0).astype(np.float64),
    "linear": _one,
}
_FAULTS: Mapping[str, Mapping[str, Slope]] = {
    "sigmoid": {
        "the derivative is taken of activations instead of pre-activations: sigmoid'(a), not sigmoid'(z) = a (1 - a)": (
            lambda z, a: reference.sigmoid(a) * (1 - reference.sigmoid(a))
        ),
        "the derivative is z (1 - z) of pre-activations; the shortcut a (1 - a) takes activations": lambda z, a: (
            z * (1 - z)
        ),
        "the derivative of the activation function is left out": _one,
        "the derivative is tanh's, 1 - a**2, but the neurons are sigmoid": _tanh_slope,
    },
    "tanh": {
        "the derivative is taken of activations instead of pre-activations: tanh'(a), not tanh'(z) = 1 - a**2": (
            lambda z, a: 1 - np.tanh(a) ** 2
        ),
        "the derivative is 1 - z**2 of pre-activations; the shortcut 1 - a**2 takes activations": (
            lambda z, a: 1 - z**2
        ),
        "the derivative of the activation function is left out": _one,
        "the derivative is sigmoid's, a (1 - a), but the neurons are tanh": _sigmoid_slope,
    },
    "relu": {
        "the derivative's sides are exchanged: it is 1 above 0 and 0 below": lambda z, a: (z < 0).astype(np.float64),
        "the activation stands in the place of its derivative": lambda z, a: a,
        "the derivative of the activation function is left out": _one,
        "the derivative is sigmoid's, a (1 - a), but the neurons are relu": _sigmoid_slope,
    },
    "linear": {
        "nothing passes: the derivative is 1 everywhere": lambda z, a: 0 * z,
        "the activation stands in the place of its derivative, 1": lambda z, a: a,
        "the derivative is tanh's, 1 - a**2, but the neurons are linear": _tanh_slope,
        "the derivative is sigmoid's, a (1 - a), but the neurons are linear": _sigmoid_slope,
    },
}


def faulty_gradients(
    network: FreeNetwork,
    weights: Array,
    x: NDArray[Any],
    y: NDArray[Any],
    timesteps: int,
    layers: LayeredNetwork | None = None,
) -> Iterator[Suspect]:
    """Yield the gradients of the mean loss that known faults would give; arrays as for `loss_gradient`.

    Each wrong derivative is planted in all neurons, in the outputs, in the hidden neurons, and in each hidden layer of
    a layered network; and the error signal is not carried back in time.
    """
    mask = None if layers is None else layers.mask
    for where, columns in _places(network, layers):
        for sentence, slope in _faulty_slopes(network, columns):
            gradient = backprop(network, weights, x, y, timesteps, slope=slope, mask=mask)
            yield Suspect("derivative", f"{where}: {sentence}", gradient)
    if layers is None and timesteps > 1:
        gradient = backprop(network, weights, x, y, timesteps, carried=False)
        yield Suspect(
            "time", "the error signal is not carried back in time: every timestep sees only its own", gradient
        )


def _places(network: FreeNetwork, layers: LayeredNetwork | None) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield groups of neurons as (n_to,) masks, each group once; small ones first, as they say more."""
    column = np.arange(network.n_to)
    outputs = column < network.n_output
    yield "output neurons", outputs
    if layers is not None and layers.depth > 2:
        for depth, (_, place) in enumerate(layers.places[:-1], start=1):
            yield f"neurons of layer {depth}", (column >= place.start) & (column < place.stop)
    if network.n_hidden:
        yield "hidden neurons", ~outputs
        yield "all neurons", np.ones(network.n_to, dtype=np.bool_)


def _faulty_slopes(network: FreeNetwork, columns: NDArray[np.bool_]) -> Iterator[tuple[str, Slope]]:
    """Yield each wrong derivative in some of the neurons, the right one in the others."""
    hidden, outputs = network.hidden_activation, network.output_activation
    in_hidden, in_outputs = columns[network.n_output :].any(), columns[: network.n_output].any()
    for of_hidden, of_outputs in zip(_FAULTS[hidden].items(), _FAULTS[outputs].items(), strict=True):
        sentence = of_outputs[0] if not in_hidden else of_hidden[0]
        if in_hidden and in_outputs and hidden != outputs:
            sentence = f"{of_hidden[0]}; and in the outputs {of_outputs[0]}"
        yield sentence, _mixed(network, columns, of_hidden[1], of_outputs[1])


def _mixed(network: FreeNetwork, columns: NDArray[np.bool_], of_hidden: Slope, of_outputs: Slope) -> Slope:
    n = network.n_output

    def slope(z: Array, a: Array) -> Array:
        wrong = np.concatenate([of_outputs(z[:, :n], a[:, :n]), of_hidden(z[:, n:], a[:, n:])], axis=1)
        return np.where(columns, wrong, true_slope(network)(z, a))

    return slope


def true_slope(network: FreeNetwork) -> Slope:
    """Return f'(z) of all neurons, (B, n_to)."""
    n, of_outputs, of_hidden = (
        network.n_output,
        _SLOPES[network.output_activation],
        _SLOPES[network.hidden_activation],
    )
    return lambda z, a: np.concatenate([of_outputs(z[:, :n], a[:, :n]), of_hidden(z[:, n:], a[:, n:])], axis=1)


def backprop(
    network: FreeNetwork,
    weights: Array,
    x: NDArray[Any],
    y: NDArray[Any],
    timesteps: int,
    *,
    slope: Slope | None = None,
    mask: NDArray[np.bool_] | None = None,
    carried: bool = True,
) -> Array:
    """Return the gradient of the mean loss by backpropagation through time, with a derivative of one's own.

    Parameters
    ----------
    weights
        (n_from, n_to) float64.
    x, y
        As in `freewalk.kernels.reference.reference`.
    slope
        f'(z) of (B, n_to) sums and activations; None: the right one.
    mask
        (n_from, n_to), False where there is no weight.
    carried
        Whether the error signal goes back in time.
    """
    slope = true_slope(network) if slope is None else slope
    entering, after = reference.run(network, weights, x, timesteps)
    by_output = _loss_by_activation(network, after[:, :, : network.n_output], y)
    gradient = np.zeros_like(weights)
    arriving, keep = np.zeros((len(after), network.n_to)), reference.kept(network)
    for t in reversed(range(timesteps)):
        arriving[:, : network.n_output] += by_output[:, t]
        z = entering[t] @ weights
        delta = (1 - keep) * arriving * slope(z, reference.activate(network, z))
        gradient += entering[t].T @ delta
        arriving = delta @ weights[network.n_input + 1 :].T + keep * arriving if carried else np.zeros_like(delta)
    gradient /= len(after)
    return gradient if mask is None else gradient * mask


def _loss_by_activation(network: FreeNetwork, activations: Array, y: NDArray[Any]) -> Array:
    """Return dL/da of the output neurons, (B, T, n_output); zero at timesteps that are not read."""
    target = reference.dense_targets(network, y)
    target = target if network.sequence_output else target[:, None, :]
    read = activations if network.sequence_output else activations[:, -1:]
    outputs = reference.softmax(read) if network.softmax else read
    target = np.where(np.isnan(target), outputs if network.loss == "mean_squared_error" else 0, target)
    if network.loss == "mean_squared_error":
        by_output = 2 * (outputs - target)
    else:
        by_output = -np.divide(target, outputs, out=np.zeros_like(outputs), where=target != 0)
    if network.softmax:
        by_output = outputs * (by_output - (outputs * by_output).sum(axis=-1, keepdims=True))
    result = np.zeros_like(activations)
    result[:, activations.shape[1] - by_output.shape[1] :] = by_output
    return result

"""What a network answers, and how far that is from its targets; all in float64."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from freewalk.harness.base.errors import UsageError
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.own_network import ModelNetwork
from freewalk.kernels.reference import reference
from freewalk.kernels.reference.layered_pass import forward_layers, make_parameters, set_parameters
from freewalk.kernels.reference.layered_pass import outputs_of as read_last
from freewalk.kernels.trainers.own_model import outputs_of_model
from freewalk.kernels.trainers.reference_trainer import measure as measure_all
from freewalk.tasks.given import as_array, place, warn_unreachable
from freewalk.tasks.labels import one_hot, read_labels

Array = NDArray[np.float64]

_DATAPOINTS_AT_A_TIME = 4096  # bounds the memory of a run, which keeps the activations of all timesteps


@dataclass(frozen=True)
class OutputErrors:
    """Errors of one output, over datapoints and timesteps."""

    mean_squared_error: float
    mean_absolute_error: float
    max_error: float
    accuracy: float
    """Share on the target's side of 1/2."""


@dataclass(frozen=True)
class Measures:
    """How far outputs are from their targets; the names are those of the tables."""

    n_datapoints: int
    loss: float
    """Mean loss of a datapoint."""
    bit_accuracy: float
    """Share of outputs on their target's side of 1/2."""
    row_accuracy: float
    """Share of datapoints with every output right."""
    max_error: float
    """Largest distance of an output from its target."""
    accuracy: float | None
    """Share of classes found, see `freewalk.kernels.model.walk.Evaluation`; None for one output, or without classes."""
    outputs: tuple[OutputErrors, ...]
    """Of each output."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return asdict(self)


def inputs_of(network: FreeNetwork, x: ArrayLike, timesteps: int) -> Array:
    """Return inputs as float64, (B, n_input) or (B, T, n_input), integers of a sequence (B, T) made one-hot.

    Raises
    ------
    UsageError
        If they do not fit the network or are not finite; it names the shapes expected and found.
    """
    return _fitting("x", x, network.sequence_input, timesteps, network.n_input, "n_input")


def targets_of(network: FreeNetwork, y: ArrayLike, timesteps: int) -> Array:
    """Return targets as float64, (B, n_output) or (B, T, n_output); see `inputs_of`.

    Labels, (B,) or a column, are made one-hot where the network has classes: whole numbers from 0, True and False, or
    -1 and 1 for two. Targets that no output can reach are warned of; one that is NaN at a timestep does not count.
    """
    dense = _fitting("y", _classes(network, y), network.sequence_output, timesteps, network.n_output, "n_output")
    if network.output_activation == "sigmoid":
        warn_unreachable(dense, "y", stacklevel=3)
    return dense


def _classes(network: FreeNetwork, y: ArrayLike) -> ArrayLike:
    """Return labels of a network with classes one-hot, (B, n_output); anything else as it is."""
    if not network.softmax or network.sequence_output or network.n_output < 2:
        return y
    try:
        labels = read_labels(as_array(y, "y"), wanted=True)
        if labels is None:
            return y
        if labels.dtype.kind == "O":
            raise ValueError(
                f"y holds words, and the network knows its classes by number: give 0 to {network.n_output - 1}, as"
                " from_arrays numbers words in alphabetical order"
            )
        signed = network.n_output == 2 and len(labels) and set(labels.tolist()) <= {-1, 1} and labels.min() < 0
        return one_hot(labels, (-1, 1) if signed else range(network.n_output))[:, 0]
    except ValueError as error:
        raise UsageError(str(error)) from None


def _fitting(name: str, given: ArrayLike, is_sequence: bool, timesteps: int, n: int, what: str) -> Array:
    try:
        array = as_array(given, name)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if array.dtype.kind not in "biuf":
        raise UsageError(f"{name} must hold numbers, got {array.dtype}; convert it")
    if array.ndim == 1 and n == 1 and not is_sequence:
        array = array[:, None]
    if is_sequence and array.ndim == 2 and array.dtype.kind in "iu" and array.shape[1] == timesteps:
        try:
            return reference.one_hot(array, n)
        except ValueError as error:
            raise UsageError(f"{name}: {error}") from None
    wanted = (timesteps, n) if is_sequence else (n,)
    if array.ndim != 1 + len(wanted) or array.shape[1:] != wanted or not len(array):
        axes = ("T", what) if is_sequence else (what,)
        expected = f"(B, {', '.join(f'{axis}={size}' for axis, size in zip(axes, wanted, strict=True))})"
        raise UsageError(f"{name} must have shape {expected} with B of at least 1, got {array.shape}")
    dense: Array = array.astype(np.float64)
    gaps = np.isnan(dense) if name == "y" and is_sequence else False
    if not (finite := np.isfinite(dense) | gaps).all():
        raise UsageError(
            f"{name} holds numbers that are not finite, the first in {place(~finite)}; remove those datapoints"
        )
    return dense


def outputs_of(
    network: FreeNetwork, weights: Array, x: ArrayLike, timesteps: int, layers: LayeredNetwork | None = None
) -> Array:
    """Return the outputs of datapoints, (B, n_output) or (B, T, n_output).

    A layered network is run layer by layer, which its free network would take many times as long for.

    Raises
    ------
    UsageError
        If x does not fit the network.
    """
    dense = inputs_of(network, x, timesteps)
    if isinstance(network, ModelNetwork):
        return outputs_of_model(network, weights, dense, np.float64)
    parts = [dense[first : first + _DATAPOINTS_AT_A_TIME] for first in range(0, len(dense), _DATAPOINTS_AT_A_TIME)]
    if layers is None:
        return np.concatenate([reference.forward(network, weights, part, timesteps) for part in parts])
    parameters = make_parameters(layers)
    set_parameters(layers, parameters, weights)
    return np.concatenate([read_last(layers, forward_layers(layers, parameters, part)[-1]) for part in parts])


def measure(network: FreeNetwork, outputs: Array, y: Array) -> Measures:
    """Return how far outputs are from their targets, both (B, n_output) or (B, T, n_output).

    Raises
    ------
    UsageError
        If they are not of one shape.
    """
    if outputs.shape != y.shape:
        raise UsageError(f"y must have shape {outputs.shape}, one target a datapoint of x, got {y.shape}")
    whole = measure_all(network, outputs, y)
    right = (outputs > 0.5) == (y > 0.5)
    distances = np.abs(outputs - y).reshape(-1, y.shape[-1])
    counted = [np.flatnonzero(~np.isnan(distances[:, k])) for k in range(y.shape[-1])]
    return Measures(
        n_datapoints=len(y),
        loss=whole.loss,
        bit_accuracy=whole.bit_accuracy,
        row_accuracy=whole.row_accuracy,
        max_error=whole.max_error,
        accuracy=None if math.isnan(whole.accuracy) or y.shape[-1] == 1 else whole.accuracy,
        outputs=tuple(
            OutputErrors(
                mean_squared_error=float((distances[rows, k] ** 2).mean()),
                mean_absolute_error=float(distances[rows, k].mean()),
                max_error=float(distances[rows, k].max()),
                accuracy=float(right.reshape(-1, y.shape[-1])[rows, k].mean()),
            )
            for k, rows in enumerate(counted)
        ),
    )

"""The check for gradients that users write themselves: any loss of NumPy arrays and its gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from freewalk.harness.gradcheck import numerical
from freewalk.harness.gradcheck.fits import Suspect
from freewalk.harness.gradcheck.layers import Layer, array_layers
from freewalk.harness.gradcheck.planted import backprop, faulty_gradients
from freewalk.harness.gradcheck.report import TOLERANCE, Report, check_gradient
from freewalk.harness.gradcheck.smoothness import refuse_other_gradient, refuse_unrepeatable
from freewalk.harness.gradcheck.undecided import without_the_undecided
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.network import Activation

Array = NDArray[np.float64]
Weights = Any
"""One array, a sequence of arrays, or a mapping of names to arrays."""


def gradcheck(
    loss: Callable[[Weights], float],
    gradient: Callable[[Weights], Weights],
    weights: Weights,
    *,
    h: float = numerical.STEP,
    tolerance: float = TOLERANCE,
    counts: Mapping[str, float] | None = None,
    data: tuple[ArrayLike, ArrayLike] | None = None,
    activation: Activation = "sigmoid",
) -> Report:
    """Check a gradient function against central differences of its loss, and name what is wrong with it.

    Parameters
    ----------
    loss
        From weights to a number, the same whenever it is called and smooth at these weights; it must compute in
        float64.
    gradient
        From weights to the derivatives of the loss, arrays in the same arrangement.
    weights
        Where to check, as both functions take it: one array, a sequence of arrays, or a mapping of names to arrays.
        They are handed over as float64 copies. One-dimensional arrays count as biases.
    h
        Step of the differences.
    tolerance
        Largest relative error ``|a - n| / max(1e-8, |a| + |n|)`` that agrees.
    counts
        Numbers that a wrong factor may be made of, such as ``{"cases": 1000, "outputs": 12}``; a gradient that is a
        thousandth of the right one is then said to be 1 / 1000 (cases).
    data
        x (B, n_in) and y (B, n_out), if the loss is that of squared errors (summed, halved or averaged) of a layered
        network with sigmoid outputs and weights (n_in, n_out) in the order W1, b1, W2, b2, ... or W1, W2, ...: then
        derivatives taken of the wrong thing are recognised too, and B and n_out are counts.
    activation
        Of that network's hidden layers.

    Returns
    -------
    Report
        `passed`, a result for each array in `layers`, the `worst` weights and the `faults`; `str` of it is for people.

    Raises
    ------
    ValueError
        If the gradient is arranged otherwise than the weights; if the loss is not a finite float64 number, or nothing
        that differences can judge: one that differs between calls, or, where the gradient misses it, has a kink or
        moves in steps; or if the data do not make this loss.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.eye(2), np.array([0.0, 1.0])
    >>> loss = lambda w: float(((x @ w - y) ** 2).sum())
    >>> gradcheck(loss, lambda w: 2 * x.T @ (x @ w - y), np.array([0.3, 0.5])).passed
    True
    >>> print(gradcheck(loss, lambda w: x.T @ (x @ w - y), np.array([0.3, 0.5])).faults[0].sentence)
    the whole gradient: a constant factor of 0.5, which is 1 / 2 (the derivative of a square)
    """
    arrangement = Arrangement(weights)
    flat = arrangement.flatten(weights, "weights")
    layers = array_layers(arrangement.names, arrangement.shapes)

    def flat_loss(at: Array) -> float:
        return _checked_loss(loss(arrangement.restore(at)))

    def flat_gradient(at: Array) -> Array:
        return arrangement.flatten(gradient(arrangement.restore(at)), "gradient")

    first = flat_loss(flat)
    if not np.isfinite(first):
        raise ValueError(f"the loss is {first} at these weights; check at weights where it is finite")
    refuse_unrepeatable(flat_loss, flat, first)
    analytic = flat_gradient(flat)
    refuse_other_gradient(analytic, flat_gradient(flat))
    expected, noise = numerical.judge(flat_loss, flat, analytic, np.arange(flat.size), tolerance, h)
    refuse_unrepeatable(flat_loss, flat, first)
    analytic, expected, noise = without_the_undecided(
        flat_loss, flat, first, analytic, expected, noise, layers, h=h, tolerance=tolerance
    )
    known = dict(counts or {})
    suspects: Callable[[], Iterable[Suspect]] | None = None
    if data is not None:
        case = _LayeredCase(arrangement, layers, data, activation)
        case.check(flat, expected)
        known = {"cases": case.n_cases, "outputs": case.n_output, **known}
        suspects = partial(case.suspects, flat, expected)
    return check_gradient(
        analytic,
        expected,
        layers,
        tolerance=tolerance,
        noise=noise,
        counts=known,
        suspects=suspects,
        weights=flat,
    )


def _checked_loss(value: Any) -> float:
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "fiu":
        raise ValueError(f"the loss must be one number, got {array.dtype} of shape {array.shape}")
    if array.dtype.kind == "f" and array.dtype.itemsize < 8:
        raise ValueError(f"the loss is {array.dtype}, too coarse for differences; compute it in float64")
    return float(array.reshape(()))


class Arrangement:
    """How weights are arranged: as one array, a sequence, or a mapping."""

    def __init__(self, weights: Weights) -> None:
        self._keys: list[Any] | None = list(weights) if isinstance(weights, Mapping) else None
        self._is_one = not isinstance(weights, Mapping) and not is_sequence(weights)
        arrays = self._arrays(weights)
        if not arrays or not any(array.size for array in arrays):
            raise ValueError("there are no weights to check")
        self.shapes = [array.shape for array in arrays]
        if self._keys is not None:
            self.names = [str(key) for key in self._keys]
        else:
            self.names = ["weights"] if self._is_one else [f"array {k}" for k in range(len(arrays))]

    def _arrays(self, weights: Weights) -> list[Array]:
        if self._keys is not None:
            return [np.asarray(weights[key], dtype=np.float64) for key in self._keys]
        items = [weights] if self._is_one else list(weights)
        return [np.asarray(item, dtype=np.float64) for item in items]

    def flatten(self, weights: Weights, what: str) -> Array:
        """Return all numbers in one row; ValueError if they are arranged otherwise than the first weights."""
        if self._keys is not None:
            if not isinstance(weights, Mapping) or set(weights) != set(self._keys):
                raise ValueError(f"the {what} must be a mapping with the keys {', '.join(self.names)}")
        elif not self._is_one and (not is_sequence(weights) or len(weights) != len(self.shapes)):
            raise ValueError(f"the {what} must be {len(self.shapes)} arrays, as the weights are")
        arrays = self._arrays(weights)
        for name, array, shape in zip(self.names, arrays, self.shapes, strict=True):
            if array.shape != shape:
                raise ValueError(f"{what}: {name} must have shape {shape}, got {array.shape}")
        return np.concatenate([array.reshape(-1) for array in arrays])

    def restore(self, flat: Array) -> Weights:
        """Return fresh arrays, arranged as the weights were."""
        sizes = [int(np.prod(shape)) for shape in self.shapes]
        parts = np.split(flat, np.cumsum(sizes)[:-1])
        arrays = [part.reshape(shape).copy() for part, shape in zip(parts, self.shapes, strict=True)]
        if self._keys is not None:
            return dict(zip(self._keys, arrays, strict=True))
        return arrays[0] if self._is_one else arrays


def is_sequence(weights: Weights) -> bool:
    """Tell a sequence of arrays from one array, which may be a list of numbers."""
    return isinstance(weights, Sequence) and not all(np.isscalar(item) for item in weights)


class _LayeredCase:
    """The layered network and the data behind a user's loss."""

    def __init__(
        self,
        arrangement: Arrangement,
        layers: Sequence[Layer],
        data: tuple[ArrayLike, ArrayLike],
        activation: Activation,
    ) -> None:
        self._layers = layers
        self._x, self._y = (np.asarray(part, dtype=np.float64) for part in data)
        matrices = [shape for shape in arrangement.shapes if len(shape) == 2]
        biases = [shape for shape in arrangement.shapes if len(shape) == 1]
        widths = tuple(shape[0] for shape in matrices) + tuple(shape[1] for shape in matrices[-1:])
        chained = matrices == list(pairwise(widths)) and bool(matrices)
        fits = chained and biases in ([], [(n,) for n in widths[1:]]) and len(matrices) + len(biases) == len(layers)
        if not fits or self._x.shape != (len(self._y), widths[0]) or self._y.shape != (len(self._x), widths[-1]):
            raise ValueError(
                f"data of shapes {self._x.shape} and {self._y.shape} do not fit weights of shapes {arrangement.shapes}:"
                " give x (B, n_in), y (B, n_out) and weights W1 (n_in, n_1), b1 (n_1,), W2, b2, ...; or leave data out"
            )
        self._network = LayeredNetwork(widths, hidden_activation=activation)
        self.n_cases, self.n_output = len(self._x), widths[-1]

    def _matrix(self, flat: Array) -> Array:
        weights = [flat[layer.indices] for layer in self._layers if not layer.is_bias]
        biases = [flat[layer.indices[0]] for layer in self._layers if layer.is_bias]
        widths = self._network.widths[1:]
        return self._network.embed(weights, biases or [np.zeros(n) for n in widths])

    def _flat(self, gradient: NDArray[Any]) -> Array:
        weights, biases = self._network.split(gradient)
        rest = {False: iter(weights), True: iter(biases)}
        return np.concatenate([next(rest[layer.is_bias]).reshape(-1) for layer in self._layers])

    def _scale(self, flat: Array, expected: Array) -> tuple[float, float]:
        """Return what the true gradient of the mean of sums must be multiplied by, and what that leaves unexplained."""
        network = self._network
        mask = network.mask
        mine = self._flat(
            backprop(network.free_network, self._matrix(flat), self._x, self._y, network.depth, mask=mask)
        )
        scale = float(mine @ expected / max(float(mine @ mine), 1e-300))
        left = float(np.linalg.norm(expected - scale * mine)) / max(float(np.linalg.norm(expected)), 1e-300)
        return scale, left

    def check(self, flat: Array, expected: Array) -> None:
        """Raise ValueError unless the network and the data make the user's loss, up to a factor."""
        if self._scale(flat, expected)[1] > 1e-4:
            raise ValueError(
                "data: squared errors of these sigmoid layers on x and y have another gradient than the loss given;"
                " check x, y and activation, take penalties on weights out, or leave data out"
            )

    def suspects(self, flat: Array, expected: Array) -> Iterable[Suspect]:
        """Yield the gradients that known faults would give."""
        scale, _ = self._scale(flat, expected)
        network = self._network
        for suspect in faulty_gradients(
            network.free_network, self._matrix(flat), self._x, self._y, network.depth, network
        ):
            yield Suspect(suspect.kind, suspect.sentence, scale * self._flat(suspect.gradient))

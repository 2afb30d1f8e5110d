"""Four programs that learn binary addition, with and without backpropagation, each by its own rules in NumPy.

Three layers of sigmoids; pairs of numbers in order, no shuffling; sums over a minibatch, not means. A step is what the
programs call an iteration: a pass through all pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from freewalk.kernels.data.datapoints import draw
from freewalk.kernels.model.noise import Stream
from freewalk.kernels.trainers.reference_trainer import measure
from freewalk.methods import ArrayTrainer, Evaluation, OwnMethod, Start

Array = NDArray[np.float64]
Name = Literal["backprop", "layers", "synthetic-bias", "synthetic-all-layers"]

_SPREADS: dict[str, tuple[float, float]] = {"synthetic-bias": (2.0, -1.0)}
"""Standard deviation and mean of the first weights and biases."""
_SPREAD = (0.2, -0.1)


class Weights(NamedTuple):
    """What a program learns, an array for each layer, changed in place."""

    layers: Sequence[Array]
    """(n_in, n_out)."""
    biases: Sequence[Array]
    """(n_out,); those of programs without biases stay 0."""
    predictors: Sequence[Array]
    """(n_out, n_out), from a layer's outputs to a gradient by them; programs that predict nothing leave them alone."""
    predictor_biases: Sequence[Array]
    """(n_out,)."""


def drawn_weights(program: Name, widths: Sequence[int], seed: int) -> Weights:
    """Return normal numbers as a program begins with; the predictors of `synthetic-bias` begin at 0."""
    random = np.random.default_rng(seed)
    stddev, mean = _SPREADS.get(program, _SPREAD)

    def drawn(*shape: int) -> Array:
        return stddev * random.standard_normal(shape) + mean

    outputs = widths[1:]
    layers = [drawn(*shape) for shape in zip(widths[:-1], outputs, strict=True)]
    has_biases, draws_predictors = program == "synthetic-bias", program == "synthetic-all-layers"
    return Weights(
        layers,
        [drawn(n) if has_biases else np.zeros(n) for n in outputs],
        [drawn(n, n) if draws_predictors else np.zeros((n, n)) for n in outputs],
        [np.zeros(n) for n in outputs],
    )


def forward(weights: Weights, x: Array) -> list[Array]:
    """Return the input and the outputs of each layer."""
    outputs = [x]
    for layer, biases in zip(weights.layers, weights.biases, strict=True):
        outputs.append(_sigmoid(outputs[-1] @ layer + biases))
    return outputs


def take_minibatch(program: Name, weights: Weights, x: Array, y: Array, alpha: float) -> Array:
    """Move the weights by a minibatch x (B, n_in) with targets y (B, n_out); return the outputs met on the way."""
    rule = {"synthetic-bias": _with_biases, "synthetic-all-layers": _all_layers}.get(program, _backprop)
    return rule(weights, x, y, alpha)


def noted_error(program: Name, outputs: Array, y: Array) -> float:
    """Return the error that a program itself prints; all but `synthetic-bias` multiply it by the outputs' slope."""
    slope = 1.0 if program == "synthetic-bias" else outputs * (1 - outputs)
    return float(np.abs((outputs - y) * slope).sum())


def _sigmoid(z: Array) -> Array:
    with np.errstate(over="ignore"):
        result: Array = 1 / (1 + np.exp(-z))
    return result


def _slope(h: Array) -> Array:
    return h * (1 - h)


def _backprop(weights: Weights, x: Array, y: Array, alpha: float) -> Array:
    """Descend the gradient of half the squared error, all layers after the deltas are known."""
    h = forward(weights, x)
    delta = (h[-1] - y) * _slope(h[-1])
    deltas = [delta]
    for k in (2, 1):
        delta = (delta @ weights.layers[k].T) * _slope(h[k])
        deltas.insert(0, delta)
    for layer, below, delta in zip(weights.layers, h, deltas, strict=False):
        layer -= alpha * (below.T @ delta)
    return h[-1]


def _with_biases(weights: Weights, x: Array, y: Array, alpha: float) -> Array:
    """Let each hidden layer move at once by what it predicts, and the last by the truth."""
    h, predicted, sent = x, [], []
    hidden = []
    for k, (layer, biases) in enumerate(zip(weights.layers, weights.biases, strict=True)):
        below, h = h, _sigmoid(h @ layer + biases)
        if k < 2:
            hidden.append(h)
            predicted.append(h @ weights.predictors[k] + weights.predictor_biases[k])
        delta = (predicted[k] if k < 2 else h - y) * _slope(h)
        layer -= alpha * (below.T @ delta)
        biases -= alpha * delta.mean(axis=0)
        sent.append(delta @ layer.T)  # by the weights that have just moved
    for k in (1, 0):
        missed = predicted[k] - sent[k + 1]
        weights.predictors[k][...] -= alpha * (hidden[k].T @ missed)
        weights.predictor_biases[k][...] -= alpha * missed.mean(axis=0)
    return h


def _all_layers(weights: Weights, x: Array, y: Array, alpha: float) -> Array:
    """Let every layer move at once by what it predicts, with a plus where a minus belongs, predictors too."""
    h, predicted, outputs, sent = x, [], [], []
    for layer, predictor in zip(weights.layers, weights.predictors, strict=True):
        below, h = h, _sigmoid(h @ layer)
        outputs.append(h)
        predicted.append(h @ predictor)
        delta = predicted[-1] * _slope(h)
        layer += alpha * (below.T @ delta)
        sent.append(delta @ layer.T)
    sent.append(h - y)
    for k in (2, 1, 0):
        weights.predictors[k][...] += alpha * (outputs[k].T @ (predicted[k] - sent[k + 1]))
    return h


class Parameters(BaseModel):
    """What `addition-program` has beyond the common parameters; `batch_size` is the number of pairs."""

    program: Name = Field("backprop", description="which of the programs")
    learning_rate: float = Field(0.1, gt=0, description="what the programs call alpha")
    minibatch: int = Field(10, ge=1, description="pairs between two updates")


class Trial(ArrayTrainer):
    """One trial. It learns those pairs that a measurement shows, in the same order."""

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        if start.layers is None or start.layers.depth != 3:
            raise ValueError("addition-program learns networks of three layers; give architecture=24-128-64-12")
        if start.evaluation_points != start.batch_size:
            raise ValueError(
                f"addition-program learns the {start.evaluation_points:,} pairs of a measurement;"
                f" give batch_size={start.evaluation_points}"
            )
        self._layers, self._own = start.layers, start.parameters
        self._learned = drawn_weights(self._own.program, start.layers.widths, start.seed)
        self._x, self._y = (
            part.astype(np.float64)
            for part in draw(
                start.network,
                start.data,
                start.timesteps,
                seed=start.seed,
                stream=Stream.EVALUATION_DATA,
                step=0,
                n_datapoints=start.evaluation_points,
            )
        )
        self._show()

    def take_step(self) -> float:
        """Pass through all pairs; return the mean of their losses, each before its minibatch has moved anything."""
        own, loss = self._own, 0.0
        for first in range(0, len(self._x), own.minibatch):
            batch = slice(first, first + own.minibatch)
            outputs = take_minibatch(own.program, self._learned, self._x[batch], self._y[batch], own.learning_rate)
            loss += float(((outputs - self._y[batch]) ** 2).sum())
        self.evaluations += len(self._x)
        self._show()
        return loss / len(self._x)

    def evaluate(self) -> Evaluation:
        """Measure the pairs in float64: weights of `synthetic-all-layers` soon pass what float32 can hold."""
        with np.errstate(all="ignore"):
            return measure(self.network, forward(self._learned, self._x)[-1], self._y)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what the trial needs to go on, predictors too."""
        return super().state() | {name: array.copy() for name, array in self._arrays()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `state`.

        Raises
        ------
        ValueError
            If it is of another network.
        """
        super().restore(state)
        for name, array in self._arrays():
            if name not in state or state[name].shape != array.shape:
                raise ValueError(f"the state must hold {name} of shape {array.shape}")
            array[...] = state[name]

    def _arrays(self) -> Iterator[tuple[str, Array]]:
        for kind, arrays in self._learned._asdict().items():
            for k, array in enumerate(arrays):
                yield f"{kind}_{k}", array

    def _show(self) -> None:
        self.values = self._layers.embed(self._learned.layers, self._learned.biases)


ADDITION_PROGRAM = OwnMethod(
    name="addition-program",
    summary="four programs that learn addition, with backpropagation or synthetic gradients, by their own rules",
    make_trainer=Trial,
    evaluations_per_step=lambda parameters, batch_size, n_weights: 3 * batch_size,
    parameters=Parameters,
)

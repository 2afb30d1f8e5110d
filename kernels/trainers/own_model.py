"""A network of one's own at work: what it answers, what that loses, and the walk on it."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from freewalk.kernels.machine.jit import uncached_kernel
from freewalk.kernels.model.own_network import ModelNetwork
from freewalk.kernels.model.walk import Data, WalkConfiguration
from freewalk.kernels.reference import reference
from freewalk.kernels.trainers.any_estimate import AnyEstimate
from freewalk.kernels.trainers.any_kernels import Loss, loss_of_outputs
from freewalk.kernels.trainers.reference_trainer import ReferenceTrainer, class_accuracy

Array = NDArray[np.float64]


def loss_of_network(network: ModelNetwork) -> Loss:
    """Return the task's loss of a network's outputs, compiled, as walks ask for it."""
    return _loss_of(network.model.outputs, *_sizes(network), network.softmax, network.loss, network.name)


def outputs_of_model(
    network: ModelNetwork, weights: NDArray[np.floating], x: NDArray[Any], dtype: DTypeLike = np.float32
) -> NDArray[Any]:
    """Return a network's outputs: (B, n_output), or (B, T, n_output) of a sequence.

    Parameters
    ----------
    weights
        (n_from, n_to).
    x
        As in freewalk.kernels.reference.
    dtype
        float32 or float64: in which it computes.
    """
    rows = reference.dense_inputs(network, x).astype(dtype, order="C")
    _, n_output_rows = _sizes(network)
    out = np.zeros((len(rows), n_output_rows, network.n_output), dtype)
    at = np.ascontiguousarray(weights, dtype=dtype).reshape(-1)
    _run(network.model.outputs, _sizes(network)[0], network.softmax)(at, rows, out)
    return out if network.sequence_output else out[:, 0]


def _sizes(network: ModelNetwork) -> tuple[int, int]:
    return network.input_rows(network.timesteps), network.output_rows(network.timesteps)


@cache
def _forward(outputs: Any, input_rows: int, softmax: bool) -> Any:
    """Compile a pass of one datapoint, whose input may lack the axis of a single row."""
    own = outputs if hasattr(outputs, "py_func") else uncached_kernel(outputs)

    @uncached_kernel
    def forward(weights: Any, x: Any, out: Any) -> None:
        own(weights, x.reshape(input_rows, x.size // input_rows), out)
        if softmax:
            for row in range(out.shape[0]):
                highest = out[row].max()
                total = 0.0
                for k in range(out.shape[1]):
                    out[row, k] = math.exp(out[row, k] - highest)
                    total += out[row, k]
                for k in range(out.shape[1]):
                    out[row, k] /= total

    return forward


@cache
def _run(outputs: Any, input_rows: int, softmax: bool) -> Any:
    forward = _forward(outputs, input_rows, softmax)

    @uncached_kernel
    def run(weights: Any, xs: Any, outs: Any) -> None:
        for b in range(len(xs)):
            forward(weights, xs[b], outs[b])

    return run


@cache
def _loss_of(outputs: Any, input_rows: int, output_rows: int, softmax: bool, kind: str, name: str) -> Loss:
    forward, cross_entropy = _forward(outputs, input_rows, softmax), kind == "categorical_crossentropy"

    @uncached_kernel
    def loss(weights: Any, x: Any, y: Any) -> float:
        targets = y.reshape(output_rows, y.size // output_rows)
        out = np.zeros(targets.shape, weights.dtype)
        forward(weights, x, out)
        total = 0.0
        for row in range(output_rows):
            for k in range(targets.shape[1]):
                target, output = targets[row, k], out[row, k]
                if not math.isnan(target):
                    total += -target * math.log(output) if cross_entropy else (output - target) ** 2
        return total

    return loss_of_outputs(loss, outputs, name)


def measures_of_each(
    network: ModelNetwork, weights: NDArray[np.floating], x: NDArray[Any], y: NDArray[Any]
) -> NDArray[np.float64]:
    """Return each datapoint's own measures, (B, 5), as `freewalk.kernels.cpu.trial.measure_datapoints` does."""
    outputs = outputs_of_model(network, weights, x)
    counts = ~np.isnan(y)
    right = ((outputs > 0.5) == (y > 0.5)).reshape(len(y), -1)
    counted = counts.reshape(len(y), -1)
    with np.errstate(all="ignore"):
        shares = (right & counted).sum(axis=1) / counted.sum(axis=1)
        errors = np.where(counts, np.abs(outputs - y), 0.0).reshape(len(y), -1).max(axis=1)
        losses = reference.losses(network, outputs, y)
    classes = [class_accuracy(one[None], target[None]) for one, target in zip(outputs, y, strict=True)]
    return np.stack([losses, shares, (right | ~counted).all(axis=1), errors, classes], axis=1)


class ModelWalk(ReferenceTrainer):
    """The walk on a network of one's own, on the CPU. Parameters as for `ReferenceTrainer`.

    Parameters
    ----------
    float64
        Whether it computes in float64; otherwise in float32. Weights are float64 always.
    """

    _configuration: WalkConfiguration

    def __init__(
        self, network: ModelNetwork, configuration: WalkConfiguration, data: Data, *, float64: bool, **given: Any
    ) -> None:
        super().__init__(network, configuration, data, **given)
        self._own = network
        self._dtype = np.float64 if float64 else np.float32
        self._estimates = AnyEstimate(loss_of_network(network), network.shape, self._seed, self._dtype)

    def _take_step(self) -> float:
        configuration = self._configuration
        x, y = (np.ascontiguousarray(part) for part in self._batch())
        at = self._weights.reshape(-1)
        estimate, loss = self._estimates.estimate(configuration, at, self.step, x, y)
        if math.isfinite(loss):
            change = estimate.reshape(self._weights.shape)
            if configuration.update != "raw":
                change = self._optimizer.change(change / configuration.stddev**2, self.step)
            self._weights = self._weights - change
        return loss

    def _outputs(self, x: NDArray[Any]) -> NDArray[Any]:
        return outputs_of_model(self._own, self._weights, x, self._dtype)

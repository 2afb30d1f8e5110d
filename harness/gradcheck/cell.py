"""The gradients of one cell: the exact one against central differences, what training steps by against the exact."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.gradcheck import numerical
from freewalk.harness.gradcheck.direction import Direction, check_direction
from freewalk.harness.gradcheck.estimate import EstimateReport, check_estimate
from freewalk.harness.gradcheck.layers import Layer, free_layers, layered_layers
from freewalk.harness.gradcheck.planted import faulty_gradients
from freewalk.harness.gradcheck.report import TOLERANCE, Report, check_gradient
from freewalk.harness.methods.problem import ResolvedProblem
from freewalk.kernels.backend import Backend
from freewalk.kernels.data.datapoints import draw
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.noise import Stream
from freewalk.kernels.reference import reference
from freewalk.kernels.reference.gradient import loss_gradient

Array = NDArray[np.float64]
Datapoints = tuple[NDArray[Any], NDArray[Any]]

_SHORT_STEP = 1e-6
"""Learning rate at which many steps leave the weights where they are."""


@dataclass(frozen=True)
class CellCheck:
    """What `check_cell` found."""

    exact: Report
    """The analytic gradient against central differences, both in float64."""
    stepped: Report | None
    """The gradient that a training step takes against the analytic one; None for the walk, which only estimates it. Of
    predicted ones the last layer, which learns from the truth."""
    estimate: EstimateReport | None
    """The estimates of training steps against the analytic gradient, where it is estimated or predicted."""
    estimate_must_pass: bool
    """Whether a bias of the estimate is a fault: not of predicted gradients, which are guesses."""
    direction: Direction | None = None
    """Where the steps of a plug-in's method lead, whose gradient is not known."""

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        reports = [self.exact.passed, self.stepped is None or self.stepped.passed]
        reports.append(self.direction is None or self.direction.passed)
        return all(reports) and (self.estimate is None or not self.estimate_must_pass or self.estimate.passed)


def layers_of(problem: ResolvedProblem) -> tuple[Layer, ...]:
    """Return which weights of a problem belong together; none of which all stay as they are."""
    if problem.layers is not None:
        return layered_layers(problem.layers)
    layers, trained = free_layers(problem.network), problem.free_mask
    if trained is None:
        return layers
    return tuple(layer for layer in layers if trained.reshape(-1)[layer.indices].any())


def check_cell(
    problem: ResolvedProblem, backend: Backend, *, seed: int, samples: int, initial: Array | None = None
) -> CellCheck:
    """Check the gradients of a cell on the data of its first training steps.

    Parameters
    ----------
    problem
        The cell; its batch size is the number of datapoints.
    backend
        Whose training steps are checked.
    seed
        Key of the initial weights, the data and the noise.
    samples
        Training steps that estimates come from, and the direction of a plug-in's method, at least 2.
    initial
        (n_from, n_to) weights to check at; None: those before training.
    """
    at = problem.initial_weights(seed) if initial is None else initial
    exact = check_exact(problem, at, batch_of(problem, seed, 0))
    if problem.method.gradient == "unknown":
        direction = check_direction(first_steps(problem, backend, seed, at, samples))
        return CellCheck(exact, None, None, estimate_must_pass=False, direction=direction)
    if problem.method.gradient == "estimated":
        estimate = check_estimate(step_gradients(problem, backend, seed, at, samples, _SHORT_STEP), layers_of(problem))
        return CellCheck(exact, None, estimate, estimate_must_pass=True)
    if problem.method.gradient == "predicted":
        pairs = list(step_gradients(problem, backend, seed, at, samples, _SHORT_STEP))
        learned = pairs[-max(2, samples // 4) :]  # the predictors start from nothing
        last = _check_step(problem, backend, *pairs[-1], layers_of(problem)[-2:]) if problem.layers else None
        return CellCheck(exact, last, check_estimate(learned, layers_of(problem)), estimate_must_pass=False)
    (pair,) = step_gradients(problem, backend, seed, at, 1, 1.0)
    stepped = _check_step(problem, backend, *pair, layers_of(problem), at, batch_of(problem, seed, 0))
    return CellCheck(exact, stepped, None, estimate_must_pass=False)


def check_exact(problem: ResolvedProblem, weights: Array, data: Datapoints) -> Report:
    """Check `loss_gradient` against central differences, weight by weight."""
    return judge_gradient(problem, weights, data, exact_gradient(problem, weights, data), layers_of(problem))


def exact_gradient(problem: ResolvedProblem, weights: Array, data: Datapoints) -> Array:
    """Return the analytic gradient of the mean loss, (n_from, n_to)."""
    return loss_gradient(problem.network, weights, *data, problem.timesteps, problem.mask)[1]


def judge_gradient(
    problem: ResolvedProblem, weights: Array, data: Datapoints, analytic: Array, layers: Sequence[Layer]
) -> Report:
    """Check any gradient of the mean loss against central differences, in some layers; name its faults."""
    indices = np.unique(np.concatenate([layer.indices.ravel() for layer in layers]))
    if problem.mask is not None:
        indices = indices[problem.mask.reshape(-1)[indices]]
    loss = loss_function(problem, *data)
    expected, noise = numerical.judge(loss, weights, analytic, indices, TOLERANCE)
    return check_gradient(
        analytic,
        expected,
        layers,
        noise=noise,
        counts=_counts(problem, len(data[0])),
        suspects=partial(faulty_gradients, problem.network, weights, *data, problem.timesteps, problem.layers),
        weights=weights,
    )


def loss_function(problem: ResolvedProblem, x: NDArray[Any], y: NDArray[Any]) -> numerical.LossFunction:
    """Return the mean loss of datapoints as a function of the weights (n_from, n_to), in float64.

    A layered network is run layer by layer, which its free network would take many times as long for.
    """
    network, layers = problem.network, problem.layers

    def outputs(weights: Array) -> Array:
        if layers is None:
            return reference.forward(network, weights, x, problem.timesteps)
        return layered_forward(layers, weights, x)

    return lambda weights: float(reference.losses(network, outputs(weights), y).mean())


def layered_forward(layers: LayeredNetwork, weights: Array, x: NDArray[Any]) -> Array:
    """Return the outputs (B, n_output) of a layered network, whose weights stand in the free network's matrix."""
    h: Array = x.astype(np.float64)
    for rows, columns in layers.places:
        z = h @ weights[rows, columns] + weights[layers.bias_row, columns]
        is_hidden = columns.start >= layers.widths[-1]
        h = reference.ACTIVATIONS[layers.hidden_activation if is_hidden else layers.output_activation](z)
    return reference.softmax(h) if layers.softmax else h


def step_gradients(
    problem: ResolvedProblem, backend: Backend, seed: int, initial: Array, n: int, learning_rate: float
) -> Iterator[tuple[Array, Array]]:
    """Yield, for n training steps, the gradient that the step took and the exact one of its data.

    Plain descent moves the weights by the learning rate times its gradient, so that any trainer tells its gradient.
    """
    plain = problem.method.descending(problem.configuration, learning_rate)
    trainer = replace(problem, configuration=plain).start(backend, seed=seed, evaluation_points=1, initial=initial)
    for step in range(n):
        before = trainer.weights
        trainer.train(1)
        exact = exact_gradient(problem, before, batch_of(problem, seed, step))
        yield (before - trainer.weights) / learning_rate, exact


def first_steps(
    problem: ResolvedProblem, backend: Backend, seed: int, initial: Array, n: int
) -> Iterator[tuple[Array, Array]]:
    """Yield, for n seeds, the move of a plug-in's method in its first step, and the exact gradient of its data."""
    for one in range(seed, seed + n):
        trainer = problem.start(backend, seed=one, evaluation_points=1, initial=initial)
        trainer.train(1)
        exact = exact_gradient(problem, initial, batch_of(problem, one, 0))
        yield initial - trainer.weights, exact


def batch_of(problem: ResolvedProblem, seed: int, step: int) -> Datapoints:
    """Return the data of a training step."""
    return draw(
        problem.network,
        problem.data(),
        problem.timesteps,
        seed=seed,
        stream=Stream.DATA,
        step=step,
        n_datapoints=problem.configuration.data_per_step,
    )


def _check_step(
    problem: ResolvedProblem,
    backend: Backend,
    taken: Array,
    exact: Array,
    layers: Sequence[Layer],
    at: Array | None = None,
    data: Datapoints | None = None,
) -> Report:
    """Check a training step's gradient against the exact one, as closely as the backend's arithmetic allows.

    Rounding goes with a layer's largest derivatives, not with each: the tolerance is relative to both. At the weights
    `at`, on the data (x, y), it is known what derivatives of the wrong thing would give.
    """
    tolerance = problem.method.tolerances[backend.dtype != "float64"]
    noise = np.zeros(exact.size)
    for layer in layers:
        size = float(np.sqrt(np.mean(exact.reshape(-1)[layer.indices] ** 2))) if layer.indices.size else 0.0
        noise[layer.indices] = tolerance * size + 1e-9
    counts = _counts(problem, problem.configuration.data_per_step)
    suspects = None
    if at is not None and data is not None:
        suspects = partial(faulty_gradients, problem.network, at, *data, problem.timesteps, problem.layers)
    return check_gradient(
        taken,
        exact,
        layers,
        tolerance=tolerance,
        noise=noise.reshape(exact.shape),
        counts=counts,
        suspects=suspects,
    )


def _counts(problem: ResolvedProblem, n_cases: int) -> dict[str, float]:
    network = problem.network
    counts = {"cases": n_cases, "outputs": network.n_output, "weights": problem.n_weights}
    if problem.layers is None:
        counts["timesteps"] = problem.timesteps
    return {name: float(count) for name, count in counts.items() if math.isfinite(count)}

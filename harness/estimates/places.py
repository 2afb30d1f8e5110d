"""Where estimates are tried: at initial, half trained or trained weights of a network, or those of a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.methods.backprop import BACKPROP
from freewalk.harness.methods.method import Scalar
from freewalk.harness.methods.problem import ResolvedProblem, resolve_problem
from freewalk.kernels.backend import resolve_backend
from freewalk.kernels.data.datapoints import draw
from freewalk.kernels.model.noise import Stream
from freewalk.kernels.reference.gradient import datapoint_gradients, passes

Array = NDArray[np.float64]
At = Literal["initial", "half", "trained", "file"]

TRAINING: Mapping[str, Scalar] = {"optimizer": "adam", "learning_rate": 0.02, "batch_size": 32}
"""How backpropagation trains the weights that others estimate gradients at."""
MOST_STEPS = 5000
_FIRST_LOOK, _LATER = 10, 1.1
_POINTS = 2048
_DATAPOINTS = 2**14
"""Datapoints that the gradient of the whole task is a mean of, where there are more."""
_NUMBERS_AT_ONCE = 2**22
_RESOLVED = 1e-7
"""A gradient shorter than this counts as 0: losses in float32 do not tell it."""
_LATE_STEP = 2**32 - 1
"""Whose datapoints these are: no estimate sees them."""


@dataclass(frozen=True, eq=False)
class Place:
    """Weights that estimates are tried at."""

    at: At
    weights: Array
    """(n_from, n_to)"""
    steps: int | None
    """Of backpropagation from the initial weights; None for a file's."""
    reached: bool | None
    """Whether that training met the task's target; None where nothing was trained."""
    loss: float
    """Mean loss over the task's datapoints."""
    gradient: Array
    """(n_from, n_to), its exact gradient."""
    square: float
    """Squared length of the gradient; of drawn datapoints without what their number adds, 0 if that leaves nothing."""


def places_of(
    problem: ResolvedProblem,
    parameters: Mapping[str, Scalar | None],
    seed: int,
    at: tuple[At, ...],
    given: Array | None,
) -> Iterator[Place]:
    """Yield the places of a network.

    Parameters
    ----------
    problem, parameters
        The cell, and what it was made of: the network and the task count.
    seed
        Of the initial weights and the training.
    at
        Which places.
    given
        (n_from, n_to), the weights of a file.
    """
    trained = _Training(problem, parameters, seed) if {"half", "trained"} & set(at) else None
    for one in at:
        if one == "file":
            assert given is not None
            yield _place(problem, one, given, seed, None, None)
        elif one == "initial":
            yield _place(problem, one, problem.initial_weights(seed), seed, 0, None)
        else:
            assert trained is not None
            steps = trained.steps if one == "trained" else trained.steps // 2
            yield _place(problem, one, trained.weights(steps), seed, steps, trained.reached)


class _Training:
    """Backpropagation until the target is met, or so many steps; every trial of it takes the same way."""

    def __init__(self, problem: ResolvedProblem, parameters: Mapping[str, Scalar | None], seed: int) -> None:
        names = dict.fromkeys(problem.method.parameters.model_fields)
        own: dict[str, Any] = {**parameters, **names, **TRAINING}
        self._problem, self._seed = resolve_problem(problem.task.name, BACKPROP.name, own), seed
        self._backend = resolve_backend("cpu")
        trainer, look, self.reached = self._start(), 0.0, False
        while trainer.step < MOST_STEPS and not self.reached:
            look = max(_FIRST_LOOK, look * _LATER)
            trainer.train(min(int(look), MOST_STEPS) - trainer.step)
            self.reached = problem.task.is_met_by(problem.task.measure(trainer.evaluate()))
        self.steps = trainer.step

    def _start(self) -> Any:
        return self._problem.start(self._backend, seed=self._seed, evaluation_points=_POINTS)

    def weights(self, steps: int) -> Array:
        """Return the weights after so many steps."""
        trainer = self._start()
        trainer.train(steps)
        weights: Array = trainer.weights
        return weights


def _place(
    problem: ResolvedProblem, at: At, weights: Array, seed: int, steps: int | None, reached: bool | None
) -> Place:
    loss, gradient, square = task_gradient(problem, weights, seed)
    return Place(at, weights, steps, reached, loss, gradient, square)


def task_gradient(problem: ResolvedProblem, weights: Array, seed: int) -> tuple[float, Array, float]:
    """Return the mean loss over the task's datapoints, its gradient, and the squared length of that.

    All datapoints where they are few; otherwise many drawn ones, and the squared length is less what drawing adds.
    """
    size = problem.problem.domain_size
    whole = size is not None and not problem.problem.is_held_out
    n = size if whole and size is not None else _DATAPOINTS
    stream, step = (Stream.EVALUATION_DATA, 0) if whole else (Stream.DATA, _LATE_STEP)
    x, y = draw(problem.network, problem.data(), problem.timesteps, seed=seed, stream=stream, step=step, n_datapoints=n)
    at_once = max(1, _NUMBERS_AT_ONCE // (problem.network.n_weights * problem.timesteps))
    loss, gradient, squares = 0.0, np.zeros(weights.shape), 0.0
    for first in range(0, n, at_once):
        found = passes(
            problem.network, weights, x[first : first + at_once], y[first : first + at_once], problem.timesteps
        )
        each = datapoint_gradients(found, problem.mask)
        loss += float(found.losses.sum())
        gradient += each.sum(axis=0)
        squares += float((each**2).sum())
    gradient /= n
    length = float((gradient**2).sum())
    drawn = 0.0 if whole else (squares / n - length) / (n - 1)
    square = length - drawn
    return loss / n, gradient, square if square > _RESOLVED**2 else 0.0

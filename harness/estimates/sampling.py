"""Estimates of training steps beside the exact gradients of their datapoints: what a cell's measures are made of."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.estimates.places import Place
from freewalk.harness.gradcheck.cell import layers_of
from freewalk.harness.methods.backprop import BACKPROP
from freewalk.harness.methods.method import Expected, Seen
from freewalk.harness.methods.problem import ResolvedProblem
from freewalk.kernels.backend import Backend, resolve_backend
from freewalk.kernels.data.datapoints import draw
from freewalk.kernels.model.noise import Stream
from freewalk.kernels.model.walk import Trainer
from freewalk.kernels.reference.gradient import datapoint_gradients, passes

Array = NDArray[np.float64]

RATE = 1e-9
"""Learning rate at which steps leave the weights where they are, and an estimate still has seven digits."""
STEPS_AT_ONCE = 256
_LEAST_STEPS = 64
_WITH_THEORY = 2**16
"""Datapoints of first steps that are looked at one by one, in float64; of later steps the gradient of all is enough."""
_NUMBERS_AT_ONCE = 2**22
TWO_SIDED = 1.96
"""Standard errors to either side of a mean, in a 95 % interval."""
_OF_SLOPE = 5
"""A slope takes many more steps than a mean square: it may be less precise by this factor."""
WHOLE = "all"


@dataclass
class Group:
    """What was seen of some weights, a number for each step."""

    name: str
    indices: NDArray[np.intp]
    """Where they stand in the flat gradient."""
    gradient: Array
    """The task's, of these weights."""
    square: float
    """What mean squares are measured by: the squared length of the gradient."""
    along: list[Array] = field(default_factory=list)
    """Of the estimate, times the task's gradient."""
    squares: list[Array] = field(default_factory=list)
    """Squared length of the estimate."""
    exact_along: list[Array] = field(default_factory=list)
    """Of the exact gradient of the step's datapoints, times the task's gradient."""
    exact_squares: list[Array] = field(default_factory=list)
    slopes: list[Array] = field(default_factory=list)
    """Of the mean estimate over that gradient, by theory; empty where there is none."""
    expected_squares: list[Array] = field(default_factory=list)
    """What theory says of `squares`, given the datapoints."""

    @classmethod
    def of(cls, name: str, indices: NDArray[np.intp], gradient: Array) -> Self:
        """Return the group of some weights, from the flat gradient of all."""
        own = gradient[indices]
        return cls(name, indices, own, float(own @ own))

    def joined(self, name: str) -> Array:
        """Return all numbers of a kind, (n,)."""
        parts: list[Array] = getattr(self, name)
        return np.concatenate(parts) if parts else np.zeros(0)

    def add(self, estimates: Array, exact: Array, expected: Expected | None) -> None:
        """Take the estimates of some steps in, (n, P), beside the exact gradients and what theory says."""
        estimates, exact = estimates[:, self.indices], exact[:, self.indices]
        self.along.append(estimates @ self.gradient)
        self.squares.append((estimates**2).sum(axis=1))
        self.exact_along.append(exact @ self.gradient)
        self.exact_squares.append((exact**2).sum(axis=1))
        if expected is not None:
            self.slopes.append(expected.slopes)
            squares = expected.squares.reshape(len(estimates), -1)
            self.expected_squares.append(squares[:, self.indices].sum(axis=1))


@dataclass
class Sampled:
    """What was seen of a cell's estimates at one place."""

    n_steps: int
    n_perturbations: int
    """Of a step; 0 where nothing is perturbed."""
    groups: tuple[Group, ...]
    """All weights first."""
    cosines: Mapping[int, Array]
    """Of the angles between the task's gradient and means of so many estimates; by that number, powers of 2."""
    alignment: float
    """Mean squared cosine of the angle between the task's gradient and those that perturbations see."""
    is_precise: bool
    """Whether the mean square is known as precisely as was asked."""

    @property
    def whole(self) -> Group:
        """All weights."""
        return self.groups[0]


class _Means:
    """Means of 1, 2, 4, ... estimates that follow each other, and the angles of each with a gradient."""

    def __init__(self, gradient: Array) -> None:
        self._gradient = gradient
        self._waiting: dict[int, Array] = {}
        self.cosines: dict[int, list[Array]] = {}

    def add(self, estimates: Array) -> None:
        """Take estimates (a power of 2, P) in."""
        size = 1
        while True:
            lengths = np.linalg.norm(estimates, axis=1) * np.linalg.norm(self._gradient)
            with np.errstate(invalid="ignore", divide="ignore"):
                self.cosines.setdefault(size, []).append(estimates @ self._gradient / lengths)
            if len(estimates) == 1:
                waiting = self._waiting.pop(size, None)
                if waiting is None:
                    self._waiting[size] = estimates
                    return
                estimates = np.concatenate([waiting, estimates])
            estimates = (estimates[::2] + estimates[1::2]) / 2
            size *= 2


@np.errstate(all="ignore")  # what overflows shows in the figures
def sample(
    problem: ResolvedProblem, backend: Backend, place: Place, *, seed: int, precision: float, most_steps: int
) -> Sampled:
    """Take steps that move next to nothing, until the mean square of their estimates is known well enough.

    Parameters
    ----------
    problem
        The cell.
    place
        Where.
    seed
        Of data and noise.
    precision
        Half of the 95 % interval of the mean square, relative to it, at which to stop, if that of the slope is no more
        than five times as much.
    most_steps
        Steps at most.
    """
    trainer, exact_trainer = descending(problem, backend, place, seed), _exact_trainer(problem, place, seed)
    groups, gradient = tuple(_groups(problem, place)), place.gradient.reshape(-1)
    means = _Means(gradient)
    at_once = _steps_at_once(problem, most_steps)
    n, alignments, is_precise = 0, [], False
    while n + at_once <= most_steps and not is_precise:
        estimates = next_estimates(trainer, at_once)
        if n == 0 or n * problem.configuration.data_per_step < _WITH_THEORY:
            seen = exact_steps(problem, place.weights, seed, n, at_once)
            exact, expected = seen.means.reshape(at_once, -1), problem.method.expected(problem, seen)
            alignments.append(mean_alignment(seen, _together(problem), gradient))
        else:
            exact_trainer.train(n - exact_trainer.step)
            exact, expected = next_estimates(exact_trainer, at_once), None
        for group in groups:
            group.add(estimates, exact, expected)
        means.add(estimates)
        n += at_once
        is_precise = n >= _LEAST_STEPS and is_precise_enough(groups[0], precision)
    cosines = {size: np.concatenate(parts) for size, parts in means.cosines.items()}
    return Sampled(n, _perturbations(problem), groups, cosines, float(np.mean(alignments)), is_precise)


def _groups(problem: ResolvedProblem, place: Place) -> Iterator[Group]:
    """Yield all weights, then those of each layer, or by what they come from."""
    mask = np.ones(place.weights.shape, dtype=np.bool_) if problem.mask is None else problem.mask
    gradient = place.gradient.reshape(-1)
    yield Group(WHOLE, np.flatnonzero(mask), gradient[np.flatnonzero(mask)], place.square)
    for layer in layers_of(problem):
        if layer.indices.size:
            yield Group.of(layer.name, layer.indices.ravel(), gradient)


def _perturbations(problem: ResolvedProblem) -> int:
    if not problem.method.numbers_per_step(problem):
        return 0
    return int(getattr(problem.configuration, "n_perturbations", problem.configuration.batch_size))


def descending(problem: ResolvedProblem, backend: Backend, place: Place, seed: int, **changed: Any) -> Trainer:
    """Return a trial whose steps are `RATE` times an estimate; `changed` are fields of the configuration."""
    plain = problem.method.descending(problem.configuration, RATE)
    plain = replace(plain, **changed) if changed else plain
    return replace(problem, configuration=plain).start(backend, seed=seed, evaluation_points=1, initial=place.weights)


def next_estimates(trainer: Trainer, n: int) -> Array:
    """Return what each of n steps takes for the gradient, (n, n_from n_to)."""
    found, before = [], trainer.weights
    for _ in range(n):
        trainer.train(1)
        after = trainer.weights
        found.append((before - after).reshape(-1) / RATE)
        before = after
    return np.stack(found)


def _steps_at_once(problem: ResolvedProblem, most_steps: int) -> int:
    """Return a power of 2 that keeps what is held at once small, and is no more than all."""
    each = problem.network.n_weights * max(problem.configuration.batch_size, problem.timesteps)
    return 1 << int(math.log2(max(1, min(STEPS_AT_ONCE, most_steps, _NUMBERS_AT_ONCE / each))))


def _exact_trainer(problem: ResolvedProblem, place: Place, seed: int) -> Trainer:
    """Return backpropagation on the datapoints of the cell's steps, compiled: exact but for float32."""
    configuration: Any = BACKPROP.configure(
        {"batch_size": problem.configuration.data_per_step}, timesteps=problem.timesteps, steps=1
    )
    exact = replace(problem, method=BACKPROP, configuration=configuration)
    return descending(exact, resolve_backend("cpu"), place, seed)


def exact_steps(problem: ResolvedProblem, weights: Array, seed: int, first: int, n: int) -> Seen:
    """Return what n steps see, in float64."""
    n_datapoints, data = problem.configuration.data_per_step, problem.data()
    which: dict[str, Any] = {"seed": seed, "stream": Stream.DATA, "n_datapoints": n_datapoints}
    drawn = [draw(problem.network, data, problem.timesteps, step=step, **which) for step in range(first, first + n)]
    x, y = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    rows = np.concatenate([x.reshape(len(x), -1), y.reshape(len(y), -1)], axis=1)
    _, places, inverse = np.unique(_as_bytes(rows), return_index=True, return_inverse=True)
    found = passes(problem.network, weights, x[places], y[places], problem.timesteps)
    return Seen(found, datapoint_gradients(found, problem.mask), inverse.reshape(n, n_datapoints))


def _as_bytes(rows: NDArray[Any]) -> NDArray[np.void]:
    """Return each row as one thing that can be compared."""
    rows = np.ascontiguousarray(rows)
    return rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).reshape(-1)


def _together(problem: ResolvedProblem) -> int:
    """Return how many datapoints see one perturbation."""
    return int(getattr(problem.configuration, "datapoints", 1))


def mean_alignment(seen: Seen, together: int, gradient: Array) -> float:
    """Return the mean squared cosine between a gradient and those that perturbations see, weighed by their squares."""
    groups = Seen(seen.found, seen.gradients, seen.which.reshape(-1, together))
    own = groups.means.reshape(len(groups.which), -1)
    squares = float((own**2).sum()) * float(gradient @ gradient)
    return float(((own @ gradient) ** 2).sum()) / squares if squares else 0.0


def is_precise_enough(group: Group, precision: float) -> bool:
    """Return whether the mean square is known to a precision, and the slope to five times that."""
    squares, exact = group.joined("squares"), group.joined("exact_along")
    second, second_half = ratio(squares, np.ones(len(squares)))
    slope_half = ratio(group.joined("along"), exact)[1]
    return second_half <= precision * second and not slope_half > _OF_SLOPE * precision


def ratio(values: Array, over: Array) -> tuple[float, float]:
    """Return the ratio of two means and half of its 95 % interval, by the delta method; NaN without values."""
    if not values.size or not over.size or not over.mean():
        return math.nan, math.nan
    found = float(values.mean() / over.mean())
    residual = values - found * over
    return found, TWO_SIDED * float(residual.std(ddof=1)) / math.sqrt(len(values)) / abs(float(over.mean()))

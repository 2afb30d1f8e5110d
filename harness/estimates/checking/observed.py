"""What an estimator was seen to do: the perturbations it tried, and how they are distributed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.estimates.arrays import Space

Array = NDArray[np.float64]

NO_CHANCE = 5.0
"""What is this many standard errors from what it should be is no chance."""
_SAMPLE = 48
_PART = 100
_UNUSUAL = 0.01
_SAME = 0.999
_NOTHING = 1e-3


@dataclass
class Call:
    """One estimate, and the losses that it was made of."""

    centre: Array
    """(P,) the weights handed over."""
    gradient: Array
    at_centre: float
    """The loss at the weights handed over."""
    estimate: Array
    tried: Array
    """(n, P) weights of each evaluation less those handed over, in order."""
    losses: Array
    n_unseen: int
    left: Array
    """(P,) by how much the call changed the weights handed over."""
    group: int = 0
    """Calls of one group have the same weights and the same loss."""
    pairs: list[tuple[int, int]] = field(init=False)
    """Which perturbations are each other's negatives; empty unless all are."""
    perturbed: Array = field(init=False)
    """(m, P) the perturbations among what was tried."""
    answers: Array = field(init=False)
    """(m,) their losses."""

    def __post_init__(self) -> None:
        sizes = np.linalg.norm(self.tried, axis=1)
        usual = float(np.median(sizes[sizes > 0])) if sizes.any() else 0.0
        kept = (sizes > 0) & (sizes >= _NOTHING * usual)
        self.perturbed, self.answers = self.tried[kept], self.losses[kept]
        self.pairs = mirrored_pairs(self.perturbed)

    def one_of_each(self) -> Array:
        """Return the perturbations, of mirrored pairs the first."""
        return self.perturbed[[i for i, _ in self.pairs]] if self.pairs else self.perturbed

    def leave_out(self, elsewhere: Sequence[Array]) -> None:
        """Take evaluations at other fixed weights out of the perturbations."""
        for point in elsewhere:
            far = np.linalg.norm(self.perturbed - point, axis=1) > 1e-5 * np.linalg.norm(point)
            self.perturbed, self.answers = self.perturbed[far], self.answers[far]
        if elsewhere:
            self.pairs = mirrored_pairs(self.perturbed)


def fixed_points(calls: Sequence[Call], most: int = 12) -> list[Array]:
    """Return perturbations that occur in all calls of a group but the first, where the others of a call vary."""
    if len(calls) < 4:
        return []
    first, others = calls[1], calls[2:most]
    if first.perturbed.shape[1] < 8 or len(first.perturbed) < 2:
        return []
    sizes = np.linalg.norm(first.perturbed, axis=1)
    usual = float(np.median(sizes))
    # signs of few weights come again by chance, but all are of one length
    strange = [row for row, size in zip(first.perturbed, sizes, strict=True) if abs(size / usual - 1) > _UNUSUAL]
    found = [
        row
        for row in strange
        if all((np.linalg.norm(other.perturbed - row, axis=1) <= 1e-5 * np.linalg.norm(row)).any() for other in others)
    ]
    return found if len(found) < len(first.perturbed) else []


def steps_tried(calls: Sequence[Call]) -> list[float]:
    """Return how many times the estimate itself was tried in every call, as a step whose loss is only looked at."""
    found = []
    for row in calls[0].perturbed if len(calls[0].perturbed) > 1 else ():
        estimate = calls[0].estimate
        times = float(row @ estimate) / max(float(estimate @ estimate), 1e-300)
        # where the estimate is next to nothing, so is the step, and may have been taken for the weights themselves
        close = _NOTHING * float(np.linalg.norm(row))
        if times and all(
            (np.linalg.norm(call.perturbed - times * call.estimate, axis=1) <= close).any()
            for call in calls
            if abs(times) * np.linalg.norm(call.estimate) > 20 * close
        ):
            found.append(times)
    return found


def cosines(rows: Array) -> Array:
    """Return (m, m) cosines of the angles between rows."""
    units = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)
    result: Array = units @ units.T
    return result


def mirrored_pairs(rows: Array) -> list[tuple[int, int]]:
    """Return which rows are each other's negatives, each once; empty unless all are."""
    n = len(rows)
    if n % 2 or not n:
        return []
    products = rows @ rows.T
    squares = np.diag(products)
    slack = (1 - _SAME) * np.sqrt(squares)
    for first, second in ((range(0, n, 2), range(1, n, 2)), (range(n // 2), range(n // 2, n))):
        if (np.linalg.norm(rows[first] + rows[second], axis=1) <= slack[first]).all():
            return list(zip(first, second, strict=True))
    opposite = squares[:, None] + squares + 2 * products <= slack**2
    if not opposite.any(axis=1).all():
        return []
    free, pairs = list(range(n)), []
    while free:
        i = free.pop(0)
        partner = next((j for j in free if opposite[i, j]), None)
        if partner is None:
            return []
        free.remove(partner)
        pairs.append((i, partner))
    return pairs


class Mean:
    """A mean over calls, with its standard error."""

    def __init__(self) -> None:
        self._n, self._sum, self._squares = 0, np.zeros(()), np.zeros(())

    def add(self, value: Array | float) -> None:
        """Take a call's value."""
        self._n += 1
        self._sum = self._sum + value
        self._squares = self._squares + np.square(value)

    @property
    def value(self) -> Array:
        """The mean so far."""
        result: Array = self._sum / max(self._n, 1)
        return result

    @property
    def error(self) -> Array:
        """Its standard error; infinite for fewer than two calls."""
        if self._n < 2:
            return np.full(np.shape(self._sum), math.inf)
        variance = np.maximum(self._squares / self._n - self.value**2, 0.0) / (self._n - 1)
        result: Array = np.sqrt(variance)
        return result


class Tally:
    """What is counted over all calls."""

    def __init__(self, space: Space, mirrored: bool) -> None:
        self._parts = space.parts
        self._mirrored = mirrored
        self.sample = np.sort(np.random.default_rng(0).permutation(space.size)[:_SAMPLE])
        self.n_calls = 0
        self.slope, self.length = Mean(), Mean()
        self.errors = Mean()
        """(P,) of the estimates, in lengths of the gradient."""
        self.square, self.part_squares, self.fourth = Mean(), Mean(), Mean()
        self.largest = 0.0
        self.first_square, self.last_square, self.last_step = Mean(), Mean(), Mean()
        self.products = Mean()
        self.mean = Mean()
        self.between = Mean()
        self.count = Mean()
        self.evaluations = Mean()
        self.never = np.ones(space.size, dtype=bool)

    def add(self, call: Call) -> None:
        """Count a call."""
        self.n_calls += 1
        g2 = float(call.gradient @ call.gradient)
        self.slope.add(float(call.estimate @ call.gradient) / g2)
        self.length.add(float(call.estimate @ call.estimate) / g2)
        self.errors.add((call.estimate - call.gradient) / math.sqrt(g2))
        self.evaluations.add(float(len(call.tried)))
        rows = call.perturbed
        self.count.add(float(len(rows)))
        if not len(rows):
            return
        self.never &= ~rows.any(axis=0)
        squares = rows**2
        self.square.add(squares.mean())
        self.part_squares.add(np.array([squares[:, part].mean() for part in self._parts]))
        self.fourth.add((squares**2).mean())
        self.largest = max(self.largest, float(np.abs(rows).max()))
        self.first_square.add(squares[0].mean())
        self.last_square.add(squares[-1].mean())
        if len(rows) > 1:
            self.last_step.add(((rows[-1] - rows[-2]) ** 2).mean())
        some = call.one_of_each() if self._mirrored else rows
        at = some[:, self.sample]
        self.products.add(at.T @ at / len(at))
        self.mean.add(at.mean())
        if len(some) > 1:
            total = some.sum(axis=0)
            self.between.add(float(total @ total - (some**2).sum()) / (len(some) * (len(some) - 1) * some.shape[1]))


@dataclass(frozen=True)
class Observed:
    """What was seen of an estimator; None where it could not be seen."""

    evaluations: float | None = None
    """Of the loss, in a call."""
    stddev: float | None = None
    """Of a perturbation's numbers."""
    perturbations: int | None = None
    """Of a call; a mirrored pair is one."""
    sides: str | None = None
    rank: int | None = None
    """Of perturbed matrices; None where it is full."""
    noise: str | None = None
    """gaussian, rademacher, sphere (all of one length), uniform or other."""
    orthogonal: bool = False
    """Whether a call's perturbations are at right angles."""

    def __str__(self) -> str:
        if self.perturbations is None or self.stddev is None:
            return "the perturbations could not be seen"
        noise = f" {self.noise}" if self.noise in ("gaussian", "rademacher", "uniform") else ""
        which = f"{' orthogonal' if self.orthogonal else ''}{noise} perturbation{'s' * (self.perturbations != 1)}"
        rank = f" of rank {self.rank}" if self.rank else ""
        return (
            f"{self.perturbations}{which}{rank} of standard deviation {self.stddev:.4g}, {self.sides}-sided,"
            f" {self.evaluations:g} evaluation{'s' * (self.evaluations != 1)} each"
        )


def observe(space: Space, calls: Sequence[Call], tally: Tally) -> Observed:
    """Say what the perturbations are."""
    evaluations = float(tally.evaluations.value) or None
    if evaluations is None or float(tally.square.value) == 0:
        return Observed(evaluations)
    mirrored = all(call.pairs for call in calls)
    stddev = math.sqrt(float(tally.square.value))
    m = round(float(tally.count.value))
    rank = _rank(space, calls)
    first = [call.one_of_each() if mirrored else call.perturbed for call in calls]
    # right angles to within rounding, as no independent perturbations have them
    right_angles = [np.abs(cosines(rows) - np.eye(len(rows))).max() < 1e-4 for rows in first if len(rows) > 1]
    orthogonal = bool(right_angles) and all(right_angles) and len(right_angles) == len(calls)
    sides, noise = "two" if mirrored else "one", _noise(space, calls, tally, stddev, rank)
    return Observed(evaluations, stddev, m // 2 if mirrored else m, sides, rank, noise, orthogonal)


def matrices(space: Space, row: Array) -> list[Array]:
    """Return a perturbation's matrices with at least two rows and columns."""
    shaped = [row[part].reshape(shape) for part, shape in zip(space.parts, space.shapes, strict=True)]
    return [one for one in shaped if one.ndim == 2 and min(one.shape) > 1]


def _rank(space: Space, calls: Sequence[Call]) -> int | None:
    found = full = 0
    for call in calls[:4]:
        for row in call.perturbed[:4]:
            for matrix in matrices(space, row):
                # a low rank shows in a part of a matrix too
                matrix = matrix[:_PART, :_PART]
                found = max(found, int(np.linalg.matrix_rank(matrix, tol=1e-3 * float(np.linalg.norm(matrix)))))
                full = max(full, min(matrix.shape))
    return found if 0 < found < full else None


def _noise(space: Space, calls: Sequence[Call], tally: Tally, stddev: float, rank: int | None) -> str:
    sizes = np.abs(np.concatenate([call.perturbed.reshape(-1) for call in calls[:8]])) / stddev
    sizes = np.random.default_rng(0).permutation(sizes)[:4096]
    levels = 1 + int((np.diff(np.sort(sizes)) > _UNUSUAL).sum())
    if levels <= (rank or 1) // 2 + 1 and sizes.max() > _UNUSUAL:
        return "rademacher"
    if float(tally.square.error) < 1e-6 * stddev**2:
        return "sphere"
    kurtosis = float(tally.fourth.value) / stddev**4
    if rank is None and abs(kurtosis - 1.8) < 0.1 and tally.largest < 1.75 * stddev:
        return "uniform"
    normal = 3 + 6 / rank if rank else 3.0
    # of matrices of low rank few independent numbers are seen, and biases beside them may be of full rank
    slack = 0.3 * normal if rank is None else 0.5 * normal
    return "gaussian" if abs(kurtosis - normal) < slack else "other"

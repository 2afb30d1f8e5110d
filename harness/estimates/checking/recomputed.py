"""The estimate made again from the perturbations that were tried and the losses that they gave.

An estimate is F mean (L(W + D) - b) D, over the perturbations D that a call tries; it is right if F is one over their
variance, and b any number that does not depend on D. F and b are fitted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.estimates.arrays import Space
from freewalk.harness.estimates.checking.observed import Call

Array = NDArray[np.float64]

EXPLAINED = 0.01
"""An estimate is explained if a fit leaves less than this part of it."""
_SEEN = 1e-3


@dataclass(frozen=True)
class Fit:
    """How estimates follow from what was tried."""

    inverse_variance: float
    """F."""
    left: float
    """Part of the estimates that the fit does not explain."""
    no_baseline: tuple[float, ...] = (0.0,)
    """For each group of calls: which part of the loss at the weights was not subtracted; 1: nothing was subtracted."""
    mean_subtracted: float = 0.0
    """Whether what was subtracted is the mean of the same losses: 1."""
    added: float = 0.0
    """Coefficient of a mirrored pair's sum."""

    @property
    def explained(self) -> bool:
        """Whether nearly all of the estimates follows."""
        return self.left < EXPLAINED


def fit(calls: Sequence[Call], part: slice, along: Callable[[Array], Array] = lambda rows: rows) -> Fit:
    """Fit the estimates of some weights; `along` makes of a call's perturbations what the update is along."""
    groups = sorted({call.group for call in calls})
    mirrored = all(call.pairs for call in calls)
    columns: list[list[Array]] = []
    target: list[Array] = []
    for call in calls:
        rows, losses, m = along(call.perturbed)[:, part], call.answers - call.at_centre, max(len(call.perturbed), 1)
        target.append(call.estimate[part])
        mean = rows.sum(axis=0) / m
        mine = [losses @ rows / m]
        if mirrored:
            mine.append(
                sum(((call.answers[i] + call.answers[j]) * rows[i] for i, j in call.pairs), np.zeros_like(mean)) / m
            )
        else:
            mine += [mean * (call.group == group) for group in groups]
            mine.append(mean * losses.mean() if m > 1 else np.zeros_like(mean))
        columns.append(mine)
    matrix = np.array([np.concatenate(column) for column in zip(*columns, strict=True)]).T
    values = np.concatenate(target)
    length = float(np.linalg.norm(values))
    sizes = np.linalg.norm(matrix, axis=0)
    if length == 0 or sizes[0] == 0:
        return Fit(0.0, 1.0)
    scale = np.where(sizes > 0, sizes, 1.0)
    solved = np.linalg.lstsq(matrix / scale, values, rcond=1e-9)[0]
    left = float(np.linalg.norm(values - matrix / scale @ solved)) / length
    seen = np.where(np.abs(solved) > max(_SEEN, left) * length, solved / scale, 0.0)
    main = float(seen[0])
    if mirrored:
        return Fit(main, left, added=float(seen[1]))
    if main == 0:
        return Fit(0.0, left)
    at = {call.group: call.at_centre for call in calls}
    missing = tuple(float(c) / main / at[g] if at[g] else 0.0 for c, g in zip(seen[1:-1], groups, strict=True))
    return Fit(main, left, missing, -float(seen[-1]) / main)


def strange_directions(space: Space) -> dict[str, Callable[[Array], Array]]:
    """Return what updates may be along instead, by the words for it."""

    def transposed(order: str) -> Callable[[Array], Array]:
        def along(rows: Array) -> Array:
            result = rows.copy()
            for part, shape in zip(space.parts, space.shapes, strict=True):
                if len(shape) == 2:
                    stack = rows[:, part].reshape(-1, *(shape if order == "C" else shape[::-1]))
                    result[:, part] = stack.transpose(0, 2, 1).reshape(len(rows), -1)
            return result

        return along

    def inverse(rows: Array) -> Array:
        return np.divide(1.0, rows, out=np.zeros_like(rows), where=rows != 0)

    def units(rows: Array) -> Array:
        result: Array = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)
        return result

    return {
        "transposed": transposed("C"),
        "transposed in memory": transposed("F"),
        "signs": np.sign,
        "inverses": inverse,
        "units": units,
        "next": lambda rows: np.roll(rows, -1, axis=0),
        "previous": lambda rows: np.roll(rows, 1, axis=0),
        "next pair": lambda rows: np.roll(rows, -2, axis=0),
        "previous pair": lambda rows: np.roll(rows, 2, axis=0),
        "reversed": lambda rows: rows[::-1],
    }


@dataclass(frozen=True)
class Span:
    """Whether estimates lie among the perturbations of their calls, and how a call's own baseline fits."""

    inside: bool | None
    """None where perturbations span everything."""
    baseline_explains: bool
    """Whether a baseline of each call's own, and one factor, explain the estimates."""


def span(calls: Sequence[Call]) -> Span:
    """Look at each call's estimate beside its own perturbations."""
    inside, factors, left = [], [], []
    for call in calls:
        rows, length = call.perturbed, float(np.linalg.norm(call.estimate))
        if length == 0:
            continue
        if np.linalg.matrix_rank(rows) < 0.8 * rows.shape[1]:
            solved = np.linalg.lstsq(rows.T, call.estimate, rcond=1e-9)[0]
            inside.append(float(np.linalg.norm(call.estimate - rows.T @ solved)) < EXPLAINED * length)
        if len(rows) > 2:
            pair = np.array([(call.answers - call.at_centre) @ rows, rows.sum(axis=0)]).T / len(rows)
            scale = np.maximum(np.linalg.norm(pair, axis=0), 1e-300)
            solved = np.linalg.lstsq(pair / scale, call.estimate, rcond=1e-9)[0]
            left.append(float(np.linalg.norm(call.estimate - pair / scale @ solved)) / length)
            factors.append(float(solved[0] / scale[0]))
    steady = bool(factors) and float(np.std(factors)) < EXPLAINED * abs(float(np.mean(factors)))
    return Span(all(inside) if inside else None, steady and max(left) < EXPLAINED)


def rms(values: Array) -> float:
    """Return the root of the mean square."""
    return math.sqrt(float(np.mean(values**2))) if values.size else 0.0

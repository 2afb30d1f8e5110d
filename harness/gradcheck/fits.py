"""Explaining a gradient: each layer as a multiple of the true one's, or of one that has a known fault."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.gradcheck.layers import Layer
from freewalk.harness.gradcheck.penalty import Penalty, penalty_of

Array = NDArray[np.float64]
Kind = Literal["not finite", "zero", "missing bias", "sign", "factor", "penalty", "derivative", "time", "layer"]

_COARSE = 1e-10
"""What a central difference may be off by."""
_UNEXPLAINED, _DIFFERENT_FACTOR, _LATER = 100.0, 10.0, 0.001


@dataclass(frozen=True, eq=False)
class Suspect:
    """The gradient that a known fault would give."""

    kind: Kind
    sentence: str
    gradient: NDArray[Any]


class Fit(NamedTuple):
    """How a layer compares with a candidate's."""

    factor: float | None
    """Least-squares factor; None where there is nothing to compare."""
    explained: bool
    slack: float = 0.0
    """How far the factor may be off, as a part of itself."""
    tells: bool = True
    """Whether there are derivatives enough to tell a factor: any explains one alone."""
    penalty: Penalty | None = None
    """What explains the layer in place of a factor."""

    @property
    def is_one(self) -> bool:
        """Whether the factor may be 1."""
        return self.factor is not None and abs(self.factor - 1) <= self.slack

    def agrees(self, other: Fit) -> bool:
        """Whether two factors may be the same."""
        if self.factor is None or other.factor is None:
            return False
        return abs(self.factor - other.factor) <= (self.slack + other.slack) * max(abs(self.factor), abs(other.factor))


class Explanation(NamedTuple):
    """How a candidate explains the layers of a gradient."""

    suspect: Suspect | None
    """None: the true gradient."""
    fits: list[Fit]
    cost: float
    """Smaller is simpler."""


def explanation_by(
    suspect: Suspect | None,
    a: Array,
    n: Array,
    layers: Sequence[Layer],
    missed: NDArray[np.bool_],
    noise: Array,
    close: float,
    rank: int = 0,
    *,
    weights: Array | None = None,
) -> Explanation:
    """Return how a suspect, or for None the truth, explains a gradient.

    Parameters
    ----------
    suspect
        What is tried.
    a, n, noise, weights
        (n,) the analytic and the numerical gradient, how far that may be off, and where they were taken.
    layers, missed
        Which weights belong together, and (n,) which of them differ.
    close
        Part of a layer that a factor may leave over.
    rank
        Place among the suspects: of equally simple ones the first is taken.
    """
    candidate = n if suspect is None else np.asarray(suspect.gradient, np.float64).reshape(-1)
    lengths = [float(np.linalg.norm(noise[layer.indices])) for layer in layers]
    fits = [
        fit_of(a[layer.indices], candidate[layer.indices], length, close)
        for layer, length in zip(layers, lengths, strict=True)
    ]
    wrong = [bool(missed[layer.indices].any()) for layer in layers]
    fits = [
        _doubted(fit, fits, wrong, of_truth=suspect is None) if is_wrong else fit
        for fit, is_wrong in zip(fits, wrong, strict=True)
    ]
    if suspect is None and weights is not None:
        fits = _with_penalties(fits, a, n, weights, layers, lengths)
    cost = _UNEXPLAINED * sum(not fit.explained for fit in fits)
    cost += _DIFFERENT_FACTOR * (len(distinct_factors(fits)) + len(distinct_penalties(fits)))
    if suspect is not None:
        cost += _LATER * (1 + rank)  # of equally simple names the truth's comes first
    return Explanation(suspect, fits, cost)


def _doubted(fit: Fit, fits: Sequence[Fit], wrong: Sequence[bool], *, of_truth: bool) -> Fit:
    """Return the fit of a layer with misses, not explained where its factor explains nothing.

    Of the truth a factor of 1 does not, unless it may be that of other layers. One derivative alone has a factor
    always: it counts if other layers have it, or if nothing else is wrong.
    """
    others = [other for other in fits if other.tells and other.explained and not (of_truth and other.is_one)]
    if of_truth and fit.is_one:
        return fit if any(map(fit.agrees, others)) else fit._replace(explained=False)
    if fit.tells or not fit.factor or any(map(fit.agrees, others)):
        return fit
    alone = not any(one.tells and is_wrong for one, is_wrong in zip(fits, wrong, strict=True))
    return fit._replace(explained=alone)


def _with_penalties(
    fits: Sequence[Fit], a: Array, n: Array, weights: Array, layers: Sequence[Layer], lengths: Sequence[float]
) -> list[Fit]:
    """Return the fits, those that no factor explains with the penalty that does; large layers tell it to small ones."""
    found = list(fits)
    sizes = [layer.indices.size for layer in layers]
    for k in sorted(range(len(layers)), key=lambda k: -sizes[k]):
        if not found[k].explained or not found[k].tells:
            at = layers[k].indices
            penalty = penalty_of(a[at], n[at], weights[at], lengths[k], distinct_penalties(found))
            if penalty is not None:
                found[k] = found[k]._replace(explained=True, factor=None, penalty=penalty)
    return found


def distinct_penalties(fits: Iterable[Fit]) -> list[Penalty]:
    """Return the penalties, those that agree but once."""
    found: list[Penalty] = []
    for fit in fits:
        if fit.penalty is not None and not any(map(fit.penalty.agrees, found)):
            found.append(fit.penalty)
    return found


def fit_of(a: Array, n: Array, noise: float, close: float) -> Fit:
    """Return how a layer compares with a candidate's, which may be off by `noise` in length."""
    length_a, length_n = float(np.linalg.norm(a)), float(np.linalg.norm(n))
    floor = noise + _COARSE * math.sqrt(a.size)
    if length_n <= floor:
        return Fit(None, length_a <= 10 * floor)
    if length_a <= 1e-9 * length_n:
        return Fit(0.0, True)
    factor = float(np.vdot(a, n)) / length_n**2
    left = float(np.linalg.norm(a - factor * n))
    tells = int((np.abs(a) + np.abs(n) > 1e-9 * (length_a + length_n)).sum()) > 1
    return Fit(factor, left <= close * length_a + abs(factor) * floor, 2 * (close + floor / length_n), tells)


def distinct_factors(fits: Iterable[Fit]) -> list[Fit]:
    """Return the explained fits with factors other than 1, those that agree but once: the most precise of them."""
    found: list[Fit] = []
    for fit in sorted(fits, key=lambda fit: fit.slack):
        if fit.explained and fit.factor is not None and not fit.is_one and not any(map(fit.agrees, found)):
            found.append(fit)
    return found

"""What is wrong with a gradient: it is compared, layer by layer, with the true one and ones that have a known fault.

Each layer of the analytic gradient a is fitted by a factor c times the candidate's, a = c n. The candidate that leaves
the fewest layers unexplained, with the fewest different factors, names the fault.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.gradcheck.factors import factor_words, number
from freewalk.harness.gradcheck.layers import Layer
from freewalk.harness.gradcheck.penalty import Penalty, penalty_of
from freewalk.harness.gradcheck.places import listed, local, where_it_enters

Array = NDArray[np.float64]
Kind = Literal["not finite", "zero", "missing bias", "sign", "factor", "penalty", "derivative", "time", "layer"]

_CLOSE = 1e-5
"""A layer is explained if what a factor leaves over is this part of it; central differences are good to about 1e-8."""
_COARSE = 1e-10
"""What a central difference may be off by."""
_UNEXPLAINED, _DIFFERENT_FACTOR, _LATER = 100.0, 10.0, 0.001


@dataclass(frozen=True)
class Fault:
    """Something wrong with a gradient, by name."""

    kind: Kind
    layers: tuple[str, ...]
    """The layers it shows in."""
    value: float | None
    """The factor, where there is one."""
    sentence: str


@dataclass(frozen=True, eq=False)
class Suspect:
    """The gradient that a known fault would give."""

    kind: Kind
    sentence: str
    gradient: NDArray[Any]


class _Fit(NamedTuple):
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

    def agrees(self, other: _Fit) -> bool:
        """Whether two factors may be the same."""
        if self.factor is None or other.factor is None:
            return False
        return abs(self.factor - other.factor) <= (self.slack + other.slack) * max(abs(self.factor), abs(other.factor))


def diagnose(
    analytic: NDArray[Any],
    numerical: NDArray[Any],
    layers: Sequence[Layer],
    *,
    missed: NDArray[np.bool_],
    tolerance: float = 1e-6,
    noise: NDArray[Any] | float = 0.0,
    counts: Mapping[str, float] | None = None,
    suspects: Callable[[], Iterable[Suspect]] | None = None,
    weights: NDArray[Any] | None = None,
) -> tuple[Fault, ...]:
    """Name what is wrong with a gradient that differs from the numerical one.

    Parameters
    ----------
    analytic, numerical
        Two arrays of the same shape.
    layers
        Which weights belong together.
    missed
        (n,) for the flat arrays: which weights differ.
    tolerance, noise, counts, suspects, weights
        As for `freewalk.harness.gradcheck.report.check_gradient`.

    Returns
    -------
    The faults, at least one if a weight of the layers differs; the one that explains most comes first.
    """
    a, n = np.asarray(analytic, np.float64).reshape(-1), np.asarray(numerical, np.float64).reshape(-1)
    layers = [layer for layer in layers if layer.indices.size]
    bad = [layer.name for layer in layers if not np.isfinite(a[layer.indices]).all()]
    if bad:
        return (Fault("not finite", tuple(bad), None, f"{listed(bad)}: the analytic gradient is not finite"),)
    if not np.isfinite(n).all():
        names = tuple(layer.name for layer in layers)
        text = "the numerical gradient is not finite: the loss is not, so nothing can be said about the gradient"
        return (Fault("not finite", names, None, text),)
    if not any(a[layer.indices].any() for layer in layers):
        names = tuple(layer.name for layer in layers)
        return (Fault("zero", names, 0.0, "the analytic gradient is zero everywhere"),)
    spread = np.broadcast_to(np.asarray(noise, np.float64), np.shape(analytic)).reshape(-1)
    close = max(_CLOSE, 10 * tolerance)

    at = None if weights is None else np.asarray(weights, np.float64).reshape(-1)
    best = _explanation(None, a, n, layers, missed, spread, close, weights=at)
    for rank, suspect in enumerate(suspects() if suspects is not None else ()):
        tried = _explanation(suspect, a, n, layers, missed, spread, close, rank)
        if tried.cost < best.cost:
            best = tried
    return tuple(_faults(best, a, n, layers, missed, counts or {}, close))


class _Explanation(NamedTuple):
    suspect: Suspect | None
    """None: the true gradient."""
    fits: list[_Fit]
    cost: float
    """Smaller is simpler."""


def _explanation(
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
) -> _Explanation:
    candidate = n if suspect is None else np.asarray(suspect.gradient, np.float64).reshape(-1)
    lengths = [float(np.linalg.norm(noise[layer.indices])) for layer in layers]
    fits = [
        _fit(a[layer.indices], candidate[layer.indices], length, close)
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
    cost += _DIFFERENT_FACTOR * (len(_distinct(fits)) + len(_distinct_penalties(fits)))
    if suspect is not None:
        cost += _LATER * (1 + rank)  # of equally simple names the truth's comes first
    return _Explanation(suspect, fits, cost)


def _doubted(fit: _Fit, fits: Sequence[_Fit], wrong: Sequence[bool], *, of_truth: bool) -> _Fit:
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
    fits: Sequence[_Fit], a: Array, n: Array, weights: Array, layers: Sequence[Layer], lengths: Sequence[float]
) -> list[_Fit]:
    """Return the fits, those that no factor explains with the penalty that does; large layers tell it to small ones."""
    found = list(fits)
    sizes = [layer.indices.size for layer in layers]
    for k in sorted(range(len(layers)), key=lambda k: -sizes[k]):
        if not found[k].explained or not found[k].tells:
            at = layers[k].indices
            penalty = penalty_of(a[at], n[at], weights[at], lengths[k], _distinct_penalties(found))
            if penalty is not None:
                found[k] = found[k]._replace(explained=True, factor=None, penalty=penalty)
    return found


def _distinct_penalties(fits: Iterable[_Fit]) -> list[Penalty]:
    """Return the penalties, those that agree but once."""
    found: list[Penalty] = []
    for fit in fits:
        if fit.penalty is not None and not any(map(fit.penalty.agrees, found)):
            found.append(fit.penalty)
    return found


def _fit(a: Array, n: Array, noise: float, close: float) -> _Fit:
    length_a, length_n = float(np.linalg.norm(a)), float(np.linalg.norm(n))
    floor = noise + _COARSE * math.sqrt(a.size)
    if length_n <= floor:
        return _Fit(None, length_a <= 10 * floor)
    if length_a <= 1e-9 * length_n:
        return _Fit(0.0, True)
    factor = float(np.vdot(a, n)) / length_n**2
    left = float(np.linalg.norm(a - factor * n))
    tells = int((np.abs(a) + np.abs(n) > 1e-9 * (length_a + length_n)).sum()) > 1
    return _Fit(factor, left <= close * length_a + abs(factor) * floor, 2 * (close + floor / length_n), tells)


def _distinct(fits: Iterable[_Fit]) -> list[_Fit]:
    """Return the explained fits with factors other than 1, those that agree but once: the most precise of them."""
    found: list[_Fit] = []
    for fit in sorted(fits, key=lambda fit: fit.slack):
        if fit.explained and fit.factor is not None and not fit.is_one and not any(map(fit.agrees, found)):
            found.append(fit)
    return found


def _faults(
    best: _Explanation,
    a: Array,
    n: Array,
    layers: Sequence[Layer],
    missed: NDArray[np.bool_],
    counts: Mapping[str, float],
    close: float,
) -> Iterable[Fault]:
    names = [layer.name for layer in layers]
    if best.suspect is not None:
        yield Fault(best.suspect.kind, tuple(names), None, best.suspect.sentence)
    comparable = [
        pair for pair in zip(layers, best.fits, strict=True) if pair[1].explained and pair[1].factor is not None
    ]
    for kind in _distinct(best.fits):
        having = [layer for layer, fit in comparable if fit.agrees(kind)]
        whole = len(having) == len(comparable) and all(fit.explained and not fit.penalty for fit in best.fits)
        yield _factor_fault(kind, having, whole, counts)
    for penalty in _distinct_penalties(best.fits):
        under = [
            la.name for la, fit in zip(layers, best.fits, strict=True) if fit.penalty and fit.penalty.agrees(penalty)
        ]
        yield Fault("penalty", tuple(under), penalty.multiple, penalty.sentence(listed(under), counts))
    wrong = [layer for layer, fit in zip(layers, best.fits, strict=True) if not fit.explained]
    for layer in wrong:
        yield _layer_fault(layer, a, n, layers, missed, close)
    entering = where_it_enters(wrong, layers)
    if entering:
        yield Fault("layer", tuple(layer.name for layer in wrong), None, entering)


def _factor_fault(fit: _Fit, having: Sequence[Layer], whole: bool, counts: Mapping[str, float]) -> Fault:
    factor = fit.factor or 0.0
    names = tuple(layer.name for layer in having)
    where = "the whole gradient" if whole else listed(names)
    if factor == 0:
        if all(layer.is_bias for layer in having):
            return Fault("missing bias", names, 0.0, f"{listed(names)}: the bias gradient is missing (zero)")
        return Fault("zero", names, 0.0, f"{listed(names)}: the analytic gradient is zero")
    flipped = "the sign is flipped" if factor < 0 else ""
    size = "" if abs(abs(factor) - 1) <= fit.slack else f"a constant factor of {number(abs(factor))}"
    match = factor_words(abs(factor), counts) if size else ""
    text = f"{where}: " + " and there is ".join(part for part in (flipped, size) if part)
    return Fault("sign" if flipped else "factor", names, factor, text + (f", which is {match}" if match else ""))


def _layer_fault(
    layer: Layer, a: Array, n: Array, layers: Sequence[Layer], missed: NDArray[np.bool_], close: float
) -> Fault:
    at = layer.indices
    if not n[at].any():
        text = "the analytic gradient is not zero, though the loss does not depend on these weights"
    elif (like := _same_as(layer, a, n, layers, close)) is not None:
        text = f"it equals {like}"
    else:
        if at.size == 1:
            text = f"its one derivative is {number(float(a[at][0, 0]))} and should be {number(float(n[at][0, 0]))}"
            return Fault("layer", (layer.name,), None, f"{layer.name}: {text}")
        product = float(np.linalg.norm(a[at]) * np.linalg.norm(n[at]))
        cosine = float(np.vdot(a[at], n[at])) / product if product else math.nan
        text = f"its direction is wrong (cosine {cosine:.4g} with the numerical gradient){local(layer, missed)}"
    return Fault("layer", (layer.name,), None, f"{layer.name}: {text}")


def _same_as(layer: Layer, a: Array, n: Array, layers: Sequence[Layer], close: float) -> str | None:
    """Return what else of the true gradient a layer equals."""
    mine = a[layer.indices]
    if mine.shape[0] == mine.shape[1] > 1 and _equals(mine, n[layer.indices].T, close):
        return "its own gradient transposed"
    for other in layers:
        theirs = n[other.indices]
        if other is not layer and mine.size > 1:
            if theirs.shape == mine.shape and _equals(mine, theirs, close):
                return f"the gradient of {other.name}"
            if theirs.T.shape == mine.shape and _equals(mine, theirs.T, close):
                return f"the gradient of {other.name} transposed"
    return None


def _equals(a: Array, n: Array, close: float) -> bool:
    fit = _fit(a, n, 0.0, close)
    return fit.explained and fit.is_one

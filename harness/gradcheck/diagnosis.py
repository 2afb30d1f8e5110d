"""What is wrong with a gradient: it is compared, layer by layer, with the true one and ones that have a known fault.

Each layer of the analytic gradient a is fitted by a factor c times the candidate's, a = c n. The candidate that leaves
the fewest layers unexplained, with the fewest different factors, names the fault.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.gradcheck.fits import (
    Explanation,
    Fit,
    Kind,
    Suspect,
    distinct_factors,
    distinct_penalties,
    explanation_by,
    fit_of,
)
from freewalk.harness.gradcheck.layers import Layer
from freewalk.harness.gradcheck.words import factor_words, listed, local, number, where_it_enters

Array = NDArray[np.float64]

_CLOSE = 1e-5
"""A layer is explained if what a factor leaves over is this part of it; central differences are good to about 1e-8."""


@dataclass(frozen=True)
class Fault:
    """Something wrong with a gradient, by name."""

    kind: Kind
    layers: tuple[str, ...]
    """The layers it shows in."""
    value: float | None
    """The factor, where there is one."""
    sentence: str


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
    best = explanation_by(None, a, n, layers, missed, spread, close, weights=at)
    for rank, suspect in enumerate(suspects() if suspects is not None else ()):
        tried = explanation_by(suspect, a, n, layers, missed, spread, close, rank)
        if tried.cost < best.cost:
            best = tried
    return tuple(_faults(best, a, n, layers, missed, counts or {}, close))


def _faults(
    best: Explanation,
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
    for kind in distinct_factors(best.fits):
        having = [layer for layer, fit in comparable if fit.agrees(kind)]
        whole = len(having) == len(comparable) and all(fit.explained and not fit.penalty for fit in best.fits)
        yield _factor_fault(kind, having, whole, counts)
    for penalty in distinct_penalties(best.fits):
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


def _factor_fault(fit: Fit, having: Sequence[Layer], whole: bool, counts: Mapping[str, float]) -> Fault:
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
    fit = fit_of(a, n, 0.0, close)
    return fit.explained and fit.is_one

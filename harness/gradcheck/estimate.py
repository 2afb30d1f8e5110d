"""An estimated gradient against the exact one: how well it points, how long it is, whether it is biased."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.gradcheck.layers import Layer
from freewalk.harness.gradcheck.report import angle_and_ratio

Array = NDArray[np.float64]

_ERRORS = 5.0
"""A bias of this many standard errors is no chance."""
_NOTABLE = 0.02
"""A bias below this part of the gradient is no fault even if it is no chance."""


@dataclass(frozen=True)
class LayerEstimate:
    """How the mean of some estimates compares with the mean of the exact gradients, in one layer or all."""

    name: str
    n_weights: int
    cosine: float
    """Of the angle between the two means; NaN where one is zero."""
    expected_cosine: float
    """What the cosine of an unbiased estimate with this much noise would be about."""
    norm_ratio: float
    """Length of the mean estimate over the exact gradient's; noise makes it longer."""
    bias: float
    """Mean length of the estimates along the exact gradient, in units of its own, less 1: 0 is right."""
    standard_error: float
    """Of the bias."""


@dataclass(frozen=True)
class EstimateReport:
    """What `check_estimate` found."""

    n_samples: int
    whole: LayerEstimate
    layers: tuple[LayerEstimate, ...]
    exact_is_zero: bool
    """Whether there is no gradient that an estimate could be biased along."""

    @property
    def passed(self) -> bool:
        """Whether the bias along the gradient may be chance, or is too small to matter."""
        bias = abs(self.whole.bias)
        return self.exact_is_zero or bias <= max(_NOTABLE, _ERRORS * self.whole.standard_error)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON holds it."""
        return {"passed": self.passed, **asdict(self)}


def check_estimate(samples: Iterable[tuple[Array, Array]], layers: Sequence[Layer]) -> EstimateReport:
    """Compare estimates of a gradient with exact gradients.

    Parameters
    ----------
    samples
        Pairs of one shape: an estimate, and the exact gradient of what it estimates. At least two.
    layers
        Which weights belong together.

    Returns
    -------
    EstimateReport
        The bias of the whole gradient decides whether it passes. The standard error comes from the scatter of the
        samples' lengths along the mean exact gradient, so it holds whatever the estimator's distribution.

    Raises
    ------
    ValueError
        If there are fewer than two samples.
    """
    at = np.unique(np.concatenate([layer.indices.ravel() for layer in layers]))
    errors, exact = [], np.zeros(at.size)
    for estimate, true in samples:
        errors.append((estimate - true).reshape(-1)[at])
        exact += true.reshape(-1)[at]
    if len(errors) < 2:
        raise ValueError(f"an estimate's scatter needs at least 2 samples, got {len(errors)}")
    scatter, mean = np.array(errors), exact / len(errors)

    def part(name: str, indices: NDArray[np.intp]) -> LayerEstimate:
        where = np.searchsorted(at, indices.ravel())
        return _compare(name, scatter[:, where], mean[where])

    return EstimateReport(
        len(errors),
        part("all", at),
        tuple(part(layer.name, layer.indices) for layer in layers),
        exact_is_zero=not mean.any(),
    )


def _compare(name: str, errors: Array, gradient: Array) -> LayerEstimate:
    """Compare estimates that miss by (n, P) errors with the mean exact gradient (P,)."""
    n = len(errors)
    length = float(np.linalg.norm(gradient))
    cosine, ratio = angle_and_ratio(gradient + errors.mean(axis=0), gradient)
    if length == 0:
        return LayerEstimate(name, gradient.size, cosine, math.nan, ratio, math.nan, math.nan)
    noise = float((errors.var(axis=0, ddof=1) / n).sum())
    along = errors @ gradient / length**2
    return LayerEstimate(
        name,
        gradient.size,
        cosine,
        length / math.sqrt(length**2 + noise),
        ratio,
        float(along.mean()),
        float(along.std(ddof=1)) / math.sqrt(n),
    )

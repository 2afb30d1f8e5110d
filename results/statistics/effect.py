"""How large a difference is: the probability that a trial of one sample beats one of the other."""

import math
from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from freewalk.results.statistics.cell import (
    NOTHING,
    Estimate,
    Floats,
    normal_quantile,
    student_quantile,
    wilson_interval,
    without_nan,
)

_LARGE: Final = 20
"""From so many values a side on, the variance is estimated instead of taken from a model."""
_INSIDE: Final = 1e-9


def superiority(a: ArrayLike, b: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Return the probability that a value of one sample is lower than one of another, unpaired one.

    The estimate is the Vargha-Delaney statistic A12 of lower values (the Mann-Whitney count over n_a n_b). The
    interval: below 20 values a side, Newcombe's score interval (his method 5), where the variance is that of two
    exponential samples with the same superiority; from 20 on, the logit of the estimate with the variance of its
    placements and Satterthwaite's degrees of freedom.
    Sources: A. Vargha, H. D. Delaney, Journal of Educational and Behavioral Statistics 25, 101 (2000);
    R. G. Newcombe, Statistics in Medicine 25, 559 (2006); E. Brunner, U. Munzel, Biometrical Journal 42, 17 (2000).

    Parameters
    ----------
    a, b : array_like of float, shape (n_a,) and (n_b,)
        No NaN; +inf is worse than any finite value and ties with itself.
    confidence : float
        Between 0 and 1.

    Returns
    -------
    Estimate
        NaN where a sample is empty.

    Raises
    ------
    ValueError
        A value is NaN, or the confidence is out of range.
    """
    first, second = without_nan(a), without_nan(b)
    if not first.size or not second.size:
        return NOTHING
    wins = (first[:, None] < second) + 0.5 * (first[:, None] == second)
    estimate = float(wins.mean())
    if min(wins.shape) >= _LARGE and 0 < estimate < 1:
        return Estimate(estimate, *_logit_ends(wins, estimate, confidence))
    return Estimate(estimate, *_score_ends(estimate, first.size, second.size, confidence))


def _score_ends(estimate: float, n_a: int, n_b: int, confidence: float) -> tuple[float, float]:
    z, more = normal_quantile(confidence), (n_a + n_b) / 2 - 1

    def distance(truth: float) -> float:
        """Return by how much the estimate is nearer than z standard deviations to a truth."""
        shape = 1 + more * ((1 - truth) / (2 - truth) + truth / (1 + truth))
        return z * math.sqrt(truth * (1 - truth) * shape / (n_a * n_b)) - abs(estimate - truth)

    # The estimates 0 and 1 are solutions themselves, but not the ones that are wanted.
    inside = min(max(estimate, _INSIDE), 1 - _INSIDE)
    low = 0.0 if estimate == 0 else float(brentq(distance, 0.0, inside))
    high = 1.0 if estimate == 1 else float(brentq(distance, inside, 1.0))
    return low, high


def _logit_ends(wins: Floats, estimate: float, confidence: float) -> tuple[float, float]:
    parts = [float(wins.mean(axis=1 - axis).var(ddof=1)) / wins.shape[axis] for axis in (0, 1)]
    variance = sum(parts)
    freedom = variance**2 / sum(p**2 / (n - 1) for p, n in zip(parts, wins.shape, strict=True)) if variance else 1.0
    half = student_quantile(confidence, freedom) * math.sqrt(variance) / (estimate * (1 - estimate))
    centre = math.log(estimate / (1 - estimate))
    return tuple(1 / (1 + math.exp(-(centre + side * half))) for side in (-1, 1))  # type: ignore[return-value]


def paired_superiority(a: ArrayLike, b: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Return the share of pairs whose first value is lower, ties counted half, with Wilson's interval.

    Parameters
    ----------
    a, b : array_like of float, shape (n,)
        No NaN.
    confidence : float
        Between 0 and 1.

    Raises
    ------
    ValueError
        A value is NaN, or the shapes differ.
    """
    first, second = without_nan(a), without_nan(b)
    if first.shape != second.shape:
        raise ValueError(f"pairs need as many values on both sides, not {first.size} and {second.size}")
    if not first.size:
        return NOTHING
    wins = float(np.sum(first < second) + 0.5 * np.sum(first == second))
    return Estimate(wins / first.size, *wilson_interval(wins, first.size, confidence))

"""Confidence intervals that hold for few trials; measured in tests/results/statistics/test_results_coverage.py."""

import math
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import bdtr

from freewalk.results.statistics.bootstrap import bootstrap_interval
from freewalk.results.statistics.cell import (
    Floats,
    Interval,
    expected_running_time,
    interquartile_mean,
    median,
    student_quantile,
    tail_probability,
    wilson_interval,
    without_nan,
)

SMALLEST_RESAMPLED: Final = 5
"""The range of fewer values holds the centre less than 93 % of the time, so no resampling can."""
_WIDENING: Final = 1.1
"""Student's interval times this holds the centre of skewed and heavy-tailed values too (93 to 97 %)."""
_LARGEST_EXPONENT: Final = 700


def iqm_interval(
    values: ArrayLike, *, strata: ArrayLike | None = None, confidence: float = 0.95, lowest: float = -math.inf
) -> Interval:
    """Return an interval of the interquartile mean: bootstrap from five values on, Student's below.

    Parameters
    ----------
    values : array_like of float, shape (n,)
        No NaN; infinite ones are allowed.
    strata : array_like, shape (n,), optional
        As in ``bootstrap_interval``.
    confidence : float
        Between 0 and 1.
    lowest : float
        What no value can be below; an end is not either.

    Returns
    -------
    low, high : float
        (NaN, NaN) for fewer than two values; (lowest, +inf) where one of fewer than five is infinite.

    Raises
    ------
    ValueError
        As ``bootstrap_interval``.
    """
    array = without_nan(values)
    if array.size >= SMALLEST_RESAMPLED:
        return bootstrap_interval(array, interquartile_mean, strata=strata, confidence=confidence)
    return _of_few(array, float(interquartile_mean(array)), confidence, lowest)


def median_interval(values: ArrayLike, *, confidence: float = 0.95, lowest: float = -math.inf) -> Interval:
    """Return an interval of the median: between order statistics from five values on, Student's below.

    No distribution is assumed from five values on: the interval from the k-th lowest to the k-th highest value holds
    the median with probability 1 - 2 B(k - 1; n, 1/2), and the wanted confidence is interpolated between two k.
    Five values reach 93.75 % at most, which is what they get.
    Source: T. P. Hettmansperger, S. J. Sheather, Confidence intervals based on interpolated order statistics,
    Statistics & Probability Letters 4, 75 (1986).

    Parameters
    ----------
    values : array_like of float, shape (n,)
        No NaN; infinite ones are allowed: the median of censored costs needs nothing else.
    confidence, lowest
        As in ``iqm_interval``.

    Returns
    -------
    low, high : float
        As ``iqm_interval``.

    Raises
    ------
    ValueError
        A value is NaN, or the confidence is out of range.
    """
    array = np.sort(without_nan(values))
    n = array.size
    if n < SMALLEST_RESAMPLED:
        return _of_few(array, float(median(array)), confidence, lowest)
    tail = tail_probability(confidence)
    depth = max(1, int(np.searchsorted(bdtr(np.arange(n // 2), n, 0.5), tail, side="right")))
    return _between(array, depth, confidence), -_between(-array[::-1], depth, confidence)


def _between(ordered: Floats, depth: int, confidence: float) -> float:
    """Return the lower end, between the order statistics of two depths (from 1) that enclose the confidence."""
    n = ordered.size
    outer, inner = (1 - 2 * float(bdtr(d - 1, n, 0.5)) for d in (depth, depth + 1))
    low, high = float(ordered[depth - 1]), float(ordered[min(depth, n - 1)])
    if outer <= confidence or low == high:
        return low
    share = (outer - confidence) / (outer - inner)
    weight = (n - depth) * share / (depth + (n - 2 * depth) * share)
    # Between a finite and an infinite value there is nothing: the outer one is on the safe side.
    return min(high, (1 - weight) * low + weight * high) if math.isfinite(low) and math.isfinite(high) else low


def _of_few(array: Floats, centre: float, confidence: float, lowest: float) -> Interval:
    if array.size < 2:
        return math.nan, math.nan
    if not np.isfinite(array).all():
        return lowest, math.inf
    half = _WIDENING * student_quantile(confidence, array.size - 1) * array.std(ddof=1) / math.sqrt(array.size)
    return max(lowest, float(centre - half)), float(centre + half)


def running_time_interval(
    costs: ArrayLike, reached: ArrayLike, *, confidence: float = 0.95, budget: float = math.nan
) -> Interval:
    """Return an interval of the expected running time.

    ERT = mean cost of a success + (1 - p) / p times the mean cost of a failure. The odds take their interval from the
    mid-P one of p, the two means Student's on a logarithmic scale (costs are skewed), and the three are put together by
    the method of variance estimates recovery: the end of a sum lies sqrt(sum of squared distances of the parts to their
    ends) from the estimate. No part reaches 0, so the lower end does not either.
    Resampling would fail here: of ten trials with p = 0.1, a third hold no success at all.
    Source: G. Y. Zou, A. Donner, Construction of confidence limits about effect measures, Statistics in Medicine 27,
    1693 (2008).

    Parameters
    ----------
    costs, reached : array_like, shape (n,)
        As in ``expected_running_time``.
    confidence : float
        Between 0 and 1.
    budget : float
        What a trial may spend, the price of a failure that was not seen. Unknown (NaN), it is the most that a failure
        spent, or without one the dearest success.

    Returns
    -------
    low, high : float
        (NaN, NaN) without trials or with a NaN cost; high is +inf when none reached.

    Raises
    ------
    ValueError
        As ``expected_running_time``.
    """
    estimate = expected_running_time(costs, reached)
    if math.isnan(estimate):
        return math.nan, math.nan
    spent, success = np.asarray(costs, dtype=np.float64), np.asarray(reached, dtype=np.bool_)
    failures = spent[~success]
    known = budget if math.isfinite(budget) else failures.max(initial=0.0)
    at_most = float(max(known, spent.max()))
    if failures.size < 2 and failures.min(initial=at_most) == at_most:  # none can be dearer, and few are cheaper
        failures = np.full(2, at_most)
    low_rate, high_rate = mid_p_interval(int(success.sum()), success.size, confidence)
    failure, low_failure, high_failure = _mean_interval(failures, confidence, at_most)
    if not success.any():
        return failure * (1 - high_rate) / high_rate, math.inf
    hit, low_hit, high_hit = _mean_interval(spent[success], confidence, at_most if known else math.inf)
    rate = success.mean()
    odds, low_odds, high_odds = ((1 - p) / p for p in (rate, high_rate, low_rate))
    below = math.hypot(hit - low_hit, failure * (odds - low_odds), odds * (failure - low_failure))
    above = math.hypot(high_hit - hit, failure * (high_odds - odds), odds * (high_failure - failure))
    return max(0.0, estimate - below), estimate + above


@lru_cache(maxsize=1024)
def mid_p_interval(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Return the mid-P interval of a success rate: the rates where the tails, with half of what was seen, are so rare.

    Near 0 and 1 it holds more surely than Wilson's, which misses a rate of 0.98 in 8 % of samples of 50, and there the
    odds of a failure decide what a success costs.
    Source: A. Agresti, A. Gottard, Computational Statistics & Data Analysis 51, 6447 (2007).

    Parameters
    ----------
    successes, n : int
        n at least 1.
    confidence : float
        Between 0 and 1.
    """
    tail = tail_probability(confidence)

    def above(rate: float, k: int) -> float:
        """Return the mid-P probability of at most k successes, less the tail."""
        return float(bdtr(k, n, rate) + (bdtr(k - 1, n, rate) if k else 0.0)) / 2 - tail

    high = 1.0 if successes == n else float(brentq(above, 0.0, 1.0, (successes,)))
    low = 0.0 if successes == 0 else 1 - float(brentq(above, 0.0, 1.0, (n - successes,)))
    return low, high


def rate_difference_interval(
    successes_a: int, n_a: int, successes_b: int, n_b: int, confidence: float = 0.95
) -> Interval:
    """Return Newcombe's interval of the difference of two success rates, B less A, from Wilson's of each.

    Source: R. G. Newcombe, Statistics in Medicine 17, 873 (1998), method 10.
    """
    (low_a, high_a), (low_b, high_b) = (
        wilson_interval(k, n, confidence) for k, n in ((successes_a, n_a), (successes_b, n_b))
    )
    if n_a == 0 or n_b == 0:
        return -1.0, 1.0
    a, b = successes_a / n_a, successes_b / n_b
    return b - a - math.hypot(b - low_b, high_a - a), b - a + math.hypot(high_b - b, a - low_a)


def _mean_interval(costs: Floats, confidence: float, at_most: float) -> tuple[float, float, float]:
    """Return a mean with its interval; the spread of a single cost is unknown: as if it were exponential."""
    mean = float(costs.mean())
    if mean == 0:
        return 0.0, 0.0, 0.0
    if costs.size == 1:
        tail = tail_probability(confidence)
        return mean, mean / -math.log(tail), max(mean, min(at_most, mean / -math.log1p(-tail)))
    half = student_quantile(confidence, costs.size - 1) * float(costs.std(ddof=1)) / math.sqrt(costs.size) / mean
    return mean, mean * math.exp(-half), max(mean, min(at_most, mean * math.exp(min(half, _LARGEST_EXPONENT))))

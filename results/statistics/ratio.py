"""By how much one sample costs more than another, with an interval."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from freewalk.results.statistics.cell import Floats, expected_running_time, median, normal_quantile, tail_probability
from freewalk.results.statistics.intervals import running_time_interval
from freewalk.results.statistics.ranks import EXACT_UP_TO, rank_sums, signed_sums


class Ratio(NamedTuple):
    """B over A with its interval; NaN with (0, +inf) where nothing can be said."""

    estimate: float
    low: float
    high: float


UNKNOWN = Ratio(math.nan, 0.0, math.inf)


def running_time_ratio(
    costs_a: ArrayLike,
    reached_a: ArrayLike,
    costs_b: ArrayLike,
    reached_b: ArrayLike,
    confidence: float = 0.95,
    *,
    budget_a: float = math.nan,
    budget_b: float = math.nan,
) -> Ratio:
    """Compare two expected running times.

    The intervals of both are put together by the method of variance estimates recovery, on logarithms: an end of
    log(B / A) lies sqrt(sum of squared distances of log A and log B to their ends) from the estimate. Trials that vary
    together (the same seeds) make it too wide rather than too narrow: how costs vary together tells nothing of the
    failures that were not seen, on which the ends depend most. ``pair_ratio`` is sharper where costs alone are asked.
    Source: G. Y. Zou, A. Donner, Statistics in Medicine 27, 1693 (2008).

    Parameters
    ----------
    costs_a, reached_a, costs_b, reached_b : array_like
        As in ``expected_running_time``.
    confidence : float
        Between 0 and 1.
    budget_a, budget_b : float
        As in ``running_time_interval``.

    Returns
    -------
    Ratio
        (1, 1, 1) for equal arguments, where the noise is shared and nothing else differs. The estimate is 0 or +inf
        where only B or only A reached the target, NaN where none did; then the other end says "at most" or "at least".
    """
    a, b = expected_running_time(costs_a, reached_a), expected_running_time(costs_b, reached_b)
    if math.isnan(a) or math.isnan(b) or (math.isinf(a) and math.isinf(b)) or a == 0 or b == 0:
        return UNKNOWN
    if np.array_equal(costs_a, costs_b) and np.array_equal(reached_a, reached_b):
        return Ratio(1.0, 1.0, 1.0)
    low_a, high_a = running_time_interval(costs_a, reached_a, confidence=confidence, budget=budget_a)
    low_b, high_b = running_time_interval(costs_b, reached_b, confidence=confidence, budget=budget_b)
    if math.isinf(a):
        return Ratio(0.0, 0.0, high_b / low_a if low_a > 0 else math.inf)
    if math.isinf(b):
        return Ratio(math.inf, low_b / high_a, math.inf)
    below = math.hypot(_log_distance(low_b, b), _log_distance(a, high_a))
    above = math.hypot(_log_distance(b, high_b), _log_distance(low_a, a))
    return Ratio(b / a, b / a * math.exp(-below), b / a * math.exp(above) if above < 700 else math.inf)


def _log_distance(low: float, high: float) -> float:
    return math.inf if low <= 0 or math.isinf(high) else math.log(high / low)


def shift_ratio(a: ArrayLike, b: ArrayLike, confidence: float = 0.95) -> Ratio:
    """Return the median of all ratios of a value of B to one of A, and the ratios that Mann and Whitney do not reject.

    The Hodges-Lehmann estimate on logarithms. Its interval needs four values a side for 95 %.
    Source: J. L. Hodges, E. L. Lehmann, Annals of Mathematical Statistics 34, 598 (1963).

    Parameters
    ----------
    a, b : array_like of float, shape (n_a,) and (n_b,)
        Positive and finite.
    confidence : float
        Between 0 and 1.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if not first.size or not second.size:
        return UNKNOWN
    ratios = np.sort((second[:, None] / first).ravel())
    n, n_all = first.size, first.size + second.size
    exact = n_all <= EXACT_UP_TO
    counts = rank_sums(tuple(range(2, 2 * n_all + 1, 2)), n)[n * (n + 1) :: 2] if exact else None
    low, high = _middle(ratios, counts, n * (n_all - n) * (n_all + 1) / 12, confidence)
    return Ratio(math.exp(float(median(np.log(ratios)))), max(0.0, low), high)


def pair_ratio(a: ArrayLike, b: ArrayLike, confidence: float = 0.95) -> Ratio:
    """Return the median ratio of B to A over pairs, and the ratios that Wilcoxon's signed ranks do not reject.

    The Hodges-Lehmann estimate on logarithms: the median of the means of any two pairs' log ratios, each with itself
    too. Its interval needs six pairs for 95 %.
    Source: J. W. Tukey, in Hodges and Lehmann, Annals of Mathematical Statistics 34, 598 (1963).

    Parameters
    ----------
    a, b : array_like of float, shape (n,)
        Positive and finite.
    confidence : float
        Between 0 and 1.
    """
    change = np.log(np.asarray(b, dtype=np.float64)) - np.log(np.asarray(a, dtype=np.float64))
    n = change.size
    if not n:
        return UNKNOWN
    means = np.sort(((change[:, None] + change) / 2)[np.triu_indices(n)])
    counts = signed_sums(tuple(range(2, 2 * n + 1, 2)))[::2] if n <= EXACT_UP_TO else None
    ends = _middle(means, counts, n * (n + 1) * (2 * n + 1) / 24, confidence)
    return Ratio(math.exp(float(median(means))), *np.exp(ends).tolist())


def _middle(ordered: Floats, counts: Floats | None, variance: float, confidence: float) -> tuple[float, float]:
    """Return the ends of an interval that leaves out as many values at each end as a test would reject.

    ``counts`` are those of the test's sums from the lowest on, None where they are many and taken for normal. -inf and
    +inf where even all values are too narrow.
    """
    if counts is None:
        half = normal_quantile(confidence) * math.sqrt(variance)
        left_out = max(0, math.floor(ordered.size / 2 - half - 0.5))
    else:
        below = np.cumsum(counts) / counts.sum()
        left_out = int(np.searchsorted(below, tail_probability(confidence), side="right")) - 1
    if left_out < 0:
        return -math.inf, math.inf
    return float(ordered[left_out]), float(ordered[-1 - left_out])

"""Times to the target when not every trial reached it."""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from freewalk.results.statistics.cell import Floats, normal_quantile, without_nan
from freewalk.results.statistics.intervals import SMALLEST_RESAMPLED, median_interval

_FEW: Final = 8
"""Trials that are too few for normal scores: they would hold the median 80 to 94 % of the time."""


class SurvivalCurve(NamedTuple):
    """Share of trials that have not reached the target yet."""

    times: Floats
    """Where it falls, increasing; shape (k,)."""
    share: Floats
    """From that time on."""
    log_log_error: Floats
    """Standard error of log(-log(share)), by Greenwood's formula; NaN where the share is 0."""


class MedianTime(NamedTuple):
    """The time at which half of the trials have reached the target, with its interval; +inf where they never do."""

    estimate: float
    low: float
    high: float


def kaplan_meier(times: ArrayLike, reached: ArrayLike) -> SurvivalCurve:
    """Estimate the share of trials still without the target.

    S(t) is the product over the times u <= t of 1 - d(u) / r(u): d trials reach the target at u, r have been running
    until then. A trial that gave up early but could have gone on counts as running until it stopped; give one that
    never could (it diverged) the time +inf.
    Source: E. L. Kaplan, P. Meier, JASA 53, 457 (1958).

    Parameters
    ----------
    times : array_like of float, shape (n,)
        Cost to the target, or all that was spent without reaching it.
    reached : array_like of bool, shape (n,)

    Returns
    -------
    SurvivalCurve
        Without a step where none reached.

    Raises
    ------
    ValueError
        A time is NaN or the shapes differ.
    """
    spent, hit = without_nan(times), np.asarray(reached, dtype=np.bool_)
    if spent.shape != hit.shape:
        raise ValueError(f"{spent.shape} times, {hit.shape} marks of success")
    events, hits = np.unique(spent[hit], return_counts=True)
    running = (spent[:, None] >= events).sum(axis=0)
    share = np.cumprod(1 - hits / running)
    left = running - hits
    with np.errstate(divide="ignore", invalid="ignore"):
        greenwood = np.cumsum(hits / (running * left))
        error = np.where(left > 0, np.sqrt(greenwood) / np.abs(np.log(share)), math.nan)
    return SurvivalCurve(events, share, error)


def median_time(times: ArrayLike, reached: ArrayLike, confidence: float = 0.95) -> MedianTime:
    """Give the Kaplan-Meier median with its interval.

    Chosen over a restricted mean because it needs no horizon and stands beside the medians of the other columns. Where
    every censored trial outlasted every success, as in a cell with one budget, and for fewer than eight trials, the
    interval is that of ``median_interval``: its lower end as if the censored trials had reached the target when they
    stopped, its upper end as if they never would. Else it holds every time at which log(-log S) is within z standard
    errors of log(log 2).
    Source: R. Brookmeyer, J. Crowley, A confidence interval for the median survival time, Biometrics 38, 29 (1982).

    Parameters
    ----------
    times, reached : array_like, shape (n,)
        As in ``kaplan_meier``.
    confidence : float
        Between 0 and 1.

    Returns
    -------
    MedianTime
        NaN without trials.

    Raises
    ------
    ValueError
        As ``kaplan_meier``.
    """
    spent, hit = without_nan(times), np.asarray(reached, dtype=np.bool_)
    curve = kaplan_meier(spent, hit)
    if not spent.size:
        return MedianTime(math.nan, math.nan, math.nan)
    if spent.size < _FEW or spent[~hit].min(initial=math.inf) >= spent[hit].max(initial=0.0):
        never = np.where(hit, spent, math.inf)
        soonest = spent if spent.size >= SMALLEST_RESAMPLED else never
        low, _ = median_interval(soonest, confidence=confidence, lowest=0.0)
        _, high = median_interval(never, confidence=confidence)
    else:
        low, high = _where_half_is_plausible(curve, confidence)
    return MedianTime(_half_time(curve), low, high)


def _half_time(curve: SurvivalCurve) -> float:
    """Give the first time with at most half left; halfway to the next step where it is just half, as a median is.

    Without a next step, since all others are censored, it is the first time itself.
    """
    below = int(np.searchsorted(-curve.share, -0.5 * (1 + 1e-12), side="left"))
    if below == curve.times.size:
        return math.inf
    if math.isclose(curve.share[below], 0.5, rel_tol=1e-12) and below + 1 < curve.times.size:
        return float(curve.times[below] + curve.times[below + 1]) / 2
    return float(curve.times[below])


def _where_half_is_plausible(curve: SurvivalCurve, confidence: float) -> tuple[float, float]:
    z = normal_quantile(confidence)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = (np.log(-np.log(curve.share)) - math.log(math.log(2))) / curve.log_log_error
    past = (score > z) | (curve.share == 0)
    low = curve.times[past | (score >= -z)].min(initial=curve.times[-1])  # surely later than the last one seen
    high = curve.times[past].min(initial=math.inf)
    return float(low), float(high)

"""Times to the target when not every trial reached it."""

import math
import warnings
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import CensoredData, ecdf

from freewalk.results.statistics.cell import NOTHING, Estimate, Floats, without_nan
from freewalk.results.statistics.intervals import SMALLEST_RESAMPLED, median_interval

_FEW: Final = 8
"""Trials that are too few for normal scores: they would hold the median 80 to 94 % of the time."""


def median_time(times: ArrayLike, reached: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Return the Kaplan-Meier median with its interval.

    Chosen over a restricted mean because it needs no horizon and stands beside the medians of the other columns. Where
    every censored trial outlasted every success, as in a cell with one budget, and for fewer than eight trials, the
    interval is that of ``median_interval``: its lower end as if the censored trials had reached the target when they
    stopped, its upper end as if they never would. Else it holds every time at which one half lies within the log-log
    interval of the share still without the target.
    Sources: E. L. Kaplan, P. Meier, JASA 53, 457 (1958); R. Brookmeyer, J. Crowley, A confidence interval for the
    median survival time, Biometrics 38, 29 (1982).

    Parameters
    ----------
    times : array_like of float, shape (n,)
        Cost to the target, or all that was spent without reaching it. A trial that gave up early but could have gone
        on counts as running until it stopped; give one that never could (it diverged) the time +inf.
    reached : array_like of bool, shape (n,)
    confidence : float
        Between 0 and 1.

    Returns
    -------
    Estimate
        +inf where fewer than half ever reach it, NaN without trials.

    Raises
    ------
    ValueError
        A time is NaN or the shapes differ.
    """
    spent, hit = without_nan(times), np.asarray(reached, dtype=np.bool_)
    if spent.shape != hit.shape:
        raise ValueError(f"{spent.shape} times, {hit.shape} marks of success")
    if not spent.size:
        return NOTHING
    curve = ecdf(CensoredData(spent[hit], right=np.nan_to_num(spent[~hit]))).sf  # scipy wants no inf
    events = np.unique(spent[hit])
    share = curve.evaluate(events)
    if spent.size < _FEW or spent[~hit].min(initial=math.inf) >= spent[hit].max(initial=0.0):
        never = np.where(hit, spent, math.inf)
        soonest = spent if spent.size >= SMALLEST_RESAMPLED else never
        low, _ = median_interval(soonest, confidence=confidence, lowest=0.0)
        _, high = median_interval(never, confidence=confidence)
    else:
        with warnings.catch_warnings(action="ignore"):  # of an interval that is not defined where none is left
            band: Any = curve.confidence_interval(confidence, method="log-log")
        past = (band.high.evaluate(events) < 0.5) | (share == 0)
        reachable = past | (band.low.evaluate(events) <= 0.5)
        low = float(events[reachable].min(initial=events[-1]))  # surely later than the last one seen
        high = float(events[past].min(initial=math.inf))
    return Estimate(_half_time(events, share), low, high)


def _half_time(times: Floats, share: Floats) -> float:
    """Return the first time with at most half left; halfway to the next step where it is just half, as a median is.

    Without a next step, since all others are censored, it is the first time itself.
    """
    below = int(np.searchsorted(-share, -0.5 * (1 + 1e-12), side="left"))
    if below == times.size:
        return math.inf
    if math.isclose(share[below], 0.5, rel_tol=1e-12) and below + 1 < times.size:
        return float(times[below] + times[below + 1]) / 2
    return float(times[below])

"""Statistics over the trials of a cell: pure functions; censored and diverged trials count too.

Their intervals are in `statistics_intervals`, tests in `statistics_ranks`.
"""

import math
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtrit

Floats: TypeAlias = NDArray[np.float64]
Interval: TypeAlias = tuple[float, float]


class Estimate(NamedTuple):
    """A number with its interval; NaN where there is nothing to estimate it from."""

    estimate: float
    low: float
    high: float


NOTHING: Final = Estimate(math.nan, math.nan, math.nan)


def nan_as_worst(values: ArrayLike, worst: float = math.inf) -> Floats:
    """Return a copy in which NaN, the result of a trial that has none, counts as the worst value there is.

    Parameters
    ----------
    values : array_like of float
    worst : float
        +inf for what is minimised (a loss), -inf for what is maximised.
    """
    array = np.array(values, dtype=np.float64)
    array[np.isnan(array)] = worst
    return array


def wilson_interval(successes: float, n: int, confidence: float = 0.95) -> Interval:
    """Return Wilson's score interval of a success rate.

    With p = successes / n and z the normal quantile of the two-sided confidence, the interval is
    (p + z²/2n ± z sqrt(p (1 - p) / n + z²/4n²)) / (1 + z²/n); without continuity correction.
    Source: E. B. Wilson, JASA 22, 209 (1927).

    Parameters
    ----------
    successes : float
        From 0 to n; a half where a comparison was a tie.
    n : int
    confidence : float
        Between 0 and 1.

    Returns
    -------
    low, high : float
        (NaN, NaN) for n = 0.

    Raises
    ------
    ValueError
        The counts or the confidence are out of range.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n} trials")
    if n == 0:
        return math.nan, math.nan
    z = normal_quantile(confidence)
    rate = successes / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    # The ends are exactly 0 and 1 there; rounding would miss them.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return low, high


def tail_probability(confidence: float) -> float:
    """Return the probability beyond each end of a two-sided interval; ValueError outside 0 to 1."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence lies between 0 and 1, not at {confidence}")
    return (1 - confidence) / 2


def normal_quantile(confidence: float) -> float:
    """Return the standard normal quantile of a two-sided confidence: 1.96 for 0.95."""
    return -float(ndtri(tail_probability(confidence)))


def student_quantile(confidence: float, degrees_of_freedom: float) -> float:
    """Return Student's quantile of a two-sided confidence."""
    return float(stdtrit(degrees_of_freedom, 1 - tail_probability(confidence)))


def expected_running_time(costs: ArrayLike, reached: ArrayLike) -> float:
    """Return the expected cost of one success when trials are restarted until one reaches the target.

    ERT = (total cost of all trials) / (number that reached). Source: Hansen, Auger, Ros, Mersmann, Tušar,
    Brockhoff, COCO: a platform for comparing continuous optimizers in a black-box setting,
    Optimization Methods and Software 36, 114 (2021).

    Parameters
    ----------
    costs : array_like of float, shape (n,)
        Cost to the target of a trial that reached it, all it spent of one that did not; in the unit wanted.
    reached : array_like of bool, shape (n,)

    Returns
    -------
    float
        +inf when none reached, NaN without trials or with a NaN cost.

    Raises
    ------
    ValueError
        The shapes differ, or a cost is negative.
    """
    spent = np.asarray(costs, dtype=np.float64)
    success = np.asarray(reached, dtype=np.bool_)
    if spent.shape != success.shape:
        raise ValueError(f"{spent.shape} costs, {success.shape} marks of success")
    if np.any(spent < 0):
        raise ValueError("a cost is negative")
    if spent.size == 0 or np.isnan(spent).any():
        return math.nan
    return float(spent.sum() / success.sum()) if success.any() else math.inf


def quantile(values: ArrayLike, probability: float) -> Any:
    """Return a quantile over the last axis, interpolated linearly between order statistics.

    This is Hyndman and Fan's type 7. Unlike ``numpy.quantile`` it is defined for infinite values: between a
    finite and an infinite one lies the infinite one.

    Parameters
    ----------
    values : array_like of float, shape (..., n)
        No NaN: see ``nan_as_worst``.
    probability : float
        Between 0 and 1.

    Returns
    -------
    float or ndarray, shape (...)
        NaN for n = 0.

    Raises
    ------
    ValueError
        A value is NaN, or the probability is out of range.
    """
    array = without_nan(values)
    if not 0 <= probability <= 1:
        raise ValueError(f"a probability lies between 0 and 1, not at {probability}")
    n = array.shape[-1]
    if n == 0:
        return np.full(array.shape[:-1], math.nan)[()]
    place = probability * (n - 1)
    below = math.floor(place)
    above, weight = min(below + 1, n - 1), place - below
    ordered = np.sort(array, axis=-1)
    low, high = ordered[..., below], ordered[..., above]
    if weight == 0:
        return low[()]
    with np.errstate(invalid="ignore"):  # halfway between -inf and +inf there is nothing
        between = low * (1 - weight) + high * weight
    return np.clip(between, low, high)[()]  # rounding must not leave the gap


def median(values: ArrayLike) -> Any:
    """Return the median over the last axis; infinite values as in ``quantile``."""
    return quantile(values, 0.5)


def quartiles(values: ArrayLike) -> tuple[Any, Any]:
    """Return the lower and the upper quartile over the last axis; infinite values as in ``quantile``."""
    return quantile(values, 0.25), quantile(values, 0.75)


def interquartile_mean(values: ArrayLike) -> Any:
    """Return the mean over the last axis without its lowest and highest quarter.

    floor(n/4) values are cut at each end, as scipy's ``trim_mean(values, 0.25)`` does. Source: Agarwal,
    Schwarzer, Castro, Courville, Bellemare, Deep reinforcement learning at the edge of the statistical
    precipice, NeurIPS 2021.

    Parameters
    ----------
    values : array_like of float, shape (..., n)
        No NaN: see ``nan_as_worst``. An infinite value that is not cut makes the mean infinite.

    Returns
    -------
    float or ndarray, shape (...)
        NaN for n = 0.

    Raises
    ------
    ValueError
        A value is NaN.
    """
    array = without_nan(values)
    n = array.shape[-1]
    if n == 0:
        return np.full(array.shape[:-1], math.nan)[()]
    cut = n // 4
    with np.errstate(invalid="ignore", over="ignore"):  # +inf and -inf together have no mean
        return np.sort(array, axis=-1)[..., cut : n - cut].mean(axis=-1)


def without_nan(values: ArrayLike) -> Floats:
    """Return the values as an array; ValueError where one is NaN."""
    array = np.asarray(values, dtype=np.float64)
    if np.isnan(array).any():
        raise ValueError("a value is NaN: say with nan_as_worst how it counts")
    return array

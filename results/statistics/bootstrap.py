"""Resampling within strata, with tails that keep their promise for few trials."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from freewalk.results.statistics.cell import Floats, Interval, quantile, student_quantile, without_nan

Statistic: TypeAlias = Callable[[Floats], Any]
Rows: TypeAlias = NDArray[np.int32]

N_RESAMPLES: Final = 2000
_AT_ONCE: Final = 100_000
"""Values resampled at once, so that memory hardly grows with the number of trials."""


def bootstrap_interval(
    values: ArrayLike,
    statistic: Statistic,
    *,
    strata: ArrayLike | None = None,
    confidence: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Return the expanded percentile interval of a statistic; the same arguments give the same interval.

    The plain percentile interval is too narrow for few values. Here the tail of the resampled statistic is cut
    where a normal variable passes Student's quantile, at ndtr(-t(n - 1)) instead of (1 - confidence) / 2. Within
    strata of m values on average, resampling also loses a share 1 / m of the variance, so there the quantile is
    multiplied by sqrt(m / (m - 1)). Both ends lie among the resampled statistics: a mean of non-negative values
    never gets a negative end.
    Sources: T. C. Hesterberg, What teachers should know about the bootstrap, The American Statistician 69, 371
    (2015); strata: Agarwal et al., NeurIPS 2021 (rliable). tests/results/statistics/test_results_coverage.py measures
    what is covered.

    Parameters
    ----------
    values : array_like of float, shape (n,)
        No NaN: see ``nan_as_worst``. Infinite values take part as they are.
    statistic : callable
        From (n_resamples, n) to (n_resamples,): works over the last axis, gives no NaN.
    strata : array_like, shape (n,), optional
        The stratum of each value, a task say: every resample has as many values of each as the sample.
    confidence : float
        Between 0 and 1.
    n_resamples : int
        At least 1; memory is 4 n n_resamples bytes.
    seed : int
        Of the resampling.

    Returns
    -------
    low, high : float
        (NaN, NaN) where no stratum has two values.

    Raises
    ------
    ValueError
        A value is NaN, the shapes differ, or an argument is out of range.
    """
    array = without_nan(values)
    labels = np.zeros(array.shape, np.intp) if strata is None else np.unique(np.asarray(strata), return_inverse=True)[1]
    if n_resamples < 1 or array.ndim != 1 or labels.shape != array.shape:
        raise ValueError("the bootstrap needs one axis of values, a stratum for each, and at least one resample")
    tail = _tail(np.bincount(labels), confidence)
    if np.isnan(tail):
        return np.nan, np.nan
    order = np.argsort(labels, kind="stable")
    rows = _resampled(tuple(np.bincount(labels).tolist()), n_resamples, seed)
    ordered = array[order]
    resampled = np.sort(np.concatenate([statistic(ordered[rows[block]]) for block in _blocks(*rows.shape)]))
    return float(quantile(resampled, tail)), float(quantile(resampled, 1 - tail))


def _tail(sizes: NDArray[np.intp], confidence: float) -> float:
    freedom = int(sizes.sum() - len(sizes))
    quantile = student_quantile(confidence, max(1, freedom))
    if freedom == 0:
        return np.nan
    if len(sizes) > 1:
        quantile *= np.sqrt(sizes.sum() / freedom)
    return float(ndtr(-quantile))


def _blocks(n_resamples: int, n: int) -> list[slice]:
    length = max(1, _AT_ONCE // n)
    return [slice(first, min(first + length, n_resamples)) for first in range(0, n_resamples, length)]


@lru_cache(maxsize=4)  # the cells of a sweep have equal sizes, and the draws are most of the time
def _resampled(sizes: tuple[int, ...], n_resamples: int, seed: int) -> Rows:
    """Return rows of indices into values that are sorted by stratum, shape (n_resamples, n)."""
    generator = np.random.default_rng(seed)
    rows = np.empty((n_resamples, sum(sizes)), np.int32)
    start = 0
    for size in sizes:
        for block in _blocks(n_resamples, size):
            rows[block, start : start + size] = start + generator.integers(size, size=(block.stop - block.start, size))
        start += size
    rows.setflags(write=False)
    return rows

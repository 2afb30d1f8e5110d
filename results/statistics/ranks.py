"""Rank tests of two samples of costs, exact for few trials, and the correction for many tests."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr
from scipy.stats import rankdata

from freewalk.results.statistics.cell import Floats, without_nan

SIGNIFICANT: Final = 0.05
EXACT_UP_TO: Final = 40
"""Values in total; beyond, a normal variable is off by less than 0.001 where it matters."""

MANN_WHITNEY: Final = "Mann-Whitney"
SIGNED_RANK: Final = "Wilcoxon signed-rank"


@dataclass(frozen=True, slots=True)
class RankTest:
    """What a two-sided test of two samples says."""

    name: str
    """Which test: MANN_WHITNEY or SIGNED_RANK."""
    p_value: float
    """Probability of a difference at least as large where there is none; 1 where the test has nothing to count."""
    p_larger: float = 1.0
    """The same of one side: of values of the second sample that are so much larger where they are not."""

    direction: int = 0
    """1 where the second sample tends to be larger, -1 where smaller, 0 where neither."""


def mann_whitney(a: ArrayLike, b: ArrayLike) -> RankTest:
    """Test whether values of one sample tend to be larger than those of another, unpaired one.

    Exact given the ties (all orders of the pooled values are equally likely) up to 40 values in total; beyond, normal
    with the variance corrected for ties, and for continuity.
    Source: H. B. Mann, D. R. Whitney, Annals of Mathematical Statistics 18, 50 (1947).

    Parameters
    ----------
    a, b : array_like of float, shape (n_a,) and (n_b,)
        No NaN. Censored costs are +inf: they tie with each other and are worse than any other.

    Returns
    -------
    RankTest
        p = 1 where a sample is empty.

    Raises
    ------
    ValueError
        A value is NaN.
    """
    first, second = without_nan(a), without_nan(b)
    n, n_all = first.size, first.size + second.size
    if not n or n == n_all:
        return RankTest(MANN_WHITNEY, 1.0)
    ranks = rankdata(np.concatenate([first, second]))
    observed, centre = float(ranks[:n].sum()), n * (n_all + 1) / 2
    if n_all <= EXACT_UP_TO:
        counts = rank_sums(tuple(np.rint(2 * ranks).astype(int).tolist()), n)
        return RankTest(MANN_WHITNEY, *_tails(counts, 2 * observed, 2 * centre, larger=False), _sign(centre - observed))
    _, ties = np.unique(ranks, return_counts=True)
    tied = float((ties.astype(np.float64) ** 3 - ties).sum()) / (n_all * (n_all - 1))
    variance = n * (n_all - n) / 12 * (n_all + 1 - tied)
    return RankTest(MANN_WHITNEY, *_normal_tails(centre - observed, variance), _sign(centre - observed))


@lru_cache(maxsize=64)  # untied samples of equal sizes share their distribution
def rank_sums(doubled: tuple[int, ...], n: int) -> Floats:
    """Count the ways to draw n of the doubled ranks, by their sum; shape (largest sum + 1,)."""
    highest = sum(sorted(doubled)[-n:])
    ways = np.zeros((n + 1, highest + 1))
    ways[0, 0] = 1
    for rank in doubled:
        ways[1:, rank:] += ways[:-1, : highest + 1 - rank].copy()
    return np.asarray(ways[n])


def signed_rank(a: ArrayLike, b: ArrayLike) -> RankTest:
    """Test whether the differences of paired values, b - a, lean to one side.

    Pairs without a difference are left out (Wilcoxon's rule). Exact given the ties up to 40 pairs; beyond, normal with
    the variance of the tied ranks, and corrected for continuity. A difference to a censored value (+inf) is the
    largest there is; two censored values do not differ.
    Source: F. Wilcoxon, Biometrics Bulletin 1, 80 (1945).

    Parameters
    ----------
    a, b : array_like of float, shape (n,)
        No NaN. Costs are best given as logarithms: the size of a difference counts.

    Returns
    -------
    RankTest
        p = 1 where no pair differs.

    Raises
    ------
    ValueError
        A value is NaN, or the shapes differ.
    """
    first, second = without_nan(a), without_nan(b)
    if first.shape != second.shape:
        raise ValueError(f"pairs need as many values on both sides, not {first.size} and {second.size}")
    different = first != second
    change = second[different] - first[different]
    if not change.size:
        return RankTest(SIGNED_RANK, 1.0)
    ranks = rankdata(np.abs(change))
    observed, centre = float(ranks[change > 0].sum()), float(ranks.sum()) / 2
    if change.size <= EXACT_UP_TO:
        counts = signed_sums(tuple(np.rint(2 * ranks).astype(int).tolist()))
        return RankTest(SIGNED_RANK, *_tails(counts, 2 * observed, 2 * centre, larger=True), _sign(observed - centre))
    variance = float((ranks**2).sum()) / 4
    return RankTest(SIGNED_RANK, *_normal_tails(observed - centre, variance), _sign(observed - centre))


@lru_cache(maxsize=64)
def signed_sums(doubled: tuple[int, ...]) -> Floats:
    """Count the choices of any of the doubled ranks, by their sum."""
    ways = np.zeros(sum(doubled) + 1)
    ways[0] = 1
    for rank in doubled:
        ways[rank:] += ways[: ways.size - rank].copy()
    return ways


def _tails(counts: Floats, observed: float, centre: float, *, larger: bool) -> tuple[float, float]:
    """Return the probability of both tails, and of the one to which large (or small) sums belong."""
    sums = np.arange(counts.size)
    both = np.abs(sums - centre) >= abs(observed - centre) - 1e-6
    one = sums >= observed - 1e-6 if larger else sums <= observed + 1e-6
    return tuple(min(1.0, float(counts[tail].sum() / counts.sum())) for tail in (both, one))  # type: ignore[return-value]


def _sign(difference: float) -> int:
    return int(difference > 0) - int(difference < 0)


def _normal_tails(distance: float, variance: float) -> tuple[float, float]:
    """Return both tails beyond a distance from the centre, and the upper one, corrected for continuity."""
    if variance <= 0:
        return 1.0, 1.0
    two = 1.0 if abs(distance) <= 0.5 else float(2 * ndtr((0.5 - abs(distance)) / math.sqrt(variance)))
    return two, float(ndtr((0.5 - distance) / math.sqrt(variance)))


def smallest_p(name: str, n_a: int, n_b: int) -> float:
    """Return the smallest p that a test of so many untied values can give; 1 where it cannot tell anything.

    Parameters
    ----------
    name : str
        MANN_WHITNEY or SIGNED_RANK.
    n_a, n_b : int
        Values of both samples; the number of pairs twice for SIGNED_RANK.
    """
    if name == SIGNED_RANK:
        return min(1.0, 2.0 ** (1 - n_a))
    return min(1.0, 2 / math.comb(n_a + n_b, n_a))


def better_suited(n_pairs: int, n_a: int, n_b: int, n_tests: int) -> str:
    """Choose the test of two cells from their sizes alone, before any value is looked at.

    Trials with the same seed share their noise, and pairs take it out of the comparison. But of few pairs the signed
    ranks cannot be significant, still less after a correction for many tests; then the samples are taken as unpaired,
    which with shared noise (pairs that vary together) only errs on the safe side.

    Parameters
    ----------
    n_pairs, n_a, n_b : int
        Pairs, and values of both samples.
    n_tests : int
        How many tests the p-value will be corrected for.

    Returns
    -------
    str
        SIGNED_RANK where every value has a partner and so many pairs can be significant, else MANN_WHITNEY.
    """
    paired = n_pairs == n_a == n_b and smallest_p(SIGNED_RANK, n_pairs, n_pairs) * n_tests <= SIGNIFICANT
    return SIGNED_RANK if paired else MANN_WHITNEY


def holm(p_values: ArrayLike) -> Floats:
    """Correct p-values of several tests so that a false one among all is as rare as the p-value says.

    In increasing order the i-th of m is multiplied by m - i + 1, at most 1 and never below an earlier one.
    Source: S. Holm, Scandinavian Journal of Statistics 6, 65 (1979).

    Parameters
    ----------
    p_values : array_like of float, shape (m,)
        NaN for a test that was not made: it does not count and stays NaN.

    Returns
    -------
    ndarray of float64, shape (m,)

    Raises
    ------
    ValueError
        A p-value lies outside 0 to 1.
    """
    given = np.asarray(p_values, dtype=np.float64)
    made: NDArray[np.bool_] = ~np.isnan(given)
    if np.any((given[made] < 0) | (given[made] > 1)):
        raise ValueError("p-values lie between 0 and 1")
    adjusted = given.copy()
    order = np.argsort(given[made], kind="stable")
    steps = np.minimum(1.0, np.maximum.accumulate(given[made][order] * np.arange(order.size, 0, -1)))
    corrected = np.empty_like(steps)
    corrected[order] = steps
    adjusted[made] = corrected
    return adjusted

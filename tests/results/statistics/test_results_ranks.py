"""Rank tests and effect sizes against scipy, every permutation, and rliable's numbers."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from freewalk.results.statistics.effect import paired_superiority, superiority
from freewalk.results.statistics.ranks import (
    MANN_WHITNEY,
    SIGNED_RANK,
    better_suited,
    holm,
    mann_whitney,
    signed_rank,
    smallest_p,
)

few = st.lists(st.one_of(st.integers(0, 5).map(float), st.just(math.inf)), min_size=1, max_size=5)


def test_untied_samples_agree_with_scipy() -> None:
    rng = np.random.default_rng(0)
    for n_a, n_b in [(1, 1), (2, 3), (4, 4), (7, 12), (20, 20), (1, 15)]:
        a, b = rng.normal(size=n_a), rng.normal(0.5, size=n_b)
        assert mann_whitney(a, b).p_value == pytest.approx(stats.mannwhitneyu(a, b, method="exact").pvalue)
    for n in (1, 2, 5, 12, 40):
        a, b = rng.normal(size=n), rng.normal(0.3, size=n)
        assert signed_rank(a, b).p_value == pytest.approx(stats.wilcoxon(a, b, method="exact").pvalue)


def test_many_values_agree_with_scipys_normal_approximation() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 20, 60).astype(float), rng.integers(3, 23, 50).astype(float)  # with ties
    assert mann_whitney(a, b).p_value == pytest.approx(stats.mannwhitneyu(a, b, method="asymptotic").pvalue)
    a, b = rng.integers(0, 20, 60).astype(float), rng.integers(3, 23, 60).astype(float)
    change = (b - a)[a != b]  # scipy calls the method by other names from version to version, so by formula
    ranks = stats.rankdata(np.abs(change))
    off = abs(ranks[change > 0].sum() - ranks.sum() / 2) - 0.5
    assert signed_rank(a, b).p_value == pytest.approx(2 * stats.norm.sf(off / math.sqrt((ranks**2).sum() / 4)))


@settings(deadline=None)
@given(few, few)
def test_tied_and_censored_samples_agree_with_every_permutation(a: list[float], b: list[float]) -> None:
    ranks = stats.rankdata([*a, *b])
    centre = len(a) * (len(ranks) + 1) / 2
    observed = abs(ranks[: len(a)].sum() - centre)
    sums = [abs(sum(chosen) - centre) for chosen in itertools.combinations(ranks, len(a))]
    assert mann_whitney(a, b).p_value == pytest.approx(np.mean([s >= observed - 1e-9 for s in sums]))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=7))
def test_tied_pairs_agree_with_every_choice_of_signs(pairs: list[tuple[int, int]]) -> None:
    a, b = np.array(pairs, dtype=float).T
    change = (b - a)[b != a]
    if not change.size:
        assert signed_rank(a, b).p_value == 1.0
        return
    ranks = stats.rankdata(np.abs(change))
    observed = abs((ranks * np.sign(change)).sum())
    sums = [abs((ranks * signs).sum()) for signs in itertools.product([-1, 1], repeat=len(ranks))]
    assert signed_rank(a, b).p_value == pytest.approx(np.mean([s >= observed - 1e-9 for s in sums]))


def test_censored_values_are_the_worst_and_equal() -> None:
    assert mann_whitney([1.0, 2.0, 3.0, 4.0], [math.inf] * 4).p_value == pytest.approx(2 / 70)
    assert mann_whitney([math.inf] * 4, [math.inf] * 4).p_value == 1.0
    assert signed_rank([math.inf, 1.0], [math.inf, 2.0]).p_value == 1.0  # one pair that differs cannot tell
    assert signed_rank([1.0] * 6, [math.inf] * 6).p_value == pytest.approx(2 / 64)
    assert mann_whitney([], [1.0]).p_value == 1.0


def test_nan_and_ragged_pairs_are_refused() -> None:
    for test in (mann_whitney, signed_rank, superiority, paired_superiority):
        with pytest.raises(ValueError, match="NaN"):
            test([math.nan], [1.0])
    for test in (signed_rank, paired_superiority):
        with pytest.raises(ValueError, match="2 and 1"):
            test([1.0, 2.0], [1.0])


@given(st.integers(1, 9), st.integers(1, 9))
def test_smallest_p_is_that_of_complete_separation(n_a: int, n_b: int) -> None:
    apart = np.arange(n_a), 100.0 + np.arange(n_b)
    assert smallest_p(MANN_WHITNEY, n_a, n_b) == pytest.approx(mann_whitney(*apart).p_value)
    assert smallest_p(SIGNED_RANK, n_a, n_a) == pytest.approx(signed_rank(np.zeros(n_a), 1.0 + np.arange(n_a)).p_value)


def test_the_test_is_chosen_by_sizes_alone() -> None:
    assert better_suited(6, 6, 6, 1) == SIGNED_RANK  # 2^-5 = 0.031
    assert better_suited(5, 5, 5, 1) == MANN_WHITNEY  # 2^-4 = 0.0625
    assert better_suited(6, 6, 6, 2) == MANN_WHITNEY
    assert better_suited(7, 7, 7, 2) == SIGNED_RANK
    assert better_suited(6, 6, 8, 1) == MANN_WHITNEY  # not everybody has a partner
    assert better_suited(0, 20, 20, 1) == MANN_WHITNEY


def test_holm_by_hand_and_as_statsmodels_has_it() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.025, 0.5])
    corrected = holm([0.01, math.nan, 0.04])
    assert corrected[[0, 2]] == pytest.approx([0.02, 0.04])
    assert math.isnan(corrected[1])
    assert holm([]).shape == (0,)
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([1.5])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_lies_between_nothing_and_bonferroni(p_values: list[float]) -> None:
    corrected, given_ = holm(p_values), np.array(p_values)
    assert np.all(given_ <= corrected)
    assert np.all(corrected <= np.minimum(1, given_ * len(p_values)) + 1e-15)
    order = np.argsort(given_, kind="stable")
    assert np.all(np.diff(corrected[order]) >= 0)


def test_superiority_is_mann_and_whitneys_count() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 6, 9).astype(float), rng.integers(2, 8, 7).astype(float)
    count = stats.mannwhitneyu(b, a).statistic  # of pairs where b is larger, ties half
    assert superiority(a, b).estimate == pytest.approx(count / 63)
    there, back = superiority(a, b), superiority(b, a)
    assert tuple(back) == pytest.approx((1 - there.estimate, 1 - there.high, 1 - there.low))


def test_superiority_over_tasks_is_rliables_probability_of_improvement() -> None:
    x = np.reshape(X, (10, 4))
    y = np.reshape(Y, (10, 4))
    found = np.mean([superiority(y[:, task], x[:, task]).estimate for task in range(4)])
    assert found == pytest.approx(0.39875)


def test_score_ends_solve_newcombes_equation() -> None:
    a, b = np.arange(6.0), np.arange(5.0) + 2.5
    found = superiority(a, b)
    for end in found[1:]:
        n = (6 + 5) / 2 - 1
        variance = end * (1 - end) * (1 + n * ((1 - end) / (2 - end) + end / (1 + end))) / 30
        assert abs(found.estimate - end) == pytest.approx(1.959964 * math.sqrt(variance), rel=1e-6)
    assert found.low < found.estimate < found.high


def test_superiority_at_the_edges() -> None:
    apart = superiority([1.0, 2.0, 3.0], [math.inf] * 3)
    assert (apart.estimate, apart.high) == (1, 1)
    assert 0.3 < apart.low < 0.9
    assert superiority([math.inf] * 3, [math.inf] * 3).estimate == 0.5
    many = superiority(np.arange(30.0), 100 + np.arange(30.0))
    assert (many.estimate, many.high) == (1, 1)
    assert 0.8 < many.low < 1
    assert np.isnan(superiority([], [1.0])).all()
    assert np.isnan(paired_superiority([], [])).all()


def test_both_kinds_of_interval_agree_where_they_meet() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=20), rng.normal(0.5, size=20)
    large = superiority(a, b)
    small = superiority(a[:19], b[:19])
    assert large.high - large.low == pytest.approx(small.high - small.low, rel=0.15)


def test_share_of_pairs() -> None:
    share = paired_superiority([1.0, 2.0, 3.0, 4.0], [2.0, 2.0, 4.0, 1.0])
    assert share.estimate == pytest.approx(2.5 / 4)
    whole = paired_superiority([1.0] * 4, [2.0] * 4)
    interval = stats.binomtest(4, 4).proportion_ci(method="wilson")
    assert tuple(whole) == pytest.approx((1, interval.low, interval.high))


# The runs of test_results_intervals, and others 1.3 times as large; task by task in a row's four columns.
X = [
    *(3.162, 1.337, 1.146, 1.746, 1.109, 2.382, 1.806, 1.629, 0.464, 0.24, 0.507, 1.877, 1.605, 0.369, 1.863, 0.825),
    *(0.826, 3.089, 1.527, 1.75, 1.767, 0.361, 1.826, 5.813, 0.548, 2.528, 2.713, 2.685, 0.938, 1.137, 0.556, 1.426),
    *(3.625, 0.837, 0.191, 1.544, 2.725, 1.235, 4.509, 1.305),
]
Y = [
    *(1.97, 0.361, 1.504, 3.458, 3.493, 4.456, 3.301, 2.802, 0.231, 0.98, 8.539, 1.279, 3.104, 1.839, 3.162, 2.036),
    *(0.835, 1.022, 2.507, 1.318, 0.246, 2.834, 3.921, 3.701, 3.755, 0.476, 5.599, 1.739, 0.908, 1.377, 1.089, 0.652),
    *(1.918, 2.189, 1.663, 2.18, 1.701, 1.075, 1.224, 2.784),
]


@pytest.mark.parametrize(("n", "method", "off"), [(5, "exact", 1e-12), (12, "exact", 1e-12), (45, "asymptotic", 1e-3)])
def test_one_side_is_that_of_larger_second_values(n: int, method: str, off: float) -> None:
    rng = np.random.default_rng(n)
    for shift in (-0.4, 0.0, 0.6):
        a, b = rng.normal(size=n), rng.normal(size=n) + shift
        theirs = stats.mannwhitneyu(b, a, alternative="greater", method=method).pvalue
        assert mann_whitney(a, b).p_larger == pytest.approx(theirs, abs=off)
        options: dict[str, Any] = {"alternative": "greater", "correction": True}
        try:
            pairs = stats.wilcoxon(b, a, method=method, **options)
        except ValueError:  # an older SciPy has another name for it
            pairs = stats.wilcoxon(b, a, method="approx", **options)
        assert signed_rank(a, b).p_larger == pytest.approx(pairs.pvalue, abs=off)


def test_direction() -> None:
    low, high = [1.0, 2, 3, 4, 5, 6], [11.0, 12, 13, 14, 15, 16]
    for test in (mann_whitney, signed_rank):
        assert (test(low, high).direction, test(high, low).direction, test(low, low).direction) == (1, -1, 0)
        assert test(low, high).p_larger == pytest.approx(test(low, high).p_value / 2)
        assert test(high, low).p_larger == pytest.approx(1)
    assert mann_whitney([1.0], []).direction == 0


def test_the_direction_is_that_of_the_samples_also_where_ties_make_one_tail_empty() -> None:
    """Ties can leave no outcome as far off on the other side: then both p-values are one number."""
    costs = [19536.0, 27312, 19536, 24816, 23664, 23664, 23664, 20496, 23664, 22560]
    dear = [849665.0, 892117, 809289, 809289, 849665, 809289, 809289]
    found, back = mann_whitney(costs, dear), mann_whitney(dear, costs)
    assert found.p_value == found.p_larger
    assert (found.direction, back.direction) == (1, -1)
    assert mann_whitney([1.0, 1], [1.0, 1]).direction == 0


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.lists(st.integers(0, 4), min_size=1, max_size=12))
def test_directions_are_opposite_and_follow_the_share_of_wins(a: list[int], b: list[int]) -> None:
    wins = sum((x < y) - (x > y) for x in a for y in b)
    first, second = (np.array(values, float) for values in (a, b))
    assert mann_whitney(first, second).direction == (wins > 0) - (wins < 0)
    assert mann_whitney(second, first).direction == -mann_whitney(first, second).direction
    n = min(len(a), len(b))
    pairs = signed_rank(first[:n], second[:n]), signed_rank(second[:n], first[:n])
    assert pairs[0].direction == -pairs[1].direction
    assert (pairs[0].p_value, pairs[0].direction) == (pairs[1].p_value, -pairs[1].direction)

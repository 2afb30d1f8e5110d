"""Intervals against other derivations: scipy, rliable's numbers, and what must hold at the edges."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from freewalk.results.statistics.bootstrap import bootstrap_interval
from freewalk.results.statistics.cell import expected_running_time, interquartile_mean, median
from freewalk.results.statistics.intervals import (
    iqm_interval,
    median_interval,
    mid_p_interval,
    rate_difference_interval,
    running_time_interval,
)
from freewalk.results.statistics.ratio import UNKNOWN, pair_ratio, running_time_ratio, shift_ratio

values = st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(math.inf)), min_size=5, max_size=40)

# Ten runs on four tasks, and what rliable 1.2.0 makes of them (with pandas 2: it cannot be imported beside pandas 3).
RUNS = [
    *([3.162, 1.337, 1.146, 1.746], [1.109, 2.382, 1.806, 1.629], [0.464, 0.24, 0.507, 1.877]),
    *([1.605, 0.369, 1.863, 0.825], [0.826, 3.089, 1.527, 1.75], [1.767, 0.361, 1.826, 5.813]),
    *([0.548, 2.528, 2.713, 2.685], [0.938, 1.137, 0.556, 1.426], [3.625, 0.837, 0.191, 1.544]),
    [2.725, 1.235, 4.509, 1.305],
]
RLIABLE_IQM = 1.4705
RLIABLE_INTERVAL = (1.19665, 1.85185)


def test_interquartile_mean_over_tasks_is_that_of_rliable() -> None:
    assert interquartile_mean(np.ravel(RUNS)) == pytest.approx(RLIABLE_IQM, abs=1e-12)


def test_stratified_bootstrap_with_plain_tails_is_that_of_rliable() -> None:
    # 40 values in 4 strata: their quantile is Student's with 36 degrees of freedom times sqrt(40 / 36). With this
    # confidence the tail is 2.5 %, which is what rliable takes.
    confidence = 1 - 2 * float(stats.t.sf(1.959964 / math.sqrt(40 / 36), 36))
    tasks = np.tile(np.arange(4), 10)
    ends = bootstrap_interval(
        np.ravel(RUNS), interquartile_mean, strata=tasks, confidence=confidence, n_resamples=20_000
    )
    assert ends == pytest.approx(RLIABLE_INTERVAL, abs=0.02)
    wider = bootstrap_interval(np.ravel(RUNS), interquartile_mean, strata=tasks, n_resamples=20_000)
    assert 1.05 < (wider[1] - wider[0]) / (ends[1] - ends[0]) < 1.15


def test_strata_are_resampled_each_in_itself() -> None:
    # Two strata far apart: every resample has two of each, so that the mean stays near the middle.
    low, high = bootstrap_interval([0.0, 1.0, 100.0, 101.0], lambda v: v.mean(axis=-1), strata=["a", "a", "b", "b"])
    assert (low, high) == pytest.approx((50.0, 51.0), abs=0.5)
    mixed = bootstrap_interval([0.0, 100.0, 1.0, 101.0], lambda v: v.mean(axis=-1), strata=["a", "b", "a", "b"])
    assert mixed == (low, high)


def test_plain_tails_would_be_narrower() -> None:
    sample = np.random.default_rng(0).normal(size=6)
    rows = sample[np.random.default_rng(0).integers(6, size=(2000, 6))]
    plain = np.quantile(interquartile_mean(rows), [0.025, 0.975])
    low, high = iqm_interval(sample)
    assert low < plain[0]
    assert plain[1] < high


def test_interval_of_few_values_is_a_tenth_wider_than_students() -> None:
    for sample in ([1.0, 2.0], [1.0, 2.0, 4.0], [1.0, 2.0, 4.0, 8.0]):
        mean = stats.t.interval(0.95, len(sample) - 1, loc=np.mean(sample), scale=stats.sem(sample))
        for ends in (iqm_interval(sample), median_interval(sample)):
            assert ends[1] - ends[0] == pytest.approx(1.1 * (mean[1] - mean[0]))
        assert np.mean(median_interval(sample)) == pytest.approx(median(sample))
        assert np.mean(iqm_interval(sample)) == pytest.approx(interquartile_mean(sample))


def test_edges() -> None:
    for interval in (iqm_interval, median_interval):
        assert np.isnan(interval([])).all()
        assert np.isnan(interval([3.0])).all()
        assert interval([1.0, 2.0, math.inf], lowest=0.0) == (0.0, math.inf)
        assert interval([1.0, 2.0, 3.0], lowest=1.5)[0] == 1.5
        assert interval([2.0] * 7) == (2.0, 2.0)


@given(values, st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_median_interval_is_between_the_two_exact_ones(sample: list[float], confidence: float) -> None:
    low, high = median_interval(sample, confidence=confidence)
    ordered, n = np.sort(sample), len(sample)
    # Independent of the code: how sure the k-th lowest and highest value are, from the binomial distribution.
    sure = [stats.binom.cdf(n - k, n, 0.5) - stats.binom.cdf(k - 1, n, 0.5) for k in range(1, n // 2 + 1)]
    outer = max([k for k, p in enumerate(sure, 1) if p >= confidence], default=1)
    inner = min(outer + 1, n - outer)
    assert ordered[outer - 1] <= low <= max(ordered[inner - 1], ordered[outer - 1])
    assert ordered[n - outer] >= high >= min(ordered[n - inner], ordered[n - outer])
    assert low <= median(sample) <= high


def test_median_interval_by_hand() -> None:
    # Six values: the range holds the median with 1 - 2/64, the inner four with 1 - 14/64. From 0.96875 to 0.95 of
    # 0.1875 is a tenth; (6 - 1) 0.1 / (1 + (6 - 2) 0.1) = 0.357 of the way inwards (Hettmansperger, Sheather).
    weight = 5 * 0.1 / 1.4
    assert median_interval([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx((weight, 5 - weight))
    assert median_interval([0.0, 1.0, 2.0, 3.0, 4.0]) == (0.0, 4.0)
    assert median_interval([0.0, 1.0, 2.0, 3.0, 4.0, math.inf]) == pytest.approx((weight, math.inf))


trials = st.lists(st.tuples(st.floats(1, 1e6), st.booleans()), min_size=1, max_size=20)


@given(trials)
def test_running_time_interval_holds_the_estimate(sample: list[tuple[float, bool]]) -> None:
    costs, reached = (np.array(column) for column in zip(*sample, strict=True))
    low, high = running_time_interval(costs, reached)
    assert 0 <= low <= expected_running_time(costs, reached) <= high
    assert math.isinf(high) is not reached.any()
    scaled = running_time_interval(1000 * costs, reached)
    assert scaled == pytest.approx((1000 * low, 1000 * high))


def test_running_time_interval_at_the_edges() -> None:
    assert np.isnan(running_time_interval([], [])).all()
    assert np.isnan(running_time_interval([math.nan], [True])).all()
    # Nobody reached it: at the rate at which half of nobody is as rare as the tail, each failure at its cost.
    low_odds = 1 / (1 - 0.05 ** (1 / 8)) - 1
    assert running_time_interval([100.0] * 8, [False] * 8) == pytest.approx((100 * low_odds, math.inf))
    # Everybody did, at one cost: only failures that were not seen are uncertain, each at the budget.
    odds = 1 / 0.05 ** (1 / 8) - 1
    assert running_time_interval([100.0] * 8, [True] * 8) == pytest.approx((100, 100 + 100 * odds))
    assert running_time_interval([100.0] * 8, [True] * 8, budget=3000) == pytest.approx((100, 100 + 3000 * odds))
    assert running_time_interval([0.0] * 8, [True] * 8) == (0, 0)


def test_the_budget_prices_what_was_not_seen() -> None:
    costs, everyone = np.array([100.0, 200.0, 150.0]), np.ones(3, bool)
    low, high = running_time_interval(costs, everyone)
    assert running_time_interval(costs, everyone, budget=5000) > (low, high)
    # A failure that was seen tells the budget where nobody else does, and is not dearer than that.
    seen, reached = np.array([100.0, 200.0, 150.0, 1000.0]), np.array([True, True, True, False])
    assert running_time_interval(seen, reached) == running_time_interval(seen, reached, budget=1000)
    assert running_time_interval(seen, reached, budget=5000)[1] > running_time_interval(seen, reached)[1]


def test_an_interval_of_three_does_not_begin_at_zero() -> None:
    # What Student's interval of three costs says on a linear scale is "from -2,100", or 0.
    low, high = running_time_interval([3200.0, 6400.0, 12800.0], [True] * 3, budget=20_000)
    assert 1000 < low < 3200
    assert 20_000 < high < 20_000 * 3
    low, _ = running_time_interval([3200.0], [True], budget=20_000)
    assert low == pytest.approx(3200 / -math.log(0.025))


@given(st.integers(1, 60), st.data())
def test_mid_p_interval_is_where_half_of_what_was_seen_and_the_tail_are_rare(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    low, high = mid_p_interval(k, n)
    for rate, tail in ((low, stats.binom.sf(k, n, low)), (high, stats.binom.cdf(k - 1, n, high))):
        if 0 < rate < 1:
            assert tail + stats.binom.pmf(k, n, rate) / 2 == pytest.approx(0.025, abs=1e-9)
    assert (low == 0, high == 1) == (k == 0, k == n)
    assert mid_p_interval(n - k, n) == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_difference_of_rates_as_newcombe_has_it() -> None:
    # His table II, method 10: 56/70 against 48/80, 9/10 against 3/10, 10/10 against 0/10.
    for a, b, ends in (((56, 70), (48, 80), (0.0524, 0.3339)), ((9, 10), (3, 10), (0.1705, 0.8090))):
        assert rate_difference_interval(*b, *a) == pytest.approx(ends, abs=1e-4)
    assert rate_difference_interval(0, 10, 10, 10) == pytest.approx((0.6075, 1), abs=1e-4)
    assert rate_difference_interval(0, 0, 3, 3) == (-1, 1)


def test_ratio_of_running_times() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.lognormal(size=20), rng.lognormal(size=20)
    everyone, nobody = np.ones(20, bool), np.zeros(20, bool)
    there, back = running_time_ratio(a, everyone, b, everyone), running_time_ratio(b, everyone, a, everyone)
    assert there.estimate == pytest.approx(b.mean() / a.mean())
    assert tuple(back) == pytest.approx((1 / there.estimate, 1 / there.high, 1 / there.low))
    assert there.low < there.estimate < there.high
    assert running_time_ratio(a, everyone, a, everyone) == (1, 1, 1)
    lost = running_time_ratio(a, everyone, b, nobody)
    assert lost.estimate == lost.high == math.inf
    assert 0 < lost.low < math.inf
    won = running_time_ratio(b, nobody, a, everyone)
    assert (won.estimate, won.low) == (0, 0)
    assert won.high == pytest.approx(1 / lost.low)
    for unknown in (running_time_ratio(a, nobody, b, nobody), running_time_ratio([], [], b, everyone)):
        assert np.isnan(unknown.estimate)
        assert unknown[1:] == UNKNOWN[1:] == (0, math.inf)


@pytest.mark.parametrize(("n_a", "n_b"), [(4, 4), (5, 7), (12, 12), (20, 20)])
def test_shift_interval_is_where_mann_and_whitney_do_not_object(n_a: int, n_b: int) -> None:
    rng = np.random.default_rng(n_a)
    a, b = rng.lognormal(size=n_a), 1.5 * rng.lognormal(size=n_b)
    ratio = shift_ratio(a, b)
    assert ratio.estimate == pytest.approx(np.exp(np.median(np.log(b)[:, None] - np.log(a))))
    for factor, rejected in [(0.9999, True), (1.0001, False)]:
        for end, side in ((ratio.low, 1), (ratio.high, -1)):
            p = stats.mannwhitneyu(b / (end * factor**side), a, method="exact").pvalue
            assert bool(p < 0.05) is rejected


def test_shift_interval_of_many_values_is_that_of_the_normal_approximation() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.lognormal(size=30), rng.lognormal(size=40)
    for end in shift_ratio(a, b)[1:]:
        assert stats.mannwhitneyu(b / end, a, method="exact").pvalue == pytest.approx(0.05, abs=0.003)


def test_shift_of_too_few_values_has_no_ends() -> None:
    assert shift_ratio([1.0, 2.0, 4.0], [8.0, 9.0, 10.0])[1:] == (0, math.inf)
    assert shift_ratio([], [1.0])[1:] == (0, math.inf)


@pytest.mark.parametrize("n", [6, 9, 20, 40])
def test_pair_interval_is_where_the_signed_ranks_do_not_object(n: int) -> None:
    rng = np.random.default_rng(n)
    luck = rng.lognormal(2, size=n)
    a, b = luck, 1.5 * luck * rng.lognormal(0, 0.2, size=n)
    ratio = pair_ratio(a, b)
    change = np.log(b / a)
    assert ratio.estimate == pytest.approx(np.exp(np.median([(x + y) / 2 for x, y in combinations_of(change)])))
    for factor, rejected in [(0.9999, True), (1.0001, False)]:
        for end, side in ((ratio.low, 1), (ratio.high, -1)):
            p = stats.wilcoxon(change - np.log(end * factor**side), method="exact").pvalue
            assert bool(p < 0.05) is rejected
    back = pair_ratio(b, a)
    assert tuple(back) == pytest.approx((1 / ratio.estimate, 1 / ratio.high, 1 / ratio.low))


def combinations_of(values: Any) -> Any:
    return itertools.combinations_with_replacement(values, 2)


def test_pair_interval_of_many_and_of_few() -> None:
    change = np.random.default_rng(5).normal(0.3, 1, size=60)
    for end in pair_ratio(np.ones(60), np.exp(change))[1:]:
        assert stats.wilcoxon(change - np.log(end), method="exact").pvalue == pytest.approx(0.05, abs=0.003)
    assert pair_ratio([1.0] * 5, [2.0] * 5) == (pytest.approx(2), 0, math.inf)
    assert pair_ratio([], [])[1:] == (0, math.inf)

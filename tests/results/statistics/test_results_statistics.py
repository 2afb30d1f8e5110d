"""Statistics against scipy and against what must always hold."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from freewalk.results.statistics.bootstrap import bootstrap_interval
from freewalk.results.statistics.cell import (
    expected_running_time,
    interquartile_mean,
    median,
    nan_as_worst,
    quantile,
    quartiles,
    wilson_interval,
)

finite = st.floats(-1e6, 1e6)
losses = st.lists(st.one_of(finite, st.just(math.inf)), min_size=1, max_size=30)


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_wilson_agrees_with_scipy(counts: tuple[int, int], confidence: float) -> None:
    successes, n = counts
    expected = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    assert wilson_interval(successes, n, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


@given(st.integers(1, 100).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_rate_and_mirrors(counts: tuple[int, int]) -> None:
    successes, n = counts
    low, high = wilson_interval(successes, n)
    assert 0 <= low <= successes / n <= high <= 1
    assert low < high
    assert wilson_interval(n - successes, n) == pytest.approx((1 - high, 1 - low))


def test_wilson_at_the_edges() -> None:
    assert wilson_interval(0, 5)[0] == 0.0
    assert wilson_interval(5, 5)[1] == 1.0
    assert np.isnan(wilson_interval(0, 0)).all()
    for successes, n in [(-1, 3), (4, 3)]:
        with pytest.raises(ValueError, match="successes"):
            wilson_interval(successes, n)
    with pytest.raises(ValueError, match="confidence"):
        wilson_interval(1, 2, 1.0)


def test_running_time_charges_the_unreached_their_whole_budget() -> None:
    assert expected_running_time([100, 200, 1000], [True, True, False]) == 650.0
    assert expected_running_time([1000, 1000], [False, False]) == math.inf
    assert math.isnan(expected_running_time([], []))
    assert math.isnan(expected_running_time([1.0, math.nan], [True, True]))
    with pytest.raises(ValueError, match="negative"):
        expected_running_time([-1.0], [True])
    with pytest.raises(ValueError, match="marks"):
        expected_running_time([1.0, 2.0], [True])


@given(st.lists(st.tuples(st.floats(0, 1e6), st.booleans()), min_size=1, max_size=20))
def test_running_time_is_the_mean_cost_over_the_success_rate(trials: list[tuple[float, bool]]) -> None:
    costs, reached = (np.array(column) for column in zip(*trials, strict=True))
    if reached.any():
        assert expected_running_time(costs, reached) == pytest.approx(costs.mean() / reached.mean())
    else:
        assert expected_running_time(costs, reached) == math.inf


@given(st.lists(finite, min_size=1, max_size=30), st.floats(0, 1))
def test_quantile_agrees_with_numpy(values: list[float], probability: float) -> None:
    assert quantile(values, probability) == pytest.approx(np.quantile(values, probability), rel=1e-12, abs=1e-6)


@given(losses, st.floats(0, 1))
def test_quantile_lies_among_the_values(values: list[float], probability: float) -> None:
    found = quantile(values, probability)
    assert min(values) <= found <= max(values)
    assert quantile(values, 0.0) == min(values)
    assert quantile(values, 1.0) == max(values)


def test_infinite_losses_count_as_the_worst() -> None:
    assert median([1.0, 2.0, math.inf]) == 2.0
    assert median([1.0, math.inf, math.inf]) == math.inf  # numpy gives NaN for inf between infs
    assert median([1.0, math.inf]) == math.inf
    assert median([math.inf] * 4) == math.inf
    assert quartiles([1.0, 2.0, 3.0, 4.0, math.inf]) == (2.0, 4.0)
    assert interquartile_mean([1.0, 2.0, 3.0, math.inf]) == 2.5
    assert interquartile_mean([1.0, 2.0, math.inf, math.inf]) == math.inf


def test_ties_are_not_moved_by_rounding() -> None:
    assert quantile([0.1] * 3, 0.3) == 0.1


@given(st.lists(finite, min_size=1, max_size=40))
def test_interquartile_mean_agrees_with_scipy(values: list[float]) -> None:
    assert interquartile_mean(values) == pytest.approx(stats.trim_mean(values, 0.25), rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("shape", [(), (4,), (2, 3)])
def test_statistics_work_over_the_last_axis(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).normal(size=(*shape, 9))
    expected = np.apply_along_axis(lambda row: stats.trim_mean(row, 0.25), -1, values)
    np.testing.assert_allclose(interquartile_mean(values), expected)
    np.testing.assert_allclose(median(values), np.median(values, axis=-1))
    assert np.isnan(median(np.empty((*shape, 0)))).all()
    assert np.isnan(interquartile_mean(np.empty((*shape, 0)))).all()


@pytest.mark.parametrize("statistic", [median, interquartile_mean, lambda v: bootstrap_interval(v, median)])
def test_nan_is_refused_until_somebody_says_what_it_means(statistic: object) -> None:
    assert callable(statistic)
    with pytest.raises(ValueError, match="nan_as_worst"):
        statistic([1.0, math.nan])
    statistic(nan_as_worst([1.0, math.nan]))


def test_nan_as_worst_leaves_its_argument_alone() -> None:
    values = np.array([math.nan, -math.inf, 2.0])
    assert nan_as_worst(values).tolist() == [math.inf, -math.inf, 2.0]
    assert nan_as_worst(values, -math.inf).tolist() == [-math.inf, -math.inf, 2.0]
    assert math.isnan(values[0])


@settings(max_examples=30)
@given(st.lists(st.one_of(finite, st.just(math.inf)), min_size=2, max_size=30))
def test_bootstrap_lies_among_the_values_and_repeats(values: list[float]) -> None:
    low, high = bootstrap_interval(values, median, n_resamples=200)
    assert min(values) <= low <= high <= max(values)
    assert bootstrap_interval(values, median, n_resamples=200) == (low, high)


def test_bootstrap_of_few_values() -> None:
    assert np.isnan(bootstrap_interval([3.0], interquartile_mean)).all()  # one value says nothing of its spread
    assert bootstrap_interval([math.inf] * 2, interquartile_mean) == (math.inf, math.inf)
    assert bootstrap_interval([0.1] * 7, interquartile_mean) == pytest.approx((0.1, 0.1), rel=1e-15)
    assert np.isnan(bootstrap_interval([], interquartile_mean)).all()
    # A mean of 20 finite values and one diverged one is infinite in most resamples, not in all.
    low, high = bootstrap_interval([*range(20), math.inf], lambda rows: rows.mean(axis=-1))
    assert math.isfinite(low)
    assert high == math.inf


def test_bootstrap_agrees_with_another_resampling() -> None:
    values = np.random.default_rng(1).exponential(size=40)
    # With this confidence the tail is that of a plain 90 % interval.
    confidence = 1 - 2 * float(stats.t.sf(stats.norm.ppf(0.95), 39))
    ours = bootstrap_interval(values, interquartile_mean, confidence=confidence, n_resamples=8000)
    resampled = np.random.default_rng(2).choice(values, size=(8000, 40))
    theirs = np.quantile(stats.trim_mean(resampled, 0.25, axis=-1), [0.05, 0.95])
    assert ours == pytest.approx(theirs, abs=0.02)
    other = bootstrap_interval(values, interquartile_mean, confidence=confidence, n_resamples=8000, seed=1)
    assert ours != other


def test_bootstrap_arguments_are_checked() -> None:
    for arguments in ({"confidence": 0.0}, {"n_resamples": 0}):
        with pytest.raises(ValueError, match=r"confidence|resample"):
            bootstrap_interval([1.0, 2.0], median, **arguments)
    with pytest.raises(ValueError, match="one axis"):
        bootstrap_interval([[1.0, 2.0]], median)
    with pytest.raises(ValueError, match="a stratum for each"):
        bootstrap_interval([1.0, 2.0], median, strata=[0])


def test_half_a_win_counts_half() -> None:
    assert wilson_interval(2.5, 5) == pytest.approx((1 - wilson_interval(2.5, 5)[1], 1 - wilson_interval(2.5, 5)[0]))
    assert wilson_interval(2, 5)[0] < wilson_interval(2.5, 5)[0] < wilson_interval(3, 5)[0]

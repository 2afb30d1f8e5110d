"""Times to the target that some trials never reached."""

import math

import numpy as np
import pytest

from freewalk.results.statistics.cell import median
from freewalk.results.statistics.intervals import median_interval
from freewalk.results.statistics.survival import median_time

TIMES = [3.0, 5.0, 5.0, 7.0, 9.0, 10.0, 12.0, 15.0, 15.0, 20.0]
HIT = [True, True, False, True, True, False, True, True, True, False]


def test_median_and_interval_as_statsmodels_has_them() -> None:
    assert median_time(TIMES, HIT) == (12, 3, 15)


def test_without_censoring_it_is_the_median() -> None:
    for n in (5, 6, 20, 21):
        times = np.random.default_rng(n).lognormal(size=n)
        found = median_time(times, np.ones(n, bool))
        assert found.estimate == pytest.approx(median(times))
        assert found[1:] == median_interval(times)


def test_one_budget_needs_no_curve() -> None:
    # Four of ten never got there in 100: the median is the fifth time and a half, the upper end is open.
    times = [*np.arange(1.0, 7.0), *[100.0] * 4]
    found = median_time(times, [True] * 6 + [False] * 4)
    assert found.estimate == 5.5
    assert 1 < found.low < 4
    assert found.high == math.inf


def test_when_exactly_half_got_there_it_is_the_time_of_the_last() -> None:
    # As lifelines and R's survfit have it: the first time with no more than half left, 140 for these five of ten.
    times, hit = [100.0, 110, 120, 130, 140, *[1000.0] * 5], [True] * 5 + [False] * 5
    found = median_time(times, hit)
    assert found.estimate == 140
    assert found.low < 140 < found.high == math.inf
    assert median_time([*times, 1000.0], [*hit, False]).estimate == math.inf


def test_when_hardly_any_trial_gets_there_the_budget_is_all_that_is_known() -> None:
    found = median_time([7.0] + [100.0] * 9, [True] + [False] * 9)
    assert (found.estimate, found.low, found.high) == (math.inf, 100, math.inf)
    assert median_time([100.0] * 8, [False] * 8) == (math.inf, 100, math.inf)
    assert median_time([100.0, 80.0], [False, False]) == (math.inf, 0, math.inf)


def test_of_few_trials_the_interval_is_on_the_safe_side() -> None:
    # The two that were cut short at 2 might have made it at once, or never.
    times, hit = [1.0, 2.0, 2.0, 3.0, 4.0, 5.0], [True, False, False, True, True, True]
    found = median_time(times, hit)
    assert found.low == median_interval(times)[0]
    assert found.high == median_interval([1.0, math.inf, math.inf, 3.0, 4.0, 5.0])[1] == math.inf
    assert median_time(times[1:5], hit[1:5])[1:] == (0, math.inf)


def test_the_median_is_at_least_the_last_time_with_surely_more_than_half() -> None:
    # One of 20 reached it, at 5; one was cut short before, the others later: half are not in sight.
    found = median_time([5.0, 3.0, *np.arange(6.0, 24.0)], [True] + [False] * 19)
    assert (found.estimate, found.low, found.high) == (math.inf, 5, math.inf)


def test_trials_that_never_would_stay_at_risk() -> None:
    # A diverged trial stopped at 1; had it merely been cut short, half of the others would say little of it.
    times, hit = np.arange(2.0, 12.0), np.ones(10, bool)
    stopped = median_time([*times, 1.0, 1.0, 1.0, 1.0], [*hit, *[False] * 4])
    hopeless = median_time([*times, *[math.inf] * 4], [*hit, *[False] * 4])
    assert stopped.estimate == median(times)
    assert hopeless.estimate == median([*times, *[math.inf] * 4])


def test_edges() -> None:
    assert np.isnan(median_time([], [])).all()
    with pytest.raises(ValueError, match="NaN"):
        median_time([math.nan], [True])
    with pytest.raises(ValueError, match="marks"):
        median_time([1.0, 2.0], [True])

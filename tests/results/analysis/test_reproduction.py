"""What a run says of a published number: estimates, intervals, whether a check holds, and the verdict."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from trial_tables import make_trials

from freewalk.results.analysis.reproduction import Check, Found, Verdict, judge, refuse_unknown, verdict_of
from freewalk.results.statistics.bootstrap import bootstrap_interval
from freewalk.results.statistics.cell import wilson_interval
from freewalk.results.statistics.intervals import median_interval, running_time_interval
from freewalk.results.tables.selection import ExpressionError

INF, NAN = math.inf, math.nan
MANY = np.random.default_rng(1).exponential(size=24) + 1


def table(**columns: Any) -> dict[str, pd.DataFrame]:
    series = {name: pd.Series(values) for name, values in columns.items()}
    # texts as tables have them, with an older pandas too
    typed = {name: one.astype("string") if pd.api.types.is_string_dtype(one) else one for name, one in series.items()}
    return {"trials": pd.DataFrame(typed)}


def found(values: Any, *, among: tuple[Check, ...] = (), **check: Any) -> Found:
    """Judge one check of a table with a column x, and perhaps other checks of it."""
    first = Check(**({"claim": "c", "value": "x"} | check))
    return judge([first, *among], table(x=values) if not isinstance(values, dict) else table(**values))[0]


# Statistics ----------------------------------------------------------------------------------------------------------


def test_a_mean_of_many_has_the_interval_of_the_bootstrap() -> None:
    one = found(MANY, published=2)
    assert one.estimate == pytest.approx(MANY.mean())
    assert (one.low, one.high) == bootstrap_interval(MANY, lambda x: x.mean(axis=-1), confidence=0.95)
    assert one.n == 24


def test_a_mean_of_few_that_may_be_below_zero_has_students() -> None:
    values = np.array([-0.5, 1.0, 2.0, 4.0])
    one = found(values, published=2)
    wanted = stats.t.interval(0.95, 3, loc=values.mean(), scale=values.std(ddof=1) / 2)
    assert (one.low, one.high) == pytest.approx(wanted)


def test_a_mean_of_few_that_are_not_has_students_on_logarithms() -> None:
    values = np.array([0.5, 1.0, 2.0, 4.0])
    one = found(values, published=2)
    half = stats.t.ppf(0.975, 3) * values.std(ddof=1) / 2 / values.mean()
    assert (one.low, one.high) == pytest.approx((values.mean() / np.exp(half), values.mean() * np.exp(half)))
    assert one.low > 0


@pytest.mark.parametrize("values", [[0.0, 0.0, 0.0], [0.0625] * 4, [3.0] * 12])
def test_equal_values_are_a_point(values: list[float]) -> None:
    one = found(values, published=values[0], margin=1e-9)
    assert (one.estimate, one.low, one.high, one.holds) == (*(pytest.approx(values[0]),) * 3, True)


def test_very_different_values_overflow_nothing() -> None:
    for values in ([1e-300, 1e300], [-1e300, 1e300, 0.0]):
        one = found(values, published=1)
        assert one.low < one.estimate < one.high
        assert one.holds is None


def test_a_median_has_the_interval_between_order_statistics() -> None:
    one = found(MANY, statistic="median", published=1.5)
    assert one.estimate == pytest.approx(np.median(MANY))
    assert (one.low, one.high) == median_interval(MANY, confidence=0.95)


@pytest.mark.parametrize("values", [[1, 0, 1, 1, 0, 1, 1, 1], [0.5, None, -3, 2, 0, 7, 1, 1]])
def test_a_share_counts_what_is_neither_zero_nor_missing(values: list[Any]) -> None:
    one = found(values, statistic="share", published=0.7)
    assert one.estimate == 6 / 8
    assert (one.low, one.high) == wilson_interval(6, 8, 0.95)


def test_a_share_of_truth_values_has_the_missing_as_false() -> None:
    values = pd.array([True, None, False, True], dtype="boolean")
    assert found(values, statistic="share", published=0.5).estimate == 0.5


def test_the_expected_running_time_counts_failures_in() -> None:
    trials = make_trials(
        [
            {"reached": True, "evaluations": 500, "evaluations_to_target": 100, "evaluations_budget": 1000},
            {"reached": True, "evaluations": 700, "evaluations_to_target": 300, "evaluations_budget": 1000},
            {"reached": False, "evaluations": 1000, "evaluations_to_target": None, "evaluations_budget": 1000},
            {"reached": None, "evaluations": 800, "evaluations_to_target": None, "evaluations_budget": 1000},
        ]
    )
    (one,) = judge([Check("c", "", "ert", published=1000)], {"trials": trials})
    assert one.estimate == (100 + 300 + 1000 + 800) / 2
    costs, reached = [100, 300, 1000, 800], [True, True, False, False]
    assert (one.low, one.high) == running_time_interval(costs, reached, confidence=0.95, budget=1000)
    (none,) = judge([Check("c", "", "ert", where="reached == False", below=10**9)], {"trials": trials})
    assert (none.estimate, none.high, none.holds) == (INF, INF, None)


def test_what_is_calculated_of_a_row_and_of_the_result() -> None:
    plain, times = found(MANY, published=2), found(MANY, value="20 * x", published=40)
    assert [times.estimate, times.low, times.high] == pytest.approx(
        [20 * end for end in (plain.estimate, plain.low, plain.high)]
    )
    falling = found(MANY, transform="1 / x", published=0.5)
    assert [falling.estimate, falling.low, falling.high] == pytest.approx(
        [1 / plain.estimate, 1 / plain.high, 1 / plain.low]
    )
    assert found([-4.0, 1.0, 2.0, 3.0], transform="sqrt(x)", published=1).holds is None, "an end is no number"


@pytest.mark.parametrize(
    "transform", ["abs(x - 2)", "(x - 2) ** 2", "x * (4 - x)", "x - 100 * exp(-((x - 2) / 0.1) ** 2)"]
)
def test_a_transform_that_turns_within_the_interval_is_refused(transform: str) -> None:
    with pytest.raises(
        ExpressionError, match=r"check 'c': transform .* rises and falls between 1\..* and 2\..*; give one"
    ):
        found(MANY, transform=transform, published=1)


@pytest.mark.parametrize(
    "transform", ["abs(x + 2)", "x ** 2", "1 / x", "log(x)", "0 * x", "1 - 1e-17 * x", "arccos(x / 9)"]
)
def test_one_that_turns_elsewhere_or_by_rounding_alone_is_taken(transform: str) -> None:
    one = found(MANY, transform=transform, published=1)
    assert one.low <= one.estimate <= one.high


def test_rows_are_chosen() -> None:
    values = {"x": [1.0, 3.0, 100.0], "param_rank": ["full", "full", "1"]}
    one = found(values, where="rank == 'full'", published=2)
    assert (one.estimate, one.n) == (2, 2)


def test_a_value_that_was_looked_at_late_may_be_lower() -> None:
    plain = found(MANY, published=2)
    late = found({"x": MANY, "r": [0.2, 0.4] * 12}, resolution="r", published=2)
    assert (late.estimate, late.high) == (plain.estimate, plain.high)
    assert late.low == pytest.approx(plain.low - 0.3)
    assert found(MANY, resolution="100", published=2).low == 0, "a count is not below 0"
    below = found(MANY - 5, resolution="100", published=2)
    assert below.low == pytest.approx(found(MANY - 5, published=2).low - 100)


# Infinite and missing values -----------------------------------------------------------------------------------------


def test_what_is_missing_never_came() -> None:
    values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, NAN, NAN]
    middle = found(values, statistic="median", published=5)
    assert middle.estimate == 5
    assert (middle.low, middle.high) == median_interval([1, 2, 3, 4, 5, 6, 7, INF, INF])
    mean = found(values, published=5)
    assert (mean.estimate, mean.high) == (INF, INF)
    assert math.isfinite(mean.low) or mean.low == INF


def test_infinite_means_of_few_say_nothing_of_a_number() -> None:
    one = found([1.0, NAN, 2.0], published=5)
    assert (one.estimate, one.low, one.high, one.holds) == (INF, -INF, INF, None)


def test_half_of_them_infinite_leaves_the_median_infinite() -> None:
    one = found([1.0, NAN, NAN, NAN, NAN, NAN], statistic="median", below=3)
    assert one.estimate == INF
    assert one.holds is not True


def test_one_row_has_no_interval() -> None:
    one = found([2.0], published=2)
    assert (one.estimate, one.n, one.holds) == (2, 1, None)
    assert math.isnan(one.low)
    assert math.isnan(one.high)


def test_no_row_says_nothing() -> None:
    for statistic in ("mean", "median", "share"):
        one = found([1.0, 2.0], where="x > 5", statistic=statistic, published=2)
        assert (one.n, one.holds, math.isnan(one.estimate)) == (0, None, True)
    assert found([1.0, 2.0], where="x > 5", against="x < 5", published=2).holds is None
    assert found([1.0, 2.0], where="x > 5", transform="1 / x", published=2).holds is None


def test_trials_that_failed_do_not_count() -> None:
    trials = make_trials([{"loss_final": 1.0}, {"loss_final": 3.0}, {"state": "failed"}, {"state": "failed"}])
    (one,) = judge([Check("c", "loss_final", published=2)], {"trials": trials})
    assert (one.estimate, one.n) == (2, 2)
    (none,) = judge([Check("c", "loss_final", published=2)], {"trials": trials[2:]})
    assert (none.n, none.holds) == (0, None)


# Comparisons ---------------------------------------------------------------------------------------------------------

PAIRS = {"x": [*MANY, *(2 * MANY[:12] + 1)], "kind": ["a"] * 24 + ["b"] * 12}


def both(**check: Any) -> tuple[Found, Found, Found]:
    """Return a comparison of the kinds a and b, and what is found of each."""
    one = Check("c", "x", where="kind == 'a'", against="kind == 'b'", above=0, **check)
    alone = [Check("c", "x", where=f"kind == '{kind}'", above=0, statistic=one.statistic) for kind in "ab"]
    return tuple(judge([one, *alone], table(**PAIRS)))  # type: ignore[return-value]


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_a_ratio_recovers_variances_on_logarithms(statistic: Any) -> None:
    ratio, a, b = both(statistic=statistic)
    below = math.hypot(math.log(a.estimate / a.low), math.log(b.high / b.estimate))
    above = math.hypot(math.log(a.high / a.estimate), math.log(b.estimate / b.low))
    assert ratio.estimate == pytest.approx(a.estimate / b.estimate)
    assert (ratio.low, ratio.high) == pytest.approx(
        (ratio.estimate * math.exp(-below), ratio.estimate * math.exp(above))
    )
    assert ratio.n == 36


def test_a_difference_recovers_variances() -> None:
    less, a, b = both(compare="difference")
    assert less.estimate == pytest.approx(a.estimate - b.estimate)
    assert less.low == pytest.approx(less.estimate - math.hypot(a.estimate - a.low, b.high - b.estimate))
    assert less.high == pytest.approx(less.estimate + math.hypot(a.high - a.estimate, b.estimate - b.low))


def test_of_two_groups_that_are_alike_the_ratio_is_one() -> None:
    values = {"x": [*MANY, *MANY], "kind": ["a"] * 24 + ["b"] * 24}
    one = found(values, where="kind == 'a'", against="kind == 'b'", published=1)
    assert one.estimate == 1
    assert one.holds


@pytest.mark.parametrize(
    ("a", "b", "estimate"),
    [
        ([NAN] * 9, [1.0, 2.0, 3.0] * 3, INF),
        ([1.0, 2.0, 3.0] * 3, [NAN] * 9, NAN),
        ([NAN] * 9, [NAN] * 9, NAN),
        ([0.0] * 9, [1.0, 2.0, 3.0] * 3, NAN),
        ([1.0, 2.0, 3.0] * 3, [0.0] * 9, NAN),
        ([-1.0, -2.0, -3.0] * 3, [1.0, 2.0, 3.0] * 3, NAN),
    ],
)
def test_ratios_of_what_has_no_logarithm(a: list[float], b: list[float], estimate: float) -> None:
    values = {"x": [*a, *b], "kind": ["a"] * 9 + ["b"] * 9}
    one = found(values, where="kind == 'a'", against="kind == 'b'", published=1)
    assert one.estimate == pytest.approx(estimate, nan_ok=True)
    assert one.holds is not True
    assert not one.low > one.high


def test_one_that_never_came_is_above_one_that_did() -> None:
    values = {"x": [NAN] * 9 + [1.0, 2.0, 3.0] * 3, "kind": ["a"] * 9 + ["b"] * 9}
    one = found(values, where="kind == 'a'", against="kind == 'b'", above=1)
    assert one.holds


# Whether it holds ----------------------------------------------------------------------------------------------------

FEW = np.array([8.0, 9, 10, 11, 12] * 4)  # mean 10, interval about 9.3 to 10.7


@pytest.mark.parametrize(
    ("criterion", "holds"),
    [
        ({"published": 10}, True),
        ({"published": 10.5}, True),
        ({"published": 12}, False),
        ({"published": 8}, False),
        ({"published": 12, "published_low": 10.5, "published_high": 20}, True),
        ({"published": 12, "published_low": 11.5, "published_high": 20}, False),
        ({"published": 8, "published_low": 7, "published_high": 9.5}, True),
        ({"published": 8, "published_low": 7, "published_high": 9}, False),
        ({"published": 12, "published_low": 9}, True),
        ({"published": 10, "margin": 0.1}, None),
        ({"published": 10, "margin": 1}, True),
        ({"published": 12, "margin": 0.1}, False),
        ({"above": 9}, True),
        ({"above": 10}, None),
        ({"above": 11}, False),
        ({"below": 11}, True),
        ({"below": 10}, None),
        ({"below": 9}, False),
        ({"above": 9, "below": 11}, True),
        ({"above": 9, "below": 10}, None),
        ({"above": 10, "below": 11}, None),
        ({"above": 11, "below": 12}, False),
        ({"above": 5, "below": 9}, False),
        ({"published": 500, "above": 9}, True),
    ],
)
def test_numbers_hold_by_the_interval_and_bounds_by_all_of_it(criterion: dict[str, float], holds: bool | None) -> None:
    one = found(FEW, **criterion)
    assert one.low == pytest.approx(9.3, abs=0.1)
    assert one.high == pytest.approx(10.7, abs=0.1)
    assert one.holds is holds


def test_an_interval_wider_than_the_number_itself_tells_nothing() -> None:
    wide = [0.001, 0.01, 0.1, 1.0, 10.0, 100.0]
    assert found(wide, published=20).holds is None
    assert found(wide, published=20, margin=10**9).holds
    assert found([-1.0, 0, 1, -1, 0, 1, 0, 0], published=0).holds is None, "of a published 0 a margin has to say it"
    assert found([-1.0, 0, 1, -1, 0, 1, 0, 0], published=0, margin=1).holds


def test_a_wide_interval_of_the_publication_is_a_margin() -> None:
    one = found(
        [0, 0, 0, 1, 0, 0, 0, 0, 0, 0], statistic="share", published=0.02, published_low=0.0, published_high=0.5
    )
    assert one.high - one.low < 2 * 0.25
    assert one.holds
    assert found([0, 0, 0, 1, 0, 0, 0, 0, 0, 0], statistic="share", published=0.02).holds is None


def test_several_numbers_share_the_error_and_bounds_do_not() -> None:
    numbers = tuple(Check("c", "x", published=2) for _ in range(3))
    bounds = tuple(Check("c", "x", above=1) for _ in range(2))
    checks = (*numbers, *bounds)
    several = judge(checks, table(x=MANY))
    mean = lambda x: x.mean(axis=-1)  # noqa: E731
    for one in several[:3]:
        assert (one.low, one.high) == bootstrap_interval(MANY, mean, confidence=1 - 0.05 / 3)
    for one in several[3:]:
        assert (one.low, one.high) == bootstrap_interval(MANY, mean, confidence=0.95)


# Verdicts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("holds", "changed", "verdict"),
    [
        ((True, True), "", Verdict.REPRODUCED),
        ((True, True), "fewer seeds", Verdict.AT_ANOTHER_SCALE),
        ((True, False), "", Verdict.NOT_REPRODUCED),
        ((True, False), "fewer seeds", Verdict.NOT_REPRODUCED),
        ((True, None), "", Verdict.UNDECIDED),
        ((True, None), "fewer seeds", Verdict.UNDECIDED),
        ((None, False), "", Verdict.NOT_REPRODUCED),
        ((None, None), "", Verdict.UNDECIDED),
    ],
)
def test_verdicts(holds: tuple[bool | None, ...], changed: str, verdict: Verdict) -> None:
    assert verdict_of([Found(1, 0, 2, 9, one) for one in holds], changed) == verdict


# What is refused -----------------------------------------------------------------------------------------------------

MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"table": "trails"}, "there is no table 'trails'; there are: trials"),
    ({"value": "y"}, "there is no column 'y'; known: x"),
    ({"value": "x +"}, "'x +' cannot be read"),
    ({"where": "y == 1"}, "there is no column 'y'; known: x"),
    ({"against": "y == 1"}, "there is no column 'y'; known: x"),
    ({"where": "x + 1"}, "x + 1 is not a comparison"),
    ({"resolution": "y"}, "there is no column 'y'; known: x"),
    ({"transform": "y"}, "there is no column 'y'; known: x"),
    ({"statistic": "ert"}, "there is no column 'reached'; known: x"),
]


@pytest.mark.parametrize(("mistake", "words"), MISTAKES)
def test_mistakes_are_one_line_that_names_the_check(mistake: dict[str, Any], words: str) -> None:
    check = Check(**({"claim": "the mean", "value": "x", "published": 1} | mistake))
    tables = table(x=[1.0, 2.0])
    with pytest.raises(ExpressionError) as caught:
        judge([check], tables)
    assert str(caught.value).startswith(f"check 'the mean': {words}")
    with pytest.raises(ExpressionError) as early:
        refuse_unknown(check, tables)
    assert str(early.value).startswith(words)


def test_what_can_be_judged_is_not_refused_before() -> None:
    check = Check("c", "1 / x", where="x > 5", against="x < 5", resolution="x", transform="sqrt(x)", published=1)
    refuse_unknown(check, table(x=pd.array([None, None], dtype="Int64")))
    refuse_unknown(Check("c", "", "ert", published=1), {"trials": make_trials([{}])})


# Coverage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "least"), [(5, 0.85), (12, 0.88), (30, 0.91)])
def test_intervals_of_mean_counts_cover_the_truth(n: int, least: float) -> None:
    """Counts of guesses are geometric; 95 % are meant, few counts are too skewed for all of it."""
    counts = np.random.default_rng(n).geometric(1 / 250, size=(400, n)).astype(float)
    covered = [one.low <= 250 <= one.high for one in (found(row, published=250) for row in counts)]
    assert least < np.mean(covered) <= 0.99


def test_intervals_of_ratios_of_mean_counts_cover_the_truth() -> None:
    generator = np.random.default_rng(0)
    covered = []
    for _ in range(300):
        x = [*generator.geometric(1 / 2000, size=15), *generator.geometric(1 / 200, size=15)]
        one = found(
            {"x": np.array(x, dtype=float), "kind": ["a"] * 15 + ["b"] * 15},
            where="kind == 'a'",
            against="kind == 'b'",
            published=10,
        )
        covered.append(one.low <= 10 <= one.high)
    assert 0.9 < np.mean(covered) <= 0.995

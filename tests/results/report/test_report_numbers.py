"""Numbers as a report writes them."""

import math

import numpy as np
import pandas as pd
import pytest

from freewalk.results.base.numbers import (
    compact,
    counted,
    interval,
    listed,
    parameter_text,
    percent,
    seconds,
    short_value,
    significant,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.0123456, "0.0123"),
        (33_333.3, "33,300"),
        (999.6, "1,000"),
        (12.0, "12"),
        (4.5e-7, "4.5e-7"),
        (-1234.0, "-1,230"),
        (2.5e12, "2.5e12"),
        (math.inf, "∞"),
        (-math.inf, "-∞"),
        (math.nan, "\N{EN DASH}"),
    ],
)
def test_significant(value: float, text: str) -> None:
    assert significant(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.001, "0.001"),
        (0.00001, "1e-5"),
        (999, "999"),
        (1000, "1k"),
        (999.9, "1k"),
        (33_333, "33.3k"),
        (999_999, "1M"),
        (2e6, "2M"),
        (3e9, "3G"),
        (1e13, "1e13"),
        (-1500, "-1.5k"),
        (math.inf, "∞"),
    ],
)
def test_compact(value: float, text: str) -> None:
    assert compact(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (1, "100 %"), (0.567, "57 %"), (0.001, "<1 %"), (0.999, ">99 %"), (math.nan, "\N{EN DASH}")],
)
def test_percent_keeps_none_and_all_apart_from_nearly(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (94e-6, "94 µs"),
        (0.0278, "27.8 ms"),
        (1.5, "1.5 s"),
        (119, "119 s"),
        (600, "10 min"),
        (9000, "2.5 h"),
        (864_000, "10 days"),
        (math.nan, "\N{EN DASH}"),
        (math.inf, "\N{EN DASH}"),
    ],
)
def test_seconds(value: float, text: str) -> None:
    assert seconds(value) == text


def test_words() -> None:
    assert [counted(n, "cell") for n in (0, 1, 1270)] == ["0 cells", "1 cell", "1,270 cells"]
    assert [listed(words) for words in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]
    assert listed(["1", "2"], "or") == "1 or 2"
    assert interval(1.0, math.inf) == "1 \N{EN DASH} ∞"
    assert interval(math.nan, math.nan) == ""


@pytest.mark.parametrize("missing", [None, math.nan, pd.NA, np.float64("nan")])
def test_what_does_not_apply_is_a_dash(missing: object) -> None:
    assert parameter_text(missing) == "\N{EN DASH}"


def test_parameters_as_the_grid_takes_them() -> None:
    assert [parameter_text(value) for value in (16, 0.1, 10**-1.5, 1e300, "raw", True)] == [
        *("16", "0.1", "0.03162", "1e300", "raw", "True")
    ]
    assert [short_value(text) for text in ("0.316227766017", "1e-09", "momentum")] == ["0.3162", "1e-9", "momentum"]

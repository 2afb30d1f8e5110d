"""Estimators in words, and where the price of one crosses that of another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from freewalk.results.analysis.estimators import Names, PriceLine, by_estimator, crossings, numeric_axes, price_lines


def table(**columns: Any) -> pd.DataFrame:
    frame = pd.DataFrame({f"param_{name}": pd.Series(values) for name, values in columns.items()})
    return frame.assign(method="walk", kind="estimated")


def line(words: str, price: Any, spread: float = 1.1, x: Any = (1.0, 10.0, 100.0)) -> PriceLine:
    prices = np.asarray(price, dtype=np.float64)
    return PriceLine(words, np.asarray(x), prices, prices / spread, prices * spread, prices)


def test_words_name_what_is_unusual() -> None:
    frame = table(stddev=[0.1, 0.1, 0.1, 0.2], rank=["full", "1", "full", "1"], sides=["one"] * 4)
    names = Names.of(frame)
    assert names.varied == ("param_stddev", "param_rank")
    assert [names.words(dict(row)) for row in frame.to_dict("records")] == [
        "walk, rank full",
        "walk, rank 1",
        "walk, rank full",
        "walk, stddev 0.2, rank 1",
    ]
    assert names.usual_words == "stddev 0.1"
    assert names.words(dict(frame.iloc[3]), ["param_stddev"]) == "walk, rank 1"


def test_a_parameter_that_does_not_apply_is_not_named() -> None:
    frame = table(rank=["full", "1", None])
    assert Names.of(frame).words(dict(frame.iloc[2])) == "walk"


def test_estimators_that_differ_in_one_parameter() -> None:
    frame = table(timesteps=[1, 2, 4, 1, 2, 4], rank=["full"] * 3 + ["1"] * 3)
    names = Names.of(frame)
    assert [len(part) for part in by_estimator(frame, names, ["param_timesteps"])] == [3, 3]
    assert numeric_axes(frame) == ["param_timesteps"]
    assert numeric_axes(table(timesteps=[1, 2, 2])) == []


def test_lines_of_prices() -> None:
    frame = table(timesteps=[4, 1, 2, 1, 2], rank=["full"] * 3 + ["1"] * 2)
    for end in ("", "_low", "_high", "_expected"):
        frame[f"evaluations_needed{end}"] = [40.0, 10.0, 20.0, 1.0, 1.0]
    (found,) = price_lines(frame, "param_timesteps", Names.of(frame))
    assert found.words == "walk"
    assert found.x.tolist() == [1, 2, 4]
    assert found.price.tolist() == [10, 20, 40]


def test_where_two_lines_cross() -> None:
    """1, 10, 100 and 10 throughout: at 10, where both intervals overlap from 10 / 1.21 to 12.1."""
    (found,) = crossings([line("a", [1, 10.001, 100]), line("b", [10, 10, 10])], "param_timesteps")
    assert (found.parameter, found.below, found.above) == ("timesteps", "a", "b")
    assert found.value == pytest.approx(10, rel=0.01)
    assert (found.low, found.high) == pytest.approx((10 / 1.21, 12.1), rel=0.01)
    (other,) = crossings([line("b", [10, 10, 10]), line("a", [1, 10.001, 100])], "param_timesteps")
    assert (other.below, other.above, other.value) == ("a", "b", pytest.approx(10, rel=0.01))


def test_lines_that_do_not_cross() -> None:
    assert crossings([line("a", [1, 2, 3]), line("b", [10, 20, 30])], "param_timesteps") == []
    assert crossings([line("a", [1, np.nan, np.nan]), line("b", [10, 1, 1])], "param_timesteps") == []


def test_an_interval_that_ends_nowhere_reaches_the_end() -> None:
    (found,) = crossings([line("a", [9, 10, 11], spread=2), line("b", [10.5] * 3, spread=2)], "param_timesteps")
    assert (found.low, found.high) == pytest.approx((1, 100))

"""The page of `harness estimate`: what it says of tables, and what it makes of odd ones."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from freewalk.results.report.estimates_page import estimates_page
from freewalk.results.report.estimates_view import figures_of, is_biased, place_views
from freewalk.results.schema.estimates_schema import COSINES, ESTIMATES
from freewalk.results.schema.schema import TABLES
from freewalk.results.tables.frames import frame_of, parameter_series


def row(**values: Any) -> dict[str, Any]:
    """Return a row of `estimates`: an unbiased estimator of the initial weights unless told otherwise."""
    texts: dict[str, Any] = {
        "task": "xor",
        "method": "walk",
        "at": "initial",
        "weights": "all",
        "kind": "estimated",
        "backend": "cpu",
        "dtype": "float32",
    }
    found = {
        column.name: texts.get(column.name, None if column.dtype in ("string", "boolean") else 1)
        for column in TABLES[ESTIMATES]
    }
    found |= {"slope_low": 0.9, "slope_high": 1.1, "is_precise": True, "trained_steps": 0}
    return found | values


def frame(rows: list[dict[str, Any]], **parameters: Any) -> pd.DataFrame:
    beside = pd.DataFrame({f"param_{name}": parameter_series(values) for name, values in parameters.items()})
    return frame_of(ESTIMATES, rows, beside)


def cosines_of(estimates: pd.DataFrame) -> pd.DataFrame:
    rows, beside = [], []
    for _, one in estimates.iterrows():
        for n in (1, 2, 4):
            values = {column.name: 0.1 * n for column in TABLES[COSINES]}
            rows.append(
                values
                | {
                    "task": one["task"],
                    "method": one["method"],
                    "at": one["at"],
                    "seed": 0,
                    "n_estimates": n,
                    "n_means": 9,
                    "evaluations": 10.0 * n,
                }
            )
            beside.append(one[[name for name in estimates if name.startswith("param_")]])
    return frame_of(COSINES, rows, pd.DataFrame(beside).reset_index(drop=True))


def page(estimates: pd.DataFrame) -> str:
    views = list(place_views(estimates, cosines_of(estimates)))
    return estimates_page(views, identity="0" * 12, command="harness estimate --task xor", version="9")


def test_the_cheapest_comes_first_and_guesses_last() -> None:
    estimates = frame(
        [
            row(evaluations_needed=100.0, seconds_needed=2.0, numbers_needed=5.0),
            row(evaluations_needed=50.0, seconds_needed=3.0, numbers_needed=7.0),
            row(method="rflo", kind="predicted", evaluations_needed=1.0),
        ],
        rank=["full", "1", None],
    )
    (view,) = place_views(estimates, cosines_of(estimates))
    assert [view.words(one) for one in view.rows] == ["walk, rank 1", "walk, rank full", "rflo"]
    assert view.sentences == [
        "Fewest evaluations: walk, rank 1, 50.",
        "Least time: walk, rank full, 2 s.",
        "Fewest random numbers: walk, rank full, 5.",
    ]
    text = page(estimates)
    assert 'rflo <span class="remark">predicted</span>' in text
    assert text.index("<th>walk, rank 1") < text.index("<th>rflo")


@pytest.mark.parametrize(
    ("values", "biased"),
    [
        ({"slope": 1.05}, False),
        ({"slope": 1.3}, True),
        ({"slope": 1.3, "slope_expected": 1.3}, False),
        ({"slope": 1.3, "slope_expected": math.nan}, False),
        ({"slope": 1.01, "slope_low": 1.01, "slope_high": 1.01}, False),
        ({"slope": 1.03, "slope_low": 1.03, "slope_high": 1.03}, True),
    ],
)
def test_a_slope_is_off_by_four_standard_errors_and_2_percent(values: dict[str, Any], biased: bool) -> None:
    assert is_biased(row(**values)) == biased
    assert ("Biased, beyond chance and 2 %: walk" in page(frame([row(**values)]))) == biased


def test_biased_ones_are_not_the_best() -> None:
    estimates = frame([row(slope=3.0, evaluations_needed=1.0), row(evaluations_needed=9.0)], rank=["full", "1"])
    (view,) = place_views(estimates, cosines_of(estimates))
    assert view.sentences[0] == "Fewest evaluations: walk, rank 1, 9."
    assert [view.words(one) for one in view.rows] == ["walk, rank 1", "walk, rank full"]


def test_what_stddev_costs_is_drawn_from_four_values_on() -> None:
    stddevs = [1e-4, 1e-3, 1e-2, 1e-1]
    for n, drawn in ((4, True), (3, False)):
        text = page(frame([row(rounding=1e-6 / s, smoothing=-s, curvature=s) for s in stddevs[:n]], stddev=stddevs[:n]))
        assert ("What stddev costs" in text) == drawn


def test_prices_over_a_parameter_and_where_they_cross() -> None:
    rows, timesteps = [], [1, 10, 100]
    for method, prices in (("node", (1.0, 11.0, 100.0)), ("walk", (10.0, 10.0, 10.0))):
        rows += [
            row(method=method, evaluations_needed=p, evaluations_needed_low=p / 1.1, evaluations_needed_high=p * 1.1)
            for p in prices
        ]
    text = page(frame(rows, timesteps=timesteps * 2))
    assert "Price over timesteps" in text
    found = re.search(r"Up to timesteps ([\d.]+) \(([\d.]+) . ([\d.]+)\) node is cheaper, beyond it walk\.", text)
    assert found
    assert float(found[2]) < float(found[1]) < float(found[3])


def test_parts_stand_below() -> None:
    text = page(frame([row(), row(weights="input rows"), row(weights="timestep 2")]))
    assert text.index("By layer, by what weights come from") < text.index("input rows") < text.index("timestep 2")


def test_what_is_known_of_a_place() -> None:
    trained = {"trained_steps": 70, "trained_reached": True, "loss": 0.1, "gradient_length": 0.5}
    found = frame(
        [
            row(at="half", **trained),
            row(at="trained", **trained),
            row(at="trained", task="and", **{**trained, "trained_reached": False}),
        ]
    )
    facts = [view.facts for view in place_views(found, cosines_of(found))]
    assert facts[0].startswith("After 70 steps of backpropagation, half of those that met the target. Loss 0.1,")
    assert ", which met the target" in facts[1]
    assert ", which did not meet the target" in facts[2]


def test_names_are_escaped() -> None:
    text = page(frame([row(task="<b>x</b>", method="<i>")]))
    assert "<b>x</b>" not in text
    assert "<i>" not in text.replace("<i style", "").replace("<i class", "")


def test_figures_have_the_digits_that_their_interval_leaves() -> None:
    found = figures_of(
        row(
            slope=1.23456,
            slope_low=1.21456,
            slope_high=1.25456,
            second_moment=1234.5,
            second_moment_low=1200.0,
            second_moment_high=1269.0,
        )
    )
    assert found["slope"] == "1.235 ± 0.020"
    assert found["second moment"] == "1,234 ± 34"
    assert figures_of(row(of_expected=math.nan, cosine_expected=None))["over theory"] == ""
    assert figures_of(row(variance_of_data=-1e-9))["data"] == "0"


def test_a_gradient_of_zero_is_shown_and_breaks_nothing() -> None:
    nothing = dict.fromkeys(("slope", "second_moment", "cosine_mean", "evaluations_needed", "slope_expected"), math.nan)
    text = page(frame([row(**nothing), row(method="node", **nothing)]))
    assert np.isfinite(len(text))
    assert "Fewest evaluations" not in text

"""One sentence for every end of a trial, with the numbers that decided it, and with numbers missing."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from freewalk.results.base.numbers import MISSING
from freewalk.results.report.explanation import curve_points, explain
from freewalk.results.schema.records import CurvePoint
from freewalk.results.schema.schema import Outcome
from freewalk.results.store.store import Store, TrialRecord

COMPLETE: dict[str, Any] = {
    "state": "complete",
    "metric_name": "max_error",
    "metric_final": 0.52,
    "target": 0.4,
    "steps": 1000,
    "evaluations": 32000,
    "loss_final": 0.2501,
    "loss_best": 0.25,
}
NUMBERS = (*(name for name in COMPLETE if name != "state"), "steps_to_target", "seconds_to_target")


def curve(*losses: float, **others: float) -> list[CurvePoint]:
    """Make held-out losses at steps 0, 100, 200, ..., and other measures at the last of them."""
    points = [CurvePoint(100 * k, 3200 * k, 0.1 * k, "heldout", "loss", loss) for k, loss in enumerate(losses)]
    last = 100 * (len(losses) - 1)
    return points + [CurvePoint(last, 32 * last, 1.0, "heldout", name, value) for name, value in others.items()]


def test_reached() -> None:
    row = COMPLETE | {
        "outcome": "reached",
        "metric_final": 0.389,
        "steps_to_target": 1230,
        "evaluations_to_target": 39360,
        "seconds_to_target": 3.14,
    }
    assert explain(row) == (
        "reached: the target was met after 1,230 steps (39,360 evaluations, 3.14 s of training);"
        " max_error is 0.389, its target at most 0.4"
    )
    assert explain(row | {"steps_to_target": 0}).startswith("reached: the target was met before the first step; max")
    assert explain(row | {"evaluations_to_target": None}).startswith(
        "reached: the target was met after 1,230 steps (3.14 s of training); "
    )


def test_a_metric_that_should_be_large_has_a_target_from_below() -> None:
    row = COMPLETE | {"outcome": "exhausted", "metric_name": "bit_accuracy", "metric_final": 0.8, "target": 0.99}
    assert (
        explain(row) == "exhausted: the budget ended after 1,000 steps; bit_accuracy is 0.8, its target at least 0.99"
    )


@pytest.mark.parametrize(
    ("losses", "trend"),
    [
        (
            (1.0, 0.8, 0.6, 0.5, 0.4),
            "the loss still fell by 20 % over the last quarter, so more steps may reach it: give more epochs",
        ),
        ((1.0, 0.5, 0.3, 0.3, 0.3), "hardly changed over the last quarter, so more steps alone will hardly help"),
        ((1.0, 0.5, 0.2, 0.3, 0.3), "the loss had been lower: 0.2 at step 200, 0.3 at the end"),
        ((0.2, 0.5, 0.4, 0.3, 0.21), "the loss was lowest before training, 0.2, and ended at 0.21"),
    ],
)
def test_exhausted_tells_whether_more_would_help(losses: tuple[float, ...], trend: str) -> None:
    assert explain(COMPLETE | {"outcome": "exhausted"}, curve(*losses)).endswith(trend)


def test_plateaued() -> None:
    assert explain(COMPLETE | {"outcome": "plateaued"}, curve(1.0, 0.3, 0.25, 0.2502, 0.2501)) == (
        "plateaued: the loss has not improved notably on its best, 0.25 since step 200, after 1,000 steps;"
        " max_error is 0.52, its target at most 0.4"
    )


def test_collapsed() -> None:
    assert explain(COMPLETE | {"outcome": "collapsed"}, curve(0.3, 0.25, output_spread=0.00042)) == (
        "collapsed: the answer is the same whatever the input: no output differs by more than 0.00042 between two"
        " inputs; max_error is 0.52, its target at most 0.4"
    )


def test_saturated() -> None:
    text = explain(COMPLETE | {"outcome": "saturated"}, curve(0.3, 0.5, signal=2.1e-9))
    assert "the training signal is gone though the answer is wrong: 2.1e-9 of it is left for each unit of error" in text
    assert "almost nothing of it is left" in explain(COMPLETE | {"outcome": "saturated"})


def test_diverged_without_and_with_finite_numbers() -> None:
    row = COMPLETE | {"outcome": "diverged", "loss_final": math.nan, "steps": 12}
    assert explain(row, curve(0.25, 0.3, math.nan)) == (
        "diverged: the loss or the metric was not finite after 12 steps; the last finite loss was 0.3 at step 100"
    )
    assert explain(row).endswith("after 12 steps; the lowest finite loss was 0.25")
    rising = explain(row | {"loss_final": 0.5}, curve(0.25, 0.3, 0.4, 0.5))
    assert rising.startswith("diverged: the loss only ever rose, from 0.25 to 0.5: the steps are too long, or")


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"state": "failed", "error": "MemoryError: no room"}, "failed: MemoryError: no room"),
        ({"state": "failed", "error": pd.NA}, "failed: its error was not recorded"),
        ({"state": "interrupted", "steps": 50}, "interrupted after 50 steps"),
        ({"state": "interrupted"}, "interrupted"),
        ({"state": "pending", "outcome": pd.NA}, "pending: it has not run yet"),
        ({"state": "running"}, "running: it has not ended yet"),
        ({}, "no outcome is recorded"),
        ({"outcome": "of a later version"}, "of a later version"),
    ],
)
def test_trials_without_an_outcome(row: dict[str, Any], text: str) -> None:
    assert explain(row) == text


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("values", [{}, *[dict.fromkeys(NUMBERS, missing) for missing in (None, math.nan, pd.NA)]])
def test_missing_values_are_left_out(outcome: Outcome, values: dict[str, Any]) -> None:
    row = {"outcome": outcome, "state": "complete", **values}
    for points in ([], curve(math.nan), curve(0.3), curve(0.3, math.nan, math.nan, math.nan)):
        text = explain(row, points)
        assert text.startswith(f"{outcome}: ")
        for wrong in ("nan", "NA", "None", MISSING, "  ", ";;", "; ;"):
            assert wrong not in text, text
        assert not text.endswith((" ", ";", ":", ","))


def test_rows_of_tables_do(tmp_path: Path, record: Callable[..., TrialRecord]) -> None:
    with Store.create(tmp_path, {"task": "xor"}) as store:
        store.add_pending([record(name, metric_name="max_error", target=0.4) for name in ("a", "b")])
        fields = {key: value for key, value in COMPLETE.items() if key != "state"} | {"outcome": Outcome.COLLAPSED}
        store.finish("a", fields, curve(0.3, 0.25, output_spread=1e-4))
        trials, curves = store.trials(), store.curves()
    rows = {row["trial_id"]: row for row in trials.to_dict("records")}
    assert explain(rows["a"], curve_points(curves, "a")) == explain(
        COMPLETE | {"outcome": "collapsed"}, curve(0.3, 0.25, output_spread=1e-4)
    )
    assert explain(rows["b"]) == "pending: it has not run yet"
    assert curve_points(curves, "b") == []
    assert sorted(curve_points(curves)) == sorted(curve(0.3, 0.25, output_spread=1e-4))

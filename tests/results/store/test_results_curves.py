"""What is made from curves: shares of solved targets, and bands."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freewalk.results.analysis.bands import curve_bands
from freewalk.results.analysis.ecdf import ecdf, spaced_targets, targets_between
from freewalk.results.schema.schema import CURVE_COLUMNS

Tables = Callable[..., pd.DataFrame]
Curve = Sequence[tuple[int, float]]


def curves_of(curves: Mapping[str, Curve], metric: str = "loss", split: str = "heldout") -> pd.DataFrame:
    rows = [
        (1, trial, evaluations // 2, evaluations, evaluations / 10, split, metric, value)
        for trial, curve in curves.items()
        for evaluations, value in curve
    ]
    frame = pd.DataFrame(rows, columns=[column.name for column in CURVE_COLUMNS])
    return frame.astype({column.name: column.dtype for column in CURVE_COLUMNS})


def make(trials_table: Tables, curves: Mapping[str, Curve], **more: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows = [{"trial_id": name, "outcome": "exhausted"} | {k: v[name] for k, v in more.items()} for name in curves]
    return trials_table(rows), curves_of(curves)


def with_targets(
    trials_table: Tables, curves: Mapping[str, Curve], met: Mapping[str, int], target: float, **more: Any
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make trials on one target for the loss; those in ``met`` reached it after so many evaluations."""
    rows = [
        {
            "trial_id": name,
            "outcome": "reached" if name in met else "exhausted",
            "metric_name": "loss",
            "target": target,
            "reached": name in met,
            "evaluations_to_target": met.get(name),
            "steps_to_target": met[name] // 2 if name in met else None,
            "evaluations": max((at for at, _ in curve), default=0),
            "steps": max((at // 2 for at, _ in curve), default=0),
        }
        | {key: values[name] for key, values in more.items()}
        for name, curve in curves.items()
    ]
    return trials_table(rows), curves_of(curves)


def test_pairs_are_solved_at_the_first_point_as_good_as_their_target(trials_table: Tables) -> None:
    curves = {"a": [(0, 8.0), (10, 3.0), (20, 4.0), (40, 1.0)], "b": [(0, 8.0), (30, 2.0), (80, 2.0)]}
    trials, table = with_targets(trials_table, curves, {"a": 40}, 1.0)
    found = ecdf(trials, table, targets={"xor": [4.0, 2.0, 1.0]})
    assert found["evaluations"].tolist() == [0, 10, 30, 40, 80]
    # a: 4 at 10, 2 and 1 at 40; b: 4 and 2 at 30, 1 never.
    assert found["solved"].tolist() == pytest.approx([0, 1 / 6, 3 / 6, 5 / 6, 5 / 6])
    assert found["reached"].tolist() == [0, 0, 0, 0.5, 0.5]
    assert found["n_trials"].tolist() == [2] * 5
    assert found["task"].tolist() == ["xor"] * 5
    by_step = ecdf(trials, table, targets={"xor": [1.0]}, unit="step")
    assert by_step["step"].tolist() == [0, 20, 40]
    assert by_step["solved"].tolist() == by_step["reached"].tolist() == [0, 0.5, 0.5]


def test_the_target_is_met_where_the_trials_say_so(trials_table: Tables) -> None:
    # a looked lucky at 10 and was not confirmed; b reached it at 5, between two points of a thinned curve.
    curves = {"a": [(0, 8.0), (10, 0.5), (20, 3.0)], "b": [(0, 8.0), (10, 0.9)]}
    trials, table = with_targets(trials_table, curves, {"b": 5}, 1.0)
    found = ecdf(trials, table, targets={"xor": [4.0, 1.0]})
    assert found["evaluations"].tolist() == [0, 5, 10, 20]
    assert found["reached"].tolist() == [0, 0.5, 0.5, 0.5]
    assert found["solved"].tolist() == [0, 0.5, 0.75, 0.75], "an easier target is met with the last one at the latest"


@pytest.mark.parametrize(
    ("start", "target", "higher", "expected"),
    [
        pytest.param(16.0, 1.0, False, [8, 4, 2, 1], id="ratios of what is to be low"),
        pytest.param(0.2, 0.95, True, [0.6, 0.8, 0.9, 0.95], id="ratios of the distance to 1"),
        pytest.param(0.2, 1.0, True, [0.4, 0.6, 0.8, 1.0], id="no ratio to 1"),
        pytest.param(8.0, 0.0, False, [6, 4, 2, 0], id="no ratio to 0"),
        pytest.param(4.0, -4.0, False, [2, 0, -2, -4], id="negative"),
        pytest.param(-10.0, 190.0, True, [40, 90, 140, 190], id="a reward"),
        pytest.param(-0.5, 0.5, True, [-0.25, 0, 0.25, 0.5], id="no share"),
        pytest.param(0.5, 1.0, False, [1.0], id="met at the start"),
        pytest.param(0.9, 0.9, True, [0.9], id="met at the start, high"),
        pytest.param(math.nan, 0.4, False, [0.4], id="start unknown"),
        pytest.param(math.inf, 0.4, False, [0.4], id="start infinite"),
    ],
)
def test_targets_between_the_start_and_the_target(
    start: float, target: float, higher: bool, expected: list[float]
) -> None:
    # 0.2 to 0.95 has a distance to 1 of 0.8 to 0.05: halved four times.
    assert targets_between(start, target, 4, higher=higher) == pytest.approx(expected)


@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.integers(1, 60), st.booleans())
def test_no_target_is_harder_than_the_target_nor_easier_than_the_start(
    start: float, target: float, n_targets: int, higher: bool
) -> None:
    found = targets_between(start, target, n_targets, higher=higher)
    assert found[-1] == target
    easier_first = found if higher else -found
    assert (np.diff(easier_first) >= -1e-9).all()
    assert len(found) == (n_targets if (start < target if higher else start > target) else 1)
    if len(found) > 1:
        assert (min(start, target) - 1e-9 <= found).all()
        assert (found <= max(start, target) + 1e-9).all()
    with pytest.raises(ValueError, match="n_targets"):
        targets_between(start, target, 0, higher=higher)


def test_targets_begin_at_the_typical_start_of_the_metric(trials_table: Tables) -> None:
    curves = {"a": [(0, 8.0), (9, 1.0)], "b": [(0, 16.0)], "c": [(0, 900.0)], "d": []}
    trials, table = with_targets(trials_table, curves, {"a": 9}, 1.0)
    other = table.assign(metric="other", value=1e6)
    (found,) = spaced_targets(trials, pd.concat([other, table]), n_targets=4).values()
    assert found == pytest.approx([8, 4, 2, 1])
    assert spaced_targets(trials.assign(target=math.nan), table) == {}
    assert ecdf(trials.assign(target=math.nan), table).empty
    assert spaced_targets(trials, table.iloc[:0])["xor"].tolist() == [1.0]


def test_what_is_to_be_high_counts_upwards(trials_table: Tables) -> None:
    curves = {"a": [(0, 0.2), (10, 0.7), (20, 0.96)], "b": [(0, 0.2), (20, 0.61), (40, 0.3)]}
    trials, table = with_targets(trials_table, curves, {"a": 20}, 0.95)
    found = ecdf(trials, table, higher={"xor"}, targets={"xor": [0.6, 0.8, 0.9, 0.95]})
    assert found["evaluations"].tolist() == [0, 10, 20, 40]
    assert found["solved"].tolist() == pytest.approx([0, 1 / 8, 5 / 8, 5 / 8])


def test_the_order_of_the_curves_does_not_matter(trials_table: Tables) -> None:
    rng = np.random.default_rng(0)
    curves = {name: [(10 * i, float(v)) for i, v in enumerate(rng.exponential(size=20))] for name in "abc"}
    trials, table = with_targets(trials_table, curves, {"a": 50}, 0.01)
    pd.testing.assert_frame_equal(ecdf(trials, table.sample(frac=1, random_state=0)), ecdf(trials, table))
    pd.testing.assert_frame_equal(curve_bands(trials, table.sample(frac=1, random_state=0)), curve_bands(trials, table))


def test_groups_tasks_and_trials_without_a_curve(trials_table: Tables) -> None:
    trials, table = with_targets(
        trials_table,
        {"a": [(0, 2.0), (5, 1.0)], "b": [(0, 200.0), (9, 100.0)], "c": [(0, 2.0)], "d": [], "e": []},
        {"a": 5},
        1.0,
        task={"a": "xor", "b": "and", "c": "xor", "d": "xor", "e": "xor"},
        method={"a": "walk", "b": "walk", "c": "backprop", "d": "walk", "e": "walk"},
        state={"a": "complete", "b": "complete", "c": "complete", "d": "failed", "e": "pending"},
    )
    targets = {"xor": [1.5, 1.0], "and": [150.0, 1.0]}
    last = ecdf(trials, table, targets=targets).groupby(["task", "method"], sort=False).last()
    # xor, walk: a meets both, d failed and met none, e has not run.
    assert last.loc[("xor", "walk"), ["reached", "solved", "n_trials"]].tolist() == [0.5, 0.5, 2]
    assert last.loc[("and", "walk"), ["reached", "solved", "n_trials"]].tolist() == [0, 0.5, 1]
    assert last.loc[("xor", "backprop"), ["reached", "solved", "n_trials"]].tolist() == [0, 0, 1]
    together = ecdf(trials, table, by=["method"], targets=targets)
    assert together[together["method"] == "walk"]["n_trials"].tolist()[0] == 3
    assert ecdf(trials.iloc[:0], table).empty


def test_bands_hold_the_last_value_between_points(trials_table: Tables) -> None:
    trials, curves = make(
        trials_table, {"a": [(0, 9.0), (10, 6.0), (20, 3.0)], "b": [(0, 5.0), (20, 1.0)], "c": [(0, 7.0), (10, 2.0)]}
    )
    found = curve_bands(trials, curves)
    assert found["evaluations"].tolist() == [0, 10, 20]
    # at 10: 6, 5 (not yet measured again), 2; at 20: 3, 1 and 2, which c ended with
    assert found["median"].tolist() == [7, 5, 2]
    assert found["q25"].tolist() == [6, 3.5, 1.5]
    assert found["q75"].tolist() == [8, 5.5, 2.5]
    assert found["n_trials"].tolist() == [3, 3, 3]


def test_a_diverged_trial_is_the_worst_from_its_end_on(trials_table: Tables) -> None:
    curves = {"a": [(0, 1.0), (10, math.nan)], "b": [(0, 1.0), (10, 0.5), (20, 0.5)], "c": [(0, 1.0), (10, 2e9)]}
    outcome = {"a": "diverged", "b": "exhausted", "c": "diverged"}
    trials, table = make(trials_table, curves, outcome=outcome)
    found = curve_bands(trials, table)
    assert found["median"].tolist() == [1, math.inf, math.inf]
    assert found["q25"].tolist() == [1, math.inf, math.inf]  # halfway from 0.5 to the worst is the worst
    upside_down = curve_bands(trials, table, worst=-math.inf)
    assert upside_down["median"].tolist() == [1, -math.inf, -math.inf]


def test_long_curves_are_thinned_to_points_that_exist(trials_table: Tables) -> None:
    trials, curves = make(trials_table, {"a": [(100 * i, 1 / (i + 1)) for i in range(1000)]})
    found = curve_bands(trials, curves, n_points=20)
    assert len(found) <= 22
    assert found["evaluations"].iloc[0] == 0
    assert found["evaluations"].iloc[-1] == 99_900
    assert set(found["evaluations"]) <= set(range(0, 100_000, 100))
    inner = found["evaluations"].to_numpy()[5:]
    assert np.ptp(np.diff(np.log(inner))) < 0.2
    with pytest.raises(ValueError, match="n_points"):
        curve_bands(trials, curves, n_points=1)


def test_bands_of_cells_and_other_curves(trials_table: Tables) -> None:
    trials, curves = make(
        trials_table, {"a": [(0, 1.0)], "b": [(0, 3.0)], "c": []}, method={"a": "walk", "b": "backprop", "c": "x"}
    )
    found = curve_bands(trials, curves)
    assert found[["method", "median"]].to_numpy().tolist() == [["walk", 1.0], ["backprop", 3.0]]
    assert curve_bands(trials, curves, by=["task"])["median"].tolist() == [2.0]
    empty = curve_bands(trials, curves, metric="loss", split="train")
    assert list(empty.columns) == ["task", "method", "evaluations", "n_trials", "q25", "median", "q75"]
    assert empty.empty


def test_a_fifth_of_a_million_points_take_less_than_seconds(trials_table: Tables) -> None:
    n_trials, n_points = 2000, 100
    steps = np.tile(np.arange(n_points), n_trials)
    names = np.repeat([f"t{i}" for i in range(n_trials)], n_points)
    values = np.random.default_rng(0).exponential(size=steps.size) / (steps + 1)
    curves = pd.DataFrame(
        {"trial_id": names, "step": steps, "evaluations": 10 * steps, "train_seconds": steps / 8.0, "value": values}
    ).assign(schema_version=1, split="heldout", metric="loss")
    curves = curves.astype({column.name: column.dtype for column in CURVE_COLUMNS})
    goal = {"metric_name": "loss", "target": 1e-3, "reached": False}
    rows = [{"trial_id": f"t{i}", "param_stddev": i % 200, **goal} for i in range(n_trials)]
    trials = trials_table(rows, ["stddev"])
    start = time.process_time()
    assert len(ecdf(trials, curves)) > 0
    assert curve_bands(trials, curves)["param_stddev"].nunique() == 200
    assert time.process_time() - start < 4.0  # meant are 0.5 s

"""Cells from trials."""

import math
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from freewalk.results.analysis.summary import best_cells, summarise
from freewalk.results.schema.schema import SUMMARY_COLUMNS, column_names
from freewalk.results.statistics.cell import wilson_interval
from freewalk.results.statistics.intervals import iqm_interval

Tables = Callable[..., pd.DataFrame]

HIT = {"outcome": "reached", "reached": True, "target": 0.1}
MISS = {"outcome": "exhausted", "reached": False, "target": 0.1}


def test_one_cell_by_hand(trials_table: Tables) -> None:
    hit = {"steps_to_target": 10, "evaluations_to_target": 100, "seconds_to_target": 1.5}
    trials = trials_table(
        [
            HIT | hit | {"loss_final": 0.05, "metric_final": 0.05, "steps": 12, "evaluations": 120},
            HIT | hit | {"loss_final": 0.07, "metric_final": 0.07, "steps": 10, "evaluations": 100},
            MISS | {"loss_final": 0.3, "metric_final": 0.3, "steps": 40, "evaluations": 400},
            {"state": "failed", "error": "out of memory", "steps": 5, "evaluations": 50},
            {"state": "pending"},
        ]
    ).assign(metric_name=pd.array(["loss", "loss", None, None, None], dtype="string"))
    (row,) = summarise(trials).to_dict("records")
    assert (row["n_trials"], row["n_complete"], row["n_failed"], row["n_reached"]) == (5, 3, 1, 2)
    assert row["success_rate"] == pytest.approx(2 / 3)
    assert (row["success_rate_low"], row["success_rate_high"]) == wilson_interval(2, 3)
    assert row["ert_evaluations"] == (100 + 100 + 400) / 2
    assert row["ert_steps"] == (10 + 10 + 40) / 2
    assert row["seconds_to_target_median"] == 1.5
    assert row["loss_final_median"] == 0.07
    assert row["loss_final_q25"] == pytest.approx(0.06)
    assert row["loss_final_iqm"] == pytest.approx(0.14)
    interval = iqm_interval([0.05, 0.07, 0.3], lowest=0.0)
    assert interval[0] == 0.0
    assert (row["loss_final_iqm_low"], row["loss_final_iqm_high"]) == interval
    assert (row["metric_name"], row["metric_final_median"], row["target"]) == ("loss", 0.07, 0.1)


def test_cells_without_a_complete_trial_have_no_statistics(trials_table: Tables) -> None:
    trials = trials_table([{"state": "failed"}, {"state": "running"}])
    (row,) = summarise(trials).to_dict("records")
    assert (row["n_trials"], row["n_complete"], row["n_reached"]) == (2, 0, 0)
    statistics = [c.name for c in SUMMARY_COLUMNS if c.dtype == "float64"]
    assert all(math.isnan(row[name]) for name in statistics)


def test_diverged_trials_count_as_the_worst(trials_table: Tables) -> None:
    diverged = {"outcome": "diverged", "reached": False, "target": 0.9}
    trials = trials_table(
        [
            {"outcome": "reached", "reached": True, "target": 0.9, "loss_final": 0.1, "metric_final": 0.95},
            diverged | {"loss_final": math.nan, "metric_final": math.nan},
            diverged | {"loss_final": 0.01, "metric_final": 1e9},
            {"outcome": "exhausted", "reached": False, "target": 0.9, "loss_final": 0.4, "metric_final": 0.5},
        ]
    )
    (row,) = summarise(trials).to_dict("records")
    assert row["loss_final_q25"] == pytest.approx(0.325)
    assert row["loss_final_q75"] == math.inf
    assert row["loss_final_median"] == math.inf
    assert row["metric_final_median"] == -math.inf  # the metric is to be high: the worst is -inf
    (row,) = summarise(trials.iloc[[1]]).to_dict("records")
    assert math.isnan(row["metric_final_median"])  # nothing tells which way is worse
    assert row["ert_evaluations"] != row["ert_evaluations"]  # it never said what it spent


def test_unreached_cell_has_an_infinite_running_time(trials_table: Tables) -> None:
    (row,) = summarise(trials_table([MISS | {"steps": 5, "evaluations": 10}])).to_dict("records")
    assert row["ert_evaluations"] == row["ert_steps"] == math.inf
    assert math.isnan(row["seconds_to_target_median"])


def test_cells_keep_missing_parameters_apart_and_come_in_order(trials_table: Tables) -> None:
    rows = [
        {"method": "walk", "param_stddev": 0.1, "param_update": "raw"},
        {"method": "backprop", "param_stddev": None, "param_update": None},
        {"method": "walk", "param_stddev": 0.01, "param_update": "raw"},
        {"method": "backprop", "param_stddev": None, "param_update": None},
        {"method": "walk", "param_stddev": 0.1, "param_update": None},
        {"method": "walk", "param_stddev": 0.1, "param_update": "raw"},
        {"task": "and", "method": "walk", "param_stddev": 0.1, "param_update": "raw"},
    ]
    trials = trials_table(rows, ["stddev", "update"]).astype({"param_update": "string"})
    summary = summarise(trials)
    assert list(summary.columns) == column_names("summary", ["stddev", "update"])
    assert summary["n_trials"].tolist() == [2, 2, 1, 1, 1]
    assert summary["method"].tolist() == ["walk", "backprop", "walk", "walk", "walk"]
    assert summary["param_stddev"].fillna(-1).tolist() == [0.1, -1, 0.01, 0.1, 0.1]
    assert summary["param_update"].isna().tolist() == [False, True, False, True, False]
    assert summary["task"].tolist() == ["xor"] * 4 + ["and"]


def test_empty_table_has_the_documented_types(trials_table: Tables) -> None:
    summary = summarise(trials_table([{}]).iloc[:0])
    assert summary.empty
    assert {name: str(dtype) for name, dtype in summary.dtypes.items()} == {
        column.name: column.dtype for column in SUMMARY_COLUMNS
    }


def test_five_hundred_cells_take_less_than_a_second(trials_table: Tables) -> None:
    rng = np.random.default_rng(0)
    rows = [
        MISS | {"param_stddev": 0.1 * cell, "seed": seed, "loss_final": loss, "evaluations": 10}
        for cell, losses in enumerate(rng.exponential(size=(500, 10)))
        for seed, loss in enumerate(losses)
    ]
    trials = trials_table(rows, ["stddev"])
    start = time.process_time()
    assert len(summarise(trials)) == 500
    assert time.process_time() - start < 1.0


def test_best_cells_are_ordered_in_each_task() -> None:
    cells = pd.DataFrame(
        [
            ("xor", "none complete", math.nan, math.nan, math.nan),
            ("xor", "never", 0.0, math.inf, 0.5),
            ("and", "only", 0.5, 10.0, 0.5),
            ("xor", "never, closer", 0.0, math.inf, 0.4),
            ("xor", "slow", 1.0, 200.0, 0.01),
            ("xor", "fast", 1.0, 100.0, 0.05),
            ("xor", "as fast", 1.0, 100.0, 0.05),
        ],
        columns=["task", "method", "success_rate", "ert_evaluations", "loss_final_median"],
    )
    best = best_cells(cells, per_task=10)
    ordered = ["fast", "as fast", "slow", "never, closer", "never", "none complete"]
    assert best["method"].tolist() == [*ordered, "only"]
    assert best_cells(cells, per_task=2)["method"].tolist() == ["fast", "as fast", "only"]
    assert best_cells(cells.iloc[:0]).empty
    with pytest.raises(ValueError, match="per_task"):
        best_cells(cells, 0)

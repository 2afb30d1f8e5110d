"""Which cell is best, and which are really worse."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from freewalk.results.analysis.ranking import ranking
from freewalk.results.analysis.summary import best_cells, summarise
from freewalk.results.files.export import write_csv
from freewalk.results.schema.report_schema import RANKING, RANKING_COLUMNS
from freewalk.results.schema.schema import column_names
from freewalk.results.statistics.intervals import running_time_interval
from freewalk.results.statistics.ranks import MANN_WHITNEY, SIGNED_RANK
from freewalk.results.statistics.ratio import running_time_ratio
from freewalk.results.statistics.survival import median_time
from freewalk.results.tables.reading import read_table

Tables = Callable[..., pd.DataFrame]


def hit(stddev: float, seed: int, evaluations: int, **more: Any) -> dict[str, Any]:
    reached = {"outcome": "reached", "reached": True, "target": 0.1, "loss_final": 0.05, "metric_name": "loss"}
    cost = {"evaluations": evaluations, "evaluations_to_target": evaluations, "steps": 1, "steps_to_target": 1}
    return {"param_stddev": stddev, "seed": seed} | reached | cost | more


def miss(stddev: float, seed: int, loss: float = 0.5, **more: Any) -> dict[str, Any]:
    missed = {"outcome": "exhausted", "reached": False, "target": 0.1, "loss_final": loss, "metric_name": "loss"}
    return {"param_stddev": stddev, "seed": seed, "evaluations": 1000, "steps": 1} | missed | more


def two_cells(fast: list[int], slow: list[int]) -> list[dict[str, Any]]:
    return [
        *(hit(0.1, seed, cost) for seed, cost in enumerate(fast)),
        *(hit(0.2, seed, cost) for seed, cost in enumerate(slow)),
    ]


def test_cells_in_order_with_the_numbers_of_the_summary(trials_table: Tables) -> None:
    rows = [
        *(miss(0.3, seed) for seed in range(3)),
        *two_cells([100, 110, 120], [200, 210, 220]),
        *(hit(0.1, seed, 50, task="and") for seed in range(3)),
    ]
    trials = trials_table(rows, ["stddev"])
    table, summary = ranking(trials), summarise(trials)
    assert list(table.columns) == column_names(RANKING, ["stddev"])
    assert table["task"].tolist() == ["xor"] * 3 + ["and"]
    assert table["rank"].tolist() == [1, 2, 3, 1]
    assert table["param_stddev"].tolist() == [0.1, 0.2, 0.3, 0.1]
    best = best_cells(summary, per_task=9)
    for name in ("n_complete", "n_reached", "success_rate", "success_rate_low", "ert_evaluations", "loss_final_iqm"):
        assert table[name].tolist() == best[name].tolist(), name
    pd.testing.assert_frame_equal(ranking(trials, summary), table)
    second = table.iloc[1]
    interval = running_time_interval([200, 210, 220], [True] * 3)
    assert (second["ert_evaluations_low"], second["ert_evaluations_high"]) == pytest.approx(interval)
    middle = median_time([200, 210, 220], [True] * 3)
    assert tuple(second[f"evaluations_median{end}"] for end in ("", "_low", "_high")) == pytest.approx(tuple(middle))


def test_the_first_cell_is_compared_with_nobody(trials_table: Tables) -> None:
    table = ranking(trials_table(two_cells([1, 2], [3, 4]), ["stddev"]))
    first, second = table.iloc[0], table.iloc[1]
    compared = ["ratio", "cost_ratio", "superiority", "test", "p_value", "p_adjusted", "p_attainable", "different"]
    assert pd.isna(first[[*compared, "verdict"]]).all()
    assert (second["superiority"], second["verdict"]) == (1, "unclear")
    assert not second["different"]
    assert second["p_attainable"] == pytest.approx(1 / 3)  # two against two


def test_equal_seeds_are_pairs_where_there_are_enough(trials_table: Tables) -> None:
    rng = np.random.default_rng(0)
    luck = np.exp(2 * rng.normal(size=12))  # far larger than the difference of the cells
    fast = (1000 * luck).astype(int)
    slow = (1100 * luck).astype(int) + 1
    table = ranking(trials_table(two_cells(fast.tolist(), slow.tolist()), ["stddev"]))
    row = table.iloc[1]
    assert row["test"] == SIGNED_RANK
    assert row["p_value"] == pytest.approx(2**-11)
    assert row["different"]
    assert row["superiority"] == 1
    assert stats.mannwhitneyu(fast, slow).pvalue > 0.5
    few = ranking(trials_table(two_cells(fast[:5].tolist(), slow[:5].tolist()), ["stddev"])).iloc[1]
    assert few["test"] == MANN_WHITNEY
    assert few["p_value"] == pytest.approx(stats.mannwhitneyu(fast[:5], slow[:5], method="exact").pvalue)


def test_seeds_that_do_not_match_are_no_pairs(trials_table: Tables) -> None:
    rows = two_cells(list(range(100, 110)), list(range(200, 210)))
    for row in rows[10:]:
        row["seed"] += 1
    assert ranking(trials_table(rows, ["stddev"])).iloc[1]["test"] == MANN_WHITNEY
    for row in rows[10:]:
        row["seed"] = 0
    assert ranking(trials_table(rows, ["stddev"])).iloc[1]["test"] == MANN_WHITNEY


def test_p_values_are_multiplied_by_the_number_of_pairs_of_cells(trials_table: Tables) -> None:
    rows = [hit(stddev, seed, round(1000 * stddev) + seed) for stddev in (0.1, 0.2, 0.3, 0.4) for seed in range(8)]
    table = ranking(trials_table(rows, ["stddev"])).iloc[1:]
    assert table["p_adjusted"].tolist() == pytest.approx((6 * table["p_value"]).tolist())
    assert table["p_attainable"].tolist() == pytest.approx([6 * 2**-7] * 3)
    assert table["different"].all()
    assert table["verdict"].tolist() == ["worse"] * 3
    # A cell without a complete trial is nobody's rival.
    waiting = ranking(trials_table([*rows, {"state": "pending", "param_stddev": 0.5}], ["stddev"])).iloc[1:]
    assert waiting["p_adjusted"].tolist()[:3] == table["p_adjusted"].tolist()


def test_a_missed_target_is_worse_than_any_reached_one(trials_table: Tables) -> None:
    rows = [*(hit(0.1, seed, 999_999) for seed in range(8)), *(miss(0.2, seed, loss=1e-9) for seed in range(8))]
    row = ranking(trials_table(rows, ["stddev"])).iloc[1]
    assert (row["superiority"], row["different"]) == (1, True)
    assert row["ert_evaluations"] == row["ert_evaluations_high"] == row["evaluations_median"] == math.inf
    assert 0 < row["ert_evaluations_low"] < math.inf


def test_where_nobody_reached_it_the_loss_decides_and_divergence_is_worst(trials_table: Tables) -> None:
    rows = [
        *(miss(0.1, seed, loss=0.3 + seed / 100) for seed in range(8)),
        *(miss(0.2, seed, loss=0.6 + seed / 100) for seed in range(8)),
        *(miss(0.3, seed, loss=1e-3, outcome="diverged") for seed in range(8)),
    ]
    table = ranking(trials_table(rows, ["stddev"]))
    assert table["param_stddev"].tolist() == [0.1, 0.2, 0.3]
    assert table["superiority"].tolist()[1:] == [1, 1]
    assert table["different"].tolist()[1:] == [True, True]


def test_cells_without_complete_trials_come_last_and_say_nothing(trials_table: Tables) -> None:
    rows = [{"state": "failed", "param_stddev": 0.5}, {"state": "pending", "param_stddev": 0.5}, *two_cells([1], [2])]
    table = ranking(trials_table(rows, ["stddev"]))
    last = table.iloc[-1]
    assert (last["param_stddev"], last["rank"], last["n_complete"]) == (0.5, 3, 0)
    assert pd.isna(last[["ert_evaluations", "ert_evaluations_low", "evaluations_median", "p_value", "different"]]).all()


def test_a_hopeless_trial_is_no_censored_one(trials_table: Tables) -> None:
    # Five got there, five collapsed early: they would not have made it later, so the median is never.
    rows = [*(hit(0.1, s, 100 + s) for s in range(5)), *(miss(0.1, s, evaluations=10) for s in range(5, 11))]
    early = ranking(trials_table(rows, ["stddev"])).iloc[0]
    for row in rows[5:]:
        row["outcome"] = "collapsed"
    collapsed = ranking(trials_table(rows, ["stddev"])).iloc[0]
    assert early["evaluations_median"] < math.inf
    assert collapsed["evaluations_median"] == math.inf


def test_ratios_are_those_of_the_running_times_and_of_pairs(trials_table: Tables) -> None:
    luck = np.random.default_rng(1).lognormal(size=12)
    fast = (1000 * luck).round()
    rows = [
        *(hit(0.1, s, int(c)) for s, c in enumerate(fast)),
        *(hit(0.2, s, int(1.5 * c)) for s, c in enumerate(fast)),
    ]
    rows[-1] = miss(0.2, 11)
    table = trials_table(rows, ["stddev"])
    for has_budget, budget in ((True, 30_000), (False, math.nan)):
        trials = table.assign(evaluations_budget=30_000.0) if has_budget else table
        row = ranking(trials).iloc[1]
        costs, reached = [*(1.5 * fast[:-1]).astype(int), 1000], [True] * 11 + [False]
        wanted = running_time_ratio(fast, [True] * 12, costs, reached, budget_a=budget, budget_b=budget)
        assert [row[f"ratio{end}"] for end in ("", "_low", "_high")] == pytest.approx(list(wanted))
        interval = running_time_interval(costs, reached, budget=budget)
        assert (row["ert_evaluations_low"], row["ert_evaluations_high"]) == pytest.approx(interval)
    # Of eleven pairs whose costs differ a hundredfold, yet always by the same factor.
    assert row["cost_ratio"] == pytest.approx(1.5, rel=0.01)
    assert 1.45 < row["cost_ratio_low"] <= row["cost_ratio_high"] < 1.55


def test_a_table_that_does_not_say_what_trials_spent_still_ranks(trials_table: Tables) -> None:
    rows = [*(miss(0.1, s, loss=0.3 + s / 100) for s in range(8)), *(miss(0.2, s, loss=0.6) for s in range(8))]
    row = ranking(trials_table([row | {"evaluations": None} for row in rows], ["stddev"])).iloc[1]
    assert (row["verdict"], row["different"]) == ("worse", True)
    assert math.isnan(row["ratio"])


def test_csv_and_back_changes_nothing(trials_table: Tables, tmp_path: Path) -> None:
    rows = [*two_cells([1, 2, 3], [4, 5, 6]), miss(0.3, 0), {"state": "failed", "param_stddev": None}]
    for trials in (trials_table(rows, ["stddev"]), trials_table(rows, ["stddev"]).iloc[:0]):
        table = ranking(trials)
        write_csv(table, tmp_path / "ranking.csv")
        pd.testing.assert_frame_equal(
            read_table(tmp_path / "ranking.csv", RANKING),
            table if len(table) else table.astype({"param_stddev": "string"}),
            check_exact=True,
        )
        assert {c.name: c.dtype for c in RANKING_COLUMNS}.items() <= {
            n: str(d) for n, d in table.dtypes.items()
        }.items()
        plain = pd.read_csv(tmp_path / "ranking.csv")
        assert list(plain.columns) == list(table.columns)

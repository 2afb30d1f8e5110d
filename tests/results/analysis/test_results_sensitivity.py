"""Analysis of variance: by hand, against scipy and statsmodels, on grids with holes."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from freewalk.results.analysis.sensitivity import PENALTY, _spread, sensitivity
from freewalk.results.files.export import write_csv
from freewalk.results.schema.report_schema import SENSITIVITY, SENSITIVITY_COLUMNS
from freewalk.results.statistics.variance import interaction, main_effect, unexplained_share
from freewalk.results.tables.reading import read_table

Tables = Callable[..., pd.DataFrame]


def trial(evaluations: float | None = None, loss: float = 0.5, **more: Any) -> dict[str, Any]:
    """Make a trial that reached its target, or with no evaluations given spent 1000 in vain."""
    reached = evaluations is not None
    spent = round(evaluations) if evaluations is not None else 1000
    row = {"outcome": "reached" if reached else "exhausted", "reached": reached, "target": 0.1, "loss_final": loss}
    return row | {"evaluations": spent, "evaluations_to_target": spent if reached else None} | more


def rows_of(table: pd.DataFrame, task: str = "xor") -> dict[str, pd.Series]:
    return {row["parameter"]: row for _, row in table[table["task"] == task].iterrows()}


def test_one_factor_agrees_with_scipy() -> None:
    rng = np.random.default_rng(0)
    groups = [rng.normal(mean, size=size) for mean, size in [(0, 5), (0.5, 9), (1, 3)]]
    response = np.concatenate(groups)
    effect = main_effect(response, np.repeat([0, 1, 2], [5, 9, 3]), {})
    theirs = stats.f_oneway(*groups)
    assert (effect.f_value, effect.p_value) == pytest.approx((theirs.statistic, theirs.pvalue))
    assert (effect.freedom, effect.residual_freedom) == (2, 14)
    means = np.repeat([g.mean() for g in groups], [5, 9, 3])
    assert effect.share == pytest.approx(means.var() / response.var())


def test_two_unbalanced_factors_agree_with_statsmodels() -> None:
    # statsmodels.api.stats.anova_lm(ols("y ~ C(a) + C(b)"), typ=2), version 0.14
    a, b = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 0, 1, 2]), np.array([0, 1, 2, 0, 1, 0, 0, 1, 2, 1, 1, 0])
    y = np.array([2.04, -2.86, -0.18, -0.07, -0.25, 0.78, -1.02, 0.47, -0.47, 3.02, 0.43, 0.65])
    first, second = main_effect(y, a, {"b": b}), main_effect(y, b, {"a": a})
    assert (first.f_value, first.p_value) == pytest.approx((0.153632136, 0.8604017607))
    assert (second.f_value, second.p_value) == pytest.approx((0.2205976053, 0.8074092072))
    assert first.residual_freedom == second.residual_freedom == 7
    share, freedom = unexplained_share(y, {"a": a, "b": b})
    assert (share, freedom) == (pytest.approx(21.826 / ((y - y.mean()) ** 2).sum()), 7)


def test_shares_of_a_balanced_grid_add_up(trials_table: Tables) -> None:
    rng = np.random.default_rng(0)
    rows = [
        trial(np.exp(5 + 2 * i + 0.5 * j + 0.1 * rng.normal()), param_stddev=i, param_batch=j, seed=seed)
        for i in range(3)
        for j in range(2)
        for seed in range(4)
    ]
    table = sensitivity(trials_table(rows, ["stddev", "batch"]))
    assert table["parameter"].tolist() == ["stddev", "batch", "stddev:batch", "seed", "residual"]
    found = rows_of(table)
    assert sum(found[name]["variance_share"] for name in ("stddev", "batch", "seed", "residual")) == pytest.approx(1)
    assert found["stddev:batch"]["variance_share"] < found["residual"]["variance_share"]
    assert found["stddev"]["variance_share"] > 0.9
    assert found["stddev"]["fold"] == pytest.approx(np.exp(4), rel=0.15)
    assert found["batch"]["fold"] == pytest.approx(np.exp(0.5), rel=0.1)
    assert [found[name]["best_value"] for name in ("stddev", "batch")] == ["0", "0"]
    assert found["stddev"]["degrees_of_freedom"] == 2
    assert found["stddev"]["residual_degrees_of_freedom"] == 24 - 1 - 2 - 1 - 3
    assert found["stddev"]["p_adjusted"] < 1e-9
    p_values = sorted(found[name]["p_value"] for name in ("stddev", "batch", "stddev:batch"))
    assert p_values[1] == found["batch"]["p_value"]
    assert found["batch"]["p_adjusted"] == pytest.approx(max(3 * p_values[0], 2 * p_values[1]))
    assert math.isnan(found["seed"]["p_adjusted"])
    assert pd.isna(found["residual"][["n_values", "f_value", "best_value", "fold", "degrees_of_freedom"]]).all()


def test_censored_trials_count_as_twice_the_largest_budget(trials_table: Tables) -> None:
    rows = [
        *(trial(100, param_stddev=1, seed=seed) for seed in range(3)),
        trial(400, param_stddev=2, seed=0),
        *(trial(None, param_stddev=2, seed=seed) for seed in (1, 2)),
        trial(None, param_stddev=2, seed=3, outcome="diverged") | {"evaluations": 7},
    ]
    found = rows_of(sensitivity(trials_table(rows, ["stddev"])))["stddev"]
    geometric = math.exp((math.log(400) + 3 * math.log(PENALTY * 1000)) / 4)
    assert found["fold"] == pytest.approx(geometric / 100)
    assert (found["n_trials"], found["n_censored"], found["response"]) == (7, 3, "evaluations_to_target")
    assert found["fold_is_bound"], "what the three would have cost is not known"
    missed_where_best = [*rows[:3], *(row | {"param_stddev": 1} for row in rows[4:5]), trial(9000, param_stddev=2)]
    assert not rows_of(sensitivity(trials_table(missed_where_best, ["stddev"])))["stddev"]["fold_is_bound"]


def test_without_a_success_the_loss_is_explained(trials_table: Tables) -> None:
    rows = [
        *(trial(None, loss=0.1 + seed / 1000, param_stddev=1, seed=seed) for seed in range(4)),
        *(trial(None, loss=0.4 + seed / 1000, param_stddev=2, seed=seed) for seed in range(3)),
        trial(None, loss=9.0, param_stddev=2, seed=3, outcome="diverged"),
    ]
    found = rows_of(sensitivity(trials_table(rows, ["stddev"])))["stddev"]
    assert (found["response"], found["best_value"]) == ("loss_final", "1")
    assert found["fold_is_bound"], "one diverged"
    assert not rows_of(sensitivity(trials_table(rows[:-1], ["stddev"])))["stddev"]["fold_is_bound"]
    logs = [math.log(x) for x in (0.4, 0.401, 0.402, PENALTY * 0.402)]
    assert found["fold"] == pytest.approx(math.exp(np.mean(logs) - np.mean(np.log([0.1, 0.101, 0.102, 0.103]))))


def test_a_parameter_is_judged_where_it_applies(trials_table: Tables) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for seed in range(5):
        noise = 0.05 * rng.normal(size=7)
        for i, stddev in enumerate((0.1, 0.2)):
            rows.append(trial(np.exp(9 + noise[i]), param_stddev=stddev, param_update="raw", seed=seed))
            rows += [
                trial(np.exp(6 + k + noise[k]), param_stddev=stddev, param_update="adam", param_rate=k, seed=seed)
                for k in range(3)
            ]
    table = trials_table(rows, ["stddev", "update", "rate"]).astype({"param_update": "string"})
    found = rows_of(sensitivity(table))
    assert found["rate"]["n_trials"] == 30
    assert found["rate"]["variance_share"] > 0.95
    assert found["rate"]["best_value"] == "0.0"
    assert found["update"]["n_trials"] == 40
    # The rate is no covariate of the update, which it would hide: it is missing exactly where that is raw.
    assert found["update"]["degrees_of_freedom"] == 1
    assert found["update"]["p_value"] < 1e-6
    assert found["stddev"]["p_value"] > 0.05
    response = np.log(table["evaluations"].to_numpy(float))
    update, stddev, seed, rate = (
        pd.factorize(table[name], use_na_sentinel=False)[0]
        for name in ("param_update", "param_stddev", "seed", "param_rate")
    )
    by_hand = main_effect(response, update, {"stddev": stddev, "seed": seed})
    assert found["update"]["f_value"] == pytest.approx(by_hand.f_value)
    left, _ = unexplained_share(response, {"u": update, "s": stddev, "r": rate, "seed": seed})
    assert found["residual"]["variance_share"] == pytest.approx(left)
    assert left < 0.05


def test_not_to_apply_is_a_value_of_its_own_for_the_residual(trials_table: Tables) -> None:
    rows = [
        trial(np.exp(level + seed / 10), param_rate=rate, seed=seed)
        for level, rate in ((5, None), (7, 1.0), (6, 2.0))
        for seed in range(3)
    ]
    found = rows_of(sensitivity(trials_table(rows, ["rate"])))
    assert found["residual"]["variance_share"] == pytest.approx(0, abs=1e-3)
    assert found["rate"]["n_trials"] == 6


def test_p_values_are_uniform_where_nothing_matters(trials_table: Tables) -> None:
    rng = np.random.default_rng(0)
    p_values, together = [], []
    for _ in range(60):
        luck = rng.normal(size=5)
        rows = [
            trial(
                cost if (cost := np.exp(6 + luck[seed] + rng.normal())) < 1000 else None,
                param_a=i,
                param_b=j,
                seed=seed,
            )
            for i in range(3)
            for j in range(3)
            for seed in range(5)
            if rng.uniform() < 0.8
        ]
        found = rows_of(sensitivity(trials_table(rows, ["a", "b"])))
        p_values += [found["a"]["p_value"], found["b"]["p_value"]]
        together.append(found["a:b"]["p_value"])
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    assert stats.kstest(together, "uniform").pvalue > 0.01


def test_two_factors_that_act_together_by_hand() -> None:
    a, b = np.repeat([0, 1, 2], 6), np.tile([0, 0, 1, 1, 2, 2], 3)
    y = np.array([2.0, 2.2, 3.1, 2.9, 4.0, 4.2, 3.0, 3.3, 3.1, 2.8, 2.9, 3.2, 4.1, 3.8, 3.0, 3.2, 1.9, 2.1])
    effect = interaction(y, a, b, {})
    assert effect is not None
    full = sum(
        ((y[(a == i) & (b == j)] - y[(a == i) & (b == j)].mean()) ** 2).sum() for i in range(3) for j in range(3)
    )
    additive, _ = unexplained_share(y, {"a": a, "b": b})
    between = additive * ((y - y.mean()) ** 2).sum() - full
    assert effect.f_value == pytest.approx(between / 4 / (full / 9))
    assert (effect.freedom, effect.residual_freedom) == (4, 9)
    assert effect.p_value == pytest.approx(stats.f.sf(effect.f_value, 4, 9))
    assert interaction(y[:9], a[:9], a[:9], {}) is None, "values that do not cross tell nothing"


def test_a_parameter_whose_best_value_depends_on_another_is_found(trials_table: Tables) -> None:
    rng = np.random.default_rng(1)
    rows = [
        trial(np.exp(6 + (timesteps == 4) * (stddev == 2.0) + (timesteps == 32) * (stddev != 2.0) + 0.2 * rng.normal()))
        | {"param_stddev": stddev, "param_timesteps": timesteps, "seed": seed}
        for stddev in (0.03, 0.3, 2.0)
        for timesteps in (4, 32)
        for seed in range(5)
    ]
    pair = rows_of(sensitivity(trials_table(rows, ["stddev", "timesteps"])))["stddev:timesteps"]
    assert pair["p_adjusted"] < 1e-6
    assert pair["best_value"] == "0.03: 4; 0.3: 4; 2.0: 32"
    assert pair["n_values"] == 6
    assert math.isnan(pair["fold"])


def test_values_are_told_in_their_order_numbers_first() -> None:
    levels = ["full", "10", "2", "1", "4"]
    assert [levels[place] for place in _spread(levels)] == ["1", "2", "10", "full"]


def test_tasks_and_methods_apart_and_values_as_text(trials_table: Tables) -> None:
    rows = [
        trial(100 * (1 + 9 * (method == "walk")) + seed, task=task, method=method, param_rate=rate, seed=seed)
        for task in ("xor", "and")
        for method in ("walk", "backprop")
        for rate in (0.1, 0.25)
        for seed in range(3)
    ]
    table = sensitivity(trials_table(rows, ["rate"]))
    assert table["task"].drop_duplicates().tolist() == ["xor", "and"]
    assert table["method"].drop_duplicates().tolist() == ["walk", "backprop"]
    assert table["parameter"].drop_duplicates().tolist() == ["rate", "seed", "residual"]
    found = rows_of(table[table["method"] == "walk"], "and")
    assert found["rate"]["n_trials"] == 6
    assert found["rate"]["best_value"] in ("0.1", "0.25")
    assert found["rate"]["variance_share"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [trial(100, param_stddev=1)],
        [trial(100, param_stddev=1, seed=0), trial(200, param_stddev=1, seed=1)],  # nothing varies
        [trial(100, param_stddev=1), trial(100, param_stddev=2)],  # nothing happens
        [{"state": "failed", "param_stddev": 1}, {"state": "pending", "param_stddev": 2}],
        [trial(None, loss=0.0, param_stddev=1), trial(None, loss=0.0, param_stddev=2)],
        [trial(None, loss=math.nan, param_stddev=1), trial(None, loss=math.inf, param_stddev=2)],
    ],
)
def test_where_there_is_nothing_to_explain_there_are_no_rows(trials_table: Tables, rows: list[dict[str, Any]]) -> None:
    table = sensitivity(trials_table(rows or [trial(1)], ["stddev"]).iloc[: len(rows)])
    assert table.empty
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == {c.name: c.dtype for c in SENSITIVITY_COLUMNS}


def test_too_few_trials_have_shares_but_no_evidence(trials_table: Tables) -> None:
    rows = [trial(100, param_stddev=1), trial(300, param_stddev=2)]
    found = rows_of(sensitivity(trials_table(rows, ["stddev"])))
    assert found["stddev"]["variance_share"] == pytest.approx(1)
    assert math.isnan(found["stddev"]["p_value"])
    assert found["stddev"]["fold"] == pytest.approx(3)


def test_csv_and_back_changes_nothing(trials_table: Tables, tmp_path: Path) -> None:
    rows = [trial(100 + 7 * i * seed, param_stddev=i / 10, seed=seed) for i in range(3) for seed in range(3)]
    for trials in (trials_table(rows, ["stddev"]), trials_table(rows, ["stddev"]).iloc[:0]):
        table = sensitivity(trials)
        write_csv(table, tmp_path / "sensitivity.csv")
        pd.testing.assert_frame_equal(read_table(tmp_path / "sensitivity.csv", SENSITIVITY), table, check_exact=True)


def test_where_nothing_reached_the_target_no_value_is_best(trials_table: Tables) -> None:
    rows = [
        trial(None if timesteps == 1 else 100 * (1 + (batch == timesteps)) + seed)
        | {"param_timesteps": timesteps, "param_batch": batch, "seed": seed}
        for timesteps in (1, 2, 3)
        for batch in (2, 3)
        for seed in range(4)
    ]
    pair = rows_of(sensitivity(trials_table(rows, ["timesteps", "batch"])))["timesteps:batch"]
    assert pair["best_value"] == "2: 3; 3: 2"

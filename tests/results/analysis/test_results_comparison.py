"""Two sweeps side by side."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from freewalk.results.analysis.comparison import EVALUATIONS, SECONDS, STUDENT, compare
from freewalk.results.analysis.comparison_whole import Overall, overall, regressions
from freewalk.results.analysis.matching import MatchError, differences, match_cells
from freewalk.results.files.export import write_csv
from freewalk.results.schema.report_schema import COMPARISON
from freewalk.results.schema.schema import column_names
from freewalk.results.statistics.ranks import SIGNED_RANK
from freewalk.results.tables.reading import read_table

Tables = Callable[..., pd.DataFrame]


def trial(evaluations: float | None, seed: int, pace: float = 1e-3, **more: Any) -> dict[str, Any]:
    """Make a trial that reached its target, or with None spent 1000 evaluations in vain."""
    reached = evaluations is not None
    spent = 1000 if evaluations is None else round(evaluations)
    return {
        "outcome": "reached" if reached else "exhausted",
        "reached": reached,
        "target": 0.1,
        "metric_name": "loss",
        "evaluations": spent,
        "evaluations_to_target": spent if reached else None,
        "steps": spent,
        "train_seconds": spent * pace,
        "seed": seed,
    } | more


def sweep(trials_table: Tables, factor: float = 1.0, pace: float = 1.0, n: int = 8, seed: int = 0) -> pd.DataFrame:
    """Make two cells whose costs share their luck with other sweeps of the same seeds."""
    rng = np.random.default_rng(seed)
    luck = np.random.default_rng(99).lognormal(size=n)
    rows = [
        trial(100 * cell * factor * luck[s], s, pace * (1 + 0.01 * rng.normal()), param_stddev=float(cell))
        for cell in (1, 2)
        for s in range(n)
    ]
    return trials_table(rows, ["stddev"])


def compared(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    return compare(a, b, match_cells(a, b))


def checked(a: pd.DataFrame, b: pd.DataFrame, threshold: float, runs: Any = None) -> tuple[pd.DataFrame, list[Overall]]:
    matching = match_cells(a, b)
    table = compare(a, b, matching, runs=runs)
    return regressions(table, overall(a, b, matching, table, runs), threshold)


def several_runs(
    trials_table: Tables, paces: list[float], cells: int = 2, factor: float = 1.0
) -> tuple[pd.DataFrame, np.ndarray]:
    """Make a side of several runs, each at its pace, and the number of the run of each trial."""
    tables = [
        trials_table(
            [
                trial(500, s, factor * pace * (1 + 0.001 * s), param_stddev=float(cell), trial_id=f"{run}-{cell}-{s}")
                for cell in range(cells)
                for s in range(3)
            ],
            ["stddev"],
        )
        for run, pace in enumerate(paces)
    ]
    return pd.concat(tables, ignore_index=True), np.repeat(np.arange(len(paces)), [len(t) for t in tables])


def test_ratios_and_evidence(trials_table: Tables) -> None:
    a, b = sweep(trials_table), sweep(trials_table, factor=1.5, pace=1.2, seed=1)
    table = compared(a, b)
    assert list(table.columns) == column_names(COMPARISON, ["stddev"])
    assert table["measure"].tolist() == [EVALUATIONS] * 2 + [SECONDS] * 2
    assert table["param_stddev"].tolist() == [1.0, 2.0] * 2
    evaluations, seconds = table.iloc[:2], table.iloc[2:]
    assert evaluations["ratio"].tolist() == pytest.approx([1.5, 1.5], rel=0.01)
    assert (evaluations["ratio_low"] < evaluations["ratio"]).all()
    assert (evaluations["ratio_high"] > evaluations["ratio"]).all()
    assert (evaluations["cost_ratio_low"] > 1.48).all(), "as pairs, luck does not blur it"
    assert evaluations["superiority"].tolist() == [1] * 2
    assert evaluations["different"].all()
    assert evaluations["verdict"].tolist() == ["worse"] * 2
    # Evaluations as pairs, so that luck does not hide the difference.
    assert evaluations["test"].tolist() == [SIGNED_RANK] * 2
    assert evaluations["p_value"].tolist() == pytest.approx([2**-7] * 2)
    assert evaluations["p_adjusted"].tolist() == pytest.approx([2**-6] * 2)
    assert evaluations["p_worse"].tolist() == pytest.approx([2**-8] * 2)
    assert evaluations["p_worse_adjusted"].tolist() == pytest.approx([2**-7] * 2)
    one = a[a["param_stddev"] == 1.0]["evaluations"], b[b["param_stddev"] == 1.0]["evaluations"]
    assert stats.mannwhitneyu(*one).pvalue > 0.1
    assert table[["n_a", "n_b", "n_reached_a", "n_reached_b"]].to_numpy().tolist() == [[8, 8, 8, 8]] * 4
    assert table["value_a"][0] == a[a["param_stddev"] == 1.0]["evaluations"].mean()
    paces = [t[t["param_stddev"] == 1.0]["train_seconds"] / t[t["param_stddev"] == 1.0]["steps"] for t in (a, b)]
    assert table["value_a"][2] == pytest.approx(paces[0].median())
    # One run on each side: a ratio, and nothing that could be tested.
    assert seconds["ratio"].iloc[0] == pytest.approx(paces[1].median() / paces[0].median())
    assert (seconds["ratio_low"].tolist(), seconds["ratio_high"].tolist()) == ([0, 0], [math.inf] * 2)
    untested = ["superiority", "test", "p_value", "p_adjusted", "p_worse", "p_attainable", "different", "verdict"]
    assert seconds[untested].isna().all(axis=None)


def test_the_other_way_round_it_is_the_other_way_round(trials_table: Tables) -> None:
    a, b = sweep(trials_table), sweep(trials_table, factor=1.5, pace=1.2, seed=1)
    there, back = compared(a, b), compared(b, a)
    assert there["verdict"].tolist()[:2] == ["worse"] * 2
    assert back["verdict"].tolist()[:2] == ["better"] * 2
    np.testing.assert_allclose(there["ratio"], 1 / back["ratio"])
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(there["ratio_low"], 1 / back["ratio_high"])
    np.testing.assert_allclose(there["cost_ratio_low"], 1 / back["cost_ratio_high"])
    np.testing.assert_allclose(there["superiority"], 1 - back["superiority"])
    np.testing.assert_allclose(there["p_value"], back["p_value"])


def test_a_sweep_is_no_different_from_itself(trials_table: Tables) -> None:
    a = sweep(trials_table)
    mixed = a.sample(frac=1, random_state=0)
    table = compared(a, mixed)
    evaluations = table[table["measure"] == EVALUATIONS]
    assert evaluations[["ratio", "ratio_low", "ratio_high"]].to_numpy().tolist() == [[1, 1, 1]] * 2
    assert evaluations["p_value"].tolist() == [1.0] * 2
    assert not evaluations["different"].any()
    assert evaluations["verdict"].tolist() == ["unclear"] * 2, "eight seeds do not show that none would fail"
    whole = overall(a, mixed, match_cells(a, mixed), table)
    assert [(o.ratio, o.test is None) for o in whole] == [(1, False), (1, True)]
    assert checked(a, mixed, 1.0)[0].empty
    many = sweep(trials_table, n=60)
    assert compared(many, many)["verdict"].tolist()[:2] == ["alike"] * 2


def test_missing_the_target_is_worse_than_any_cost(trials_table: Tables) -> None:
    a = trials_table([trial(900 + s, s) for s in range(8)])
    b = trials_table([trial(None, s) | {"evaluations": 10} for s in range(8)])
    row = compared(a, b).iloc[0]
    assert (row["ratio"], row["ratio_high"], row["superiority"], row["different"]) == (math.inf, math.inf, 1, True)
    assert (row["n_reached_a"], row["n_reached_b"]) == (8, 0)
    cells, _ = checked(a, b, 500.0)
    assert cells["measure"].tolist() == [EVALUATIONS], "no threshold excuses what never reaches the target"
    neither = compared(b, b).iloc[0]
    assert math.isnan(neither["ratio"])
    assert not neither["different"]
    assert checked(b, b, 1.0)[0].empty
    assert checked(b, b, 1.0)[1] == []


def test_few_trials_cannot_tell_and_say_so(trials_table: Tables) -> None:
    a = trials_table([trial(100 + s, s) for s in range(3)])
    b = trials_table([trial(900 + s, s) for s in range(3)])
    row = compared(a, b).iloc[0]
    assert row["p_attainable"] == pytest.approx(0.1)
    assert row["p_value"] == pytest.approx(0.1)
    assert not row["different"]
    cells, whole = checked(a, b, 1.1)
    assert cells.empty
    assert whole == []


def test_all_cells_tell_what_none_does(trials_table: Tables) -> None:
    rng = np.random.default_rng(0)

    def made(factor: float, seeds: range) -> pd.DataFrame:
        rows = [
            trial(5000 * factor * rng.lognormal(), s, param_stddev=float(cell)) for cell in range(20) for s in seeds
        ]
        return trials_table(rows, ["stddev"])

    for seeds in (range(10), range(50, 60)):  # as pairs, and not
        a, b = made(1.0, range(10)), made(1.5, seeds)
        cells, whole = checked(a, b, 1.1)
        assert cells.empty
        (found,) = whole
        assert (found.measure, found.n_cells, found.n_units) == (EVALUATIONS, 20, 10)
        assert found.ratio_low < 1.5 < found.ratio_high
        assert found.ratio_low > 1.1
        assert checked(a, b, 1.6)[1] == []
        assert checked(b, a, 1.0)[1] == []


def test_cells_of_one_run_are_not_independent(trials_table: Tables) -> None:
    # Each seed has its luck in all cells: fifty cells are no more evidence than one.
    luck = np.random.default_rng(3).lognormal(0, 1, size=(2, 6))
    a, b = (
        trials_table(
            [trial(5000 * of[s], s + 10 * k, param_stddev=float(c)) for c in range(50) for s in range(6)], ["stddev"]
        )
        for k, of in enumerate(luck)
    )
    found = overall(a, b, match_cells(a, b), compared(a, b))[0]
    assert (found.n_units, found.p_value) == (6, pytest.approx(stats.mannwhitneyu(*luck, method="exact").pvalue))


def test_seconds_are_tested_by_pairs_of_runs(trials_table: Tables) -> None:
    paces, dearer = [1e-3, 1.6e-3, 1.1e-3, 0.9e-3] * 2, [1.3, 1.32, 1.28, 1.31, 1.27, 1.33, 1.29, 1.34]
    a, runs_a = several_runs(trials_table, paces)
    b, runs_b = several_runs(trials_table, [p * d for p, d in zip(paces, dearer, strict=True)])
    matching = match_cells(a, b)
    table = compare(a, b, matching, runs=(runs_a, runs_b))
    logs = np.log(dearer)
    interval = stats.t.interval(0.95, 7, loc=logs.mean(), scale=stats.sem(logs))
    for row in table[table["measure"] == SECONDS].to_dict("records"):
        assert [row[f"ratio{end}"] for end in ("", "_low", "_high")] == pytest.approx(np.exp([logs.mean(), *interval]))
        assert (row["test"], row["p_value"], row["p_worse"]) == (SIGNED_RANK, 2**-7, 2**-8)
        assert (row["p_adjusted"], row["verdict"]) == (2**-6, "worse")
    assert table["n_a"].tolist() == [3, 3, 24, 24], "of evaluations each seed counts once"
    cells, whole = checked(a, b, 1.2, (runs_a, runs_b))
    assert cells["measure"].tolist() == [SECONDS] * 2
    assert [(o.measure, o.n_units, o.test) for o in whole] == [(SECONDS, 8, STUDENT)]
    assert whole[0].p_worse == pytest.approx(stats.ttest_1samp(logs, 0).pvalue / 2)
    assert [o.ratio for o in whole] == pytest.approx([math.exp(logs.mean())])
    cells, whole = checked(b, a, 1.0, (runs_b, runs_a))
    assert (len(cells), whole) == (0, [])
    assert compare(b, a, matching, runs=(runs_b, runs_a))["verdict"].tolist()[2:] == ["better"] * 2
    # Of three pairs no cell can be told, yet all together.
    three = np.flatnonzero(runs_a < 3)
    cells, whole = checked(a.iloc[three], b.iloc[three], 1.2, (runs_a[three], runs_b[three]))
    assert (len(cells), [o.measure for o in whole]) == (0, [SECONDS])
    # Two runs are too few, and one that was slow throughout tells nothing.
    two = np.flatnonzero(runs_a < 2)
    few = compare(a.iloc[two], b.iloc[two], match_cells(a.iloc[two], b.iloc[two]), runs=(runs_a[two], runs_b[two]))
    assert few["test"][2:].isna().all()
    slow, runs = several_runs(trials_table, [1e-3, 1e-3, 1e-3])
    slower, _ = several_runs(trials_table, [1e-3, 1.65e-3, 1e-3])
    cells, whole = checked(slow, slower, 1.0, (runs, runs))
    assert (len(cells), whole) == (0, [])


def test_equal_runs_are_alike_and_no_division_by_zero(trials_table: Tables) -> None:
    a, runs = several_runs(trials_table, [1e-3, 1.6e-3, 1e-3])
    table = compare(a, a, match_cells(a, a), runs=(runs, runs))
    assert table["verdict"].tolist()[2:] == ["alike"] * 2
    assert table["p_value"].tolist()[2:] == [1.0] * 2


def test_a_threshold_needs_both_size_and_evidence(trials_table: Tables) -> None:
    a, b = sweep(trials_table), sweep(trials_table, factor=1.5, seed=1)
    assert len(checked(a, b, 1.4)[0]) == 2
    assert len(checked(a, b, 1.6)[0]) == 0
    assert len(checked(b, a, 1.0)[0]) == 0


def test_a_ratio_above_the_threshold_with_evidence_for_b_is_no_regression(trials_table: Tables) -> None:
    # B is twice as fast in 29 of 30 seeds; its only failure costs more than all others gained.
    luck = np.random.default_rng(0).lognormal(0, 0.3, size=30)
    a = trials_table([trial(15_000 * luck[s], s) for s in range(30)])
    b = trials_table([trial(7_000 * luck[s], s) for s in range(30)])
    b.loc[3, ["reached", "outcome", "evaluations_to_target", "evaluations"]] = [False, "exhausted", pd.NA, 600_000]
    row = compared(a, b).iloc[0]
    assert row["ratio"] > 1.5
    assert row["p_value"] < 1e-4
    assert (row["different"], row["verdict"]) == (True, "trade-off")
    assert row["p_worse"] > 0.99
    cells, whole = checked(a, b, 1.1)
    assert (len(cells), whole) == (0, [])
    assert compared(b, a).iloc[0]["verdict"] == "trade-off"


def test_success_rates_alone_make_a_regression(trials_table: Tables) -> None:
    a = trials_table([trial(500 + s, s) for s in range(30)])
    b = trials_table([trial(500 + s if s % 3 else None, s) for s in range(30)])
    (row,) = checked(a, b, 1.1)[0].to_dict("records")
    assert (row["verdict"], row["n_reached_b"]) == ("worse", 20)
    assert row["ratio_low"] > 1.1


def test_cells_with_other_targets_are_no_comparison(trials_table: Tables) -> None:
    a = trials_table([trial(100, s) for s in range(4)])
    for change in ({"target": 0.2}, {"metric_name": "max_error"}):
        b = trials_table([trial(100, s) | change for s in range(4)])
        assert compared(a, b)[["task", "measure"]].to_numpy().tolist() == [["xor", SECONDS]]
    failed = trials_table([trial(100, s, state="failed") for s in range(4)])
    assert compared(a, failed).empty


def test_values_match_as_numbers_and_missing_is_a_value(trials_table: Tables) -> None:
    rows = [trial(100, s, param_batch=batch, param_mode="raw") for batch in (16, None) for s in range(2)]
    a = trials_table(rows, ["batch", "mode"]).astype({"param_batch": "Int64", "param_mode": "string"})
    b = a.assign(param_batch=a["param_batch"].astype("float64")).iloc[::-1]
    matching = match_cells(a, b)
    assert [(x.tolist(), y.tolist()) for x, y in matching.pairs] == [([0, 1], [2, 3]), ([2, 3], [0, 1])]
    assert (matching.only_a, matching.only_b, matching.ignored) == (0, 0, [])
    apart = match_cells(a, b[b["param_batch"].notna()])
    assert (len(apart.pairs), apart.only_a, apart.only_b) == (1, 1, 0)
    text = match_cells(a, a.assign(param_batch=pd.array(["16", "16", None, None], dtype="string")))
    assert len(text.pairs) == 1  # a text is no number


def test_a_parameter_of_one_side_is_left_aside_where_it_does_not_vary(trials_table: Tables) -> None:
    a = trials_table([trial(100, s, param_stddev=0.1) for s in range(2)], ["stddev"])
    b = trials_table([trial(100, s, param_stddev=0.1, param_shape="free") for s in range(2)], ["stddev", "shape"])
    matching = match_cells(a, b)
    assert (len(matching.pairs), matching.ignored) == (1, ["param_shape"])
    assert "param_shape" not in compare(a, b, matching).columns
    varied = b.assign(param_shape=["free", "layered"])
    for pair, side in (((a, varied), "B"), ((varied, a), "A")):
        with pytest.raises(MatchError, match=f"param_shape varies in {side}"):
            match_cells(*pair)


def test_across_leaves_a_parameter_out_of_the_matching(trials_table: Tables) -> None:
    def made(noise: str, **more: Any) -> pd.DataFrame:
        rows = [trial(100 + s, s, param_noise=noise, param_stddev=d) for d in (0.1, 0.2) for s in range(3)]
        return trials_table(rows, ["noise", "stddev"]).assign(**more)

    a, b = made("gaussian"), made("rademacher")
    assert match_cells(a, b).pairs == []
    assert differences(a, b) == {"noise": ("gaussian", "rademacher")}
    matching = match_cells(a, b, ["noise"])
    assert (len(matching.pairs), matching.across) == (2, {"noise": ("gaussian", "rademacher")})
    table = compare(a, b, matching)
    assert "param_noise" not in table.columns
    assert table["n_b"].tolist() == [3] * 4
    # Another method may have other parameters.
    other = b.assign(method="backprop").drop(columns="param_noise")
    assert differences(a, other) == {"method": ("walk", "backprop"), "noise": ("gaussian", "not given")}
    assert len(match_cells(a, other, ["method", "noise"]).pairs) == 2
    assert differences(a, a.iloc[:3]) == {}
    for names, message in (
        (["noice"], "neither has a parameter noice"),
        (["stddev"], "stddev has several values in A"),
    ):
        with pytest.raises(MatchError, match=message):
            match_cells(a, b, names)


def test_csv_and_back_changes_nothing(trials_table: Tables, tmp_path: Path) -> None:
    table = compared(sweep(trials_table), sweep(trials_table, 2.0))
    write_csv(table, tmp_path / "comparison.csv")
    pd.testing.assert_frame_equal(read_table(tmp_path / "comparison.csv", COMPARISON), table, check_exact=True)

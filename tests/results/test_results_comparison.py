"""Two sweeps side by side."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from freewalk.results.comparison import EVALUATIONS, SECONDS, compare, overall, regressions
from freewalk.results.export import write_csv
from freewalk.results.matching import MatchError, match_cells
from freewalk.results.reading import read_table
from freewalk.results.report_schema import COMPARISON
from freewalk.results.schema import column_names
from freewalk.results.statistics_ranks import MANN_WHITNEY, SIGNED_RANK

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


def test_ratios_and_evidence(trials_table: Tables) -> None:
    a, b = sweep(trials_table), sweep(trials_table, factor=1.5, pace=1.2, seed=1)
    table = compared(a, b)
    assert list(table.columns) == column_names(COMPARISON, ["stddev"])
    assert table["measure"].tolist() == [EVALUATIONS] * 2 + [SECONDS] * 2
    assert table["param_stddev"].tolist() == [1.0, 2.0] * 2
    assert table["ratio"].tolist()[:2] == pytest.approx([1.5, 1.5], rel=0.01)
    assert table["ratio"].tolist()[2:] == pytest.approx([1.2, 1.2], rel=0.01)
    assert (table["ratio_low"] < table["ratio"]).all()
    assert (table["ratio_high"] > table["ratio"]).all()
    assert (table["ratio_low"][2:] > 1.15).all()
    assert table["superiority"].tolist() == [1] * 4
    assert table["different"].all()
    # Evaluations as pairs, so that luck does not hide the difference; a clock has no seed.
    assert table["test"].tolist() == [SIGNED_RANK] * 2 + [MANN_WHITNEY] * 2
    assert table["p_value"].tolist()[:2] == pytest.approx([2**-7] * 2)
    assert table["p_adjusted"].tolist()[:2] == pytest.approx([2**-6] * 2)
    one = a[a["param_stddev"] == 1.0]["evaluations"], b[b["param_stddev"] == 1.0]["evaluations"]
    assert stats.mannwhitneyu(*one).pvalue > 0.1
    assert table[["n_a", "n_b", "n_reached_a", "n_reached_b"]].to_numpy().tolist() == [[8, 8, 8, 8]] * 4
    assert table["value_a"][0] == a[a["param_stddev"] == 1.0]["evaluations"].mean()
    paces = a[a["param_stddev"] == 1.0]["train_seconds"] / a[a["param_stddev"] == 1.0]["steps"]
    assert table["value_a"][2] == pytest.approx(paces.median())


def test_the_other_way_round_it_is_the_other_way_round(trials_table: Tables) -> None:
    a, b = sweep(trials_table), sweep(trials_table, factor=1.5, pace=1.2, seed=1)
    there, back = compared(a, b), compared(b, a)
    np.testing.assert_allclose(there["ratio"], 1 / back["ratio"])
    np.testing.assert_allclose(there["ratio_low"], 1 / back["ratio_high"])
    np.testing.assert_allclose(there["superiority"], 1 - back["superiority"])
    np.testing.assert_allclose(there["p_value"], back["p_value"])


def test_a_sweep_is_no_different_from_itself(trials_table: Tables) -> None:
    a = sweep(trials_table)
    table = compared(a, a.sample(frac=1, random_state=0))
    evaluations = table[table["measure"] == EVALUATIONS]
    assert evaluations[["ratio", "ratio_low", "ratio_high"]].to_numpy().tolist() == [[1, 1, 1]] * 2
    assert table["p_value"].tolist() == [1.0] * 4
    assert not table["different"].any()
    assert [o.p_value for o in overall(table)] == [1.0, 1.0]
    assert regressions(table, 1.0)[0].empty


def test_missing_the_target_is_worse_than_any_cost(trials_table: Tables) -> None:
    a = trials_table([trial(900 + s, s) for s in range(8)])
    b = trials_table([trial(None, s) | {"evaluations": 10} for s in range(8)])
    row = compared(a, b).iloc[0]
    assert (row["ratio"], row["ratio_high"], row["superiority"], row["different"]) == (math.inf, math.inf, 1, True)
    assert (row["n_reached_a"], row["n_reached_b"]) == (8, 0)
    cells, _ = regressions(compared(a, b), 5.0)
    assert cells["measure"].tolist() == [EVALUATIONS]
    neither = compared(b, b).iloc[0]
    assert math.isnan(neither["ratio"])
    assert not neither["different"]
    assert regressions(compared(b, b), 1.0)[0].empty


def test_few_trials_cannot_tell_and_say_so(trials_table: Tables) -> None:
    a = trials_table([trial(100 + s, s) for s in range(3)])
    b = trials_table([trial(900 + s, s) for s in range(3)])
    row = compared(a, b).iloc[0]
    assert row["p_attainable"] == pytest.approx(0.1)
    assert row["p_value"] == pytest.approx(0.1)
    assert not row["different"]
    cells, whole = regressions(compared(a, b), 1.1)
    assert cells.empty
    assert whole == []


def test_many_cells_tell_what_none_does(trials_table: Tables) -> None:
    rng = np.random.default_rng(0)

    def made(factor: float) -> pd.DataFrame:
        rows = [
            trial(500, s, factor * (1 + 0.02 * rng.normal()), param_stddev=float(cell))
            for cell in range(10)
            for s in range(3)
        ]
        return trials_table(rows, ["stddev"])

    table = compared(made(1.0), made(1.3))
    cells, whole = regressions(table, 1.1)
    assert cells.empty
    (found,) = whole
    assert (found.measure, found.n_cells) == (SECONDS, 10)
    assert found.ratio == pytest.approx(1.3, rel=0.02)
    assert found.p_value == pytest.approx(2**-9)
    assert regressions(table, 1.4)[1] == []
    assert regressions(compared(made(1.3), made(1.0)), 1.1)[1] == []


def test_a_threshold_needs_both_size_and_evidence(trials_table: Tables) -> None:
    a, b = sweep(trials_table), sweep(trials_table, factor=1.5, seed=1)
    assert len(regressions(compared(a, b), 1.4)[0]) == 2
    assert len(regressions(compared(a, b), 1.6)[0]) == 0
    assert len(regressions(compared(b, a), 1.0)[0]) == 0


def test_cells_with_other_targets_are_no_comparison(trials_table: Tables) -> None:
    a = trials_table([trial(100, s) for s in range(4)])
    for change in ({"target": 0.2}, {"metric_name": "max_error"}):
        b = trials_table([trial(100, s) | change for s in range(4)])
        assert compared(a, b)["measure"].tolist() == [SECONDS]
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


def test_csv_and_back_changes_nothing(trials_table: Tables, tmp_path: Path) -> None:
    table = compared(sweep(trials_table), sweep(trials_table, 2.0))
    write_csv(table, tmp_path / "comparison.csv")
    pd.testing.assert_frame_equal(read_table(tmp_path / "comparison.csv", COMPARISON), table, check_exact=True)

"""What methods cost tuned and untuned: the table, the profiles and the mean ranks, against cases done by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tuning_facts import BUDGET, Fresh, facts_of, raced

from freewalk.results.analysis.tuning import mean_ranks, performance_profile, rounds_table, tuned_table
from freewalk.results.files.export import write_csv
from freewalk.results.statistics.intervals import running_time_interval
from freewalk.results.statistics.ratio import pair_ratio, running_time_ratio
from freewalk.results.tables.reading import read_table


def test_costs_of_winners_and_defaults() -> None:
    """The winner: 100 + 200 + 300 and a miss of 400 over three successes; the defaults: 900 and a miss over one."""
    fresh = Fresh()
    tuned, untuned = fresh.add("xor", "walk", [100, 200, -400, 300]), fresh.add("xor", "walk", [900, -1000])
    facts = facts_of("xor", "walk", tuned, untuned, settings={"stddev": 0.1}, edges=("stddev at its lower edge", "b"))
    (row,) = tuned_table([facts], fresh.trials).to_dict("records")
    assert (row["tuned_n"], row["tuned_reached"], row["tuned_cost"]) == (4, 3, 1000 / 3)
    assert (row["untuned_n"], row["untuned_reached"], row["untuned_cost"]) == (2, 1, 1900)
    assert row["total_evaluations"] == 5000 + 1000 / 3
    assert row["tuned_resolution"] == 2
    assert row["gain"] == 1900 / (1000 / 3)
    a = ([100, 200, 400, 300], [True, True, False, True])
    b = ([900, 1000], [True, False])
    assert (row["tuned_cost_low"], row["tuned_cost_high"]) == running_time_interval(*a, budget=BUDGET)
    ratio = running_time_ratio(*a, *b, budget_a=BUDGET, budget_b=BUDGET)
    assert (row["gain"], row["gain_low"], row["gain_high"]) == ratio
    assert (row["edges"], row["stopped_by"], row["rank"]) == ("stddev at its lower edge, b", "all seeds", 1)
    assert (row["n_settings"], row["n_rounds"], row["n_race_trials"]) == (8, 2, 40)
    assert row["param_stddev"] == 0.1
    for name in ("behind", "p_adjusted", "ratio", "untuned_ratio"):
        assert math.isnan(row[name]), name


def test_methods_stand_by_cost_beside_the_first_and_beside_backprop() -> None:
    walk, backprop, node = ([10.0 * k + 1 for k in range(8)], [20.0 * k + 2 for k in range(8)], [-500.0] * 8)
    facts, trials = raced({"xor": {"node": node, "backprop": backprop, "walk": walk}})
    table = tuned_table(facts, trials)
    assert table["method"].tolist() == ["walk", "backprop", "node"]
    assert table["rank"].tolist() == [1, 2, 3]
    first, second, third = table.to_dict("records")
    assert (first["ratio"], second["ratio"], third["ratio"]) == (0.5, 1, math.inf)
    assert (second["ratio_low"], second["ratio_high"]) == (1, 1)
    assert math.isnan(first["behind"])
    assert (second["behind"], third["behind"]) == (2, math.inf)
    pairs = pair_ratio(walk, backprop)
    assert tuple(second[f"behind_where_both{end}"] for end in ("", "_low", "_high")) == pairs
    assert math.isnan(third["behind_where_both"])
    assert third["behind_low"] > 1
    assert second["verdict"] == third["verdict"] == "worse"
    assert second["p_adjusted"] == pytest.approx(3 * 2 / 2**8)  # three pairs of methods; all eight signs agree


def test_equal_methods_are_not_told_apart() -> None:
    costs = [100.0, 130, 90, 110, 120, 95, 105, 115]
    facts, trials = raced({"xor": {"walk": costs, "node": costs[::-1]}})
    second = tuned_table(facts, trials).iloc[1]
    assert second["verdict"] == "unclear"
    assert (second["rank"], second["behind"]) == (1, 1)


def test_defaults_that_won_gain_nothing_and_those_that_are_missing_say_nothing() -> None:
    fresh = Fresh()
    names = fresh.add("xor", "walk", [100, 200])
    same, without = tuned_table(
        [facts_of("xor", "walk", names, names), facts_of("xor", "node", names)], fresh.trials
    ).to_dict("records")
    assert (same["gain"], same["gain_low"], same["gain_high"]) == (1, 1, 1)
    assert math.isnan(without["gain"])
    assert math.isnan(without["gain_high"])
    assert pd.isna(without["untuned_n"])


def test_tasks_keep_their_order_and_parameters_vary_by_method() -> None:
    fresh = Fresh()
    table = tuned_table(
        [
            facts_of("xor", "walk", fresh.add("xor", "walk", [1, 2]), settings={"stddev": 0.5, "batch_size": 4}),
            facts_of("and", "walk", fresh.add("and", "walk", [3, 3]), settings={"stddev": 0.25}),
            facts_of("and", "node", fresh.add("and", "node", [1, 1]), settings={"optimizer": "adam"}),
        ],
        fresh.trials,
    )
    assert table["task"].tolist() == ["xor", "and", "and"]
    assert table["method"].tolist() == ["walk", "node", "walk"]
    assert table["param_stddev"].fillna(0).tolist() == [0.5, 0, 0.25]
    assert table["param_batch_size"].fillna(0).tolist() == [4, 0, 0]
    assert table["param_optimizer"].fillna("").tolist() == ["", "adam", ""]


def test_trials_that_did_not_end_do_not_count() -> None:
    fresh = Fresh()
    tuned = fresh.add("xor", "walk", [100]) + fresh.add("xor", "walk", [900], state="failed")
    nothing = fresh.add("xor", "node", [5], state="failed")
    table = tuned_table([facts_of("xor", "node", nothing), facts_of("xor", "walk", tuned)], fresh.trials)
    assert table["method"].tolist() == ["walk", "node"]
    assert table["tuned_cost"].iloc[0] == 100
    assert table["tuned_n"].isna().tolist() == [False, True]
    assert math.isnan(table["tuned_cost"].iloc[1])
    assert table["verdict"].isna().all()


def test_a_trial_that_is_not_there_is_named() -> None:
    facts, trials = raced({"xor": {"walk": [1]}})
    with pytest.raises(ValueError, match="trial trial-0 is not in the table"):
        tuned_table(facts, trials.iloc[:0])


def test_both_tables_come_back_from_their_files(tmp_path: Path) -> None:
    facts, trials = raced({"xor": {"walk": [1, -2], "node": [3]}}, settings={"stddev": 0.1, "optimizer": "adam"})
    rounds = rounds_table(
        [
            {
                "task": "xor",
                "method": "walk",
                "round": 1,
                "n_settings": 8,
                "n_seeds": 3,
                "cap_evaluations": 100.0,
                "spent_evaluations": 700.0,
                "leader": "stddev 0.1",
                "leader_cost": math.inf,
                "leader_reached": 0,
                "leader_open": 3,
                "n_worse": 1,
                "n_halved": 3,
                "n_back": 0,
            }
        ]
    )
    assert rounds["leader_cost"].tolist() == [math.inf]
    tuned = tuned_table(facts, trials)
    write_csv(tuned, tmp_path / "tuned.csv")
    write_csv(rounds, tmp_path / "rounds.csv")
    pd.testing.assert_frame_equal(read_table(tmp_path / "tuned.csv", "tuned"), tuned)
    pd.testing.assert_frame_equal(read_table(tmp_path / "rounds.csv", "rounds"), rounds)


def shares(profile: pd.DataFrame, method: str) -> dict[float, float]:
    own = profile[profile["method"] == method]
    return dict(zip(own["tau"], own["share"], strict=True))


def test_a_performance_profile_by_hand() -> None:
    """Costs 10, 20 and inf beside 20, 10 and 10: ratios 1, 2 and inf beside 2, 1 and 1."""
    facts, trials = raced(
        {
            "a": {"walk": [10], "node": [20]},
            "b": {"walk": [20], "node": [10]},
            "c": {"walk": [-30], "node": [10]},
        }
    )
    profile = performance_profile(tuned_table(facts, trials))
    assert shares(profile, "walk") == {1: 1 / 3, 2: 2 / 3}
    assert shares(profile, "node") == {1: 2 / 3, 2: 1}


def test_a_profile_with_tuning_counted_charges_for_it() -> None:
    fresh = Fresh()
    facts = [
        facts_of("a", "walk", fresh.add("a", "walk", [10]), tuning_evaluations=90.0),
        facts_of("a", "guess", fresh.add("a", "guess", [50]), tuning_evaluations=0.0),
    ]
    tuned = tuned_table(facts, fresh.trials)
    assert shares(performance_profile(tuned), "walk") == {1: 1, 5: 1}
    assert shares(performance_profile(tuned, "total_evaluations"), "walk") == {1: 0, 2: 1}


def test_nobody_is_good_at_a_task_that_nobody_learned_or_that_it_was_not_tuned_on() -> None:
    facts, trials = raced({"a": {"walk": [-10], "node": [-10]}, "b": {"walk": [10]}})
    profile = performance_profile(tuned_table(facts, trials))
    assert shares(profile, "walk") == {1: 0.5}
    assert shares(profile, "node") == {1: 0}


def test_mean_ranks_by_hand() -> None:
    """On a: 1, 2 and 3; on b two never reached it and share ranks 2 and 3, so the means are 1.75, 1.5 and 2.75."""
    facts, trials = raced(
        {
            "a": {"walk": [10, 11], "node": [20, 21], "guess": [30, 31]},
            "b": {"walk": [-9, -9], "node": [5, 6], "guess": [-9, -9]},
        }
    )
    ranks = mean_ranks(facts, trials)
    assert dict(zip(ranks["method"], ranks["mean_rank"], strict=True)) == {"walk": 1.75, "node": 1.5, "guess": 2.75}
    assert ranks["method"].tolist() == ["node", "walk", "guess"]
    assert ranks["n_tasks"].tolist() == [2, 2, 2]
    # no resample of the seeds changes any place
    assert ranks["mean_rank_low"].tolist() == ranks["mean_rank_high"].tolist() == ranks["mean_rank"].tolist()


def test_equal_costs_share_their_mean_rank() -> None:
    facts, trials = raced({"a": {"walk": [10, 20], "node": [20, 10], "guess": [1, 1]}})
    ranks = mean_ranks(facts, trials)
    assert dict(zip(ranks["method"], ranks["mean_rank"], strict=True)) == {"guess": 1, "walk": 2.5, "node": 2.5}


def test_resamples_take_the_same_seeds_for_all_methods() -> None:
    """Costs vary a hundredfold from seed to seed, but on each one method is 1 % cheaper: no resample swaps them."""
    base = np.geomspace(1e3, 1e5, 12).round()
    dearer = (1.01 * base).round()
    paired, trials = raced({"a": {"walk": base, "node": dearer}})
    ranks = mean_ranks(paired, trials)
    assert ranks[["mean_rank", "mean_rank_low", "mean_rank_high"]].to_numpy().tolist() == [[1, 1, 1], [2, 2, 2]]
    # the same costs with other partners are not to be told apart
    shuffled, trials = raced({"a": {"walk": base, "node": dearer[::-1]}})
    ranks = mean_ranks(shuffled, trials)
    assert ranks["mean_rank_low"].tolist() == [1, 1]
    assert ranks["mean_rank_high"].tolist() == [2, 2]


def test_the_interval_of_a_mean_rank_narrows_with_the_tasks() -> None:
    """Each task is a toss-up, so the mean over sixteen has a quarter of the spread of one: about 0.5 beside 1."""
    base = np.geomspace(1e3, 1e5, 12).round()
    both = {"walk": base, "node": base[::-1]}
    (one, _), (many, _) = (mean_ranks(*raced({f"{n}": both for n in range(k)})).to_dict("records") for k in (1, 16))
    assert one["mean_rank_high"] - one["mean_rank_low"] == 1
    assert 0.3 < many["mean_rank_high"] - many["mean_rank_low"] < 0.7


def test_a_seed_that_a_method_lacks_and_tasks_without_trials() -> None:
    fresh = Fresh()
    facts = [
        facts_of("a", "walk", fresh.add("a", "walk", [10, 10, 10])),
        facts_of("a", "node", fresh.add("a", "node", [11, 9])),
        facts_of("b", "walk", fresh.add("b", "walk", [1], state="failed")),
        facts_of("c", "guess", fresh.add("c", "guess", [7])),
        facts_of("b", "cma", fresh.add("b", "cma", [1], state="failed")),
    ]
    ranks = {row["method"]: row for row in mean_ranks(facts, fresh.trials).to_dict("records")}
    assert (ranks["walk"]["n_tasks"], ranks["walk"]["mean_rank"], ranks["node"]["mean_rank"]) == (1, 1.5, 1.5)
    assert ranks["guess"]["mean_rank"] == 1
    assert math.isnan(ranks["guess"]["mean_rank_low"])  # a single seed
    assert ranks["cma"]["n_tasks"] == 0
    assert math.isnan(ranks["cma"]["mean_rank"])


def test_the_interval_of_a_mean_rank_holds_the_true_one() -> None:
    """Four methods on three tasks with twenty seeds that they share, sixty times over: 97 % were measured."""
    generator = np.random.default_rng(7)
    names, held = ["m0", "m1", "m2", "m3"], []
    for _ in range(60):
        means = generator.normal(0, 0.3, (3, 4))
        common, own = generator.normal(0, 0.67, (3, 1, 20)), generator.normal(0, 0.44, (3, 4, 20))
        costs = (1000 * np.exp(means[:, :, None] + common + own)).round()
        rows = {f"t{task}": dict(zip(names, of_task, strict=True)) for task, of_task in enumerate(costs)}
        found = mean_ranks(*raced(rows)).set_index("method").loc[names]
        true = (means.argsort(axis=1).argsort(axis=1) + 1).mean(axis=0)
        low, high = (found[f"mean_rank_{end}"].to_numpy() for end in ("low", "high"))
        held.append((low <= true + 1e-9) & (true <= high + 1e-9))
    assert np.mean(held) > 0.92

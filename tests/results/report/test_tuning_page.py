"""The page of `harness tune`: what it says of races and of costs on fresh seeds, and what it makes of odd ones."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest
from page_check import Page, check_page
from tuning_facts import Fresh, facts_of, raced

from freewalk.results.analysis.tuning import RaceFacts, tuned_table
from freewalk.results.base.numbers import MISSING
from freewalk.results.report.palette import LIGHT
from freewalk.results.report.tuning_page import IntervalPlot, Mark, tuning_page
from freewalk.results.report.tuning_view import TaskView, tuning_views

CHEAP = [100.0, 110, 120, 130, 140, 150, 160, 170]
DEAR = [10 * cost for cost in CHEAP]
NEVER = [-500.0] * 8
ROUND = {
    "task": "xor",
    "method": "walk",
    "round": 1,
    "n_settings": 64,
    "n_seeds": 3,
    "cap_evaluations": 1234.0,
    "spent_evaluations": 70000.0,
    "leader": "stddev 0.125",
    "leader_cost": 900.0,
    "leader_reached": 2,
    "leader_open": 1,
    "n_worse": 5,
    "n_halved": 27,
    "n_back": 0,
}


def page(facts: list[RaceFacts], trials: pd.DataFrame, rounds: list[dict[str, Any]] | None = None) -> Page:
    text = tuning_page(facts, rounds or [], trials, identity="0" * 12, command="harness tune --task xor", version="9")
    return check_page(text)


def view(facts: list[RaceFacts], trials: pd.DataFrame) -> TaskView:
    (found,) = tuning_views(facts, tuned_table(facts, trials))
    return found


def test_the_answer_for_a_task() -> None:
    fresh = Fresh()
    slow = fresh.add("xor", "walk", DEAR)
    facts = [
        facts_of("xor", "backprop", fresh.add("xor", "backprop", DEAR), slow, tuning_evaluations=0.0),
        facts_of("xor", "walk", fresh.add("xor", "walk", CHEAP), slow, settings={"stddev": 0.1, "batch_size": 4}),
        facts_of("xor", "node", fresh.add("xor", "node", NEVER)),
    ]
    found = view(facts, fresh.trials)
    assert found.verdict == "decided"
    first, clearly, never, counted, saved, walk = found.sentences
    assert first.startswith("walk learns xor at the least cost: 135 evaluations for a success (95 % interval ")
    assert first.endswith("with stddev 0.1, batch_size 4. It reached the target in 8 of 8 trials on fresh seeds.")
    assert clearly.startswith("Clearly dearer: backprop costs 10 times as much (95 % interval ")
    assert "node" not in clearly
    assert "where both succeed 10" not in clearly  # every pair has one and the same ratio
    assert never.startswith("Never reached the target: node costs at least ")
    assert (
        counted == "Tuning counted, backprop is the cheapest: 1,350 evaluations, none of them for tuning. walk comes"
        " to 5,140."
    )
    assert saved.startswith("The defaults of walk cost 10 times as much (95 % interval ")
    assert saved.endswith("Tuning pays off after 5 successes.")  # 5,000 over 1,350 less 135 is 4.1
    assert walk.startswith("Beside backprop the walk costs 0.1 times as much (95 % interval ")
    assert "The difference is within the intervals" not in walk
    assert "Both untuned: as much" in walk
    text = page(facts, fresh.trials).text
    assert "Which method learns xor, at what price, tuning counted and not counted?" in text
    assert "3 methods on 1 task: 3 races among 24 settings for 10,000 evaluations." in text
    assert "All tasks" not in text


def test_differences_within_the_intervals_are_said_to_be_so() -> None:
    facts, trials = raced({"xor": {"backprop": CHEAP, "walk": CHEAP[::-1]}})
    found = view(facts, trials)
    assert found.verdict == "undecided"
    assert found.sentences[1].startswith("Within the intervals: walk costs as much (95 % interval ")
    assert "The difference is within the intervals." in found.sentences[-1]


def test_a_cheapest_method_that_stays_it_with_tuning_counted() -> None:
    facts, trials = raced({"xor": {"backprop": DEAR, "walk": CHEAP}})
    assert (
        "Tuning counted, it is still the cheapest: 5,140 evaluations, 97 % of them for tuning."
        in page(facts, trials).text
    )


def test_nothing_learned() -> None:
    facts, trials = raced({"xor": {"walk": NEVER, "node": NEVER}})
    found = view(facts, trials)
    assert found.verdict == "not learned"
    assert found.sentences == [
        "Not learned: none of 16 trials of 2 tuned methods reached the target on fresh seeds, after 10,000 evaluations"
        " of tuning."
    ]
    assert "never" in page(facts, trials).text


def test_a_single_method_is_not_the_best_one() -> None:
    facts, trials = raced({"xor": {"walk": CHEAP}})
    found = view(facts, trials)
    assert found.verdict == "only method"
    assert found.sentences[0].startswith("walk learns xor: 135 evaluations")
    text = page(facts, trials).text
    assert "How does walk learn xor, at what price" in text
    assert "times backprop" not in text


def test_nothing_has_ended() -> None:
    fresh = Fresh()
    facts = [facts_of("xor", "walk", fresh.add("xor", "walk", [1], state="failed"))]
    assert view(facts, fresh.trials).sentences == ["No trial of xor on fresh seeds has ended."]
    page(facts, fresh.trials)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"stopped_by": "budget"}, "The race of walk ended because its budget was spent"),
        ({"edges": ("stddev at its upper edge",)}, "At the edge of what was searched: walk: stddev at its upper edge."),
        ({}, "walk has no defaults that can run here."),
    ],
)
def test_what_may_be_wrong(more: dict[str, Any], said: str) -> None:
    facts, trials = raced({"xor": {"walk": CHEAP}}, **more)
    text = page(facts, trials).text
    assert said in text
    assert ("--extend" in text) == ("edges" in more)
    assert ("its budget was spent" in text) == ("stopped_by" in more)


def test_defaults_that_won_and_a_race_that_was_misled() -> None:
    fresh = Fresh()
    names, better = fresh.add("xor", "walk", DEAR), fresh.add("xor", "walk", CHEAP)
    same = [facts_of("xor", "walk", names, names)]
    assert "The defaults of walk won its race: tuning saves nothing." in view(same, fresh.trials).sentences
    assert view(same, fresh.trials).notes == []
    misled = [facts_of("xor", "walk", names, better)]
    assert view(misled, fresh.trials).notes == [
        "On fresh seeds the defaults of walk are cheaper than what won the race: its few seeds misled it."
    ]


def test_defaults_that_never_reach_it_cost_at_least_so_much() -> None:
    fresh = Fresh()
    facts = [facts_of("xor", "walk", fresh.add("xor", "walk", CHEAP), fresh.add("xor", "walk", NEVER))]
    (said,) = (text for text in view(facts, fresh.trials).sentences if text.startswith("With its defaults"))
    assert said.startswith("With its defaults walk never reached the target: they cost at least ")
    assert "An arrow" in page(facts, fresh.trials).text


def test_the_rounds_of_a_race() -> None:
    facts, trials = raced({"xor": {"walk": CHEAP, "node": CHEAP}})
    text = page(facts, trials, [ROUND]).text
    assert "The race of walk: 8 settings, 2 rounds, 40 trials; the winner had run on all seeds, and no other" in text
    assert "1 64 3 1,230 70,000 stddev 0.125 at least 900 2 1 5 27" in text
    assert "at least 900" not in page(facts, trials, [ROUND | {"leader_open": 0}]).text
    assert "6 of 6 seeds reached the target, expected 90 evaluations." in text


def test_several_tasks_have_an_overview() -> None:
    facts, trials = raced(
        {
            "and": {"backprop": DEAR, "walk": CHEAP, "node": NEVER},
            "xor": {"backprop": DEAR, "walk": CHEAP, "node": CHEAP[::-1]},
        }
    )
    found = page(facts, trials)
    assert "Over 2 tasks walk has the best mean rank, 1.25 (95 % interval 1 to 1.5)." in found.text
    assert "Most tasks were learned by walk and backprop: 2 of 2." in found.text
    assert f"walk 1.25 1 {MISSING} 1.5 2 of 2" in found.text
    assert f"node 2.25 2 {MISSING} 2.5 1 of 2" in found.text
    assert {"1: walk", "3: backprop"} <= set(found.curves)
    assert "Cost in units of backprop" in found.text
    assert {"overview", "task-1", "task-2", "run"} <= set(found.ids)


def test_of_many_tasks_the_ranking_comes_first() -> None:
    tasks = ["and", "xor", "parity", "sign"]
    for n in (3, 4):
        found = page(*raced({task: {"walk": CHEAP, "backprop": DEAR} for task in tasks[:n]}))
        asked = "Which method learns " + ("and, xor and parity," if n == 3 else "4 tasks,")
        assert found.text.count(asked) == 1
        assert found.text.count("walk learns and at the least cost") == 1
        assert found.text.count("Clearly dearer: backprop") == n
        answer, ranking = map(found.text.index, ("walk learns and at the least cost", "has the best mean rank"))
        assert (answer < ranking) == (n == 3)


def test_costs_in_units_of_backprop_before_and_after_tuning() -> None:
    fresh = Fresh()
    facts = []
    for task in ("and", "xor"):
        cheap, dear = fresh.add(task, "walk", CHEAP), fresh.add(task, "walk", DEAR)
        facts += [facts_of(task, "backprop", dear, cheap), facts_of(task, "walk", cheap, dear)]
    text = page(facts, fresh.trials).text
    heading = "method and untuned and tuned xor untuned xor tuned walk 10 "
    assert heading in text
    first, _, second = text.split(heading)[1].split("Untuned:")[0].partition(" 10 ")
    assert " 0.1 " in first
    assert " 0.1 " in second


def test_an_overview_without_backprop_or_success() -> None:
    facts, trials = raced({"and": {"walk": NEVER, "node": NEVER}, "xor": {"walk": NEVER}})
    text = page(facts, trials).text
    assert "No method learned any of the tasks." in text
    assert "Cost in units" not in text


def test_more_methods_than_colours() -> None:
    methods = {f"m{n}": [100.0 + n, 110 + n, 120 + n] for n in range(9)}
    facts, trials = raced({"and": methods, "xor": methods})
    text = page(facts, trials).text
    assert "The best 6 by mean rank have colours." in text
    found = page(*raced({key: {**methods, "walk": DEAR} for key in ("and", "xor")}))
    assert "The best 5 by mean rank and walk have colours." in found.text
    assert {"1: m0", "5: m4", "6: walk"} <= set(found.curves)
    assert "6: m5" not in found.curves


def test_names_are_escaped() -> None:
    facts, trials = raced({"<b>x</b>": {"<i>": CHEAP, "<u>": DEAR}, "y": {"<i>": CHEAP}}, settings={"s": "<q>"})
    text = tuning_page(
        facts,
        [ROUND | {"task": "y", "method": "<i>", "leader": "<q>"}],
        trials,
        identity="",
        command="<tt>",
        version="9",
    )
    check_page(text)
    for tag in ("<b>x", "<u>", "<q>", "<tt>"):
        assert tag not in text


def test_a_plot_of_intervals_keeps_what_was_never_reached_inside() -> None:
    rows = [("walk", [Mark(10, 5, 20), None]), ("node", [Mark(math.inf, 30, math.inf), Mark(2, math.nan, math.nan)])]
    (axes,) = IntervalPlot("t", "x", rows).draw(LIGHT).axes
    low, high = axes.get_xlim()
    assert low < 2
    assert high > 30
    for line in axes.lines:
        assert all(low <= float(x) <= high for x in line.get_xdata())
    assert [text.get_text() for text in axes.get_yticklabels()] == ["walk", "node"]

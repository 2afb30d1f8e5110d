"""Better and worse go the way of their evidence: success rate and cost favour either cell, or neither."""

import math
from typing import Any

import numpy as np
import pytest
from report_data import Fate, make_tables, make_trials, missed, mixed, reached

from freewalk.results.analysis.summary import ORDER
from freewalk.results.report.answers import Answer, answer
from freewalk.results.report.making import Report
from freewalk.results.report.ranking_rows import ranking_rows
from freewalk.results.report.subject import Task, split_tasks

MANY, FEW = 60, 3
LUCK = np.random.default_rng(0).lognormal(0, 0.2, size=(2, MANY))


def two_cells(success: str, cost: str, seeds: int) -> Task:
    """Make cells A and B; `success` and `cost` name the one that is better, "" for neither."""

    def fate(row: dict[str, Any]) -> dict[str, Any]:
        here, seed = row["cell"], row["seed"]
        lost = success not in ("", here) and seed % 5 in (1, 3)
        factor = 3.0 if cost not in ("", here) else 1.0
        own = LUCK[1, seed] ** (0.1 if here == "B" else 0)  # else equal cells would be the same trials
        return missed() if lost else reached(round(100 * LUCK[0, seed] * factor * own))

    return task_of(fate, seeds, {"cell": ["A", "B"]})


def task_of(fate: Fate, seeds: int, parameters: dict[str, Any]) -> Task:
    (task,) = split_tasks(make_tables(make_trials(fate, parameters, seeds=seeds)))
    return task


def second_verdict(task: Task) -> str:
    return str(task.finished[1]["verdict"])


def text(found: Answer) -> str:
    return " ".join(found.sentences)


@pytest.mark.parametrize(
    ("success", "cost", "first", "verdict", "words"),
    [
        ("A", "A", "A", "worse", "Decided: the other cell is clearly worse (p = "),
        ("A", "", "A", "worse", "Decided: the other cell is clearly worse (p = "),
        ("A", "B", "A", "trade-off", "Trade-off: cell B reached it in 36 of 60 trials (the first: 60 of 60) but"),
        ("B", "A", "B", "trade-off", "Trade-off: cell A reached it in 36 of 60 trials (the first: 60 of 60) but"),
        ("B", "", "B", "worse", "Decided: the other cell is clearly worse (p = "),
        ("B", "B", "B", "worse", "Decided: the other cell is clearly worse (p = "),
        ("", "A", "A", "worse", "Decided: the other cell is clearly worse (p = "),
        ("", "B", "B", "worse", "Decided: the other cell is clearly worse (p = "),
        ("", "", "", "alike", "No difference: the other cell is as good (costs within 1.25 times, success rates "),
    ],
)  # fmt: skip
def test_all_directions(success: str, cost: str, first: str, verdict: str, words: str) -> None:
    task = two_cells(success, cost, MANY)
    found = answer(task)
    assert found.best is not None
    if first:
        assert found.best["param_cell"] == first
    assert second_verdict(task) == verdict
    assert words in text(found)
    assert found.verdict == {"worse": "decided", "trade-off": "trade-off", "alike": "no difference"}[verdict]
    assert "95 % interval" in found.sentences[1]
    assert ranking_rows(task)[1].behind.startswith(f"{verdict}, p ")
    # Of three seeds nothing is said, whichever way they point.
    task = two_cells(success, cost, FEW)
    found = answer(task)
    assert (found.verdict, second_verdict(task)) == ("undecided", "unclear")
    assert "Not decided: 3 seeds a cell are too few for any test to tell 2 cells apart; it takes 4 at least." in text(
        found
    )
    assert "worse" not in text(found)
    assert "rade-off" not in text(found)


def test_a_trade_off_gives_both_sides() -> None:
    found = answer(two_cells("A", "B", MANY)).sentences[1]
    assert " times the evaluations where both did (95 % interval 0.3" in found
    assert " times with failures counted in (95 % interval " in found
    # 24 failures at 1,000 and 36 successes at 100, over 36; and 60 at 300.
    assert ", 2.6 times with failures" in found or ", 2.5 times with failures" in found


def test_the_cell_that_wins_29_of_30_pairs_is_not_behind() -> None:
    def fate(row: dict[str, Any]) -> dict[str, Any]:
        cost = 400 * LUCK[0, row["seed"]] / row["rate"]
        return missed() if row["rate"] == 2 and row["seed"] == 7 else reached(round(cost))

    task = task_of(fate, 30, {"rate": [1, 2]})
    assert task.finished[0]["param_rate"] == 1
    second = task.finished[1]
    assert bool(second["different"])
    assert second["superiority"] == pytest.approx(1 / 30)
    assert second["verdict"] == "trade-off"
    assert "rate 2 reached it in 29 of 30 trials (the first: 30 of 30) but needs 0.5 times" in text(answer(task))
    assert "behind" not in text(answer(task))


def test_the_order_of_the_ranking_is_said_where_it_is_shown() -> None:
    page = Report(make_tables(make_trials(mixed, {"stddev": [0.1, 1.0]}))).html("1")
    assert f'<p class="remark">{ORDER}</p>' in page


def test_what_is_true_of_most_and_not_of_the_mean_is_a_trade_off() -> None:
    # All reach it; B is cheaper in 25 of 30, and a hundred times dearer in the rest.
    def fate(row: dict[str, Any]) -> dict[str, Any]:
        dear = row["cell"] == "B" and row["seed"] % 6 == 0
        return reached(9000 if dear else 60 if row["cell"] == "B" else 100 + row["seed"])

    task = task_of(fate, 30, {"cell": ["A", "B"]})
    assert task.finished[0]["param_cell"] == "A"
    assert second_verdict(task) == "trade-off"
    assert "cell B reached it in 30 of 30 trials (the first: 30 of 30) and needs 0." in text(answer(task))


def test_several_cells_are_counted_by_what_is_said_of_them() -> None:
    costs = {"best": 100, "same": 100, "dear": 500, "dearer": 900, "swift": 30}

    def fate(row: dict[str, Any]) -> dict[str, Any]:
        luck = LUCK[0, row["seed"]] * (LUCK[1, row["seed"]] ** 0.1 if row["cell"] == "same" else 1)
        return (
            missed() if row["cell"] == "swift" and row["seed"] % 3 == 0 else reached(round(costs[row["cell"]] * luck))
        )

    found = answer(task_of(fate, MANY, {"cell": [*costs]}))
    assert found.verdict == "trade-off"
    assert (
        "Trade-off: 1 of the 4 other cells is as good (costs within 1.25 times, success rates within 10 points), 1 is "
        "a trade-off, the other 2 are clearly worse. All that remain have cell best, same or swift. cell swift reached"
    ) in text(found)
    found = answer(task_of(fate, MANY, {"cell": ["best", "same", "dear"]}))
    assert found.verdict == "narrowed down"
    assert "1 of the 2 other cells is as good" in text(found)
    assert "the other one is clearly worse." in text(found)
    # Few, yet enough to tell twice apart from half.
    found = answer(task_of(fate, 12, {"cell": ["best", "same", "dear"]}))
    assert found.verdict == "narrowed down"
    assert "Narrowed down: 1 of the 2 other cells may be as good, the other one is clearly worse." in text(found)
    assert text(found).endswith("More seeds would tell.")


def test_the_ratio_to_a_cell_that_never_got_there_is_a_bound() -> None:
    task = task_of(lambda row: reached(100) if row["cell"] == "A" else missed(), 10, {"cell": ["A", "B"]})
    second = task.finished[1]
    assert math.isinf(second["ratio"])
    assert 1 < second["ratio_low"] < 1000 / 100 * 9
    assert f"at least {second['ratio_low']:.2g} times as many evaluations." in text(answer(task))


def test_worst_values_that_never_got_there_are_told_as_at_least() -> None:
    def fate(row: dict[str, Any]) -> dict[str, Any]:
        return missed() if row["depth"] == 1 else reached(100 * row["depth"] + row["seed"] + row["width"])

    found = answer(task_of(fate, 5, {"depth": [1, 2, 3], "width": [1, 2]}))
    assert "which is at least 9.8 times as high at its worst value as at its best, 2." in text(found)
    loss: Fate = lambda row: missed(row["depth"] * (1 + 0.001 * row["seed"]) + 0.001 * row["width"])  # noqa: E731
    found = answer(task_of(loss, 5, {"depth": [1, 2], "width": [1, 2]}))
    assert "which is 2 times as high" in text(found), "a loss is no bound"
    slight: Fate = lambda row: missed(1 + row["depth"] * 0.01 + 1e-5 * row["seed"] + 1e-4 * row["width"])  # noqa: E731
    found = answer(task_of(slight, 5, {"depth": [1, 2], "width": [1, 2]}))
    assert "of the final loss, which it changes by less than 5 % all the same." in text(found)

"""The answers: each kind of sweep gets the sentence that fits, with the right numbers and no certainty it lacks."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest
from report_data import Fate, Row, failed, make_tables, make_trials, missed, mixed, reached, waiting
from scipy.stats import binomtest

from freewalk.results.report.answers import Answer, answer
from freewalk.results.report.comparing import seeds_needed, shared_values
from freewalk.results.report.effects import effects_of
from freewalk.results.report.headline import headline, overall
from freewalk.results.report.outcomes import endings, error_groups
from freewalk.results.report.subject import Task, ordered_values, split_tasks, varied_parameters


def tasks_of(fate: Fate, **options: Any) -> list[Task]:
    return split_tasks(make_tables(make_trials(fate, **options)))


def answer_to(fate: Fate, **options: Any) -> Answer:
    (task,) = tasks_of(fate, **options)
    return answer(task)


def said(found: Answer) -> str:
    return " ".join(found.sentences)


def by_stddev(costs: dict[float, int], jitter: int = 1) -> Fate:
    return lambda row: reached(costs[row["stddev"]] + jitter * row["seed"])


def test_a_clear_winner_is_called_decided() -> None:
    found = answer_to(by_stddev({0.1: 100, 0.5: 300, 1.0: 900}), parameters={"stddev": [0.5, 0.1, 1.0]}, seeds=10)
    assert found.verdict == "decided"
    assert found.sentences[0].startswith(
        "stddev 0.1 reached max_error < 0.4 in 10 of 10 trials (95 % interval 72 % to 100 %), at an expected 104 ev"
    )
    assert "Decided: the other 2 cells are clearly worse (every adjusted p at most " in said(found)
    assert "The next, stddev 0.5, needs 2.9 times as many evaluations (95 % interval " in said(found)
    assert found.figures[0][:2] == ("reached", "10/10")
    assert found.figures[1][:2] == (
        "evaluations",
        "104",
    )  # the mean of 100 to 109 is 104.5, rounded to even
    assert found.figures[2][:2] == ("time", "104 µs")


def test_the_interval_of_the_success_rate_is_wilsons() -> None:
    found = answer_to(lambda row: reached(100) if row["seed"] else missed(), seeds=8)
    low, high = (round(100 * end) for end in binomtest(7, 8).proportion_ci(method="wilson"))
    assert f"in 7 of 8 trials (95 % interval {low} % to {high} %)" in said(found)


def test_cells_that_no_test_parts_share_the_first_place() -> None:
    fate: Fate = lambda row: reached((100 if row["stddev"] < 1 else 900) + (row["seed"] * 7919) % 50)  # noqa: E731
    found = answer_to(fate, parameters={"stddev": [0.1, 0.2, 1.0, 2.0]}, seeds=12)
    assert found.verdict == "narrowed down"
    assert "Narrowed down: 1 of the 3 other cells may be as good, the other 2 are clearly worse." in said(found)
    assert "All that remain have stddev 0.1 or 0.2." in said(found)
    assert "needs as many evaluations" in said(found)
    assert "More seeds would tell." in said(found)


def test_nothing_is_decided_among_equals() -> None:
    fate: Fate = lambda row: reached(100 + (row["seed"] * 7919 + int(100 * row["stddev"])) % 50)  # noqa: E731
    found = answer_to(fate, parameters={"stddev": [0.1, 0.2]}, seeds=25)
    assert found.verdict == "undecided"
    assert "Not decided: the other cell may be as good." in said(found)
    assert "More seeds" not in said(found), "25 are not few"


@pytest.mark.parametrize(("seeds", "words"), [(1, "one seed a cell is"), (3, "3 seeds a cell are")])
def test_too_few_seeds_are_named_and_how_many_it_takes(seeds: int, words: str) -> None:
    found = answer_to(by_stddev({0.1: 100, 0.5: 900}), parameters={"stddev": [0.1, 0.5]}, seeds=seeds)
    assert found.verdict == "undecided"
    assert f"{words} too few for any test to tell 2 cells apart; it takes 4 at least." in said(found)
    assert "The next, stddev 0.5, needs 8.9 times" in said(found) or "needs 9 times" in said(found)


@pytest.mark.parametrize("n_others", [1, 5, 47, 431])
def test_seeds_needed_is_the_fewest_that_can_tell(n_others: int) -> None:
    # The most extreme ranks of n against n trials have a two-sided probability of 2 n! n! / (2 n)!.
    needed = seeds_needed(n_others)
    assert needed is not None
    n_pairs = math.comb(n_others + 1, 2)
    smallest = {n: n_pairs * 2 / math.comb(2 * n, n) for n in (needed - 1, needed)}
    assert smallest[needed] < 0.05 <= smallest[needed - 1]


def test_a_single_cell_has_no_rivals() -> None:
    found = answer_to(lambda row: reached(100), seeds=5)
    assert found.verdict == "only cell"
    assert said(found).startswith("The only cell (walk) reached max_error < 0.4 in 5 of 5 trials")
    assert "decided" not in said(found).lower()


def test_a_next_cell_that_never_reached_it() -> None:
    fate: Fate = lambda row: reached(100 + row["seed"]) if row["stddev"] < 1 else missed()  # noqa: E731
    found = answer_to(fate, parameters={"stddev": [0.1, 1.0]}, seeds=10)
    assert found.verdict == "decided"
    assert "Decided: the other cell is clearly worse (p = " in said(found)
    assert "The next, stddev 1, never reached it: that is at least " in said(found)


def test_nothing_learned() -> None:
    fate: Fate = lambda row: missed(0.1 + row["stddev"] + 0.001 * row["seed"])  # noqa: E731
    found = answer_to(fate, parameters={"stddev": [0.5, 0.1]}, seeds=4)
    assert found.verdict == "not learned"
    assert found.sentences[0] == "Not learned: none of 8 trials of 2 cells reached max_error < 0.4."
    assert "Closest came stddev 0.1, with a final loss of 0.202 (interquartile mean)." in said(found)
    assert found.figures[0] == ("reached", "0/4", "0 % \N{EN DASH} 49 %")
    diverged = answer_to(lambda row: missed(math.inf, "diverged"), seeds=2)
    assert diverged.sentences[1] == "The loss of the best cell is not finite at the end."
    assert "none of 2 trials of the only cell" in said(diverged)


def test_all_failed() -> None:
    found = answer_to(lambda row: failed("Boom: it broke" if row["seed"] else "Other: once"), seeds=3)
    assert (found.verdict, found.best) == ("failed", None)
    assert said(found) == "All 3 trials failed. Most often: Boom: it broke"


def test_nothing_yet() -> None:
    found = answer_to(lambda row: waiting("running" if row["seed"] else "pending"))
    assert (found.verdict, said(found)) == ("no result yet", "No trial has ended yet; 2 trials are under way.")
    mixed_fate: Fate = lambda row: waiting() if row["seed"] else failed("Boom")  # noqa: E731
    assert said(answer_to(mixed_fate)) == "No trial has ended yet; 1 trial failed."
    first: Fate = lambda row: reached(100) if row["stddev"] < 1 else waiting()  # noqa: E731
    found = answer_to(first, parameters={"stddev": [0.1, 1.0]})
    assert found.verdict == "undecided"
    assert "No other cell has a result yet." in said(found)


def test_what_matters_is_said() -> None:
    def fate(row: dict[str, Any]) -> dict[str, Any]:
        return reached(int(100 * 10 ** row["timesteps"] * (1 + 0.1 * row["stddev"])) + row["seed"])

    found = answer_to(fate, parameters={"stddev": [0.1, 0.5], "timesteps": [1, 2]}, seeds=5)
    assert "timesteps matters most: it explains >99 % of the variation of the cost, which is 10 times" in said(found)
    assert said(found).endswith("as high at its worst value as at its best, 1.")


def test_no_effect_is_claimed_where_there_is_none() -> None:
    fate: Fate = lambda row: reached(100 + (row["seed"] * 7919 + 31 * row["a"] + 17 * row["b"]) % 50)  # noqa: E731
    found = answer_to(fate, parameters={"a": [1, 2], "b": [1, 2]}, seeds=5)
    assert "No single parameter has a clear effect on its own." in said(found)


def test_parameters_that_only_follow_others_are_not_credited() -> None:
    trials = make_trials(by_stddev({0.1: 100, 0.5: 900}), parameters={"stddev": [0.1, 0.5], "sides": ["one", "two"]})
    trials["param_learning_rate"] = trials["param_stddev"] * 2
    (task,) = split_tasks(make_tables(trials, axes=frozenset({"stddev", "sides", "task"})))
    assert task.varied == ("stddev", "sides")
    assert [row["parameter"].removeprefix("param_") for row in effects_of(task, "walk")] == ["stddev", "sides"]
    assert "stddev seems to matter most" in said(answer(task))
    assert "It varies together with others, so that no test can part them." in said(answer(task))


def test_varied_parameters_always_tell_cells_apart() -> None:
    trials = make_trials(mixed, parameters={"stddev": [0.1, 0.5], "sides": ["one"], "batch_size": [1, 2]})
    assert varied_parameters(trials, frozenset()) == ("stddev", "batch_size")
    assert varied_parameters(trials, frozenset({"stddev", "sides", "batch_size"})) == ("stddev", "batch_size")
    assert varied_parameters(trials, frozenset({"stddev"})) == ("stddev", "batch_size"), "else two cells look alike"


def test_a_parameter_that_only_one_method_has_is_told_by_the_method() -> None:
    trials = make_trials(
        lambda row: reached(10), {"update": ["raw"], "stddev": [0.1, 0.5]}, methods=("walk", "backprop")
    )
    trials.loc[trials["method"] == "backprop", ["param_update", "param_stddev"]] = pd.NA
    assert varied_parameters(trials, frozenset({"update", "stddev"})) == ("stddev",)
    assert varied_parameters(trials, frozenset()) == ("stddev",)


def test_shared_values_name_only_what_sets_cells_apart() -> None:
    (task,) = tasks_of(mixed, parameters={"stddev": [0.1, 0.5, 1.0], "sides": ["one", "two"]}, seeds=1)
    some = [cell for cell in task.cells if cell["param_stddev"] < 1]
    assert shared_values(task, some) == "stddev 0.1 or 0.5"
    assert shared_values(task, task.cells) == ""
    assert (
        shared_values(task, [cell for cell in some if cell["param_sides"] == "one"])
        == "stddev 0.1 or 0.5 and sides one"
    )


def test_methods_are_compared_and_named() -> None:
    fate: Fate = lambda row: reached(10 if row["method"] == "backprop" else 500)  # noqa: E731
    (task,) = tasks_of(fate, parameters={}, methods=("walk", "backprop"), seeds=4)
    found = answer(task)
    assert found.best is not None
    assert task.values(found.best) == [("method", "backprop")]
    assert found.sentences[0].startswith("backprop reached")


def test_parameters_that_do_not_apply_are_left_out_of_labels() -> None:
    trials = make_trials(lambda row: reached(10), parameters={"stddev": [0.1, 0.5]}, methods=("walk", "backprop"))
    trials.loc[trials["method"] == "backprop", "param_stddev"] = math.nan
    (task,) = split_tasks(make_tables(trials))
    labels = {task.label(cell) for cell in task.cells}
    assert labels == {"walk, stddev 0.1", "walk, stddev 0.5", "backprop"}


def question(tasks: Sequence[Task]) -> str:
    return headline(tasks, pd.concat([task.trials for task in tasks])).question


def test_questions() -> None:
    two = tasks_of(mixed, parameters={"stddev": [0.1, 0.5], "batch_size": [1, 2]}, tasks=("xor", "sign"))
    assert question(two) == "Which stddev and batch_size learn xor and sign most surely, and at the least cost?"
    one = tasks_of(mixed, parameters={"stddev": [0.1, 0.5]})
    assert question(one) == "Which stddev learns xor most surely, and at the least cost?"
    assert question(tasks_of(mixed)) == "Does walk learn xor?"
    methods = tasks_of(mixed, methods=("walk", "backprop"))
    assert question(methods) == "Which method learns xor most surely, and at the least cost?"
    many = tasks_of(mixed, tasks=tuple(f"t{n}" for n in range(9)))
    assert question(many) == "Does walk learn t0, t1, t2, t3 and 5 more?"


def test_progress_is_told_only_while_there_is_some() -> None:
    states = ("pending", "running", "interrupted")
    fate: Fate = lambda row: waiting(states[row["seed"] % 3]) if row["seed"] < 5 else reached(10)  # noqa: E731
    tasks = tasks_of(fate, seeds=10)
    found = headline(tasks, tasks[0].trials)
    assert found.progress.startswith(
        "This sweep has not ended: 5 of 10 trials (50 %) are done, 2 running, 1 interrupted and 2 still to run."
    )
    assert found.share_done == 0.5
    assert found.extent == "10 trials: 1 cell on 1 task, with 10 seeds."
    done = tasks_of(lambda row: failed("Boom") if row["seed"] else reached(10))
    assert headline(done, done[0].trials).progress == "", "failed trials are done"


def test_cells_may_have_seeds_of_their_own() -> None:
    tasks = [*tasks_of(lambda row: reached(10), seeds=4), *tasks_of(lambda row: reached(10), tasks=("sign",), seeds=20)]
    found = headline(tasks, pd.concat([task.trials for task in tasks]))
    assert found.extent == "24 trials: 2 cells on 2 tasks, each with 4 to 20 seeds."
    assert [task.size for task in tasks] == ["1 cell with 4 seeds", "1 cell with 20 seeds"]


def test_one_setting_for_all_tasks() -> None:
    costs = {("xor", 0.1): 100, ("xor", 0.5): 200, ("sign", 0.1): 400, ("sign", 0.5): 300}
    fate: Fate = lambda row: reached(costs[row["task"], row["stddev"]])  # noqa: E731
    found = overall(tasks_of(fate, parameters={"stddev": [0.1, 0.5]}, tasks=("xor", "sign")))
    assert found is not None
    assert (found.label, found.n_reached, found.n_complete, found.n_cells) == ("stddev 0.1", 6, 6, 2)
    assert found.ratio == pytest.approx(math.sqrt(1 * 4 / 3))  # 0.5 has sqrt(2)
    assert "stddev 0.1 reached most often, in 6 of 6 trials. It needs 1.2 times" in found.sentence
    assert overall(tasks_of(fate, parameters={"stddev": [0.1, 0.5]})) is None, "one task"
    never = overall(tasks_of(lambda row: missed(), parameters={"stddev": [0.1, 0.5]}, tasks=("xor", "sign")))
    assert never is None
    split: Fate = lambda row: reached(9) if (row["task"] == "xor") == (row["stddev"] < 0.2) else missed()  # noqa: E731
    found = overall(tasks_of(split, parameters={"stddev": [0.1, 0.5]}, tasks=("xor", "sign")))
    assert found is not None
    assert "No cell reached the target on every task." in found.sentence


def test_endings_are_counted_and_explained() -> None:
    tables = make_tables(make_trials(mixed, parameters={"stddev": [0.1, 1.0]}, seeds=4))
    (task,) = split_tasks(tables)
    found = {ending.kind: ending for ending in endings(task, tables.curves)}
    assert {kind: ending.n_trials for kind, ending in found.items()} == {"reached": 4, "exhausted": 3, "diverged": 1}
    assert sum(ending.share for ending in found.values()) == 1
    assert found["reached"].where == "stddev 0.1"
    assert found["diverged"].where == "stddev 1"
    assert found["reached"].example == ""
    assert found["exhausted"].example.startswith("stddev 1, seed 2: exhausted: the budget ended")
    assert found["diverged"].example.startswith("stddev 1, seed 0: diverged: ")
    assert all(ending.meaning and ending.css == f"is-{kind}" for kind, ending in found.items())


def test_errors_are_grouped() -> None:
    fate: Fate = lambda row: failed("A" if row["seed"] else "B") if row["stddev"] > 0.1 else reached(10)  # noqa: E731
    tasks = tasks_of(fate, parameters={"stddev": [0.1, 0.2, 0.3, 0.4, 0.5]}, seeds=3)
    first, second = error_groups(tasks)
    assert (first.task, first.error, first.n_trials) == ("xor", "A", 8)
    assert (second.error, second.n_trials) == ("B", 4)
    assert first.cells == "stddev 0.2; stddev 0.3; stddev 0.4 and 1 more"


def both_methods(row: Row) -> Row:
    """Let backprop cost 100 or so at its best, the walk ten times as much, and numerical never arrive."""
    if row["method"] == "numerical":
        return missed()
    factor = 10 if row["method"] == "walk" else 1
    return reached(factor * (100 + row["seed"]) * (1 if row["stddev"] == 0.1 else 3))


def test_several_methods_are_set_best_against_best() -> None:
    trials = make_trials(both_methods, {"stddev": [0.1, 1.0]}, methods=("walk", "backprop", "numerical"), seeds=10)
    (task,) = split_tasks(make_tables(trials))
    found = answer(task)
    assert found.verdict == "decided"
    assert found.sentences[0].startswith("backprop, stddev 0.1 reached max_error < 0.4 in 10 of 10 trials")
    assert found.sentences[1].startswith(
        "Decided: best against best, walk (stddev 0.1) reached it in 10 of 10 trials at 1,040 evaluations, 10 times"
        " those of backprop where both reached it (95 % interval 10 to 10): it is clearly worse (p = "
    )
    assert found.sentences[2].startswith("numerical (stddev 0.1) never reached it in 10 trials, which is at least ")
    assert "as the best cell of many (2 of backprop, 2 of walk and 2 of numerical)" in found.sentences[3]


def test_methods_that_few_seeds_cannot_tell_apart_are_not_told_apart() -> None:
    trials = make_trials(both_methods, {"stddev": [0.1]}, methods=("walk", "backprop"), seeds=3)
    (task,) = split_tasks(make_tables(trials))
    found = answer(task)
    assert found.verdict == "undecided"
    assert "so few seeds can tell nothing" in said(found)
    assert "picked" not in said(found), "each has one cell"


def test_parameters_that_act_together_are_named_with_the_best_of_each() -> None:
    def crossed(row: Row) -> Row:
        fits = (row["timesteps"] == 4) == (row["stddev"] < 1)
        return reached((100 if fits else 400) + 3 * row["seed"] + int(10 * row["stddev"]))

    trials = make_trials(crossed, {"stddev": [0.1, 0.5, 2.0], "timesteps": [4, 32]}, seeds=5)
    (task,) = split_tasks(make_tables(trials))
    assert "stddev and timesteps act together on the cost (" in said(answer(task))
    assert "the best timesteps is 4 where stddev is 0.1, 4 where stddev is 0.5 and 32 where stddev is 2." in said(
        answer(task)
    )


def test_numbers_that_stand_among_words_come_first_and_by_size() -> None:
    assert ordered_values(["full", "10", "2", "full", None, "1"]) == ["1", "2", "10", "full"]
    assert ordered_values([0.1, math.nan, 0.01]) == [0.01, 0.1]
    assert ordered_values(["raw", "normalised"]) == ["raw", "normalised"]

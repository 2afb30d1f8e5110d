"""The page: what it says and shows for every kind of sweep, that names stay text, its size and its time."""

import math
import re
import time
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from page_check import Page, check_page
from report_data import Fate, failed, make_curves, make_tables, make_trials, missed, mixed, reached, waiting

from freewalk.results.report import making
from freewalk.results.report.making import Report
from freewalk.results.report.page import environment_rows
from freewalk.results.report.ranking_table import ranking_table
from freewalk.results.report.settings import fixed_settings
from freewalk.results.report.subject import TaskNote, split_tasks

SWEPT = {"stddev": [0.01, 0.1, 1.0], "batch_size": [1, 2], "timesteps": [2, 4]}


def page_of(trials: pd.DataFrame, **changes: Any) -> Page:
    return check_page(Report(make_tables(trials, **changes)).html("1.2.3"))


def figures(page: Page) -> list[str]:
    return [given["aria-label"] for given in page.of("svg")]


@pytest.fixture(scope="module")
def full() -> Page:
    trials = make_trials(mixed, SWEPT, tasks=("xor", "sign"), seeds=5)
    environment = {"python": "3.12", "packages": {"numpy": "2.4"}, "cpu": {"features": ["avx2", "fma"]}, "gpu": None}
    return page_of(trials, configuration='name = "mine"\n\n[[grid]]\nstddev = [0.01]\n', environment=environment)


def test_the_question_and_the_answers_come_first(full: Page) -> None:
    question = "Which stddev, batch_size and timesteps learn xor and sign most surely, and at the least cost?"
    order = [
        *(question, "120 trials: 24 cells on 2 tasks, each with 5 seeds.", "xor", "reached max_error", "sign"),
        *("One setting for all", "number 1 wins", "Learning", "What became of the trials", "How it was run"),
    ]
    text = full.text.replace("\u2060", "")
    places = []
    for words in order:
        assert words in text[places[-1] if places else 0 :], words
        places.append(text.index(words, places[-1] if places else 0))
    assert [tag for tag, _ in full.elements].index("table") > [tag for tag, _ in full.elements].index("article")


def test_every_kind_of_plot_is_there(full: Page) -> None:
    for task in ("xor", "sign"):
        assert {label for label in figures(full) if label.startswith(f"{task}: ")} == {
            f"{task}: {title}"
            for title in (
                *("Loss on held-out data", "max_error on held-out data", "Success over cost"),
                *("timesteps = 2", "timesteps = 4", "Share explained", "Cost by stddev", "Cost by batch_size"),
            )
        }
    assert "In grey the 6 others." in full.text


def test_outcomes_reasons_configuration_and_environment(full: Page) -> None:
    for words in (
        *(
            "diverged",
            "the loss rose without end or was not finite",
            "seed 0: diverged: the loss or the metric was not finite",
        ),
        *('name = "mine"', "packages numpy", "2.4", "avx2, fma", "freewalk 1.2.3"),
    ):
        assert words in full.text
    assert "gpu" not in full.text, "what is unknown is left out"
    assert not re.search(r"\b(nan|None|<NA>|NaN)\b", full.text)


def test_ranking_table(full: Page) -> None:
    badges = [given["class"] for given in full.of("b") if "badge" in given.get("class", "")]
    assert badges == [f"badge series-{n}" for n in range(1, 7)] * 4, "in the tables and beside the plots"
    assert "2 more cells" in full.text, "12 cells, 10 at once"
    assert "Cells stand in the order of success rate, then expected evaluations, then final loss." in full.text


@pytest.mark.parametrize(
    ("fate", "options", "words", "n_figures"),
    [
        pytest.param(lambda row: reached(100), {"seeds": 1}, "The only cell (walk) reached", 3, id="one trial"),
        pytest.param(lambda row: missed(), {}, "Not learned: none of 3 trials of the only cell", 3, id="one cell"),
        pytest.param(mixed, {"parameters": SWEPT, "seeds": 1}, "one seed a cell is too few", 8, id="one seed"),
        pytest.param(lambda row: missed(0.2), {"parameters": SWEPT}, "none of 36 trials", 5, id="none reached"),
        pytest.param(lambda row: missed(math.inf, "diverged"), {"parameters": SWEPT}, "not finite", 5, id="diverged"),
        pytest.param(lambda row: failed("Boom"), {"parameters": SWEPT}, "All 36 trials failed.", 0, id="all failed"),
        pytest.param(lambda row: waiting(), {"parameters": SWEPT}, "No trial has ended yet.", 0, id="not begun"),
        pytest.param(mixed, {"parameters": {"stddev": [0.1, 1.0]}, "seeds": 6}, "never reached", 4, id="one parameter"),
        pytest.param(
            lambda row: reached(10 + row["seed"]) if row["sides"] == "two" else missed(),
            {"parameters": {"sides": ["one", "two"], "update": ["raw", "normalised"]}},
            "sides two, update raw reached",
            7,
            id="words",
        ),
        pytest.param(
            lambda row: reached(10 if row["method"] == "backprop" else 500),
            {"parameters": {}, "methods": ("walk", "backprop"), "seeds": 6},
            "backprop reached",
            4,
            id="methods",
        ),
    ],
)
def test_any_sweep(fate: Fate, options: dict[str, Any], words: str, n_figures: int) -> None:
    page = page_of(make_trials(fate, **options))
    assert words in page.text
    assert len(page.of("svg")) == n_figures, figures(page)
    assert not re.search(r"\b(nan|None|<NA>|NaN|inf)\b", page.text)


def test_a_sweep_that_goes_on() -> None:
    trials = make_trials(
        lambda row: reached(10 + row["seed"]) if row["seed"] < 2 else waiting("running"), SWEPT, seeds=4
    )
    curves = make_curves(trials)
    late = curves.assign(trial_id="t3")  # its trial ended after the trials were read
    page = page_of(trials, curves=pd.concat([curves, late], ignore_index=True))
    assert "This sweep has not ended: 24 of 48 trials (50 %) are done, 24 running." in page.text
    assert {"style": "width: 50.0%"} in page.of("i")
    assert "2/2" in page.text
    assert "not ended" not in page_of(make_trials(mixed)).text


def test_without_curves() -> None:
    trials = make_trials(mixed, {"stddev": [0.1, 0.5], "batch_size": [1, 2]})
    tables = make_tables(trials)
    page = check_page(Report(type(tables)(**{**vars(tables), "curves": None})).html("1"))
    assert "There are no learning curves" in page.text
    assert not any("Loss" in label for label in figures(page))
    assert any("stddev and batch_size" in label for label in figures(page))


@pytest.mark.parametrize(
    "name",
    [
        '"><img src=x onerror=alert(1)></style><script>alert(1)</script>',
        "javascript:alert(1){{ 7 * 7 }}{% raw %}$x^{",
        "a\x07b\u202e\n<!--",
        "x" * 3000,
    ],
)
def test_names_stay_text(name: str) -> None:
    def fate(row: dict[str, Any]) -> dict[str, Any]:
        return failed(name) if row["seed"] == 2 else reached(10 + row["seed"])

    trials = make_trials(fate, {"stddev": [0.1, 0.5], "kind": [name, "other"]}, tasks=(name,), methods=(name,))
    trials = trials.assign(metric_name=name).rename(columns={"param_stddev": f"param_{name}"})
    note = {name: TaskNote(name, name, name)}
    page = page_of(trials, name=name, configuration=name, environment={name: {name: [name]}}, notes=note)
    shown = " ".join(name.replace("\x07", "").split())
    assert page.text.count(shown) >= 10
    assert "49" not in [text.strip() for text in page.texts]
    assert len(page.of("svg")) >= 6


def test_tasks_with_equal_anchors_are_kept_apart() -> None:
    page = page_of(make_trials(mixed, tasks=("a b", "a-b", "ä", "ö", "endings", "run"), seeds=1))
    sections = [given["id"] for given in page.of("section") if "id" in given]
    assert sections == [
        "task-a-b",
        "task-a-b-2",
        "task-task",
        "task-task-4",
        "task-endings",
        "task-run",
        "endings",
        "run",
    ]


def test_environment_rows_take_anything() -> None:
    assert environment_rows({"a": 1, "b": {"c": [1, "x"], "d": {"e": 0}}, "f": None, "g": ""}) == [
        *(("a", "1"), ("b c", "1, x"), ("b d e", "0"), ("g", "")),
    ]
    assert environment_rows(["no", "mapping"]) == environment_rows(None) == []


def test_hundreds_of_cells_are_cut_and_said_so() -> None:
    parameters = {
        "stddev": [0.001 * 1.2**n for n in range(30)],
        "batch_size": [1, 2],
        "timesteps": list(range(1, 9)),
    }
    trials = make_trials(lambda row: reached(50 + 7 * row["batch_size"] + row["timesteps"]), parameters, seeds=1)
    assert len(trials) == 480
    report = Report(make_tables(trials))
    html = report.html("1")
    page = check_page(html)
    assert len(html) < 1_000_000
    for words in (
        *("In grey 30 of the 474 others.", "The other 420 cells are in ranking.csv.", "50 more cells"),
        *("Of 8 values of timesteps the first 6 are drawn.", "Of 30 values of stddev 24 are drawn."),
    ):
        assert words in page.text, words


def test_many_tasks_are_not_all_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "MAX_TASKS_DRAWN", 2)
    n_tasks = 4
    trials = make_trials(lambda row: reached(10), tasks=[f"task {n}" for n in range(n_tasks)], seeds=1)
    page = page_of(trials, curves=make_curves(trials, points=2))
    assert f"Plots are drawn for the first 2 of {n_tasks} tasks." in page.text
    assert len(page.of("svg")) == 3 * 2
    assert len(page.of("article")) == n_tasks


@pytest.mark.slow
def test_a_report_of_600_trials_is_quick_and_small() -> None:
    parameters = {"stddev": [0.01, 0.1, 0.3, 1.0], "batch_size": [1, 2, 4, 8], "timesteps": [1, 2, 4]}
    trials = make_trials(mixed, parameters, tasks=("xor", "sign", "parity"), seeds=4)
    curves = make_curves(trials, points=31)
    start = time.process_time()
    html = Report(make_tables(trials, curves)).html("1")
    assert time.process_time() - start < 12.0  # meant are 3 s
    assert len(html.encode()) < 1_000_000  # meant are 0.4 MB


def test_the_theme_follows_the_reader_and_can_be_chosen(full: Page) -> None:
    style = " ".join(full.styles)
    assert "prefers-color-scheme: dark" in style
    assert "#theme-dark:checked" in style
    assert [given["id"] for given in full.of("input") if given["type"] == "radio"] == [
        *("theme-auto", "theme-light", "theme-dark"),
    ]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in full.of("meta")


def test_targets_that_were_met_before_the_first_step() -> None:
    page = page_of(make_trials(lambda row: reached(0), SWEPT, tasks=("xor", "sign")))
    assert "at an expected 0 evaluations" in page.text
    assert "needs 0 evaluations" in page.text
    assert "It needs no more than the evaluations of each task's best cell" in page.text


def test_cells_to_which_an_axis_does_not_apply_are_named() -> None:
    trials = make_trials(mixed, SWEPT)
    trials["param_stddev"] = trials["param_stddev"].where(trials["param_timesteps"] == 2)
    page = page_of(trials)
    assert "Left out are 2 cells to which not all of these parameters apply." in page.text


def test_settings_that_do_not_vary_are_named_with_their_values() -> None:
    parameters = {"stddev": [0.1, 0.5], "learning_rate": [0.3], "optimizer": ["momentum"], "hidden": [30]}
    trials = make_trials(mixed, parameters).assign(backend="cpu", dtype="float32", n_weights=1054)
    run = [{"epochs": 40, "steps_per_epoch": 25, "evaluation_points": 2048, "grid": [{}], "plugins": []}]
    page = page_of(trials, settings=run)
    for words in (
        *("method walk", "learning_rate 0.3", "optimizer momentum", "hidden 30", "epochs 40", "steps_per_epoch 25"),
        *("evaluation_points 2,048", "target max_error < 0.4", "seeds 0 to 2", "backend cpu", "weights 1,054"),
    ):
        assert words in page.text, words
    assert "grid" not in page.text
    assert "stddev 0.1" not in page.text[page.text.index("Settings that") : page.text.index("Learning")]
    both = page_of(trials, settings=[*run, {"epochs": 80, "steps_per_epoch": 25}])
    assert "epochs 40 or 80" in both.text, "sweeps that were merged"


def test_what_is_fixed_within_a_method_stands_beside_it() -> None:
    trials = make_trials(mixed, {"stddev": [0.1, 0.5], "hidden": [8], "momentum": [0.9]}, methods=("walk", "backprop"))
    other = trials["method"] == "backprop"
    trials["param_stddev"] = trials["param_stddev"].mask(other)
    trials["param_momentum"] = trials["param_momentum"].mask(other, 0.5)
    (task,) = split_tasks(make_tables(trials))
    found = {group.title: dict(group.pairs) for group in fixed_settings(task, [])}
    assert found["all cells"] == {"hidden": "8"}
    assert found["walk"] == {"momentum": "0.9"}
    assert found["backprop"] == {"momentum": "0.5"}
    # A rate that follows the optimizer varies although the grid does not name it.
    parameters = {"optimizer": ["sgd", "adam"], "learning_rate": [0.1]}
    trials = make_trials(lambda row: reached(9), parameters)
    trials["param_learning_rate"] = trials["param_learning_rate"].mask(trials["param_optimizer"] == "adam", 0.01)
    (task,) = split_tasks(make_tables(trials, axes=frozenset({"optimizer"})))
    assert ("learning_rate", "0.01 or 0.1") in fixed_settings(task, [])[0].pairs


def with_columns(table: str, **columns: Any) -> Any:
    """Give tables to which columns of later versions have been added."""
    tables = make_tables(make_trials(mixed, SWEPT, seeds=5))
    frame = getattr(tables, table).assign(**columns)
    return replace(tables, **{table: frame})


def test_every_cost_says_how_coarse_it_is() -> None:
    tables = make_tables(make_trials(mixed, SWEPT, seeds=5))
    coarse = tables.summary["ert_evaluations"] * 0.04
    ranked = tables.ranking.assign(ert_resolution=tables.ranking["ert_evaluations"] * 0.04)
    summary = tables.summary.assign(ert_resolution=coarse, n_first_look=2)
    tables = replace(tables, summary=summary, ranking=ranked)
    page = check_page(Report(tables).html("1"))
    assert "up to 4 % less between looks; 2 of 5 met at the first look" in page.text
    assert "Evaluations: up to 4 % less between looks" in page.text, "beside the answer"
    assert page.text.count("Looks make costs up to 4 % too high.") == 2, "heat maps, and the costs of a parameter"
    (table,) = [ranking_table(one.task) for one in Report(tables).tasks]
    assert "resolution" in table.header
    plain = page_of(make_trials(mixed, SWEPT, seeds=5))
    assert "less between looks" not in plain.text
    assert "Looks make costs" not in plain.text


def test_lucky_looks_are_counted_beside_the_endings() -> None:
    trials = make_trials(mixed, SWEPT)
    trials["n_unconfirmed"] = pd.array([3, 1, *[0] * (len(trials) - 3), None], dtype="Int64")
    page = page_of(trials)
    assert "4 looks of 2 trials met the target, but not on fresh datapoints" in page.text
    one = trials[:3].assign(n_unconfirmed=[1, 0, 0])
    assert "1 look of 1 trial met the target" in page_of(one).text
    assert "fresh datapoints" not in page_of(one.drop(columns="n_unconfirmed")).text


def test_ratios_to_the_first_have_their_intervals() -> None:
    tables = with_columns("ranking", ratio=1.5, ratio_low=0.8, ratio_high=2.4)
    never = tables.ranking["n_reached"] == 0
    low, high = (
        tables.ranking[name].mask(never, value) for name, value in (("ratio_low", 3.2), ("ratio_high", math.inf))
    )
    ratio = tables.ranking["ratio"].mask(never, math.inf)
    tables = replace(tables, ranking=tables.ranking.assign(ratio=ratio, ratio_low=low, ratio_high=high))
    page = check_page(Report(tables).html("1"))
    assert "times number 1" in page.text
    assert "0.8 \N{EN DASH} 2.4" in page.text
    assert page.text.count("at least 3.2") == int(never.sum())
    assert page.text.count("1.5 (0.8 \N{EN DASH} 2.4)") == len(never) - never.sum() - 1, "none for the first"
    (table,) = [ranking_table(one.task) for one in Report(tables).tasks]
    assert "1.5 (0.8 \N{EN DASH} 2.4)" in table.rows[1]
    assert table.rows[0][-1] == ""


def test_code_in_a_tasks_summary_is_code_and_nothing_else() -> None:
    note = TaskNote("sums of `length` <b>numbers</b>", "<", "distance")
    page = page_of(make_trials(mixed), notes={"xor": note})
    assert "`" not in page.text
    assert ("code", {}) in page.elements
    assert "<b>numbers</b>" in page.text


def test_no_page_has_a_wrong_plural() -> None:
    trials = make_trials(mixed, {"stddev": [0.1 * n for n in range(1, 12)]}, seeds=1)
    pages = [page_of(trials), page_of(trials[trials["param_stddev"] < 0.15]), page_of(trials.iloc[:7])]
    for page in pages:
        assert not re.search(r"\b1 (cells|trials|seeds|others|looks|more cells|tasks)\b|the 1 other|`", page.text)
    assert "1 more cell" in pages[0].text
    assert "In grey the other cell." in pages[2].text

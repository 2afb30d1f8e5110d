"""What the plots of a report show: which cells, which values, and that the numbers are those of the tables."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from report_data import Fate, make_curves, make_tables, make_trials, missed, mixed, reached, waiting

from freewalk.results.report.bar_plot import BarPlot
from freewalk.results.report.drawing import Group
from freewalk.results.report.heat_map import HeatMap
from freewalk.results.report.heat_maps import MAX_PANELS, MAX_VALUES, heat_maps
from freewalk.results.report.influence import influence_group
from freewalk.results.report.learning import MAX_SEEDS, N_CONTEXT, learning_plots, numbered_cells
from freewalk.results.report.line_plot import LinePlot
from freewalk.results.report.palette import N_SERIES
from freewalk.results.report.point_plot import PointPlot
from freewalk.results.report.subject import Tables, Task, TaskNote, split_tasks


def only_task(tables: Tables) -> Task:
    (task,) = split_tasks(tables)
    return task


def plots(groups: list[Group]) -> dict[str, Any]:
    return {drawing.name: drawing.plot for group in groups for drawing in group.drawings}


def learning(trials: pd.DataFrame, **changes: Any) -> dict[str, LinePlot]:
    tables = make_tables(trials, **changes)
    return plots(learning_plots(only_task(tables), tables))


def test_the_best_cells_are_numbered_and_others_evenly_chosen() -> None:
    parameters = {"stddev": [0.001 * n for n in range(1, 101)]}
    task = only_task(make_tables(make_trials(lambda row: reached(int(1e5 * row["stddev"])), parameters, seeds=1)))
    shown = numbered_cells(task)
    assert [number for number, _ in shown] == [*range(1, N_SERIES + 1), *[None] * N_CONTEXT]
    values = [round(1000 * cell["param_stddev"]) for _, cell in shown]
    assert values[:N_SERIES] == list(range(1, N_SERIES + 1))
    assert values[N_SERIES] == N_SERIES + 1
    assert values[-1] == 100
    assert set(np.diff(values[N_SERIES:])) <= {3, 4}


def test_curves_are_median_and_quartiles_of_complete_trials() -> None:
    trials = make_trials(
        lambda row: missed(0.1 * (1 + row["seed"])) if row["seed"] < 4 else waiting("running"), seeds=5
    )
    curves = make_curves(trials)
    late = curves[curves["trial_id"] == "t0"].assign(trial_id="t4")  # stored after the trials were read
    drawn = learning(trials, curves=pd.concat([curves, late], ignore_index=True))
    (line,) = drawn["loss"].lines
    assert (line.number, line.name) == (1, "walk")
    assert line.x.tolist() == [200, 400, 600, 800, 1000], "a logarithmic axis has no 0"
    low, high = line.low, line.high
    assert low is not None
    assert high is not None
    assert (low[-1], line.y[-1], high[-1]) == pytest.approx((0.175, 0.25, 0.325))
    assert drawn["metric"].target == 0.4
    assert drawn["loss"].target is None, "the loss is not what counts"


def test_the_target_is_drawn_where_the_loss_counts() -> None:
    trials = make_trials(mixed).assign(metric_name="loss", target=0.05)
    drawn = learning(trials)
    assert set(drawn) == {"loss", "success"}
    assert drawn["loss"].target == 0.05


@pytest.mark.parametrize(("comparison", "worst"), [("<", math.inf), (">=", -math.inf)])
def test_diverged_trials_are_at_the_worst_end(comparison: str, worst: float) -> None:
    trials = make_trials(lambda row: missed(math.inf, "diverged"))
    drawn = learning(trials, notes={"xor": TaskNote("", comparison, "share")})
    assert drawn["metric"].lines[0].y[-1] == worst
    assert drawn["loss"].lines[0].y[-1] == math.inf


def test_success_is_the_share_of_seeds_that_reached_the_target() -> None:
    # Curves go straight from 0.6 to 0.3, target 0.4, or to 0.5: a seed that missed has met the easier half of targets.
    fate: Fate = lambda row: reached(100 * (1 + row["seed"])) if row["stddev"] < 0.2 else missed()  # noqa: E731
    good, bad = learning(make_trials(fate, {"stddev": [0.1, 0.5]}, seeds=4))["success"].lines
    assert good.x[[0, -1]].tolist() == [0, 400], "a line ends where its trials did"
    assert bad.x[-1] == 1000
    assert [good.y[good.x <= cost][-1] for cost in (99, 100, 250, 400)] == [0, 0.25, 0.5, 1]
    assert set(bad.y) == {0}
    assert good.pale is not None
    assert bad.pale is not None
    assert (good.pale >= good.y).all(), "easier targets are met no later"
    assert good.pale[-1] == 1
    # Equal ratios from 0.6 to 0.4: the target 0.5 is that far on the way.
    assert bad.pale[-1] == pytest.approx(math.log(0.6 / 0.5) / math.log(0.6 / 0.4), abs=0.02)


def test_success_of_cells_that_learned_nothing_and_of_what_was_learned_at_the_start() -> None:
    trials = make_trials(lambda row: missed() if row["stddev"] > 1 else reached(0), {"stddev": [0.1, 5.0]})
    curves = make_curves(trials)
    flat = curves["value"].where(curves["metric"] != "max_error", 0.6 + 0.001 * curves["step"])
    at_once, never = learning(trials, curves=curves.assign(value=flat))["success"].lines
    assert set(at_once.y) == {1}
    assert never.pale is not None
    assert (never.y[-1], never.pale[-1]) == (0, 0)


def test_success_counts_what_was_confirmed_and_no_lucky_look() -> None:
    trials = make_trials(lambda row: missed())
    curves = make_curves(trials)
    lucky = curves["value"].mask((curves["metric"] == "max_error") & (curves["step"] == 2), 0.1)
    (line,) = learning(trials, curves=curves.assign(value=lucky))["success"].lines
    assert line.pale is not None
    assert set(line.y) == {0}
    assert line.pale[-1] == pytest.approx(49 / 50), "all but the target itself"


def test_success_of_a_share_that_is_to_be_high() -> None:
    note = {"xor": TaskNote("", ">=", "share of right answers")}
    trials = make_trials(lambda row: reached(100) if row["seed"] else missed()).assign(target=0.99)
    trials["metric_final"] = trials["metric_final"].mask(trials["reached"], 0.995)
    curves = make_curves(trials)
    trials, curves = (frame.replace("max_error", "accuracy") for frame in (trials, curves))
    for notes in (note, {}):  # without a note the trials tell what is better
        (line,) = learning(trials, curves=curves, notes=notes)["success"].lines
        assert line.y[-1] == pytest.approx(2 / 3)
        assert line.pale is not None
        # The trial that missed began and ended at 0.6 and 0.5: it never came nearer than where training starts.
        assert line.pale[-1] == pytest.approx(2 / 3)


def test_no_curves_no_plots_but_success() -> None:
    trials = make_trials(mixed)
    for curves in (make_curves(trials).iloc[:0], make_curves(trials).assign(split="train")):
        drawn = learning(trials, curves=curves)
        assert set(drawn) == {"success"}
        assert [line.pale for line in drawn["success"].lines] == [None]
        assert drawn["success"].lines[0].y[-1] == 1
    assert learning(make_trials(lambda row: waiting())) == {}


def test_single_seeds_are_the_curves_of_trials() -> None:
    n_seeds = MAX_SEEDS + 3
    trials = make_trials(lambda row: reached(1000 + row["seed"]), {"stddev": [0.1, 0.2]}, seeds=n_seeds)
    curves = make_curves(trials, points=200)
    lines = learning(trials, curves=curves)["loss"].lines
    for line in lines:
        assert [seed.seed for seed in line.seeds] == list(range(MAX_SEEDS))
        for seed in line.seeds:
            cell = trials[
                (trials["param_stddev"] == float(line.name.removeprefix("stddev "))) & (trials["seed"] == seed.seed)
            ]
            curve = curves[(curves["trial_id"] == cell["trial_id"].item()) & (curves["metric"] == "loss")]
            known = dict(zip(curve["evaluations"], curve["value"], strict=True))
            assert len(seed.x) <= 41
            assert seed.x[-1] == 1000 + seed.seed
            assert all(value == known[at] for at, value in zip(seed.x[1:], seed.y[1:], strict=True))


@pytest.mark.parametrize(
    ("parameters", "methods", "ends"),
    [
        ({"stddev": [0.1, 0.5]}, ("walk",), {"stddev 0.1", "stddev 0.5"}),
        ({"stddev": [0.1], "batch_size": [1, 2]}, ("walk",), {"batch 1", "batch 2"}),
        ({}, ("walk", "backprop"), {"walk", "backprop"}),
        ({"stddev": [0.1, 0.5], "learning_rate": [1, 2]}, ("walk",), {""}),
        ({"stddev": [0.1]}, ("walk",), {""}),
    ],
)
def test_ends_are_in_words_where_all_are_short(
    parameters: dict[str, list[float]], methods: tuple[str, ...], ends: set[str]
) -> None:
    drawn = learning(make_trials(mixed, parameters, methods=methods))
    for plot in drawn.values():
        assert {line.end for line in plot.lines} == ends
        assert not any(sign in line.name for line in plot.lines for sign in "=_`")


def fields(plot: HeatMap) -> dict[tuple[str, str], tuple[float, str]]:
    return {
        (x, y): (float(plot.costs[row, column]), plot.texts[row][column])
        for row, y in enumerate(plot.y_values)
        for column, x in enumerate(plot.x_values)
    }


def test_heat_maps_show_the_tables_numbers() -> None:
    costs = {(0.1, 1, 2): 100, (0.1, 2, 2): 300, (0.5, 1, 2): 200, (0.5, 2, 2): None}

    def fate(row: dict[str, Any]) -> dict[str, Any]:
        cost = costs.get((row["stddev"], row["batch_size"], row["timesteps"]), 50)
        return reached(cost) if cost else missed()

    parameters = {"timesteps": [2, 4], "batch_size": [2, 1], "stddev": [0.5, 0.1]}
    (group,) = heat_maps(only_task(make_tables(make_trials(fate, parameters))))
    assert group.title == "stddev \N{MULTIPLICATION SIGN} batch_size \N{MULTIPLICATION SIGN} timesteps"
    first, second = (drawing.plot for drawing in group.drawings)
    assert isinstance(first, HeatMap)
    assert isinstance(second, HeatMap)
    assert (first.title, second.title) == ("timesteps = 2", "timesteps = 4")
    assert fields(first) == {
        ("0.1", "1"): (100, "100\n3/3"),
        ("0.1", "2"): (300, "300\n3/3"),
        ("0.5", "1"): (200, "200\n3/3"),
        ("0.5", "2"): (math.inf, "0/3"),
    }
    assert first.limits == second.limits == (50, 300), "one scale, so that panels compare"
    assert "Empty frames: never reached." in group.caption


def test_a_field_is_its_best_cell() -> None:
    fate: Fate = lambda row: reached(100 * row["hidden"] * row["stddev"] * row["batch_size"] * row["timesteps"])  # noqa: E731
    parameters = {"hidden": [3, 1, 2], "timesteps": [1, 2], "stddev": [1, 2], "batch_size": [1, 2]}
    (group,) = heat_maps(only_task(make_tables(make_trials(fate, parameters))))
    plot = group.drawings[1].plot
    assert isinstance(plot, HeatMap)
    assert [[float(cost) for cost in row] for row in plot.costs] == [[200, 400], [400, 800]]
    assert "Each field is the best cell over hidden." in group.caption


def test_heat_maps_of_the_loss_where_nothing_was_reached() -> None:
    parameters = {"a": ["x", "y"], "b": [1, 2]}
    (group,) = heat_maps(only_task(make_tables(make_trials(lambda row: missed(0.1 * row["b"]), parameters))))
    plot = group.drawings[0].plot
    assert isinstance(plot, HeatMap)
    assert plot.measure == "Final loss, interquartile mean"
    assert {text for row in plot.texts for text in row} == {"0.1", "0.2"}


def test_waiting_cells_are_empty_and_explained() -> None:
    fate: Fate = lambda row: waiting() if row["b"] == 2 and row["a"] == 2 else reached(10)  # noqa: E731
    (group,) = heat_maps(only_task(make_tables(make_trials(fate, {"a": [1, 2], "b": [1, 2]}))))
    assert fields(group.drawings[0].plot)["2", "2"] == (math.inf, "\N{EN DASH}")  # type: ignore[arg-type]
    assert "\N{EN DASH}: no result." in group.caption


def test_long_axes_are_thinned() -> None:
    parameters = {"stddev": [0.01 * n for n in range(1, 51)], "batch_size": [1, 2], "timesteps": list(range(1, 10))}
    (group,) = heat_maps(only_task(make_tables(make_trials(lambda row: reached(10), parameters, seeds=1))))
    assert len(group.drawings) == MAX_PANELS
    plot = group.drawings[0].plot
    assert isinstance(plot, HeatMap)
    assert plot.costs.shape == (2, MAX_VALUES)
    assert (plot.x_values[0], plot.x_values[-1]) == ("0.01", "0.5")
    assert f"Of 9 values of timesteps the first {MAX_PANELS} are drawn." in group.caption
    assert f"Of 50 values of stddev {MAX_VALUES} are drawn." in group.caption


def test_one_parameter_has_no_heat_map_and_each_method_its_own() -> None:
    assert heat_maps(only_task(make_tables(make_trials(mixed, {"stddev": [0.1, 0.5]})))) == []
    parameters = {"stddev": [0.1, 0.5], "batch_size": [1, 2]}
    fate: Fate = lambda row: reached(100 if row["method"] == "walk" else 900)  # noqa: E731
    task = only_task(make_tables(make_trials(fate, parameters, methods=("walk", "other"))))
    assert {group.drawings[0].plot.limits for group in heat_maps(task)} == {(100, 900)}, "methods compare"  # type: ignore[attr-defined]
    assert [group.title.partition(":")[0] for group in heat_maps(task)] == ["walk", "other"]
    names = [drawing.name for group in heat_maps(task) for drawing in group.drawings]
    assert len(names) == len(set(names))


def test_influence_shows_the_sensitivity_table() -> None:
    def fate(row: dict[str, Any]) -> dict[str, Any]:
        return reached(int(1000 * 10 ** row["a"] * 1.5 ** row["b"]) + row["seed"]) if row["c"] == 1 else missed()

    tables = make_tables(make_trials(fate, {"a": [1, 2], "b": [1, 2], "c": [1, 2]}, seeds=4))
    drawn = plots(influence_group(only_task(tables)))
    bars = drawn["influence"]
    assert isinstance(bars, BarPlot)
    shares = tables.sensitivity.set_index("parameter")["variance_share"]
    assert [bar.name for bar in bars.bars][-2:] == ["seed", "the rest"]
    assert {bar.name: bar.share for bar in bars.bars[:3]} == {name: shares[name] for name in ("a", "b", "c")}
    assert bars.bars[0].name == "c"
    assert bars.bars[0].text.startswith(f"{100 * shares['c']:.0f} %, best 1 (")
    points = drawn["cost-0"]
    assert isinstance(points, PointPlot)
    assert [(point.value, point.text) for point in points.points] == [("1", "16/16"), ("2", "0/16")]
    assert points.points[1].cost == math.inf
    costs = [int(1000 * 10**a * 1.5**b) + seed for a in (1, 2) for b in (1, 2) for seed in range(4)]
    assert points.points[0].cost == np.mean(costs)


def test_one_parameter_has_points_and_no_bars() -> None:
    drawn = plots(influence_group(only_task(make_tables(make_trials(mixed, {"stddev": [0.5, 0.1]}, seeds=5)))))
    assert set(drawn) == {"cost-0"}
    assert [point.value for point in drawn["cost-0"].points] == ["0.1", "0.5"]
    assert all(point.low <= point.cost <= point.high for point in drawn["cost-0"].points)
    assert influence_group(only_task(make_tables(make_trials(mixed)))) == []
    assert influence_group(only_task(make_tables(make_trials(lambda row: missed(), {"stddev": [0.5, 0.1]})))) == []

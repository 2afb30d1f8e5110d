"""What each parameter does on its own: the share it explains, and what each of its values costs."""

import math
from typing import Final

import numpy as np
import pandas as pd

from freewalk.results.analysis.cells import TrialArrays
from freewalk.results.base.numbers import parameter_text, percent, short_value
from freewalk.results.report.bar_plot import Bar, BarPlot
from freewalk.results.report.comparing import LEVEL
from freewalk.results.report.drawing import Drawing, Group
from freewalk.results.report.effects import HARDLY, effects_of, fold_words, missed_words
from freewalk.results.report.point_plot import Point, PointPlot
from freewalk.results.report.resolution import coarsest
from freewalk.results.report.subject import Row, Task, ordered_values, parameter_key, records
from freewalk.results.schema.schema import PARAMETER_PREFIX, State
from freewalk.results.statistics.cell import expected_running_time
from freewalk.results.statistics.intervals import running_time_interval

MAX_BARS: Final = 12
MAX_VALUES: Final = 40
_PARAMETERS_DRAWN: Final = 2
_RESPONSES: Final = {"evaluations_to_target": "the evaluations to the target", "loss_final": "the final loss"}
_REST: Final = {"seed": "seed", "residual": "the rest"}


def influence_group(task: Task) -> list[Group]:
    """Draw how much each parameter explains, and the costs of the values of those that explain most."""
    drawings = [*(drawing for place, method in enumerate(task.methods) for drawing in _shares(task, method, place))]
    drawings += _costs(task)
    return [Group("What matters", drawings)] if drawings else []


def _shares(task: Task, method: str, place: int) -> list[Drawing]:
    effects = effects_of(task, method)
    if len(effects) < 2:
        return []
    rest = [row for row in records(task.sensitivity) if row["method"] == method and row["parameter"] in _REST]
    bars = [_bar(row) for row in (*effects[:MAX_BARS], *rest)]
    response = _RESPONSES.get(str(effects[0]["response"]), str(effects[0]["response"]))
    left_out = f" Shown are the {MAX_BARS} largest of {len(effects)} parameters." if len(effects) > MAX_BARS else ""
    caption = (
        f"Share of the variation of {response} (as a logarithm) that each parameter explains alone; its best value, and"
        " how many times better it is than the worst. Blue: a clear effect; grey: none, or none that can be parted from"
        " another parameter's. The rest: parameters together, and chance."
        f"{missed_words(effects[0])}{left_out}"
    )
    title = f"{method}: share explained" if len(task.methods) > 1 else "Share explained"
    return [Drawing(f"influence-{place}" if place else "influence", BarPlot(title, bars), caption)]


def _bar(row: Row) -> Bar:
    name, share = str(row["parameter"]), float(row["variance_share"])
    if name in _REST:
        return Bar(_REST[name], share, percent(share), "rest")
    p, fold = float(row["p_adjusted"]), float(row["fold"])
    clear = p < LEVEL
    told = (clear or math.isnan(p)) and math.isfinite(fold)
    best = f", best {short_value(row['best_value'])} ({fold_words(row)} times)" if told and fold >= HARDLY else ""
    return Bar(name.removeprefix(PARAMETER_PREFIX), share, f"{percent(share)}{best}", "strong" if clear else "weak")


def _costs(task: Task) -> list[Drawing]:
    complete = task.trials[task.trials["state"] == State.COMPLETE]
    if not complete["reached"].any():
        return []
    if len(task.methods) > 1:  # values mean other things to other methods
        return _cost_by_method(task)
    effects = effects_of(task, task.methods[0])
    names = [str(row["parameter"]).removeprefix(PARAMETER_PREFIX) for row in effects]
    names = (names or list(task.varied))[: _PARAMETERS_DRAWN if len(task.varied) > 1 else 1]
    drawings = []
    for place, name in enumerate(names):
        points, note = _points(complete, PARAMETER_PREFIX + name)
        if len(points) > 1:
            pooled = " over all other parameters" if len(task.varied) > 1 else ""
            plot = PointPlot(f"Cost by {name}", name, "evaluations for each success", points)
            caption = (
                f"All evaluations spent{pooled}, divided by the trials that reached the target, which stand beside it;"
                f" with 95 % intervals. Open circles: none did. {coarsest(task.cells)}".rstrip()
                + note
            )
            drawings.append(Drawing(f"cost-{place}", plot, caption if not place else ""))
    return drawings


def _cost_by_method(task: Task) -> list[Drawing]:
    if len(task.contest) < 2:
        return []
    points = [
        Point(
            str(row["method"]),
            float(row["ert_evaluations"]),
            float(row["ert_evaluations_low"]),
            float(row["ert_evaluations_high"]),
            f"{row['n_reached']}/{row['n_complete']}",
        )
        for row in task.contest
    ]
    caption = (
        "All evaluations spent by the best cell of each method, divided by its trials that reached the target, which"
        f" stand beside it; with 95 % intervals. Open circles: none did. {coarsest(task.contest)}".rstrip()
    )
    return [Drawing("cost-0", PointPlot("Cost by method", "method", "evaluations for each success", points), caption)]


def _points(trials: pd.DataFrame, column: str) -> tuple[list[Point], str]:
    arrays = TrialArrays(trials)
    spent, reached = arrays.spent("evaluations"), arrays.reached
    keys = np.array([parameter_key(value) for value in trials[column]])
    values = ordered_values(trials[column])
    chosen = values[:: math.ceil(len(values) / MAX_VALUES)]
    note = f" Of {len(values)} values {len(chosen)} are drawn." if len(chosen) < len(values) else ""
    points = []
    for value in chosen:
        rows = np.flatnonzero(keys == parameter_key(value))
        low, high = running_time_interval(spent[rows], reached[rows])
        cost = expected_running_time(spent[rows], reached[rows])
        points.append(Point(parameter_text(value), cost, low, high, f"{reached[rows].sum()}/{len(rows)}"))
    return points, note

"""The best cells over their evaluations: loss, metric, success over cost, and how far others are that still run."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from freewalk.results.analysis.bands import curve_bands
from freewalk.results.analysis.cells import cell_columns
from freewalk.results.analysis.ecdf import ecdf, spaced_targets
from freewalk.results.base.numbers import counted, significant
from freewalk.results.report.drawing import Drawing, Group
from freewalk.results.report.line_plot import Line, LinePlot, SeedLine
from freewalk.results.report.palette import N_SERIES
from freewalk.results.report.subject import Row, Tables, Task, cell_key, records
from freewalk.results.schema.schema import State
from freewalk.results.statistics.cell import Floats
from freewalk.results.tables.frames import frame_of

N_CONTEXT: Final = 30
"""Cells drawn in grey behind the best ones, at most."""
MAX_SEEDS: Final = 12
"""Single seeds of a cell that the page can show, at most."""
_POINTS_OF_A_SEED: Final = 40
_LONGEST_END: Final = 18
_SPLIT: Final = "heldout"
_UNIT: Final = "evaluations"
_COST: Final = "evaluations spent on training"


@dataclass(frozen=True)
class _Chosen:
    """The cells of a task that are drawn, with a number or without, and their trials and curves."""

    task: Task
    cells: Sequence[tuple[int | None, Row]]
    trials: pd.DataFrame
    curves: pd.DataFrame
    ends: Mapping[int, str]
    """What stands at the end of each numbered line."""

    def by_cell(self, frame: pd.DataFrame) -> Mapping[tuple[str, ...], pd.DataFrame]:
        """Take a table apart by cell."""
        columns = cell_columns(self.trials)
        parts = frame.groupby(columns, dropna=False, sort=False)
        return {cell_key(records(part.iloc[:1])[0], columns): part for _, part in parts}

    def lines(self, frame: pd.DataFrame) -> list[tuple[int | None, Row, pd.DataFrame]]:
        """Return the number, the cell and its part of a table, of all cells that have one."""
        parts, columns = self.by_cell(frame), cell_columns(self.trials)
        keyed = ((number, cell, cell_key(cell, columns)) for number, cell in self.cells)
        return [(number, cell, parts[key]) for number, cell, key in keyed if key in parts]


def learning_plots(task: Task, tables: Tables) -> list[Group]:
    """Choose the plots of a task's learning; without a curve there is success over cost alone.

    The best cells come in colour with their number in the table, others in grey: where there are many, as many
    as ``N_CONTEXT``, evenly spaced in the ranking.
    """
    cells = numbered_cells(task)
    trials = _trials_of(task, [cell for _, cell in cells])
    chosen = _Chosen(task, cells, trials, _curves_of(trials, tables.curves), _ends(task, cells))
    drawings = [*_loss(chosen), *_metric(chosen), *_success(chosen)]
    choices = [(number, task.label(cell)) for number, cell in cells if number is not None]
    return [Group("Learning", drawings, choices=choices)] if drawings else []


def _drawn(name: str, plot: LinePlot, caption: str) -> list[Drawing]:
    """Return the drawing of a plot; nothing where it has no line."""
    return [Drawing(name, plot, caption)] if plot.lines else []


def numbered_cells(task: Task) -> list[tuple[int | None, Row]]:
    """Return the cells to draw: the best with a number from 1, evenly spaced others without."""
    cells = task.finished
    best: list[tuple[int | None, Row]] = list(enumerate(cells[:N_SERIES], 1))
    others = cells[N_SERIES:]
    places = np.unique(np.linspace(0, len(others) - 1, min(N_CONTEXT, len(others))).round().astype(int))
    return best + [(None, others[place]) for place in places]


def _ends(task: Task, cells: Sequence[tuple[int | None, Row]]) -> dict[int, str]:
    """Return what the numbered cells differ in, in words, where all of it is short; else nothing."""
    best = {number: cell for number, cell in cells if number is not None}
    given = [dict(task.values(cell)) for cell in best.values()]
    differing = [name for name in (given[0] if given else ()) if len({values[name] for values in given}) > 1]
    words = {number: task.words(cell, differing) for number, cell in best.items()}
    return words if all(0 < len(text) <= _LONGEST_END for text in words.values()) else {}


def _who_is_shown(chosen: _Chosen) -> str:
    n_best = sum(number is not None for number, _ in chosen.cells)
    n_grey, n_others = len(chosen.cells) - n_best, len(chosen.task.finished) - n_best
    if n_others < 2:
        return " In grey the other cell." if n_others else ""
    return f" In grey {n_grey} of the {n_others} others." if n_grey < n_others else f" In grey the {n_others} others."


def _trials_of(task: Task, cells: Sequence[Row]) -> pd.DataFrame:
    columns = cell_columns(task.trials)
    wanted = {cell_key(cell, columns) for cell in cells}
    rows = records(task.trials[columns])
    return task.trials[[cell_key(row, columns) in wanted for row in rows]]


def _curves_of(trials: pd.DataFrame, curves: pd.DataFrame | None) -> pd.DataFrame:
    if curves is None:
        return frame_of("curves", [])
    # A sweep that goes on may have stored a curve after its trials were read.
    done = trials.loc[trials["state"] == State.COMPLETE, "trial_id"]
    return curves[(curves["split"] == _SPLIT) & curves["trial_id"].isin(done)]


def _loss(chosen: _Chosen) -> list[Drawing]:
    target = chosen.task.target if chosen.task.metric == "loss" else None
    plot = LinePlot(
        f"Loss on {chosen.task.judged_on}", _COST, "loss", _bands(chosen, "loss"), target=target, target_label="target"
    )
    caption = (
        "Median over seeds, band between the quartiles, numbered as in the table; a trial that has ended keeps its"
        f" last value until the last one has.{_who_is_shown(chosen)}"
    )
    return _drawn("loss", plot, caption)


def _metric(chosen: _Chosen) -> list[Drawing]:
    task = chosen.task
    if task.metric == "loss":
        return []
    target = None if math.isnan(task.target) else task.target
    words = task.note.metric if task.note else task.metric
    plot = LinePlot(
        f"{task.metric} on {task.judged_on}", _COST, task.metric, _bands(chosen, task.metric), "linear",
        target=target, target_label="target",
    )  # fmt: skip
    return _drawn("metric", plot, f"{words[0].upper()}{words[1:]}: what a trial is judged by ({task.goal}).")


def _bands(chosen: _Chosen, metric: str) -> list[Line]:
    task = chosen.task
    worst = -math.inf if metric == task.metric and task.is_higher_better else math.inf
    bands = curve_bands(chosen.trials, chosen.curves, metric=metric, split=_SPLIT, unit=_UNIT, worst=worst)
    singles = _single_seeds(chosen, metric)
    lines = []
    for number, cell, band in chosen.lines(bands):
        at = band[band[_UNIT] > 0]  # a logarithmic axis has no 0
        x, low, middle, high = (at[name].to_numpy(np.float64) for name in (_UNIT, "q25", "median", "q75"))
        end = chosen.ends.get(number or 0, "")
        lines.append(Line(x, middle, number, task.label(cell), low, high, end, seeds=singles.get(number or 0, ())))
    return lines


def _single_seeds(chosen: _Chosen, metric: str) -> dict[int, list[SeedLine]]:
    """Return the curves of single trials of the numbered cells, thinned out to what can be seen."""
    curves = chosen.curves[(chosen.curves["metric"] == metric) & (chosen.curves[_UNIT] > 0)]
    by_trial = dict(iter(curves.sort_values("step").groupby("trial_id")))
    return {
        number: [
            SeedLine(int(row["seed"]), *_thinned(by_trial[row["trial_id"]]))
            for row in records(trials.sort_values("seed")[["seed", "trial_id"]])
            if row["trial_id"] in by_trial
        ][:MAX_SEEDS]
        for number, _, trials in chosen.lines(chosen.trials)
        if number is not None
    }


def _thinned(curve: pd.DataFrame) -> tuple[Floats, Floats]:
    x, y = (curve[name].to_numpy(np.float64) for name in (_UNIT, "value"))
    wanted = np.geomspace(x[0], x[-1], min(len(x), _POINTS_OF_A_SEED))
    places = np.unique(np.append(np.searchsorted(x, wanted * (1 - 1e-9)), len(x) - 1))
    return x[places], y[places]


def _success(chosen: _Chosen) -> list[Drawing]:
    """Draw which share of a cell's seeds met the target within a cost, and behind it, paler, easier targets too."""
    task = chosen.task
    higher = {task.name} if task.is_higher_better else set()
    targets = spaced_targets(chosen.trials, chosen.curves, higher=higher, split=_SPLIT)
    by = cell_columns(task.trials)
    shares = ecdf(chosen.trials, chosen.curves, by=by, higher=higher, split=_SPLIT, unit=_UNIT, targets=targets)
    lines = []
    for number, cell, share in chosen.lines(shares):
        x, met, easier = (share[name].to_numpy(np.float64) for name in (_UNIT, "reached", "solved"))
        end, pale = chosen.ends.get(number or 0, ""), easier if len(targets[task.name]) > 1 else None
        lines.append(Line(x, met, number, task.label(cell), end=end, pale=pale))
    plot = LinePlot("Success over cost", _COST, "seeds that reached the target", lines, "share", steps=True)
    return _drawn("success", plot, _said_of_success(task, targets.get(task.name, np.zeros(0))))


def _said_of_success(task: Task, targets: Floats) -> str:
    caption = (
        f"How many of a cell's seeds had reached {task.goal} within a number of evaluations: higher and further left is"
        " better. A line ends where its trials did."
    )
    if len(targets) < 2:
        return caption
    first = significant(float(targets[0]))
    return (
        f"{caption} Pale: the same averaged over {len(targets)} targets, from {first}, near where training starts,"
        " to the target itself: how far those came that did not reach it."
    )


def plots_in_progress(task: Task, tables: Tables) -> list[Group]:
    """Choose the plot of the trials that have not ended, the cells with the lowest losses in colour; none without one.

    Some N_SERIES cells are drawn in all: where there are more, those of the lowest losses.
    """
    curves = tables.curves_in_progress
    if curves is None or curves.empty:
        return []
    trials = task.trials[task.trials["trial_id"].isin(curves["trial_id"])].reset_index(drop=True)
    bands = curve_bands(trials, curves, unit=_UNIT)
    bands = bands[bands[_UNIT] > 0]  # a logarithmic axis has no 0
    parts = [part for _, part in bands.groupby(cell_columns(trials), dropna=False, sort=False)]
    parts.sort(key=lambda part: float(part["median"].iloc[-1]))
    lines = []
    for number, part in enumerate(parts[:N_SERIES], 1):
        x, middle, low, high = (part[name].to_numpy(np.float64) for name in (_UNIT, "median", "q25", "q75"))
        lines.append(Line(x, middle, number, task.label(records(part.iloc[:1])[0]), low, high))
    if not lines:
        return []
    target = {"target": task.target, "target_label": "target"} if task.metric == "loss" else {}
    plot = LinePlot("Loss on held-out data, so far", _COST, "loss", lines, **target)  # type: ignore[arg-type]
    best = f", the {N_SERIES} best of {len(parts)} cells" if len(parts) > N_SERIES else ""
    caption = (
        f"Of {counted(len(trials), 'trial')} that had not ended when the report was made{best}: median over seeds, band"
        " between the quartiles, numbered from the lowest loss. A trial that is behind keeps its last value."
    )
    return [Group("Under way", [Drawing("in-progress", plot, caption)])]

"""The best cells over their evaluations: loss, metric, and the share of targets solved."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd

from freewalk.results.bands import curve_bands
from freewalk.results.cells import cell_columns
from freewalk.results.ecdf import FirstHits, ecdf
from freewalk.results.report.drawing import Drawing, Group
from freewalk.results.report.line_plot import Line, LinePlot
from freewalk.results.report.numbers import counted
from freewalk.results.report.palette import N_SERIES
from freewalk.results.report.subject import Row, Tables, Task, cell_key, records
from freewalk.results.schema import State

N_CONTEXT: Final = 30
"""Cells drawn in grey behind the best ones, at most."""
_N_TARGETS: Final = 51
_SPLIT: Final = "heldout"
_UNIT: Final = "evaluations"
_COST: Final = "evaluations spent on training"


def learning_plots(task: Task, tables: Tables) -> list[Group]:
    """Choose the plots of a task's learning; none without a curve.

    The best cells come in colour with their number in the table, others in grey: where there are many, as many
    as ``N_CONTEXT``, evenly spaced in the ranking.
    """
    shown = numbered_cells(task)
    trials = _trials_of(task, [cell for _, cell in shown])
    curves = _curves_of(trials, tables.curves)
    if curves is None or curves.empty:
        return []
    note = _who_is_shown(task, shown)
    drawings = [*_loss(task, trials, curves, shown, note), *_metric(task, trials, curves, shown)]
    drawings += _solved(task, tables, trials, shown)
    return [Group("Learning", drawings)] if drawings else []


def _drawn(name: str, plot: LinePlot, caption: str) -> list[Drawing]:
    """Give the drawing of a plot; nothing where it has no line."""
    return [Drawing(name, plot, caption)] if plot.lines else []


def numbered_cells(task: Task) -> list[tuple[int | None, Row]]:
    """Give the cells to draw: the best with a number from 1, evenly spaced others without."""
    cells = task.finished
    best: list[tuple[int | None, Row]] = list(enumerate(cells[:N_SERIES], 1))
    others = cells[N_SERIES:]
    places = np.unique(np.linspace(0, len(others) - 1, min(N_CONTEXT, len(others))).round().astype(int))
    return best + [(None, others[place]) for place in places]


def _who_is_shown(task: Task, shown: Sequence[tuple[int | None, Row]]) -> str:
    n_best = sum(number is not None for number, _ in shown)
    n_grey, n_others = len(shown) - n_best, len(task.finished) - n_best
    if not n_others:
        return ""
    grey = f"{n_grey} of the {n_others} others" if n_grey < n_others else f"the {counted(n_others, 'other')}"
    return f" In grey {grey}."


def _trials_of(task: Task, cells: Sequence[Row]) -> pd.DataFrame:
    columns = cell_columns(task.trials)
    wanted = {cell_key(cell, columns) for cell in cells}
    rows = records(task.trials[columns])
    return task.trials[[cell_key(row, columns) in wanted for row in rows]]


def _curves_of(trials: pd.DataFrame, curves: pd.DataFrame | None) -> pd.DataFrame | None:
    if curves is None:
        return None
    # A sweep that goes on may have stored a curve after its trials were read.
    done = trials.loc[trials["state"] == State.COMPLETE, "trial_id"]
    return curves[(curves["split"] == _SPLIT) & curves["trial_id"].isin(done)]


def _loss(
    task: Task, trials: pd.DataFrame, curves: pd.DataFrame, shown: Sequence[tuple[int | None, Row]], note: str
) -> list[Drawing]:
    target = task.target if task.metric == "loss" else None
    lines = _bands(task, trials, curves, shown, "loss")
    plot = LinePlot("Loss on held-out data", _COST, "loss", lines, target=target, target_label="target")
    caption = (
        "Median over seeds, band between the quartiles, numbered as in the table; a trial that has ended keeps its"
        f" last value until the last one has.{note}"
    )
    return _drawn("loss", plot, caption)


def _metric(
    task: Task, trials: pd.DataFrame, curves: pd.DataFrame, shown: Sequence[tuple[int | None, Row]]
) -> list[Drawing]:
    if task.metric == "loss":
        return []
    lines = _bands(task, trials, curves, shown, task.metric)
    target = None if math.isnan(task.target) else task.target
    words = task.note.metric if task.note else task.metric
    plot = LinePlot(
        f"{task.metric} on held-out data", _COST, task.metric, lines, "linear", target=target, target_label="target"
    )
    return _drawn("metric", plot, f"{words[0].upper()}{words[1:]}: what a trial is judged by ({task.goal}).")


def _bands(
    task: Task, trials: pd.DataFrame, curves: pd.DataFrame, shown: Sequence[tuple[int | None, Row]], metric: str
) -> list[Line]:
    worst = -math.inf if metric == task.metric and task.is_higher_better else math.inf
    bands = curve_bands(trials, curves, metric=metric, split=_SPLIT, unit=_UNIT, worst=worst)
    by_cell = _by_cell(bands, trials)
    lines = []
    for number, cell in shown:
        key = cell_key(cell, cell_columns(trials))
        if key not in by_cell:
            continue
        band = by_cell[key]
        band = band[band[_UNIT] > 0]  # a logarithmic axis has no 0
        numbers = {name: band[name].to_numpy(np.float64) for name in (_UNIT, "q25", "median", "q75")}
        lines.append(Line(numbers[_UNIT], numbers["median"], number, task.label(cell), numbers["q25"], numbers["q75"]))
    return lines


def _by_cell(frame: pd.DataFrame, trials: pd.DataFrame) -> Mapping[tuple[str, ...], pd.DataFrame]:
    columns = cell_columns(trials)
    parts = frame.groupby(columns, dropna=False, sort=False)
    return {cell_key(records(part.iloc[:1])[0], columns): part for _, part in parts}


def _solved(task: Task, tables: Tables, trials: pd.DataFrame, shown: Sequence[tuple[int | None, Row]]) -> list[Drawing]:
    assert tables.curves is not None
    by = cell_columns(task.trials)
    # The targets are those of all cells, the shares only those of the cells that are drawn.
    every = FirstHits(task.trials.reset_index(drop=True), tables.curves, "loss", _SPLIT, _UNIT)
    targets = {task.name: every.spaced_targets(task.name, _N_TARGETS)}
    by_cell = _by_cell(ecdf(trials, tables.curves, by=by, split=_SPLIT, unit=_UNIT, targets=targets), trials)
    lines = []
    for number, cell in shown:
        if (share := by_cell.get(cell_key(cell, by))) is not None:
            x, y = (share[name].to_numpy(np.float64) for name in (_UNIT, "solved"))
            lines.append(Line(x, y, number, task.label(cell)))
    plot = LinePlot("Share of loss targets met", _COST, "share of (trial, target) pairs", lines, "share", steps=True)
    caption = (
        "How many of the losses between the start and the best one seen were met within a number of evaluations,"
        " over all seeds: higher and further left is better."
    )
    return _drawn("solved", plot, caption)

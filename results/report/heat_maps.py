"""Which pairs of parameters become heat maps, and what stands in their fields."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from freewalk.results.base.numbers import MISSING, compact, counted, listed, parameter_text
from freewalk.results.report.drawing import Drawing, Group
from freewalk.results.report.heat_map import HeatMap
from freewalk.results.report.resolution import coarsest
from freewalk.results.report.subject import Row, Task, ordered_values, parameter_key
from freewalk.results.schema.schema import PARAMETER_PREFIX

MAX_PANELS: Final = 6
MAX_VALUES: Final = 24
"""Values of a parameter along an axis; of more, so many are drawn."""
# The walk's three questions come first, others by their number of values.
_FIRST: Final = ("stddev", "batch_size", "timesteps")


def heat_maps(task: Task) -> list[Group]:
    """Choose the heat maps of a task: for each method two parameters, a third one parts them into panels.

    Where more parameters vary, each field shows its best cell. None for a method with fewer than two.
    """
    groups: list[Group] = []
    measure = _Measure.of(task.cells)
    for place, method in enumerate(task.methods):
        cells = [cell for cell in task.cells if cell["method"] == method]
        axes = [_Axis.of(name, cells) for name in plotted_parameters(task, cells)]
        if len(axes) >= 2 and any(cell["n_complete"] > 0 for cell in cells):
            title = f"{method}: " if len(task.methods) > 1 else ""
            groups.append(_group(cells, axes, measure, title, f"map-{place}" if place else "map"))
    return groups


def plotted_parameters(task: Task, cells: Sequence[Row]) -> list[str]:
    """Name the parameters that vary among some cells: x, y, then what parts the panels, then the rest."""
    n_values = {name: len(ordered_values(cell[PARAMETER_PREFIX + name] for cell in cells)) for name in task.varied}
    several = [name for name in task.varied if n_values[name] > 1]
    return sorted(several, key=lambda name: (_FIRST.index(name) if name in _FIRST else len(_FIRST), -n_values[name]))


@dataclass(frozen=True)
class _Axis:
    """A parameter and the values of it that are drawn."""

    name: str
    values: Sequence[Any]
    n_values: int

    @classmethod
    def of(cls, name: str, cells: Sequence[Row]) -> "_Axis":
        values = ordered_values(cell[PARAMETER_PREFIX + name] for cell in cells)
        places = np.linspace(0, len(values) - 1, min(len(values), MAX_VALUES)).round().astype(int)
        return cls(name, [values[place] for place in places], len(values))

    @property
    def keys(self) -> list[str]:
        return [parameter_key(value) for value in self.values]

    @property
    def ticks(self) -> list[str]:
        return [compact(value) if isinstance(value, float) else parameter_text(value) for value in self.values]

    def key(self, cell: Row) -> str:
        """Return the cell's value in the form of ``keys``; empty where the parameter does not apply."""
        return parameter_key(cell[PARAMETER_PREFIX + self.name])


@dataclass(frozen=True)
class _Measure:
    """What the fields show, on one scale for all panels of a task."""

    column: str
    words: str
    limits: tuple[float, float]
    learned: bool

    @classmethod
    def of(cls, cells: Sequence[Row]) -> "_Measure":
        learned = any(cell["n_reached"] > 0 for cell in cells)
        column = "ert_evaluations" if learned else "loss_final_iqm"
        words = "Expected evaluations to the target" if learned else "Final loss, interquartile mean"
        finite = [float(cell[column]) for cell in cells if 0 < float(cell[column]) < math.inf]
        return cls(column, words, (min(finite), max(finite)) if finite else (1.0, 1.0), learned)

    def field(self, cell: Row) -> tuple[float, str]:
        """Return a field's cost and text."""
        if cell["n_complete"] == 0:
            return math.inf, MISSING
        cost = float(cell[self.column])
        reached = f"{cell['n_reached']}/{cell['n_complete']}" if self.learned else ""
        if not math.isfinite(cost):
            return math.inf, reached or compact(cost)
        return cost, f"{compact(cost)}\n{reached}" if reached else compact(cost)


def _group(cells: Sequence[Row], axes: Sequence[_Axis], measure: _Measure, title: str, name: str) -> Group:
    x, y, *rest = axes
    drawings: list[Drawing] = []
    if rest:
        for place, (key, value) in enumerate(list(zip(rest[0].keys, rest[0].values, strict=True))[:MAX_PANELS]):
            inside = [cell for cell in cells if rest[0].key(cell) == key]
            panel = _heat_map(f"{rest[0].name} = {parameter_text(value)}", inside, x, y, measure)
            drawings.append(Drawing(f"{name}-{place}", panel))
    else:
        drawings.append(Drawing(f"{name}-0", _heat_map(f"{x.name} and {y.name}", cells, x, y, measure)))
    across = " \N{MULTIPLICATION SIGN} ".join(axis.name for axis in axes[:3])
    return Group(f"{title}{across}", drawings, " ".join(_remarks(cells, axes, measure)))


def _remarks(cells: Sequence[Row], axes: Sequence[_Axis], measure: _Measure) -> list[str]:
    """Say what the fields show and what they do not."""
    remarks = [f"{measure.words}. Light is low."]
    if measure.learned:
        remarks = [f"{measure.words}; below, how many trials reached it. Light is cheap. Empty frames: never reached."]
        remarks += [told] if (told := coarsest(cells)) else []
    if any(cell["n_complete"] == 0 for cell in cells):
        remarks.append(f"{MISSING}: no result.")
    if len(axes) > 3:
        remarks.append(f"Each field is the best cell over {listed([axis.name for axis in axes[3:]])}.")
    if len(axes) > 2 and axes[2].n_values > MAX_PANELS:
        remarks.append(f"Of {axes[2].n_values} values of {axes[2].name} the first {MAX_PANELS} are drawn.")
    remarks += [
        f"Of {axis.n_values} values of {axis.name} {len(axis.values)} are drawn."
        for axis in axes[:2]
        if axis.n_values > len(axis.values)
    ]
    if absent := sum(any(not axis.key(cell) for axis in axes[:3]) for cell in cells):
        remarks.append(f"Left out are {counted(absent, 'cell')} to which not all of these parameters apply.")
    return remarks


def _heat_map(title: str, cells: Sequence[Row], x: _Axis, y: _Axis, measure: _Measure) -> HeatMap:
    columns = {key: place for place, key in enumerate(x.keys)}
    rows = {key: place for place, key in enumerate(y.keys)}
    costs = np.full((len(rows), len(columns)), math.nan)
    texts = [[""] * len(columns) for _ in rows]
    for cell in reversed(cells):  # the best one of a field comes last and stays
        if y.key(cell) in rows and x.key(cell) in columns:
            row, column = rows[y.key(cell)], columns[x.key(cell)]
            costs[row, column], texts[row][column] = measure.field(cell)
    return HeatMap(title, measure.words, x.name, x.ticks, y.name, y.ticks, costs, texts, measure.limits)

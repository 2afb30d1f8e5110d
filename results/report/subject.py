"""What a report is about: a sweep's tables, task by task, and the parameters in which its cells differ."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, TypeAlias, cast

import numpy as np
import pandas as pd

from freewalk.results.analysis.cells import cell_columns, varies
from freewalk.results.base.numbers import (
    MISSING,
    counted,
    counted_seeds,
    is_missing,
    parameter_text,
    significant,
    value_order,
)
from freewalk.results.report.remedy import remedies
from freewalk.results.schema.schema import PARAMETER_PREFIX, Outcome, State
from freewalk.results.tables.frames import parameter_columns

Row: TypeAlias = Mapping[str, Any]

FINISHED: Final = (State.COMPLETE, State.FAILED)


@dataclass(frozen=True)
class TaskNote:
    """What the tables do not say of a task; who knows the tasks may add it."""

    summary: str
    """One line on what is to be learned."""
    comparison: str
    """How the metric must compare with the target: ``<``, ``<=``, ``>`` or ``>=``."""
    metric: str
    """The metric in words."""


@dataclass(frozen=True)
class Tables:
    """The tables of a sweep and what stands beside them."""

    trials: pd.DataFrame
    curves: pd.DataFrame | None
    summary: pd.DataFrame
    ranking: pd.DataFrame
    methods: pd.DataFrame
    sensitivity: pd.DataFrame
    name: str
    sweep_id: str = ""
    configuration: str = ""
    """What ``sweep.toml`` says, from the store where it tells; empty where there is none."""
    n_doubled: int = 0
    """Trials that are left aside, since another one of their cell and seed is counted."""
    axes: frozenset[str] = frozenset()
    """The keys of its grid; empty where they are not known."""
    settings: Sequence[Mapping[str, Any]] = ()
    """How its trials were run (epochs and the like), one for each sweep that was merged; empty where nothing tells."""
    environment: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, TaskNote] = field(default_factory=dict)
    curves_in_progress: pd.DataFrame | None = None
    """Curves so far of trials that have not ended."""


@dataclass(frozen=True)
class Task:
    """The part of the tables that belongs to one task."""

    name: str
    trials: pd.DataFrame
    cells: Sequence[Row]
    """Its rows of the summary and the ranking in one, best first."""
    contest: Sequence[Row]
    """Its methods that have a result, each by its best cell, best first."""
    sensitivity: pd.DataFrame
    varied: tuple[str, ...]
    """Parameters in which the cells differ, without their prefix."""
    note: TaskNote | None
    remedy: str = ""
    """Why its trials missed their target, where no trial reached it and that is known."""

    @property
    def methods(self) -> list[str]:
        """The methods, in the order of the plan."""
        return [str(name) for name in self.trials["method"].unique()]

    @property
    def finished(self) -> list[Row]:
        """The cells with a complete trial, best first."""
        return [cell for cell in self.cells if cell["n_complete"] > 0]

    @property
    def n_seeds(self) -> int:
        """Most complete trials of a cell."""
        return max((int(cell["n_complete"]) for cell in self.cells), default=0)

    @property
    def metric(self) -> str:
        """The name of the task's metric."""
        return str(next(iter(self.trials["metric_name"].dropna()), "metric"))

    @property
    def target(self) -> float:
        """The value to reach; NaN where the tables do not say."""
        return float(next(iter(self.trials["target"].dropna()), float("nan")))

    @property
    def goal(self) -> str:
        """The target in words: ``max_error < 0.4``; ``the target`` where the tables do not say."""
        if is_missing(self.target):
            return "the target"
        on = " on the training data" if self.judged_on == "training data" else ""
        return f"{self.metric} {self.note.comparison if self.note else 'to'} {significant(self.target)}{on}"

    @property
    def judged_on(self) -> str:
        """Which data decide: held-out data, or training data where every datapoint there is is shown."""
        return "training data" if set(self.trials["judged_on"].dropna()) == {"training"} else "held-out data"

    @cached_property
    def is_higher_better(self) -> bool:
        """Whether the metric is to be high; where no note says so, as the trials tell that met the target or missed."""
        if self.note is not None:
            return self.note.comparison.startswith(">")
        complete = self.trials[self.trials["state"] == State.COMPLETE]
        metric, target = (complete[name].to_numpy(np.float64, na_value=np.nan) for name in ("metric_final", "target"))
        beyond = np.where(complete["reached"].to_numpy(np.bool_, na_value=False), 1.0, -1.0) * np.sign(metric - target)
        return bool(np.nansum(beyond) > 0)

    def values(self, cell: Row) -> list[tuple[str, str]]:
        """Return what sets a cell apart: its method where there are several, and the parameters that vary."""
        method = [("method", str(cell["method"]))] if len(self.methods) > 1 else []
        return [*method, *((name, parameter_text(cell[PARAMETER_PREFIX + name])) for name in self.varied)]

    def label(self, cell: Row) -> str:
        """Return a cell's values in words: ``walk, stddev 0.1, batch 64``."""
        return self.words(cell) or str(cell["method"])

    def words(self, cell: Row, names: Collection[str] | None = None) -> str:
        """Return those of a cell's values that apply, or those of them that are named, in words."""
        given = [(name, text) for name, text in self.values(cell) if text != MISSING]
        return ", ".join(in_words(name, text) for name, text in given if names is None or name in names)

    def key(self, cell: Row) -> tuple[tuple[str, str], ...]:
        """Return what ``values`` tells, exactly."""
        return (("method", str(cell["method"])), *((n, parameter_key(cell[PARAMETER_PREFIX + n])) for n in self.varied))

    @property
    def size(self) -> str:
        """How much was tried: 48 cells with 4 seeds."""
        seeds = counted_seeds(int(cell["n_complete"]) for cell in self.cells)
        return f"{counted(len(self.cells), 'cell')} with {seeds}"


def split_tasks(tables: Tables) -> list[Task]:
    """Take the tables apart, in the order of the plan."""
    columns = cell_columns(tables.summary)
    summary = {cell_key(row, columns): row for row in records(tables.summary)}
    cells = [{**summary[cell_key(row, columns)], **row} for row in records(tables.ranking)]
    return [
        Task(
            name=str(name),
            trials=trials,
            cells=[cell for cell in cells if cell["task"] == name],
            contest=[row for row in records(tables.methods) if row["task"] == name],
            sensitivity=tables.sensitivity[tables.sensitivity["task"] == name],
            varied=varied_parameters(trials, tables.axes),
            note=tables.notes.get(str(name)),
            remedy="" if (trials["outcome"] == Outcome.REACHED).any() else remedies(trials, tables.curves),
        )
        for name, trials in tables.trials.groupby("task", sort=False)
    ]


def varied_parameters(trials: pd.DataFrame, axes: frozenset[str]) -> tuple[str, ...]:
    """Name the parameters that tell a task's cells apart.

    A parameter that the grid does not name may differ too (a learning rate follows its optimizer); it is named
    only where the others leave cells alike.

    Parameters
    ----------
    trials : pandas.DataFrame
        Those of one task.
    axes : frozenset of str
        The keys of the grid; empty where they are not known.
    """
    several = [name for name in parameter_columns(trials) if varies(trials[name])]
    # What only some methods have is told by the method.
    within = trials[["method", *several]].drop_duplicates()
    chosen = [name for name in several if name.removeprefix(PARAMETER_PREFIX) in axes and _varies_within(within, name)]
    if _n_cells(trials, chosen) < _n_cells(trials, several):
        chosen = [name for name in several if _varies_within(within, name)]
    return tuple(name.removeprefix(PARAMETER_PREFIX) for name in chosen)


def _varies_within(cells: pd.DataFrame, name: str) -> bool:
    return any(varies(values) for _, values in cells.groupby("method", sort=False)[name])


def _n_cells(trials: pd.DataFrame, columns: Sequence[str]) -> int:
    return len(trials[["method", *columns]].drop_duplicates())


def ordered_values(values: Iterable[Any]) -> list[Any]:
    """Return each value of a parameter once: numbers in order, then words as they come; none where it is missing."""
    return sorted({key: value for value in values if (key := parameter_key(value))}.values(), key=value_order)


def in_words(name: str, text: str) -> str:
    """Say a parameter and its value in prose: ``batch 64``; a method's name says what it is."""
    return text if name == "method" else f"{name.removesuffix('_size').replace('_', ' ')} {text}"


def records(frame: pd.DataFrame) -> list[Row]:
    """Return a table's rows, by column name."""
    return cast("list[Row]", frame.to_dict("records"))


def cell_key(row: Row, columns: Sequence[str]) -> tuple[str, ...]:
    """Return what tells a cell from others, in a form that can be compared whatever is missing."""
    return tuple(parameter_key(row[name]) for name in columns)


def parameter_key(value: Any) -> str:
    """Write a value so that equal values are equal texts, missing ones included."""
    return "" if is_missing(value) else repr(value)

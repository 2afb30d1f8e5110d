"""What became of the trials: how many ended in which way, where, an example of each, and the errors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from freewalk.results.analysis.cells import cell_columns
from freewalk.results.report.comparing import shared_values
from freewalk.results.report.explanation import curve_points, explain
from freewalk.results.report.resolution import unconfirmed_text
from freewalk.results.report.subject import Task, cell_key, records
from freewalk.results.schema.schema import Outcome, State

MEANINGS: Final[Mapping[str, str]] = {
    Outcome.REACHED: "the target was met",
    Outcome.EXHAUSTED: "the budget was spent before the target was met",
    Outcome.PLATEAUED: "the loss stopped improving",
    Outcome.COLLAPSED: "every input gives the same output",
    Outcome.SATURATED: "the training signal is gone though the answers are wrong",
    Outcome.DIVERGED: "the loss rose without end or was not finite",
    State.FAILED: "an error ended the trial",
    State.INTERRUPTED: "stopped; the same command runs it again",
    State.RUNNING: "under way when the report was made, or left by a process that was killed",
    State.PENDING: "still to run",
}
"""How a trial may end or stand, in the order in which it is shown."""

MAX_ERRORS: Final = 10
_LABELS_SHOWN: Final = 3
_EXPLAINED: Final = {outcome.value for outcome in Outcome} - {Outcome.REACHED}


@dataclass(frozen=True)
class Ending:
    """How some trials of a task ended."""

    kind: str
    """An outcome, or a state other than complete."""
    n_trials: int
    share: float
    """Of all trials of the task."""
    meaning: str
    where: str
    """What the cells have in common in which it happened; empty if nothing."""
    example: str
    """One trial and why it ended so; empty for those that need no reason."""
    remark: str = ""
    """How often luck alone met the target; empty for never."""

    @property
    def css(self) -> str:
        """The class that gives it its colour."""
        return f"is-{self.kind}" if self.kind in MEANINGS else ""


@dataclass(frozen=True)
class ErrorGroup:
    """Failed trials of a task with one error."""

    task: str
    error: str
    n_trials: int
    cells: str


def endings(task: Task, curves: pd.DataFrame | None) -> list[Ending]:
    """Count a task's trials by how they ended, in the order of ``MEANINGS``."""
    kinds = kinds_of(task.trials)
    counts = kinds.value_counts()
    order = [kind for kind in MEANINGS if kind in counts.index]
    order += [kind for kind in counts.index if kind not in order]
    return [
        Ending(
            kind=str(kind),
            n_trials=int(counts[kind]),
            share=int(counts[kind]) / len(kinds),
            meaning=MEANINGS.get(kind, ""),
            where=_where(task, task.trials[kinds == kind]),
            example=_example(task, task.trials[kinds == kind], curves) if kind in _EXPLAINED else "",
            remark=unconfirmed_text(task.trials[kinds == kind]),
        )
        for kind in order
    ]


def kinds_of(trials: pd.DataFrame) -> pd.Series:
    """Return each trial's outcome, or its state where it is not complete."""
    return trials["outcome"].where(trials["state"] == State.COMPLETE, trials["state"]).fillna("unknown").astype(str)


def _where(task: Task, trials: pd.DataFrame) -> str:
    columns = cell_columns(trials)
    found = {cell_key(row, columns) for row in records(trials[columns].drop_duplicates())}
    return shared_values(task, [cell for cell in task.cells if cell_key(cell, columns) in found])


def _example(task: Task, trials: pd.DataFrame, curves: pd.DataFrame | None) -> str:
    """Explain the trial whose final loss is the median of these trials'."""
    order = np.argsort(trials["loss_final"].to_numpy(np.float64), kind="stable")  # NaN comes last
    place = int(order[(len(order) - 1) // 2])
    row = records(trials.iloc[place : place + 1])[0]
    points = [] if curves is None else curve_points(curves, str(row["trial_id"]))
    return f"{task.label(row)}, seed {row['seed']}: {explain(row, points)}"


def error_groups(tasks: list[Task]) -> list[ErrorGroup]:
    """Group the failed trials of all tasks by error, the most frequent first."""
    groups = []
    for task in tasks:
        failed = task.trials[task.trials["state"] == State.FAILED]
        for error, trials in failed.groupby(failed["error"].fillna("unknown error"), sort=False):
            rows = records(trials)
            labels = list(dict.fromkeys(task.label(row) for row in rows))
            more = f" and {len(labels) - _LABELS_SHOWN} more" if len(labels) > _LABELS_SHOWN else ""
            groups.append(ErrorGroup(task.name, str(error), len(rows), "; ".join(labels[:_LABELS_SHOWN]) + more))
    return sorted(groups, key=lambda group: -group.n_trials)

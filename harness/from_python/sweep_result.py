"""What a sweep came to, as `freewalk.sweep` and `freewalk.read_sweep` return it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from freewalk.harness.base.errors import UsageError
from freewalk.harness.base.text import counted
from freewalk.harness.from_python.files import page_path, written

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from freewalk.harness.from_python.sweep_comparison import SweepComparison
    from freewalk.results.report.findings import Findings
    from freewalk.results.report.reading import Snapshot

_TASKS_IN_REPR = 3


@dataclass(frozen=True, eq=False, repr=False)
class SweepResult:
    """The tables of a sweep, whose columns are those of the CSV files, and what follows from them."""

    trials: pd.DataFrame
    """One row a trial."""
    curves: pd.DataFrame
    """One row a measurement."""
    summary: pd.DataFrame
    """One row a cell."""
    directory: Path | None
    """Where the store and the CSV files lie; None if they were not kept."""
    _read: Snapshot | None = field(default=None, repr=False)

    @property
    def _whole(self) -> Snapshot:
        """What was read of the sweep besides."""
        if self._read is None:
            raise UsageError(
                "this SweepResult was put together by hand: it has its tables alone; see freewalk.read_sweep"
            )
        return self._read

    @property
    def ranking(self) -> pd.DataFrame:
        """One row a cell, best first in each task, with what its differences from the first are worth."""
        return self._whole.ranking

    @property
    def methods(self) -> pd.DataFrame:
        """One row a method, best first in each task: best cell against best cell, with the ratio of their costs."""
        return self._whole.methods

    @property
    def answer(self) -> str:
        """What `harness report` says: for each task which cell wins, by how much, and how surely."""
        return "\n".join(self._findings.lines())

    def report(self, path: str | Path | None = None) -> Path:
        """Write the page of `harness report`, one file that needs nothing else.

        Parameters
        ----------
        path
            The page's file, or a folder for report.html; None for the sweep's own folder.

        Returns
        -------
        Path
            The page.

        Raises
        ------
        UsageError
            If no path is given of a sweep that was not kept, or it has no trials.
        StoreError
            If the file cannot be written, or is another one than a report of this sweep.
        """
        import freewalk
        from freewalk.results.report.making import REPORT_NAME, Report, write_page

        page = page_path(path, self.directory, REPORT_NAME)
        if self.trials.empty:
            raise UsageError("the sweep has no trials, and a report nothing to say")
        with written():
            write_page(Report(self._whole.tables), page, version=freewalk.__version__)
        return page

    def compare(self, other: SweepResult | str | Path, *, across: str | Sequence[str] = ()) -> SweepComparison:
        """Compare with another sweep cell by cell, as `harness compare` does: this one is A, the other B.

        Parameters
        ----------
        other
            A result, or the path of a sweep's folder or a trials.csv.
        across
            Parameters, or "method", that are left out of the matching: what they are here is compared with what they
            are there.

        Raises
        ------
        UsageError
            If the other cannot be read, the two have no cell in common, or other data under the same name.
        """
        from freewalk.harness.from_python.sweep_comparison import compared

        if not isinstance(other, SweepResult | str | os.PathLike):
            raise UsageError(f"other must be a SweepResult or a path, got {other!r:.60} ({type(other).__name__})")
        source = other._whole.source if isinstance(other, SweepResult) else Path(other)
        return compared(self._whole.source, source, (across,) if isinstance(across, str) else tuple(across))

    @cached_property
    def _findings(self) -> Findings:
        from freewalk.results.report.findings import Findings

        return Findings.of(self._whole.tables)

    def __repr__(self) -> str:
        trials = self.trials
        told = [
            counted(len(trials), "trial"),
            *(counted(trials[name].nunique(), name) for name in ("task", "method")),
            f"{int(trials['reached'].sum()):,} reached",
        ]
        if n_failed := int((trials["state"] == "failed").sum()):
            told.append(f"{n_failed:,} failed")
        where = "not kept" if self.directory is None else f"in {self.directory}"
        answers = self._findings.tasks
        lines = [f"{one.task.name}: {one.answer.verdict}. {one.answer.sentences[0]}" for one in answers]
        more = [f"{len(lines) - _TASKS_IN_REPR} more in .answer"] if len(lines) > _TASKS_IN_REPR else []
        return "\n".join([f"<SweepResult {', '.join(told)}; {where}>", *lines[:_TASKS_IN_REPR], *more])

    def _repr_html_(self) -> str:
        from freewalk.results.report.snippet import Part, findings_parts, snippet

        where = [] if self.directory is None else [f"In {self.directory}; .report() writes the page."]
        return snippet([*findings_parts(self._findings), Part(sentences=where)])


def result_of(path: Path, *, kept: bool = True) -> SweepResult:
    """Return what a sweep's folder, or a ``trials.csv``, holds now; `kept` says whether it stays.

    Raises
    ------
    StoreError
        If there is no sweep, or it cannot be read.
    """
    from freewalk.harness.plan.notes import task_notes
    from freewalk.results.report.reading import folder_of, read_snapshot
    from freewalk.results.tables.frames import frame_of

    read = read_snapshot(path, task_notes())
    if not kept:
        name = Path(f"sweep {read.source.trials['sweep_id'].iloc[0]}, not kept")
        read = replace(read, source=replace(read.source, path=name), folder="sweep")
    curves = frame_of("curves", []) if read.curves is None else read.curves
    return SweepResult(read.source.trials, curves, read.summary, folder_of(path) if kept else None, read)

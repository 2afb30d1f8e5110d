"""What a tuning found, as `freewalk.tune` returns it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freewalk.harness.base.text import counted
from freewalk.harness.from_python.files import page_path, written

if TYPE_CHECKING:
    import pandas as pd

    from freewalk.results.analysis.tuning import RaceFacts
    from freewalk.results.report.tuning_view import TaskView

COMMAND = "freewalk.tune(...)"


@dataclass(frozen=True, eq=False, repr=False)
class TuningResult:
    """What a tuning found; the columns are those of the CSV files."""

    tuned: pd.DataFrame
    """One row a task and method, the cheapest first: its best settings, what finding them cost, what they are worth."""
    rounds: pd.DataFrame
    """One row a round of a race."""
    trials: pd.DataFrame
    """Those of winners and defaults on fresh seeds."""
    grid: str
    """The winners as TOML, which `harness sweep --grid` takes as a file."""
    directory: Path | None
    """Where everything lies; None if it was not kept."""
    _identity: str = field(repr=False)
    _facts: Sequence[RaceFacts] = field(repr=False)
    _rounds: Sequence[Mapping[str, Any]] = field(repr=False)

    def report(self, path: str | Path | None = None) -> Path:
        """Write the page of `harness tune`, one file that needs nothing else.

        Parameters
        ----------
        path
            The page's file, or a folder for tuning.html; None for the tuning's own folder.

        Returns
        -------
        Path
            The page.

        Raises
        ------
        UsageError
            If no path is given of a tuning that was not kept.
        StoreError
            If the file cannot be written, or is another one than the page of this tuning.
        """
        import freewalk
        from freewalk.harness.tuning.files import PAGE
        from freewalk.results.base.writing import write_bytes
        from freewalk.results.report.making import refuse_foreign
        from freewalk.results.report.tuning_page import tuning_page

        page = page_path(path, self.directory, PAGE)
        about = {"identity": self._identity, "command": COMMAND, "version": freewalk.__version__}
        with written():
            refuse_foreign([page], self._identity)
            write_bytes(tuning_page(self._facts, self._rounds, self.trials, **about).encode(), page)
        return page

    @cached_property
    def _views(self) -> list[TaskView]:
        from freewalk.results.report.tuning_view import tuning_views

        return tuning_views(self._facts, self.tuned)

    def __repr__(self) -> str:
        where = "not kept" if self.directory is None else f"in {self.directory}"
        races = counted(len(self._facts), "race")
        answers = [" ".join([f"{view.task}: {view.verdict}.", *view.sentences[:1]]) for view in self._views]
        return "\n".join(
            [f"<TuningResult {races}, {counted(len(self.trials), 'trial')} afterwards; {where}>", *answers]
        )

    def _repr_html_(self) -> str:
        from freewalk.harness.terminal.tuning_table import header_of, rows_of, sentences_of
        from freewalk.results.report.snippet import Part, snippet

        parts = [Part(one.task, one.verdict, sentences_of(one), header_of(one), rows_of(one)) for one in self._views]
        where = [] if self.directory is None else [f"In {self.directory}; .report() writes the page."]
        return snippet([*parts, Part(sentences=where)])

"""From a sweep's tables to the files of its report."""

import itertools
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

import pandas as pd
from markupsafe import Markup

from freewalk.results.base.errors import StoreError
from freewalk.results.base.numbers import counted
from freewalk.results.base.writing import write_bytes
from freewalk.results.files.export import write_csv
from freewalk.results.report.answers import Answer
from freewalk.results.report.drawing import Drawing, Group
from freewalk.results.report.findings import Findings
from freewalk.results.report.heat_maps import heat_maps
from freewalk.results.report.influence import influence_group
from freewalk.results.report.inline_svg import drawn_inline
from freewalk.results.report.learning import learning_plots, plots_in_progress
from freewalk.results.report.outcomes import endings
from freewalk.results.report.page import Section, render
from freewalk.results.report.palette import FILES, INLINE, Theme
from freewalk.results.report.parquet import parquet_bytes
from freewalk.results.report.ranking_rows import ranking_rows
from freewalk.results.report.ranking_table import SUFFIXES, TableKind, ranking_table, to_latex, to_markdown
from freewalk.results.report.settings import fixed_settings
from freewalk.results.report.style import file_bytes, styled
from freewalk.results.report.subject import Tables, Task

PlotKind = Literal["png", "svg"]
PLOT_KINDS: Final[tuple[PlotKind, ...]] = ("png", "svg")

REPORT_NAME: Final = "report.html"
PLOTS_FOLDER: Final = "plots"
# Every file of a report holds one of these.
_SIGNS: Final = (b"schema_version,", b"freewalk")
_SWEEP: Final = re.compile(rb'<meta name="freewalk-sweep" content="(\w*)">')
MAX_TASKS_DRAWN: Final = 12
"""Tasks with plots; of further ones the page has the answers and the tables."""


@dataclass(frozen=True)
class TaskReport:
    """What is said and drawn of one task."""

    task: Task
    anchor: str
    """Letters, digits and dashes; no other task of the report has it."""
    answer: Answer
    groups: Sequence[Group]

    def drawings(self) -> Iterator[tuple[str, Drawing]]:
        """Yield every drawing with a name that no other of the report has."""
        for group in self.groups:
            for drawing in group.drawings:
                yield f"{self.anchor}-{drawing.name}", drawing


class Report:
    """A report, made from tables; nothing is written until it is asked for."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self._numbers = itertools.count()
        self.findings = Findings.of(tables)
        anchors = _anchors([task for task, _ in self.findings.tasks])
        self.tasks = [
            TaskReport(task, anchor, found, _groups(task, tables) if place < MAX_TASKS_DRAWN else ())
            for place, ((task, found), anchor) in enumerate(zip(self.findings.tasks, anchors, strict=True))
        ]

    def html(self, version: str) -> str:
        """Return the page."""
        with styled(INLINE, text_as_text=True):
            sections = [self._section(one) for one in self.tasks]
        return render(self.tables, sections, self.findings, version=version, left_out=self.left_out)

    @cached_property
    def left_out(self) -> tuple[str, ...]:
        """What the page does not show, in sentences."""
        notes = []
        if n := self.tables.n_doubled:
            notes.append(f"{counted(n, 'trial')} left aside: of their cell and seed another one is counted already.")
        if len(self.tasks) > MAX_TASKS_DRAWN:
            notes.append(f"Plots are drawn for the first {MAX_TASKS_DRAWN} of {len(self.tasks)} tasks.")
        if self.tables.curves is None:
            notes.append("There are no learning curves: the tables came without curves.csv.")
        return tuple(notes)

    def _section(self, one: TaskReport) -> Section:
        return Section(
            task=one.task,
            anchor=f"task-{one.anchor}",
            answer=one.answer,
            rows=ranking_rows(one.task),
            endings=endings(one.task, self.tables.curves),
            groups=[(group, [self._inline(drawing, one.task) for drawing in group.drawings]) for group in one.groups],
            settings=fixed_settings(one.task, self.tables.settings),
        )

    def _inline(self, drawing: Drawing, task: Task) -> Markup:
        return drawn_inline(drawing.plot, f"plot-{next(self._numbers)}", task.name)

    def plot_names(self) -> list[str]:
        """Return the names that ``plots`` gives, without their endings."""
        return [name for one in self.tasks for name, _ in one.drawings()]

    def plots(self, kind: PlotKind, theme: Theme = "light") -> Iterator[tuple[str, bytes]]:
        """Yield every plot as a file's name and content."""
        palette = FILES[theme]
        with styled(palette, text_as_text=False):
            for one in self.tasks:
                for name, drawing in one.drawings():
                    yield f"{name}.{kind}", file_bytes(drawing.plot.draw(palette, one.task.name), kind)

    def ranking_text(self, kind: TableKind, version: str) -> str:
        """Return the first cells of each task that has a result, as LaTeX or Markdown."""
        tables = [ranking_table(one.task) for one in self.tasks if one.task.finished]
        return to_latex(tables, version) if kind == "latex" else to_markdown(tables, version)

    def frames(self) -> Mapping[str, pd.DataFrame]:
        """Return the tables by name, those that are there."""
        named = {
            "trials": self.tables.trials,
            "curves": self.tables.curves,
            "summary": self.tables.summary,
            "ranking": self.tables.ranking,
            "methods": self.tables.methods,
            "sensitivity": self.tables.sensitivity,
        }
        return {name: frame for name, frame in named.items() if frame is not None}


def _anchors(tasks: Sequence[Task]) -> Iterator[str]:
    """Yield for each task a name that may stand in a link and in a file's name."""
    taken: set[str] = set()
    for place, task in enumerate(tasks, 1):
        anchor = re.sub(r"[^a-z0-9]+", "-", task.name.lower()).strip("-")[:40] or "task"
        anchor = anchor if anchor not in taken else f"{anchor}-{place}"
        taken.add(anchor)
        yield anchor


def _groups(task: Task, tables: Tables) -> list[Group]:
    return [*plots_in_progress(task, tables), *learning_plots(task, tables), *heat_maps(task), *influence_group(task)]


def write_report(
    report: Report,
    directory: Path,
    *,
    version: str,
    plots: Sequence[PlotKind] = (),
    theme: Theme = "light",
    parquet: bool = False,
    ranking_as: Sequence[TableKind] = (),
) -> list[Path]:
    """Write ``report.html``, the tables that it rests on as CSV, and what else is asked for.

    Parameters
    ----------
    report : Report
        What to write.
    directory : Path
        Where; made where it is missing.
    version : str
        Of this program, for the page's last line.
    plots : sequence of {"png", "svg"}
        Kinds of files of each plot, into ``plots/``.
    theme : {"light", "dark"}
        Colours of these files.
    parquet : bool
        Whether to write every table as Parquet too.
    ranking_as : sequence of {"latex", "markdown"}
        What to write the first cells of each task as too: ``ranking.tex``, ``ranking.md``.

    Returns
    -------
    list of Path
        The page first.

    Raises
    ------
    StoreError
        A file cannot be written, or one of another origin is in its place; then nothing has been written.
    """
    frames = report.frames()
    tables = {directory / f"{name}.csv": frames[name] for name in ("summary", "ranking", "methods", "sensitivity")}
    page = directory / REPORT_NAME
    pictures = [directory / PLOTS_FOLDER / f"{name}.{kind}" for kind in plots for name in report.plot_names()]
    columnar = {directory / f"{name}.parquet": frame for name, frame in frames.items()} if parquet else {}
    texts = {directory / f"ranking.{SUFFIXES[kind]}": report.ranking_text(kind, version) for kind in ranking_as}
    refuse_foreign([page, *tables, *pictures, *columnar, *texts], report.tables.sweep_id)
    contents = {page: report.html(version).encode()}
    for kind in plots:
        contents |= {directory / PLOTS_FOLDER / name: content for name, content in report.plots(kind, theme)}
    contents |= {path: parquet_bytes(frame) for path, frame in columnar.items()}
    contents |= {path: text.encode() for path, text in texts.items()}
    for path, content in contents.items():
        write_bytes(content, path)
    for path, frame in tables.items():
        write_csv(frame, path)
    return [page, *tables, *pictures, *columnar, *texts]


def write_page(report: Report, path: Path, *, version: str) -> None:
    """Write the page alone.

    Raises
    ------
    StoreError
        It cannot be written, or a file of another origin is in its place.
    """
    refuse_foreign([path], report.tables.sweep_id)
    write_bytes(report.html(version).encode(), path)


def refuse_foreign(paths: Iterable[Path], sweep_id: str) -> None:
    """Refuse to overwrite what no report of this sweep has written.

    Raises
    ------
    StoreError
        One of the paths is a file of another origin, the report of another sweep, or no file.
    """
    for path in paths:
        if not os.path.lexists(path):
            continue
        content = _read(path)
        if content is None or not any(sign in content for sign in _SIGNS):
            raise StoreError(f"{path} is there and was not written by a report: move it away or pick another --out")
        found = _SWEEP.search(content)
        if found and found[1].decode() != sweep_id:
            raise StoreError(f"{path} is the report of another sweep: move it away or pick another --out")


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None

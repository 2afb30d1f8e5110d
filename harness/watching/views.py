"""What there is to see: a sweep, the sweeps of a folder, two of them side by side; as a page and as a few words."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import freewalk
from freewalk.harness.base.errors import UsageError, one_line
from freewalk.harness.base.text import counted, duration
from freewalk.harness.watching.pages import Page, Pages
from freewalk.harness.watching.watched import Folder, Look, Watched
from freewalk.results.base.text import printable
from freewalk.results.report.live_page import SweepRow, frame, sentence_page, sweeps_page
from freewalk.results.store.listing import STAGES, SweepState, is_sweep

VERSION = freewalk.__version__


class View(Protocol):
    """Something to see."""

    def state(self) -> dict[str, Any]:
        """Return how far it is: what the bar says, and the version of the page that is ready."""

    def page(self) -> Page | None:
        """Return the page; None as long as it has not been made."""

    def frame(self, nonce: str) -> tuple[str, str]:
        """Return the HTML that shows the page and keeps it up to date, and the version of what it shows already."""


class Views:
    """All that can be seen of a folder.

    Parameters
    ----------
    directory
        A sweep's folder, a folder of sweeps, or one that will be either.
    pages
        What makes the pages.
    """

    def __init__(self, directory: Path, pages: Pages) -> None:
        self.directory = directory
        self._pages = pages
        self._whole = Watched(directory)
        self._folder = Folder(directory)

    def find(self, place: Sequence[str]) -> View | None:
        """Return the view at a place, which names sweeps by their identifiers; None for one that there is not."""
        match place:
            case []:
                sweeps = {} if is_sweep(self.directory) else self._folder.sweeps()
                return ListView(self._folder, sweeps) if sweeps else SweepView(self._whole, self._pages)
            case ["sweep", name] if (one := self._folder.sweeps().get(name)) is not None:
                return SweepView(one, self._pages, self._folder.place(one))
            case ["compare", *names] if len(names) == 2:
                found = [self._folder.sweeps().get(name) for name in names]
                sides = [one for one in found if one is not None]
                return CompareView(sides, self._folder, self._pages) if len(sides) == 2 else None
        return None


class SweepView:
    """One sweep: its report, made again when something was written.

    Parameters
    ----------
    watched
        The sweep.
    pages
        What makes the report.
    place
        Its path below the folder of sweeps; empty for one that was given by itself.
    """

    def __init__(self, watched: Watched, pages: Pages, place: str = "") -> None:
        self._watched, self._pages, self._place = watched, pages, place

    @property
    def _name(self) -> str:
        return printable(self._place or str(self._watched.directory))

    def state(self) -> dict[str, Any]:
        """Return how far the sweep is."""
        look = self._watched.look()
        one = look.state
        page = self._ask(look)
        share = one.n_done / one.n_planned if one.n_planned else 0.0
        prefix = f"{100 * share:.0f} % " if one.state == "running" else ""
        return _said(
            "sweep",
            one.state,
            version=page.version if page else "",
            share=share,
            title=f"{prefix}{one.name}",
            done=f"{one.n_done:,} of {counted(one.n_planned, 'trial')} ({100 * share:.0f} %)" if one.n_planned else "",
            failed=f"{one.n_failed:,} failed" if one.n_failed else "",
            left=_left_words(look),
            written=_ago(one.last_written),
        )

    def page(self) -> Page | None:
        """Return the report."""
        return self._ask(self._watched.look())

    def frame(self, nonce: str) -> tuple[str, str]:
        """Return the frame around the report."""
        back = "../../" if self._place else ""
        return frame(self._name, version=VERSION, nonce=nonce, back=back, kind="sweep"), ""

    def _ask(self, look: Look) -> Page | None:
        directory = self._watched.directory
        return self._pages.ask(
            directory, look.signature, lambda: _guarded(self._name, lambda: _report(directory, self._name, look.state))
        )


def _left_words(look: Look) -> str:
    if look.left is None:
        return ""
    return f"{'about' if look.left.is_expected else 'at most'} {duration(look.left.seconds)} left"


def _report(directory: Path, name: str, state: SweepState) -> str:
    from freewalk.harness.terminal.reading import reading, task_notes
    from freewalk.results.report.making import Report
    from freewalk.results.report.reading import read_tables

    if state.state == "waiting":
        return sentence_page(
            name, "Waiting", "No sweep is there yet. This page shows it when it begins.", version=VERSION
        )
    with reading():
        report = Report(read_tables(directory, task_notes()))
    if not report.tasks:
        return sentence_page(name, "No trials yet", "The sweep is there, but holds no trials.", version=VERSION)
    return report.html(VERSION)


def _guarded(name: str, make: Callable[[], str]) -> str:
    """Return a page, or one that says in a line why there is none."""
    try:
        return make()
    except UsageError as error:
        message = printable(str(error))
    except Exception as error:  # the thread that makes pages must go on
        message = one_line(error)
    return sentence_page(name, "This cannot be shown", message, version=VERSION)


class ListView:
    """The sweeps of a folder."""

    def __init__(self, folder: Folder, sweeps: dict[str, Watched]) -> None:
        self._folder = folder
        self._sweeps = sweeps

    def _rows(self) -> list[SweepRow]:
        return [
            SweepRow(name, printable(self._folder.place(one)), one.look().state) for name, one in self._sweeps.items()
        ]

    def state(self) -> dict[str, Any]:
        """Return how many sweeps there are in which state."""
        rows = self._rows()
        states = [row.state for row in rows]
        n_planned, n_done = sum(one.n_planned for one in states), sum(one.n_done for one in states)
        counts = {stage: sum(one.state == stage for one in states) for stage in STAGES}
        stage = next(stage for stage, n in counts.items() if n)
        n_failed = sum(one.n_failed for one in states)
        return _said(
            "list",
            stage,
            version=_version(rows),
            share=n_done / n_planned if n_planned else 0.0,
            title=f"{printable(str(self._folder.directory))}: sweeps",
            word=", ".join(f"{n} {name}" for name, n in counts.items() if n),
            done=f"{n_done:,} of {counted(n_planned, 'trial')}",
            failed=f"{n_failed:,} failed" if n_failed else "",
            written=_ago(max((one.last_written for one in states if one.last_written), default=None)),
        )

    def page(self) -> Page | None:
        """Return None: the list is shown in its frame alone."""
        return None

    def frame(self, nonce: str) -> tuple[str, str]:
        """Return the list."""
        rows = self._rows()
        version = _version(rows)
        html = sweeps_page(
            printable(str(self._folder.directory)), rows, self._notes(), version=VERSION, nonce=nonce, kind="list",
            shown=version,
        )  # fmt: skip
        return html, version

    def _notes(self) -> list[str]:
        page = self._folder.directory / "tuning.html"
        return [f"What the tuning has found is in {printable(str(page))}."] if page.is_file() else []


def _version(rows: Sequence[SweepRow]) -> str:
    shown = [(row.identifier, row.state, row.changed) for row in rows]
    return hashlib.sha256(repr(shown).encode("utf-8", "replace")).hexdigest()[:16]


class CompareView:
    """Two sweeps side by side, as `harness compare` has them."""

    def __init__(self, sides: Sequence[Watched], folder: Folder, pages: Pages) -> None:
        self._sides, self._pages = sides, pages
        self._places = [printable(folder.place(one)) for one in sides]

    def state(self) -> dict[str, Any]:
        """Return how far both sweeps are."""
        page = self.page()
        states = [one.look().state for one in self._sides]
        n_planned, n_done = sum(one.n_planned for one in states), sum(one.n_done for one in states)
        stage = next(stage for stage in STAGES if any(one.state == stage for one in states))
        return _said(
            "compare",
            stage,
            version=page.version if page else "",
            share=n_done / n_planned if n_planned else 0.0,
            title=self._name,
            word=" and ".join(dict.fromkeys(one.state for one in states)),
            done=f"{n_done:,} of {counted(n_planned, 'trial')}",
            written=_ago(max((one.last_written for one in states if one.last_written), default=None)),
        )

    def page(self) -> Page | None:
        """Return the comparison."""
        a, b = self._sides
        looks = (a.look(), b.look())
        return self._pages.ask(
            (a.directory, b.directory),
            tuple(look.signature for look in looks),
            lambda: _guarded(self._name, lambda: _comparison([a.directory, b.directory], self._places)),
        )

    def frame(self, nonce: str) -> tuple[str, str]:
        """Return the frame around the comparison."""
        return frame(self._name, version=VERSION, nonce=nonce, back="../../../", kind="compare"), ""

    @property
    def _name(self) -> str:
        return " beside ".join(self._places)


_ROWS_COMPARED = 100


def _comparison(directories: Sequence[Path], places: Sequence[str]) -> str:
    from freewalk.harness.terminal.comparison import Comparison
    from freewalk.harness.terminal.comparison_table import measure_tables
    from freewalk.harness.terminal.reading import read_sweep, reading
    from freewalk.results.files.sources import named_alike
    from freewalk.results.report.live_page import comparison_page

    a, b = (read_sweep(str(directory)) for directory in directories)
    with reading():
        b = named_alike(a, b)
    found = Comparison.of([(a, b)], None)
    sides = list(zip("AB", places, strict=True))
    return comparison_page(sides, measure_tables(found, _ROWS_COMPARED), list(found.notes()), version=VERSION)


def _said(
    kind: str, stage: str, *, version: str, share: float, title: str, word: str = "", **said: str
) -> dict[str, Any]:
    """Put together what a page is told; `word` is what stands for the stage."""
    said = {"failed": "", "left": "", "stage": word or stage, **said}
    announced = ", ".join(filter(None, (said["stage"], said["done"], said["failed"], said["left"])))
    return {
        "kind": kind,
        "stage": stage,
        "version": version,
        "share": share,
        "title": title,
        "said": said,
        "announce": announced,
    }


def _ago(when: datetime | None) -> str:
    if when is None:
        return ""
    seconds = (datetime.now(UTC) - when).total_seconds()
    if seconds < 2:
        return "written just now"
    return f"written {duration(float(round(seconds)))} ago" if seconds < 86400 else f"written {when:%Y-%m-%d %H:%MZ}"

"""A sweep while it runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from freewalk.harness.base.text import counted, duration, printable
from freewalk.harness.watching.pages import Page, Pages
from freewalk.harness.watching.view import VERSION, ago, guarded, said_of, whole
from freewalk.harness.watching.watched import Look, Watched
from freewalk.results.report.live_page import frame, sentence_page
from freewalk.results.store.listing import SweepState


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
        return said_of(
            "sweep",
            one.state,
            version=page.version if page else "",
            share=share,
            title=f"{prefix}{one.name}",
            done=f"{one.n_done:,} of {counted(one.n_planned, 'trial')} ({100 * share:.0f} %)" if one.n_planned else "",
            failed=f"{one.n_failed:,} failed" if one.n_failed else "",
            left=_left_words(look),
            written=ago(one.last_written),
            behind=_behind(page, look),
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
            directory, look.signature, lambda: guarded(self._name, lambda: _report(directory, self._name, look.state))
        )


def _behind(page: Page | None, look: Look) -> str:
    """Say how old a report is that does not show all that was written."""
    if page is None or page.signature == look.signature:
        return ""
    return f"report {whole(time.monotonic() - page.began)} old"


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

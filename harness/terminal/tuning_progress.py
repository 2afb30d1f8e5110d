"""What a person sees while a tuning runs: one line, redrawn on a terminal and repeated elsewhere, on stderr."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from freewalk.harness.engine.choice import note_of
from freewalk.harness.sweep import Opened
from freewalk.harness.terminal.failures import Failures
from freewalk.harness.trial.events import Event, Failed
from freewalk.harness.tuning.tune import Tuning

_SECONDS_BETWEEN_LINES = 10.0
_FAILURES_SHOWN = 5


class News:
    """What of a tuning's events is told in words: where it lies, notes, and the first failures."""

    def __init__(self, tuning: Tuning, *, kept: bool = True) -> None:
        self._tuning = tuning
        self._kept = kept
        self._n_failed = 0

    def lines(self, event: Opened | Event) -> list[str]:
        """Return what there is to tell of an event."""
        if isinstance(event, Opened):
            return [*self._opening(), *(f"harness: note: {text}" for text in event.notes)]
        if isinstance(event, Failed):
            self._n_failed += 1
            if self._n_failed <= _FAILURES_SHOWN:
                cell = event.trial.cell
                return [f"failed: {cell.task}, {cell.method}, seed {event.trial.seed}: {event.error}"]
        return []

    def _opening(self) -> list[str]:
        if self._tuning.fresh is not None or self._tuning.races:  # not of the first of several sweeps
            return []
        backend = self._tuning.backend
        note = None if backend is None else note_of(backend)
        return [*([f"races into {self._tuning.directory}"] if self._kept else []), *([note] if note else [])]


def shown(tuning: Tuning, events: Iterator[Opened | Event], *, quiet: bool, kept: bool = True) -> None:
    """Let a tuning run, and show notes, the first failures and how far it is."""
    failures = Failures()
    if quiet:
        for event in events:
            failures.show(event)
        return
    console = Console(stderr=True)
    is_live = console.is_terminal and not console.is_dumb_terminal
    news, told = News(tuning, kept=kept), time.monotonic()
    with _line(tuning, console, is_live=is_live):
        for event in events:
            failures.show(event)
            for line in news.lines(event):
                _say(console, line)
            if not is_live and time.monotonic() - told > _SECONDS_BETWEEN_LINES:
                told = time.monotonic()
                _say(console, tuning.line())


@contextmanager
def _line(tuning: Tuning, console: Console, *, is_live: bool) -> Iterator[None]:
    if not is_live:
        yield
        return
    with Live(console=console, transient=True, get_renderable=lambda: Text(tuning.line(), style="dim")):
        yield


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)

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


def shown(tuning: Tuning, events: Iterator[Opened | Event], *, quiet: bool) -> None:
    """Let a tuning run, and show notes, the first failures and how far it is."""
    failures = Failures()
    if quiet:
        for event in events:
            failures.show(event)
        return
    console = Console(stderr=True)
    is_live = console.is_terminal and not console.is_dumb_terminal
    n_failed, told = 0, time.monotonic()
    with _line(tuning, console, is_live=is_live):
        for event in events:
            failures.show(event)
            if isinstance(event, Opened):
                _say_notes(tuning, console, event)
            elif isinstance(event, Failed):
                n_failed += 1
                if n_failed <= _FAILURES_SHOWN:
                    where = f"{event.trial.cell.task}, {event.trial.cell.method}, seed {event.trial.seed}"
                    _say(console, f"failed: {where}: {event.error}")
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


def _say_notes(tuning: Tuning, console: Console, opened: Opened) -> None:
    if tuning.fresh is None and not tuning.races:  # of the first of several sweeps
        _say(console, f"races into {tuning.directory}")
        for backend in (tuning.backend,) if tuning.backend is not None else ():
            if note := note_of(backend):
                _say(console, note)
    for text in opened.notes:
        _say(console, f"harness: note: {text}")


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)

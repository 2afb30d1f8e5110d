"""What a person sees while a sweep runs: a live line on a terminal, plain lines elsewhere, on stderr."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.file_proxy import FileProxy
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from freewalk.harness.base.text import counted, packed
from freewalk.harness.engine.choice import note_of
from freewalk.harness.sweep import Opened, Sweep
from freewalk.harness.terminal.failures import Failures
from freewalk.harness.terminal.tally import Tally
from freewalk.harness.trial.events import Event, Failed

_SECONDS_BETWEEN_LINES = 5.0
_FAILURES_SHOWN = 5
TASKS_SHOWN = 6
_PREPARING = "preparing the kernels; the first time they are compiled, which takes about twenty seconds"
_WIDEST_BAR = 30
_NARROWEST_BAR = 8


class Progress:
    """Shows events of a sweep, inside a with block; this one shows nothing."""

    def __init__(self) -> None:
        self.failures = Failures()

    def __enter__(self) -> Self:
        """Begin to show."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal in order."""

    def show(self, event: Opened | Event) -> None:
        """Take one event in."""
        self.failures.show(event)


def make_progress(sweep: Sweep, *, quiet: bool, kept: bool = True) -> Progress:
    """Return what fits: nothing when quiet, a live display on a terminal, else plain lines.

    `kept` says whether the sweep's folder stays, so that it is worth naming.
    """
    if quiet:
        return Progress()
    console = Console(stderr=True)
    is_live = console.is_terminal and not console.is_dumb_terminal
    return _Display(sweep, console, kept=kept) if is_live else _Lines(sweep, kept=kept)


def _banner(sweep: Sweep, opened: Opened, kept: bool) -> list[str]:
    """Return what is said when a sweep opens, a line each."""
    before = opened.n_total - len(opened.trials)
    resumed = f", {before} of them done before" if before else ""
    resumed += f", {len(opened.resumed)} go on from a checkpoint" if opened.resumed else ""
    note = note_of(sweep.backend)
    return [
        f"{counted(opened.n_total, 'trial')}{f' into {sweep.directory}' if kept else ''}{resumed}",
        *(f"harness: note: {text}" for text in opened.notes),
        *([note] if note else []),
    ]


class Telling(Progress):
    """Tells the banner, the first failures and how far the sweep is; subclasses know how."""

    def __init__(self, sweep: Sweep, *, kept: bool = True) -> None:
        super().__init__()
        self._sweep = sweep
        self._kept = kept
        self._tally: Tally | None = None

    def show(self, event: Opened | Event) -> None:
        """Take one event in."""
        if isinstance(event, Opened):
            self._say("\n".join(_banner(self._sweep, event, self._kept)), style="dim")
            self._prepare(_PREPARING if event.trials else "")
            self._tally = Tally(self._sweep, event)  # last: a display draws it from now on
            return
        assert self._tally is not None, "a sweep opens before its trials begin"
        self._tally.add(event)
        self.failures.show(event)
        if isinstance(event, Failed) and self._tally.n_failed <= _FAILURES_SHOWN:
            self._say(f"failed: {self._tally.leaderboard.describe(event.trial.cell)}: {event.error}", style="red")
        self._move(self._tally)

    def _say(self, text: str, *, style: str) -> None:
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is the display

    def _prepare(self, text: str) -> None:
        """Say what the sweep does before its first trial moves."""

    def _move(self, tally: Tally) -> None:
        """Say how far the sweep is, if it is time for that."""


class _Lines(Telling):
    """A line every few seconds, and one for each of the first failures."""

    def __init__(self, sweep: Sweep, *, kept: bool = True) -> None:
        super().__init__(sweep, kept=kept)
        self._last = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        if self._tally and self._tally.n_done:
            self._say_state(self._tally)

    def _prepare(self, text: str) -> None:
        if text:
            self._say(text, style="dim")

    def _move(self, tally: Tally) -> None:
        if time.perf_counter() - self._last > _SECONDS_BETWEEN_LINES:
            self._say_state(tally)

    def _say_state(self, tally: Tally) -> None:
        self._last = time.perf_counter()
        best = (f"; best {words}" for words in tally.leaderboard.best()[:TASKS_SHOWN])
        self._say("".join([tally.line(), *best]), style="")


class _Above(FileProxy):
    """A standard stream while the display is drawn: what is written to it comes above the display.

    It shows no bytes below the text: click would write to these, past the display.
    """

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":
            raise AttributeError(name)
        return super().__getattr__(name)


class _Display(Telling):
    """A bar, the numbers and the best cell so far, redrawn in place."""

    def __init__(self, sweep: Sweep, console: Console, *, kept: bool = True) -> None:
        super().__init__(sweep, kept=kept)
        self._console = console
        self._phase = ""
        self._live = Live(get_renderable=self._draw, console=console, refresh_per_second=4)
        self._streams = ExitStack()

    def __enter__(self) -> Self:
        self._streams.enter_context(redirect_stdout(_Above(self._console, sys.stdout)))
        self._streams.enter_context(redirect_stderr(_Above(self._console, sys.stderr)))
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._streams:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()  # half a line, perhaps
            self._live.__exit__(kind, error, trace)

    def _say(self, text: str, *, style: str) -> None:
        self._console.print(text, style=style, markup=False, highlight=False)

    def _prepare(self, text: str) -> None:
        self._phase = text

    def _move(self, tally: Tally) -> None:
        self._phase = ""

    def _draw(self) -> Group | Text:
        if self._phase or self._tally is None:
            return Text(self._phase, style="dim")
        tally, width = self._tally, self._console.width
        numbers = packed(tally.parts(), width)
        room = width - 1 - len(numbers[0])
        bar = ProgressBar(total=1.0, completed=tally.share, width=min(_WIDEST_BAR, width))
        if room >= _NARROWEST_BAR:  # else it stands above
            bar.width = min(_WIDEST_BAR, room)
        first = Table.grid(padding=(0, 1))
        first.add_row(bar, numbers.pop(0)) if room >= _NARROWEST_BAR else first.add_row(bar)
        best = Table.grid(padding=(0, 2))
        for words in tally.leaderboard.best()[:TASKS_SHOWN]:
            best.add_row("best so far", words, style="dim")
        return Group(first, *(Text(line) for line in (*numbers, *packed(tally.under_way(), width))), best)

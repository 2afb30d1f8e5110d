"""What a notebook's cell shows while a sweep or a tuning runs: a bar and a few lines, written again in place."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Iterator, Sequence
from html import escape
from types import TracebackType
from typing import Any

from freewalk.harness.base.text import counted, duration
from freewalk.harness.sweep import Opened, Sweep
from freewalk.harness.terminal.progress import TASKS_SHOWN, Telling
from freewalk.harness.terminal.tally import Tally
from freewalk.harness.terminal.tuning_progress import News
from freewalk.harness.trial.events import Event
from freewalk.harness.tuning.tune import Tuning

_SECONDS_BETWEEN = 0.3
_BLOCK = '<div style="font-size: 0.92em; line-height: 1.45; font-variant-numeric: tabular-nums">{}</div>'
_BAR = (
    '<div style="max-width: 24em; height: 0.55em; margin: 0.3em 0; border-radius: 0.3em; overflow: hidden;'
    ' background: rgba(128, 128, 128, 0.3)"><div style="width: {:.1f}%; height: 100%; background: #3d8fb8"></div></div>'
)


def in_notebook() -> bool:
    """Tell whether this process is the kernel of a notebook; IPython is not imported for it."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


class Output:
    """A place in a cell's output that is written again and again, a few times a second at most."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._written = 0.0

    def show(self, lines: Sequence[str], share: float | None = None, *, at_once: bool = False) -> None:
        """Write lines, above them a bar where a share of the work is given; nothing if that was done a moment ago."""
        if not at_once and time.monotonic() - self._written < _SECONDS_BETWEEN:
            return
        bar = "" if share is None else _BAR.format(100 * share)
        content = {
            "text/plain": "\n".join(lines),
            "text/html": _BLOCK.format(bar + "<br>".join(map(escape, lines))),
        }
        if self._handle is None:
            self._handle = importlib.import_module("IPython.display").display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)
        self._written = time.monotonic()


class NotebookProgress(Telling):
    """A bar, the numbers and the best cell so far; at the end one line of what happened."""

    def __init__(self, sweep: Sweep, *, kept: bool) -> None:
        super().__init__(sweep, kept=kept)
        self._output = Output()
        self._said: list[str] = []
        self._start = time.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._tally is not None:
            _, *others = self._said
            self._output.show([self._ending(self._tally, error), *others], at_once=True)

    def _say(self, text: str, *, style: str) -> None:
        self._said += [line.removeprefix("harness: ") for line in text.split("\n")]

    def _prepare(self, text: str) -> None:
        self._output.show([*self._said, *([text] if text else [])], at_once=True)

    def _move(self, tally: Tally) -> None:
        best = [f"best so far: {words}" for words in tally.leaderboard.best()[:TASKS_SHOWN]]
        numbers = [", ".join(words) for words in (tally.parts(), tally.under_way()) if words]
        self._output.show([*self._said, *numbers, *best], tally.share)

    def _ending(self, tally: Tally, error: BaseException | None) -> str:
        where = f" in {self._sweep.directory}" if self._kept else ""
        numbers = f"{tally.n_reached:,} reached" + (f", {tally.n_failed:,} failed" if tally.n_failed else "")
        if error is None:
            took = f", {duration(time.monotonic() - self._start)}" if tally.n_done else ", all of them done before"
            return f"{counted(tally.n_total, 'trial')}{where}: {numbers}{took}"
        what = "interrupted" if isinstance(error, KeyboardInterrupt) else "stopped by an error"
        on = "the same call goes on from here" if self._kept else "nothing is kept without out="
        return f"{what} after {tally.n_present:,} of {counted(tally.n_total, 'trial')}{where}: {numbers}; {on}"


def shown_in_notebook(tuning: Tuning, events: Iterator[Opened | Event], *, kept: bool) -> None:
    """Let a tuning run, and show notes, the first failures and how far it is; at the end one line of what happened."""
    output, news, said = Output(), News(tuning, kept=kept), list[str]()
    start = time.monotonic()
    where = f" in {tuning.directory}" if kept else ""
    try:
        for event in events:
            new = [line.removeprefix("harness: ") for line in news.lines(event)]
            said += new
            output.show([*said, tuning.line()], at_once=bool(new))
    except BaseException as error:
        what = "interrupted" if isinstance(error, KeyboardInterrupt) else "stopped by an error"
        on = "the same call goes on from here" if kept else "nothing is kept without out="
        output.show([f"{what}{where}: {tuning.line()}; {on}", *said], at_once=True)
        raise
    n = sum(map(len, tuning.tables.values()))
    races = counted(len(tuning.races), "race")
    took = duration(time.monotonic() - start)
    output.show([f"{races}{where}: {counted(n, 'trial')}, {took}", *said], at_once=True)

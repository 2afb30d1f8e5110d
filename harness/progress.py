"""What a person sees while a sweep runs: a live line on a terminal, plain lines elsewhere, on stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from freewalk.harness.engines import note_of
from freewalk.harness.estimate import trial_seconds, trial_steps
from freewalk.harness.events import Event, Failed, Finished, Saved
from freewalk.harness.leaderboard import Leaderboard
from freewalk.harness.plan import Trial
from freewalk.harness.sweep import Opened, Sweep
from freewalk.harness.text import counted, duration

_SECONDS_BETWEEN_LINES = 5.0
_FAILURES_SHOWN = 5
_TASKS_SHOWN = 6


class Progress(Protocol):
    """Shows events of a sweep."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal in order."""

    def show(self, event: Opened | Event) -> None:
        """Take one event in."""


def make_progress(sweep: Sweep, *, quiet: bool) -> Progress:
    """Return what fits: nothing when quiet, a live display on a terminal, else plain lines."""
    if quiet:
        return _Silent()
    console = Console(stderr=True)
    return _Display(sweep, console) if console.is_terminal else _Lines(sweep)


class Tally:
    """What is done, how fast, and how long the rest will take."""

    def __init__(self, sweep: Sweep, opened: Opened) -> None:
        self._start: float | None = None
        cells = {trial.cell: trial_seconds(trial.cell, sweep.budget) for trial in opened.trials}
        self._steps = {cell: trial_steps(cell, sweep.budget) for cell in cells}
        self._costs = {trial.trial_id: cells[trial.cell] for trial in opened.trials}
        self._cost_left = sum(self._costs.values())
        self._cost_done = 0.0
        self._counted: dict[str, float] = {}
        for trial in opened.trials:
            self._count(trial, opened.resumed.get(trial.trial_id, 0) / self._steps[trial.cell])
        self._cost_done = 0.0  # by this run
        self.leaderboard = Leaderboard(sweep.plan, sweep.configuration)
        self.n_total = opened.n_total
        self.n_before = opened.n_total - len(opened.trials)
        self.n_reached = opened.n_reached_before
        self.n_done = 0
        self.n_failed = 0

    @property
    def n_present(self) -> int:
        """Trials that are in the store, earlier runs included."""
        return self.n_before + self.n_done

    def add(self, event: Event) -> None:
        """Count an event in; the clock starts with the first, when compilation lies behind."""
        if self._start is None:
            self._start = time.perf_counter()
        if isinstance(event, Saved):
            self._count(event.trial, event.checkpoint.step / self._steps[event.trial.cell])
        if isinstance(event, Finished | Failed):
            self.n_done += 1
            self._count(event.trial, 1.0)
        if isinstance(event, Finished):
            self.n_reached += bool(event.result.fields["reached"])
            self.leaderboard.add(event.trial.cell, event.result)
        self.n_failed += isinstance(event, Failed)

    def _count(self, trial: Trial, share: float) -> None:
        """Count the part of a trial that is behind it, less what was counted before."""
        cost = self._costs[trial.trial_id] * share
        done = cost - self._counted.get(trial.trial_id, 0.0)
        self._counted[trial.trial_id] = cost
        self._cost_left -= done
        self._cost_done += done

    @property
    def _seconds(self) -> float:
        return 0.0 if self._start is None else max(time.perf_counter() - self._start, 1e-9)

    @property
    def seconds_left(self) -> float | None:
        """Time for the rest at the pace so far, each trial weighed by what its steps cost; None at the start."""
        return self._cost_left * self._seconds / self._cost_done if self._cost_done else None

    def line(self) -> str:
        """Return the state of things in one line."""
        parts = [f"{self.n_present}/{self.n_total} trials", f"{self.n_reached} reached"]
        if self.n_failed:
            parts.append(f"{self.n_failed} failed")
        if self.n_done:
            parts.append(f"{self.n_done / self._seconds:.1f} trials/s")
        if self.seconds_left is not None and self.n_present < self.n_total:
            parts.append(f"{duration(self.seconds_left)} left")
        return ", ".join(parts)


class _Silent:
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, event: Opened | Event) -> None:
        pass


def _banner(sweep: Sweep, opened: Opened) -> list[str]:
    """Return what is said when a sweep opens, a line each."""
    before = opened.n_total - len(opened.trials)
    resumed = f", {before} of them done before" if before else ""
    resumed += f", {len(opened.resumed)} go on from a checkpoint" if opened.resumed else ""
    note = note_of(sweep.backend)
    return [
        f"{counted(opened.n_total, 'trial')} into {sweep.directory}{resumed}",
        *(f"harness: note: {text}" for text in opened.notes),
        *([note] if note else []),
    ]


class _Lines:
    """A line every few seconds, and one for each of the first failures."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._tally: Tally | None = None
        self._last = time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._tally and self._tally.n_done:
            self._say_state(self._tally)

    def show(self, event: Opened | Event) -> None:
        if isinstance(event, Opened):
            self._tally = Tally(self._sweep, event)
            _say("\n".join(_banner(self._sweep, event)))
            if event.trials:
                _say("preparing the kernels; the first time they are compiled, which takes about twenty seconds")
            return
        assert self._tally is not None, "a sweep opens before its trials begin"
        self._tally.add(event)
        if isinstance(event, Failed) and self._tally.n_failed <= _FAILURES_SHOWN:
            _say(_failure(self._tally, event))
        if time.perf_counter() - self._last > _SECONDS_BETWEEN_LINES:
            self._say_state(self._tally)

    def _say_state(self, tally: Tally) -> None:
        self._last = time.perf_counter()
        _say("".join([tally.line(), *(f"; best {words}" for words in tally.leaderboard.best()[:_TASKS_SHOWN])]))


def _failure(tally: Tally, event: Failed) -> str:
    return f"failed: {tally.leaderboard.describe(event.trial.cell)}: {event.error}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is the display


class _Display:
    """A bar, the numbers and the best cell so far, redrawn in place."""

    def __init__(self, sweep: Sweep, console: Console) -> None:
        self._sweep = sweep
        self._console = console
        self._phase = ""
        self._tally: Tally | None = None
        self._live = Live(get_renderable=self._draw, console=console, refresh_per_second=8)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, event: Opened | Event) -> None:
        if isinstance(event, Opened):
            self._tally = Tally(self._sweep, event)
            for line in _banner(self._sweep, event):
                self._console.print(line, style="dim", markup=False, highlight=False)
            self._phase = (
                "preparing the kernels; the first time this takes about twenty seconds" if event.trials else ""
            )
            return
        assert self._tally is not None, "a sweep opens before its trials begin"
        self._phase = ""
        self._tally.add(event)
        if isinstance(event, Failed) and self._tally.n_failed <= _FAILURES_SHOWN:
            self._console.print(_failure(self._tally, event), style="red", markup=False)

    def _draw(self) -> Table | Text:
        if self._phase or self._tally is None:
            return Text(self._phase, style="dim")
        bar = ProgressBar(total=self._tally.n_total, completed=self._tally.n_present, width=30)
        numbers = Table.grid(padding=(0, 1))
        numbers.add_row(bar, self._tally.line())
        display = Table.grid()
        display.add_row(numbers)
        for words in self._tally.leaderboard.best()[:_TASKS_SHOWN]:
            display.add_row(Text(f"best so far  {words}", style="dim"))
        return display

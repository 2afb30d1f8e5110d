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

from freewalk.harness.engine import Event, Failed, Finished
from freewalk.harness.estimate import seconds_per_step
from freewalk.harness.leaderboard import Leaderboard
from freewalk.harness.sweep import Sweep, one_line
from freewalk.harness.text import duration

_SECONDS_BETWEEN_LINES = 5.0
_FAILURES_SHOWN = 5


class Progress(Protocol):
    """Shows events of a sweep."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal in order."""

    def show(self, event: Event) -> None:
        """Take one event in."""


def make_progress(sweep: Sweep, *, quiet: bool) -> Progress:
    """Return what fits: nothing when quiet, a live display on a terminal, else plain lines."""
    if quiet:
        return _Silent()
    console = Console(stderr=True)
    return _Display(sweep, console) if console.is_terminal else _Lines(sweep)


class Tally:
    """What is done, how fast, and how long the rest will take."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._start = time.perf_counter()
        self._costs: dict[str, float] = {}
        self.leaderboard = Leaderboard(sweep.plan)
        self.n_done = 0
        self.n_failed = 0
        self.n_reached = 0
        self._cost_done = 0.0

    @property
    def n_total(self) -> int:
        """Trials of the sweep."""
        return len(self._sweep.plan.trials)

    @property
    def n_present(self) -> int:
        """Trials that are in the store, earlier runs included."""
        return self._sweep.n_before + self.n_done

    def add(self, event: Event) -> None:
        """Count an event in."""
        if not self._costs:
            # the plan's remainder is known with the first event, and compilation lies behind
            self._start = time.perf_counter()
            self._costs = {trial.trial_id: seconds_per_step(trial.cell) for trial in self._sweep.trials}
        if isinstance(event, Finished | Failed):
            self.n_done += 1
            self._cost_done += self._costs[event.trial.trial_id]
        if isinstance(event, Finished):
            self.n_reached += bool(event.result.fields["reached"])
            self.leaderboard.add(event.trial.cell, event.result)
        self.n_failed += isinstance(event, Failed)

    @property
    def trials_per_second(self) -> float:
        """Rate since the first trial began."""
        return self.n_done / max(time.perf_counter() - self._start, 1e-9)

    @property
    def seconds_left(self) -> float | None:
        """Time for the rest at the pace so far, each trial weighed by what its steps cost; None at the start."""
        if not self._cost_done:
            return None
        left = sum(self._costs.values()) - self._cost_done
        return left * (time.perf_counter() - self._start) / self._cost_done

    def line(self) -> str:
        """Return the state of things in one line."""
        parts = [f"{self.n_present}/{self.n_total} trials", f"{self.n_reached} reached"]
        if self.n_failed:
            parts.append(f"{self.n_failed} failed")
        if self.n_done:
            parts.append(f"{self.trials_per_second:.1f} trials/s")
        if self.seconds_left is not None:
            parts.append(f"{duration(self.seconds_left)} left")
        return ", ".join(parts)


class _Silent:
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, event: Event) -> None:
        pass


class _Lines:
    """A line every few seconds, and one for each failure."""

    def __init__(self, sweep: Sweep) -> None:
        self._tally = Tally(sweep)
        self._sweep = sweep
        self._last = time.perf_counter()

    def __enter__(self) -> Self:
        _say(f"{self._tally.n_total} trials into {self._sweep.directory}")
        return self

    def __exit__(self, *_: object) -> None:
        self._say_line()

    def show(self, event: Event) -> None:
        self._tally.add(event)
        if isinstance(event, Failed) and self._tally.n_failed <= _FAILURES_SHOWN:
            _say(f"failed: {self._tally.leaderboard.describe(event.trial.cell)}: {one_line(event.error)}")
        if time.perf_counter() - self._last > _SECONDS_BETWEEN_LINES:
            self._say_line()

    def _say_line(self) -> None:
        self._last = time.perf_counter()
        best = self._tally.leaderboard.best()
        _say(self._tally.line() + (f"; best {best}" if best else ""))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is the display


class _Display:
    """A bar, the numbers and the best cell so far, redrawn in place."""

    def __init__(self, sweep: Sweep, console: Console) -> None:
        self._tally = Tally(sweep)
        self._console = console
        self._phase = f"{self._tally.n_total} trials into {sweep.directory}; compiling the kernels once"
        self._live = Live(get_renderable=self._draw, console=console, refresh_per_second=8)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, event: Event) -> None:
        self._phase = ""
        self._tally.add(event)
        if isinstance(event, Failed) and self._tally.n_failed <= _FAILURES_SHOWN:
            cell = self._tally.leaderboard.describe(event.trial.cell)
            self._console.print(f"failed: {cell}: {one_line(event.error)}", style="red", markup=False)

    def _draw(self) -> Table | Text:
        if self._phase:
            return Text(self._phase, style="dim")
        grid = Table.grid(padding=(0, 1))
        grid.add_row(
            ProgressBar(total=self._tally.n_total, completed=self._tally.n_present, width=30),
            self._tally.line(),
        )
        best = self._tally.leaderboard.best()
        table = Table.grid()
        table.add_row(grid)
        if best:
            table.add_row(Text(f"best so far  {best}", style="dim"))
        return table

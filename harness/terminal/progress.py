"""What a person sees while a sweep runs: a live line on a terminal, plain lines elsewhere, on stderr."""

from __future__ import annotations

import math
import sys
import time
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from statistics import median
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console, Group
from rich.file_proxy import FileProxy
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from freewalk.harness.base.text import counted, duration, packed, significant
from freewalk.harness.engine.choice import note_of
from freewalk.harness.engine.estimate import Course
from freewalk.harness.sweep import Opened, Sweep
from freewalk.harness.terminal.leaderboard import Leaderboard
from freewalk.harness.terminal.remaining import Remaining
from freewalk.harness.trial.events import Advanced, Event, Failed, Finished, Saved, Standing

_SECONDS_BETWEEN_LINES = 5.0
_FAILURES_SHOWN = 5
_TASKS_SHOWN = 6
_SECONDS_TO_A_PACE = 0.5
_WIDEST_BAR = 30
_NARROWEST_BAR = 8


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
    is_live = console.is_terminal and not console.is_dumb_terminal
    return _Display(sweep, console) if is_live else _Lines(sweep)


class Tally:
    """What is done, how far the trials under way are, and how long the rest will take."""

    def __init__(self, sweep: Sweep, opened: Opened) -> None:
        self._courses = {cell: Course(cell, sweep.budget) for cell in sweep.plan.cells}
        costs = {cell: course.whole for cell, course in self._courses.items()}
        self._places = {trial.trial_id: place for place, trial in enumerate(opened.trials)}
        self._remaining = Remaining(
            [costs[trial.cell] for trial in opened.trials],
            [(trial.cell.task, trial.cell.method) for trial in opened.trials],
        )
        self._cost = sum(costs[trial.cell] for trial in sweep.plan.trials)
        self._cost_before = self._cost - sum(costs[trial.cell] for trial in opened.trials)
        for trial in opened.trials:
            self._advance(Standing(trial, opened.resumed.get(trial.trial_id, 0), None, 0.0))
        self._remaining.start_clock()
        self._under_way: dict[str, Standing] = {}
        self._start: float | None = None
        self._is_moving = False
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

    @property
    def share(self) -> float:
        """Part of the work that is behind, earlier runs included, weighed by what steps cost."""
        return min(1.0, (self._cost_before + self._remaining.behind) / self._cost) if self._cost else 1.0

    def add(self, event: Event) -> None:
        """Count an event in."""
        match event:
            case Advanced(standings=standings):
                for standing in standings:
                    self._under_way[standing.trial.trial_id] = standing
                    self._advance(standing)
            case Saved(trial=trial, checkpoint=checkpoint):
                self._advance(Standing(trial, checkpoint.step, None, checkpoint.seconds))
            case Finished(trial=trial, result=result):
                steps, train, measuring = (
                    float(str(result.fields[name])) for name in ("steps", "train_seconds", "evaluation_seconds")
                )
                self._advance(Standing(trial, int(steps), None, train + measuring))
                self.n_reached += bool(result.fields["reached"])
                self.leaderboard.add(trial.cell, result)
            case Failed():
                self.n_failed += 1
        if isinstance(event, Finished | Failed):
            self._remaining.end(self._places[event.trial.trial_id])
            self.n_done += 1
            self._under_way.pop(event.trial.trial_id, None)
        self._start_clock(event)

    def _advance(self, standing: Standing) -> None:
        share = self._courses[standing.trial.cell].share(standing.step)
        self._remaining.advance(self._places[standing.trial.trial_id], share, standing.seconds)

    def _start_clock(self, event: Event) -> None:
        """Begin to measure the pace with the first event, or again when the first trials are seen to move.

        Compilation and whatever is loaded at first lie behind by then.
        """
        if self._start is None or (isinstance(event, Advanced) and not self._is_moving and not self.n_done):
            self._start = time.perf_counter()
            self._remaining.start_clock()
            self._is_moving = isinstance(event, Advanced)

    @property
    def _seconds(self) -> float:
        return 0.0 if self._start is None else max(time.perf_counter() - self._start, 1e-9)

    @property
    def seconds_left(self) -> float | None:
        """Time for the rest at the pace so far, each trial weighed by what its steps cost; None at the start."""
        done = self._remaining.done
        if done <= 0 or self._seconds < _SECONDS_TO_A_PACE:
            return None
        return self._remaining.left * self._seconds / done

    def parts(self) -> list[str]:
        """Return the state of things, what matters most first."""
        parts = [f"{self.n_present}/{self.n_total} trials", f"{self.n_reached} reached"]
        if self.n_failed:
            parts.append(f"{self.n_failed} failed")
        if self.n_present < self.n_total and (left := self.seconds_left) is not None:
            parts.append(f"{'about' if self._remaining.knows_ends else 'at most'} {duration(left)} left")
        if self.n_done:
            parts.append(f"{self.n_done / self._seconds:.2g} trials/s")
        return parts

    def under_way(self) -> list[str]:
        """Return how far the trials under way are: their step and their last held-out loss; medians of several."""
        standings = self._under_way.values()
        if not standings:
            return []
        step = median(standing.step for standing in standings)
        steps = median(self._courses[standing.trial.cell].steps for standing in standings)
        losses = [standing.loss for standing in standings if standing.loss is not None and math.isfinite(standing.loss)]
        loss = [f"loss {significant(median(losses))}"] if losses else []
        several = f" (median of {len(standings)} running)" if len(standings) > 1 else ""
        words = [f"step {step:,.0f} of {steps:,.0f}", *loss]
        return [*words[:-1], words[-1] + several]

    def line(self) -> str:
        """Return the state of things in one line."""
        return "; ".join(", ".join(parts) for parts in (self.parts(), self.under_way()) if parts)


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


class _Above(FileProxy):
    """A standard stream while the display is drawn: what is written to it comes above the display.

    It shows no bytes below the text: click would write to these, past the display.
    """

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":
            raise AttributeError(name)
        return super().__getattr__(name)


class _Display:
    """A bar, the numbers and the best cell so far, redrawn in place."""

    def __init__(self, sweep: Sweep, console: Console) -> None:
        self._sweep = sweep
        self._console = console
        self._phase = ""
        self._tally: Tally | None = None
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

    def show(self, event: Opened | Event) -> None:
        if isinstance(event, Opened):
            for line in _banner(self._sweep, event):
                self._console.print(line, style="dim", markup=False, highlight=False)
            self._phase = (
                "preparing the kernels; the first time this takes about twenty seconds" if event.trials else ""
            )
            self._tally = Tally(self._sweep, event)  # last: it is drawn from now on
            return
        assert self._tally is not None, "a sweep opens before its trials begin"
        self._phase = ""
        self._tally.add(event)
        if isinstance(event, Failed) and self._tally.n_failed <= _FAILURES_SHOWN:
            self._console.print(_failure(self._tally, event), style="red", markup=False)

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
        for words in tally.leaderboard.best()[:_TASKS_SHOWN]:
            best.add_row("best so far", words, style="dim")
        return Group(first, *(Text(line) for line in (*numbers, *packed(tally.under_way(), width))), best)

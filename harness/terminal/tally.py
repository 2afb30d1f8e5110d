"""What a sweep that runs has done, how far its trials are, and how long the rest will take."""

from __future__ import annotations

import math
import time
from statistics import median

from freewalk.harness.base.text import duration, significant
from freewalk.harness.engine.estimate import Course
from freewalk.harness.sweep import Opened, Sweep
from freewalk.harness.terminal.leaderboard import Leaderboard
from freewalk.harness.terminal.remaining import Remaining
from freewalk.harness.trial.events import Advanced, Event, Failed, Finished, Saved, Standing

_SECONDS_TO_A_PACE = 0.5


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
            parts.append(f"{significant(self.n_done / self._seconds, 2)} trials/s")
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

"""What an engine says while it runs trials."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from freewalk.harness.base.checkpoint import Checkpoint
from freewalk.harness.base.errors import one_line
from freewalk.harness.base.tracebacks import traceback_of
from freewalk.harness.plan.plan import Trial
from freewalk.harness.trial.watch import TrialResult
from freewalk.results.schema.records import CurvePoint

_SECONDS_BETWEEN_CURVES = 5.0
"""How old the curves of trials in progress may be in the store."""


@dataclass(frozen=True)
class Started:
    """A trial has begun, or goes on."""

    trial: Trial


@dataclass(frozen=True)
class Saved:
    """A trial has come so far."""

    trial: Trial
    checkpoint: Checkpoint


@dataclass(frozen=True)
class Standing:
    """How far a trial in progress is."""

    trial: Trial
    step: int
    loss: float | None
    """At the last measurement on held-out data."""
    seconds: float
    """What training and measurements have taken."""
    curve: Sequence[CurvePoint] = ()
    """What is new of its curve, now and then."""


@dataclass(frozen=True)
class Advanced:
    """Trials have come so far. Only what is shown meanwhile hangs on it, so that some may be left unsaid."""

    standings: tuple[Standing, ...]


@dataclass(frozen=True)
class Finished:
    """A trial has come to its outcome."""

    trial: Trial
    result: TrialResult


@dataclass(frozen=True)
class Paused:
    """A trial has come as far as it was to go for now."""

    trial: Trial
    checkpoint: Checkpoint


@dataclass(frozen=True)
class Failed:
    """A trial ended in an error; the others go on."""

    trial: Trial
    error: str
    """Kind and message, on one line."""
    traceback: str = ""
    """As Python prints it, where there is one."""

    @classmethod
    def of(cls, trial: Trial, error: BaseException) -> Failed:
        """Return what there is to say of a trial that raised an error."""
        return cls(trial, one_line(error), traceback_of(error))


@dataclass(frozen=True)
class Stopped:
    """A trial was told to stop before its end."""

    trial: Trial


def ended(trial: Trial, result: TrialResult | Checkpoint) -> Finished | Paused:
    """Return what there is to say of a trial that is not run on for now."""
    return Paused(trial, result) if isinstance(result, Checkpoint) else Finished(trial, result)


Event = Started | Saved | Advanced | Paused | Finished | Failed | Stopped


class Reports:
    """Reports on trials in progress, which know what of their curves has been said."""

    def __init__(self) -> None:
        self._n_said: dict[str, int] = {}
        self._curves_at = time.monotonic()

    def of(self, trials: Iterable[tuple[Trial, int, float, Sequence[CurvePoint]]]) -> Advanced:
        """Return a report on trials, from the step, the seconds and the whole curve of each."""
        due = time.monotonic() - self._curves_at >= _SECONDS_BETWEEN_CURVES
        if due:
            self._curves_at = time.monotonic()
        return Advanced(tuple(self._standing(*facts, due=due) for facts in trials))

    def _standing(self, trial: Trial, step: int, seconds: float, curve: Sequence[CurvePoint], *, due: bool) -> Standing:
        seen = (point.value for point in reversed(curve) if (point.split, point.metric) == ("heldout", "loss"))
        new: Sequence[CurvePoint] = ()
        if due:
            new = tuple(curve[self._n_said.get(trial.trial_id, 0) :])
            self._n_said[trial.trial_id] = len(curve)
        return Standing(trial, step, next(seen, None), seconds, new)

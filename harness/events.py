"""What an engine says while it runs trials."""

from __future__ import annotations

from dataclasses import dataclass

from freewalk.harness.checkpoint import Checkpoint
from freewalk.harness.plan import Trial
from freewalk.harness.trial import TrialResult


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
class Finished:
    """A trial has come to its outcome."""

    trial: Trial
    result: TrialResult


@dataclass(frozen=True)
class Failed:
    """A trial ended in an error; the others go on."""

    trial: Trial
    error: str
    """Kind and message, on one line."""


@dataclass(frozen=True)
class Stopped:
    """A trial was told to stop before its end."""

    trial: Trial


Event = Started | Saved | Finished | Failed | Stopped

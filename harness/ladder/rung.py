"""What a rung of the ladder is, and the climb from one to the next."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from freewalk.kernels.backend import Backend

Status = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class Setting:
    """What climbs."""

    method: str
    seed: int
    backend: Backend
    own: Mapping[str, str] = field(default_factory=dict)
    """Parameters of a plug-in's method."""


@dataclass(frozen=True)
class Attempt:
    """How a rung went."""

    passed: bool
    figures: str
    """The measured numbers that decided it."""
    advice: str = ""
    """What to look at next, if that depends on how it failed."""


class Skip(Exception):  # noqa: N818 - not an error: the rung does not apply
    """The rung does not apply here; the text says why, and the remedy if there is one."""


@dataclass(frozen=True)
class Rung:
    """One thing to be tried."""

    name: str
    what: str
    """A line for people."""
    climb: Callable[[Setting], Attempt]
    """Raises Skip where the rung does not apply."""
    advice: str
    """What to look at when it fails."""


@dataclass(frozen=True)
class RungResult:
    """What became of a rung."""

    name: str
    what: str
    status: Status
    figures: str
    """Measured numbers, or why it was skipped."""
    seconds: float
    advice: str
    """What to look at next; empty unless it failed."""


def climb(rungs: Iterable[Rung], setting: Setting) -> Iterator[RungResult]:
    """Yield each rung's result, up to the first that fails; skipped rungs do not stop the climb."""
    for rung in rungs:
        start = time.perf_counter()
        status: Status
        advice = ""
        try:
            trial = rung.climb(setting)
        except Skip as reason:
            status, figures = "skipped", str(reason)
        else:
            status, figures = ("passed" if trial.passed else "failed"), trial.figures
            if not trial.passed:
                advice = f"{rung.advice}; {trial.advice}" if trial.advice else rung.advice
        yield RungResult(rung.name, rung.what, status, figures, time.perf_counter() - start, advice)
        if status == "failed":
            return

"""Every implementation of a workload, checked and then timed in turn; and how pytest-benchmark gets what they took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.implementations import IMPLEMENTATIONS
from benchmarks.peers.peer import Device, Unavailable
from benchmarks.processes import Process, RemoteError, RemoteLoop, short_error
from freewalk.harness.bench import Effort, Plan, Workload, calibrate, interleave
from freewalk.kernels.cuda.device import why_unusable

_MEMORY_SHARE = 0.8
"""Of what is free: the rest stays free."""
_now = 0.0


def clock() -> float:
    """Return the seconds that `replay` has let pass: pytest-benchmark's timer, so that no pipe is timed."""
    return _now


def replay(benchmark: Any, seconds: Sequence[float]) -> None:
    """Hand measured seconds to pytest-benchmark, a round each; its test is marked with `clock` as timer."""
    global _now
    _now, left = 0.0, iter(seconds)  # from 0 on: the NaN of who ran out of memory stays with it

    def pass_by() -> None:
        global _now
        _now += next(left)

    benchmark.pedantic(pass_by, rounds=len(seconds))


def free_bytes() -> float:
    """Return how much memory new work may take."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            found = next(line for line in file if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return float("inf")
    return _MEMORY_SHARE * int(found.split()[1]) * 1024


@dataclass
class Outcome:
    """What the rounds of a workload gave of one implementation."""

    seconds: list[float] = field(default_factory=list)
    """A step, in the order of the rounds."""
    steps: int = 0
    """Of a measurement."""
    error: float | None = None
    """Of an update, relative."""
    memory: int | None = None
    """Bytes that its process held at most in the rounds, beyond what it held after a tiny step."""
    absent: str = ""
    """Why it could not take part."""
    wrong: str = ""
    """What it did wrong."""


class Contest:
    """The processes, kept from one workload to the next; one that died is started anew."""

    def __init__(self) -> None:
        self._processes: dict[str, Process] = {}
        self._missing: dict[str, str] = {}

    def close(self) -> None:
        """End all processes."""
        for name in list(self._processes):
            self._processes.pop(name).end()

    def _hire(self, names: Iterable[str]) -> None:
        """Let processes start and load their libraries, side by side."""
        new = [name for name in names if name not in self._processes and name not in self._missing]
        for name in new:
            self._processes[name] = Process(name)
        for name in new:
            try:
                self._processes[name].wait_until_made()
            except (Unavailable, RemoteError) as reason:
                self._missing[name] = str(reason)
                self._processes.pop(name).end()

    def run(self, device: Device, workload: Workload, names: Sequence[str], effort: Effort) -> Mapping[str, Outcome]:
        """Check, calibrate and time all who take part, in rounds that visit each in turn."""
        outcomes = {name: Outcome() for name in names}
        if device == "cuda" and (reason := why_unusable()) is not None:
            return {name: Outcome(absent=reason) for name in names}
        self._hire(names)
        loops, plans = {}, {}
        for name, outcome in outcomes.items():
            reason = self._missing.get(name) or IMPLEMENTATIONS[name].why_left_out(workload, free_bytes())
            if reason is not None:
                outcome.absent = reason
            elif (prepared := self._prepare(name, workload, effort, outcome)) is not None:
                loops[name], plans[name] = prepared
                outcome.steps = plans[name].n_steps
        self._time(loops, plans, outcomes)
        for name, outcome in outcomes.items():
            if name in loops:
                loops[name].close()
            if (outcome.wrong or outcome.absent) and name in self._processes and "left out" not in outcome.absent:
                self._processes.pop(name).end()  # dead, or not to be trusted any more
        return outcomes

    def _prepare(
        self, name: str, workload: Workload, effort: Effort, outcome: Outcome
    ) -> tuple[RemoteLoop, Plan] | None:
        """Check and warm an implementation; note what was wrong."""
        process = self._processes[name]
        try:
            outcome.error, allowed = process.ask("check", workload)
            if not outcome.error <= allowed:
                outcome.wrong = f"relative error {outcome.error:.1e} of an update, {allowed:.0e} is allowed"
                return None
            process.ask("settle", workload)
            loop = process.start(workload)
            plan = calibrate(loop, effort)
            process.ask("forget")
            return loop, plan
        except (Unavailable, RemoteError) as error:
            _note(outcome, error)
            return None

    def _time(self, loops: dict[str, RemoteLoop], plans: dict[str, Plan], outcomes: Mapping[str, Outcome]) -> None:
        before = {name: loop.weights() for name, loop in loops.items()}
        for name, seconds in interleave(loops, plans):
            if isinstance(seconds, Exception):
                _note(outcomes[name], seconds)
            else:
                outcomes[name].seconds.append(seconds)
        for name, loop in loops.items():
            if outcomes[name].absent or outcomes[name].wrong:
                continue
            after = loop.weights()
            if not np.isfinite(after).all() or np.array_equal(after, before[name]):
                outcomes[name].wrong = "the weights did not move, or are not finite"
            outcomes[name].memory = self._processes[name].ask("growth")


def _note(outcome: Outcome, error: Exception) -> None:
    text = str(error) if isinstance(error, Unavailable | RemoteError) else short_error(error)
    if isinstance(error, Unavailable) or text == "out of memory":
        outcome.absent = text
    else:
        outcome.wrong = text

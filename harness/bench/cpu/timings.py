"""Every implementation at every workload, in processes of their own, in interleaved rounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from freewalk.harness.bench.clock import Deadline
from freewalk.harness.bench.contest import Contest
from freewalk.harness.bench.cpu.plan import Extent, label, taking_part
from freewalk.harness.bench.cpu.remote import Process, Remote, RemoteError
from freewalk.harness.bench.cpu.rows import SampleRow, TimingRow
from freewalk.harness.bench.cpu.table import IMPLEMENTATIONS, OURS, why_left_out
from freewalk.harness.bench.peers.peer import Unavailable
from freewalk.harness.bench.rounds import spread
from freewalk.harness.bench.workloads import Workload

UNIT = "ms a step of all trials"
NOT_RUN = "not run: time limit"
_MEMORY_SHARE = 0.8
"""Of what is free: the rest stays free."""


def free_bytes() -> float:
    """Return how much memory new work may take."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            found = next(line for line in file if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return float("inf")
    return _MEMORY_SHARE * int(found.split()[1]) * 1024


@dataclass
class Staff:
    """The processes, kept from one workload to the next; one that died is started anew."""

    missing: dict[str, str] = field(default_factory=dict)
    """Implementations that cannot run here, with the reason."""
    _processes: dict[str, Process] = field(default_factory=dict)

    def hire(self, names: Sequence[str]) -> None:
        """Let processes start and load their libraries, side by side."""
        for name in names:
            if name not in self._processes and name not in self.missing:
                self._processes[name] = Process(name)
        for name in names:
            if name in self._processes:
                try:
                    self._processes[name].wait_until_made()
                except (Unavailable, RemoteError) as reason:
                    self.missing[name] = str(reason)
                    self.dismiss(name)

    def get(self, name: str) -> Process:
        """Return the process of one that was hired."""
        return self._processes[name]

    def dismiss(self, name: str) -> None:
        """End a process."""
        self._processes.pop(name).end()

    def close(self) -> None:
        """End all."""
        for name in list(self._processes):
            self.dismiss(name)


@dataclass(frozen=True)
class Timed:
    """What the rounds of one workload gave."""

    workload: Workload
    rows: list[TimingRow]
    samples: dict[str, list[float]]


def time_workloads(extent: Extent, staff: Staff, deadline: Deadline) -> Iterator[Timed]:
    """Yield the rows of each workload; those for which no time is left say so."""
    longest = 0.0
    for workload in extent.workloads:
        start = deadline.spent
        if deadline.passed or deadline.left < longest / 2:
            contest = Contest(workload, notes={OURS: NOT_RUN})
            yield Timed(workload, [_row(contest, OURS, {})], {})
            continue
        yield time_workload(workload, extent, staff, deadline)
        longest = max(longest, deadline.spent - start)


def time_workload(workload: Workload, extent: Extent, staff: Staff, deadline: Deadline) -> Timed:
    """Check, calibrate and time all who take part."""
    names = taking_part(workload, extent.names)
    staff.hire(names)
    contest = Contest(workload)
    names = [name for name in names if name not in staff.missing]
    for name in names:
        reason = NOT_RUN if deadline.passed else why_left_out(name, workload, free_bytes())
        if reason is None:
            contest.prepare(name, Remote(staff.get(name)), extent.effort)
        else:
            contest.notes[name] = reason
    samples = contest.measure(deadline)
    contest.close()
    for name, note in contest.notes.items():
        if name not in samples and note != NOT_RUN and not note.startswith("left out"):
            staff.dismiss(name)  # dead, or not to be trusted any more
    return Timed(workload, [_row(contest, name, samples) for name in names], samples)


def sample_rows(timed: Timed) -> Iterator[SampleRow]:
    """Yield every measurement."""
    for name, seconds in timed.samples.items():
        for round_, value in enumerate(seconds):
            yield SampleRow(label(timed.workload), name, round_, value)


def quotients(samples: Sequence[float], base: Sequence[float]) -> list[float]:
    """Return the quotient of each round that timed both."""
    return [a / b for a, b in zip(samples, base, strict=False)]


def base_of(samples: Mapping[str, Sequence[float]]) -> Sequence[float] | None:
    """Return the samples that ratios refer to: freewalk's, or those of its trials alone."""
    return samples.get(OURS) or samples.get("freewalk-alone")


def _row(contest: Contest, name: str, samples: Mapping[str, Sequence[float]]) -> TimingRow:
    workload, entry = contest.workload, IMPLEMENTATIONS[name]
    fixed: dict[str, Any] = {
        "workload": label(workload),
        "implementation": name,
        "kind": entry.kind,
        "hidden": workload.hidden,
        "timesteps": workload.timesteps,
        "batch_size": workload.batch_size,
        "n_trials": workload.n_trials,
        "unit": UNIT,
        "relative_error": contest.errors.get(name),
        "note": contest.notes.get(name, ""),
    }
    own = samples.get(name)
    if own is None:
        empty: dict[str, Any] = dict.fromkeys(set(TimingRow.__dataclass_fields__) - set(fixed))
        return TimingRow(**fixed, **empty | {"rounds": 0, "steps_a_round": 0})
    found = spread([1000 * seconds for seconds in own])
    steps = 1000 * workload.n_trials / found.median
    q25, middle, q75 = _quartiles(own, base_of(samples))
    own_generator = samples.get(entry.generator or "")
    inference = samples.get("inference-1" if entry.generator == "generator-1" else "inference")
    is_floor = entry.kind == "floor"
    return TimingRow(
        **fixed,
        median=found.median,
        q25=found.q25,
        q75=found.q75,
        least=found.least,
        rounds=found.rounds,
        steps_a_round=contest.plans[name].n_steps,
        steps_per_second=None if is_floor else steps,
        perturbations_per_second=None if is_floor else steps * workload.batch_size,
        ratio=middle,
        ratio_q25=q25,
        ratio_q75=q75,
        share_of_generator=_quartiles(own_generator, own)[1],
        share_of_inference=None if is_floor else _quartiles(inference, own)[1],
    )


def _quartiles(
    samples: Sequence[float] | None, base: Sequence[float] | None
) -> tuple[float | None, float | None, float | None]:
    if samples is None or base is None:
        return None, None, None
    q25, q50, q75 = np.quantile(quotients(samples, base), [0.25, 0.5, 0.75])
    return float(q25), float(q50), float(q75)

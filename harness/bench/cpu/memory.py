"""Memory of a step: how much more a large one takes than a tiny one, and who runs the huge one within a limit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from freewalk.harness.bench.clock import Deadline
from freewalk.harness.bench.contest import is_out_of_memory
from freewalk.harness.bench.cpu.plan import HUGE_BATCH, LARGE_BATCH, MEMORY_LIMIT
from freewalk.harness.bench.cpu.remote import Process, RemoteError, RemoteLoop
from freewalk.harness.bench.cpu.rows import MemoryRow
from freewalk.harness.bench.cpu.table import why_left_out
from freewalk.harness.bench.cpu.timings import NOT_RUN, free_bytes
from freewalk.harness.bench.peers.peer import Unavailable
from freewalk.harness.bench.workloads import DEFAULT, Workload

_STEPS = 2


def measure_memory(names: Sequence[str], deadline: Deadline) -> Iterator[MemoryRow]:
    """Yield, for each implementation, the growth at a large batch and whether the huge one fits the limit."""
    for batch_size, limit in ((LARGE_BATCH, None), (HUGE_BATCH, MEMORY_LIMIT)):
        for name in names:
            workload = replace(DEFAULT, batch_size=batch_size)
            note = NOT_RUN if deadline.passed else None
            if limit is None:
                note = note or why_left_out(name, workload, free_bytes())
            row = None if note else measure_one(name, workload, limit)
            if row is not None or note:
                yield row or MemoryRow(name, batch_size, _megabytes(limit), None, None, None, note or "")


def measure_one(name: str, workload: Workload, limit: int | None) -> MemoryRow | None:
    """Run a step in a fresh process; return what it took, or why it did not run. None: not there at all."""
    batch_size = workload.batch_size
    with Process(name) as process:
        try:
            process.ask("settle", workload)
        except Unavailable:
            return None
        try:
            if limit is not None:
                process.ask("limit", limit)
            loop = RemoteLoop(process, workload)
            steps = loop.steps_at_once
            seconds = [loop.measure(steps) / steps for _ in range(_STEPS)]
            growth = process.ask("growth")
        except RemoteError as error:
            reason = "out of memory" if is_out_of_memory(error) else str(error)
            return MemoryRow(name, batch_size, _megabytes(limit), None, None, None, reason)
    return MemoryRow(name, batch_size, _megabytes(limit), growth / 1e6, growth / batch_size, 1000 * min(seconds))


def _megabytes(limit: int | None) -> float | None:
    return None if limit is None else limit / 1e6

"""Memory of a step: how much more a large one takes than a tiny one, and who runs the huge one within a limit.

Each runs in a fresh process; the growth of its largest resident size goes into the JSON.
"""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.contest import clock, free_bytes, replay
from benchmarks.implementations import IMPLEMENTATIONS, OURS, taking_part
from benchmarks.peers.peer import Unavailable
from benchmarks.processes import Process, RemoteError
from freewalk.harness.bench import Workload

LARGE, HUGE = 100_000, 1_000_000
LIMIT = 1_000_000_000
"""Bytes: what the step of the huge batch is given."""
NAMES = [
    name
    for name in taking_part("cpu", Workload(batch_size=LARGE))
    if name == OURS["cpu"] or IMPLEMENTATIONS[name].kind == "peer"
]
_STEPS = 2


@pytest.mark.benchmark(timer=clock)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("batch_size", "limit"), [(LARGE, None), (HUGE, LIMIT)], ids=["large", "huge, limited"])
def test_memory(benchmark: Any, name: str, batch_size: int, limit: int | None) -> None:
    workload = Workload(batch_size=batch_size)
    reason = None if limit else IMPLEMENTATIONS[name].why_left_out(workload, free_bytes())
    if reason is not None:
        pytest.skip(f"{name}: {reason}")
    allowed = "" if limit is None else f", {limit / 1e6:,.0f} MB allowed"
    benchmark.group, benchmark.name = f"memory of a step: {workload.label}{allowed}", name
    benchmark.extra_info |= {"batch_size": batch_size, "limit": limit}
    seconds, growth = measure(name, workload, limit)
    benchmark.extra_info["bytes"] = growth
    replay(benchmark, seconds)
    if growth is None:
        assert name != OURS["cpu"], "out of memory"
        benchmark.extra_info["note"] = "out of memory"


def measure(name: str, workload: Workload, limit: int | None) -> tuple[list[float], int | None]:
    """Return seconds a step of some steps and the bytes that they took; no bytes where memory ran out."""
    with Process(name) as process:
        try:
            process.ask("settle", workload)
        except Unavailable as reason:
            pytest.skip(f"{name}: {reason}")
        try:
            if limit is not None:
                process.ask("limit", limit)
            loop = process.start(workload)
            seconds = [loop.measure(loop.steps_at_once) / loop.steps_at_once for _ in range(_STEPS)]
            return seconds, int(process.ask("growth"))
        except RemoteError as error:
            if str(error) != "out of memory":
                raise
            return [float("nan")], None

"""Every implementation at every workload of `harness bench --suite cpu`, as pytest-benchmark reports it.

Off by default; `pytest tests/benchmarks --benchmark-only` runs it (`-k default` the default workload alone). Each runs
in a process of its own, is compared with the reference before it is timed, and takes as many steps a round as the
others of its workload. What is not installed is skipped with the reason (extra peers).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from freewalk.harness.bench.cpu.plan import full, label, steps_a_round, taking_part
from freewalk.harness.bench.cpu.remote import Process, Remote, RemoteLoop
from freewalk.harness.bench.cpu.table import why_left_out
from freewalk.harness.bench.cpu.timings import free_bytes
from freewalk.harness.bench.peers.peer import Unavailable
from freewalk.harness.bench.workloads import Workload

CASES = [
    pytest.param(workload, name, id=f"{label(workload)}-{name}")
    for workload in full().workloads
    for name in taking_part(workload, full().names)
]


@pytest.fixture
def process(name: str, workload: Workload) -> Iterator[Process]:
    if (reason := why_left_out(name, workload, free_bytes())) is not None:
        pytest.skip(f"{name}: {reason}")
    with Process(name) as process:
        try:
            process.wait_until_made()
        except Unavailable as reason:
            pytest.skip(f"{name}: {reason}")
        yield process


@pytest.mark.parametrize(("workload", "name"), CASES)
def test_step(benchmark: Any, process: Process, workload: Workload, name: str) -> None:
    remote = Remote(process)
    error = remote.check(workload)
    assert error <= remote.largest_error
    loop: RemoteLoop = remote.start(workload)
    n_steps = steps_a_round(workload)
    assert n_steps % loop.steps_at_once == 0
    benchmark.group = f"{label(workload)}: {n_steps} step{'s' * (n_steps > 1)}"
    benchmark.name = name
    benchmark.extra_info |= {"relative_error": error, "steps": n_steps}
    benchmark.pedantic(loop.measure, args=(n_steps,), rounds=7, warmup_rounds=2)

"""A step by every implementation, at every workload: `pytest benchmarks --benchmark-only`, `-k default` one workload.

Each is compared with the reference before it is timed, in a process of its own, in rounds that visit all in turn. What
is not installed is skipped with the reason (extra `peers`). `--benchmark-max-time` is what an implementation may take.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from benchmarks.conftest import Outcomes
from benchmarks.contest import clock, replay
from benchmarks.implementations import IMPLEMENTATIONS, WORKLOADS, taking_part
from benchmarks.peers.peer import Device
from freewalk.harness.bench import Workload

CASES = [
    pytest.param((device, workload), name, id=f"{device}: {workload.label}: {name}")
    for device, workloads in WORKLOADS.items()
    for workload in workloads
    for name in taking_part(device, workload)
]


@pytest.mark.benchmark(timer=clock)
@pytest.mark.parametrize(("contest", "name"), CASES)
def test_step(benchmark: Any, outcome_of: Outcomes, contest: tuple[Device, Workload], name: str) -> None:
    device, workload = contest
    outcome = outcome_of(device, workload, name)
    if outcome.absent:
        pytest.skip(f"{name}: {outcome.absent}")
    assert not outcome.wrong
    entry = IMPLEMENTATIONS[name]
    benchmark.group, benchmark.name = f"a step on the {device}: {workload.label}", name
    benchmark.extra_info |= {
        "kind": entry.kind,
        "device": device,
        "workload": {"label": workload.label, **asdict(workload)},
        "steps": outcome.steps,
        "relative_error": outcome.error,
        "memory": outcome.memory,
        "description": entry.description,
        "generator": entry.generator,
        "inference": entry.inference,
    }
    replay(benchmark, outcome.seconds)

"""Is a step the same by every clock? `python -m benchmarks.agreement [REPEATS]` on a machine that does nothing else.

Times the default step, hidden 254 and T 100 by a plain loop, by `harness bench` and by pytest-benchmark, by turns and
each in a process of its own, and prints the least median of the repeats. NUMBA_NUM_THREADS holds for all three.
"""

# ruff: noqa: T201
from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.runs import Run
from freewalk.harness.bench import PROBLEM, WORKLOADS
from freewalk.kernels.cpu.trial import CpuWalk
from freewalk.kernels.machine.threads import usable_threads
from freewalk.results.statistics.cell import median

_LABELS = [workload.label for workload in WORKLOADS]
_SECONDS = 2.0
Medians = dict[str, float]
"""Seconds a step by workload."""


def plain() -> Medians:
    """Return what a loop over single calls finds, with nothing between them."""
    found = {}
    for workload in WORKLOADS:
        options = {"seed": 1, "evaluation_points": 1, "threads": usable_threads()}
        walk = CpuWalk(workload.network, workload.configuration, PROBLEM.data(), **options)
        samples, end = [], time.perf_counter() + _SECONDS
        walk.train(20)
        while (start := time.perf_counter()) < end:
            walk.train(5)
            samples.append((time.perf_counter() - start) / 5)
        found[workload.label] = median(samples)
    return found


def _said(*command: str) -> str:
    return subprocess.run([sys.executable, "-m", *command], check=True, capture_output=True, text=True).stdout


def by_plain_loop() -> Medians:
    """Return what `plain` finds in a process of its own."""
    found: Medians = json.loads(_said("benchmarks.agreement", "plain"))
    return found


def by_harness_bench() -> Medians:
    """Return what `harness bench` finds."""
    rows = json.loads(_said("freewalk", "bench", "--backend", "cpu", "--json"))["workloads"]
    return {row["workload"]: row["milliseconds"]["median"] / 1000 for row in rows}


def by_pytest_benchmark() -> Medians:
    """Return what pytest-benchmark finds, of all implementations in turn that need no other library."""
    labels = " or ".join(f"({' and '.join(label.split())})" for label in _LABELS)
    chosen = f"cpu and ({labels}) and (freewalk or numpy or inference) and not freewalk-1"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.json"
        _said("pytest", "benchmarks/test_step.py", "--benchmark-only", "-q", "-k", chosen, f"--benchmark-json={path}")
        steps = Run([path]).steps
    return {step.workload.label: step.median for step in steps if step.name == "freewalk"}


WAYS: dict[str, Callable[[], Medians]] = {
    "plain loop": by_plain_loop,
    "harness bench": by_harness_bench,
    "pytest-benchmark": by_pytest_benchmark,
}


def main(repeats: int) -> None:
    """Print the least medians, and each over the plain loop's."""
    found = [{way: measure() for way, measure in WAYS.items()} for _ in range(repeats)]
    for label in _LABELS:
        least = {way: min(one[way][label] for one in found) for way in WAYS}
        said = ", ".join(f"{way} {1000 * s:.4g} ms ({s / least['plain loop']:.3f})" for way, s in least.items())
        print(f"{label}: {said}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["plain"]:
        print(json.dumps(plain()))
    else:
        main(int(*sys.argv[1:]) if sys.argv[1:] else 3)

"""Is a step the same by every clock? `python -m benchmarks.agreement [REPEATS [WORKLOADS]]` on a quiet machine.

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
from functools import partial
from pathlib import Path

from benchmarks.runs import Run
from freewalk.harness.bench import PROBLEM, WORKLOADS, wall_seconds
from freewalk.kernels.cpu.trial import CpuWalk
from freewalk.kernels.machine.threads import usable_threads
from freewalk.results.statistics.cell import median

_SECONDS, _BLOCK = 2.0, 0.1
Medians = dict[str, float]
"""Seconds a step by workload."""


def plain(n: int) -> Medians:
    """Return what a loop over calls of a tenth of a second finds at the first n workloads, with nothing between."""
    found = {}
    for workload in WORKLOADS[:n]:
        walk = CpuWalk(
            workload.network,
            workload.configuration,
            PROBLEM.data(),
            seed=1,
            evaluation_points=1,
            threads=usable_threads(),
        )
        walk.train(20)
        n_steps = max(1, int(_BLOCK / (wall_seconds(partial(walk.train, 5)) / 5)))
        samples, end = [], time.perf_counter() + _SECONDS
        while (start := time.perf_counter()) < end:
            walk.train(n_steps)
            samples.append((time.perf_counter() - start) / n_steps)
        found[workload.label] = float(median(samples))
    return found


def _said(*arguments: str) -> str:
    return subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True).stdout


def by_plain_loop(n: int) -> Medians:
    """Return what `plain` finds in a process of its own."""
    code = f"import json; from benchmarks.agreement import plain; print(json.dumps(plain({n})))"
    found: Medians = json.loads(_said("-c", code))
    return found


def by_harness_bench(n: int) -> Medians:
    """Return what `harness bench` finds."""
    code = (
        "from freewalk.harness import bench, cli; "
        f"bench.WORKLOADS = bench.WORKLOADS[:{n}]; cli.run(['bench', '--backend', 'cpu', '--json'])"
    )
    rows = json.loads(_said("-c", code))["workloads"]
    return {row["workload"]: row["milliseconds"]["median"] / 1000 for row in rows}


def by_pytest_benchmark(n: int) -> Medians:
    """Return what pytest-benchmark finds, of all implementations in turn that need no other library."""
    labels = " or ".join(f"({' and '.join(workload.label.split())})" for workload in WORKLOADS[:n])
    chosen = f"cpu and ({labels}) and (freewalk or numpy or inference) and not freewalk-1"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.json"
        test = str(Path(__file__).with_name("test_step.py"))
        _said("-m", "pytest", test, "--benchmark-only", "-q", "-k", chosen, f"--benchmark-json={path}")
        steps = Run([path]).steps
    return {step.workload.label: step.median for step in steps if step.name == "freewalk"}


WAYS: dict[str, Callable[[int], Medians]] = {
    "plain loop": by_plain_loop,
    "harness bench": by_harness_bench,
    "pytest-benchmark": by_pytest_benchmark,
}


def main(repeats: int, n: int = len(WORKLOADS)) -> None:
    """Print the least medians, and each over the plain loop's."""
    found = [{way: measure(n) for way, measure in WAYS.items()} for _ in range(repeats)]
    for label in found[0]["plain loop"]:
        least = {way: min(one[way][label] for one in found) for way in WAYS}
        said = ", ".join(f"{way} {1000 * s:.4g} ms ({s / least['plain loop']:.3f})" for way, s in least.items())
        print(f"{label}: {said}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:] or ["3"]))

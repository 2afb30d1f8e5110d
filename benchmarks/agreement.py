"""Is a step the same by every clock? `python -m benchmarks.agreement [ROUNDS [WORKLOADS]]` on a quiet machine.

Times the default step, hidden 254 and T 100 by a plain loop, as `harness bench` does and as pytest-benchmark is told,
in rounds that visit all three, since a machine may change its speed meanwhile. `WAYS` are the three as one runs them.
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

from benchmarks.processes import Process
from benchmarks.runs import Run
from freewalk.harness.bench import (
    PROBLEM,
    WORKLOADS,
    Effort,
    Loop,
    Workload,
    calibrate,
    measured,
    spread,
    walk_steps,
    wall_seconds,
)
from freewalk.kernels.backend import resolve_backend
from freewalk.kernels.cpu.trial import CpuWalk
from freewalk.kernels.machine.threads import usable_threads
from freewalk.results.statistics.cell import median

_SECONDS, _BLOCK = 2.0, 0.1
Medians = dict[str, float]
"""Seconds a step by workload."""


def _walk(workload: Workload) -> CpuWalk:
    walk = CpuWalk(
        workload.network,
        workload.configuration,
        PROBLEM.data(),
        seed=1,
        evaluation_points=1,
        threads=usable_threads(),
    )
    walk.train(20)
    return walk


def plain(n: int) -> Medians:
    """Return what a loop over calls of a tenth of a second finds at the first n workloads, with nothing between."""
    found = {}
    for workload in WORKLOADS[:n]:
        walk = _walk(workload)
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
    chosen = f"cpu and ({labels}) and (freewalk or numpy or inference) and not freewalk-1 and not rank"
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


def main(rounds: int, n: int = len(WORKLOADS)) -> None:
    """Print medians of rounds that visit all three in turn, and of their ratios to the plain loop, with quartiles."""
    process = Process("freewalk")
    process.wait_until_made()
    for workload in WORKLOADS[:n]:
        loops: dict[str, Loop] = {
            "harness bench": walk_steps(workload, resolve_backend("cpu")),
            "pytest-benchmark": process.start(workload),
        }
        plans = {name: calibrate(loop, Effort()) for name, loop in loops.items()}
        walk, plan = _walk(workload), plans["harness bench"]
        samples: dict[str, list[float]] = {"plain loop": [], **{name: [] for name in loops}}
        for _ in range(rounds):
            time.sleep(plan.rest)
            walk.train(plan.n_steps)
            samples["plain loop"].append(wall_seconds(partial(walk.train, plan.n_steps)) / plan.n_steps)
            for name, loop in loops.items():
                samples[name].append(measured(loop, plans[name]))
        for name, seconds in samples.items():
            low, ratio, high = spread([a / b for a, b in zip(seconds, samples["plain loop"], strict=True)])
            print(
                f"{workload.label}: {name} {1000 * median(seconds):.4g} ms, ratio {ratio:.3f} ({low:.3f} to {high:.3f})"
            )
    process.end()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:] or ["21"]))

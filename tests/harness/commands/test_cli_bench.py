"""`harness bench`: what it prints, what it refuses, what it does not import."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from freewalk.harness import bench
from freewalk.harness.bench import Workload

Harness = Callable[..., Any]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tiny workloads in place of half a minute."""
    monkeypatch.setattr(bench, "WORKLOADS", (Workload(hidden=2, batch_size=20), Workload(hidden=2, timesteps=2)))


def test_a_table(harness: Harness) -> None:
    result = harness("bench", "--backend", "cpu", "--threads", 1)
    assert (result.code, result.err) == (0, "")
    machine, empty, headings, *rows = result.out.splitlines()
    assert machine.startswith("cpu: ")
    assert ", 1 thread; freewalk " in machine
    assert empty == ""
    assert headings.split("  ")[0] == "workload"
    assert [row.split("  ")[0] for row in rows] == ["hidden 2, B 20", "hidden 2, T 2"]
    assert all(row.count(" to ") == 3 for row in rows)


def test_json(harness: Harness) -> None:
    found = json.loads(harness("bench", "--backend", "reference", "--json").out)
    assert (found["backend"], found["dtype"]) == ("reference", "float64")
    first, second = found["workloads"]
    assert {name: first[name] for name in ("workload", "hidden", "timesteps", "batch_size")} == {
        "workload": "hidden 2, B 20",
        "hidden": 2,
        "timesteps": 4,
        "batch_size": 20,
    }
    for kind in ("milliseconds", "numpy_milliseconds", "ratio"):
        assert 0 < second[kind]["lower_quartile"] <= second[kind]["median"] <= second[kind]["upper_quartile"]


def test_what_is_refused(refused: Callable[..., str]) -> None:
    assert "must be one of" in refused("bench", "--backend", "gpu")
    assert "--threads" in refused("bench", "--threads", "0")
    for option in ("--suite", "--out", "--only", "--time-limit", "--compare", "--raw-run"):
        assert refused("bench", option, "cpu").startswith(f"no option {option}") or option == "--compare"
    assert refused("bench", "--quick").startswith("no option --quick")


def test_help_imports_no_kernels() -> None:
    code = (
        "import sys; from freewalk.harness.cli import run; run(['bench', '--help']);"
        "heavy = {'numba', 'pandas', 'scipy'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Time a step of the walk on this machine" in done.stdout

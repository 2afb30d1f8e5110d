"""A sweep of ten thousand trials and a million curve rows, or of a tenth: what it costs in time and memory."""

import json
import sqlite3
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """
import json, sys, time
from pathlib import Path
from freewalk.harness.plan.configuration import resolve
from freewalk.harness.trial.events import Advanced
from freewalk.harness.plan.registry import BuiltInRegistry
from freewalk.harness.sweep import Sweep

grid = ["stddev=0.1,0.2", "batch_size=1,2,3,4,5", "hidden=1", "timesteps=1", "update=normalised"]
configuration = resolve(
    grid, registry=BuiltInRegistry(), tasks=["and"], seeds=f"0:{sys.argv[2]}", epochs=33, steps_per_epoch=1,
    target=1e-9, evaluation_points=4, backend="cpu",
)
sweep = Sweep(configuration, Path(sys.argv[1]))
# how often running trials tell how far they are goes by the clock
n_events = sum(not isinstance(event, Advanced) for event in sweep.run())
trials = sweep.tables["trials"]
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
rows = sum(1 for _ in (Path(sys.argv[1]) / "curves.csv").open()) - 1
print(json.dumps({
    "complete": int((trials["state"] == "complete").sum()), "rows": rows, "events": n_events,
    "cpu_seconds": time.process_time(),
    "peak_mb": int(status["VmHWM"].split()[0]) * 1024 / 1e6,
}))
"""


def measured(folder: Path, n_seeds: int) -> dict[str, Any]:
    command = [sys.executable, "-c", SCRIPT, str(folder), str(n_seeds)]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def yardstick() -> float:
    """The processor time of one row in a database here and now: a JSON text written, stored, read and parsed."""
    n_rows = 20_000
    start = time.process_time()
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE rows (number INTEGER PRIMARY KEY, text TEXT)")
    rows = ((i, json.dumps({"epoch": i, "loss": 1 / (i + 1), "name": str(i)})) for i in range(n_rows))
    connection.executemany("INSERT INTO rows VALUES (?, ?)", rows)
    assert sum(json.loads(text)["epoch"] for (text,) in connection.execute("SELECT text FROM rows")) > 0
    connection.close()
    return (time.process_time() - start) / n_rows


@pytest.mark.parametrize("n_seeds", [100, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory as Linux shows it")
def test_thousands_of_trials_cost_milliseconds_each_and_no_memory(tmp_path: Path, n_seeds: int) -> None:
    rows = [yardstick() for _ in range(5)]
    small = measured(tmp_path / "small", 10)
    large = measured(tmp_path / "large", n_seeds)
    rows += [yardstick() for _ in range(5)]
    assert (small["complete"], large["complete"]) == (100, 10 * n_seeds)
    assert large["rows"] >= 1000 * n_seeds
    assert large["events"] == 1 + 2 * 10 * n_seeds
    assert large["peak_mb"] - small["peak_mb"] <= 100
    # Processor time of all threads, so that other programs do not count (these kernels take next to nothing of it), in
    # the rows of a database that the same time would have bought: a busy or slow machine is slow at both.
    # Seen: 800 to 1100.
    seconds = (large["cpu_seconds"] - small["cpu_seconds"]) / (10 * n_seeds - 100)
    n_rows = seconds / statistics.median(rows)
    print(f"{1000 * seconds:.2f} ms a trial, {n_rows:.0f} rows, {large['peak_mb'] - small['peak_mb']:.0f} MB")  # noqa: T201
    assert n_rows <= 1600

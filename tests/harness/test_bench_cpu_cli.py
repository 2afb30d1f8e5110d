"""`harness bench --suite cpu`: its files, its exit codes, what it refuses, what an interruption leaves."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from freewalk.harness.bench.contest import Contest
from freewalk.harness.bench.cpu import compare, plan, suite
from freewalk.harness.bench.cpu.peaks import PeakRow
from freewalk.harness.bench.cpu.suite import FILES
from freewalk.harness.bench.cpu.table import OURS
from freewalk.harness.bench.rounds import Effort
from freewalk.harness.bench.workloads import Workload

Harness = Callable[..., Any]
SMALL = Workload("default", hidden=3, timesteps=2, batch_size=20)
PEAKS = [
    PeakRow(quantity, threads, "1/s", 1e9, 1e9, "")
    for quantity in ("multiply-adds", "normals", "signs", "memory read, bytes", "memory written, bytes")
    for threads in (1, 2)
]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """One tiny workload, two implementations, no target; peaks made up."""
    monkeypatch.setattr(suite, "measure_peaks", lambda threads: iter(PEAKS))
    extent = replace(
        plan.quick(),
        workloads=(SMALL,),
        names=(OURS, "numpy"),
        effort=Effort(seconds=0.001, rounds=6, most_seconds=1.0),
        target_names=(),
        sections=("peaks", "timings"),
    )
    monkeypatch.setattr(plan, "quick", lambda: extent)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_files_and_the_page(harness: Harness, tmp_path: Path) -> None:
    result = harness("bench", "--suite", "quick")
    assert result.code == 0, result.err
    folder = tmp_path / "runs" / "bench-cpu"
    assert {path.name for path in folder.iterdir()} == set(FILES)
    assert result.out == (folder / "cpu.md").read_text()
    assert "- command: `harness bench --suite quick`\n" in result.out
    assert "](roofline.svg)" in result.out
    timings = read(folder / "timings.csv")
    assert [row["implementation"] for row in timings] == [OURS, "numpy"]
    samples = read(folder / "samples.csv")
    assert len(samples) == sum(int(row["rounds"]) for row in timings) == 12
    assert {row["schema_version"] for row in (*timings, *samples)} == {"1"}
    found = json.loads((folder / "environment.json").read_text())
    assert found["command"] == "harness bench --suite quick"
    assert {"jax", "torch", "evosax", "tensorflow", "numpy"} <= set(found["peers"])
    assert result.err.splitlines()[-1] == "harness: tables in runs/bench-cpu"
    assert harness("bench", "--suite", "quick", "--only", "peaks").code == 0
    again = tmp_path / "runs" / "bench-cpu-2"
    assert read(again / "timings.csv") == []
    assert len(read(again / "peaks.csv")) == len(PEAKS)


def test_what_is_refused(refused: Callable[..., str], tmp_path: Path) -> None:
    assert refused("bench", "--suite", "quick", "--only", "floor").startswith("unknown section of the suite quick")
    assert refused("bench", "--suite", "cpu", "--time-limit", "0").endswith("must be a number of seconds above 0")
    assert "has no samples.csv" in refused("bench", "--suite", "quick", "--compare", "nowhere")
    assert "has no trials.csv; make one: harness sweep" in refused("bench", "--suite", "quick", "--raw-run", "nowhere")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "cpu.md").write_text("precious")
    assert "cpu.md is there from another run" in refused("bench", "--suite", "quick", "--out", "old")
    (tmp_path / "file").touch()
    assert "is no folder" in refused("bench", "--suite", "quick", "--out", "file")


def test_a_regression_is_1(harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The earlier run is this one's, with freewalk's times a hundredth: nothing drifts as far."""
    assert harness("bench", "--suite", "quick", "--out", "old").code == 0
    path = tmp_path / "old" / "samples.csv"
    same = harness("bench", "--suite", "quick", "--out", "new", "--compare", "old")
    assert "## Compared with old: " in same.out
    assert "--compare old" in (tmp_path / "new" / "cpu.md").read_text()
    rows = read(path)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        for row in rows:
            factor = 0.01 if row["implementation"] == OURS else 1.0
            writer.writerow(row | {"seconds_a_step": repr(factor * float(row["seconds_a_step"]))})
    result = harness("bench", "--suite", "quick", "--out", "newer", "--compare", "old")
    assert result.code == 1
    assert "## Compared with old: 1 slower" in result.out
    monkeypatch.setattr(compare, "check_same_processor", compare.check_same_processor)
    environment = tmp_path / "old" / "environment.json"
    environment.write_text(json.dumps({"cpu": {"model": "another"}}))
    refusal = harness("bench", "--suite", "quick", "--out", "newest", "--compare", "old")
    assert (refusal.code, (tmp_path / "newest").exists()) == (2, False)
    assert "was run on 'another'" in refusal.err


def test_a_missed_figure_is_3_with_check_alone(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    from freewalk.harness.bench.cpu.rows import FigureRow

    row = FigureRow("f", 2.0, "at least", 1.0, None, None, "missed", "")
    monkeypatch.setattr(suite, "figures", lambda *given: [row])
    assert harness("bench", "--suite", "quick", "--out", "a", "--only", "peaks").code == 0
    assert harness("bench", "--suite", "quick", "--out", "b", "--only", "peaks", "--check").code == 3


def test_a_wrong_update_of_our_own_is_3(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Contest.prepare

    def prepare(self: Contest, name: str, *given: Any) -> None:
        real(self, name, *given)
        if name == OURS:
            self.notes[name] = "wrong: relative error 1.0e-02 of an update"

    monkeypatch.setattr(Contest, "prepare", prepare)
    result = harness("bench", "--suite", "quick", "--only", "timings")
    assert result.code == 3
    assert "wrong: relative error 1.0e-02" in result.out


def test_an_interruption_keeps_the_rows(harness: Harness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(*_: Any) -> Iterator[Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr(suite, "time_workloads", interrupted)
    assert harness("bench", "--suite", "quick", "--out", "x").code == 130
    assert len(read(tmp_path / "x" / "peaks.csv")) == len(PEAKS)
    assert "## What this processor can do" in (tmp_path / "x" / "cpu.md").read_text()

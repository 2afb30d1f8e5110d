"""docs/ made from a run's files: rows read back as they were written, marked parts filled, the rest left alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from freewalk.harness.base.errors import UsageError
from freewalk.harness.bench.cpu.documentation import binding_table, filled, main, memory_table, parts, read_rows
from freewalk.harness.bench.cpu.peaks import PeakRow
from freewalk.harness.bench.cpu.rows import FigureRow, MemoryRow, SampleRow, TimingRow
from freewalk.harness.bench.rows import CsvFile

DOCS = Path(__file__).parents[2] / "docs"


def timing(implementation: str, **changes: Any) -> TimingRow:
    values: dict[str, Any] = dict.fromkeys(TimingRow.__dataclass_fields__)
    values |= {"workload": "default", "implementation": implementation, "kind": "own", "hidden": 30, "timesteps": 4}
    values |= {"batch_size": 1000, "n_trials": 1, "unit": "ms", "rounds": 4, "steps_a_round": 1, "note": "a, b"}
    return TimingRow(**values | changes)


TIMINGS = [
    timing("freewalk", median=0.5, share_of_generator=0.7, share_of_inference=0.2),
    timing("freewalk", workload="T 100", timesteps=100, median=9.0, share_of_generator=0.1, share_of_inference=0.7),
    timing("numpy", median=12.5, kind="peer"),
    timing("jax", kind="peer"),
]
MEMORY = [
    MemoryRow("freewalk", 100_000, None, 5.0, 50.0, 1.0),
    MemoryRow("numpy", 100_000, None, 640.0, 6400.0, 1.0),
    MemoryRow("numpy", 1_000_000, 1000.0, None, None, None, "out of memory"),
]
PEAKS = [
    PeakRow(quantity, 2, "1/s", 1.5e9, 1e9, "how")
    for quantity in ("multiply-adds", "normals", "signs", "memory read, bytes", "memory written, bytes")
]
FIGURES = [FigureRow("a figure", 20.0, "at least", 25.0, 24.0, 26.0, "met", "numpy / freewalk")]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A whole run's folder."""
    folder = tmp_path / "run"
    folder.mkdir()
    tables: dict[str, list[Any]] = {"timings": TIMINGS, "memory": MEMORY, "peaks": PEAKS, "figures": FIGURES}
    for name, rows in tables.items():
        file = CsvFile(folder / f"{name}.csv", type(rows[0]))
        for row in rows:
            file.write(row)
        file.close()
    environment = {"command": "harness bench --suite cpu", "cpu": {"model": "one"}, "load_before": 0.1}
    (folder / "environment.json").write_text(json.dumps(environment))
    (folder / "cpu.md").write_text("# The step on the processor\n")
    return folder


def test_rows_come_back(run: Path) -> None:
    assert read_rows(run / "timings.csv", TimingRow) == TIMINGS
    assert read_rows(run / "memory.csv", MemoryRow) == MEMORY
    assert read_rows(run / "peaks.csv", PeakRow) == PEAKS
    assert read_rows(run / "figures.csv", FigureRow) == FIGURES
    with pytest.raises(UsageError, match="is not there"):
        read_rows(run / "samples.csv", SampleRow)
    with pytest.raises(UsageError, match="is no table of this suite"):
        read_rows(run / "peaks.csv", FigureRow)


def test_what_binds() -> None:
    lines = binding_table(TIMINGS).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["default", "T 100"]
    assert [line.split("|")[6].strip() for line in lines[2:]] == ["noise", "the network"]
    assert "| 70%         | 20% " in lines[2]


def test_memory_without_limits() -> None:
    assert [line.split("|")[2].strip() for line in memory_table(MEMORY).splitlines()[2:]] == ["50", "6,400"]


def test_parts_are_filled_and_filled_again() -> None:
    page = "a\n<!-- x: made by the command above -->\nold\nolder\n<!-- end of x -->\nb\n"
    once = filled(page, {"x": "new"})
    assert once == "a\n<!-- x: made by the command above -->\nnew\n<!-- end of x -->\nb\n"
    assert filled(once, {"x": "new"}) == once
    for wrong in ("nothing", page + page):
        with pytest.raises(ValueError, match="once each"):
            filled(wrong, {"x": "new"})


def test_the_committed_page_has_every_mark(run: Path) -> None:
    text = (DOCS / "performance.md").read_text()
    page = filled(text, parts(run))
    assert "`harness bench --suite cpu` on one, 2 threads, load 0.1 when it began." in page
    assert "normals 1.5e9/s" in page
    assert "| a figure | at least 20 | 25 " in page


def test_the_command(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    docs = tmp_path / "docs"
    (docs / "benchmarks").mkdir(parents=True)
    (docs / "performance.md").write_text((DOCS / "performance.md").read_text())
    assert main([str(run)], docs) == 0
    assert (docs / "benchmarks" / "cpu.md").read_text() == "# The step on the processor\n"
    assert "<svg" in (docs / "benchmarks" / "roofline.svg").read_text()
    assert "a figure" in (docs / "performance.md").read_text()
    before = (docs / "performance.md").read_bytes()
    assert main([str(run)], docs) == 0
    assert (docs / "performance.md").read_bytes() == before
    assert main([], docs) == 2
    (run / "peaks.csv").unlink()
    assert main([str(run)], docs) == 2
    assert "peaks.csv: is not there" in capsys.readouterr().err
    assert (docs / "performance.md").read_bytes() == before

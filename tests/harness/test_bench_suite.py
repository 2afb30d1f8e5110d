"""The suite's files and pages: rows at once, nothing overwritten, what was left out named."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bench_standins import Clock, ProcessorAsGpu

from freewalk.harness.bench import suite
from freewalk.harness.bench.checks.check import Check, Measure
from freewalk.harness.bench.clock import Deadline
from freewalk.harness.bench.peers.arrays import make_numpy
from freewalk.harness.bench.report import Results, markdown, table
from freewalk.harness.bench.rows import CheckRow, CsvFile, FloorRow, TimingRow, replace_text
from freewalk.harness.bench.suite import FILES, Options, run_suite
from freewalk.harness.bench.workloads import Workload

TINY = [
    Workload("default", hidden=2, batch_size=20),
    Workload("trials", hidden=2, batch_size=20, n_trials=132),
    Workload("batch", hidden=2, batch_size=40),
]
ENVIRONMENT = {"packages": {"numba": "1"}, "peers": {"jax": "2", "torch": None}, "git_revision": "abc", "command": "x"}


def checks(*verdicts: float) -> Any:
    def make(accelerator: Any, *, quick: bool) -> Iterator[Check]:
        for k, found in enumerate(verdicts):
            yield Check("kind", f"case {k}", lambda found=found: Measure("error", found, 1.0))

    return make


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny workloads and short measurements."""
    monkeypatch.setattr(suite, "workloads", lambda quick: TINY)
    monkeypatch.setattr(suite, "_QUICK_EFFORT", suite.Effort(seconds=0.001, rounds=3, most_seconds=1.0))


def run(folder: Path, seconds: float = math.inf, say: Any = lambda line: None, **options: Any) -> Results:
    peers = ({"numpy": make_numpy("cpu")}, {"cupy": "runs on a GPU alone"})
    return run_suite(
        Options(folder, quick=True, **options), ProcessorAsGpu(), peers, Deadline(seconds), ENVIRONMENT, say
    )


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("quick")
def test_all_sections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "all_checks", checks(0.5, 0.25))
    said: list[str] = []
    results = run(tmp_path / "new" / "folder", say=said.append)
    folder = tmp_path / "new" / "folder"
    assert {path.name for path in folder.iterdir()} == set(FILES)
    assert not results.is_red
    assert json.loads((folder / "environment.json").read_text()) == ENVIRONMENT

    found = read(folder / "correctness.csv")
    assert [(row["schema_version"], row["verdict"], row["measured"]) for row in found] == [
        ("1", "green", "0.5"),
        ("1", "green", "0.25"),
    ]
    timings = read(folder / "timings.csv")
    assert [(row["workload"], row["implementation"], row["device"]) for row in timings] == [
        ("default", "freewalk", "cuda"),
        ("default", "numpy", "cuda"),
        ("default", "freewalk-block", "cuda"),
        ("default", "freewalk-cpu", "cpu"),
        ("trials", "freewalk", "cuda"),
        ("trials", "numpy", "cuda"),
        ("trials", "freewalk-cpu", "cpu"),
        ("batch", "freewalk", "cuda"),
        ("batch", "numpy", "cuda"),
    ]
    for row in timings:
        assert float(row["least"]) <= float(row["q25"]) <= float(row["median"]) <= float(row["q75"])
        assert float(row["relative_error"]) < 1e-4
        assert float(row["trial_steps_per_second"]) == pytest.approx(1000 * int(row["n_trials"]) / float(row["median"]))
        assert row["note"] == ""
        assert (float(row["ratio_to_freewalk"]) == 1) == (row["implementation"] == "freewalk")
    floors = read(folder / "floor.csv")
    assert [row["workload"] for row in floors] == ["default", "trials", "batch"]
    assert float(floors[0]["share"]) == pytest.approx(float(floors[0]["floor"]) / float(timings[0]["median"]))
    assert len(said) == len(found) + len(timings)

    page = (folder / "gpu.md").read_text()
    assert page == markdown(results)
    for words in (
        "## Correctness: 2 green",
        "stand-in, compute capability 9.0, 132 multiprocessors",
        "numba 1, jax 2\n",
        "### One trial",
        "### Trials at once",
        "### Datapoints of a batch",
        "Not here: cupy (runs on a GPU alone).",
        "## Floor",
    ):
        assert words in page
    assert "### Red" not in page
    assert "### Remarks" not in page


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("only", "n_checks", "implementations", "n_floors"),
    [
        ("correctness", 1, set(), 0),
        ("timings", 0, {"freewalk", "numpy", "freewalk-block", "freewalk-cpu"}, 0),
        ("floor", 0, {"freewalk"}, 3),
    ],
)
def test_one_section(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    only: Any,
    n_checks: int,
    implementations: set[str],
    n_floors: int,
) -> None:
    monkeypatch.setattr(suite, "all_checks", checks(0.5))
    results = run(tmp_path, only=only)
    assert len(results.checks) == n_checks
    assert {row.implementation for row in results.timings} == implementations
    assert len(results.floors) == n_floors


@pytest.mark.usefixtures("quick")
def test_rows_are_on_disk_before_the_next_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interruption in the third check leaves two rows, in the table and on the page."""

    def make(accelerator: Any, *, quick: bool) -> Iterator[Check]:
        yield from checks(0.5, 2.0)(accelerator, quick=quick)
        assert [row["verdict"] for row in read(tmp_path / "correctness.csv")] == ["green", "red"]
        assert "1 green, 1 red" in (tmp_path / "gpu.md").read_text()
        raise KeyboardInterrupt

    monkeypatch.setattr(suite, "all_checks", make)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    assert len(read(tmp_path / "correctness.csv")) == 2
    assert read(tmp_path / "timings.csv") == []
    assert "### Red" in (tmp_path / "gpu.md").read_text()


@pytest.mark.usefixtures("quick")
def test_checks_leave_half_of_the_time_for_timings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()

    def make(accelerator: Any, *, quick: bool) -> Iterator[Check]:
        for k in range(5):
            yield Check("slow", str(k), lambda: (clock.pass_(3), Measure("error", 0, 0))[1])

    monkeypatch.setattr(suite, "all_checks", make)
    peers: Any = ({}, {})
    results = run_suite(Options(tmp_path, quick=True), ProcessorAsGpu(), peers, Deadline(10, clock), ENVIRONMENT)
    assert [row.verdict for row in results.checks] == ["green", "green", "not run", "not run", "not run"]
    assert all(row.median is not None for row in results.timings)
    assert "2 green, 3 not run" in markdown(results)
    assert not results.is_red


def timing(implementation: str, **changes: Any) -> TimingRow:
    values: dict[str, Any] = dict.fromkeys(TimingRow.__dataclass_fields__)
    values |= {"workload": "batch", "implementation": implementation, "device": "cuda", "n_trials": 1, "hidden": 30}
    values |= {"batch_size": 10_000, "timesteps": 4, "unit": "ms", "rounds": 9, "steps_a_round": 1, "note": ""}
    return TimingRow(**values | changes)


def test_what_was_left_out_is_said() -> None:
    results = Results({}, {})
    results.timings = [
        timing("freewalk", median=2.0, ratio_to_freewalk=1.0, relative_error=1e-6),
        timing("jax", median=30.0, ratio_to_freewalk=15.1, relative_error=1e-6),
        timing("torch", note="out of memory"),
        timing("freewalk", batch_size=10**6, note="not run: time limit"),
    ]
    page = markdown(results)
    assert "| 10,000    | 2        | 30 (15.1) | out of memory |" in page
    assert "| 1,000,000 | not run  |           |  |" in page
    assert "- B 10,000, torch: out of memory" in page
    assert "- B 1,000,000, freewalk: not run: time limit" in page
    assert not results.is_red


@pytest.mark.parametrize(
    ("implementation", "error", "is_red"),
    [("freewalk", 1e-3, True), ("freewalk", math.nan, True), ("freewalk", 5e-5, False), ("jax", 1e-3, False)],
)
def test_a_wrong_update_of_freewalk_s_own_is_red(implementation: str, error: float, is_red: bool) -> None:
    assert Results({}, {}, timings=[timing(implementation, relative_error=error)]).is_red is is_red


def test_the_page_names_what_is_red_and_what_came_nearest() -> None:
    rows = [
        CheckRow("noise", "a", "error", 1e-6, 1e-5, "green", 1.0),
        CheckRow("noise", "b", "error", 9e-6, 1e-5, "green", 1.0, "close"),
        CheckRow("noise", "c", "", None, None, "not run", 0.0, "time limit"),
        CheckRow("trial", "d", "error", 9e-6, 1e-6, "red", 1.0),
        CheckRow("trial", "e", "error", 1e-9, 1e-6, "green", 1.0),
    ]
    page = markdown(Results({}, {}, checks=rows))
    assert "## Correctness: 3 green, 1 red, 1 not run" in page
    assert "| noise | 2 of 3 | b          | 9e-06 | 1e-05   | error: close |" in page
    assert "| trial | 1 of 2 | d          | 9e-06 | 1e-06   | error |" in page
    assert "| trial | d    | 9e-06 | 1e-06   | error |" in page.split("### Red")[1]


def test_a_table_may_hold_bars() -> None:
    assert table(("a", "b"), [("x|y", "z")]) == "| a   | b |\n|-----|---|\n| x/y | z |"


def test_files_are_new_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "floor.csv"
    file = CsvFile(path, FloorRow)
    file.write(FloorRow("default", 1, 2, 3, 4, 5, 6, 7, "issue", "ms", 0.1, 1 / 3, 0.3))
    lines = path.read_text().splitlines()  # before it is closed
    assert lines[0].startswith("schema_version,workload,n_trials,batch_size,hidden,timesteps,normals,")
    assert lines[1] == "1,default,1,2,3,4,5,6,7,issue,ms,0.1,0.3333333333333333,0.3"
    file.close()
    with pytest.raises(FileExistsError):
        CsvFile(path, FloorRow)
    replace_text(tmp_path / "page", "one")
    replace_text(tmp_path / "page", "two")
    assert (tmp_path / "page").read_text() == "two"
    assert {p.name for p in tmp_path.iterdir()} == {"floor.csv", "page"}

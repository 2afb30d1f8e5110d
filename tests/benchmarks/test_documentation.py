"""docs/ made from a run's JSON, the counts behind it, and the whole way from pytest-benchmark to a page."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from benchmarks.documentation import filled, main, page, parts
from benchmarks.operations import gpu_floor, live_activations, live_multiply_adds, operations
from benchmarks.runs import Run
from freewalk.harness.bench import DEFAULT, Workload

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
H200 = {"compute_capability": "9.0", "multiprocessors": 132, "clock_mhz": 1980.0}
TINY = Workload(hidden=1, timesteps=2, batch_size=10)
"""7 rows (3 inputs, bias, 2 outputs, 1 hidden), 3 columns (2 outputs, 1 hidden): 21 weights, 2 blocks a column."""


def step(name: str, workload: Workload, milliseconds: float, device: str = "cpu", kind: str = "own") -> dict[str, Any]:
    extra = {"kind": kind, "device": device, "workload": {"label": workload.label, **asdict(workload)}, "steps": 2}
    floors = {"generator": "generator", "inference": "inference"} if name.startswith("freewalk") else {}
    extra |= {"relative_error": 1e-6, "description": "what it is", "generator": None, "inference": None} | floors
    extra["memory"] = 7_500_000
    data = [milliseconds / 1000 * factor for factor in (0.9, 1.0, 1.2)]
    return {"name": name, "fullname": f"{device}{workload.label}{name}", "extra_info": extra, "stats": {"data": data}}


def row(name: str, data: list[float], group: str = "", **extra: Any) -> dict[str, Any]:
    stats = {"data": data}
    return {"name": name, "fullname": f"{group}{name}{extra}", "group": group, "extra_info": extra, "stats": stats}


DEEP = Workload(timesteps=100, stddev=0.1)
RANK_1 = Workload(rank=1)
MEMORY = "memory of a step: B 100,000"
PEAKS = ("multiply-adds", "normals", "signs", "memory read, bytes", "memory written, bytes")
BENCHMARKS = [
    step("freewalk", DEFAULT, 0.5),
    step("generator", DEFAULT, 0.35, kind="floor"),
    step("inference", DEFAULT, 0.1, kind="floor"),
    step("numpy", DEFAULT, 12.5, kind="peer"),
    step("tensorflow", DEFAULT, 12.0, kind="peer"),
    step("freewalk", DEEP, 9.0),
    step("generator", DEEP, 0.9, kind="floor"),
    step("inference", DEEP, 6.3, kind="floor"),
    step("freewalk-rademacher", RANK_1, 0.125),
    step("freewalk", RANK_1, 0.15),
    step("generator", RANK_1, 0.0125, kind="floor"),
    step("inference", RANK_1, 0.1, kind="floor"),
    step("torch-rademacher", RANK_1, 0.8, kind="peer"),
    step("jax-rademacher", RANK_1, 1.2, kind="peer"),
    step("freewalk-full", RANK_1, 0.4),
    step("freewalk-cuda", Workload(n_trials=3, hidden=1, timesteps=2, batch_size=10), 1.0, "cuda"),
    row("freewalk", [0.03, 0.04], group="target", target=1e-3, steps=[50, 60], rule="momentum"),
    row("freewalk", [0.001], group=MEMORY, bytes=5_000_000, batch_size=100_000, limit=None),
    row("numpy", [0.001], group=MEMORY, bytes=640_000_000, batch_size=100_000, limit=None),
    row("numpy", [0.0], group=f"{MEMORY}0", bytes=None, batch_size=1_000_000, limit=10**9, note="out of memory"),
    row("sigmoids", [1e-9], quantity="sigmoids", threads=2, amount=2, how="1"),
    *(row(f"{name}{k}", [k / 1e9], quantity=name, threads=2, amount=1.5, how=f"{k}") for name in PEAKS for k in (1, 2)),
]
MACHINE = {
    "cpu": {"model": "one"},
    "threads": 2,
    "memory_gb": 25.3,
    "gpu": H200,
    "load_before": 0.1,
    "packages": {"freewalk": "0.1.0"},
    "peers": {"jax": None, "numpy": "2.0"},
    "git_revision": None,
    "command": "pytest benchmarks",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A whole run's file."""
    found = tmp_path / "run.json"
    found.write_text(json.dumps({"freewalk": MACHINE, "benchmarks": BENCHMARKS}))
    return found


def cells(text: str, *first: str) -> list[str]:
    """Return the cells of the one line that begins so."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    (found,) = [row for row in rows if row[: len(first)] == [*first]]
    return found


def test_what_goes_into_the_page_by_hand(path: Path) -> None:
    found = parts(Run([path]))
    assert found["machine"] == "`pytest benchmarks` on one, 2 threads, load 0.1 when it began."
    assert found["rates"].startswith("On 2 threads: multiply-adds in registers 1.5e9/s; normals 1.5e9/s; signs")
    assert cells(found["binding"], "default") == ["default", "4.35", "0.5", "70%", "20%", "noise"]
    assert cells(found["binding"], "T 100")[2:] == ["9", "10%", "70%", "the network"]
    assert cells(found["binding"], "rank 1") == ["rank 1", "73.6", "0.125", "10%", "80%", "the network"]
    assert cells(found["figures"], "rank 1: the full Gaussian step over that of signs")[1:5] == [
        *("at least 4", "3.2", "3.2 to 3.2", "missed")
    ]
    of_peers = cells(found["figures"], "rank 1: the best peer with the same estimator over it")
    assert of_peers[1:] == ["at least 6", "6.4", "6.4 to 6.4", "met", "torch-rademacher / freewalk-rademacher, rank 1"]
    assert cells(found["figures"], "rank 1: two plain passes over it")[1:5] == [
        "at least 0.75",
        "0.8",
        "0.8 to 0.8",
        "met",
    ]
    # 2,000 passes of 113,096 multiply-adds take 151 ms at 1.5e9 a second, in 6.3 ms less 3.17 ms of sigmoids
    products = "T 100: multiply-adds of plain passes over those in registers, sigmoids counted apart"
    assert cells(found["figures"], products)[1:3] == ["at least 0.6", "48.2"]
    assert cells(found["memory"], "numpy") == ["numpy", "6,400", "640"]
    assert cells(found["figures"], "vectorised NumPy over the step") == [
        *("vectorised NumPy over the step", "at least 20", "25", "25 to 25", "met", "numpy / freewalk, default")
    ]
    assert cells(found["figures"], "the step over its noise alone")[4] == "met"
    assert cells(found["figures"], "NumPy's normals over the generator's, a core")[4] == "not measured"
    assert cells(found["figures"], "peers that take a step of B 1,000,000 within 1,000 MB")[2:] == [
        *("0", "", "met", "1 of 1 peers ran out of memory")
    ]
    original = cells(found["figures"], "the original program over the walk, time to a held-out loss of 0.001")
    assert original[2] == "445,000"  # 1,299,200 steps of 12 ms over 0.035 s


def test_the_page(path: Path) -> None:
    text = page(Run([path]), picture=True)
    assert cells(text, "freewalk", "0.5")[2:9] == ["0.475 to 0.55", "1", "1 to 1", "2,000", "2,000,000", "70%", "20%"]
    assert cells(text, "numpy", "12.5")[3] == "25"
    assert cells(text, "freewalk", "0.15")[3] == "1.2"  # of low rank, ratios refer to signs
    assert cells(text, "torch-rademacher", "0.8")[9] == "7.5"
    assert cells(text, "generator", "0.35")[5:7] == ["-", "-"]
    assert cells(text, "freewalk", "2", "55")[3:] == ["0.035", "0.0325 to 0.0375", "1", "momentum"]
    assert cells(text, "numpy", "-")[4] == "out of memory"
    assert cells(text, "normals", "2")[2:] == ["1.5", "1.5", "1"]  # the faster of two ways
    assert cells(text, "hidden 1, T 2, B 10, trials 3")[4] == "issue"
    assert "- versions: freewalk 0.1.0, numpy 2.0\n" in text
    assert "## Figures" not in page(Run([path]), picture=False)


def test_parts_are_filled_and_filled_again() -> None:
    text = "a\n<!-- x: made by the command above -->\nold\nolder\n<!-- end of x -->\nb\n"
    once = filled(text, {"x": "new"})
    assert once == "a\n<!-- x: made by the command above -->\nnew\n<!-- end of x -->\nb\n"
    assert filled(once, {"x": "new"}) == once
    for wrong in ("nothing", text + text):
        with pytest.raises(ValueError, match="once each"):
            filled(wrong, {"x": "new"})


def test_the_command(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    docs = tmp_path / "docs"
    (docs / "benchmarks").mkdir(parents=True)
    (docs / "performance.md").write_text((DOCS / "performance.md").read_text())
    for _ in range(2):
        assert main([str(path)], docs) == 0
    before = {file: file.read_bytes() for file in docs.rglob("*.*")}
    assert len(before) == 3
    assert b"<svg" in before[docs / "benchmarks" / "roofline.svg"]
    assert b"numpy / freewalk, default" in before[docs / "performance.md"]
    assert main([str(path), "--page", str(tmp_path / "page.md")], docs) == 0
    assert "## Floor" in (tmp_path / "page.md").read_text()
    path.write_text(json.dumps({"freewalk": MACHINE, "benchmarks": BENCHMARKS[:3]}))
    assert main([str(path)], docs) == 2
    assert "no peaks" in capsys.readouterr().err
    path.write_text("{}")
    assert main([str(path)], docs) == 2
    assert "is no JSON of pytest benchmarks" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in docs.rglob("*.*")} == before


@pytest.mark.slow
def test_from_pytest_benchmark_to_a_page(tmp_path: Path) -> None:
    """The seconds that the processes took are those of the table, not those of the pipe."""
    path = tmp_path / "run.json"
    chosen = "cpu and default and (inference or generator) and not 1"
    command = ["pytest", "-q", "benchmarks", "--benchmark-only", "--benchmark-max-time=0.03", "-k", chosen]
    done = subprocess.run(
        [sys.executable, "-m", *command, "-p", "no:cacheprovider", f"--benchmark-json={path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    steps = {one.name: one for one in Run([path]).steps}
    assert {*steps} == {"generator", "generator-rademacher", "generator-gaussian-xoshiro", "inference"}
    assert all(len(one.seconds) == 3 for one in steps.values())
    assert main([str(path), "--page", str(tmp_path / "page.md")]) == 0
    assert cells((tmp_path / "page.md").read_text(), "inference")[1] != "-"
    found = json.loads(path.read_text())
    assert found["freewalk"]["command"].startswith("pytest -q benchmarks --benchmark-only")


def test_live_multiply_adds_by_hand() -> None:
    # t = 0: 4 rows (inputs, bias) into 3 columns; t = 1, the last: 7 rows into 2 output columns
    assert live_multiply_adds(TINY.network, 2) == 4 * 3 + 7 * 2
    assert live_multiply_adds(TINY.network, 1) == 4 * 2
    assert live_activations(TINY.network, 2) == 3 + 2
    live = live_multiply_adds(DEFAULT.network, 4)  # 46 % of a pass is dead; 6.2 million make a step with its update
    assert 1 - live / (4 * 36 * 32) == pytest.approx(0.46, abs=0.005)
    assert 2 * 1000 * live + 1000 * 1152 == pytest.approx(6.2e6, rel=0.01)


def test_operations_by_hand() -> None:
    blocks = 10 * 3 * 2
    pairs = 2 * blocks
    floats = pairs * 26 + 2 * 10 * (21 + 26) + 2 * 2 * 10 * 5
    integers, specials = blocks * 40 + pairs * 15, pairs + 2 * 2 * 10 * 5
    total = floats + integers + specials + 3 * pairs
    assert operations(TINY) == {"floats": floats, "integers": integers, "specials": specials, "issue": total}
    assert operations(TINY) == {"floats": 4260, "integers": 4200, "specials": 320, "issue": 9140}


def test_the_gpu_s_floor_by_hand() -> None:
    """9,140 instructions at 128 a clock are 71.4 clocks; floats 33.3, integers 65.6, specials 20."""
    assert gpu_floor(TINY, H200) == (pytest.approx(9140 / 128 / (132 * 1.98e9)), "issue")
    three = gpu_floor(Workload(hidden=1, timesteps=2, batch_size=10, n_trials=3), H200)
    assert three == (pytest.approx(3 * 9140 / 128 / (132 * 1.98e9)), "issue")
    a100 = {"compute_capability": "8.0", "multiprocessors": 108, "clock_mhz": 1410.0}  # half the float units
    assert gpu_floor(DEEP, a100) == (pytest.approx(operations(DEEP)["floats"] / 64 / (108 * 1.41e9)), "floats")
    assert gpu_floor(TINY, H200 | {"compute_capability": "99.0"}) is None

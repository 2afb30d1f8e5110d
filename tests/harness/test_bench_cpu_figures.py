"""Figures, page, roofline and the original rule's steps, on rows made up for the purpose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from freewalk.harness.base.errors import UsageError
from freewalk.harness.bench.cpu import raw_rule, roofline
from freewalk.harness.bench.cpu.figures import figures
from freewalk.harness.bench.cpu.page import Results, markdown
from freewalk.harness.bench.cpu.peaks import PeakRow, best_rate, measure_peaks
from freewalk.harness.bench.cpu.raw_rule import RawRun, extract, read_raw_run
from freewalk.harness.bench.cpu.rows import MemoryRow, TargetRow, TimingRow
from freewalk.harness.plan.configuration import resolve
from freewalk.harness.plan.plan import expand
from freewalk.harness.plan.registry import BuiltInRegistry
from freewalk.tasks.registry import TASKS

DEFAULT = {
    "freewalk": [1.0, 1.0, 1.0, 1.25],
    "freewalk-1": [2.0] * 4,
    "freewalk-rademacher": [0.4] * 4,
    "generator": [0.5] * 4,
    "generator-1": [1.25] * 4,
    "numpy-normals": [10.0] * 4,
    "numpy": [30.0, 20.0, 25.0],
    "jax": [15.0] * 4,
    "torch": [11.0] * 4,
    "tensorflow": [12.5] * 4,
}
RAW = RawRun(1_000_000, 2000.0, 1, "x")


def memory(name: str, growth: float | None, note: str = "") -> MemoryRow:
    return MemoryRow(name, 1_000_000, 1000.0, growth, None, None, note)


def reached(name: str, seconds: float) -> TargetRow:
    return TargetRow(name, "rule", 1e-3, 5, 5, 50.0, seconds, seconds, seconds, 1.0)


def found(samples: Any = None, **options: Any) -> dict[str, tuple[float | None, str]]:
    samples = {"default": DEFAULT} if samples is None else samples
    given: dict[str, Any] = {"memory": [], "targets": [], "raw": None} | options
    rows = figures(samples, given["memory"], given["targets"], given["raw"])
    return {row.figure: (row.found, row.verdict) for row in rows}


def test_ratios_of_the_default_step() -> None:
    rows = found()
    assert rows["vectorised NumPy over the step"] == (25, "met")
    assert rows["the best of JAX and PyTorch over the step"] == (11, "missed")
    assert rows["the step over its noise alone"] == (2, "missed")
    assert rows["the step over its noise alone, 1 thread"] == (pytest.approx(1.6), "missed")
    assert rows["NumPy's normals over the generator's, a core"] == (8, "met")
    assert rows["the Gaussian step over the Rademacher step"] == (2.5, "met")
    for name in (
        "hidden 254: the best peer with the same step over it",
        "T 100: the best peer with the same step over it",
    ):
        assert rows[name] == (None, "not measured")


def test_quartiles_and_the_best_peer_of_other_workloads() -> None:
    times = {"freewalk": [1.0, 2.0, 1.0], "jax": [8.0, 8.0, 6.0], "numpy": [9.0] * 3, "torch": [30.0]}
    samples = {"hidden 254": times | {"evosax": [4.0] * 3}}
    (row,) = [row for row in figures(samples, [], [], None) if row.figure.startswith("hidden 254")]
    assert (row.found, row.low, row.high) == (6, 5, 7)
    assert row.verdict == "met"
    assert row.how == "jax / freewalk, hidden 254; evosax, with half the noise and passes, 4"


def test_memory() -> None:
    full = "MB that a step of B 1,000,000 takes"
    who = "peers that take a step of B 1,000,000 within 1,000 MB"
    rows = found(memory=[memory("freewalk", 5.0), memory("numpy", None, "out of memory"), memory("jax", None, "no")])
    assert rows[full] == (5, "met")
    assert rows[who] == (0, "met")
    rows = found(memory=[memory("freewalk", 1001.0), memory("numpy", 900.0)])
    assert rows[full] == (1001, "missed")
    assert rows[who] == (1, "missed")
    assert found(memory=[memory("freewalk", None, "died")])[full] == (None, "not measured")
    assert found(memory=[memory("numpy", None, "not run: time limit")])[who] == (None, "not measured")


def test_time_to_target_is_a_product_and_says_so() -> None:
    """1,000,000 steps of 12.5 s over 50 s."""
    rows = figures({"default": DEFAULT}, [], [reached("freewalk", 50.0)], RAW)
    assert (rows[-1].found, rows[-1].verdict) == (250_000, "met")
    assert "not measured end to end" in rows[-1].how
    assert "1,000,000 steps" in rows[-1].how
    without = [name for name in DEFAULT if name != "tensorflow"]
    for options in (
        {"raw": None, "targets": [reached("freewalk", 50.0)]},
        {"raw": RAW, "targets": [reached("jax", 50.0)]},
        {"raw": RAW, "targets": [reached("freewalk", 50.0)], "samples": {"default": {k: DEFAULT[k] for k in without}}},
    ):
        assert list(found(**options).values())[-1] == (None, "not measured")


HEADER = "task,method,param_hidden,param_timesteps,param_batch_size,param_stddev,param_update,target"
FITTING = "shifted-sums,walk,30,4,1000,0.01,raw,0.001"


def table(folder: Path, *lines: str) -> Path:
    folder.mkdir(exist_ok=True)
    names = f"{HEADER},seed,backend,outcome,loss_final,steps_to_target,seconds_to_target"
    (folder / "trials.csv").write_text("\n".join([names, *lines]) + "\n")
    return folder


def test_the_original_rule_s_steps_are_read_from_a_sweep(tmp_path: Path) -> None:
    folder = table(
        tmp_path / "sweep",
        f"{FITTING},0,cpu,reached,9e-4,1040000,1700.5",
        f"{FITTING},1,cpu,reached,9e-4,1000000,1600.0",
        f"{FITTING},2,cpu,reached,9e-4,1100000,1900.0",
        f"{FITTING},3,cpu,exhausted,2e-3,,",
        f"{FITTING.replace('0.01', '0.1')},0,cpu,reached,9e-4,7,1.0",
        f"{FITTING.replace('raw', 'normalised')},0,cpu,reached,9e-4,8,1.0",
        f"{FITTING.replace('0.001', '0.01')},0,cpu,reached,9e-4,9,1.0",
    )
    run = read_raw_run(str(folder))
    assert run == RawRun(1_040_000, 1700.5, 3, str(folder / "trials.csv"))
    kept = tmp_path / "kept.csv"
    kept.write_text(extract(folder))
    assert kept.read_text().count("\n") == 5
    assert read_raw_run(str(kept)) == replace(run, source=str(kept))


def test_what_is_no_run_of_the_original_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_rule, "COMMITTED", tmp_path / "nothing")
    assert read_raw_run(None) is None
    with pytest.raises(UsageError, match=r"has no trials\.csv; make one: harness sweep --grid original"):
        read_raw_run(str(tmp_path / "nothing"))
    folder = table(tmp_path / "sweep", f"{FITTING},3,cpu,exhausted,2e-3,,")
    with pytest.raises(UsageError, match="no trial of the original rule reached"):
        read_raw_run(str(folder))
    (folder / "trials.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match="is no table of trials"):
        read_raw_run(str(folder))


def test_the_committed_run_is_there() -> None:
    run = read_raw_run(None)
    assert run is not None
    assert run.steps > 500_000
    assert run.trials == 5


def test_the_command_makes_the_trials_that_count() -> None:
    assert "sweep --grid original --seeds 0:5" in raw_rule.COMMAND
    registry = BuiltInRegistry()
    plan = expand(resolve(["original"], registry=registry, seeds="0:5"), registry)
    assert len(plan.trials) == 5
    for trial in plan.trials:
        cell = {"task": trial.cell.task, "method": trial.cell.method, "target": TASKS[trial.cell.task].target}
        cell |= {f"param_{name}": value for name, value in trial.cell.parameters.items()}
        assert {name: cell[name] for name in raw_rule._WANTED} == raw_rule._WANTED


def timing(implementation: str, median: float | None, **changes: Any) -> TimingRow:
    values: dict[str, Any] = dict.fromkeys(TimingRow.__dataclass_fields__)
    values |= {"workload": "default", "implementation": implementation, "kind": "own", "hidden": 1, "timesteps": 2}
    values |= {"batch_size": 10, "n_trials": 1, "rounds": 4, "steps_a_round": 1, "median": median, "note": ""}
    return TimingRow(**values | changes)


PEAKS = [
    PeakRow(quantity, 2, "1/s", best, best, "")
    for quantity, best in (
        ("multiply-adds", 100e9),
        ("normals", 2e9),
        ("signs", 20e9),
        ("memory read, bytes", 16e9),
        ("memory written, bytes", 8e9),
    )
]


def test_points_of_the_roofline_by_hand() -> None:
    """7 rows into 3 columns, T 2: 26 live multiply-adds a pass (test_bench_floor), so 52 for 21 weights."""
    rows = [timing("freewalk", 2.0), timing("evosax", 2.0), timing("generator", 1.0), timing("jax", None)]
    ours, evosax = roofline.points(rows)
    assert ours.work == pytest.approx(52 / 21)
    assert ours.rate == pytest.approx(10 * 52 / 2e-3)
    assert evosax.rate == pytest.approx(10 * 26 / 2e-3)
    limits = roofline.rates([*PEAKS, replace(PEAKS[0], threads=1, best=1e15)])
    assert limits == {"peak": 100e9, "normals": 2e9, "signs": 20e9, "stored": pytest.approx(1 / (4 / 8e9 + 8 / 16e9))}


def test_the_picture_has_the_same_bytes_for_the_same_rows(tmp_path: Path) -> None:
    rows = [timing("freewalk", 2.0), timing("numpy", 9.0, kind="peer"), timing("freewalk-rademacher", 1.0)]
    for name in ("a.svg", "b.svg"):
        roofline.write(tmp_path / name, rows, PEAKS)
    text = (tmp_path / "a.svg").read_bytes()
    assert text == (tmp_path / "b.svg").read_bytes()
    assert b"<svg" in text
    roofline.write(tmp_path / "a.png", rows, PEAKS)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_the_page() -> None:
    results = Results({"processor": "one"}, has_picture=True)
    results.timings = [
        timing(
            "freewalk", 2.0, q25=1.9, q75=2.2, least=1.8, ratio=1.0, ratio_q25=1.0, ratio_q75=1.0, steps_per_second=500
        ),
        timing("numpy", None, kind="peer", note="left out: needs about 5.0 GB, 1.0 GB are free"),
    ]
    results.missing = {"jax": "not installed here"}
    results.memory = [memory("freewalk", 5.0), memory("numpy", None, "out of memory")]
    results.targets = [reached("freewalk", 0.05)]
    results.peaks = PEAKS
    results.figures = figures({"default": DEFAULT}, [], [], None)
    page = markdown(results)
    for words in (
        "- processor: one\n",
        "| vectorised NumPy over the step ",
        "](roofline.svg)",
        "### default",
        "| 1.9 to 2.2 ",
        "NumPy: batched products; left out: needs about 5.0 GB, 1.0 GB are free |",
        "Not here: jax (not installed here).",
        "### B 1,000,000, limit 1,000 MB",
        "| out of memory |",
        "## Time to target",
        "| multiply-adds         | 2       | 100 ",
    ):
        assert words in page, words
    assert not results.is_red
    assert len(results.missed) == 3
    results.timings.append(timing("freewalk-1", 3.0, note="wrong: relative error 1.0e-02 of an update"))
    assert results.is_red


def test_the_best_rate_of_work_that_takes_known_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call takes 1 ms and 0.1 ms for each of n, but every third one, which is disturbed, four times as long."""
    asked: list[int] = []
    now = [0.0]

    def work(n: int) -> None:
        asked.append(n)
        now[0] += (0.001 + 0.0001 * n) * (4 if len(asked) % 3 == 0 else 1)

    monkeypatch.setattr("freewalk.harness.bench.cpu.peaks.time.perf_counter", lambda: now[0])
    best, median = best_rate(work, 3.0)
    n = asked[-1]
    assert best == pytest.approx(median) == pytest.approx(3 * n / (0.001 + 0.0001 * n))
    assert 0.001 + 0.0001 * n >= 0.03 / 4
    assert asked[-15:] == [n] * 15


@pytest.mark.slow
def test_peaks_of_this_machine_are_plausible() -> None:
    rows = {row.quantity: row for row in measure_peaks(1)}
    assert {row.threads for row in rows.values()} == {1}
    assert 1e8 < rows["normals"].best < rows["signs"].best < 1e12
    assert rows["normals"].best < rows["multiply-adds"].best < 1e13
    assert rows["memory read, bytes"].best < 1e12
    assert all(row.median <= row.best for row in rows.values())

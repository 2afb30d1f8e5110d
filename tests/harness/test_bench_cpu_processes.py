"""A process an implementation: answers, errors, deaths, memory; and the rounds, memory and targets made of them."""

from __future__ import annotations

import math
import os
import signal
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from bench_standins import Clock

from freewalk.harness.bench.clock import Deadline
from freewalk.harness.bench.cpu import memory, remote, table, target, timings, worker
from freewalk.harness.bench.cpu.plan import Extent, quick
from freewalk.harness.bench.cpu.remote import Process, Remote, RemoteError
from freewalk.harness.bench.cpu.rows import TimingRow
from freewalk.harness.bench.cpu.table import Entry
from freewalk.harness.bench.cpu.timings import Staff, sample_rows, time_workload, time_workloads
from freewalk.harness.bench.peers.peer import Unavailable
from freewalk.harness.bench.rounds import Effort
from freewalk.harness.bench.workloads import Workload

SMALL = Workload("default", hidden=3, timesteps=2, batch_size=20)
EFFORT = Effort(seconds=0.001, rounds=4, most_seconds=1.0)
ONE = "freewalk-1" if "freewalk-1" in table.IMPLEMENTATIONS else table.OURS


def test_a_process_answers_as_the_implementation_does() -> None:
    with Process("numpy") as process:
        far, near = Remote(process), table.make("numpy")
        assert far.check(SMALL) == near.check(SMALL) <= far.largest_error
        loop, here = far.start(SMALL), near.start(SMALL)
        assert loop.steps_at_once == 1
        assert 0 < loop.measure(3) < 10
        here.measure(3)
        np.testing.assert_array_equal(loop.weights(), here.weights())
        loop.close()
        with pytest.raises(RemoteError, match="AssertionError"):
            process.ask("measure", 1)
        assert far.wants(SMALL)
        pid = process._process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_it_is_not_there() -> None:
    """A peer that cannot run says why when it is waited for."""
    with Process("freewalk-nowhere") as process, pytest.raises(RemoteError, match="KeyError"):
        process.wait_until_made()


def test_a_death_is_an_error_that_says_why() -> None:
    with Process(ONE) as process:
        process.wait_until_made()
        os.kill(process._process.pid, signal.SIGKILL)
        with pytest.raises(RemoteError, match="out of memory"):
            process.ask("check", SMALL)
    with Process(ONE) as process:
        process.wait_until_made()
        os.kill(process._process.pid, signal.SIGTERM)
        with pytest.raises(RemoteError, match="ended with -15"):
            process.ask("check", SMALL)


def test_threads_are_the_same_for_every_library() -> None:
    found = remote.environment(3)
    assert {found[name] for name in remote._THREAD_VARIABLES} == {"3"}
    assert "freewalk" not in found["PYTHONPATH"].split(":")[0].rsplit("/", 1)[-1]


def test_memory_is_what_a_step_takes_more() -> None:
    """20,000 perturbations of 64 weights by NumPy: 5 MB of noise, and its sums beside it; freewalk's stay small."""
    workload = replace(SMALL, batch_size=20_000)
    normals = 20_000 * workload.network.n_weights * 4
    rows = {name: memory.measure_one(name, workload, None) for name in ("numpy", ONE)}
    numpy, ours = rows["numpy"], rows[ONE]
    assert numpy is not None
    assert ours is not None
    assert numpy.growth_mb is not None
    assert ours.growth_mb is not None
    assert normals <= numpy.growth_mb * 1e6 <= 12 * normals
    assert numpy.bytes_a_perturbation == pytest.approx(numpy.growth_mb * 1e6 / 20_000)
    assert ours.growth_mb * 1e6 < normals / 2
    assert (numpy.limit_mb, numpy.note) == (None, "")
    assert numpy.ms_a_step is not None


def test_a_limit_stops_who_needs_more() -> None:
    workload = Workload("batch", batch_size=30_000)  # 138 MB of noise
    numpy, ours = (memory.measure_one(name, workload, 60_000_000) for name in ("numpy", ONE))
    assert numpy is not None
    assert ours is not None
    assert (numpy.growth_mb, numpy.note, numpy.limit_mb) == (None, "out of memory", 60)
    assert ours.note == ""
    assert ours.growth_mb is not None


def test_peers_that_are_missing_have_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(self: Any, message: str, *arguments: Any) -> Any:
        raise Unavailable("not installed here")

    monkeypatch.setattr(memory.Process, "ask", ask)
    assert memory.measure_one(ONE, SMALL, None) is None
    deadline = Deadline(0, Clock())
    assert [row.note for row in memory.measure_memory([ONE], deadline)] == ["not run: time limit"] * 2
    assert list(target.measure_targets([ONE], 1, Deadline(9, Clock()))) == []


@pytest.fixture
def extent() -> Extent:
    return replace(quick(), workloads=(SMALL,), names=(table.OURS, "generator", "numpy", "gone"), effort=EFFORT)


@pytest.fixture
def gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """An implementation that the processes do not know of, and one that needs more memory than there is."""
    entries = {**table.IMPLEMENTATIONS, "gone": Entry(lambda: table.make("numpy"), "peer", "", everywhere=True)}
    monkeypatch.setattr(timings, "IMPLEMENTATIONS", entries)
    monkeypatch.setattr("freewalk.harness.bench.cpu.plan.IMPLEMENTATIONS", entries)


@pytest.mark.usefixtures("gone")
def test_rows_of_a_workload(extent: Extent) -> None:
    staff = Staff()
    try:
        timed = time_workload(SMALL, extent, staff, Deadline(math.inf))
    finally:
        staff.close()
    assert "KeyError" in staff.missing["gone"]
    rows = {row.implementation: row for row in timed.rows}
    assert list(rows) == [table.OURS, "generator", "numpy"]
    ours, floor, numpy = rows[table.OURS], rows["generator"], rows["numpy"]
    assert {row.note for row in timed.rows} == {""}
    assert (ours.ratio, ours.ratio_q25, ours.ratio_q75) == (1, 1, 1)
    assert ours.median is not None
    assert ours.steps_per_second == pytest.approx(1000 / ours.median)
    assert ours.perturbations_per_second == pytest.approx(20 * 1000 / ours.median)
    samples = timed.samples
    pairs = zip(samples["generator"], samples[table.OURS], strict=True)
    assert ours.share_of_generator == pytest.approx(np.median([a / b for a, b in pairs]))
    assert ours.share_of_inference is None  # it took no part
    assert (floor.steps_per_second, floor.share_of_inference) == (None, None)
    pairs = zip(samples["numpy"], samples[table.OURS], strict=True)
    assert numpy.ratio == pytest.approx(np.median([a / b for a, b in pairs]))
    listed = list(sample_rows(timed))
    assert len(listed) == sum(map(len, samples.values())) == 12
    assert (listed[-1].implementation, listed[-1].round) == ("numpy", 3)
    assert listed[0].workload == ours.workload == "hidden 3, T 2, B 20"


def test_what_is_left_out_says_why(extent: Extent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timings, "free_bytes", lambda: 1000.0)
    staff = Staff()
    try:
        timed = time_workload(SMALL, replace(extent, names=(table.OURS, "numpy")), staff, Deadline(math.inf))
    finally:
        staff.close()
    ours, numpy = timed.rows
    assert ours.median is not None
    assert (numpy.median, numpy.rounds) == (None, 0)
    assert numpy.note.startswith("left out: needs about 0.0 GB")


def test_one_that_died_is_hired_again(extent: Extent) -> None:
    staff = Staff()
    names = replace(extent, names=(ONE, "numpy"))
    try:
        staff.hire(["numpy"])
        first = staff.get("numpy")._process
        first.kill()
        first.wait()
        timed = time_workload(SMALL, names, staff, Deadline(math.inf))
        assert [row.median is not None for row in timed.rows] == [True, False]
        timed = time_workload(SMALL, names, staff, Deadline(math.inf))
        assert [row.median is not None for row in timed.rows] == [True, True]
        assert staff.get("numpy")._process.pid != first.pid
    finally:
        staff.close()


def test_no_time_left(extent: Extent) -> None:
    rows = [timed.rows for timed in time_workloads(extent, Staff(), Deadline(0, Clock()))]
    assert [[row.note for row in some] for some in rows] == [["not run: time limit"]]
    assert isinstance(rows[0][0], TimingRow)


class Learner:
    """A loop whose weights go to the target's at once after so many steps."""

    steps_at_once = 2

    def __init__(self, steps: int) -> None:
        self._left = steps

    def measure(self, n_steps: int) -> float:
        assert n_steps % 2 == 0
        self._left -= n_steps
        return 0.25 * n_steps

    def weights(self) -> Any:
        return np.full((1, 1, 1), max(self._left, 0))

    def close(self) -> None:
        pass


def test_the_way_to_a_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked at every six steps, the least multiple of two that is at least five."""
    monkeypatch.setattr(target, "held_out_loss", lambda workload, weights: float(weights[0, 0]))
    assert target.walk_to_target(Learner(13), SMALL, 0.5) == (18, 4.5, 0.0)
    assert target.walk_to_target(Learner(0), SMALL, 0.5) == (0, 0.0, 0.0)
    assert target.walk_to_target(Learner(1000), SMALL, 0.5, most_steps=20) == (24, 6.0, 976.0)


def test_the_walk_s_best_settings_reach_the_target() -> None:
    (row,) = target.measure_targets([ONE], 2, Deadline(math.inf))
    assert (row.implementation, row.reached, row.seeds, row.note) == (ONE, 2, 2, "")
    assert row.steps is not None
    assert row.seconds is not None
    assert 30 <= row.steps <= 120  # 50 to 60
    assert 0 < row.seconds < 10


def test_a_target_that_is_not_reached_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "TARGET", 1e-9)
    monkeypatch.setattr(target, "_MOST_STEPS", 5)
    monkeypatch.setattr(target.walk_to_target, "__defaults__", (5,))
    (row,) = target.measure_targets([ONE], 1, Deadline(math.inf))
    assert (row.reached, row.seconds, row.ratio) == (0, None, None)
    assert row.note.startswith("not reached: 0.")
    assert row.note.endswith("after 5 steps")


def test_the_status_of_a_process() -> None:
    assert 1e6 < worker.status_bytes("VmRSS") < 1e11
    with pytest.raises(OSError, match="no VmNothing"):
        worker.status_bytes("VmNothing")

"""Calibration, rounds, statistics and rows of timings, on a clock that only the loops move."""

from __future__ import annotations

import math

import numpy as np
import pytest
from bench_standins import Clock, Contestant, Steps

from freewalk.harness.bench import rounds
from freewalk.harness.bench.clock import Deadline
from freewalk.harness.bench.contest import time_all, time_workload
from freewalk.harness.bench.rounds import Effort, Plan, calibrate, interleave, ratio, spread
from freewalk.harness.bench.workloads import DEFAULT, Workload, workloads

EFFORT = Effort(seconds=0.1, rounds=9, most_seconds=4.0)


def test_deadline() -> None:
    clock = Clock()
    deadline = Deadline(10, clock)
    half = deadline.share(0.5)
    clock.pass_(4)
    assert (deadline.left, deadline.spent, half.left) == (6, 4, 1)
    clock.pass_(1)
    assert half.passed
    assert not deadline.passed
    clock.pass_(100)
    assert deadline.left == 0


@pytest.mark.parametrize(
    ("seconds", "steps_at_once", "plan"),
    [
        (0.001, 1, Plan(100, 9)),
        (0.001, 50, Plan(100, 9)),
        (0.03, 1, Plan(4, 9)),
        (0.8, 1, Plan(1, 5)),
        (30.0, 1, Plan(1, 3)),
        (1e-9, 1, Plan(100_000, 9)),
    ],
)
def test_calibration(seconds: float, steps_at_once: int, plan: Plan) -> None:
    """As many calls as fill 0.1 s, at most 9 rounds, at most 4 s in all but at least three rounds."""
    assert calibrate(Steps(Clock(), seconds, steps_at_once=steps_at_once), EFFORT) == plan


def test_compilation_is_not_measured() -> None:
    assert calibrate(Steps(Clock(), 0.01, first_call=20.0), EFFORT) == Plan(10, 9)


def test_the_cost_of_a_call_is_spread_over_its_steps() -> None:
    """A call of 1 ms for which each step costs 0.1 ms: what looks like 91 steps is calibrated again to about 990."""

    class Called(Steps):
        def measure(self, n_steps: int) -> float:
            return super().measure(n_steps) + 0.001

    plan = calibrate(Called(Clock(), 0.0001), EFFORT)
    assert 970 < plan.n_steps <= 990


def test_rounds_visit_each_in_turn_and_slow_ones_less_often() -> None:
    clock, log = Clock(), []  # type: ignore[var-annotated]
    loops = {name: Steps(clock, seconds, log=log, name=name) for name, seconds in (("a", 1.0), ("b", 2.0))}
    samples, failures = interleave(loops, {"a": Plan(2, 4), "b": Plan(1, 2)}, Deadline(math.inf, clock))
    assert log == ["a", "b", "a", "b", "a", "a"]
    assert samples == {"a": [1.0] * 4, "b": [2.0] * 2}
    assert failures == {}


def test_a_measurement_begins_rested_and_awake(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the rest a tenth of the steps goes untimed, where calls are so short that there is a tenth."""
    events: list[tuple[str, float]] = []

    class Told(Steps):
        def measure(self, n_steps: int) -> float:
            events.append(("measure", n_steps))
            return super().measure(n_steps)

    monkeypatch.setattr(rounds.time, "sleep", lambda seconds: events.append(("sleep", seconds)))
    clock = Clock()
    loop = Told(clock, 0.5, steps_at_once=2)
    samples, _ = interleave({"a": loop}, {"a": Plan(50, 1, rest=0.2)}, Deadline(math.inf, clock))
    assert events == [("sleep", 0.2), ("measure", 4), ("measure", 50)]
    assert samples == {"a": [0.5]}
    events.clear()
    interleave({"a": loop}, {"a": Plan(18, 1)}, Deadline(math.inf, clock))
    assert events == [("sleep", 0.0), ("measure", 18)]
    assert calibrate(loop, Effort(rest=0.2)).rest == 0.2


def test_after_the_deadline_the_round_is_finished_and_no_other_begun() -> None:
    clock, log = Clock(), []  # type: ignore[var-annotated]
    loops = {name: Steps(clock, 1.0, log=log, name=name) for name in "abc"}
    samples, _ = interleave(loops, dict.fromkeys("abc", Plan(1, 9)), Deadline(4, clock))
    assert log == ["a", "b", "c"] * 2
    assert {name: len(times) for name, times in samples.items()} == {"a": 2, "b": 2, "c": 2}


def test_one_that_fails_is_dropped_and_the_others_go_on() -> None:
    clock = Clock()
    loops = {name: Steps(clock, 1.0) for name in "ab"}
    loops["a"].fails_at = 1
    samples, failures = interleave(loops, dict.fromkeys("ab", Plan(1, 3)), Deadline(99, clock))
    assert samples == {"b": [1.0] * 3}
    assert str(failures["a"]) == "CUDA error: out of memory"


def test_statistics() -> None:
    found = spread([4.0, 1.0, 2.0, 3.0, 10.0])
    assert (found.median, found.q25, found.q75, found.least, found.rounds) == (3, 2, 4, 1, 5)
    assert ratio([2.0, 8.0, 9.0], [1.0, 2.0, 3.0, 100.0]) == 3


def test_rows_of_a_workload() -> None:
    clock = Clock()
    workload = Workload("trials", n_trials=10)
    rows = time_workload(
        workload,
        {"freewalk": Contestant(Steps(clock, 0.002)), "slow": Contestant(Steps(clock, 0.01), error=2e-6)},
        EFFORT,
        Deadline(99, clock),
    )
    ours, slow = rows
    assert (ours.implementation, ours.workload, ours.n_trials, ours.rounds) == ("freewalk", "trials", 10, 9)
    assert (ours.median, ours.ratio_to_freewalk, ours.steps_a_round) == (pytest.approx(2), 1, 50)
    assert ours.trial_steps_per_second == pytest.approx(10 / 0.002)
    assert (slow.median, slow.ratio_to_freewalk, slow.relative_error) == (pytest.approx(10), pytest.approx(5), 2e-6)
    assert slow.q25 == slow.q75 == slow.least == pytest.approx(10)


def test_what_cannot_be_timed_says_why_and_gives_its_memory_back() -> None:
    clock = Clock()
    late, still, blown = Steps(clock, 0.01), Steps(clock, 0.01, moves=0.0), Steps(clock, 0.01, moves=math.inf)
    late.fails_at = 8
    early = Steps(clock, 0.01)
    early.fails_at = 1
    good = Steps(clock, 0.01)
    implementations = {
        "freewalk": Contestant(good),
        "no memory at the start": Contestant(MemoryError()),
        "no memory while warming": Contestant(early),
        "no memory while timed": Contestant(late),
        "jax": Contestant(RuntimeError("RESOURCE_EXHAUSTED: tried to allocate 99 GB")),
        "broken": Contestant(ValueError("no\nkernel"), error=1e-6),
        "fails its check": Contestant(good, error=KeyError("x")),
        "wrong": Contestant(good, error=0.01),
        "not a number": Contestant(good, error=math.nan),
        "does nothing": Contestant(still),
        "diverges": Contestant(blown),
        "elsewhere": Contestant(good, main_only=True),
    }
    rows = time_workload(Workload("batch", batch_size=5), implementations, EFFORT, Deadline(999, clock))
    notes = {row.implementation: row.note for row in rows if row.median is None}
    assert notes == {
        "no memory at the start": "out of memory",
        "no memory while warming": "out of memory",
        "no memory while timed": "out of memory",
        "jax": "out of memory",
        "broken": "failed: ValueError: no kernel",
        "fails its check": "failed: KeyError: 'x'",
        "wrong": "wrong: relative error 1.0e-02 of an update",
        "not a number": "wrong: relative error nan of an update",
        "does nothing": "wrong: the weights did not move, or are not finite",
        "diverges": "wrong: the weights did not move, or are not finite",
    }
    assert all(steps.closed for steps in (good, late, early, still, blown))


def test_freewalk_is_timed_even_when_its_update_is_wrong() -> None:
    clock = Clock()
    (row,) = time_workload(
        DEFAULT, {"freewalk": Contestant(Steps(clock, 0.01), error=0.5)}, EFFORT, Deadline(99, clock)
    )
    assert row.median == pytest.approx(10)
    assert row.note.startswith("wrong")


def test_ratios_are_missing_where_freewalk_failed() -> None:
    clock = Clock()
    implementations = {"freewalk": Contestant(MemoryError()), "other": Contestant(Steps(clock, 0.01))}
    ours, other = time_workload(DEFAULT, implementations, EFFORT, Deadline(99, clock))
    assert (ours.median, ours.note) == (None, "out of memory")
    assert other.median is not None
    assert other.ratio_to_freewalk is None


def test_time_is_spent_on_the_first_workloads() -> None:
    """A workload takes 0.1 s a call, (2 + 1) + 9 of them: 1.2 s. After two, half of that is no longer left."""
    clock = Clock()
    ours = Contestant(Steps(clock, 0.1))
    sizes = [Workload("batch", batch_size=n) for n in (1, 2, 3, 4)]
    rows = list(time_all(sizes, {"freewalk": ours}, EFFORT, Deadline(2.9, clock)))
    assert [(row.batch_size, row.median is not None, row.note) for row in rows] == [
        (1, True, ""),
        (2, True, ""),
        (3, False, "not run: time limit"),
        (4, False, "not run: time limit"),
    ]
    assert [workload.batch_size for workload in ours.workloads] == [1, 2]


def test_implementations_that_come_after_the_deadline_are_not_prepared() -> None:
    clock = Clock()
    slow, late = Contestant(Steps(clock, 0.1, first_call=50.0)), Contestant(Steps(clock, 0.1))
    rows = time_workload(DEFAULT, {"freewalk": slow, "late": late}, EFFORT, Deadline(20, clock))
    assert [row.note for row in rows] == ["", "not run: time limit"]
    assert rows[0].rounds == 1
    assert late.workloads == []


def test_workloads() -> None:
    full, quick = workloads(quick=False), workloads(quick=True)
    assert full[0] == quick[0] == DEFAULT
    assert len(set(full)) == len(full) == 15
    assert set(quick) <= set(full)
    for family, name, wanted in (
        ("trials", "n_trials", {16, 132, 528, 2112}),
        ("batch", "batch_size", {10**4, 10**5, 10**6}),
        ("hidden", "hidden", {62, 126, 254, 510, 1022}),
        ("timesteps", "timesteps", {20, 100}),
    ):
        assert {getattr(w, name) for w in full if w.family == family} == wanted
        others = {"n_trials", "batch_size", "hidden", "timesteps"} - {name}
        assert all(getattr(w, k) == getattr(DEFAULT, k) for w in full if w.family == family for k in others)
    assert [w for w in full if w.is_main] == [
        DEFAULT,
        Workload("trials", n_trials=132),
        Workload("trials", n_trials=2112),
    ]
    assert np.all(np.diff([w.n_trials for w in full if w.is_main]) > 0)

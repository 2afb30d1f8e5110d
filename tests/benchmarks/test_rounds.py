"""Calibration and rounds, on a clock that only the loops move; workloads; NumPy's step beside the walk's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.contest import clock, replay
from freewalk.harness import bench
from freewalk.harness.bench import DEFAULT, Effort, Plan, Workload, beside_numpy, calibrate, interleave, spread
from freewalk.kernels.backend import resolve_backend

EFFORT = Effort(seconds=0.1, rounds=9, most_seconds=4.0, rest=0.0)


class Steps:
    """A loop that takes so many seconds a step and so many more a call."""

    def __init__(self, seconds: float, *, at_once: int = 1, first_call: float = 0.0, call: float = 0.0) -> None:
        self.steps_at_once, self.calls, self.fails_at = at_once, [], 10**9  # type: ignore[var-annotated]
        self._seconds, self._first, self._call = seconds, first_call, call

    def measure(self, n_steps: int) -> float:
        assert n_steps % self.steps_at_once == 0
        self.calls.append(n_steps)
        if len(self.calls) > self.fails_at:
            raise RuntimeError("out of memory")
        return n_steps * self._seconds + self._call + self._first * (len(self.calls) == 1)

    def weights(self) -> Any:
        return np.zeros((1, 1, 1))

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("seconds", "at_once", "plan"),
    [
        (0.001, 1, Plan(100, 9, 0.0, 10)),
        (0.001, 50, Plan(100, 9, 0.0, 50)),
        (0.03, 1, Plan(4, 9, 0.0, 1)),
        (0.8, 1, Plan(1, 5, 0.0, 0)),
        (30.0, 1, Plan(1, 3, 0.0, 0)),
        (1e-9, 1, Plan(100_000, 9, 0.0, 10_000)),
    ],
)
def test_calibration(seconds: float, at_once: int, plan: Plan) -> None:
    """As many calls as fill 0.1 s, a tenth to wake, at most 9 rounds and 4 s in all but at least three rounds."""
    assert calibrate(Steps(seconds, at_once=at_once), EFFORT) == plan


def test_compilation_is_not_measured() -> None:
    assert calibrate(Steps(0.01, first_call=20.0), EFFORT).n_steps == 10


def test_the_cost_of_a_call_is_spread_over_its_steps() -> None:
    """A call of 1 ms for which each step costs 0.1 ms: what looks like 91 steps is calibrated again to about 990."""
    assert 970 < calibrate(Steps(0.0001, call=0.001), EFFORT).n_steps <= 990


def test_rounds_visit_each_in_turn_and_slow_ones_less_often() -> None:
    found = list(interleave({"a": Steps(1.0), "b": Steps(2.0)}, {"a": Plan(2, 4, 0, 0), "b": Plan(1, 2, 0, 0)}))
    assert found == [("a", 1.0), ("b", 2.0), ("a", 1.0), ("b", 2.0), ("a", 1.0), ("a", 1.0)]


def test_a_measurement_begins_rested_and_awake(monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []
    monkeypatch.setattr(bench.time, "sleep", rests.append)
    loop = Steps(0.5, at_once=2)
    assert list(interleave({"a": loop}, {"a": Plan(50, 1, 0.2, 6)})) == [("a", 0.5)]
    assert (rests, loop.calls) == ([0.2], [6, 50])


def test_one_that_fails_is_dropped_and_the_others_go_on() -> None:
    loops = {name: Steps(1.0) for name in "ab"}
    loops["a"].fails_at = 1
    found = [(name, str(one)) for name, one in interleave(loops, dict.fromkeys("ab", Plan(1, 3, 0, 0)))]
    assert found == [("a", "1.0"), ("b", "1.0"), ("a", "out of memory"), ("b", "1.0"), ("b", "1.0")]


def test_a_spread_is_quartiles_around_the_median() -> None:
    assert spread([4.0, 1.0, 2.0, 3.0, 10.0]) == (2, 3, 4)


def test_labels() -> None:
    assert DEFAULT.label == "default"
    assert Workload(254, 100, 10_000, 16, 0.1).label == "hidden 254, T 100, B 10,000, trials 16"


def test_the_walk_beside_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "Effort", lambda rounds: Effort(0.001, rounds, 0.1, 0.0))
    (row,) = beside_numpy(resolve_backend("cpu"), (Workload(hidden=3, timesteps=2, batch_size=20),))
    for low, middle, high in row[1:]:
        assert 0 < low <= middle <= high
    assert row.ratio[1] == pytest.approx(row.numpy_milliseconds[1] / row.milliseconds[1], rel=2)


def test_who_ran_out_of_memory_leaves_the_times_of_the_others_alone() -> None:
    class Rounds:
        def pedantic(self, work: Any, rounds: int) -> None:
            self.seconds = []
            for _ in range(rounds):
                start = clock()
                work()
                self.seconds.append(clock() - start)

    out_of_memory, next_one = Rounds(), Rounds()
    replay(out_of_memory, [float("nan")])
    replay(next_one, [0.25, 0.5])
    assert np.isnan(out_of_memory.seconds).all()
    assert next_one.seconds == [0.25, 0.5]

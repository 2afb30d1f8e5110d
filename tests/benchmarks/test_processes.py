"""A process an implementation: answers, errors, deaths, memory; and the contests and targets made of them."""

from __future__ import annotations

import importlib.util
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks import contest as contests
from benchmarks import processes, test_target
from benchmarks.contest import Contest, Outcome
from benchmarks.implementations import IMPLEMENTATIONS, OURS, WORKLOADS, taking_part
from benchmarks.own import Own
from benchmarks.processes import Process, RemoteError
from benchmarks.test_memory import measure
from freewalk.harness.bench import DEFAULT, Effort, Workload

SMALL = Workload(hidden=3, timesteps=2, batch_size=20)
EFFORT = Effort(seconds=0.001, rounds=4, most_seconds=1.0, rest=0.0)
ONE = "freewalk-1" if "freewalk-1" in IMPLEMENTATIONS else OURS["cpu"]


def test_a_process_answers_as_the_implementation_does() -> None:
    with Process("numpy") as process:
        near = IMPLEMENTATIONS["numpy"].make()
        error, allowed = process.ask("check", SMALL)
        assert error == near.check(SMALL) <= allowed
        loop, here = process.start(SMALL), near.start(SMALL)
        assert loop.steps_at_once == 1
        assert 0 < loop.measure(3) < 10
        here.measure(3)
        np.testing.assert_array_equal(loop.weights(), here.weights())
        loop.close()
        with pytest.raises(RemoteError, match="AssertionError"):
            process.ask("measure", 1)
        pid = process._process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(("sign", "words"), [(signal.SIGKILL, "out of memory"), (signal.SIGTERM, "ended with -15")])
def test_a_death_is_an_error_that_says_why(sign: int, words: str) -> None:
    with Process(ONE) as process:
        process.wait_until_made()
        os.kill(process._process.pid, sign)
        with pytest.raises(RemoteError, match=words):
            process.ask("check", SMALL)


def test_threads_are_the_same_for_every_library() -> None:
    found = processes.environment(3, "cpu")
    assert {found[name] for name in processes._THREAD_VARIABLES} == {"3"}


def test_errors_in_few_words() -> None:
    assert processes.short_error(ValueError("no\n  kernel")) == "ValueError: no kernel"
    assert processes.short_error(RuntimeError("RESOURCE_EXHAUSTED: tried 99 GB")) == "out of memory"
    assert processes.short_error(MemoryError()) == "out of memory"


def test_memory_is_what_a_step_takes_more() -> None:
    """20,000 perturbations of 64 weights by NumPy: 5 MB of noise, and its sums beside it; freewalk's stay small."""
    workload = replace(SMALL, batch_size=20_000)
    normals = 20_000 * workload.network.n_weights * 4
    (_, theirs), (_, ours) = (measure(name, workload, None) for name in ("numpy", ONE))
    assert theirs is not None
    assert ours is not None
    assert normals <= theirs <= 12 * normals
    assert ours < normals / 2


def test_a_limit_stops_who_needs_more() -> None:
    workload = Workload(batch_size=30_000)  # 138 MB of noise
    theirs, ours = (measure(name, workload, 60_000_000)[1] for name in ("numpy", ONE))
    assert theirs is None
    assert ours is not None


@pytest.fixture
def contest() -> Iterator[Contest]:
    found = Contest()
    yield found
    found.close()


def run(contest: Contest, *names: str) -> dict[str, Outcome]:
    return dict(contest.run("cpu", SMALL, names, EFFORT))


@pytest.mark.slow
def test_all_are_checked_and_timed(contest: Contest) -> None:
    found = run(contest, OURS["cpu"], "generator", "inference", "numpy", "reference")
    for outcome in found.values():
        assert (outcome.absent, outcome.wrong) == ("", "")
        assert len(outcome.seconds) == 4
        assert outcome.error is not None
        assert 0 < outcome.error < 1e-4
        assert outcome.steps >= 1


def test_trials_of_one_seed_and_of_seeds_of_their_own(contest: Contest) -> None:
    workload = replace(SMALL, n_trials=3)
    found = contest.run("cpu", workload, ["freewalk-alone", "freewalk-shared"], EFFORT)
    assert found["freewalk-shared"].error == 0
    assert found["freewalk-alone"].error < 1e-4  # type: ignore[operator]
    assert all(len(outcome.seconds) == 4 for outcome in found.values())


def test_rank_1_beside_full_rank_and_what_each_holds(contest: Contest) -> None:
    """20,000 datapoints: 5.1 MB of full noise, of rank 1 a quarter of it; freewalk's stays small."""
    workload = replace(SMALL, batch_size=20_000, rank=1)
    names = ["freewalk-rademacher", "numpy-rademacher", "freewalk-full", "generator-rademacher", "inference"]
    found = contest.run("cpu", workload, names, EFFORT)
    assert all(outcome.error is not None and outcome.error < 1e-4 for outcome in found.values())
    ours, theirs = found["freewalk-rademacher"].memory, found["numpy-rademacher"].memory
    assert ours is not None
    assert theirs is not None
    assert 1_000_000 < theirs < 20_000_000
    assert ours < theirs
    assert not [name for name in taking_part("cpu", replace(DEFAULT, rank=1)) if "xoshiro" in name]
    assert "freewalk-full" not in taking_part("cpu", Workload(hidden=254, timesteps=100, rank=1))


def test_one_that_died_is_wrong_once_and_hired_again(contest: Contest) -> None:
    run(contest, "numpy")
    contest._processes["numpy"]._process.terminate()
    contest._processes["numpy"]._process.wait()
    found = run(contest, ONE, "numpy")
    assert "ended with -15" in found["numpy"].wrong
    assert found[ONE].seconds
    assert run(contest, "numpy")["numpy"].seconds


def test_who_needs_more_memory_than_there_is_is_left_out(contest: Contest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contests, "free_bytes", lambda: 1000.0)
    found = run(contest, ONE, "numpy")
    assert found[ONE].seconds
    assert found["numpy"].absent.startswith("left out: needs about 0.0 GB")


class FakeProcess:
    """A process that is what its name says."""

    def __init__(self, name: str) -> None:
        self._name, self.steps_at_once, self._taken = name, 1, 0.0

    def wait_until_made(self) -> None:
        if self._name == "jax":
            raise contests.Unavailable("not installed here")

    def ask(self, message: str, *_: object) -> Any:
        if message == "growth":
            return 7
        return {"numpy": 0.01, "torch": math.nan}.get(self._name, 1e-6), 1e-4

    def start(self, workload: Workload) -> Any:
        if self._name == "evosax":
            raise RemoteError("out of memory")
        return self

    def measure(self, n_steps: int) -> float:
        self._taken += {"torch-func": 0.0, "jax-rbg": math.inf}.get(self._name, 1.0)
        return 0.001 * n_steps

    def weights(self) -> Any:
        return np.array([self._taken])

    def close(self) -> None:
        pass

    end = close


def test_what_cannot_be_timed_says_why(contest: Contest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contests, "Process", FakeProcess)
    names = ("freewalk", "numpy", "torch", "jax", "evosax", "torch-func", "jax-rbg")
    found = run(contest, *names)
    assert found["freewalk"].seconds == [pytest.approx(0.001)] * 4
    assert (found["freewalk"].memory, found["numpy"].memory) == (7, None)
    assert found["numpy"].wrong == "relative error 1.0e-02 of an update, 1e-04 is allowed"
    assert found["torch"].wrong.startswith("relative error nan")
    assert (found["jax"].absent, found["evosax"].absent) == ("not installed here", "out of memory")
    assert found["torch-func"].wrong == found["jax-rbg"].wrong == "the weights did not move, or are not finite"


def test_a_gpu_that_is_not_there_starts_nothing(contest: Contest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contests, "why_unusable", lambda: "no NVIDIA GPU was found")
    found = contest.run("cuda", DEFAULT, taking_part("cuda", DEFAULT), EFFORT)
    assert {outcome.absent for outcome in found.values()} == {"no NVIDIA GPU was found"}


def test_a_wrong_step_of_our_own_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Own("cpu").check(SMALL) < 1e-5
    start = Own.start

    def wrong(self: Own, workload: Workload, seed: int = 1) -> Any:
        factor = 1.01 if self.backend == "cpu" else 1.0
        return start(self, replace(workload, stddev=factor * workload.stddev), seed)

    monkeypatch.setattr(Own, "start", wrong)
    assert Own("cpu").check(SMALL) > 1e-3


def test_the_way_to_a_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked at every six steps, the least multiple of two that is at least five."""

    class Learner:
        steps_at_once = 2

        def __init__(self, steps: int) -> None:
            self._left = steps

        def measure(self, n_steps: int) -> float:
            self._left -= n_steps
            return 0.25 * n_steps

        def weights(self) -> Any:
            return np.full((1, 1, 1), max(self._left, 0))

        def close(self) -> None:
            pass

    monkeypatch.setattr(test_target, "held_out_loss", lambda workload, weights: float(weights[0, 0]))
    assert test_target.walk_to_target(Learner(13), SMALL, 0.5) == (18, 4.5)
    assert test_target.walk_to_target(Learner(0), SMALL, 0.5) == (0, 0.0)
    with pytest.raises(AssertionError, match="after 24 steps"):
        test_target.walk_to_target(Learner(1000), SMALL, 0.5, most_steps=20)


def test_the_walk_s_best_settings_reach_the_target() -> None:
    loop = Own("cpu", 1).start(test_target.WORKLOAD)
    steps, seconds = test_target.walk_to_target(loop, test_target.WORKLOAD, test_target.TARGET)
    assert 30 <= steps <= 120  # 50 to 60
    assert 0 < seconds < 10


def test_every_workload_begins_with_freewalk_and_its_numpy() -> None:
    for device, workloads in WORKLOADS.items():
        assert workloads[0] == DEFAULT
        assert len(set(workloads)) == len(workloads)
        for workload in workloads:
            first = taking_part(device, workload)[0]
            assert first == ("freewalk-alone" if device == "cpu" and workload.n_trials > 1 else OURS[device])
    for entry in IMPLEMENTATIONS.values():
        assert {entry.generator, entry.inference} - {None} <= {*IMPLEMENTATIONS}


SIMULATED = """
from dataclasses import replace
from benchmarks.own import Own
from freewalk.harness.bench import Workload
tiny = Workload(hidden=2, timesteps=2, batch_size=3)
errors = [Own("cuda").check(some) for some in (tiny, replace(tiny, n_trials=2))]
errors.append(Own("cuda", always_batch=True).check(tiny))
assert max(errors) < 1e-4, errors
"""


@pytest.mark.skipif(importlib.util.find_spec("numba_cuda") is None, reason="numba-cuda is not installed")
def test_the_cuda_kernels_take_the_same_steps() -> None:
    """In Numba's simulator: names, arguments and results; speed and most sizes are for a GPU."""
    variables = processes.environment(1, "cuda") | {"NUMBA_ENABLE_CUDASIM": "1"}
    done = subprocess.run([sys.executable, "-c", SIMULATED], env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]

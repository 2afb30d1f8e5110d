"""The engine: events and their order, threads, stopping, the trial that is left alone."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from freewalk.harness.engine import engine as engine_module
from freewalk.harness.engine import work as group_module
from freewalk.harness.engine.engine import Engine
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.plan import Plan, Trial
from freewalk.harness.trial import events as events_module
from freewalk.harness.trial import trial as trial_module
from freewalk.harness.trial.events import Advanced, Event, Failed, Finished, Standing, Started, Stopped
from freewalk.kernels.backend import Backend, resolve_backend

MakePlan = Callable[..., Plan]

CPU = resolve_backend("cpu")
SHORT = Budget(epochs=2, steps_per_epoch=3, evaluation_points=16)
LONG = Budget(epochs=1, steps_per_epoch=100_000, evaluation_points=16, target=-1.0)


def trials_of(plan: MakePlan, n: int, *specs: str) -> tuple[Trial, ...]:
    return plan("batch_size=4", "hidden=3", *specs, tasks=["xor"], seeds=range(n)).trials


def slow_trials_of(plan: MakePlan, n: int) -> tuple[Trial, ...]:
    return plan(tasks=["shifted-sums"], seeds=range(n)).trials


def test_every_trial_starts_before_it_finishes_and_comes_once(plan: MakePlan) -> None:
    trials = trials_of(plan, 20)
    events = list(Engine(replace(CPU, workers=3), SHORT).run(trials))
    assert len(events) == 40
    begun: set[str] = set()
    at_once = 0
    open_now: set[str] = set()
    for event in events:
        name = event.trial.trial_id
        if isinstance(event, Started):
            assert name not in begun
            begun.add(name)
            open_now.add(name)
        else:
            assert isinstance(event, Finished)
            open_now.remove(name)
        at_once = max(at_once, len(open_now))
    assert begun == {trial.trial_id for trial in trials}
    assert not open_now
    assert at_once <= 3
    starts = [event.trial.position for event in events if isinstance(event, Started)]
    assert [trial.position for trial in trials] == sorted(starts)


def test_no_trials_no_events() -> None:
    assert list(Engine(CPU, SHORT).run([])) == []


def values(events: list[Event]) -> dict[str, Any]:
    return {
        event.trial.trial_id: [(p.step, p.split, p.metric, p.value) for p in event.result.curve]
        for event in events
        if isinstance(event, Finished)
    }


def test_order_and_threads_change_no_bit(plan: MakePlan) -> None:
    trials = trials_of(plan, 4, "stddev=0.1,0.5", "update=normalised")
    one = values(list(Engine(replace(CPU, workers=1), SHORT).run(trials)))
    assert len(one) == 8
    assert values(list(Engine(replace(CPU, workers=4), SHORT).run(trials[::-1]))) == one
    for trial in trials[::3]:
        assert values(list(Engine(CPU, SHORT).run([trial]))) == {trial.trial_id: one[trial.trial_id]}


def test_an_error_fails_its_trial_only(plan: MakePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    make_walk = Backend.make_walk

    def broken(self: Backend, *arguments: Any, **options: Any) -> Any:
        if options["seed"] == 2:
            raise MemoryError("no room for 2")
        return make_walk(self, *arguments, **options)

    monkeypatch.setattr(Backend, "make_walk", broken)
    events = list(Engine(CPU, SHORT).run(trials_of(plan, 5)))
    (failed,) = (event for event in events if isinstance(event, Failed))
    assert failed.trial.seed == 2
    assert failed.error.startswith("MemoryError: no room for 2 (test_engine.py, line ")
    assert Counter(type(event) for event in events) == {Started: 5, Finished: 4, Failed: 1}


def test_stop_ends_what_runs_and_starts_nothing_more(plan: MakePlan) -> None:
    engine = Engine(CPU, LONG)
    events: list[Event] = []
    for event in engine.run(slow_trials_of(plan, 20)):
        events.append(event)
        if len(events) == 1:
            threading.Timer(0.3, engine.stop).start()
            start = time.perf_counter()
    assert time.perf_counter() - start < 6
    kinds = Counter(type(event) for event in events)
    assert kinds[Started] == kinds[Stopped] <= CPU.workers
    assert kinds[Finished] == 0


def test_a_consumer_that_leaves_finds_the_rest_in_the_drain(plan: MakePlan) -> None:
    before = threading.active_count()
    engine = Engine(CPU, LONG)
    events = engine.run(slow_trials_of(plan, 6))
    first = next(events)
    time.sleep(0.2)
    start = time.perf_counter()
    events.close()
    assert time.perf_counter() - start < 6
    assert threading.active_count() == before, "its threads are gone"
    rest = list(engine.drain())
    kinds = Counter(type(event) for event in [first, *rest])
    assert kinds[Started] == kinds[Stopped] > 0
    assert list(engine.drain()) == []


def test_the_last_trial_takes_over_the_idle_threads(plan: MakePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_module, "_WORTH_SPREADING_SECONDS", 0.0)
    monkeypatch.setattr(trial_module, "SECONDS_BETWEEN_CHECKS", 1e-4)
    spread: list[int] = []
    walks: list[Any] = []
    make_walk, really_spread = Backend.make_walk, Backend.spread

    def remember(self: Backend, *arguments: Any, **options: Any) -> Any:
        walks.append(make_walk(self, *arguments, **options))
        return walks[-1]

    def count(self: Backend, walk: Any) -> float:
        seconds = really_spread(self, walk)
        spread.append(walk.threads)
        return seconds

    monkeypatch.setattr(Backend, "make_walk", remember)
    monkeypatch.setattr(Backend, "spread", count)
    budget = Budget(epochs=2, steps_per_epoch=10, evaluation_points=16, target=-1.0)
    trials = plan("batch_size=2048", "update=normalised", tasks=["shifted-sums"], seeds=[0]).trials

    assert not [event.error for event in Engine(CPU, budget).run(trials) if isinstance(event, Failed)]
    assert spread, "the trial was alone and was spread"
    assert set(spread) == {CPU.workers}, "whether it stayed so depends on who else is at the processors"

    monkeypatch.setattr(trial_module, "_WORTH_SPREADING_SECONDS", 1e9)
    spread.clear()
    list(Engine(CPU, budget).run(trials))
    assert not spread
    assert walks[1].threads == 1
    assert np.array_equal(walks[0].weights, walks[1].weights)


def test_trials_that_are_not_alone_are_not_spread(plan: MakePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    alone: list[bool] = []
    is_alone = Engine._is_alone

    def watch(self: Engine) -> bool:
        answer = is_alone(self)
        with self._changed:
            alone.append(answer)
            assert not (answer and self._waiting)
        return False

    monkeypatch.setattr(Engine, "_is_alone", watch)
    monkeypatch.setattr(engine_module, "spread_if_worth", lambda *_: pytest.fail("spread beside others"))
    events = list(Engine(CPU, SHORT).run(trials_of(plan, 6)))
    assert not [event for event in events if isinstance(event, Failed)]
    assert alone


def test_a_step_of_a_huge_batch_is_left_when_the_consumer_stops(plan: MakePlan) -> None:
    trials = plan("batch_size=400000000", "hidden=2", "timesteps=1", tasks=["xor"], seeds=[0]).trials
    engine = Engine(CPU, SHORT)
    events = engine.run(trials)
    assert isinstance(next(events), Started)
    time.sleep(0.2)
    start = time.perf_counter()
    events.close()
    assert time.perf_counter() - start < 6, "the step takes half a minute"
    assert [type(event) for event in engine.drain()] == [Stopped]


def test_trials_under_way_are_reported(plan: MakePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone and together: steps that grow, the held-out loss, seconds, and each point of a curve once."""
    monkeypatch.setattr(engine_module, "_SECONDS_BETWEEN_REPORTS", 0.0)
    monkeypatch.setattr(engine_module, "_SECONDS_OF_A_REPORT", 0.0)
    monkeypatch.setattr(events_module, "_SECONDS_BETWEEN_CURVES", 0.0)
    monkeypatch.setattr(trial_module, "SECONDS_BETWEEN_CHECKS", 1e-4)
    monkeypatch.setattr(group_module, "SECONDS_BETWEEN_CHECKS", 1e-4)
    monkeypatch.setattr(engine_module, "_MOST_EVENTS", 10**6)
    for specs in ((), ("stddev=0.1,0.5",)):
        trials = trials_of(plan, 2, "update=normalised", *specs)
        told: dict[str, list[Standing]] = {trial.trial_id: [] for trial in trials}
        for event in Engine(replace(CPU, workers=2), SHORT.model_copy(update={"target": -1.0})).run(trials):
            if isinstance(event, Advanced):
                for standing in event.standings:
                    told[standing.trial.trial_id].append(standing)
            elif isinstance(event, Finished):
                standings, curve = told[event.trial.trial_id], event.result.curve
                steps = [standing.step for standing in standings]
                assert steps == sorted(steps)
                assert steps[-1] > 0
                assert standings[-1].seconds > 0
                points = [point for standing in standings for point in standing.curve]
                assert points == curve[: len(points)]
                assert points
                assert standings[-1].loss in {p.value for p in points if (p.split, p.metric) == ("heldout", "loss")}
        assert all(told.values())


def test_a_report_waits_for_nobody(plan: MakePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the consumer is busy, trials go on, and what would be said of them is left out."""
    monkeypatch.setattr(engine_module, "_SECONDS_BETWEEN_REPORTS", 0.0)
    monkeypatch.setattr(engine_module, "_SECONDS_OF_A_REPORT", 0.0)
    monkeypatch.setattr(engine_module, "_MOST_EVENTS", 4)
    engine = Engine(replace(CPU, workers=1), SHORT.model_copy(update={"target": -1.0, "steps_per_epoch": 50}))
    events = engine.run(slow_trials_of(plan, 1))
    first = next(events)
    time.sleep(0.3)
    rest = list(events)
    assert isinstance(first, Started)
    assert isinstance(rest[-1], Finished)

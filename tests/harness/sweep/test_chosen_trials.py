"""Sweeps whose trials run when, and as far as, somebody chooses: to the ends that they would come to anyway."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from disturbed import assert_same_tables, states

from freewalk.harness.base.checkpoint import Checkpoint
from freewalk.harness.base.interrupts import TRAINING
from freewalk.harness.engine.engine import Engine
from freewalk.harness.plan.configuration import SweepConfiguration, resolve
from freewalk.harness.plan.plan import Trial
from freewalk.harness.sweep import Opened, Sweep
from freewalk.harness.trial import chosen as chosen_module
from freewalk.harness.trial.chosen import Batch, Choose
from freewalk.harness.trial.events import Event, Failed, Finished, Paused, Saved
from freewalk.harness.trial.history import FAILED, History
from freewalk.kernels.backend import Backend
from freewalk.results.store.store import Store

Histories: TypeAlias = Mapping[str, History]
SPECS = ("hidden=3", "batch_size=4", "optimizer=adam", "learning_rate=0.01,0.3")


def made(**options: Any) -> SweepConfiguration:
    given = {"tasks": ["and"], "seeds": [0, 1], "epochs": 5, "steps_per_epoch": 20, "evaluation_points": 32}
    return resolve(SPECS, backend="cpu", **{**given, "methods": ["walk", "backprop"], **options})


UNMET = made(methods=["walk"], target=-1.0)
"""Four trials in two packs, which end after 100 steps of 8 evaluations."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight trials run as ever, some of which reach the target; only to be read."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    list(Sweep(made(), folder).run())
    with Store.open(folder, read_only=True) as store:
        assert {*store.trials()["reached"]} == {True, False}
    return folder


def everybody(trials: Sequence[Trial], cap: float | None = None) -> Batch:
    return Batch(trials, {} if cap is None else dict.fromkeys((trial.trial_id for trial in trials), cap))


def stairs(*caps: float, end: bool = True) -> Choose:
    """Run all as far as some caps, one after another, and then to their ends."""

    def choose(trials: Sequence[Trial], histories: Histories) -> Iterator[Batch]:
        for cap in caps:
            yield everybody(trials, cap)
            assert all(histories[trial.trial_id].tells(cap) for trial in trials)
        if end:
            yield everybody(trials)
            assert all(histories[trial.trial_id].ended for trial in trials)

    return choose


def steps_saved(folder: Path) -> dict[str, int]:
    with Store.open(folder, read_only=True) as store:
        every = store.trials()["trial_id"]
        return {name: Checkpoint.from_bytes(data, name).step for name, data in store.checkpoints(every)}


def of(kind: type[Any], events: Sequence[Opened | Event]) -> list[str]:
    return [event.trial.trial_id for event in events if isinstance(event, kind)]


def test_what_is_chosen_runs_as_far_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, History]] = []
    starts: list[dict[str, int]] = []
    run = Engine.run

    def watched(self: Engine, trials: Any, checkpoints: Mapping[str, Checkpoint], pauses: Any) -> Any:
        starts.append({name: one.step for name, one in checkpoints.items()})
        return run(self, trials, checkpoints, pauses)

    monkeypatch.setattr(Engine, "run", watched)

    def choose(trials: Sequence[Trial], histories: Histories) -> Iterator[Batch]:
        one, two, three, _ = trials
        seen.append(dict(histories))
        yield Batch([one, two], {one.trial_id: 100.0})
        seen.append(dict(histories))
        yield Batch([three], {three.trial_id: 3.0, two.trial_id: 1.0})
        seen.append(dict(histories))
        yield Batch([one], {one.trial_id: 200.0})
        seen.append(dict(histories))

    sweep = Sweep(UNMET, tmp_path, choose=choose)
    one, two, three, _ = (trial.trial_id for trial in sweep.plan.trials)
    events = list(sweep.run())
    assert of(Finished, events) == [two]
    assert of(Paused, events) == [one, three, one]
    assert [sorted(known) for known in seen] == [[], sorted([one, two]), *[sorted([one, two, three])] * 2]
    looks = [known[one].evaluations[-1] for known in seen[1:]]
    assert looks == [96.0, 96.0, 200.0], "a cap may be met"
    assert starts == [{}, {}, {one: 12}], "what was trained is not trained again"
    assert seen[1][two].ended
    assert (seen[2][three].evaluations, seen[2][three].next_look) == ((0.0,), 8.0)
    assert not seen[3][one].ended
    by_id = dict(zip(sweep.tables["trials"]["trial_id"], sweep.tables["trials"]["state"], strict=True))
    assert by_id == {one: "interrupted", two: "complete", three: "interrupted"}
    assert steps_saved(tmp_path) == {one: 25, three: 0}


def test_pauses_change_no_bit(tmp_path: Path, whole: Path) -> None:
    list(Sweep(made(), tmp_path / "out", choose=stairs(3.0, 40.0, 41.0, 300.0)).run())
    assert_same_tables(tmp_path / "out", whole)
    assert not steps_saved(tmp_path / "out")


def test_a_later_run_goes_on_with_what_was_known(tmp_path: Path, whole: Path) -> None:
    known: dict[str, dict[str, History]] = {}

    def then(name: str, choose: Choose) -> list[Opened | Event]:
        def remember(trials: Sequence[Trial], histories: Histories) -> Iterator[Batch]:
            known[name] = dict(histories)
            yield from choose(trials, histories)
            known[f"{name}, after"] = dict(histories)

        return list(Sweep(made(), tmp_path / "out", choose=remember).run())

    first = then("first", stairs(100.0, end=False))
    waiting = {*of(Paused, first)}
    assert waiting == steps_saved(tmp_path / "out").keys(), "small ones are stored when the sweep is left"
    second = then("second", stairs(50.0, 100.0, 200.0))
    assert known["second"] == known["first, after"]
    opened = second[0]
    assert isinstance(opened, Opened)
    assert opened.resumed.keys() == waiting
    assert {opened.resumed[name] * 8 for name in waiting} >= {96}, "they go on, and do not start again"
    assert_same_tables(tmp_path / "out", whole)
    third = then("third", stairs(100.0))
    assert known["third"] == known["second, after"]
    assert len(third) == 1, "nothing is left to run"


@pytest.mark.parametrize("why", ["small", "large", "long"])
def test_what_waits_is_stored_at_once_only_if_it_is_large_or_took_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    if why == "large":
        monkeypatch.setattr(chosen_module, "_HELD_BYTES", 0)
    during: list[set[int]] = []

    def choose(trials: Sequence[Trial], histories: Histories) -> Iterator[Batch]:
        for cap in (80.0, 160.0):
            yield everybody(trials, cap)
            during.append({*steps_saved(tmp_path).values()})

    list(Sweep(UNMET, tmp_path, 1e-9 if why == "long" else 60.0, choose=choose).run())
    assert during == ([set(), set()] if why == "small" else [{10}, {20}])
    assert {*steps_saved(tmp_path).values()} == {20}


@pytest.mark.parametrize("n_events", [1, 4, 11, 19, 27])
def test_a_run_that_was_left_in_a_batch_is_gone_on_with(tmp_path: Path, whole: Path, n_events: int) -> None:
    choose = stairs(30.0, 200.0)
    events = Sweep(made(), tmp_path / "out", choose=choose).run()
    for _ in range(n_events):
        next(events)
    events.close()  # type: ignore[attr-defined]
    assert states(tmp_path / "out").get("complete", 0) < 8
    list(Sweep(made(), tmp_path / "out", choose=choose).run())
    assert_same_tables(tmp_path / "out", whole)


def test_one_that_ends_while_the_run_is_left_is_complete(tmp_path: Path) -> None:
    """It waited in memory before: that is of no use any more."""
    events = Sweep(UNMET, tmp_path, choose=stairs(80.0)).run()
    next(event for event in events if isinstance(event, Finished))
    deadline = time.monotonic() + 60
    while any(thread.name.startswith(TRAINING) for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    events.close()  # type: ignore[attr-defined]
    assert states(tmp_path) == {"complete": 4}


def test_what_was_saved_last_is_what_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial that waited in memory, went on and was saved meanwhile does not fall back when the run is left."""
    monkeypatch.setattr("freewalk.harness.trial.trial.SECONDS_BETWEEN_CHECKS", 0.0)
    long = made(methods=["walk"], target=-1.0, seeds=[0], steps_per_epoch=10**6)
    events = Sweep(long, tmp_path, 0.2, choose=stairs(80.0)).run()
    saved = next(event for event in events if isinstance(event, Saved) and event.checkpoint.step > 10)
    events.close()  # type: ignore[attr-defined]
    assert steps_saved(tmp_path)[saved.trial.trial_id] >= saved.checkpoint.step


def test_what_is_complete_is_not_run_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def twice(trials: Sequence[Trial], histories: Histories) -> Iterator[Batch]:
        yield everybody(trials[:2])
        yield everybody(trials[:3], 1e6)
        yield everybody(trials)

    events = list(Sweep(UNMET, tmp_path, choose=twice).run())
    assert sorted(of(Finished, events)) == sorted(trial.trial_id for trial in Sweep(UNMET, tmp_path).plan.trials)
    for name in ("make_walk", "make_pack"):
        monkeypatch.setattr(Backend, name, lambda *_, **__: pytest.fail("a trial was run again"))
    assert len(list(Sweep(UNMET, tmp_path, choose=stairs(80.0)).run())) == 1


def test_what_is_complete_starts_no_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="needs Dask: pip install dask distributed")
    from freewalk.harness.cluster.connection import Cluster

    list(Sweep(UNMET, tmp_path).run())
    monkeypatch.setattr(Cluster, "__enter__", lambda self: pytest.fail("started"))
    (only,) = Sweep(UNMET, tmp_path, cluster=Cluster(n_workers=2), choose=stairs(80.0)).run()
    assert isinstance(only, Opened)


def test_failed_trials_are_known_and_tried_again_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_walk = Backend.make_walk
    configuration = resolve(["hidden=3", "batch_size=4"], tasks=["and"], seeds=[0, 1, 2], epochs=2, backend="cpu")
    batches: list[int] = []
    known: list[dict[str, History]] = []

    def choose(trials: Sequence[Trial], histories: Histories) -> Iterator[Batch]:
        known.append(dict(histories))
        for cap in (100.0, 200.0):
            batches.append(len(known))
            yield everybody(trials, cap)

    def broken(self: Backend, *arguments: Any, **options: Any) -> Any:
        if options["seed"] == 1:
            raise MemoryError("no room")
        return make_walk(self, *arguments, **options)

    def run(**options: Any) -> list[Opened | Event]:
        return list(Sweep(configuration, tmp_path, choose=choose).run(**options))

    with monkeypatch.context() as patched:
        patched.setattr(Backend, "make_walk", broken)
        (failed,) = of(Failed, run(fail_fast=True))
        assert batches == [1], "nothing is chosen after a failure that is to end it"
        assert of(Failed, run()) == []
        assert known[1][failed] == FAILED
        assert batches == [1, 2, 2]
        assert of(Failed, run(retry_failed=True)) == [failed], "once: it is not tried again by the next batch"
        assert failed not in known[2]
    events = run(retry_failed=True)
    assert of(Paused, events).count(failed) == 2
    assert not of(Failed, events)


def test_workers_give_what_threads_give(tmp_path: Path, whole: Path) -> None:
    pytest.importorskip("distributed", reason="needs Dask: pip install dask distributed")
    from freewalk.harness.cluster.connection import Cluster

    seen: list[list[tuple[float, ...]]] = []

    def choose(trials: Sequence[Trial], histories: Histories) -> Iterator[Batch]:
        for batch in stairs(40.0, 150.0)(trials, histories):
            yield batch
            seen.append([histories[trial.trial_id].evaluations for trial in trials])

    said: list[str] = []
    sweep = Sweep(made(), tmp_path / "workers", cluster=Cluster(n_workers=2, notify=said.append), choose=choose)
    events = list(sweep.run())
    (costs,) = [one for one in said if " slices, " in one]
    assert int(costs.split()[1]) > 8, "slices of all batches"
    assert len(of(Paused, events)) > 8
    assert not of(Failed, events)
    assert_same_tables(tmp_path / "workers", whole)
    on_workers = seen.copy()
    seen.clear()
    list(Sweep(made(), tmp_path / "threads", choose=choose).run())
    assert seen == on_workers

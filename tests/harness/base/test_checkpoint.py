"""Checkpoints: there and back as bytes, damaged ones, and trials that go on from them to the same bits."""

import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from freewalk.harness.base import checkpoint as checkpoint_module
from freewalk.harness.base.checkpoint import Checkpoint, UnusableCheckpoint
from freewalk.harness.engine.engine import Engine
from freewalk.harness.engine.packing import works_of
from freewalk.harness.engine.slices import run_slice
from freewalk.harness.engine.work import Work
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.configuration import resolve
from freewalk.harness.plan.plan import Plan, Trial
from freewalk.harness.sweep import Opened, Sweep
from freewalk.harness.trial.events import Event, Finished, Saved, Stopped
from freewalk.kernels.backend import resolve_backend
from freewalk.results.schema.records import CurvePoint
from freewalk.results.store.store import Store

MakePlan = Callable[..., Plan]

CPU = resolve_backend("cpu")
ALONE = replace(CPU, most_sharing_noise=0)
BUDGET = Budget(epochs=6, steps_per_epoch=7, evaluation_points=32, target=-1.0)

METHODS: dict[str, tuple[str, ...]] = {
    "walk": ("method=walk", "update=normalised", "optimizer=adam", "schedule=cosine"),
    "walk xoshiro": ("method=walk", "generator=xoshiro"),
    "walk raw": ("method=walk", "stddev=0.5", "noise=rademacher"),
    "backprop": ("method=backprop", "optimizer=momentum"),
    "numerical": ("method=numerical",),
    "layered": ("method=backprop", "architecture=2-3-1", "optimizer=adam"),
    "guess": ("method=guess", "tolerance=0.4"),
    "genetic": ("method=genetic",),
    "snes": ("method=snes",),
    "synthetic": ("method=synthetic", "architecture=2-3-1", "predictor=conditioned"),
}


def one_trial(plan: MakePlan, specs: tuple[str, ...], seed: int = 3) -> Trial:
    hidden = () if any("architecture" in spec for spec in specs) else ("hidden=3", "timesteps=3")
    (trial,) = plan("batch_size=4", *hidden, *specs, tasks=["xor"], seeds=[seed]).trials
    return trial


def timeless(finished: Finished) -> Any:
    timed = ("seconds", "memory")
    fields = {key: value for key, value in finished.result.fields.items() if not any(word in key for word in timed)}
    return fields, [(p.step, p.evaluations, p.split, p.metric, p.value) for p in finished.result.curve]


def undisturbed(trials: Sequence[Trial], budget: Budget = BUDGET) -> dict[str, Any]:
    events = Engine(ALONE, budget).run(trials)
    return {event.trial.trial_id: timeless(event) for event in events if isinstance(event, Finished)}


def in_slices(works: list[Work]) -> tuple[dict[str, Any], int]:
    """Run work in slices of one call of the kernels each, through bytes; return results and slices."""
    found: dict[str, Any] = {}
    slices = 0
    while works:
        slices += 1
        done = run_slice(works.pop(), BUDGET, "cpu", seconds=0.0)
        found |= {event.trial.trial_id: timeless(event) for event in done.events if isinstance(event, Finished)}
        assert all(isinstance(event, Finished) for event in done.events)
        for left in done.left:
            saved = tuple(Checkpoint.from_bytes(one.to_bytes()) for one in left.checkpoints if one is not None)
            assert len(saved) == len(left.trials)
            works.append(replace(left, checkpoints=saved))
    return found, slices


@pytest.mark.parametrize("specs", METHODS.values(), ids=METHODS)
def test_a_trial_in_slices_comes_to_the_same_bits(plan: MakePlan, specs: tuple[str, ...]) -> None:
    trial = one_trial(plan, specs)
    found, slices = in_slices([Work((trial,), (None,), together=False)])
    assert slices > BUDGET.epochs, "every epoch was cut"
    assert found == undisturbed([trial])


def test_trials_together_in_slices_come_to_the_same_bits(plan: MakePlan) -> None:
    """Batches of one seed and different settings; after each slice what is left is cut and put together anew."""
    specs = (
        "update=normalised",
        "optimizer=momentum",
        "hidden=3",
        "stddev=0.1,0.7",
        "timesteps=2,3",
        "batch_size=5,40",
    )
    trials = plan(*specs, tasks=["xor"], seeds=range(2)).trials
    works = works_of(trials, BUDGET, CPU)
    assert [len(work.trials) for work in works] == [8, 8]
    assert all(work.together for work in works)
    found, _ = in_slices(works)
    assert found == undisturbed(trials)


def test_a_checkpoint_comes_back_from_bytes() -> None:
    state = {"step": np.array(5), "weights": np.array([[0.1, np.nan]]), "method": np.array("walk")}
    memory = {"train_seconds": 0.25, "judge": {"_reference": float("inf"), "loss_final": float("nan")}}
    curve = (CurvePoint(0, 0, 0.0, "heldout", "loss", 0.5), CurvePoint(3, 60, 0.1, "train", "loss", float("inf")))
    back = Checkpoint.from_bytes(Checkpoint(state, memory, curve, "cpu").to_bytes())
    assert back.curve == curve
    assert back.step == 5
    assert back.backend == "cpu"
    assert repr(back.memory) == repr(memory)
    assert {name: value.tobytes() for name, value in back.state.items()} == {
        name: value.tobytes() for name, value in state.items()
    }
    assert Checkpoint.from_bytes(Checkpoint(state, memory, (), "cpu").to_bytes()).curve == ()


def test_damaged_and_foreign_bytes_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Checkpoint({"step": np.array(5)}, {}, (), "cpu").to_bytes()
    flipped = [data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :] for at in range(len(data))]
    for bad in (b"", b"nothing", data[: len(data) // 2], *flipped):
        with pytest.raises(UnusableCheckpoint, match="damaged"):
            Checkpoint.from_bytes(bad)
    monkeypatch.setattr(checkpoint_module, "__version__", "0.0.9")
    with pytest.raises(UnusableCheckpoint, match=r"of version 0\.1\.0"):
        Checkpoint.from_bytes(data)


def test_a_checkpoint_says_whose_it_is() -> None:
    data = Checkpoint({"step": np.array(5)}, {}, (), "cpu").to_bytes("one")
    assert Checkpoint.from_bytes(data, "one").step == 5
    for other in ("two", ""):
        with pytest.raises(UnusableCheckpoint, match="of trial one"):
            Checkpoint.from_bytes(data, other)


def test_checkpoints_that_change_places_are_of_no_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials of one shape could take each other's state: the results must be those of an undisturbed sweep."""
    monkeypatch.setattr("freewalk.harness.trial.trial.SECONDS_BETWEEN_CHECKS", 0.0)
    monkeypatch.setattr("freewalk.harness.engine.work.SECONDS_BETWEEN_CHECKS", 0.0)
    made = resolve(
        ["hidden=3", "stddev=0.1", "batch_size=4"],
        tasks=["xor"],
        seeds=[1, 2],
        epochs=4,
        steps_per_epoch=1000,
        target=-1.0,
        backend="cpu",
    )
    list(Sweep(made, tmp_path / "whole").run())
    saved: set[str] = set()
    for event in Sweep(made, tmp_path / "cut", checkpoint_seconds=1e-6).run():
        if isinstance(event, Saved):
            saved.add(event.trial.trial_id)
        if len(saved) == 2:
            break
    with closing(sqlite3.connect(tmp_path / "cut" / "sweep.sqlite")) as connection, connection:
        connection.execute("UPDATE checkpoints SET position = -1 - position")
        connection.execute("UPDATE checkpoints SET position = position + 2")
    list(Sweep(made, tmp_path / "cut").run())
    whole, cut = (Store.open(tmp_path / name, read_only=True) for name in ("whole", "cut"))
    with whole, cut:
        assert cut.trials()["loss_final"].equals(whole.trials()["loss_final"])


def test_a_stopped_engine_leaves_checkpoints_that_another_goes_on_from(
    plan: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("freewalk.harness.engine.engine._WORTH_SAVING_SECONDS", 0.0)
    monkeypatch.setattr("freewalk.harness.trial.trial.SECONDS_BETWEEN_CHECKS", 0.0)
    monkeypatch.setattr("freewalk.harness.engine.work.SECONDS_BETWEEN_CHECKS", 0.0)
    trials = plan("hidden=3", "stddev=0.1,0.2,0.4", "batch_size=4", tasks=["xor"], seeds=range(2)).trials
    budget = BUDGET.model_copy(update={"steps_per_epoch": 500})
    saved: dict[str, Checkpoint] = {}
    finished: dict[str, Any] = {}
    for _ in range(20):
        left = [trial for trial in trials if trial.trial_id not in finished]
        if not left:
            break
        engine = Engine(CPU, budget)
        events: list[Event] = []
        threading.Timer(0.02, engine.stop).start()
        events += engine.run(left, saved)
        finished |= {event.trial.trial_id: timeless(event) for event in events if isinstance(event, Finished)}
        stopped = {event.trial.trial_id for event in events if isinstance(event, Stopped)}
        kept = {event.trial.trial_id: event.checkpoint for event in events if isinstance(event, Saved)}
        assert stopped <= kept.keys() | saved.keys()
        assert all(kept[name].step >= saved[name].step for name in kept.keys() & saved.keys())
        saved |= kept
    if left := [trial for trial in trials if trial.trial_id not in finished]:
        finished |= {
            event.trial.trial_id: timeless(event)
            for event in Engine(CPU, budget).run(left, saved)
            if isinstance(event, Finished)
        }
    assert saved
    assert finished == undisturbed(trials, budget)


def test_a_sweep_that_was_left_goes_on_from_its_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first run is abandoned without a word after its first checkpoints; the second must not start again."""
    monkeypatch.setattr("freewalk.harness.trial.trial.SECONDS_BETWEEN_CHECKS", 0.0)
    monkeypatch.setattr("freewalk.harness.engine.work.SECONDS_BETWEEN_CHECKS", 0.0)
    made = resolve(
        ["hidden=3", "stddev=0.1,0.2", "batch_size=4"],
        tasks=["xor"],
        seeds=[1],
        epochs=4,
        steps_per_epoch=1000,
        target=-1.0,
        backend="cpu",
    )
    whole = Sweep(made, tmp_path / "whole")
    list(whole.run())

    cut = Sweep(made, tmp_path / "cut", checkpoint_seconds=1e-6)
    steps: dict[str, int] = {}
    for event in cut.run():
        if isinstance(event, Saved):
            steps[event.trial.trial_id] = event.checkpoint.step
        if len(steps) == 2 and min(steps.values()) >= 20:
            break
    again = Sweep(made, tmp_path / "cut")
    opened = next(event for event in again.run() if isinstance(event, Opened))
    assert set(opened.resumed) == set(steps)
    assert all(opened.resumed[name] >= step for name, step in steps.items())
    list(Sweep(made, tmp_path / "cut").run())
    with Store.open(tmp_path / "cut", read_only=True) as store, Store.open(tmp_path / "whole", read_only=True) as other:
        assert not list(store.checkpoints(steps)), "what has ended needs none"
        columns = ["trial_id", "step", "evaluations", "split", "metric", "value"]
        assert store.curves()[columns].equals(other.curves()[columns])
        assert store.trials()["loss_final"].equals(other.trials()["loss_final"])

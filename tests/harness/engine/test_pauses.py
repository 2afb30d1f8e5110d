"""Trials that pause at growing caps and go on: to the bits of undisturbed ones, and never past a cap."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest

from freewalk.harness.base.checkpoint import Checkpoint
from freewalk.harness.engine.engine import Engine
from freewalk.harness.engine.packing import works_of
from freewalk.harness.engine.slices import run_slice
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.plan import Plan, Trial
from freewalk.harness.trial.events import Event, Failed, Finished, Paused
from freewalk.harness.trial.trial import resolve_trial
from freewalk.kernels.backend import Backend, resolve_backend

MakePlan = Callable[..., Plan]
Run: TypeAlias = Callable[[Sequence[Trial], Mapping[str, Checkpoint], Mapping[str, float]], Iterable[Event]]

CPU = resolve_backend("cpu")
ALONE = replace(CPU, most_sharing_noise=0)
BUDGET = Budget(epochs=6, steps_per_epoch=7, evaluation_points=32, target=-1.0, looks="growing")
EPOCHS = BUDGET.model_copy(update={"looks": "epochs"})
LADDER = (0.5, 1.0, 6.9, 7.0, 20.5, 41.5)
"""Caps, in steps: below the first look, at one and between two, the last between the steps of two looks."""

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


def trials_of(plan: MakePlan, *specs: str, seeds: Sequence[int] = (3,)) -> tuple[Trial, ...]:
    hidden = () if any("architecture" in spec for spec in specs) else ("hidden=3", "timesteps=3")
    return plan("batch_size=4", *hidden, *specs, tasks=["xor"], seeds=seeds).trials


def packed(plan: MakePlan) -> tuple[Trial, ...]:
    """Make two packs of four on the CPU."""
    return trials_of(plan, "update=normalised", "optimizer=momentum,adam", "stddev=0.1,0.7", seeds=(0, 1))


def timeless(finished: Finished) -> Any:
    timed = ("seconds", "memory")
    fields = {key: value for key, value in finished.result.fields.items() if not any(word in key for word in timed)}
    return fields, [(p.step, p.evaluations, p.split, p.metric, p.value) for p in finished.result.curve]


def undisturbed(trials: Sequence[Trial], budget: Budget = BUDGET) -> dict[str, Any]:
    events = Engine(ALONE, budget).run(trials)
    return {event.trial.trial_id: timeless(event) for event in events if isinstance(event, Finished)}


def engine(backend: Any, budget: Budget = BUDGET) -> Run:
    return lambda trials, saved, pauses: Engine(backend, budget).run(trials, saved, pauses)


def slices(budget: Budget = BUDGET) -> Run:
    """Run in slices of one call of the kernels each."""

    def run(trials: Sequence[Trial], saved: Mapping[str, Checkpoint], pauses: Mapping[str, float]) -> Iterable[Event]:
        works = works_of(trials, budget, CPU, checkpoints=saved, pauses=pauses)
        while works:
            done = run_slice(works.pop(), budget, "cpu", seconds=0.0)
            yield from done.events
            works += done.left

    return run


def cost_of(trial: Trial, budget: Budget = BUDGET) -> float:
    return resolve_trial(trial.cell, budget).evaluations_per_step


def sent(event: Paused) -> Checkpoint:
    """Return what a trial goes on from, as it is read from the store or on a worker."""
    trial_id = event.trial.trial_id
    return Checkpoint.from_bytes(event.checkpoint.to_bytes(trial_id), trial_id)


def assert_waits_at(cap: float, event: Paused, budget: Budget) -> None:
    cost, step = cost_of(event.trial, budget), event.checkpoint.step
    looks = [point.step for point in event.checkpoint.curve if point.split == "heldout"]
    assert step == max(looks), "a pause is where it was measured last"
    assert step * cost < cap + 0.5, "evaluations are counted in whole numbers"
    end = budget.next_end(step, cost)
    assert end is not None
    assert end * cost > cap - 0.5
    assert cap >= cost or step == 0


def climb(run: Run, trials: Sequence[Trial], budget: Budget = BUDGET) -> dict[str, Any]:
    """Let trials go on cap by cap, and at last to their ends."""
    saved: dict[str, Checkpoint] = {}
    found: dict[str, Any] = {}
    for n_steps in (*LADDER, math.inf):
        caps = {trial.trial_id: n_steps * cost_of(trial) for trial in trials}
        seen = set()
        for event in run(trials, saved, caps):
            assert not isinstance(event, Failed)
            if isinstance(event, Paused):
                assert_waits_at(caps[event.trial.trial_id], event, budget)
                saved[event.trial.trial_id] = sent(event)
                seen.add(event.trial.trial_id)
            elif isinstance(event, Finished):
                found[event.trial.trial_id] = timeless(event)
        assert len(found if n_steps == math.inf else seen) == len(trials), n_steps
    return found


@pytest.mark.parametrize("specs", METHODS.values(), ids=METHODS)
def test_a_trial_alone_goes_on_to_the_same_bits(plan: MakePlan, specs: tuple[str, ...]) -> None:
    trials = trials_of(plan, *specs)
    found = climb(engine(ALONE), trials)
    assert found == undisturbed(trials)
    assert climb(slices(), trials) == found


def test_trials_in_packs_go_on_to_the_same_bits(plan: MakePlan) -> None:
    trials = packed(plan)
    assert [(len(work.trials), work.together) for work in works_of(trials, BUDGET, CPU)] == [(4, True), (4, True)]
    found = climb(engine(CPU), trials)
    assert found == undisturbed(trials)
    assert climb(slices(), trials) == found


def test_looks_at_ends_of_epochs_too(plan: MakePlan) -> None:
    trials = packed(plan)[:4]
    whole = undisturbed(trials, EPOCHS)
    assert climb(slices(EPOCHS), trials, EPOCHS) == whole
    assert climb(engine(CPU, EPOCHS), trials, EPOCHS) == whole


RUNS = {"alone": engine(ALONE), "packs": engine(CPU), "slices": slices()}


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_every_trial_of_a_run_has_a_cap_of_its_own(plan: MakePlan, run: Run) -> None:
    trials = packed(plan)
    cost = cost_of(trials[0])
    steps = dict(zip((trial.trial_id for trial in trials), (0.0, 3.5, 3.5, 20.0, 9.0, 9.0, 20.0), strict=False))
    pauses = {trial_id: n_steps * cost for trial_id, n_steps in steps.items()}
    events = list(run(trials, {}, pauses))
    paused = {event.trial.trial_id: event.checkpoint.step for event in events if isinstance(event, Paused)}
    assert paused == {trial_id: int(n_steps) for trial_id, n_steps in steps.items()}
    (last,) = (event for event in events if isinstance(event, Finished))
    assert last.trial == trials[-1], "the one without a cap"
    assert {last.trial.trial_id: timeless(last)} == undisturbed(trials[-1:])


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_a_trial_past_its_cap_pauses_at_once(plan: MakePlan, run: Run) -> None:
    trials = packed(plan)[::2]
    cost = cost_of(trials[0])

    def until(n_steps: float, saved: Mapping[str, Checkpoint]) -> dict[str, Checkpoint]:
        events = run(trials, saved, dict.fromkeys((trial.trial_id for trial in trials), n_steps * cost))
        return {event.trial.trial_id: event.checkpoint for event in events if isinstance(event, Paused)}

    there = until(20.0, {})
    again = until(5.0, there)
    assert {name: one.step for name, one in there.items()} == {trial.trial_id: 20 for trial in trials}
    for trial_id, before in there.items():
        after = again[trial_id]
        assert (after.curve, after.memory) == (before.curve, before.memory), "not even a clock has moved"
        assert before.state.keys() == after.state.keys()
        assert all(np.array_equal(before.state[name], after.state[name]) for name in before.state)


def test_a_trial_between_two_looks_pauses_there_at_once(plan: MakePlan) -> None:
    """A stopped sweep leaves checkpoints anywhere: what has been spent is kept, and nothing more is spent."""
    trials = packed(plan)[:4:2]
    (work,) = works_of(trials, EPOCHS, CPU)
    (left,) = run_slice(work, EPOCHS, "cpu", seconds=0.0).left
    saved = {trial.trial_id: one for trial, one in left.pairs() if one is not None}
    (step,) = {one.step for one in saved.values()}
    assert 0 < step < EPOCHS.steps_per_epoch
    pauses = dict.fromkeys(saved, 0.0)
    for run in (engine(ALONE, EPOCHS), engine(CPU, EPOCHS), slices(EPOCHS)):
        kept = {event.trial.trial_id: sent(event) for event in run(trials, saved, pauses) if isinstance(event, Paused)}
        assert [one.step for one in kept.values()] == [step, step]
        ends = [event for event in run(trials, kept, {}) if isinstance(event, Finished)]
        assert {event.trial.trial_id: timeless(event) for event in ends} == undisturbed(trials, EPOCHS)


def test_trials_of_a_pack_that_failed_pause_alone(plan: MakePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backend, "make_pack", lambda *_, **__: (_ for _ in ()).throw(MemoryError("no room for all")))
    trials = packed(plan)
    pauses = dict.fromkeys((trial.trial_id for trial in trials), 5.0 * cost_of(trials[0]))
    for run in (engine(CPU), slices()):
        events = [event for event in run(trials, {}, pauses) if isinstance(event, Paused | Finished | Failed)]
        assert [event.checkpoint.step for event in events if isinstance(event, Paused)] == [5] * 8
        assert len(events) == 8


WITHOUT_STATES = """
from freewalk.methods import ArrayTrainer, OwnMethod

class Still(ArrayTrainer):
    def take_step(self):
        return self.losses(self.values, *self.batch()).mean()

class Forgetful:
    def __init__(self, start):
        self._still = Still(start)
        self.network = start.network

    step = property(lambda self: self._still.step)
    weights = property(lambda self: self._still.weights)

    def train(self, n_steps):
        return self._still.train(n_steps)

    def evaluate(self):
        return self._still.evaluate()

    def request_stop(self):
        self._still.request_stop()

FORGETFUL = OwnMethod("forgetful", "what cannot go on", Forgetful, lambda parameters, batch, n: batch)
STILL = OwnMethod("still", "what can", Still, lambda parameters, batch, n: batch)
"""


def test_a_trainer_that_cannot_be_left_runs_to_its_end(plan: MakePlan, tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(WITHOUT_STATES)
    trials = plan("hidden=3", "batch_size=4", tasks=["xor"], seeds=[3], methods=["forgetful", "still"], plugins=[path])
    pauses = dict.fromkeys((trial.trial_id for trial in trials.trials), 9.0 * 4)
    for run in RUNS.values():
        events = [event for event in run(trials.trials, {}, pauses) if isinstance(event, Finished | Paused | Failed)]
        by_method = {event.trial.cell.method: event for event in events}
        ended, paused = by_method["forgetful"], by_method["still"]
        assert isinstance(ended, Finished)
        assert ended.result.fields["steps"] == 42
        assert isinstance(paused, Paused)
        assert paused.checkpoint.step == 9

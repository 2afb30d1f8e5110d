"""Seconds of compilation, whenever a trainer spends them, reach the rows: all of them, and once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import pytest

from freewalk.harness.engine import slices
from freewalk.harness.engine.engine import Engine
from freewalk.harness.engine.work import Work
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.plan import Plan
from freewalk.harness.trial.events import Failed, Finished
from freewalk.kernels.backend import Backend, resolve_backend

SHORT = Budget(epochs=3, steps_per_epoch=4, evaluation_points=16)
SECONDS = 2.0
MOMENTS = ("made", "train", "evaluate")


@dataclass(frozen=True)
class Compiling(Backend):
    """The processor, with trainers and batches that say they have compiled: when they are made, or in a first call."""

    moment: str = "made"
    fails: bool = False

    def make_walk(self, *arguments: Any, **options: Any) -> Any:
        return self._late(super().make_walk(*arguments, **options))

    def make_pack(self, *arguments: Any, **options: Any) -> Any:
        return self._late(super().make_pack(*arguments, **options))

    def _late(self, trainer: Any) -> Any:
        trainer.compile_seconds = SECONDS if self.moment == "made" else 0.0

        def watch(name: str) -> None:
            call = getattr(trainer, name)

            def watched(*arguments: Any) -> Any:
                if self.moment == name:
                    trainer.compile_seconds = SECONDS
                if self.fails:
                    raise ValueError("no luck")
                return call(*arguments)

            setattr(trainer, name, watched)

        watch("train")
        watch("evaluate")
        return trainer


def compiling(**options: Any) -> Compiling:
    cpu = resolve_backend("cpu")
    return Compiling(**{field.name: getattr(cpu, field.name) for field in fields(cpu)} | {"workers": 1} | options)


def work_of(plan: Callable[..., Plan], together: bool) -> Work:
    specs = ("batch_size=4", "hidden=3", "timesteps=2", "stddev=0.1,0.5" if together else "stddev=0.1")
    trials = plan(*specs, tasks=["xor"], seeds=[1]).trials
    return Work(trials, (None,) * len(trials), together)


@pytest.mark.parametrize("together", [False, True], ids=["alone", "together"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_the_seconds_are_known_before_a_row_is_stored(
    plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch, moment: str, together: bool
) -> None:
    """The last row of a sweep is stored while its engine tidies up; what is said after the last event is lost."""
    engine = Engine(compiling(moment=moment), SHORT)
    put, known = engine._events.put, []

    def put_and_note(event: Any) -> None:
        if isinstance(event, Finished):
            known.append(engine.compile_seconds)
        put(event)

    monkeypatch.setattr(engine._events, "put", put_and_note)
    trials = work_of(plan, together).trials
    assert sum(isinstance(event, Finished) for event in engine.run(trials)) == len(trials)
    assert known == [SECONDS] * len(trials)
    assert engine.compile_seconds == SECONDS, "counted once"


@pytest.mark.parametrize("together", [False, True], ids=["alone", "together"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_slice_says_them_too(
    plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch, moment: str, together: bool
) -> None:
    monkeypatch.setattr(slices, "resolve_backend", lambda name: compiling(moment=moment))
    done = slices.run_slice(work_of(plan, together), SHORT, "cpu", seconds=60.0)
    assert not done.left
    assert done.compile_seconds == SECONDS


@pytest.mark.parametrize("together", [False, True], ids=["alone", "together"])
def test_a_slice_that_is_cut_says_them(
    plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch, together: bool
) -> None:
    monkeypatch.setattr(slices, "resolve_backend", lambda name: compiling())
    done = slices.run_slice(work_of(plan, together), SHORT, "cpu", seconds=0.0)
    assert done.left
    assert done.compile_seconds == SECONDS


@pytest.mark.parametrize("together", [False, True], ids=["alone", "together"])
@pytest.mark.parametrize("most_sharing_noise", [0, 16])
def test_a_slice_that_fails_says_them(
    plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch, together: bool, most_sharing_noise: int
) -> None:
    where = compiling(fails=True, most_sharing_noise=most_sharing_noise)
    monkeypatch.setattr(slices, "resolve_backend", lambda name: where)
    done = slices.run_slice(work_of(plan, together), SHORT, "cpu", seconds=60.0)
    assert done.left or all(isinstance(event, Failed) for event in done.events)
    assert done.compile_seconds == SECONDS

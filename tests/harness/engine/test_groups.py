"""Trials that run together, on batches that are made of CPU walks: the events and results of trials alone."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from freewalk.harness.engine.engine import Engine
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.plan import Plan, Trial
from freewalk.harness.trial.events import Advanced, Event, Failed, Finished, Started, Stopped
from freewalk.kernels.backend import resolve_backend
from freewalk.kernels.cpu.trial import CpuWalk
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.pack import PackTrial
from freewalk.kernels.model.walk import Data, Evaluation, Progress, State

MakePlan = Callable[..., Plan]

CPU = resolve_backend("cpu")
ALONE = replace(CPU, most_sharing_noise=0)
SHORT = Budget(epochs=3, steps_per_epoch=4, evaluation_points=16)
SECONDS_OF_A_LAUNCH = 0.25
SECONDS_OF_COMPILATION = 2.0


@dataclass
class WalksTogether:
    """A batch of CPU walks that keeps a record of its launches."""

    walks: list[CpuWalk]
    active: list[int] = field(default_factory=list)
    launches: list[tuple[tuple[int, ...], int]] = field(default_factory=list)
    kernel_seconds: float = SECONDS_OF_A_LAUNCH
    compile_seconds: float = 0.0

    @property
    def steps(self) -> NDArray[np.int64]:
        return np.array([walk.step for walk in self.walks])

    def train(self, n_steps: int) -> list[Progress]:
        self.compile_seconds = SECONDS_OF_COMPILATION
        self.launches.append((tuple(self.active), n_steps))
        return [self.walks[place].train(n_steps) for place in self.active]

    def evaluate(self, places: Sequence[int] | None = None) -> list[Evaluation]:
        return [self.walks[place].evaluate() for place in (self.active if places is None else places)]

    def request_stop(self) -> None:
        for walk in self.walks:
            walk.request_stop()

    def state(self, trial: int) -> State:
        return self.walks[trial].state()

    def drop(self, trial: int) -> None:
        self.active.remove(trial)

    def weights(self, trial: int) -> NDArray[np.float64]:
        return self.walks[trial].weights


@dataclass(frozen=True)
class Together:
    """A backend that puts CPU walks together."""

    name: str = "cpu"
    device: str = "a device"
    dtype: str = "float32"
    workers: int = 1
    most_in_a_pack: int = 100
    fewest_in_a_pack: int = 1
    most_sharing_noise: int = 0
    made: list[WalksTogether] = field(default_factory=list)
    alone: list[int] = field(default_factory=list)
    refuse_seed: int | None = None

    def make_pack(
        self, network: FreeNetwork, data: Data, trials: Sequence[PackTrial], *, evaluation_points: int, mask: Any
    ) -> WalksTogether:
        if any(trial.seed == self.refuse_seed for trial in trials):
            raise MemoryError("no room")
        options = {"evaluation_points": evaluation_points, "mask": mask}
        walks = [
            CpuWalk(network, trial.configuration, data, seed=trial.seed, initial=trial.initial, **options)
            for trial in trials
        ]
        for walk, trial in zip(walks, trials, strict=True):
            if trial.state is not None:
                walk.restore(trial.state)
        batch = WalksTogether(walks, list(range(len(walks))))
        self.made.append(batch)
        return batch

    def make_walk(self, *arguments: Any, **options: Any) -> CpuWalk:
        self.alone.append(options["seed"])
        return CpuWalk(*arguments, **options)


def run(
    backend: Together, trials: Sequence[Trial], budget: Budget = SHORT, plan: Sequence[Trial] | None = None
) -> list[Event]:
    return list(engine_of(backend, trials if plan is None else plan, budget).run(trials))


def engine_of(backend: Together, plan: Sequence[Trial], budget: Budget = SHORT) -> Engine:
    return Engine(backend, budget, plan)  # type: ignore[arg-type]


def trials_of(plan: MakePlan, n: int, *specs: str) -> tuple[Trial, ...]:
    return plan("batch_size=4", *specs, tasks=["xor"], seeds=range(n)).trials


def results(events: Sequence[Event]) -> dict[str, Any]:
    timed = ("seconds", "memory", "backend", "device", "dtype")
    return {
        event.trial.trial_id: (
            {key: value for key, value in event.result.fields.items() if not any(word in key for word in timed)},
            [(p.step, p.evaluations, p.split, p.metric, p.value) for p in event.result.curve],
        )
        for event in events
        if isinstance(event, Finished)
    }


@pytest.mark.parametrize(
    "specs",
    [
        ("hidden=3", "stddev=0.1,0.5", "update=normalised"),
        ("hidden=2,5", "timesteps=2,3", "noise=gaussian,rademacher", "sides=one,two"),
        ("architecture=2-3-1,free", "update=normalised", "optimizer=adam"),
    ],
)
def test_the_results_are_those_of_threads(plan: MakePlan, specs: tuple[str, ...]) -> None:
    trials = trials_of(plan, 3, *specs)
    found = results(run(Together(), trials))
    assert len(found) == len(trials)
    assert found == results(list(Engine(ALONE, SHORT).run(trials)))


@pytest.mark.parametrize(
    "specs",
    [
        ("timesteps=2,3", "optimizer=momentum,adam", "batch_size=4,20"),
        ("sides=one,two", "noise=gaussian,rademacher", "batch_size=4"),
        ("share_data=yes", "datapoints=2", "timesteps=2,3", "batch_size=8", "shaping=none,std,ranks"),
        ("directions=orthogonal", "datapoints=1,4,all", "batch_size=8"),
        ("architecture=2-3-1", "sides=one,two", "batch_size=4"),
    ],
)
def test_walks_of_low_rank_have_the_results_of_trials_alone(plan: MakePlan, specs: tuple[str, ...]) -> None:
    trials = plan("rank=1", "stddev=0.1,0.5", *specs, tasks=["xor"], seeds=[0]).trials
    assert results(list(Engine(CPU, SHORT).run(trials))) == results(list(Engine(ALONE, SHORT).run(trials)))


def test_trials_of_one_network_share_launches_and_others_do_not(plan: MakePlan) -> None:
    backend = Together()
    run(backend, trials_of(plan, 2, "hidden=3,4", "stddev=0.1,0.2", "timesteps=2,3"))
    assert [len(batch.walks) for batch in backend.made] == [8, 8]
    assert all(launch[0] == tuple(range(8)) for batch in backend.made for launch in batch.launches)
    assert {walk.network.n_hidden for walk in backend.made[0].walks} == {3}


def test_a_batch_holds_as_many_as_the_backend_can(plan: MakePlan) -> None:
    backend = Together(most_in_a_pack=3)
    events = run(backend, trials_of(plan, 7, "hidden=3"))
    assert [len(batch.walks) for batch in backend.made] == [2, 2, 3]
    assert Counter(type(event) for event in events) == {Started: 7, Finished: 7}


def test_a_trial_that_ends_leaves_its_batch(plan: MakePlan) -> None:
    """Half of the trials cannot learn in so small steps; the others reach AND and are not trained any more."""
    budget = Budget(epochs=40, steps_per_epoch=25, evaluation_points=16)
    good = ("hidden=4", "update=normalised", "optimizer=momentum", "stddev=0.1", "learning_rate=1e-9,0.5")
    trials = plan("batch_size=16", *good, tasks=["and"], seeds=range(2)).trials
    backend = Together()
    events = run(backend, trials, budget)
    (batch,) = backend.made
    sizes = [len(active) for active, _ in batch.launches]
    assert sizes[0] == 4
    assert sizes[-1] == 2
    assert sorted(sizes, reverse=True) == sizes
    assert results(events) == results(list(Engine(ALONE, budget).run(trials)))


def test_seconds_are_shared_out_among_the_trials(plan: MakePlan) -> None:
    backend = Together()
    trials = trials_of(plan, 5, "hidden=3")
    engine = engine_of(backend, trials)
    events = list(engine.run(trials))
    total = sum(event.result.fields["train_seconds"] for event in events if isinstance(event, Finished))  # type: ignore[misc]
    (batch,) = backend.made
    assert total == pytest.approx(len(batch.launches) * SECONDS_OF_A_LAUNCH)
    assert engine.compile_seconds == SECONDS_OF_COMPILATION


def test_a_batch_that_fails_fails_its_trials_only(plan: MakePlan) -> None:
    backend = Together(most_in_a_pack=2, refuse_seed=2)
    events = run(backend, trials_of(plan, 6, "hidden=3"))
    assert sorted(event.trial.seed for event in events if isinstance(event, Failed)) == [2, 3]
    assert sorted(event.trial.seed for event in events if isinstance(event, Finished)) == [0, 1, 4, 5]


def test_stop_ends_after_a_launch_and_starts_nothing_more(plan: MakePlan) -> None:
    backend = Together(most_in_a_pack=3)
    trials = trials_of(plan, 6, "hidden=3")
    engine = engine_of(backend, trials, SHORT.model_copy(update={"steps_per_epoch": 10**6, "target": -1.0}))
    events: list[Event] = []
    for event in engine.run(trials):
        events.append(event)
        if len(events) == 3:
            engine.stop()
    events.extend(engine.drain())
    kinds = Counter(type(event) for event in events if not isinstance(event, Advanced))
    assert kinds == {Started: 3, Stopped: 3}
    assert len(backend.made) == 1


def test_a_consumer_that_leaves_finds_the_rest_in_the_drain(plan: MakePlan) -> None:
    trials = trials_of(plan, 4, "hidden=3")
    engine = engine_of(Together(), trials, SHORT.model_copy(update={"steps_per_epoch": 10**6, "target": -1.0}))
    events = engine.run(trials)
    next(events)
    events.close()
    rest = [type(event) for event in engine.drain() if not isinstance(event, Advanced)]
    assert rest == [Started] * 3 + [Stopped] * 4
    assert list(engine.drain()) == []


def test_the_backend_of_every_row_is_the_one_that_ran_it(plan: MakePlan) -> None:
    (_, finished) = run(Together(), trials_of(plan, 1, "hidden=3"))
    assert isinstance(finished, Finished)
    assert finished.result.fields["device"] == "a device"


def test_trials_that_are_too_few_run_one_by_one(plan: MakePlan) -> None:
    """Three of hidden=3 make a batch, two of hidden=4 do not."""
    backend = Together(fewest_in_a_pack=3)
    trials = (*trials_of(plan, 3, "hidden=3"), *trials_of(plan, 2, "hidden=4"))
    events = run(backend, trials)
    assert [len(batch.walks) for batch in backend.made] == [3]
    assert backend.alone == [0, 1]
    assert results(events) == results(list(Engine(ALONE, SHORT).run(trials)))


def test_what_is_left_of_a_plan_runs_as_the_whole_plan_would(plan: MakePlan) -> None:
    backend = Together(fewest_in_a_pack=3)
    trials = trials_of(plan, 3, "hidden=3")
    run(backend, trials[2:], plan=trials)
    assert [len(batch.walks) for batch in backend.made] == [1]
    assert backend.alone == []


def test_a_trial_alone_stops_when_told(plan: MakePlan) -> None:
    trials = trials_of(plan, 2, "hidden=3")
    engine = engine_of(
        Together(fewest_in_a_pack=9), trials, SHORT.model_copy(update={"steps_per_epoch": 10**6, "target": -1.0})
    )
    events = []
    for event in engine.run(trials):
        events.append(event)
        engine.stop()
    events.extend(engine.drain())
    assert [type(event) for event in events] == [Started, Stopped]


def test_no_trials_no_events() -> None:
    assert run(Together(), []) == []

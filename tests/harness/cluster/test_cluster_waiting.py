"""What travels to workers and when, and who is to blame when they die, without any worker."""

import asyncio
import concurrent.futures
import math
import pickle
from collections.abc import Callable, Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from freewalk.harness.cluster import remote
from freewalk.harness.cluster.dispatch import Dispatch
from freewalk.harness.cluster.members import Member
from freewalk.harness.cluster.waiting import Piece, Waiting, bundle_size
from freewalk.harness.engine.work import Work
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.plan import Plan, Trial
from freewalk.harness.trial.events import Event, Failed, Finished

MakePlan = Callable[..., Plan]


@pytest.fixture
def trials(plan: MakePlan) -> tuple[Trial, ...]:
    return plan("hidden=3", tasks=["xor"], seeds=range(40)).trials


def piece(trials: Iterable[Trial], *, on_gpu: bool = False) -> Piece:
    trials = tuple(trials)
    return Piece(Work(trials, (None,) * len(trials), len(trials) > 1), "cuda" if on_gpu else "cpu")


def alone(trials: Iterable[Trial]) -> list[Piece]:
    return [piece([trial]) for trial in trials]


def seeds(pieces: Iterable[Piece]) -> list[list[int]]:
    return [[trial.seed for trial in one.work.trials] for one in pieces]


def test_nothing_is_known_at_first_so_pieces_travel_alone(trials: tuple[Trial, ...]) -> None:
    waiting = Waiting(alone(trials))
    assert seeds(waiting.take(n_threads=2)) == [[0]]
    assert seeds(waiting.take(n_threads=2)) == [[1]]
    assert len(waiting) == 38


def test_short_pieces_travel_together_and_fewer_towards_the_end(trials: tuple[Trial, ...]) -> None:
    waiting = Waiting(alone(trials))
    waiting.took(1, 0.001)
    sizes = []
    while bundle := waiting.take(n_threads=2):
        sizes.append(len(bundle))
    assert sum(sizes) == 40
    assert sizes[0] == 10, "a quarter of what waits, for two threads"
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 1


@pytest.mark.parametrize(("seconds", "size"), [(None, 1), (10.0, 1), (0.1, 5), (1e-9, 256)])
def test_a_bundle_fills_half_a_second(seconds: float | None, size: int) -> None:
    assert bundle_size(100_000, 4, seconds) == size


def test_what_comes_back_goes_first(trials: tuple[Trial, ...]) -> None:
    waiting = Waiting(alone(trials[:3]))
    waiting.put_back(alone(trials[10:12]))
    assert [seeds(waiting.take(1))[0][0] for _ in range(5)] == [10, 11, 0, 1, 2]


def test_works_for_gpus_wait_for_themselves(trials: tuple[Trial, ...]) -> None:
    waiting = Waiting([piece(trials[:5], on_gpu=True), *alone(trials[5:7])])
    assert (waiting.count(on_gpu=True), waiting.count(on_gpu=False), len(waiting)) == (1, 2, 3)
    assert seeds(waiting.take(1)) == [[5]]
    assert seeds(waiting.take_for_gpu()) == [[0, 1, 2, 3, 4]]
    assert waiting.take_for_gpu() == ()


def test_large_works_are_cut_until_everybody_has_one(trials: tuple[Trial, ...]) -> None:
    waiting = Waiting([piece(trials[:9]), piece(trials[9:11])])
    waiting.share_out(5, on_gpu=False)
    taken = [waiting.take(1)[0] for _ in range(5)]
    assert len(waiting) == 0
    assert sorted(len(one.work.trials) for one in taken) == [2, 2, 2, 2, 3]
    assert sorted(seed for one in seeds(taken) for seed in one) == list(range(11))


def test_a_single_trial_is_not_cut(trials: tuple[Trial, ...]) -> None:
    waiting = Waiting(alone(trials[:1]))
    waiting.share_out(4, on_gpu=False)
    assert len(waiting) == 1
    Waiting().share_out(4, on_gpu=False)


def test_a_trial_that_kills_its_workers_is_singled_out(trials: tuple[Trial, ...]) -> None:
    """Nobody knows which trial of a batch it is: whoever survives a slice is not."""
    culprit = trials[5].trial_id
    waiting = Waiting([piece(trials[:8])])
    n_deaths = 0
    while bundle := waiting.take(1):
        if culprit in [name for one in bundle for name in one.trial_ids]:
            n_deaths += 1
            hopeless = waiting.died(bundle)
            if hopeless:
                break
        else:
            for name in [name for one in bundle for name in one.trial_ids]:
                waiting.progressed(name)
    assert seeds(hopeless) == [[5]]
    assert n_deaths == 10
    assert len(waiting) <= 4, "those that came before it are done"


def test_deaths_are_forgotten_when_somebody_survives(trials: tuple[Trial, ...]) -> None:
    waiting = Waiting(alone(trials[:1]))
    for _ in range(30):
        bundle = waiting.take(1)
        for _ in range(9):
            assert waiting.died(bundle) == []
            bundle = waiting.take(1)
        waiting.progressed(trials[0].trial_id)
        waiting.put_back(bundle)
    assert len(waiting) == 1


def test_a_batch_on_a_gpu_that_kills_its_workers_fails_whole(trials: tuple[Trial, ...]) -> None:
    waiting = Waiting([piece(trials[:4], on_gpu=True)])
    for _ in range(9):
        assert waiting.died(waiting.take_for_gpu()) == []
    assert seeds(waiting.died(waiting.take_for_gpu())) == [[0, 1, 2, 3]]
    assert len(waiting) == 0


class FragileClient:
    """One worker after another, which runs what it has unless the culprit is there: then it dies with all of it."""

    def __init__(self, culprit: int, threads: int, *, has_gpu: bool) -> None:
        self.culprit, self.threads = culprit, threads
        self.facts: Any = SimpleNamespace(has_gpu=has_gpu)
        self.there: Any = SimpleNamespace(ready=[], notify=lambda text: None)
        self.aboard: list[tuple[bytes, asyncio.Future[bytes]]] = []
        self.come()

    def come(self) -> None:
        self.there.ready = [Member("worker", self.threads, self.facts, prepared=True)]

    def submit(self, run: Callable[[bytes], bytes], payload: bytes, **_: object) -> Any:
        loop = asyncio.get_running_loop()
        if not self.aboard:
            loop.call_later(0.01, self.arrive)
        answer: asyncio.Future[bytes] = loop.create_future()
        self.aboard.append((payload, answer))
        return answer

    def arrive(self) -> None:
        aboard = [(pickle.loads(payload), answer) for payload, answer in self.aboard if not answer.done()]
        self.aboard = []
        dies = any(self.culprit in seed for (pieces, *_), _ in aboard for seed in seeds(pieces))
        for (pieces, *rest), answer in aboard:
            if dies:
                answer.set_exception(concurrent.futures.CancelledError())
            else:  # works for a GPU by the processor: who gets what, and when, is the same
                on_cpu = tuple(replace(one, backend="cpu") for one in pieces)
                answer.set_result(remote.run(pickle.dumps((on_cpu, *rest))))
        if dies:
            self.come()


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("on_gpu", [False, True], ids=["cpu", "gpu"])
@pytest.mark.parametrize("culprit", [0, 1, 5])
def test_only_the_trial_that_kills_is_blamed(plan: MakePlan, threads: int, on_gpu: bool, culprit: int) -> None:
    trials = plan("hidden=2", "batch_size=4", tasks=["xor"], seeds=range(6), epochs=1, steps_per_epoch=1).trials
    client, events = FragileClient(culprit, threads, has_gpu=on_gpu), list[Event]()
    budget = Budget(epochs=1, steps_per_epoch=1, evaluation_points=4)
    dispatch = Dispatch(client, client.there, budget, events.append, math.inf)

    async def run() -> None:
        await asyncio.wait_for(dispatch.run(piece([trial], on_gpu=on_gpu) for trial in trials), 60)

    asyncio.run(run())
    assert [event.trial.seed for event in events if isinstance(event, Failed)] == [culprit]
    assert {event.trial.seed for event in events if isinstance(event, Finished)} == set(range(6)) - {culprit}

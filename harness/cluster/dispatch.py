"""The driver's side of a sweep on a cluster: which works go where, what comes back, and what is done again."""

from __future__ import annotations

import asyncio
import concurrent.futures
import pickle
import time
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from freewalk.harness.cluster import remote
from freewalk.harness.cluster.figures import Figures
from freewalk.harness.cluster.members import Member, Members
from freewalk.harness.cluster.planning import bundle_size, can_be_split, halves
from freewalk.harness.cluster.remote import Outcome
from freewalk.harness.engine import Event, Failed, Saved, Started, Stopped
from freewalk.harness.plan import Trial
from freewalk.harness.slices import Slice, Work

SLICE_SECONDS = 2.0
"""What a dead worker costs at most, and how often the driver hears of a trial."""
_AHEAD = 2
"""Bundles a thread has at once, so that it need not wait for the next."""
_MOST_DEATHS = 5
"""Workers that may die in a row while they hold a trial; then it is the trial's fault."""
_SUSPICIOUS_DEATHS = 2
_SECONDS_TO_STOP = 3.0
_SIGNS_OF_DEATH = (asyncio.CancelledError, concurrent.futures.CancelledError, OSError)


@dataclass(eq=False)
class Flight:
    """A bundle of works on its way to a worker and back."""

    works: tuple[Work, ...]
    member: Member
    bytes_out: int
    task: asyncio.Task[Any] | None = None
    bytes_back: int = 0


class WorkerLostError(Exception):
    """The workers that ran a trial died, one after another."""


@dataclass
class Dispatch:
    """Gives works to members until nothing is left; everything happens on the loop of the client.

    Parameters
    ----------
    client : distributed.Client
        Asynchronous.
    members
        Who can be given works.
    emit
        Takes events, from the loop's thread.
    slice_seconds
        How long a worker keeps a bundle.
    """

    client: Any
    members: Members
    emit: Callable[[Event], None]
    slice_seconds: float
    figures: Figures = field(default_factory=Figures)
    compile_seconds: float = 0.0
    session: str = field(default_factory=lambda: uuid.uuid4().hex)
    _pending: defaultdict[bool, deque[Work]] = field(default_factory=lambda: defaultdict(deque))
    """Works for GPUs (True) and for processors (False)."""
    _flights: defaultdict[Member, list[Flight]] = field(default_factory=lambda: defaultdict(list))
    _landed: asyncio.Queue[Flight | None] = field(default_factory=asyncio.Queue)
    _open: dict[str, Trial] = field(default_factory=dict)
    """Trials that have started and are not at their end."""
    _deaths: Counter[str] = field(default_factory=Counter)
    _seconds_per_work: float | None = None
    _stopping: bool = False

    def stop(self) -> None:
        """Start no more, and let what runs end at its next look."""
        self._stopping = True
        self.wake()

    def wake(self) -> None:
        """Look again at who is there and what is left."""
        self._landed.put_nowait(None)

    def missing(self) -> str | None:
        """Return the kind of worker that works wait for and nobody is; None if all goes on."""
        ready = self.members.ready
        if self._stopping or any(self._flights.values()):
            return None
        if not ready:
            return "worker"
        return "worker with a GPU" if not any(member.facts.has_gpu for member in ready) else None

    async def run(self, works: Sequence[Work]) -> None:
        """Have all works done; return when nothing is left or everything has stopped."""
        for work in works:
            self._pending[work.backend == "cuda"].append(work)
        while not self._stopping and (any(self._pending.values()) or any(self._flights.values())):
            self._give_out()
            await self._take_in(None)
        if self._stopping:
            await self._wind_up()
        for trial in self._open.values():
            self.emit(Stopped(trial))

    # what goes out

    def _give_out(self) -> None:
        ready = self.members.ready
        for member in [member for member in self._flights if member not in ready]:
            self._give_up(member)
        self._share_out(ready)
        for ahead in range(1, _AHEAD + 1):
            for member in ready:
                while len(self._flights[member]) < ahead * member.threads and (works := self._bundle(member, ready)):
                    self._send(member, works)

    def _share_out(self, ready: Sequence[Member]) -> None:
        """Have something for every idle thread: call back what waits behind others, and split large works."""
        waiting = self._pending[False]
        idle = sum(max(0, member.threads - len(self._flights[member])) for member in ready)
        busiest = sorted(ready, key=lambda member: len(self._flights[member]) / member.threads, reverse=True)
        for member in busiest:
            if len(waiting) >= idle:
                return
            for flight in self._flights[member][member.threads :]:
                if not any(work.backend == "cuda" for work in flight.works):
                    self._call_back(flight)
        while len(waiting) < idle:
            largest = max(waiting, key=lambda work: len(work.trials) * can_be_split(work), default=None)
            if largest is None or not can_be_split(largest):
                return
            waiting.remove(largest)
            self._put_back(halves(largest))

    def _call_back(self, flight: Flight) -> None:
        self._flights[flight.member].remove(flight)
        if flight.task is not None:
            flight.task.cancel()
        self._put_back(flight.works)

    def _bundle(self, member: Member, ready: Sequence[Member]) -> tuple[Work, ...]:
        """Take works from those that wait, as many as shall travel together to a worker."""
        on_gpu = sum(flight.works[0].backend == "cuda" for flight in self._flights[member])
        for_gpu = self._pending[True]
        if for_gpu and member.facts.has_gpu and on_gpu < (_AHEAD if member.threads == 1 else 1):
            return (for_gpu.popleft(),)
        if for_gpu and member.facts.has_gpu and len(self._flights[member]) - on_gpu >= member.threads - 1:
            return ()  # one thread is the GPU's
        waiting = self._pending[False]
        size = bundle_size(len(waiting), sum(other.threads for other in ready), self._seconds_per_work)
        taken: list[Work] = []
        while waiting and len(taken) < size:
            if self._is_suspicious(waiting[0]):
                if not taken:
                    taken.append(self._one_suspect())
                break
            taken.append(waiting.popleft())
        return tuple(taken)

    def _is_suspicious(self, work: Work) -> bool:
        return any(self._deaths[trial.trial_id] >= _SUSPICIOUS_DEATHS for trial in work.trials)

    def _one_suspect(self) -> Work:
        """Take one trial out of a work that workers died with, so that it becomes clear which it was."""
        waiting = self._pending[False]
        work = waiting.popleft()
        while can_be_split(work):
            work, rest = halves(work)
            waiting.appendleft(rest)
        return work

    def _send(self, member: Member, works: tuple[Work, ...]) -> None:
        for trial in (trial for work in works for trial in work.trials):
            if trial.trial_id not in self._open:
                self._open[trial.trial_id] = trial
                self.emit(Started(trial))
        payload = pickle.dumps((works, self.slice_seconds, self.session))
        flight = Flight(works, member, len(payload))
        flight.task = asyncio.create_task(self._fly(flight, payload))
        self._flights[member].append(flight)

    async def _fly(self, flight: Flight, payload: bytes) -> Outcome:
        try:
            future = self.client.submit(
                remote.run,
                payload,
                workers=[flight.member.address],
                allow_other_workers=False,
                pure=False,
                key=f"freewalk-slice-{uuid.uuid4().hex}",
            )
            result: bytes = await future
            flight.bytes_back = len(result)
            outcome: Outcome = pickle.loads(result)
            return outcome
        finally:
            self._landed.put_nowait(flight)

    # what comes back

    async def _take_in(self, seconds: float | None) -> None:
        """Wait for something to come back, or to happen, and take in all that has."""
        with suppress(TimeoutError):
            landed = [await asyncio.wait_for(self._landed.get(), seconds)]
            while not self._landed.empty():
                landed.append(self._landed.get_nowait())
            for flight in landed:
                if flight is not None and flight in self._flights[flight.member]:
                    await self._land(flight)

    async def _land(self, flight: Flight) -> None:
        assert flight.task is not None
        self._flights[flight.member].remove(flight)
        await asyncio.wait([flight.task])
        error = asyncio.CancelledError() if flight.task.cancelled() else flight.task.exception()
        if isinstance(error, _SIGNS_OF_DEATH) or type(error).__name__ == "KilledWorker":
            self._lose(flight)
        elif error is not None:
            self._fail(flight.works, error)
        else:
            outcome = flight.task.result()
            self._count(flight, outcome)
            pairs = zip(flight.works, outcome.slices, strict=True)
            left = [work if done is None else self._settle(done) for work, done in pairs]
            self._put_back(work for work in left if work is not None)

    def _put_back(self, works: Iterable[Work]) -> None:
        """Let works be the next to go out, so that what is begun ends first."""
        for work in reversed(list(works)):
            self._pending[work.backend == "cuda"].appendleft(work)

    def _count(self, flight: Flight, outcome: Outcome) -> None:
        n_slices = sum(slice_ is not None for slice_ in outcome.slices)
        mean = outcome.seconds / max(1, n_slices)
        if flight.works[0].backend != "cuda":
            self._seconds_per_work = mean if self._seconds_per_work is None else (self._seconds_per_work + mean) / 2
        figures = self.figures
        figures.slices += n_slices
        figures.journeys += 1
        figures.bytes_out += flight.bytes_out
        figures.bytes_back += flight.bytes_back
        figures.busy_seconds += outcome.seconds

    def _settle(self, done: Slice) -> Work | None:
        """Pass on what a slice tells; return what is left of its work."""
        self.compile_seconds += done.compile_seconds
        for event in done.events:
            self._close(event.trial, event)
        if done.left is not None:
            for trial, checkpoint in zip(done.left.trials, done.left.checkpoints, strict=True):
                self._deaths.pop(trial.trial_id, None)
                if checkpoint is not None:
                    self.emit(Saved(trial, checkpoint))
        return done.left

    def _close(self, trial: Trial, event: Event) -> None:
        self._open.pop(trial.trial_id, None)
        self._deaths.pop(trial.trial_id, None)
        self.emit(event)

    # what is lost

    def _give_up(self, member: Member) -> None:
        """Do again elsewhere what a worker had that is gone."""
        for flight in self._flights.pop(member):
            if flight.task is not None:
                flight.task.cancel()
            self._lose(flight)

    def _lose(self, flight: Flight) -> None:
        self.figures.lost += 1
        for work in flight.works:
            self._deaths.update(trial.trial_id for trial in work.trials)
        hopeless = [work for work in flight.works if self._is_hopeless(work)]
        self._fail(hopeless, WorkerLostError(f"{_MOST_DEATHS} workers in a row died while they had this trial"))
        self._put_back(work for work in flight.works if work not in hopeless)

    def _is_hopeless(self, work: Work) -> bool:
        deaths = max(self._deaths[trial.trial_id] for trial in work.trials)
        return deaths >= _MOST_DEATHS and not can_be_split(work)

    def _fail(self, works: Sequence[Work], error: BaseException) -> None:
        for trial in (trial for work in works for trial in work.trials):
            self._close(trial, Failed(trial, error))

    async def _wind_up(self) -> None:
        """Tell the workers to stop and take in what they have until then."""
        addresses = [member.address for member in self._flights if self._flights[member]]
        deadline = time.monotonic() + _SECONDS_TO_STOP
        with suppress(Exception):
            call = self.client.run(remote.stop, self.session, workers=addresses, on_error="ignore")
            await asyncio.wait_for(call, _SECONDS_TO_STOP)
        while any(self._flights.values()) and (left := deadline - time.monotonic()) > 0:
            await self._take_in(left)
        for flight in [flight for flights in self._flights.values() for flight in flights]:
            if flight.task is not None:
                flight.task.cancel()
        self._flights.clear()

"""The driver's side of a sweep on a cluster: which works go where, what comes back, and what is done again."""

from __future__ import annotations

import asyncio
import concurrent.futures
import pickle
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from freewalk.harness.base.checkpoint import Checkpoint
from freewalk.harness.base.errors import UsageError, one_line
from freewalk.harness.cluster import remote
from freewalk.harness.cluster.flight import LONGER_EACH_TIME, Figures, Flight
from freewalk.harness.cluster.members import Member, Members
from freewalk.harness.cluster.remote import Outcome
from freewalk.harness.cluster.waiting import Piece, Waiting
from freewalk.harness.engine.slices import Slice
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.plan import Trial
from freewalk.harness.trial.events import Event, Failed, Finished, Paused, Reports, Saved, Started, Stopped

_SLICE_SECONDS = 2.0
"""What the death of a worker costs at most, on each of its threads."""
_AHEAD = 2
"""Bundles that a thread has at once, so that it need not wait for the next."""
_SECONDS_TO_STOP = 3.0
_SIGNS_OF_DEATH = (asyncio.CancelledError, concurrent.futures.CancelledError, OSError)
_HUNG = "WorkerLost: workers hung one after another while they had this trial; it may never end, or need more memory"
_DIED = "WorkerLost: workers died one after another while they had this trial; it may need more memory than they have"


@dataclass
class _Progress:
    """An open trial."""

    trial: Trial
    saved_at: float
    unsaved: Checkpoint | None = None


@dataclass
class Dispatch:
    """Gives works to members until nothing is left; everything happens on the loop of the client.

    Parameters
    ----------
    client : distributed.Client
        Asynchronous.
    members
        Who can be given works.
    budget
        Of the sweep.
    emit
        Takes events, from the loop's thread.
    checkpoint_seconds
        Time between two checkpoints of a trial, in seconds.
    figures
        Counts what it costs.
    """

    client: Any
    members: Members
    budget: Budget
    emit: Callable[[Event], None]
    checkpoint_seconds: float
    figures: Figures = field(default_factory=Figures)
    compile_seconds: float = 0.0
    _session: str = field(default_factory=lambda: uuid.uuid4().hex)
    _waiting: Waiting = field(default_factory=Waiting)
    _flights: defaultdict[Member, list[Flight]] = field(default_factory=lambda: defaultdict(list))
    _landed: asyncio.Queue[Flight | None] = field(default_factory=asyncio.Queue)
    _open: dict[str, _Progress] = field(default_factory=dict)
    _stopping: bool = False
    _reports: Reports = field(default_factory=Reports)

    def stop(self) -> None:
        """Start no more, and let what runs end at its next check."""
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

    async def run(self, pieces: Iterable[Piece]) -> None:
        """Have all works done; return when nothing is left or everything has stopped."""
        self._waiting = Waiting(pieces)
        while not self._stopping and (self._waiting or any(self._flights.values())):
            self._give_out()
            await self._take_in(None)
        if self._stopping:
            await self._wind_up()
        for progress in self._open.values():
            if progress.unsaved is not None:
                self.emit(Saved(progress.trial, progress.unsaved))
            self.emit(Stopped(progress.trial))

    # what goes out

    def _give_out(self) -> None:
        ready = self.members.ready
        for member in [member for member in self._flights if member not in ready]:
            self._give_up(member)
        self._share_out(ready)
        for ahead in range(1, _AHEAD + 1):
            for member in ready:
                while len(self._flights[member]) < ahead * member.threads and (pieces := self._pieces_for(member)):
                    self._send(member, pieces)

    def _share_out(self, ready: Sequence[Member]) -> None:
        """Have something for every idle thread: call back what waits behind others, and cut large works in two."""
        open_to_more = [member for member in ready if not self._is_alone(member)]
        idle = sum(max(0, member.threads - len(self._flights[member])) for member in open_to_more)
        busiest = sorted(ready, key=lambda member: len(self._flights[member]) / member.threads, reverse=True)
        for member in busiest:
            for flight in self._flights[member][member.threads :]:
                if self._waiting.count(on_gpu=False) < idle and not flight.on_gpu:
                    self._call_back(flight)
        self._waiting.share_out(idle, on_gpu=False)
        gpus = [member for member in ready if member.facts.has_gpu]
        self._waiting.share_out(sum(not self._n_on_gpu(member) for member in gpus), on_gpu=True)

    def _call_back(self, flight: Flight) -> None:
        self._flights[flight.member].remove(flight)
        flight.cancel()
        self._waiting.put_back(flight.pieces)

    def _is_alone(self, member: Member) -> bool:
        """Tell whether a worker has something that gets no company."""
        return any(flight.is_alone for flight in self._flights[member])

    def _n_on_gpu(self, member: Member) -> int:
        return sum(flight.on_gpu for flight in self._flights[member])

    def _pieces_for(self, member: Member) -> tuple[Piece, ...]:
        """Take what shall travel to a worker together; nothing if it has enough or nothing waits."""
        if self._is_alone(member) or self._waits_for_an_empty_worker(member):
            return ()
        if member.facts.has_gpu and self._waiting.count(on_gpu=True):
            on_gpu = self._n_on_gpu(member)
            if on_gpu < (_AHEAD if member.threads == 1 else 1):
                return self._waiting.take_for_gpu()
            if len(self._flights[member]) - on_gpu >= member.threads - 1:
                return ()  # one thread is the GPU's
        return self._waiting.take(sum(other.threads for other in self.members.ready))

    def _waits_for_an_empty_worker(self, member: Member) -> bool:
        """Tell whether the next work for a worker has to be alone there, and it still has others."""
        kinds = (True, False) if member.facts.has_gpu else (False,)
        return bool(self._flights[member]) and any(self._waiting.next_is_suspect(on_gpu=kind) for kind in kinds)

    def _send(self, member: Member, pieces: tuple[Piece, ...]) -> None:
        for trial in (trial for piece in pieces for trial in piece.work.trials):
            if trial.trial_id not in self._open:
                self._open[trial.trial_id] = _Progress(trial, time.monotonic())
                self.emit(Started(trial))
        seconds = min(_SLICE_SECONDS, self.checkpoint_seconds)
        flight = Flight(pieces, member, is_alone=any(map(self._waiting.is_suspect, pieces)))
        payload = pickle.dumps((pieces, self.budget, seconds, self._session, flight.name))
        flight.bytes_out = len(payload)
        flight.task = asyncio.create_task(self._fly(flight, payload))
        self._flights[member].append(flight)

    async def _fly(self, flight: Flight, payload: bytes) -> Outcome:
        try:
            result: bytes = await self.client.submit(
                remote.run,
                payload,
                workers=[flight.member.address],
                allow_other_workers=False,
                key=f"freewalk-slices-{flight.name}",
            )
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
        await asyncio.wait([flight.task])
        error = asyncio.CancelledError() if flight.task.cancelled() else flight.task.exception()
        if isinstance(error, _SIGNS_OF_DEATH) or type(error).__name__ == "KilledWorker":
            self._give_up(flight.member)  # all of its flights are lost, and the first of them are to blame
            return
        if isinstance(error, UsageError):  # it is the worker that is not fit
            self.members.refuse(flight.member.address, str(error))
            self._give_up(flight.member)
            return
        self._flights[flight.member].remove(flight)
        if error is not None:
            self._fail(flight.pieces, one_line(error))
        else:
            outcome = flight.task.result()
            n_slices = sum(done is not None for done in outcome.slices)
            self.figures.count(flight, n_slices, outcome.seconds)
            if not flight.on_gpu:
                self._waiting.took(n_slices, outcome.seconds)
            pairs = zip(flight.pieces, outcome.slices, strict=True)
            self._waiting.put_back([left for piece, done in pairs for left in self._settle(piece, done)])

    def _settle(self, piece: Piece, done: Slice | None) -> list[Piece]:
        """Pass on what a slice tells; return what is left of its work."""
        if done is None:
            return [piece]
        self.compile_seconds += done.compile_seconds
        for event in done.events:
            self._close(event)
        saved = []
        for trial, checkpoint in (pair for work in done.left for pair in work.pairs()):
            self._waiting.progressed(trial.trial_id)
            if checkpoint is not None:
                self._save(trial, checkpoint)
                saved.append((trial, checkpoint.step, checkpoint.seconds, checkpoint.curve))
        if saved:
            self.emit(self._reports.of(saved))
        return [replace(piece, work=work) for work in done.left]

    def _save(self, trial: Trial, checkpoint: Checkpoint) -> None:
        """Pass a checkpoint on when it is time, else keep it for the case that the sweep is stopped."""
        progress, now = self._open[trial.trial_id], time.monotonic()
        progress.unsaved = checkpoint
        if now - progress.saved_at >= self.checkpoint_seconds:
            self.emit(Saved(trial, checkpoint))
            progress.saved_at, progress.unsaved = now, None

    def _close(self, event: Finished | Paused | Failed) -> None:
        self._open.pop(event.trial.trial_id, None)
        self._waiting.progressed(event.trial.trial_id)
        self.emit(event)

    # what is lost

    def _give_up(self, member: Member) -> None:
        """Do again elsewhere what a worker had that is gone; what only waited there is not to blame."""
        flights = self._flights.pop(member)
        for flight in flights:
            flight.cancel()
        for flight in reversed(flights[member.threads :]):
            self.figures.lost += 1
            self._waiting.put_back(flight.pieces)
        for flight in reversed(flights[: member.threads]):
            self._blame(flight, hung=member.hangs)

    def _blame(self, flight: Flight, *, hung: bool) -> None:
        self.figures.lost += 1
        self._fail(self._waiting.died(flight.pieces, hung=hung), _HUNG if hung else _DIED)

    def heard(self, member: Member, checks: Mapping[str, int]) -> str | None:
        """Learn how far the slices of a worker are, and do elsewhere those that no longer move.

        Each has taken a thread of the worker for good; return the reason to give up the worker when it was the last.
        """
        for flight in list(self._flights.get(member, ())):
            flight.heard(checks.get(flight.name))
            if not flight.is_stuck(self._waiting.hangs(flight.pieces), self.figures.longest_seconds, self.budget):
                continue
            trial = flight.pieces[0].work.trials[0]
            reason = f"{trial.cell.task}, seed {trial.seed}, has not moved for {flight.stuck_seconds:.0f} s"
            flight.cancel()
            self._flights[member].remove(flight)
            self._blame(flight, hung=True)
            self.wake()
            member.threads -= 1
            if not member.threads:
                return reason
            self.members.notify(f"worker {member.address} loses a thread: {reason}; that is done elsewhere")
        return None

    def patience(self, member: Member) -> float:
        """Return how much longer than usual to wait for a worker: its trials may have been given up in vain before."""
        running = self._flights.get(member, ())[: member.threads]
        return max((LONGER_EACH_TIME ** self._waiting.hangs(flight.pieces) for flight in running), default=1.0)

    def _fail(self, pieces: Iterable[Piece], error: str) -> None:
        for trial in (trial for piece in pieces for trial in piece.work.trials):
            self._close(Failed(trial, error))

    async def _wind_up(self) -> None:
        """Tell the workers to stop and take in what they have until then."""
        addresses = [member.address for member in self._flights if self._flights[member]]
        deadline = time.monotonic() + _SECONDS_TO_STOP
        with suppress(Exception):
            call = self.client.run(remote.stop, self._session, workers=addresses, on_error="ignore")
            await asyncio.wait_for(call, _SECONDS_TO_STOP)
        while any(self._flights.values()) and (left := deadline - time.monotonic()) > 0:
            await self._take_in(left)
        for flight in [flight for flights in self._flights.values() for flight in flights]:
            flight.cancel()
        self._flights.clear()

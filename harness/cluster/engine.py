"""The engine of a cluster: the same events as on this machine's threads, from slices that Dask workers run."""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import Generator, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import partial

from freewalk.harness.base.checkpoint import Checkpoint
from freewalk.harness.base.errors import UsageError
from freewalk.harness.cluster import connection
from freewalk.harness.cluster.connection import Cluster
from freewalk.harness.cluster.dispatch import Dispatch
from freewalk.harness.cluster.remote import Kind
from freewalk.harness.cluster.same_data import TaskData
from freewalk.harness.cluster.waiting import Piece
from freewalk.harness.engine.choice import by_home
from freewalk.harness.engine.packing import works_of
from freewalk.harness.engine.work import Work
from freewalk.harness.methods.registered import DEFAULT_METHOD, METHODS
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.plan import Cell, Trial
from freewalk.harness.trial.events import Event
from freewalk.kernels.backend import BackendName
from freewalk.tasks.registry import TASKS
from freewalk.tasks.stored import Source


class ClusterEngine:
    """Runs works on the workers of a cluster; the thread that iterates gets the events, and is the one writer.

    Workers run slices and send back what came of them; what is left of a work goes out again, to any worker. Which
    worker, in what company and after how many deaths changes no bit of a trial.

    Parameters
    ----------
    cluster
        Connected.
    choice
        The sweep's backend: auto takes GPUs for the walk if any worker has one.
    budget, plan
        Of the sweep; see `works_of`.
    checkpoint_seconds
        Time between two checkpoints of a trial.

    Raises
    ------
    UsageError
        If a GPU is demanded and no worker has one.
    """

    def __init__(
        self, cluster: Cluster, choice: str, budget: Budget, plan: Sequence[Trial], *, checkpoint_seconds: float
    ) -> None:
        self.backend = cluster.home(choice, DEFAULT_METHOD)
        self.compile_seconds = 0.0
        self._cluster = cluster
        self._choice = choice
        self._budget = budget
        self._plan = plan
        self._events: queue.SimpleQueue[Event | BaseException | None] = queue.SimpleQueue()
        self._dispatch = Dispatch(
            cluster.client, cluster.members, budget, self._events.put, checkpoint_seconds, cluster.figures
        )

    def run(
        self,
        trials: Sequence[Trial],
        checkpoints: Mapping[str, Checkpoint] | None = None,
        pauses: Mapping[str, float] | None = None,
    ) -> Generator[Event]:
        """Run trials, from checkpoints where there are any; yield what happens.

        Those in `pauses` spend so many evaluations, by trial_id, and then wait for another run.

        When the consumer stops early, or is interrupted, the workers are told to stop, and what they have by then is
        waited for; call `drain` for it.

        Raises
        ------
        UsageError
            If the scheduler is lost, or all workers are and none comes for a minute.
        """
        cluster, members, dispatch = self._cluster, self._cluster.members, self._dispatch
        pieces = self._pieces(trials, checkpoints, pauses)
        members.kinds = _kinds(pieces)
        members.changed, members.heard, members.patience = dispatch.wake, dispatch.heard, dispatch.patience
        running = cluster.submit(self._run(pieces))
        try:
            while (event := self._events.get()) is not None:
                self._take_compile_seconds()
                if isinstance(event, BaseException):
                    raise event
                yield event
        finally:
            self.stop()
            with suppress(CancelledError):
                running.result()
            self._take_compile_seconds()

    def stop(self) -> None:
        """Let running slices stop at their next check, and start no more."""
        self._cluster.loop.call_soon_threadsafe(self._dispatch.stop)

    def drain(self) -> Iterator[Event]:
        """Yield the events that were left when `run` was cut short."""
        while not self._events.empty():
            event = self._events.get()
            if event is not None and not isinstance(event, BaseException):
                yield event

    def _pieces(
        self,
        trials: Sequence[Trial],
        checkpoints: Mapping[str, Checkpoint] | None,
        pauses: Mapping[str, float] | None,
    ) -> list[Piece]:
        """Put trials together as the backends want them; in the order of the plan as far as one backend goes."""
        pieces = []
        for backend, whole, own in by_home(partial(self._cluster.home, self._choice), self._plan, trials):
            works = works_of(own, self._budget, backend, checkpoints=checkpoints, plan=whole, pauses=pauses)
            pieces += [Piece(work, backend.name, _sources(work)) for work in works]
        return pieces

    def _take_compile_seconds(self) -> None:
        members, dispatched = self._cluster.members, self._dispatch
        self.compile_seconds += members.prepare_seconds + dispatched.compile_seconds
        members.prepare_seconds = dispatched.compile_seconds = 0.0

    async def _run(self, pieces: Sequence[Piece]) -> None:
        start = time.perf_counter()
        doing = asyncio.create_task(self._dispatch.run(pieces))
        watching = [asyncio.create_task(self._cluster.watched()), asyncio.create_task(self._miss_workers())]
        try:
            await asyncio.wait({doing, *watching}, return_when=asyncio.FIRST_COMPLETED)
            for task in watching:
                if task.done():
                    await task
            await doing
        except Exception as error:
            self._events.put(error)
        finally:
            for task in (doing, *watching):
                task.cancel()
            await asyncio.gather(doing, *watching, return_exceptions=True)
            self._events.put(None)
        self._cluster.figures.run_for(time.perf_counter() - start, self._cluster.n_threads)

    async def _miss_workers(self) -> None:
        """Raise UsageError when for long nobody was there for what waits."""
        members, since = self._cluster.members, time.monotonic()
        was_anybody_ready = False
        while time.monotonic() - since < connection.WORKERS_SECONDS:
            await asyncio.sleep(0.2)
            was_anybody_ready = was_anybody_ready or bool(members.ready)
            if not was_anybody_ready:
                self._cluster.refuse_if_all_are_refused()
            kind = self._dispatch.missing()
            if kind is None or members.is_somebody_coming:
                since = time.monotonic()
        raise UsageError(self._cluster.nobody(self._dispatch.missing() or "worker"))


def _sources(work: Work) -> tuple[Source, ...]:
    cell = work.trials[0].cell
    return TASKS[cell.task].problem(cell.parameters).sources


def _kinds(pieces: Sequence[Piece]) -> list[Kind]:
    """Return what workers prepare for: each method and each task's data once, on every backend."""
    cells = {(piece.backend, trial.cell): None for piece in pieces for trial in piece.work.trials}
    by_kind: dict[Hashable, tuple[BackendName, Cell]] = {}
    for backend, cell in cells:
        own = tuple(cell.parameters.get(name) for name in TASKS[cell.task].parameters)
        by_kind.setdefault((backend, cell.task, METHODS[cell.method].kernels(cell.parameters), own), (backend, cell))
    return [Kind(backend, cell, TaskData.of(cell)) for backend, cell in by_kind.values()]

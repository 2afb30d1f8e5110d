"""The engine of a cluster: the same events as on this machine's threads, from slices that Dask workers run."""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress

from freewalk.harness.cluster import dispatch
from freewalk.harness.cluster.connection import WORKERS_SECONDS, Cluster
from freewalk.harness.cluster.dispatch import Dispatch
from freewalk.harness.engine import Event
from freewalk.harness.errors import UsageError
from freewalk.harness.slices import Work
from freewalk.kernels.backend import Backend


class ClusterEngine:
    """Runs works on the workers of a cluster; the thread that iterates gets the events, and is the one writer.

    Workers run slices and send back what came of them; what is left of a work goes out again, to any worker. Which
    worker, in what company and after how many deaths changes no bit of a trial.

    Parameters
    ----------
    cluster
        Connected.
    backend
        What stands for all workers where a trial fails.
    """

    def __init__(self, cluster: Cluster, backend: Backend) -> None:
        self.backend = backend
        self.compile_seconds = 0.0
        self._cluster = cluster
        self._events: queue.SimpleQueue[Event | BaseException | None] = queue.SimpleQueue()
        self._dispatch = Dispatch(cluster.client, cluster.members, self._events.put, dispatch.SLICE_SECONDS)

    def run(self, works: Sequence[Work]) -> Generator[Event]:
        """Have the works done; yield what happens.

        When the consumer stops early, or is interrupted, the workers are told to stop, and what they have by then is
        waited for; call `drain` for it.

        Raises
        ------
        UsageError
            If the scheduler is lost, or all workers are and none comes for a minute.
        """
        cluster, members = self._cluster, self._cluster.members
        kinds = {(work.backend, work.trials[0].cell.task, work.trials[0].cell.method): work.trials[0] for work in works}
        members.kinds = [(backend, trial.cell) for (backend, _, _), trial in kinds.items()]
        members.changed = self._dispatch.wake
        running = cluster.submit(self._run(works))
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
        """Let running slices stop at their next look, and start no more."""
        self._cluster.soon(self._dispatch.stop)

    def drain(self) -> Iterator[Event]:
        """Yield the events that were left when `run` was cut short."""
        while not self._events.empty():
            event = self._events.get()
            if event is not None and not isinstance(event, BaseException):
                yield event

    def _take_compile_seconds(self) -> None:
        members, dispatched = self._cluster.members, self._dispatch
        self.compile_seconds += members.prepare_seconds + dispatched.compile_seconds
        members.prepare_seconds = dispatched.compile_seconds = 0.0

    async def _run(self, works: Sequence[Work]) -> None:
        start = time.perf_counter()
        doing = asyncio.create_task(self._dispatch.run(works))
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
        seconds = time.perf_counter() - start
        self._cluster.notify(self._dispatch.figures.sentence(self._cluster.n_threads, seconds))

    async def _miss_workers(self) -> None:
        """Raise UsageError when for long nobody was there for what waits."""
        members, since = self._cluster.members, time.monotonic()
        while time.monotonic() - since < WORKERS_SECONDS:
            await asyncio.sleep(0.2)
            kind = self._dispatch.missing()
            if kind is None or members.is_somebody_coming:
                since = time.monotonic()
        raise UsageError(self._cluster.nobody(self._dispatch.missing() or "worker"))

"""The way to a cluster: a client on a loop of its own thread, and for a local cluster its scheduler and processes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, ExitStack, suppress
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from freewalk.harness.base.errors import UsageError
from freewalk.harness.base.text import counted
from freewalk.harness.cluster.client import connect, quiet_dask
from freewalk.harness.cluster.flight import Figures
from freewalk.harness.cluster.keys import Keys
from freewalk.harness.cluster.local import LocalWorkers
from freewalk.harness.cluster.members import Members, SchedulerLostError
from freewalk.harness.cluster.remote import facts
from freewalk.harness.engine.choice import backend_of, usable_backend
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.plan import Trial
from freewalk.kernels.backend import Backend

if TYPE_CHECKING:
    from freewalk.harness.cluster.engine import ClusterEngine

CONNECT_SECONDS = 10.0
WORKERS_SECONDS = 60.0
"""How long to wait where there is no worker, at the start or later."""
_SECONDS_BETWEEN_ROUNDS = 0.5
_SECONDS_TO_CLOSE = 0.5

T = TypeVar("T")


class Cluster:
    """Dask workers, from `with` to its end.

    Parameters
    ----------
    address
        Of a scheduler that runs, such as tcp://host:8786, or its file; None starts a local cluster.
    n_workers
        Worker processes of the local cluster.
    notify
        Takes sentences for the user, from any thread.

    Raises
    ------
    UsageError
        When entered: if no scheduler answers, or no worker that fits appears.
    """

    def __init__(
        self,
        address: str | None = None,
        n_workers: int | None = None,
        notify: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.address = address
        self.n_workers = n_workers
        self.notify = notify
        self.members: Members
        self.client: Any = None
        self.local: LocalWorkers | None = None
        self.start_seconds = 0.0
        self.figures = Figures()
        self._security: Any = None  # a cluster of somebody else's: what Dask's settings say
        self.loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread | None = None
        self._on_exit = ExitStack()
        self._on_exit_of_loop = AsyncExitStack()
        self._watch: asyncio.Task[None] | None = None

    @property
    def option(self) -> str:
        """What the user gave, for messages."""
        return f"--workers {self.n_workers}" if self.address is None else f"--cluster {self.address}"

    @property
    def has_gpu(self) -> bool:
        """Whether any worker has a GPU."""
        return any(member.facts.has_gpu for member in self.members.by_address.values())

    @property
    def n_threads(self) -> int:
        """Threads of all workers."""
        return sum(member.threads for member in self.members.by_address.values())

    def planned_for(self, choice: str) -> Backend:
        """Return what stands for the workers before it is known who they are."""
        backend = usable_backend("reference" if choice == "reference" else "cpu")
        return replace(backend, workers=self.n_workers or backend.workers)

    def home(self, choice: str, method: str, architecture: object = "free") -> Backend:
        """Return what stands for the workers that run a method: `auto` takes GPUs where it has kernels for them.

        Raises
        ------
        UsageError
            If a GPU is demanded and no worker has one.
        """
        found = [member.facts.backend for member in self.members.by_address.values()]
        gpus = [backend for backend in found if backend.name == "cuda"]
        if choice == "cuda" and not gpus:
            raise UsageError(f"--backend cuda: no worker has a GPU: {found[0].note}")
        if not gpus or choice not in ("auto", "cuda"):
            return self.planned_for(choice)
        return backend_of(gpus[0], method, architecture)

    def engine(
        self,
        choice: str,
        budget: Budget,
        plan: Sequence[Trial],
        *,
        checkpoint_seconds: float,
        plugins: tuple[str, ...] = (),
    ) -> ClusterEngine:
        """Return what runs the trials of a sweep here; workers find the plug-ins' files under the same paths."""
        from freewalk.harness.cluster.engine import ClusterEngine

        self.members.plugins = plugins
        return ClusterEngine(self, choice, budget, plan, checkpoint_seconds=checkpoint_seconds)

    def __enter__(self) -> Self:
        """Connect, and wait for the first workers."""
        start = time.perf_counter()
        self._on_exit.enter_context(quiet_dask())
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="freewalk-cluster", daemon=True)
        self._thread.start()
        try:
            self.call(self._open())
        except BaseException:
            self.close()
            raise
        self.start_seconds = time.perf_counter() - start
        found = list(self.members.by_address.values())
        gpus = sum(member.facts.has_gpu for member in found)
        sizes = [counted(len(found), "worker"), counted(self.n_threads, "thread")]
        sizes += [counted(gpus, "GPU")] if gpus else []
        self.notify(f"cluster of {', '.join(sizes)}, ready after {self.start_seconds:.1f} s")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect; end a local cluster; say what its runs have cost."""
        if self.figures.seconds:
            self.notify(self.figures.sentence())
        self.close()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and wait for it here."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def submit(self, work: Coroutine[Any, Any, None]) -> Any:
        """Start a coroutine on the loop; return its concurrent future."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def close(self) -> None:
        """Disconnect, end a local cluster, and let Dask speak again."""
        try:
            if self._thread is not None:
                with suppress(TimeoutError):
                    asyncio.run_coroutine_threadsafe(self._close(), self.loop).result(10)
                with suppress(TimeoutError):
                    asyncio.run_coroutine_threadsafe(_end_all_others(_SECONDS_TO_CLOSE), self.loop).result(10)
                self.loop.set_exception_handler(_say_nothing)
                self.loop.call_soon_threadsafe(self.loop.stop)
                self._thread.join()
                self.loop.close()
                self._thread = None
        finally:
            if self.local is not None:
                self.local.close()
            if self._thread is None:  # else what is left behind would speak
                self._on_exit.close()

    async def _open(self) -> None:
        address = await self._start_local() if self.address is None else self.address
        self.client = await self._connect(address)
        self.members = Members(self.client, facts(), self.notify, end=self.local.end if self.local else None)
        self._on_exit_of_loop.push_async_callback(self.members.close)
        self._watch = asyncio.create_task(self._watch_over_workers())
        await self._wait_for_workers(self.n_workers or 1)

    async def _start_local(self) -> str:
        from distributed import Scheduler

        keys = Keys.new()
        self._security = keys.security()
        listens = {"protocol": "tls://", "host": "127.0.0.1", "port": 0, "security": self._security}
        scheduler = Scheduler(**listens, dashboard=False, dashboard_address="127.0.0.1:0")
        await self._on_exit_of_loop.enter_async_context(scheduler)
        self.local = LocalWorkers(self.n_workers or 1, scheduler.address, keys)
        return str(scheduler.address)

    async def _connect(self, address: str) -> Any:
        try:
            client = await connect(address, self._security, CONNECT_SECONDS)
        except UsageError as error:
            raise UsageError(self._no_scheduler(str(error))) from None
        self._on_exit_of_loop.push_async_callback(client.close, timeout=5)
        return client

    def _no_scheduler(self, reason: str) -> str:
        return (
            f"{self.option}: no scheduler answers there ({reason}); start one with `dask scheduler`, and give the"
            " address that it prints"
        )

    async def _wait_for_workers(self, n_workers: int) -> None:
        """Return when so many workers have been checked and nobody is being asked."""
        assert self._watch is not None
        arrived = asyncio.Event()
        self.members.changed = arrived.set
        deadline = time.monotonic() + WORKERS_SECONDS
        while self.members.is_somebody_coming or len(self.members.by_address) < n_workers:
            if self._watch.done():
                await self._watch
            self.refuse_if_all_are_refused()
            if time.monotonic() > deadline:
                if self.members.by_address:
                    break  # those that still do not answer are not worth more waiting
                raise UsageError(self.nobody())
            with suppress(TimeoutError):
                await asyncio.wait_for(arrived.wait(), 0.2)
            arrived.clear()
        self.members.changed = lambda: None

    def refuse_if_all_are_refused(self) -> None:
        """Raise UsageError if there are workers, and none can take part."""
        members = self.members
        if members.refused and not members.by_address and not members.is_somebody_coming:
            address, reason = next(iter(members.refused.items()))
            raise UsageError(f"{self.option}: no worker can take part: {address}: {reason}")

    def nobody(self, kind: str = "worker") -> str:
        """Say that there is no worker of a kind."""
        start = "" if self.address is None else f" start some with `dask worker {self.address}`;"
        return (
            f"{self.option}: the cluster has had no {kind} for {WORKERS_SECONDS:.0f} s;{start} the same command resumes"
        )

    async def _watch_over_workers(self) -> None:
        """Keep the list of workers up to date, and the number of local ones."""
        while True:
            try:
                await self.members.look()
            except SchedulerLostError:
                raise UsageError(
                    f"{self.option}: the scheduler no longer answers; start it again: the same command resumes"
                ) from None
            if self.local is not None:
                for member in self.members.by_address.values():
                    self.local.served(member.facts.pid)
                if dead := self.local.tend():
                    self.notify(f"{counted(len(dead), 'worker')} died and {'is' if len(dead) == 1 else 'are'} replaced")
            await asyncio.sleep(_SECONDS_BETWEEN_ROUNDS)

    async def watched(self) -> None:
        """Return never; raise what ends the watch over the workers."""
        assert self._watch is not None
        await asyncio.shield(self._watch)

    async def _close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            with suppress(BaseException):
                await self._watch
        if self.local is not None:
            self.local.close()
        await self._on_exit_of_loop.aclose()


def _say_nothing(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Leave unsaid what a future of Dask failed with that nobody asked, and that is found after the last line."""


async def _end_all_others(seconds: float) -> None:
    """Wait for the other tasks of the loop for some seconds, then cancel them: none may outlive its loop."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=seconds)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)

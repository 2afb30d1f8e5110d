"""The workers of a cluster that take part: found, asked what they are, prepared, and missed when they are gone."""

from __future__ import annotations

import asyncio
import concurrent.futures
import pickle
import pydoc
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from freewalk.harness.base.errors import UsageError
from freewalk.harness.cluster import remote
from freewalk.harness.cluster.remote import Facts, Kind

_SECONDS_FOR_AN_ANSWER = 10.0
_SECONDS_FOR_A_CHECK = 60.0
_SECONDS_TO_PREPARE = 900.0
"""Kernels may have to be compiled, on a machine that has much else to do."""
SECONDS_BETWEEN_PULSES = 5.0
SILENT_SECONDS = 40.0
"""How long a worker may leave a question unanswered; its kernels run beside what answers."""
_SILENCES = 3
"""Questions in a row that the scheduler may leave without an answer."""


class SchedulerLostError(Exception):
    """The scheduler no longer answers."""


@dataclass(eq=False)
class Member:
    """A worker that has been checked."""

    address: str
    threads: int
    facts: Facts
    prepared: bool = False
    """Whether its kernels are loaded, so that it can be given slices."""
    hangs: bool = False
    """Whether it was given up because it no longer answered, or its slices no longer ended."""


@dataclass
class Members:
    """Keeps the list of workers; everything happens on the loop of the client.

    Parameters
    ----------
    client : distributed.Client
        Asynchronous.
    own : Facts
        What the driver is; a worker must have the same freewalk.
    notify
        Takes sentences for the user.
    end
        Ends a worker's process, which is then replaced, by its id; None where workers are somebody else's.
    changed
        Called when a worker has become ready or is gone.
    """

    client: Any
    own: Facts
    notify: Callable[[str], None]
    end: Callable[[int], None] | None = None
    changed: Callable[[], None] = lambda: None
    heard: Callable[[Member, Mapping[str, int]], str | None] = lambda member, checks: None
    """Takes what a worker says of its slices; a sentence is the reason to give the worker up."""
    patience: Callable[[Member], float] = lambda member: 1.0
    """How much longer than usual a worker may be silent, as a factor."""
    kinds: Sequence[Kind] = ()
    """What workers load kernels for, and whose data they must have, before they take part."""
    plugins: tuple[str, ...] = ()
    """Files with tasks and methods of one's own, which workers load before that."""
    by_address: dict[str, Member] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    """Reasons by address."""
    prepare_seconds: float = 0.0
    """Spent on compilation by all workers since it was last taken."""
    _coming: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _listening: dict[Member, asyncio.Task[None]] = field(default_factory=dict)
    _ended: set[str] = field(default_factory=set)
    _first_of_host: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    _warm_hosts: set[str] = field(default_factory=set)
    _told: set[str] = field(default_factory=set)
    _silences: int = 0

    @property
    def ready(self) -> list[Member]:
        """Workers that can be given slices."""
        return [member for member in self.by_address.values() if member.prepared]

    @property
    def is_somebody_coming(self) -> bool:
        """Whether a worker is being asked or prepared."""
        return bool(self._coming)

    async def look(self) -> None:
        """Ask the scheduler who is there; begin with those that are new, forget those that are gone.

        Raises
        ------
        SchedulerLostError
            If it has not answered several times.
        """
        try:
            there: dict[str, int] = await asyncio.wait_for(self.client.nthreads(), _SECONDS_FOR_AN_ANSWER)
        except Exception as error:  # whatever Dask makes of a scheduler that is gone
            self._silences += 1
            if self._silences >= _SILENCES or self.client.status == "closed":
                raise SchedulerLostError from error
            return
        self._silences = 0
        for address in {*self.by_address, *self._coming, *self.refused} - there.keys():
            self._forget(address)
        known = {*self._coming, *self.refused, *self._ended}
        for address, threads in there.items():
            if address not in known and not self._is_done(address):
                self._coming[address] = asyncio.create_task(self._welcome(address, threads))

    def _is_done(self, address: str) -> bool:
        member = self.by_address.get(address)
        return member is not None and (member.prepared or not self.kinds)

    def _forget(self, address: str) -> None:
        if (task := self._coming.pop(address, None)) is not None:
            task.cancel()
        self.refused.pop(address, None)
        if self._drop(address):
            self.changed()

    def _drop(self, address: str) -> bool:
        """Take a worker out; return whether it was one of ours."""
        member = self.by_address.pop(address, None)
        if member is not None and (task := self._listening.pop(member, None)) is not asyncio.current_task() and task:
            task.cancel()
        return member is not None

    async def close(self) -> None:
        """Ask nobody any more."""
        tasks = [*self._coming.values(), *self._listening.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _welcome(self, address: str, threads: int) -> None:
        """Check a worker and prepare it as far as it is known what for."""
        try:
            if address not in self.by_address:
                facts = await asyncio.wait_for(self._check(address), _SECONDS_FOR_A_CHECK)
                self.by_address[address] = member = Member(address, threads, facts)
                self._listening[member] = asyncio.create_task(self._listen(member))
            if self.kinds:
                await asyncio.wait_for(self._prepare(self.by_address[address]), _SECONDS_TO_PREPARE)
        except asyncio.CancelledError:
            raise
        except concurrent.futures.CancelledError:
            self._drop(address)  # it has died, or is asked once more
        except TimeoutError:
            self.refuse(address, "it has not become ready in time")
        except UsageError as error:
            self.refuse(address, str(error))
        except Exception as error:
            self.refuse(address, f"it cannot take part: {' '.join(f'{type(error).__name__}: {error}'.split())}")
        finally:
            if self._coming.get(address) is asyncio.current_task():
                del self._coming[address]
            self.changed()

    async def _listen(self, member: Member) -> None:
        """Give a worker up when it hangs: end it if it is ours, else leave it out."""
        reason = await self._uselessness(member)
        member.hangs = True
        if (task := self._coming.pop(member.address, None)) is not None:
            task.cancel()
        if self.end is None:
            self.refuse(member.address, f"{reason}; what it had is done elsewhere")
        else:
            self._drop(member.address)
            self._ended.add(member.address)
            self.end(member.facts.pid)
            self._tell(f"worker {member.address} is ended and replaced: {reason}; what it had is done again")
        self.changed()

    async def _uselessness(self, member: Member) -> str:
        """Ask a worker again and again how far its slices are, until it is of no use any more; return why.

        Time is counted in answers that came or failed to come, so that a driver that was stopped itself has missed
        nothing.
        """
        while True:
            await asyncio.sleep(SECONDS_BETWEEN_PULSES)
            call = self.client.run(remote.pulse, workers=[member.address], on_error="ignore")
            question, waited = asyncio.ensure_future(call), 0.0
            try:
                while not (await asyncio.wait({question}, timeout=1.0))[0]:
                    waited += 1.0
                    if waited >= SILENT_SECONDS * self.patience(member):
                        return f"it has not answered for {waited:.0f} s"
            finally:
                question.cancel()
            lost = question.cancelled() or question.exception() is not None
            reason = self.heard(member, {} if lost else question.result().get(member.address, {}))
            if reason is not None:
                return reason

    def refuse(self, address: str, reason: str) -> None:
        """Leave a worker out, as long as it is there."""
        self._drop(address)
        self.refused[address] = reason
        self._tell(f"worker {address} is left out: {reason}")

    def _tell(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self.notify(text)

    async def _check(self, address: str) -> Facts:
        # first functions that any Python has: with another freewalk there, ours might not be found
        found = await self._locate(address, "freewalk.__version__")
        if found is None:
            raise UsageError(f"it has no freewalk; install freewalk {self.own.version} there")
        if found != self.own.version:
            raise UsageError(f"it has freewalk {found}, here is {self.own.version}; install the same")
        if await self._locate(address, f"{remote.__name__}.{remote.facts.__name__}") is None:
            raise UsageError(f"its freewalk {found} lacks {remote.__name__}; install the same as here")
        facts: Facts = await self._on(address, remote.facts)
        if facts.source != self.own.source:
            raise UsageError(
                f"its freewalk {found} has other source files ({facts.source}, here {self.own.source}); install the"
                " same and start the worker again"
            )
        for name, version in facts.packages.items():
            if version != self.own.packages[name]:
                self._tell(
                    f"worker {address} has {name} {version}, here is {self.own.packages[name]}: last bits may differ"
                )
        return facts

    async def _locate(self, address: str, name: str) -> Any:
        """Return what a worker finds when it imports a name; None if there is nothing.

        Raises
        ------
        Exception
            What the import raises there.
        """
        found = await self.client.run(pydoc.locate, name, workers=[address], on_error="return")
        if isinstance(found[address], BaseException):
            raise found[address]
        return found[address]

    async def _prepare(self, member: Member) -> None:
        """Load the kernels; one worker of each host goes first, so that the others find them in the cache."""
        wanted = [kind for kind in self.kinds if kind.backend != "cuda" or member.facts.has_gpu]
        payload = pickle.dumps((self.plugins, wanted))
        host = member.facts.host
        async with self._first_of_host[host]:
            if host not in self._warm_hosts:
                self.prepare_seconds += await self._on(member.address, remote.prepare, payload)
                self._warm_hosts.add(host)
                member.prepared = True
        if not member.prepared:
            self.prepare_seconds += await self._on(member.address, remote.prepare, payload)
            member.prepared = True

    async def _on(self, address: str, function: Callable[..., Any], *arguments: object) -> Any:
        """Run a function as a task of one worker."""
        return await self.client.submit(
            function, *arguments, workers=[address], allow_other_workers=False, pure=False, priority=10
        )

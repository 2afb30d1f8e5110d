"""The engine of this machine: packs of trials on threads, without a barrier between them, reported as events."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager

from freewalk.harness.base.checkpoint import Checkpoint
from freewalk.harness.base.interrupts import TRAINING, patience
from freewalk.harness.engine.packing import works_of
from freewalk.harness.engine.work import PackRun, TrialAlone, Work, alone_again, start_pack
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.plan import Trial
from freewalk.harness.trial.events import Event, Failed, Reports, Saved, Started, Stopped, ended
from freewalk.harness.trial.trial import Interrupted, one_blas_thread, spread_if_worth
from freewalk.kernels.backend import Backend

_WORTH_CUTTING_SECONDS = 0.5
"""A pack that has less left than this is not worth cutting in two for an idle thread."""
_WORTH_SAVING_SECONDS = 5.0
"""A pack that is stopped after less than this is not worth a checkpoint."""

_MOST_EVENTS = 64
"""Events that may wait for the consumer; threads that are faster than it must not fill the memory."""
_SECONDS_OF_A_JOIN = 0.05
_SECONDS_BETWEEN_REPORTS = 0.3
_SECONDS_OF_A_REPORT = 1e-3
"""By how much the reports of a pack are further apart for each of its trials, and for each thread that reports."""


class _Cut(Interrupted):
    """An idle thread shall have half of the pack."""


class Engine:
    """Runs trials in packs, on as many threads as the backend has workers.

    Threads share no state but the list of work: one thread runs one pack, and the kernels release the GIL. A thread
    that finds no more work takes half of another's, and a trial that is the last one running takes over all threads.
    None of this changes a bit of a result.

    Parameters
    ----------
    backend, budget
        Where trials run, and how long.
    plan
        All trials of the sweep; None: those that are run. See `works_of`.
    checkpoint_seconds
        Time between two checkpoints of a trial.
    """

    def __init__(
        self,
        backend: Backend,
        budget: Budget,
        plan: Sequence[Trial] | None = None,
        *,
        checkpoint_seconds: float = float("inf"),
    ) -> None:
        self.backend = backend
        self._budget = budget
        self._plan = plan
        self._checkpoint_seconds = checkpoint_seconds
        self._stop = threading.Event()
        self._events: queue.Queue[Event | None] = queue.Queue(_MOST_EVENTS)
        self._left: list[Event] = []
        self._changed = threading.Condition()
        self._waiting: list[Work] = []
        self._running = 0
        self._idle = 0
        self._packs: list[PackRun] = []
        self._begun: set[str] = set()
        self.compile_seconds = 0.0

    def run(
        self,
        trials: Sequence[Trial],
        checkpoints: Mapping[str, Checkpoint] | None = None,
        pauses: Mapping[str, float] | None = None,
    ) -> Generator[Event]:
        """Run trials, in order as threads become free, from checkpoints where there are any; yield what happens.

        Those in `pauses` spend so many evaluations, by trial_id, and then wait for another run.

        When the consumer stops early, or is interrupted, the threads are told to stop and are waited for, as long as
        `patience` has it; call `drain` for the trials that were under way.
        """
        works = works_of(trials, self._budget, self.backend, checkpoints=checkpoints, plan=self._plan, pauses=pauses)
        self._waiting = works[::-1]
        threads = [
            threading.Thread(target=self._work, name=f"{TRAINING}-{k}", daemon=True)
            for k in range(min(self.backend.workers, len(trials)))
        ]
        with one_blas_thread():
            yield from self._follow(threads)

    def _follow(self, threads: Sequence[threading.Thread]) -> Generator[Event]:
        """Run the threads to their ends; yield what they say."""
        for thread in threads:
            thread.start()
        try:
            open_threads = len(threads)
            while open_threads:
                event = self._events.get()
                if event is None:
                    open_threads -= 1
                else:
                    yield event
        finally:
            self.stop()
            self._join(threads)

    def _join(self, threads: Sequence[threading.Thread]) -> None:
        """Wait for the threads, and take what they say meanwhile: one that cannot say it would not end."""
        until = time.monotonic() + patience()
        for thread in threads:
            while thread.is_alive() and time.monotonic() < until:
                self._left += self._said()
                thread.join(_SECONDS_OF_A_JOIN)
        self._left += self._said()

    def _said(self) -> Iterator[Event]:
        while not self._events.empty():
            event = self._events.get()
            if event is not None:
                yield event

    def stop(self) -> None:
        """Let running trials stop, within a step if need be, and start no more."""
        with self._changed:
            self._stop.set()
            for pack in self._packs:
                pack.request_stop()
            self._changed.notify_all()

    def drain(self) -> Iterator[Event]:
        """Yield the events that were left when `run` was cut short."""
        while self._left:
            yield self._left.pop(0)

    def _work(self) -> None:
        while (work := self._next()) is not None:
            more = self._run_pack(work)
            with self._changed:
                self._running -= 1
                self._waiting += more[::-1]
                self._changed.notify_all()
        self._events.put(None)

    def _next(self) -> Work | None:
        """Wait for work; return None when there will be none any more."""
        with self._changed:
            while not self._stop.is_set() and (self._waiting or self._running):
                if self._waiting:
                    self._running += 1
                    return self._waiting.pop()
                self._idle += 1
                self._changed.wait()
                self._idle -= 1
        return None

    def _run_pack(self, work: Work) -> list[Work]:
        """Run trials together until all have ended or the pack is left; return what others shall do."""
        self._begin(work)
        unfinished = {trial.trial_id: trial for trial in work.trials}
        try:
            pack = start_pack(work, self._budget, self.backend)
            with self._stoppable(pack):
                for trial, result in pack.run(_Check(self, pack)):
                    del unfinished[trial.trial_id]
                    self._count_compilation(pack)  # first: the row that is stored next bears it
                    self._events.put(ended(trial, result))
        except _Cut:
            return list(pack.left().halves())
        except Interrupted:
            for trial in unfinished.values():
                self._events.put(Stopped(trial))
        except Exception as error:
            return self._after(error, work, unfinished)
        return []

    def _begin(self, work: Work) -> None:
        for trial in work.trials:
            if trial.trial_id not in self._begun:
                self._begun.add(trial.trial_id)
                self._events.put(Started(trial))

    def _after(self, error: Exception, work: Work, unfinished: Mapping[str, Trial]) -> list[Work]:
        """Say which trials have failed; return those that shall try again."""
        if not (again := alone_again(work, unfinished.values(), self.backend)):
            for trial in unfinished.values():
                self._events.put(Failed.of(trial, error))
        return again

    @contextmanager
    def _stoppable(self, pack: PackRun) -> Iterator[None]:
        """Let `stop` reach a pack."""
        with self._changed:
            self._packs.append(pack)
        try:
            yield
        finally:
            with self._changed:
                self._packs.remove(pack)
            self._count_compilation(pack)

    def _count_compilation(self, pack: PackRun) -> None:
        with self._changed:
            self.compile_seconds += pack.newly_compiled()

    def check(self, pack: PackRun, seconds_since_saved: float) -> bool:
        """Do what is due between two calls of a pack's kernels; return whether checkpoints were made.

        Raises
        ------
        Interrupted
            If the pack shall be left.
        """
        stopping = self._stop.is_set()
        save = seconds_since_saved >= min(self._checkpoint_seconds, _WORTH_SAVING_SECONDS if stopping else math.inf)
        if save:
            for trial, checkpoint in pack.left().pairs():
                if checkpoint is not None:
                    self._events.put(Saved(trial, checkpoint))
        if stopping:
            raise Interrupted
        if self._shall_cut(pack):
            raise _Cut
        if isinstance(pack, TrialAlone) and self._is_alone():
            self.compile_seconds += spread_if_worth(pack.progress, self.backend)
        return save

    def report(self, pack: PackRun, reports: Reports) -> None:
        """Say how far a pack is, unless others have to be heard first: no thread waits for that."""
        if not self._events.full():
            self._events.put(reports.of((t, run.trainer.step, run.seconds, run.curve) for t, run in pack.open))

    def seconds_between_reports(self, pack: PackRun) -> float:
        """Return how long not to report on a pack again."""
        return max(_SECONDS_BETWEEN_REPORTS, _SECONDS_OF_A_REPORT * (len(pack.open) + 10 * self.backend.workers))

    def _shall_cut(self, pack: PackRun) -> bool:
        with self._changed:
            starving = self._idle > 0 and not self._waiting
        return starving and len(pack.open) > 1 and pack.seconds_left > _WORTH_CUTTING_SECONDS

    def _is_alone(self) -> bool:
        with self._changed:
            return self._running == 1 and not self._waiting


class _Check:
    """The checks of one pack, which know when its checkpoints were made and what was reported."""

    def __init__(self, engine: Engine, pack: PackRun) -> None:
        self._engine, self._pack = engine, pack
        self._saved_at = time.perf_counter()
        self._reports = Reports()
        self._reported_at = self._saved_at

    def __call__(self) -> None:
        now = time.perf_counter()
        if now - self._reported_at >= self._engine.seconds_between_reports(self._pack):
            self._reported_at = now
            self._engine.report(self._pack, self._reports)
        if self._engine.check(self._pack, now - self._saved_at):
            self._saved_at = now

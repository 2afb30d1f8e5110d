"""The engine of this machine: trials on threads, without a barrier between them, reported as events."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from freewalk.harness.budget import Budget
from freewalk.harness.plan import Trial
from freewalk.harness.trial import (
    Interrupted,
    TrialResult,
    TrialRun,
    one_blas_thread,
    run_trial,
    spread_if_worth,
    start_trial,
)
from freewalk.kernels.backend import Backend
from freewalk.kernels.walk import Trainer


@dataclass(frozen=True)
class Started:
    """A trial has begun."""

    trial: Trial


@dataclass(frozen=True)
class Finished:
    """A trial has come to its outcome."""

    trial: Trial
    result: TrialResult


@dataclass(frozen=True)
class Failed:
    """A trial ended in an error; the others go on."""

    trial: Trial
    error: BaseException


@dataclass(frozen=True)
class Stopped:
    """A trial was told to stop before its end."""

    trial: Trial


Event = Started | Finished | Failed | Stopped


class Engine:
    """Runs trials on as many threads as the backend has workers.

    Threads share no state but the queue of trials: one thread runs one trial, and the kernels release the GIL. A trial
    that is the last one running takes over the idle threads; that changes no bit of its result.
    """

    def __init__(self, backend: Backend, budget: Budget) -> None:
        self.backend = backend
        self._budget = budget
        self._stop = threading.Event()
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting: list[Trial] = []
        self._running = 0
        self._trainers: list[Trainer] = []
        self.compile_seconds = 0.0

    def run(self, trials: Sequence[Trial]) -> Generator[Event]:
        """Run the trials, in order as threads become free; yield what happens.

        When the consumer stops early, or is interrupted, the threads are told to stop and are waited for; call
        `drain` for the trials that were under way.
        """
        self._waiting = list(reversed(trials))
        threads = [
            threading.Thread(target=self._work, name=f"freewalk-{k}", daemon=True)
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
            for thread in threads:
                thread.join()

    def stop(self) -> None:
        """Let running trials stop, within a step if need be, and start no more."""
        with self._lock:
            self._stop.set()
            for trainer in self._trainers:
                trainer.request_stop()

    def drain(self) -> Iterator[Event]:
        """Yield the events that were left when `run` was cut short."""
        while not self._events.empty():
            event = self._events.get()
            if event is not None:
                yield event

    def _next(self) -> Trial | None:
        with self._lock:
            if self._stop.is_set() or not self._waiting:
                return None
            self._running += 1
            return self._waiting.pop()

    def _work(self) -> None:
        while (trial := self._next()) is not None:
            self._events.put(Started(trial))
            self._events.put(self._outcome_of(trial))
            with self._lock:
                self._running -= 1
        self._events.put(None)

    def _outcome_of(self, trial: Trial) -> Event:
        try:
            run = start_trial(trial.cell, trial.seed, self._budget, self.backend)
            with self._stoppable(run.trainer):
                return Finished(trial, run_trial(run, self.backend, look=self._look))
        except Interrupted:
            return Stopped(trial)
        except Exception as error:
            return Failed(trial, error)

    @contextmanager
    def _stoppable(self, trainer: Trainer) -> Iterator[None]:
        """Let `stop` reach a trainer."""
        with self._lock:
            self._trainers.append(trainer)
        try:
            yield
        finally:
            with self._lock:
                self._trainers.remove(trainer)

    def _look(self, run: TrialRun) -> None:
        if self._stop.is_set():
            raise Interrupted
        if self._is_alone():
            self.compile_seconds += spread_if_worth(run, self.backend)

    def _is_alone(self) -> bool:
        with self._lock:
            return self._running == 1 and not self._waiting

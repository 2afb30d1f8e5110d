"""Numba's threads, on which the chunks of one step are spread: how many there are, and whether a fork has lost them."""

from __future__ import annotations

import os
import platform
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path

import numba

_ONE_AT_A_TIME = threading.Lock()

_lost = False


def n_threads() -> int:
    """Start Numba's threads, if they are not yet running; return how many there are.

    Raises
    ------
    ValueError
        If the setting of Numba names threads that it cannot use here.
    """
    try:
        return int(numba.get_num_threads())
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"NUMBA_THREADING_LAYER={numba.config.THREADING_LAYER}: Numba cannot use these threads here"
            f" ({reason.rstrip('.')}); unset it, or give omp or workqueue"
        ) from None


def taking_turns(threads: int) -> AbstractContextManager[object]:
    """Return what a step on so many threads runs in, wherever another thread of a user may take one as well.

    Steps on several share Numba's pool, whose simplest kind ends the process when two of them meet.
    """
    return nullcontext() if threads == 1 else _ONE_AT_A_TIME


def are_lost() -> bool:
    """Tell whether this process was forked from one with such threads: a fork leaves them behind.

    GNU OpenMP ends a process that asks for them nevertheless; other kinds may wait for ever.
    """
    return _lost


def _note_a_fork() -> None:
    global _lost
    with suppress(ValueError):  # Numba's word for not started yet: then the child can start its own
        numba.threading_layer()
        _lost = True


os.register_at_fork(after_in_child=_note_a_fork)


_most_threads: int | None = None


@contextmanager
def limited_threads(most: int | None) -> Iterator[None]:
    """Let `usable_threads` give no more than so many, for as long as the context lasts; None changes nothing."""
    global _most_threads
    before, _most_threads = _most_threads, most or _most_threads
    try:
        yield
    finally:
        _most_threads = before


def usable_threads() -> int:
    """Return how many threads to use: Numba's setting, but no more processors than this process may use.

    `limited_threads` may set fewer.

    Raises
    ------
    ValueError
        If the setting of Numba names threads that it cannot use here.
    """
    threads = min(n_threads(), _most_threads or sys.maxsize)
    return min(threads, len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else threads


@cache
def processor_name() -> str:
    """Return the processor's name as the operating system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown"

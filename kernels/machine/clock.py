"""A clock that stands still while this process is stopped: by Ctrl-Z, a debugger, a frozen virtual machine."""

from __future__ import annotations

import os
import threading
import time

_SECONDS_BETWEEN_BEATS = 0.1
_LONGEST_GAP = 1.0
"""Seconds without a beat after which the process may have been stopped; a busy machine makes shorter ones."""
_SHARE_OF_WORK = 0.1
"""Processor time per second of a gap that only a running process takes: something held the interpreter then."""


class RunningClock:
    """Seconds in which the process could run, counted from an arbitrary start.

    A thread looks at the wall clock ten times a second. Where it could not for longer than a second, and the process
    took no processor time either, the process was stopped, and the gap is left out.
    """

    def __init__(self) -> None:
        self._reset()
        self._lost = 0.0
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._heart: threading.Thread | None = None
        self._wall, self._work = time.perf_counter(), time.process_time()

    def now(self) -> float:
        """Return the seconds."""
        with self._lock:
            if self._heart is None:
                self._wall, self._work = time.perf_counter(), time.process_time()
                self._heart = threading.Thread(target=self._beat, name="freewalk-clock", daemon=True)
                self._heart.start()
            return self._look()

    def _beat(self) -> None:
        while True:
            time.sleep(_SECONDS_BETWEEN_BEATS)
            with self._lock:
                self._look()

    def _look(self) -> float:
        wall, work = time.perf_counter(), time.process_time()
        gap = wall - self._wall
        if gap > _LONGEST_GAP and work - self._work < _SHARE_OF_WORK * gap:
            self._lost += gap - _SECONDS_BETWEEN_BEATS
        self._wall, self._work = wall, work
        return wall - self._lost


running_seconds = RunningClock().now
"""Return seconds that stand still while the process is stopped; for differences, as `time.perf_counter`."""

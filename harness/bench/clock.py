"""How much of the time limit is left."""

from __future__ import annotations

import time
from collections.abc import Callable


class Deadline:
    """A point in time after which nothing new begins.

    Parameters
    ----------
    seconds
        Time allowed, from now on.
    clock
        Tells the time in seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._start = clock()
        self._end = self._start + seconds

    @property
    def left(self) -> float:
        """Seconds left, at least 0."""
        return max(0.0, self._end - self._clock())

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._start

    @property
    def passed(self) -> bool:
        """Whether nothing new may begin."""
        return self.left == 0

    def share(self, part: float) -> Deadline:
        """Return a deadline after a part of the time that is left."""
        return Deadline(self.left * part, self._clock)

"""Pages that take time to make: made by one thread, again when what they show has changed, and never too often."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

SECONDS_BETWEEN = 3.0
SHARE = 5.0
"""How many times the time of the last making lies between two, so that watching leaves the processors to the sweep."""
_KEPT = 16


@dataclass(frozen=True)
class Page:
    """A page as it was made."""

    html: bytes
    version: str
    """No other page of the server has it."""
    signature: Hashable
    """Of what it shows."""
    began: float
    """When it began to be made, on the clock of `time.monotonic`."""


@dataclass
class _Wanted:
    signature: Hashable
    """Of what it shows now."""
    make: Callable[[], str]
    page: Page | None = None
    asked_at: float = field(default_factory=time.monotonic)


class Pages:
    """Makes pages that somebody has asked for, one at a time, in a thread of its own.

    Parameters
    ----------
    seconds_between
        Least time between two makings of pages that are there already.
    share
        The same, in times of what the last one took.
    """

    def __init__(self, seconds_between: float = SECONDS_BETWEEN, share: float = SHARE) -> None:
        self._between, self._share = seconds_between, share
        self._wanted: dict[Hashable, _Wanted] = {}
        self._versions = itertools.count(1)
        self._again_at = 0.0
        self._changed = threading.Condition()
        self._is_over = False
        self._thread = threading.Thread(target=self._work, name="freewalk-pages", daemon=True)
        self._thread.start()

    def ask(self, key: Hashable, signature: Hashable, make: Callable[[], str]) -> Page | None:
        """Return a page as it is, and have it made if it is not there or shows something else by now.

        Parameters
        ----------
        key
            Which page.
        signature
            Of what it shows: of the same, nothing is made again.
        make
            Returns its HTML; called in the thread.
        """
        with self._changed:
            wanted = self._wanted.setdefault(key, _Wanted(signature, make))
            wanted.signature, wanted.make, wanted.asked_at = signature, make, time.monotonic()
            if len(self._wanted) > _KEPT:
                del self._wanted[min(self._wanted, key=lambda key: self._wanted[key].asked_at)]
            self._changed.notify()
            return wanted.page

    def close(self) -> None:
        """End the thread after what it is making, and wait a moment for that."""
        with self._changed:
            self._is_over = True
            self._changed.notify()
        self._thread.join(2.0)

    def _work(self) -> None:
        while (wanted := self._next()) is not None:
            signature, start = wanted.signature, time.monotonic()
            html = wanted.make()
            with self._changed:
                content, version = html.encode("utf-8", "replace"), str(next(self._versions))
                wanted.page = Page(content, version, signature, start)
                now = time.monotonic()
                self._again_at = now + max(self._between, self._share * (now - start))

    def _next(self) -> _Wanted | None:
        """Wait for what is to be made: first what has never been, then what waits longest; None at the end."""
        with self._changed:
            while not self._is_over:
                due = [one for one in self._wanted.values() if one.page is None or one.page.signature != one.signature]
                new = [one for one in due if one.page is None]
                wait = self._again_at - time.monotonic()
                if new or (due and wait <= 0):
                    return min(new or due, key=lambda one: int(one.page.version) if one.page else 0)
                self._changed.wait(max(wait, 0.0) if due else None)
        return None

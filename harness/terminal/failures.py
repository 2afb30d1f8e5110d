"""What becomes visible of a trial's failure: its whole traceback, for whoever asks for it."""

from __future__ import annotations

import sys

from freewalk.harness.base.tracebacks import are_wanted
from freewalk.harness.sweep import Opened
from freewalk.harness.trial.events import Event, Failed


class Failures:
    """Shows on stderr each traceback that failed trials have, once, where tracebacks are wanted."""

    def __init__(self) -> None:
        self._shown: set[str] = set()

    def show(self, event: Opened | Event) -> None:
        """Take one event in."""
        if isinstance(event, Failed) and are_wanted() and event.traceback not in self._shown:
            self._shown.add(event.traceback)
            print(event.traceback, file=sys.stderr, flush=True)  # noqa: T201 - as the display does

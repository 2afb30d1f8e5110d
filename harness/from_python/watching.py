"""Whether somebody looks on while a sweep or a tuning runs, and what they see."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal

from freewalk.harness.base.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Generator

    from freewalk.harness.sweep import Opened, Sweep
    from freewalk.harness.trial.events import Event
    from freewalk.harness.tuning.tune import Tuning

Place = Literal["nowhere", "terminal", "notebook"]


def place_of_progress(progress: Any) -> Place:
    """Return where progress is to be shown: of None, where a person looks on.

    Raises
    ------
    UsageError
        If it is none of None, True and False.
    """
    if progress is not None and not isinstance(progress, bool):
        raise UsageError(f"progress must be True, False or None, got {progress!r:.60}")
    if progress is False:
        return "nowhere"
    from freewalk.harness.terminal.notebook import in_notebook

    if in_notebook():
        return "notebook"
    return "terminal" if progress or (sys.stderr is not None and sys.stderr.isatty()) else "nowhere"


def watch_sweep(sweep: Sweep, place: Place, *, kept: bool, **options: bool) -> None:
    """Let a sweep run and show how far it is; an interrupt or an error leaves the folder ready to go on."""
    from freewalk.harness.terminal.notebook import NotebookProgress
    from freewalk.harness.terminal.progress import make_progress

    shown = (
        NotebookProgress(sweep, kept=kept)
        if place == "notebook"
        else make_progress(sweep, quiet=place == "nowhere", kept=kept)
    )
    with shown as progress, closing(_generator(sweep.run(**options))) as events:
        for event in events:
            progress.show(event)


def watch_tuning(tuning: Tuning, place: Place, *, kept: bool, retry_failed: bool) -> None:
    """Let a tuning run, as `watch_sweep` does."""
    from freewalk.harness.terminal.notebook import shown_in_notebook
    from freewalk.harness.terminal.tuning_progress import shown

    with closing(_generator(tuning.run(retry_failed=retry_failed))) as events:
        if place == "notebook":
            shown_in_notebook(tuning, events, kept=kept)
        else:
            shown(tuning, events, quiet=place == "nowhere", kept=kept)


def _generator(events: Iterator[Opened | Event]) -> Generator[Opened | Event]:
    """Return what `closing` can close: a traceback that somebody keeps, as notebooks do, would keep it open."""
    return events  # type: ignore[return-value]

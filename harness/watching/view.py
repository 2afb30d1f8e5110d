"""What every view has: a page, a frame that keeps it up to date, and a few words on how far it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import freewalk
from freewalk.harness.base.errors import UsageError, one_line
from freewalk.harness.base.text import counted, duration, printable
from freewalk.harness.watching.pages import Page
from freewalk.results.report.live_page import sentence_page
from freewalk.results.store.listing import STAGES, SweepState

VERSION = freewalk.__version__


class View(Protocol):
    """Something to see."""

    def state(self) -> dict[str, Any]:
        """Return how far it is: what the bar says, and the version of the page that is ready."""

    def page(self) -> Page | None:
        """Return the page; None as long as it has not been made."""

    def frame(self, nonce: str) -> tuple[str, str]:
        """Return the HTML that shows the page and keeps it up to date, and the version of what it shows already."""


def guarded(name: str, make: Callable[[], str]) -> str:
    """Return a page, or one that says in a line why there is none."""
    try:
        return make()
    except UsageError as error:
        message = printable(str(error))
    except Exception as error:  # the thread that makes pages must go on
        message = one_line(error)
    return sentence_page(name, "This cannot be shown", message, version=VERSION)


def said_of(
    kind: str, stage: str, *, version: str, share: float, title: str, word: str = "", **said: str
) -> dict[str, Any]:
    """Put together what a page is told; `word` is what stands for the stage."""
    said = {"failed": "", "left": "", "behind": "", "stage": word or stage, **said}
    announced = ", ".join(filter(None, (said["stage"], said["done"], said["failed"], said["left"])))
    return {
        "kind": kind,
        "stage": stage,
        "version": version,
        "share": share,
        "title": title,
        "said": said,
        "announce": announced,
    }


def said_of_several(kind: str, states: Sequence[SweepState], *, version: str, title: str, word: str) -> dict[str, Any]:
    """Put together what a page of several sweeps is told."""
    n_planned, n_done, n_failed = (
        sum(getattr(one, name) for one in states) for name in ("n_planned", "n_done", "n_failed")
    )
    return said_of(
        kind,
        next(stage for stage in STAGES if any(one.state == stage for one in states)),
        version=version,
        share=n_done / n_planned if n_planned else 0.0,
        title=title,
        word=word,
        done=f"{n_done:,} of {counted(n_planned, 'trial')}",
        failed=f"{n_failed:,} failed" if n_failed else "",
        written=ago(max((one.last_written for one in states if one.last_written), default=None)),
    )


def ago(when: datetime | None) -> str:
    """Say when something was written; nothing where that is not known."""
    if when is None:
        return ""
    seconds = (datetime.now(UTC) - when).total_seconds()
    if seconds < 2:
        return "written just now"
    return f"written {whole(seconds)} ago" if seconds < 86400 else f"written {when:%Y-%m-%d %H:%MZ}"


def whole(seconds: float) -> str:
    """Return a time without fractions of a second."""
    return f"{seconds:.0f} s" if seconds < 60 else duration(seconds)

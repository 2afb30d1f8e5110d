"""The sweeps of a folder as they come and go."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from freewalk.harness.base.text import printable
from freewalk.harness.watching.pages import Page
from freewalk.harness.watching.view import VERSION, said_of_several
from freewalk.harness.watching.watched import Folder, Watched
from freewalk.results.report.live_page import SweepRow, sweeps_page
from freewalk.results.store.listing import STAGES


class ListView:
    """The sweeps of a folder."""

    def __init__(self, folder: Folder, sweeps: Mapping[str, Watched]) -> None:
        self._folder = folder
        self._sweeps = sweeps

    def _rows(self) -> list[SweepRow]:
        return [
            SweepRow(name, printable(self._folder.place(one)), one.look().state) for name, one in self._sweeps.items()
        ]

    def state(self) -> dict[str, Any]:
        """Return how many sweeps there are in which state."""
        rows = self._rows()
        states = [row.state for row in rows]
        counts = {stage: sum(one.state == stage for one in states) for stage in STAGES}
        words = ", ".join(f"{n} {name}" for name, n in counts.items() if n)
        title = f"{printable(str(self._folder.directory))}: sweeps"
        return said_of_several("list", states, version=_version(rows), title=title, word=words)

    def page(self) -> Page | None:
        """Return None: the list is shown in its frame alone."""
        return None

    def frame(self, nonce: str) -> tuple[str, str]:
        """Return the list."""
        rows = self._rows()
        version = _version(rows)
        html = sweeps_page(
            printable(str(self._folder.directory)), rows, self._notes(), version=VERSION, nonce=nonce, kind="list",
            shown=version,
        )  # fmt: skip
        return html, version

    def _notes(self) -> list[str]:
        page = self._folder.directory / "tuning.html"
        return [f"What the tuning has found is in {printable(str(page))}."] if page.is_file() else []


def _version(rows: Sequence[SweepRow]) -> str:
    shown = [(row.identifier, row.state, row.changed) for row in rows]
    return hashlib.sha256(repr(shown).encode("utf-8", "replace")).hexdigest()[:16]

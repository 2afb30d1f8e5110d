"""Two sweeps side by side, while they run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from freewalk.harness.base.text import printable
from freewalk.harness.watching.pages import Page, Pages
from freewalk.harness.watching.view import VERSION, guarded, said_of_several
from freewalk.harness.watching.watched import Folder, Watched
from freewalk.results.report.live_page import frame

_ROWS_COMPARED = 100


class CompareView:
    """Two sweeps side by side, as `harness compare` has them."""

    def __init__(self, sides: Sequence[Watched], folder: Folder, pages: Pages) -> None:
        self._sides, self._pages = sides, pages
        self._places = [printable(folder.place(one)) for one in sides]

    def state(self) -> dict[str, Any]:
        """Return how far both sweeps are."""
        page = self.page()
        states = [one.look().state for one in self._sides]
        words = " and ".join(dict.fromkeys(one.state for one in states))
        version = page.version if page else ""
        return said_of_several("compare", states, version=version, title=self._name, word=words)

    def page(self) -> Page | None:
        """Return the comparison."""
        a, b = self._sides
        looks = (a.look(), b.look())
        return self._pages.ask(
            (a.directory, b.directory),
            tuple(look.signature for look in looks),
            lambda: guarded(self._name, lambda: _comparison([a.directory, b.directory], self._places)),
        )

    def frame(self, nonce: str) -> tuple[str, str]:
        """Return the frame around the comparison."""
        return frame(self._name, version=VERSION, nonce=nonce, back="../../../", kind="compare"), ""

    @property
    def _name(self) -> str:
        return " beside ".join(self._places)


def _comparison(directories: Sequence[Path], places: Sequence[str]) -> str:
    from freewalk.harness.terminal.comparison import Comparison
    from freewalk.harness.terminal.comparison_table import measure_tables
    from freewalk.harness.terminal.reading import read_sweep, reading
    from freewalk.results.files.sources import named_alike
    from freewalk.results.report.live_page import comparison_page

    a, b = (read_sweep(str(directory)) for directory in directories)
    with reading():
        b = named_alike(a, b)
    found = Comparison.of([(a, b)], None)
    sides = list(zip("AB", places, strict=True))
    return comparison_page(sides, measure_tables(found, _ROWS_COMPARED), list(found.notes()), version=VERSION)

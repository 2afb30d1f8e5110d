"""What there is to see of a folder, by the identifiers in addresses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from freewalk.harness.watching.compare_view import CompareView
from freewalk.harness.watching.list_view import ListView
from freewalk.harness.watching.pages import Pages
from freewalk.harness.watching.sweep_view import SweepView
from freewalk.harness.watching.view import View
from freewalk.harness.watching.watched import Folder, Watched
from freewalk.results.store.listing import is_sweep


class Views:
    """All that can be seen of a folder.

    Parameters
    ----------
    directory
        A sweep's folder, a folder of sweeps, or one that will be either.
    pages
        What makes the pages.
    """

    def __init__(self, directory: Path, pages: Pages) -> None:
        self.directory = directory
        self._pages = pages
        self._whole = Watched(directory)
        self._folder = Folder(directory)

    def find(self, place: Sequence[str]) -> View | None:
        """Return the view at a place, which names sweeps by their identifiers; None for one that there is not."""
        match place:
            case []:
                sweeps = {} if is_sweep(self.directory) else self._folder.sweeps()
                return ListView(self._folder, sweeps) if sweeps else SweepView(self._whole, self._pages)
            case ["sweep", name] if (one := self._folder.sweeps().get(name)) is not None:
                return SweepView(one, self._pages, self._folder.place(one))
            case ["compare", *names] if len(names) == 2:
                found = [self._folder.sweeps().get(name) for name in names]
                sides = [one for one in found if one is not None]
                return CompareView(sides, self._folder, self._pages) if len(sides) == 2 else None
        return None

"""Pages for a browser that asks again: the frame around a report, the list of sweeps, a comparison, one sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from freewalk.results.base.numbers import counted, listed
from freewalk.results.report.page import fill
from freewalk.results.store.listing import STAGES, SweepState

_NAMED = 6
"""Tasks, or methods, that are named in a row."""


@dataclass(frozen=True)
class SweepRow:
    """A sweep in the list."""

    identifier: str
    """Letters and digits that stand for it in addresses."""
    place: str
    """Its path below the listed folder."""
    state: SweepState

    @property
    def words(self) -> str:
        """What the list is filtered by."""
        return " ".join([self.place, self.state.name, *self.state.tasks, *self.state.methods]).lower()

    @property
    def comparable(self) -> bool:
        """Whether it may be chosen: a trial of it has ended."""
        return self.state.n_done > 0

    @property
    def tasks(self) -> str:
        """Its tasks, in words."""
        return _some(self.state.tasks)

    @property
    def methods(self) -> str:
        """Its methods, in words."""
        return _some(self.state.methods)

    @property
    def changed(self) -> str:
        """When it was last written, to the minute."""
        return f"{self.state.last_written:%Y-%m-%d %H:%MZ}" if self.state.last_written else ""


def _some(names: Sequence[str]) -> str:
    return listed([*names[:_NAMED], f"{len(names) - _NAMED} more"] if len(names) > _NAMED else list(names))


def frame(name: str, *, version: str, nonce: str, back: str = "", kind: str = "page") -> str:
    """Return the page that shows another one, its neighbour ``report``, and keeps it up to date.

    Parameters
    ----------
    name : str
        Of what it shows.
    version : str
        Of this program.
    nonce : str
        What the policy names the page's own style and script by.
    back : str
        Where the list of sweeps is; empty where there is none.
    kind : str
        What the page is of: when the server tells another one, the browser loads it anew.
    """
    values = {"nonce": nonce, "back": back, "kind": kind, "source": "report", "shown": ""}
    return fill("live.html", identity="", name=name, title=name, version=version, **values)


def sweeps_page(folder: str, rows: Sequence[SweepRow], notes: Sequence[str], *, version: str, **live: str) -> str:
    """Return the list of sweeps, which keeps itself up to date.

    Parameters
    ----------
    folder : str
        The folder that holds them.
    rows : sequence of SweepRow
        In the order to show.
    notes : sequence of str
        What stands below, in sentences.
    version : str
        Of this program.
    live
        `nonce` as of `frame`, `kind` too, and `shown`: the version of what is shown.
    """
    values: dict[str, Any] = {"back": "", "source": "./", **live}
    return fill(
        "sweeps.html",
        identity="",
        name=folder,
        title=f"{folder}: sweeps",
        version=version,
        heading="Sweeps",
        extent=f"{counted(len(rows), 'sweep')} in {folder}.",
        rows=rows,
        notes=notes,
        stages=STAGES,
        **values,
    )


def comparison_page(
    sides: Sequence[tuple[str, str]], measures: Sequence[Any], notes: Sequence[str], *, version: str
) -> str:
    """Return the page of two sweeps beside each other.

    Parameters
    ----------
    sides : sequence of (str, str)
        A and B, and where each lies.
    measures : sequence
        What is shown of each measure, by attributes: `title`, `remark`, `header`, `rows` of texts, whose first
        describes a cell, and `sentence` on all cells.
    notes : sequence of str
        What readers of the numbers have to know.
    version : str
        Of this program.
    """
    title = " beside ".join(place for _, place in sides)
    values = {"sides": sides, "measures": measures, "notes": notes}
    return fill("comparison.html", identity="", name=title, title=title, version=version, **values)


def sentence_page(name: str, heading: str, message: str, *, version: str) -> str:
    """Return a page that says one thing: that something is waited for, or what is wrong."""
    return fill("sentence.html", identity="", name=name, title=name, version=version, heading=heading, message=message)

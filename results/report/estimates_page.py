"""The page of `harness estimate`: which estimator is right, and what it costs, in one HTML file."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from freewalk.results.base.numbers import counted, listed
from freewalk.results.report.drawing import Group
from freewalk.results.report.estimates_view import PlaceView, figures_of, is_biased
from freewalk.results.report.inline_svg import drawn_inline
from freewalk.results.report.page import fill
from freewalk.results.report.palette import INLINE
from freewalk.results.report.style import styled
from freewalk.results.report.subject import Row


@dataclass(frozen=True)
class _RowView:
    words: str
    part: str
    remark: str
    figures: Mapping[str, str]


@dataclass(frozen=True)
class _Section:
    view: PlaceView
    rows: Sequence[_RowView]
    parts: Sequence[_RowView]
    groups: Sequence[tuple[Group, Sequence[Markup]]]


def estimates_page(views: Sequence[PlaceView], *, identity: str, command: str, version: str) -> str:
    """Return the page.

    Parameters
    ----------
    views
        What is said and drawn of each task and place, see `place_views`.
    identity
        Of what was asked, 12 hex digits; a page of something else is not overwritten.
    command
        That makes it again.
    version
        Of this program.
    """
    numbers = itertools.count()
    with styled(INLINE, text_as_text=True):
        sections = [
            _Section(
                view,
                [_row(view, row) for row in view.rows],
                [_row(view, row) for row in view.parts],
                [
                    (group, [drawn_inline(one.plot, f"plot-{next(numbers)}", view.title) for one in group.drawings])
                    for group in view.groups
                ],
            )
            for view in views
        ]
    tasks = list(dict.fromkeys(view.task for view in views))
    n = max(len(view.rows) for view in views)
    return fill(
        "estimates.html",
        identity=identity,
        name="estimates",
        title=f"{listed(tasks)}: estimates of the gradient",
        version=version,
        question=f"How good are estimates of the gradient of {listed(tasks)}?",
        extent=f"{counted(n, 'estimator')}, measured at {counted(len(views), 'place')}.",
        sections=sections,
        columns=list(figures_of(views[0].rows[0])),
        command=command,
    )


def _row(view: PlaceView, row: Row) -> _RowView:
    part = "" if row["weights"] == "all" else str(row["weights"])
    remarks = [
        "" if row["kind"] == "estimated" else str(row["kind"]),
        "" if row["is_precise"] else "imprecise",
        "biased" if row["kind"] == "estimated" and is_biased(row) and not part else "",
    ]
    return _RowView(view.words(row), part, ", ".join(filter(None, remarks)), figures_of(row))

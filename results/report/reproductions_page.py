"""The page of `harness reproduce`: published results beside what came of them here, in one HTML file."""

from collections.abc import Mapping, Sequence
from typing import Any

from freewalk.results.base.numbers import counted
from freewalk.results.report.page import fill
from freewalk.results.report.reproductions_view import reproduction_views, summary_of

PAGE_SIGN = "reproductions"
"""What the page names itself by: a page of something else is not overwritten."""


def reproductions_page(found: Sequence[Mapping[str, Any]], *, version: str) -> str:
    """Return the page of reproductions, as their ``verdict.json`` have them; at least one."""
    n = len({one["name"] for one in found})
    return fill(
        "reproductions.html",
        identity=PAGE_SIGN,
        name="reproductions",
        title="Published results, reproduced or not",
        version=version,
        extent=f"{counted(n, 'published result')}, {counted(len(found), 'run')}: {summary_of(found)}",
        views=reproduction_views(found),
    )

"""Published results on the terminal: which there are, and what came of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from freewalk.harness.reproducing.document import KNOWN, Reproduction
from freewalk.harness.terminal.console import make_console, make_table, print_line
from freewalk.results.base.numbers import MISSING, seconds
from freewalk.results.report.reproductions_view import published_words, reproduction_views, summary_of


def print_verdicts(found: Sequence[Mapping[str, Any]]) -> None:
    """Print a table of verdicts, a line for each check."""
    console = make_console()
    table = make_table()
    for name in ("reproduction", "scale", "verdict"):
        table.add_column(name, no_wrap=True)
    table.add_column("check")
    table.add_column("published")
    table.add_column("here, with its interval")
    table.add_column("time", justify="right", no_wrap=True)
    for view in reproduction_views(found):
        for place, check in enumerate(view.checks):
            first = (view.name, view.scale, view.verdict) if place == 0 else ("", "", "")
            mark = "" if check.held == "holds" else f": {check.held}"
            table.add_row(*first, check.claim, check.published, f"{check.here}{mark}", view.time if place == 0 else "")
    console.print(table, highlight=False, markup=False)
    print_line(console, f"  {summary_of(found)}")


def listed_rows(reproductions: Sequence[Reproduction]) -> list[dict[str, Any]]:
    """Return what is said of reproductions before they run."""
    return [
        {
            "reproduction": one.name,
            "title": one.title,
            "source": one.source,
            "claim": one.claim,
            "published": [
                published_words({**check.model_dump(), "known": check.known or one.known}) for check in one.check
            ],
            "known": one.known,
            "takes": {name: one.scale(name).seconds for name in one.scales},
        }
        for one in reproductions
    ]


def print_list(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a table of reproductions."""
    table = make_table()
    for name in ("reproduction", "source", "claim", "published"):
        table.add_column(name, no_wrap=name == "reproduction")
    for name in ("quick", "paper"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        times = [_time(row["takes"], name) for name in ("quick", "paper")]
        table.add_row(row["reproduction"], row["source"], row["claim"], "; ".join(row["published"]), *times)
    console = make_console()
    console.print(table, highlight=False, markup=False)
    console.print(
        "quick, paper: how long they take on two cores of the documentation's machine.\n"
        "In brackets, how a published number is known if not from the source: "
        + "; ".join(f"{word}, {words}" for word, words in KNOWN.items() if word != "source")
        + ".\nharness reproduce NAME runs one; your own: docs/reproduce.md.",
        highlight=False,
        markup=False,
    )


def _time(takes: Mapping[str, float | None], scale: str) -> str:
    known = takes.get(scale)
    return MISSING if known is None else seconds(known)

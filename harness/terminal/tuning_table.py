"""What `harness tune` found, on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from freewalk.harness.base.text import significant
from freewalk.harness.terminal.console import make_console, make_table, print_line
from freewalk.results.report.tuning_view import TaskView

_TEXTS = ("method", "settings", "edges")


def print_tuning(views: Sequence[TaskView]) -> None:
    """Print a table of each task's methods, the cheapest first, and what follows from it."""
    console = make_console()
    for view in views:
        print_line(console, f"\n{view.task}: {view.verdict}", style="bold")
        table = make_table()
        for name in header_of(view):
            is_text = name in _TEXTS
            table.add_column(name, justify="left" if is_text else "right", no_wrap=not is_text or name == "method")
        for row in rows_of(view):
            table.add_row(*row)
        console.print(table, highlight=False, markup=False)
        for sentence in sentences_of(view):
            print_line(console, f"  {sentence}")


def header_of(view: TaskView) -> list[str]:
    """Return the names of the columns; edges are among them where a winner lies at one."""
    edges = ["edges"] if any(one.fact.edges for one in view.methods) else []
    return ["method", "settings", "reached", "evaluations", "untuned", "tuning cost", *edges]


def rows_of(view: TaskView) -> list[list[str]]:
    """Return a row for each method, the cheapest first."""
    has_edges = "edges" in header_of(view)
    return [
        [
            one.name,
            one.settings,
            *(one.text(name) for name in ("tuned_reached", "tuned_cost", "untuned_cost")),
            significant(one.fact.tuning_evaluations),
            *(["\n".join(one.fact.edges)] if has_edges else []),
        ]
        for one in view.methods
    ]


def sentences_of(view: TaskView) -> list[str]:
    """Say what follows."""
    return [*view.sentences, *(note.replace("`", "") for note in view.notes)]

"""What `harness tune` found, on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from freewalk.harness.base.text import significant
from freewalk.harness.terminal.console import make_console, make_table, print_line
from freewalk.results.report.tuning_view import TaskView


def print_tuning(views: Sequence[TaskView]) -> None:
    """Print a table of each task's methods, the cheapest first, and what follows from it."""
    console = make_console()
    for view in views:
        print_line(console, f"\n{view.task}: {view.verdict}", style="bold")
        has_edges = any(one.fact.edges for one in view.methods)
        table = make_table()
        table.add_column("method", no_wrap=True)
        table.add_column("settings")
        for name in ("reached", "evaluations", "untuned", "tuning cost"):
            table.add_column(name, justify="right", no_wrap=True)
        if has_edges:
            table.add_column("edges")
        for one in view.methods:
            table.add_row(
                one.name,
                one.settings,
                *(one.text(name) for name in ("tuned_reached", "tuned_cost", "untuned_cost")),
                significant(one.fact.tuning_evaluations),
                *(["\n".join(one.fact.edges)] if has_edges else []),
            )
        console.print(table, highlight=False, markup=False)
        for sentence in (*view.sentences, *(note.replace("`", "") for note in view.notes)):
            print_line(console, f"  {sentence}")

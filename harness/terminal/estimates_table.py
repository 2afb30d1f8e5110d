"""What `harness estimate` measured, on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from freewalk.harness.terminal.console import make_console, make_table, print_line
from freewalk.results.report.estimates_view import PlaceView, figures_of, is_biased


def print_estimates(views: Sequence[PlaceView]) -> None:
    """Print a table of the estimators at each place, the cheapest first, and what follows from it."""
    console = make_console()
    for view in views:
        print_line(console, f"\n{view.title}", style="bold")
        print_line(console, f"  {view.facts}")
        table = make_table()
        table.add_column("estimator")
        for name in figures_of(view.rows[0]):
            table.add_column(name, justify="right", no_wrap=True)
        for row in view.rows:
            mark = " (biased)" if row["kind"] == "estimated" and is_biased(row) else ""
            table.add_row(f"{view.words(row)}{mark}", *figures_of(row).values())
        console.print(table, highlight=False, markup=False)
        for sentence in filter(None, (*view.sentences, view.usual)):
            print_line(console, f"  {sentence}")

"""`harness show`: a sweep's tables on the terminal, as CSV, or as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from freewalk.harness.base.errors import UsageError, unknown
from freewalk.harness.commands.command import Command
from freewalk.harness.commands.kinds import Name, SweepFolder
from freewalk.harness.commands.options import json_option, option

if TYPE_CHECKING:
    import pandas as pd

TABLE_NAMES = ("trials", "curves", "summary", "ranking", "methods", "sensitivity")

EPILOG = """\b
--where takes comparisons of columns with values:
  harness show DIR --where "task == 'xor' and stddev <= 0.1"
  harness show DIR --table trials --where "outcome in ['diverged', 'collapsed']"
  harness show DIR --table trials --where "learning_rate != None and not reached"

\b
A parameter may be named without its param_. What every column means: docs/tables.md
"""


@click.command("show", cls=Command, epilog=EPILOG)
@click.argument("directory", metavar="DIR", type=SweepFolder())
@option(
    "--table",
    type=Name(lambda: TABLE_NAMES),
    default="summary",
    metavar="|".join(TABLE_NAMES),
    help="Which table.",
)
@option("--where", metavar="EXPR", help="Only the rows for which this is true.")
@option("--columns", metavar="NAMES", help="Columns to show, with commas between.")
@option("--sort", metavar="NAMES", help="Columns to sort by; -name for largest first.")
@option("--limit", type=int, metavar="N", help="Rows to show.  [default: what is handy]")
@option("--csv", "as_csv", is_flag=True, help="Print CSV: all columns and rows.")
@json_option("all columns and rows.")
def command(
    directory: str,
    table: str,
    where: str | None,
    columns: str | None,
    sort: str | None,
    limit: int | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Show a table of a sweep: what ran, how it went, which cells are best, which parameters matter.

    DIR is a sweep's folder, also one that holds its CSV files only; nothing in it is changed.
    """
    from freewalk.harness.terminal import data_table
    from freewalk.harness.terminal.console import print_json

    if table not in TABLE_NAMES:
        raise unknown("table", table, TABLE_NAMES)
    if as_csv and as_json:
        raise UsageError("--csv and --json: give one of them")
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit}: must be at least 1")
    found = _chosen(_table(directory, table), where, columns, sort)
    found = found if limit is None else found.head(limit)
    if as_csv:
        data_table.print_csv(found)
    elif as_json:
        print_json(found.to_dict("records"), nan=None)
    else:
        data_table.print_data_table(found, chosen=columns is not None, limited=limit is not None)
        if table == "ranking" and sort is None:
            from freewalk.results.analysis.summary import ORDER

            click.echo(ORDER)


def _table(directory: str, name: str) -> pd.DataFrame:
    from freewalk.harness.terminal.reading import counted_once_note, read_sweep, reading
    from freewalk.results.analysis.methods import best_of_methods
    from freewalk.results.analysis.ranking import ranking
    from freewalk.results.analysis.sensitivity import sensitivity
    from freewalk.results.analysis.summary import summarise

    source = read_sweep(directory)
    if name == "curves":
        with reading():
            return source.curves()
    make: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
        "summary": summarise,
        "ranking": ranking,
        "methods": lambda trials: best_of_methods(trials, ranking(trials)),
        "sensitivity": sensitivity,
    }
    if name == "trials":
        return source.trials
    if doubled := len(source.trials) - len(source.counted):
        click.echo(f"harness: note: {counted_once_note(doubled)}", err=True)
    return make[name](source.counted)


def _chosen(table: pd.DataFrame, where: str | None, columns: str | None, sort: str | None) -> pd.DataFrame:
    from freewalk.results.tables.frames import sorting_key
    from freewalk.results.tables.selection import ExpressionError, column_name, select

    option = ""
    try:
        if where is not None:
            option = "--where"
            table = select(table, where)
        if sort is not None:
            option = "--sort"
            keys = [key.strip() for key in sort.split(",")]
            names = [column_name(key.removeprefix("-"), table) for key in keys]
            ascending = [not key.startswith("-") for key in keys]
            table = table.sort_values(names, ascending=ascending, kind="stable", key=sorting_key)
        if columns is not None:
            option = "--columns"
            chosen = [column_name(name.strip(), table) for name in columns.split(",")]
            table = table[[*dict.fromkeys(chosen)]]  # a column twice is one
    except ExpressionError as error:
        raise UsageError(f"{option}: {error}") from None
    return table

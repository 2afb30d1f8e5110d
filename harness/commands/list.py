"""`harness list`: the sweeps, tunings and reproductions in a folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from freewalk.harness.base.errors import UsageError
from freewalk.harness.commands.command import Command
from freewalk.harness.commands.kinds import SweepFolder
from freewalk.harness.commands.options import json_option

if TYPE_CHECKING:
    from freewalk.harness.terminal.works import Work

_MOST_NAMES = 4


@click.command("list", cls=Command)
@click.argument("folder", metavar="[FOLDER]", default="runs", type=SweepFolder())
@json_option()
def command(folder: str, as_json: bool) -> None:
    """List the sweeps, tunings and reproductions in FOLDER (default: runs), the one that was written last at the end.

    How far each is, whether it runs, when it was last written and what it takes on the disk; nothing is changed.
    """
    from freewalk.harness.terminal.console import print_json
    from freewalk.harness.terminal.works import work_of, works_in

    directory = Path(folder)
    if not directory.is_dir():
        raise UsageError(f"{directory}: no such folder; name one that holds sweeps, or begin one with harness sweep")
    own = work_of(directory)
    found = [own] if own else works_in(directory)
    if as_json:
        print_json([work.facts() for work in found])
    elif found:
        print_works(found)
    else:
        click.echo(f"{directory} holds no sweep, tuning or reproduction")


def print_works(found: Iterable[Work]) -> None:
    """Print what a folder holds as a table."""
    from freewalk.harness.terminal.console import make_console, make_table
    from freewalk.harness.terminal.works import size_text

    table = make_table()
    for heading in ("folder", "what", "state", "trials", "failed", "tasks", "methods", "last written", "size"):
        plain = heading in ("tasks", "methods")
        table.add_column(heading, no_wrap=not plain, justify="right" if heading in ("failed", "size") else "left")
    for work in found:
        written = work.last_written
        table.add_row(
            *(str(work.directory), work.kind, work.state, work.progress, f"{work.total('n_failed') or '-'}"),
            *(_few(names) for names in (work.tasks, work.methods)),
            *(f"{written:%Y-%m-%d %H:%MZ}" if written else "-", size_text(work.n_bytes)),
        )
    make_console().print(table, highlight=False, markup=False)


def _few(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{', '.join(names[:_MOST_NAMES])}{more}" or "-"

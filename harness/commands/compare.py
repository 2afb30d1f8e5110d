"""`harness compare`: two sweeps cell by cell, and a check for continuous integration."""

from __future__ import annotations

import math

import click

from freewalk.harness.base.errors import UsageError
from freewalk.harness.commands.command import Command
from freewalk.harness.commands.kinds import SweepFolder
from freewalk.harness.commands.options import json_option, option

EXIT_WORSE = 3

EPILOG = """\b
A and B are sweeps' folders or their trials.csv, of this version or an older one.
Ratios are B over A: above 1, B is worse. Cells are matched by task, method and parameters.

\b
Seconds of one run depend on each other. To test them, run both sides three times or more, in
turn, and give all: harness compare A B A2 B2 A3 B3. Of evaluations each cell and seed counts once.

\b
Exit codes: 0 compared; 2 wrong usage; 3 with --check, when B is worse by more than the threshold
and that is no chance: the 95 % interval of the ratio lies above the threshold, and a test that B is
worse is significant (of equal sweeps at most 5 % fail, however many cells they have); or when
trials failed, are unfinished or missing in B where A has complete ones.
"""


@click.command("compare", cls=Command, epilog=EPILOG)
@click.argument("sweeps", metavar="A B [A2 B2 ...]", type=SweepFolder(), nargs=-1, required=True)
@option(
    "--check",
    type=float,
    metavar="THRESHOLD",
    help="Exit with code 3 if B is worse than A by more than this ratio, such as 1.1, or lacks trials that A has.",
)
@option(
    "--across",
    multiple=True,
    metavar="PARAMETER",
    help="Leave a parameter, or method, out of the matching: compare its value in A with that in B; repeatable.",
)
@option("--csv", "as_csv", is_flag=True, help="Print CSV: all cells.")
@json_option("all cells.")
def command(sweeps: tuple[str, ...], check: float | None, across: tuple[str, ...], as_csv: bool, as_json: bool) -> int:
    """Compare two sweeps: evaluations to the target and seconds a step, with intervals and evidence.

    Trials that did not reach the target count as worse than any that did. Seconds from different machines are shown
    with a warning and never checked.
    """
    from freewalk.harness.terminal.comparison import Comparison
    from freewalk.harness.terminal.comparison_table import print_comparison, print_comparison_json
    from freewalk.harness.terminal.data_table import print_csv
    from freewalk.harness.terminal.reading import read_sweep, reading
    from freewalk.results.files.sources import named_alike

    if as_csv and as_json:
        raise UsageError("--csv and --json: give one of them")
    if check is not None and not (math.isfinite(check) and check >= 1):
        raise UsageError(f"--check {check:g}: must be a ratio of B over A from 1 on, such as 1.1 for a tenth more")
    if len(sweeps) % 2:
        raise UsageError(f"{sweeps[-1]} has no partner: give pairs, A B or A B A2 B2 ...; see harness compare --help")
    sources = [read_sweep(path) for path in sweeps]
    with reading():
        sources = [sources[0], *(named_alike(sources[0], source) for source in sources[1:])]
    found = Comparison.of(list(zip(sources[::2], sources[1::2], strict=True)), check, across)
    for note in found.notes():
        click.echo(f"harness: note: {note}", err=True)
    if as_csv:
        print_csv(found.table)
    elif as_json:
        print_comparison_json(found)
    else:
        print_comparison(found)
    for failure in found.failures():
        click.echo(f"harness: check failed: {failure}", err=True)
    return EXIT_WORSE if found.failures() else 0

"""`harness compare`: two sweeps cell by cell, and a check for continuous integration."""

from __future__ import annotations

import math

import click

from freewalk.harness.errors import UsageError

EXIT_WORSE = 3

EPILOG = """\b
A and B are sweeps' folders or their trials.csv, of this version or an older one.
Ratios are B over A: above 1, B is worse. Cells are matched by task, method and parameters.

\b
Exit codes: 0 compared; 2 wrong usage; 3 with --check, when B is worse by more than
the threshold and that is no chance (p < 0.05, corrected for the number of cells),
or when trials failed, are unfinished or missing in B where A has complete ones.
"""


@click.command("compare", epilog=EPILOG)
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option(
    "--check",
    type=float,
    metavar="THRESHOLD",
    envvar="HARNESS_CHECK",
    help="Exit with code 3 if B is worse than A by more than this ratio, such as 1.1, or lacks trials that A has.",
)
@click.option("--csv", "as_csv", is_flag=True, envvar="HARNESS_CSV", help="Print all cells as CSV.")
@click.option("--json", "as_json", is_flag=True, envvar="HARNESS_JSON", help="Print all cells as JSON.")
def command(a: str, b: str, check: float | None, as_csv: bool, as_json: bool) -> int:
    """Compare two sweeps: evaluations to the target and seconds a step, with intervals and evidence.

    Trials that did not reach the target count as worse than any that did. Seconds from different machines are shown
    with a warning and never checked.
    """
    from freewalk.harness.comparison_table import Comparison, print_comparison, print_comparison_json
    from freewalk.harness.data_table import print_csv
    from freewalk.harness.reading import read_sweep, reading
    from freewalk.results.sources import named_alike

    if as_csv and as_json:
        raise UsageError("--csv and --json: give one of them")
    if check is not None and not (math.isfinite(check) and check >= 1):
        raise UsageError(f"--check {check:g}: must be a ratio of B over A from 1 on, such as 1.1 for a tenth more")
    first, second = read_sweep(a), read_sweep(b)
    with reading():
        second = named_alike(first, second)
    found = Comparison.of(first, second, check)
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

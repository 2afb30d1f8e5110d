"""`harness tune`: the best settings of every method, what finding them costs, and what they are worth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from freewalk.harness.base.errors import UsageError
from freewalk.harness.commands.command import Command
from freewalk.harness.commands.gathering import without_overridden
from freewalk.harness.commands.options import (
    AT_LEAST_ONE,
    grid_options,
    json_option,
    option,
    out_option,
    place_options,
    plugin_option,
    quiet_option,
    refuse_idle_threads,
    run_options,
    same_again,
    say,
    seeds_option,
    threads_option,
)
from freewalk.harness.plan.settings import RACE_EVALUATIONS

if TYPE_CHECKING:
    from freewalk.harness.tuning.tune import Tuning

_EPILOG = """\b
--grid is that of harness sweep: its cells race. It takes ranges as well, of
which --settings settings are drawn:
  key=log(a,b)            numbers from a to b, evenly on a logarithmic scale
  key=uniform(a,b)        numbers from a to b
Without several values for anything, a method's own space is searched; see
harness methods NAME. Without a method, all are tuned.

\b
harness tune --task xor
harness tune --task xor --method walk --stddev "log(0.001,1)" --learning-rate "log(0.01,10)"
harness sweep --grid runs/tune-ID/tuned.toml

Files in --out: tuning.html, tuned.toml, tuned.csv, rounds.csv, tuning.json; the
races' trials in race/, those on fresh seeds in fresh/.

\b
Exit codes: 0 done, 1 some trials failed, 2 wrong usage, 130 interrupted.
The same command again goes on where it was.
"""


@click.command("tune", cls=Command, epilog=_EPILOG)
@grid_options
@plugin_option
@threads_option
@option(
    "--budget",
    type=AT_LEAST_ONE,
    metavar="EVALUATIONS",
    help="What each method may spend on a task.  [default: 100 trials' worth]",
)
@option(
    "--settings",
    "n_settings",
    type=click.IntRange(min=1, max=100_000),
    default=64,
    metavar="N",
    help="Settings drawn of each method's ranges.",
)
@seeds_option("--seeds", "Seeds: fresh ones, on which winners and defaults are compared.", default="0:20")
@seeds_option("--race-seeds", "Seeds that the winners are picked by.", default="1000:1060")
@option("--extend", is_flag=True, help="Where a winner lies at an edge of what was searched, search past it.")
@run_options(evaluations=RACE_EVALUATIONS, steps_per_epoch=None)
@out_option("page, tables and stores.  [default: runs/tune-ID]")
@place_options
@option("--dry-run", is_flag=True, help="Run nothing: print the races and what they may spend.")
@quiet_option("no progress and no table.")
@json_option("what tuning.json holds, instead of a table.")
def command(
    grid: tuple[str, ...],
    tasks: tuple[str, ...],
    methods: tuple[str, ...],
    plugins: tuple[str, ...],
    budget: int | None,
    n_settings: int,
    seeds: str,
    race_seeds: str,
    extend: bool,
    out: Path | None,
    checkpoint_seconds: float,
    workers: int | None,
    cluster_address: str | None,
    dry_run: bool,
    retry_failed: bool,
    quiet: bool,
    as_json: bool,
    **settings: Any,
) -> int:
    """Find the settings with which each method learns a task at the least cost, all methods for the same price.

    The settings of a method race on the same seeds: the worse half leaves, round by round, and nobody runs on that is
    sure to be far dearer than the one in front. The winner and the method's defaults then run on fresh seeds, so that
    luck is not counted.
    """
    from functools import partial

    from freewalk.harness.cluster.choice import chosen_cluster
    from freewalk.harness.terminal.tuning_progress import shown
    from freewalk.harness.tuning.files import JSON, PAGE, paths_in, write_files
    from freewalk.harness.tuning.tune import Asked, Tuning
    from freewalk.results.base.errors import StoreError
    from freewalk.results.report.tuning_view import tuning_views

    if settings.get("steps_per_epoch") is not None:
        raise UsageError("--steps-per-epoch: methods are given the same evaluations; give --evaluations")
    refuse_idle_threads(workers, cluster_address)
    asked = Asked(
        grid, tasks, methods, plugins, without_overridden(settings), seeds, race_seeds, n_settings, budget, extend
    )
    notify = (lambda text: None) if quiet else say
    tuning = Tuning(asked, out or Path(), checkpoint_seconds, partial(chosen_cluster, cluster_address, workers, notify))
    tuning.directory = out or Path("runs") / f"tune-{tuning.identity}"
    if dry_run:
        _print_plan(tuning, as_json)
        return 0
    try:
        paths_in(tuning.directory, tuning.identity)  # before, not after hours
        shown(tuning, tuning.run(retry_failed=retry_failed), quiet=quiet)
        paths = write_files(tuning, command=same_again())
    except KeyboardInterrupt:
        say(f"interrupted; the same command goes on, what is known is in {tuning.directory}")
        return 130
    except StoreError as error:
        raise UsageError(f"--out: {error}") from None
    if as_json:
        click.echo(paths[JSON].read_text(encoding="utf-8"), nl=False)
    elif not quiet:
        from freewalk.harness.terminal.tuning_table import print_tuning

        print_tuning(tuning_views(tuning.facts, tuning.tuned))
        click.echo(f"\npage in {paths[PAGE]}")
    return 1 if tuning.n_failed else 0


def _print_plan(tuning: Tuning, as_json: bool) -> None:
    from freewalk.harness.base.text import counted

    entries = tuning.entries()
    facts = {
        "n_races": len(entries),
        "n_settings": sum(entries.values()),
        "n_race_seeds": tuning.rules.n_seeds,
        "race_evaluations_at_most": round(tuning.rules.budget * len(entries)),
        "fresh_evaluations_at_most": round(2 * len(tuning.fresh_seeds) * tuning.rules.most * len(entries)),
        "directory": str(tuning.directory),
    }
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    click.echo(
        f"{counted(len(entries), 'race')} among {counted(sum(entries.values()), 'setting')}, on up to"
        f" {counted(tuning.rules.n_seeds, 'seed')}: at most {facts['race_evaluations_at_most']:,} evaluations\n"
        f"winners and defaults on {counted(len(tuning.fresh_seeds), 'fresh seed')}: at most"
        f" {facts['fresh_evaluations_at_most']:,} evaluations, less where trials stop early\n"
        f"folder: {tuning.directory}"
    )

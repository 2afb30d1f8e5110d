"""`harness sweep`: options, progress and what is printed at the end."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from textwrap import fill
from typing import Any

import click

from freewalk.harness.base.errors import UsageError
from freewalk.harness.commands.command import Command
from freewalk.harness.commands.gathering import without_overridden
from freewalk.harness.commands.options import (
    grid_options,
    json_option,
    option,
    out_option,
    place_options,
    plugin_option,
    quiet_option,
    refuse_idle_threads,
    run_options,
    say,
    seeds_option,
    threads_option,
)

_EPILOG = """\b
--grid takes, once or several times:
  key=v1,v2               values; --key v1,v2 is the same
  key=range(a,b,s)        a, a+s, ... below b
  key=linspace(a,b,n)     n values from a to b
  key=logspace(a,b,n)     n values from 10**a to 10**b
  key=geomspace(a,b,n)    n values from a to b, equal ratios
  a preset's name         quickstart, original, baselines, digits, suite
  a method of the field   spsa, mezo, fzoo, forward-gradient, openai-es, eggroll,
                          eggroll-signs:
                          settings of the walk for any --task; see presets
  a TOML file             as the sweep.toml that every sweep leaves

\b
{keys}
{methods}

\b
Exit codes: 0 all trials complete, 1 some failed, 2 wrong usage, 130 interrupted.
The same command again runs what is left, one with more seeds or values adds them.
"""


def epilog() -> str:
    """Return what follows the options: what a grid takes, by the names of parameters and methods."""
    from freewalk.harness.methods.registered import METHODS
    from freewalk.harness.parameters.parameters import AXIS_KEYS

    def listed(what: str, names: Iterable[str]) -> str:
        return fill(f"{what}: {', '.join(names)}.", 78, break_on_hyphens=False)

    return _EPILOG.format(keys=listed("Keys", AXIS_KEYS), methods=listed("Methods", METHODS))


class _Command(Command):
    """A command whose epilog is made when it is asked for."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the epilog."""
        self.epilog = epilog()
        super().format_epilog(ctx, formatter)


@click.command("sweep", cls=_Command)
@grid_options
@plugin_option
@threads_option
@seeds_option("--seeds", "Seeds: such as 0:20 (twenty, 0 to 19) or 1,4,7.  [default: 0:3]")
@run_options()
@out_option("the store and the tables.  [default: runs/NAME-ID]")
@option("--dry-run", is_flag=True, help="Run nothing: print the number of trials, time and memory.")
@place_options
@option("--fail-fast", is_flag=True, help="Stop at the first failed trial.")
@quiet_option("no progress and no table.")
@json_option()
def command(
    out: Path | None,
    dry_run: bool,
    checkpoint_seconds: float,
    workers: int | None,
    cluster_address: str | None,
    fail_fast: bool,
    retry_failed: bool,
    quiet: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Run every combination of a grid with every seed; record what happens and show which cells learn.

    A cell is a task, a method and parameters; a trial is a cell with a seed. Trials go into a store in --out, and from
    there into trials.csv, curves.csv and summary.csv.
    """
    from freewalk.harness.cluster.choice import chosen_cluster
    from freewalk.harness.plan.configuration import resolve
    from freewalk.harness.plan.places import default_directory
    from freewalk.harness.plan.registry import BuiltInRegistry
    from freewalk.harness.sweep import Sweep
    from freewalk.results.base.errors import StoreError

    refuse_idle_threads(workers, cluster_address)
    configuration = resolve(given.pop("grid"), registry=BuiltInRegistry(), **without_overridden(given))
    directory = out or default_directory(configuration)
    cluster = chosen_cluster(cluster_address, workers, (lambda text: None) if quiet else say)
    sweep = Sweep(configuration, directory, checkpoint_seconds, cluster)
    if dry_run:
        _print_plan(sweep, as_json)
        return 0
    try:
        return _run(sweep, retry_failed=retry_failed, fail_fast=fail_fast, quiet=quiet, as_json=as_json)
    except StoreError as error:
        raise UsageError(f"--out: {error}") from None


def _print_plan(sweep: Any, as_json: bool) -> None:
    from freewalk.harness.base.text import counted, duration
    from freewalk.harness.engine.estimate import estimate

    cost = estimate(sweep.plan.trials, sweep.budget, sweep.backend)
    facts = {
        "n_trials": len(sweep.plan.trials),
        "n_cells": len(sweep.plan.cells),
        "n_merged": sweep.plan.n_merged,
        "seconds_at_most": round(cost.seconds, 1),
        "memory_mb": round(cost.memory_mb),
        "directory": str(sweep.directory),
    }
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    merged = f" ({facts['n_merged']} equal grid points merged)" if facts["n_merged"] else ""
    n_seeds = len(sweep.configuration.seeds)
    is_product = len(sweep.plan.cells) * n_seeds == len(sweep.plan.trials)  # tables may have seeds of their own
    seeds = f" x {counted(n_seeds, 'seed')}" if is_product else f", up to {counted(n_seeds, 'seed')} each"
    click.echo(
        f"{counted(len(sweep.plan.trials), 'trial')}: {counted(len(sweep.plan.cells), 'cell')}{merged}"
        f"{seeds}\n"
        f"time: at most {duration(cost.seconds)} on {counted(sweep.backend.workers, 'thread')},"
        " less where trials stop early\n"
        f"memory: about {cost.memory_mb:,.0f} MB\n"
        f"folder: {sweep.directory}"
    )


def _run(sweep: Any, *, retry_failed: bool, fail_fast: bool, quiet: bool, as_json: bool) -> int:
    from freewalk.harness.terminal.progress import make_progress
    from freewalk.harness.terminal.summary_table import print_json, print_table

    interrupted = False
    with make_progress(sweep, quiet=quiet) as progress:
        try:
            for event in sweep.run(retry_failed=retry_failed, fail_fast=fail_fast):
                progress.show(event)
        except KeyboardInterrupt:
            interrupted = True
    if interrupted and not sweep.tables:
        raise KeyboardInterrupt  # before the store was open: there is nothing to show
    if as_json:
        print_json(sweep)
    elif not quiet:
        print_table(sweep)
    if interrupted:
        click.echo(
            f"harness: interrupted; the same command resumes, finished trials are in {sweep.directory}",
            err=True,
        )
        return 130
    return 1 if (sweep.tables["trials"]["state"] == "failed").any() else 0

"""`harness reproduce`: published results, run again, with a verdict."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from freewalk.harness.base.errors import UsageError
from freewalk.harness.commands.command import Command
from freewalk.harness.commands.kinds import Name
from freewalk.harness.commands.options import (
    json_option,
    option,
    out_option,
    place_options,
    plugin_option,
    quiet_option,
    refuse_idle_threads,
    say,
    threads_option,
)

if TYPE_CHECKING:
    from freewalk.harness.reproducing.run import Run

_EPILOG = """\b
NAME is one of harness reproduce --list, or a TOML file of your own: a source,
a sweep's grid, and what must come of it; see docs/reproduce.md.

\b
harness reproduce --list
harness reproduce xor-backprop guessing-parity
harness reproduce --all --scale paper

Files in --out: reproductions.html, reproductions.csv and reproductions.json, of
all that the folder holds; each reproduction's sweep in a folder of its own.

\b
Exit codes: 0 done, whatever the verdicts; 1 some trials failed, 2 wrong usage,
130 interrupted. The same command again goes on where it was.
"""


def _known() -> Iterable[str]:
    from freewalk.harness.reproducing.document import known_reproductions

    return known_reproductions()


@click.command("reproduce", cls=Command, epilog=_EPILOG)
@click.argument("names", nargs=-1, type=Name(_known), metavar="[NAME]...")
@option("--all", "every", is_flag=True, help="Run all that come with the program.")
@option("--list", "as_list", is_flag=True, help="Say what there is to reproduce; run nothing.")
@option(
    "--scale",
    type=click.Choice(["quick", "paper"]),
    metavar="quick|paper",
    default="quick",
    help="How much of it: quick, seconds, with fewer seeds or smaller networks; paper, as published, as far as two"
    " cores allow.",
)
@plugin_option
@threads_option
@out_option("page, tables and sweeps.", default="runs/reproduce")
@place_options
@quiet_option("no progress and no table.")
@json_option("the verdicts, instead of a table.")
def command(
    names: tuple[str, ...],
    every: bool,
    as_list: bool,
    scale: str,
    plugins: tuple[str, ...],
    out: Path,
    checkpoint_seconds: float,
    workers: int | None,
    cluster_address: str | None,
    retry_failed: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Run published results again and say which of them come out.

    A reproduction is a sweep, its source, and what was published. Its verdict: reproduced, if our interval has the
    published number or the claim holds with p < 0.025; at another scale, if it does with something changed, which is
    said; not reproduced; or undecided, if there are too few trials to say.
    """
    from freewalk.harness.cluster.choice import chosen_cluster
    from freewalk.harness.reproducing.document import find, known_reproductions, read_reproduction
    from freewalk.harness.reproducing.files import JSON, PAGE, paths_in, verdicts_in, write_files
    from freewalk.harness.reproducing.run import Run
    from freewalk.results.base.errors import StoreError

    if every and names:
        raise UsageError(f"--all runs all, {names[0]} too; leave one of them out")
    if not (every or names or as_list):
        raise UsageError("nothing to reproduce; give a name, a .toml file or --all; see harness reproduce --list")
    refuse_idle_threads(workers, cluster_address)
    chosen = known_reproductions() if every or not names else list(dict.fromkeys(names))
    reproductions = [read_reproduction(find(name)) for name in chosen]
    for place, one in enumerate(reproductions):
        if any(other.name == one.name for other in reproductions[:place]):
            raise UsageError(f"two reproductions have one name, that of their files: {one.name}; rename one")
    if as_list:
        from freewalk.harness.terminal.reproductions_table import listed_rows, print_list

        rows = listed_rows(reproductions)
        if as_json:
            click.echo(json.dumps(rows, indent=2))
        else:
            print_list(rows)
        return 0
    if every and not (reproductions := [one for one in reproductions if scale in one.scales]):
        raise UsageError(f"nothing that comes with the program has a {scale} scale; give the other --scale")
    notify = (lambda text: None) if quiet else say
    found: list[dict[str, Any]] = []
    try:
        paths_in(out)  # before, not after hours
        runs = [
            Run(
                one,
                scale,  # type: ignore[arg-type]
                out / f"{one.name}-{scale}",
                plugins,
                checkpoint_seconds,
                chosen_cluster(cluster_address, workers, notify),
            )
            for one in reproductions
        ]
        for run in runs:
            _run(run, retry_failed=retry_failed, quiet=quiet)
            judged = run.judged(f"harness reproduce {run.reproduction.called} --scale {scale}")
            found.append(judged.as_dict())
            notify(f"{run.title}: {judged.verdict}")
            paths = write_files(out, verdicts_in(out))
    except KeyboardInterrupt:
        say(f"interrupted; the same command goes on, what is known is in {out}")
        return 130
    except StoreError as error:
        raise UsageError(f"--out: {error}") from None
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif not quiet:
        from freewalk.harness.terminal.reproductions_table import print_verdicts

        print_verdicts(found)
        click.echo(f"\npage in {paths[PAGE]}, all of it in {paths[JSON]}")
    return 1 if any(one["n_failed"] for one in found) else 0


def _run(run: Run, *, retry_failed: bool, quiet: bool) -> None:
    """Run a reproduction's sweep and commands, and show how far it is."""
    from freewalk.harness.terminal.progress import make_progress

    if run.sweep is not None:
        with run.timed(), make_progress(run.sweep, quiet=quiet) as progress:
            for event in run.sweep.run(retry_failed=retry_failed):
                progress.show(event)
    run.run_commands((lambda text: None) if quiet else say)

"""`harness merge`: several sweeps as one."""

from __future__ import annotations

import json
from pathlib import Path

import click

from freewalk.harness.base.errors import UsageError
from freewalk.harness.commands.command import Command
from freewalk.harness.commands.kinds import SweepFolder
from freewalk.harness.commands.options import json_option, out_option, quiet_option


@click.command("merge", cls=Command)
@click.argument("directories", metavar="A B ...", type=SweepFolder(), nargs=-1, required=True)
@out_option("the united sweep; a new one.", required=True)
@quiet_option("nothing.")
@json_option("instead of lines.")
def command(directories: tuple[str, ...], out: Path, quiet: bool, as_json: bool) -> None:
    """Unite sweeps, say from several machines, in a new folder that can be shown, compared and reported.

    A trial that occurs twice with equal results is taken once; two different results of one trial are refused. Times
    stay those of the machine that ran the trial; origins.csv says which one it was.
    """
    from freewalk.harness.base.text import counted
    from freewalk.harness.terminal.reading import reading
    from freewalk.results.base.errors import StoreError
    from freewalk.results.files.merge import collect, refuse_used, save

    if len(directories) < 2:
        raise UsageError("merge needs two folders or more, such as: harness merge A B --out C")
    paths = [Path(directory) for directory in directories]
    if len({path.resolve() for path in paths}) < len(paths):
        raise UsageError("a folder is given twice; give each once")
    try:
        refuse_used(out)
        with reading():
            merged = collect(paths)
        save(merged, out)
    except StoreError as error:
        raise UsageError(f"--out: {error}") from None
    facts = {
        "directory": str(out),
        "n_trials": len(merged.trials),
        "n_repeated": merged.n_repeated,
        "machines": merged.machines,
    }
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    elif not quiet:
        machines = "; ".join(name or "(unknown)" for name in merged.machines)
        click.echo(f"{counted(len(merged.trials), 'trial')} in {out}, {merged.n_repeated:,} of them met more than once")
        click.echo(f"machines: {machines}")

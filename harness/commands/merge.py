"""`harness merge`: several sweeps as one."""

from __future__ import annotations

import json
from pathlib import Path

import click

from freewalk.harness.base.errors import UsageError
from freewalk.harness.commands.options import option


@click.command("merge")
@click.argument("directories", metavar="A B ...", nargs=-1, required=True)
@option("--out", metavar="DIR", required=True, help="Folder of the united sweep; a new one.")
@option("--quiet", is_flag=True, help="Print nothing.")
@option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
def command(directories: tuple[str, ...], out: str, quiet: bool, as_json: bool) -> None:
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
    if out == "":
        raise UsageError("--out '': the name is empty; name a new folder")
    paths = [Path(directory) for directory in directories]
    if len({path.resolve() for path in paths}) < len(paths):
        raise UsageError("a folder is given twice; give each once")
    try:
        refuse_used(Path(out))
        with reading():
            merged = collect(paths)
        save(merged, Path(out))
    except StoreError as error:
        raise UsageError(f"--out: {error}") from None
    facts = {
        "directory": out,
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

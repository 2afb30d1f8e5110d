"""`harness export`: the curves of sweeps as files that other benchmarks' tools read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from freewalk.harness.base.errors import UsageError
from freewalk.harness.commands.command import Command
from freewalk.harness.commands.kinds import SweepFolder
from freewalk.harness.commands.options import json_option, option, out_option, plugin_option, quiet_option

if TYPE_CHECKING:
    from freewalk.results.files.runs import Experiment

FORMATS = ("ioh", "coco")


@click.command("export", cls=Command)
@click.argument("directories", metavar="DIR ...", type=SweepFolder(), nargs=-1, required=True)
@option(
    "--format",
    "layout",
    type=click.Choice(FORMATS),
    metavar="|".join(FORMATS),
    required=True,
    help="What reads the files: ioh, IOHanalyzer and iohinspector; coco, what reads BBOB's data.",
)
@out_option("a new one.", required=True)
@plugin_option
@quiet_option("nothing.")
@json_option("instead of lines.")
def command(
    directories: tuple[str, ...], layout: str, out: Path, plugins: tuple[str, ...], quiet: bool, as_json: bool
) -> None:
    """Write the curves of sweeps as files that tools for comparing optimisers read.

    DIR is the folder of a sweep, which may still be running, or a trials.csv beside its curves.csv; several become one
    comparison. A method with what is varied of its parameters is an algorithm, a task with its own parameters is a
    problem, the number of trained weights is its dimension, and a trial is a run. See docs/export.md.
    """
    from freewalk.harness.base.text import counted
    from freewalk.harness.plan.plugins import load_plugins
    from freewalk.harness.terminal.reading import read_sweep, reading
    from freewalk.results.base.errors import StoreError
    from freewalk.results.files.coco import save_coco
    from freewalk.results.files.ioh import save_ioh
    from freewalk.results.files.merge import refuse_used
    from freewalk.results.files.runs import collect_runs

    if len({Path(directory).resolve() for directory in directories}) < len(directories):
        raise UsageError("a folder is given twice; give each once")
    load_plugins(plugins)
    try:
        refuse_used(out)
        sources = [read_sweep(directory) for directory in directories]
        with reading():
            found = collect_runs(sources, task_parameters=_of_tasks(), maximised=_maximised())
        {"ioh": save_ioh, "coco": save_coco}[layout](found, out)
    except StoreError as error:
        raise UsageError(f"--out: {error}") from None
    for note in _notes(found) if not quiet else ():
        click.echo(f"harness: note: {note}", err=True)
    sizes = (found.n_runs, "run"), (len(found.algorithms), "algorithm"), (len(found.problems), "problem")
    if as_json:
        facts = {"directory": str(out), "format": layout, **{f"n_{noun}s": number for number, noun in sizes}}
        left_out = {"n_open": found.n_open, "n_unknown": found.n_unknown, "n_failed": found.n_failed}
        click.echo(json.dumps(facts | left_out, indent=2))
    elif not quiet:
        runs, algorithms, problems = (counted(*size) for size in sizes)
        click.echo(f"{runs} of {algorithms} on {problems} in {out}")


def _of_tasks() -> set[str]:
    """Return the parameters that belong to tasks, those of plug-ins among them."""
    from freewalk.harness.parameters.parameters import PARAMETERS

    return {name for name, parameter in PARAMETERS.items() if parameter.group == "task"}


def _maximised() -> set[str]:
    """Return the metrics that are to be high."""
    from freewalk.tasks.task import METRIC_DESCRIPTIONS, MINIMISED

    return METRIC_DESCRIPTIONS.keys() - MINIMISED


def _notes(found: Experiment) -> Iterator[str]:
    from freewalk.harness.base.text import counted

    if found.n_open:
        yield f"left out, since not ended: {counted(found.n_open, 'trial')}"
    if found.n_unknown:
        yield f"left out, since failed before the number of weights was known: {counted(found.n_unknown, 'trial')}"
    if found.n_failed:
        yield f"among the runs, with what was met until the failure: {counted(found.n_failed, 'failed trial')}"

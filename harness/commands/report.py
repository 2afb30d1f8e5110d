"""`harness report`: the answers of a sweep as a page, tables and plots."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from freewalk.harness.base.errors import UsageError
from freewalk.harness.commands.command import Command
from freewalk.harness.commands.kinds import SweepFolder
from freewalk.harness.commands.options import (
    json_option,
    open_in_browser,
    option,
    out_option,
    plugin_option,
    quiet_option,
)
from freewalk.results.base.text import printable

if TYPE_CHECKING:
    from freewalk.results.report.making import PlotKind, Report
    from freewalk.results.report.ranking_table import TableKind


@click.command("report", cls=Command)
@click.argument("folder", metavar="DIR", type=SweepFolder())
@out_option("page and tables.  [default: DIR itself]")
@option("--png", is_flag=True, help="Write every plot as PNG too, into plots/.")
@option("--svg", is_flag=True, help="Write every plot as SVG too, into plots/.")
@option(
    "--theme",
    type=click.Choice(["light", "dark"]),
    metavar="light|dark",
    default="light",
    help="Colours of these files; the page has both.",
)
@option("--parquet", is_flag=True, help="Write every table as Parquet too.")
@option("--latex", is_flag=True, help="Write the ranking's first cells as ranking.tex too.")
@option("--markdown", is_flag=True, help="Write the ranking's first cells as ranking.md too.")
@option("--open", "show", is_flag=True, help="Open the page in the browser.")
@plugin_option
@quiet_option("nothing.")
@json_option("the answers, instead of lines.")
def command(
    folder: str,
    out: Path | None,
    png: bool,
    svg: bool,
    theme: Literal["light", "dark"],
    parquet: bool,
    latex: bool,
    markdown: bool,
    show: bool,
    plugins: tuple[str, ...],
    quiet: bool,
    as_json: bool,
) -> None:
    """Say which settings of a sweep win on each task, by how much and how surely.

    DIR is the folder of a sweep, which may still be running, or a trials.csv. The command writes report.html, one file
    that needs nothing else, and summary.csv, ranking.csv, methods.csv and sensitivity.csv. It lists the sweeps of a
    folder that holds several.
    """
    from freewalk.harness.plan.plugins import load_plugins
    from freewalk.results.base.errors import StoreError

    load_plugins(plugins)
    directory = Path(folder)
    if parquet:
        _require_parquet()
    try:
        _refuse_a_folder_of_sweeps(directory, quiet=quiet or as_json)
        wanted = {"png": png, "svg": svg, "latex": latex, "markdown": markdown}
        report, paths = _make(directory, out, wanted, theme=theme, parquet=parquet)
    except StoreError as error:
        raise UsageError(str(error)) from None
    if as_json:
        click.echo(json.dumps(_facts(report, paths, _more_seeds(report, directory)), indent=2))
    elif not quiet:
        _print_answers(report, paths[0], _more_seeds(report, directory))
    if show:
        open_in_browser(paths[0].resolve().as_uri())


def _refuse_a_folder_of_sweeps(directory: Path, *, quiet: bool) -> None:
    from freewalk.results.store.listing import is_sweep, sweeps_in

    found = sweeps_in(directory) if directory.is_dir() and not is_sweep(directory) else []
    if not found:
        return
    width = max(len(str(one.directory)) for one in found)
    for one in found if not quiet else ():
        changed = f"{one.last_written:%Y-%m-%d %H:%MZ}" if one.last_written else ""
        click.echo(f"{printable(str(one.directory)):{width}}  {changed}  {one.progress}")
    which = f"{len(found)} sweeps lie below it" if len(found) > 1 else "one sweep lies below it"
    raise UsageError(f"{directory} holds no sweep itself, but {which}; give its folder, such as {found[0].directory}")


def _require_parquet() -> None:
    from freewalk.results.report.parquet import is_available

    if not is_available():
        raise UsageError("--parquet needs pyarrow, which is not here; install it with: pip install pyarrow")


def _make(directory: Path, out: Path | None, wanted: Mapping[str, bool], **options: Any) -> tuple[Report, list[Path]]:
    import freewalk
    from freewalk.harness.plan.notes import task_notes
    from freewalk.results.report.making import PLOT_KINDS, Report, write_report
    from freewalk.results.report.ranking_table import SUFFIXES
    from freewalk.results.report.reading import folder_of, read_tables
    from freewalk.results.store.database import DATABASE_NAME

    if not directory.exists():
        raise UsageError(f"{directory}: no such folder; give the folder of a sweep, its --out")
    home = folder_of(directory)
    target = out or home
    if (target / DATABASE_NAME).exists() and not target.samefile(home):
        raise UsageError(f"--out {target}: this folder holds another sweep; pick another one")
    report = Report(read_tables(directory, task_notes()))
    if not report.tasks:
        raise UsageError(f"{directory} has no trials; run the sweep first")
    plots: list[PlotKind] = [kind for kind in PLOT_KINDS if wanted[kind]]
    texts: list[TableKind] = [kind for kind in SUFFIXES if wanted[kind]]
    return report, write_report(report, target, version=freewalk.__version__, plots=plots, ranking_as=texts, **options)


def _more_seeds(report: Report, directory: Path) -> str | None:
    """Return the command that adds seeds to the sweep's own folder, if some task is undecided for want of them.

    Objects of a Python session are known to no command: then it is what to call there.
    """
    import shlex
    import tomllib

    from freewalk.harness.parameters.seeds import format_seeds
    from freewalk.harness.plan.objects import is_object
    from freewalk.results.report.comparing import seeds_needed
    from freewalk.results.store.database import DATABASE_NAME

    document = directory / "sweep.toml"
    unclear = [one.task for one in report.tasks if one.answer.verdict in ("undecided", "narrowed down")]
    if not unclear or not (directory / DATABASE_NAME).exists() or not document.exists():
        return None
    seeds = sorted(set(report.tables.trials["seed"].dropna().astype(int)))
    n = max([2 * len(seeds), *(seeds_needed(len(task.finished) - 1) or 0 for task in unclear)])
    wanted = format_seeds([*seeds, *range(seeds[-1] + 1, seeds[-1] + 1 + n - len(seeds))])
    if any(map(is_object, tomllib.loads(document.read_text(encoding="utf-8")).get("plugins", ()))):
        return f"the same freewalk.sweep(...) with seeds={wanted!r} and out={str(directory)!r}"
    return shlex.join(["harness", "sweep", "--grid", str(document), "--seeds", wanted, "--out", str(directory)])


def _print_answers(report: Report, page: Path, more_seeds: str | None) -> None:
    for line in report.findings.lines():
        click.echo(line)
    if more_seeds:
        click.echo(f"\nmore seeds, into the same folder: {more_seeds}")
    click.echo(f"{'' if more_seeds else chr(10)}report in {page}")


def _facts(report: Report, paths: list[Path], more_seeds: str | None) -> dict[str, Any]:
    return {
        "report": str(paths[0]),
        "files": [str(path) for path in paths],
        "share_done": report.findings.headline.share_done,
        "tasks": [
            {
                "task": one.task.name,
                "verdict": one.answer.verdict,
                "best": None if one.answer.best is None else dict(one.task.values(one.answer.best)),
                "sentences": list(one.answer.sentences),
            }
            for one in report.tasks
        ],
        "overall": report.findings.overall.sentence if report.findings.overall else None,
        "more_seeds": more_seeds,
    }

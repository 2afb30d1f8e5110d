"""`harness report`: the answers of a sweep as a page, tables and plots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from freewalk.harness.commands.options import plugin_option
from freewalk.harness.errors import UsageError

if TYPE_CHECKING:
    from freewalk.results.report.making import PlotKind, Report
    from freewalk.results.report.subject import TaskNote


@click.command("report")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--out", envvar="HARNESS_OUT", metavar="FOLDER", type=click.Path(path_type=Path),
    help="Folder of the report.  [default: DIR]",
)  # fmt: skip
@click.option("--png", is_flag=True, envvar="HARNESS_PNG", help="Write every plot as PNG too, into plots/.")
@click.option("--svg", is_flag=True, envvar="HARNESS_SVG", help="Write every plot as SVG too, into plots/.")
@click.option(
    "--theme", type=click.Choice(["light", "dark"]), default="light", show_default=True, envvar="HARNESS_THEME",
    help="Colours of these files; the page has both.",
)  # fmt: skip
@click.option("--parquet", is_flag=True, envvar="HARNESS_PARQUET", help="Write every table as Parquet too.")
@plugin_option
@click.option("--quiet", is_flag=True, envvar="HARNESS_QUIET", help="Print nothing.")
@click.option("--json", "as_json", is_flag=True, envvar="HARNESS_JSON", help="Print the answers as JSON.")
def command(
    directory: Path,
    out: Path | None,
    png: bool,
    svg: bool,
    theme: Literal["light", "dark"],
    parquet: bool,
    plugins: tuple[str, ...],
    quiet: bool,
    as_json: bool,
) -> None:
    """Say which settings of a sweep win on each task, by how much and how surely.

    DIR is the folder of a sweep, which may still be running, or a trials.csv. Written are report.html, one file that
    needs nothing else, and summary.csv, ranking.csv and sensitivity.csv.
    """
    from freewalk.harness.plugins import load_plugins
    from freewalk.results.errors import StoreError

    load_plugins(plugins)
    if parquet:
        _require_parquet()
    try:
        report, paths = _make(directory, out, png=png, svg=svg, theme=theme, parquet=parquet)
    except StoreError as error:
        raise UsageError(str(error)) from None
    if as_json:
        click.echo(json.dumps(_facts(report, paths), indent=2))
    elif not quiet:
        _print_answers(report, paths[0])


def _require_parquet() -> None:
    from freewalk.results.report.parquet import is_available

    if not is_available():
        raise UsageError("--parquet needs pyarrow, which is not here; install it with: pip install pyarrow")


def _make(directory: Path, out: Path | None, *, png: bool, svg: bool, **options: Any) -> tuple[Report, list[Path]]:
    import freewalk
    from freewalk.results.database import DATABASE_NAME
    from freewalk.results.report.making import Report, write_report
    from freewalk.results.report.reading import folder_of, read_tables

    if not directory.exists():
        raise UsageError(f"{directory}: no such folder; give the folder of a sweep, its --out")
    home = folder_of(directory)
    target = out or home
    if (target / DATABASE_NAME).exists() and not target.samefile(home):
        raise UsageError(f"--out {target}: this folder holds another sweep; pick another one")
    report = Report(read_tables(directory, _notes()))
    if not report.tasks:
        raise UsageError(f"{directory} has no trials; run the sweep first")
    kinds: tuple[PlotKind, ...] = ("png", "svg")
    plots = [kind for kind, wanted in zip(kinds, (png, svg), strict=True) if wanted]
    return report, write_report(report, target, version=freewalk.__version__, plots=plots, **options)


def _notes() -> dict[str, TaskNote]:
    """Return what the tables do not say of the tasks that come with freewalk."""
    from freewalk.results.report.subject import TaskNote
    from freewalk.tasks.registry import TASKS
    from freewalk.tasks.task import METRIC_DESCRIPTIONS

    return {
        name: TaskNote(task.summary, task.comparison, METRIC_DESCRIPTIONS[task.metric]) for name, task in TASKS.items()
    }


def _print_answers(report: Report, page: Path) -> None:
    headline = report.headline
    if headline.progress:
        click.echo(f"{headline.progress}\n")
    for one in report.tasks:
        click.echo(f"{one.task.name}: {one.answer.verdict}")
        for sentence in one.answer.sentences:
            click.echo(f"  {sentence}")
    if report.overall:
        click.echo(report.overall.sentence)
    click.echo(f"\nreport in {page}")


def _facts(report: Report, paths: list[Path]) -> dict[str, Any]:
    return {
        "report": str(paths[0]),
        "files": [str(path) for path in paths],
        "share_done": report.headline.share_done,
        "tasks": [
            {
                "task": one.task.name,
                "verdict": one.answer.verdict,
                "best": None if one.answer.best is None else dict(one.task.values(one.answer.best)),
                "sentences": list(one.answer.sentences),
            }
            for one in report.tasks
        ],
        "overall": report.overall.sentence if report.overall else None,
    }

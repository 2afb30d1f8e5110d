"""`harness estimate`: how good estimates of a gradient are, and what they cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from freewalk.harness.base.errors import UsageError
from freewalk.harness.commands.carried import carried_network, load_for, weights_option
from freewalk.harness.commands.command import Command
from freewalk.harness.commands.options import (
    grid_options,
    json_option,
    option,
    out_option,
    plugin_option,
    quiet_option,
    same_again,
    seed_option,
    setting_option,
    threads_option,
)

if TYPE_CHECKING:
    from freewalk.harness.estimates.run import Measured
    from freewalk.harness.plan.plan import Cell

_PLACES = ("initial", "half", "trained")
_EPILOG = """\b
--grid is that of harness sweep: key=v1,v2 with any parameter that an estimate
depends on, a method of the field (see presets), or a TOML file. Without a
method thirty estimators are measured: noise, rank, directions, sides,
datapoints, shaping and stddev of the walk, and node perturbation.

\b
harness estimate --task xor
harness estimate --task xor --method walk --method node --timesteps 2,4,8,16
harness estimate --task digits --method walk --stddev "logspace(-7,0,8)"

Files: estimates.html, estimates.csv, cosines.csv and estimates.json in --out.
"""


@click.command("estimate", cls=Command, epilog=_EPILOG)
@grid_options
@plugin_option
@threads_option
@seed_option("of the initial weights, the data and the noise.", default=0)
@option(
    "--at",
    metavar="PLACES",
    default=",".join(_PLACES),
    help="At which weights: initial; trained by backpropagation, until the target is met; half of its way.",
)
@weights_option("estimate at these instead.")
@option(
    "--precision",
    type=click.FloatRange(min=0, min_open=True, max=1),
    metavar="VALUE",
    default=0.02,
    help="Half of the 95 % interval of a second moment, relative to it, at which to stop; of a slope five times that.",
)
@option(
    "--samples",
    type=click.IntRange(min=64),
    metavar="N",
    default=5000,
    help="Steps that estimates come from: of each estimator, at most.",
)
@setting_option("backend")
@out_option("page and tables.  [default: runs/estimates-ID]")
@quiet_option("no progress and no table.")
@json_option("what estimates.json holds, instead of a table.")
def command(
    grid: tuple[str, ...],
    tasks: tuple[str, ...],
    methods: tuple[str, ...],
    plugins: tuple[str, ...],
    seed: int,
    at: str,
    weights: Path | None,
    precision: float,
    samples: int,
    backend: str,
    out: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Measure estimates of a task's gradient: whether they are right, how noisy they are, and what they cost.

    For every estimator of a grid, at initial, half trained and trained weights: how long it is along the exact gradient
    (its slope: 1 is unbiased), its mean squared length and its cosine beside what theory says, how much of its variance
    comes from the perturbations and how much from the datapoints, by layer and by timestep, and how many evaluations,
    seconds and random numbers it takes until the error of the mean estimate is as long as the gradient.
    """
    from freewalk.harness.estimates.files import JSON, PAGE, identity_of, paths_in, write_files
    from freewalk.harness.estimates.run import Settings, estimators
    from freewalk.harness.estimates.tables import tables_of
    from freewalk.results.base.errors import StoreError
    from freewalk.results.report.estimates_view import place_views

    specs, given, places = list(grid), None, tuple(part.strip() for part in at.split(","))
    if weights is not None:
        saved = load_for(weights, tasks[0] if len(tasks) == 1 else None)
        named = {spec.partition("=")[0].strip() for spec in grid}
        specs += [f"{name}={value}" for name, value in carried_network(saved.parameters).items() if name not in named]
        tasks, given, places = tasks or (saved.task,), saved.weights, ("file",)
    elif unknown := [place for place in places if place not in _PLACES]:
        raise UsageError(f"--at {unknown[0]}: must be some of {', '.join(_PLACES)}, with commas between")
    cells = _cells(specs, tasks, methods, plugins, seed)
    settings = Settings(places, seed, precision, samples, backend, given)  # type: ignore[arg-type]
    chosen = estimators(cells)
    identity = identity_of(chosen, settings)
    folder = out or Path("runs") / f"estimates-{identity}"
    try:
        paths_in(folder, identity)  # before, not after minutes
        tables = tables_of(list(_shown(chosen, settings, quiet=quiet or as_json)))
        views = list(place_views(*tables))
        paths = write_files(*tables, views, folder, identity=identity, command=same_again())
    except StoreError as error:
        raise UsageError(str(error)) from None
    if as_json:
        click.echo(paths[JSON].read_text(encoding="utf-8"), nl=False)
    elif not quiet:
        from freewalk.harness.terminal.estimates_table import print_estimates

        print_estimates(views)
        click.echo(f"\npage in {paths[PAGE]}")


def _cells(
    specs: Sequence[str], tasks: Sequence[str], methods: Sequence[str], plugins: Sequence[str], seed: int
) -> tuple[Cell, ...]:
    """Return the cells of the grid, with the estimators that are measured where nobody names a method."""
    from freewalk.harness.estimates.run import DEFAULT_GRID, NO_MATTER
    from freewalk.harness.plan.configuration import resolve
    from freewalk.harness.plan.plan import expand
    from freewalk.harness.plan.registry import BuiltInRegistry

    for spec in specs:
        key = spec.partition("=")[0].strip()
        if "=" in spec and key in NO_MATTER:
            raise UsageError(f"{spec}: no estimate of a gradient depends on {key}; leave it out")
    names_methods = methods or any("=" not in spec or spec.partition("=")[0].strip() == "method" for spec in specs)
    grid = specs if names_methods else [str(DEFAULT_GRID), *specs]
    registry = BuiltInRegistry()
    configuration = resolve(grid, registry=registry, tasks=tasks, methods=methods, seeds=(seed,), plugins=plugins)
    return expand(configuration, registry).cells


def _shown(cells: Sequence[Cell], settings: Any, *, quiet: bool) -> Iterator[Measured]:
    """Yield what is measured; on a terminal a line says how far it is."""
    from rich.console import Console
    from rich.progress import Progress

    from freewalk.harness.estimates.run import measure

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        bar = progress.add_task("estimating", total=len(cells) * len(settings.at))
        for one in measure(cells, settings):
            progress.advance(bar)
            yield one

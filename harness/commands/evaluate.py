"""`harness evaluate`: how good saved weights are, on held-out data of a task or on the user's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from freewalk.harness.base.errors import UsageError
from freewalk.harness.commands.carried import load_given, weights_options
from freewalk.harness.commands.options import is_on_the_line, option, plugin_option
from freewalk.harness.plan.settings import Settings

_POINTS = Settings.model_fields["evaluation_points"].default


@click.command("evaluate")
@weights_options
@option("--task", metavar="NAME", help="Task whose data to use.  [default: the file's own]")
@click.option(
    "--evaluation-points",
    "--points",
    "points",
    type=int,
    metavar="N",
    envvar=["HARNESS_EVALUATION_POINTS", "HARNESS_POINTS"],
    help=f"Held-out datapoints of the task.  [default: {_POINTS}]",
)
@option("--seed", type=int, metavar="SEED", help="Seed of the held-out data.  [default: that of the training]")
@click.option(
    "--data", type=click.Path(path_type=Path), metavar="FILE", help="Your own data: a .npz with x and y, or x as .npy."
)
@click.option(
    "--y",
    "--targets",
    "targets",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The targets as .npy, where --data is x alone.",
)
@plugin_option
@option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    file: Path | None,
    weights: Path | None,
    task: str | None,
    points: int | None,
    seed: int | None,
    data: Path | None,
    targets: Path | None,
    plugins: tuple[str, ...],
    as_json: bool,
) -> int:
    """Measure saved weights: the loss, how many outputs are right, and the errors of each output.

    With the seed of the training, held-out data are those that it was judged by. Everything is computed in float64.
    """
    from freewalk.harness.weights.heldout import measure_held_out
    from freewalk.harness.weights.own_data import load_pair

    path, saved = load_given(file, weights, plugins)
    if data is None and targets is not None:
        raise UsageError("--targets needs --data, the inputs that they belong to")
    if data is not None:
        for name in ("task", "points", "seed"):
            if is_on_the_line(name):
                raise UsageError(f"--{name} has no effect with --data; leave one out")
        source: dict[str, Any] = {"data": str(data)}
        measures = saved.evaluate(*load_pair(data, targets))
    else:
        points = _POINTS if points is None else points
        measures, source = measure_held_out(saved, path, task=task, points=points, seed=seed)
    if as_json:
        click.echo(json.dumps({"weights": str(path), **source, **measures.as_dict()}, indent=2))
    else:
        _print(measures, source)
    return 0


def _print(measures: Any, source: dict[str, Any]) -> None:
    from freewalk.harness.base.text import counted, significant

    where = ", ".join(f"{name} {value}" for name, value in source.items())
    click.echo(f"{where}: {counted(measures.n_datapoints, 'datapoint')}")
    click.echo(f"loss {significant(measures.loss, 4)}")
    for name in ("accuracy", "bit_accuracy", "row_accuracy", "max_error"):
        if (value := getattr(measures, name)) is not None:
            click.echo(f"{name} {significant(value, 4)}")
    for k, output in enumerate(measures.outputs):
        click.echo(
            f"output {k}: mean squared error {significant(output.mean_squared_error, 4)},"
            f" mean error {significant(output.mean_absolute_error, 4)},"
            f" largest {significant(output.max_error, 4)}, right {significant(output.accuracy, 4)}"
        )

"""`harness evaluate`: how good saved weights are, on held-out data of a task or on the user's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from freewalk.harness.base.errors import UsageError
from freewalk.harness.commands.carried import load_given, weights_argument
from freewalk.harness.commands.command import Command
from freewalk.harness.commands.options import (
    is_on_the_line,
    json_option,
    option,
    plugin_option,
    seed_option,
    setting_option,
    task_option,
    threads_option,
)


@click.command("evaluate", cls=Command)
@weights_argument
@task_option("whose data to use.  [default: the file's own]")
@setting_option("evaluation_points")
@seed_option("of the held-out data.  [default: that of the training]")
@option(
    "--data", type=click.Path(path_type=Path), metavar="FILE", help="Your own data: a .npz with x and y, or x as .npy."
)
@option("--y", type=click.Path(path_type=Path), metavar="FILE", help="The targets as .npy, where --data is x alone.")
@plugin_option
@threads_option
@json_option("instead of lines.")
def command(
    weights: Path,
    task: str | None,
    evaluation_points: int,
    seed: int | None,
    data: Path | None,
    y: Path | None,
    plugins: tuple[str, ...],
    as_json: bool,
) -> int:
    """Measure weights that train saved: the loss, how many outputs are right, and the errors of each output.

    With the seed of the training, held-out data are those that it was judged by. Everything is computed in float64.
    """
    from freewalk.harness.weights.heldout import measure_held_out
    from freewalk.harness.weights.own_data import load_pair

    saved = load_given(weights, plugins)
    if data is None and y is not None:
        raise UsageError("--y needs --data, the inputs that they belong to")
    if data is not None:
        for name in ("task", "evaluation_points", "seed"):
            if is_on_the_line(name):
                raise UsageError(f"--{name.replace('_', '-')} has no effect with --data; leave one out")
        source: dict[str, Any] = {"data": str(data)}
        measures = saved.evaluate(*load_pair(data, y))
    else:
        measures, source = measure_held_out(saved, weights, task=task, points=evaluation_points, seed=seed)
    if as_json:
        click.echo(json.dumps({"weights": str(weights), **source, **measures.as_dict()}, indent=2))
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

"""`harness tasks`."""

from __future__ import annotations

import json
import sys
from typing import Any

import click


@click.command("tasks")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def command(as_json: bool) -> None:
    """List the tasks: what is learned, the data's sizes, the metric and the target, and the task's parameters."""
    from freewalk.tasks.registry import TASKS

    rows = [_row(task) for task in TASKS.values()]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    else:
        _print_table(rows)


def _row(task: Any) -> dict[str, Any]:
    problem = task.problem({})
    return {
        "task": task.name,
        "summary": task.summary,
        "metric": task.metric,
        "comparison": task.comparison,
        "target": task.target,
        "parameters": dict(task.parameters),
        "n_input": problem.n_input,
        "n_output": problem.n_output,
        "sequence_input": problem.sequence_input,
        "sequence_output": problem.sequence_output,
        "default_timesteps": problem.default_timesteps,
    }


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("task", "in", "out", "timesteps", "target", "parameters", "what"):
        table.add_column(heading, no_wrap=heading in ("task", "target"))
    for row in rows:
        table.add_row(
            row["task"],
            f"{row['n_input']}{' a timestep' if row['sequence_input'] else ''}",
            f"{row['n_output']}{' a timestep' if row['sequence_output'] else ''}",
            str(row["default_timesteps"]),
            f"{row['metric']} {row['comparison']} {row['target']:g}",
            ", ".join(f"{key}={value}" for key, value in row["parameters"].items()) or "-",
            row["summary"],
        )
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    click.echo("Sizes and timesteps are those of the default parameters; any may be set with --grid.")
    click.echo("A layered network goes from in to out: architecture=2-8-1 for xor; a sequence needs architecture=free.")

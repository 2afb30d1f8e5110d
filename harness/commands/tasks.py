"""`harness tasks`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from freewalk.harness.commands.command import Command
from freewalk.harness.commands.options import TASK, json_option, plugin_option


@click.command("tasks", cls=Command)
@click.argument("name", type=TASK, required=False)
@plugin_option
@json_option()
def command(name: str | None, plugins: tuple[str, ...], as_json: bool) -> None:
    """List the tasks: what is learned, the data's sizes, the metric and the target, and the task's parameters.

    With NAME, one task, with what is known of how hard it is.
    """
    from freewalk.harness.base.errors import unknown_own
    from freewalk.harness.plan.plugins import load_entry_points, load_plugins
    from freewalk.tasks.registry import TASKS

    load_entry_points()
    load_plugins(plugins)
    if name is not None and name not in TASKS:
        raise unknown_own("task", name, TASKS)
    rows = [_row(task) for task in TASKS.values() if name in (None, task.name)]
    if as_json:
        click.echo(json.dumps(rows if name is None else rows[0], indent=2))
    elif name is None:
        _print_table(rows)
    else:
        _print_one(rows[0])


def _row(task: Any) -> dict[str, Any]:
    from freewalk.harness.plan.targets import warn_of_task
    from freewalk.tasks.task import METRIC_DESCRIPTIONS

    problem = task.problem({})
    warn_of_task(task, problem)
    return {
        "task": task.name,
        "summary": task.summary,
        "metric": task.metric,
        "metric_description": METRIC_DESCRIPTIONS[task.metric],
        "comparison": task.comparison,
        "target": task.target,
        "baseline": task.baseline,
        "baseline_text": task.baseline_text,
        "difficulty": task.difficulty,
        "guesses": None if task.guesses is None else asdict(task.guesses),
        "parameters": dict(task.parameters),
        "n_input": problem.n_input,
        "n_output": problem.n_output,
        "sequence_input": problem.sequence_input,
        "sequence_output": problem.sequence_output,
        "default_timesteps": problem.default_timesteps,
        "judged_on": _judged_on(task, problem),
    }


def _judged_on(task: Any, problem: Any) -> str:
    """Return which data decide whether the task is learned."""
    if not problem.is_held_out:
        every = (
            f"every one of its {problem.domain_size:,} datapoints" if problem.domain_size > 1 else "the one datapoint"
        )
        return f"training data: {every}"
    if problem.load_stored is not None:
        return "held-out rows, which training never shows"
    fixed = " (training data, every pair, with pairs above 0)" if "pairs" in task.parameters else ""
    return f"held-out datapoints, drawn apart from training{fixed}"


def _sizes(row: dict[str, Any], side: str) -> str:
    return f"{row[f'n_{side}']}{' a timestep' if row[f'sequence_{side}'] else ''}"


def _parameters(row: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in row["parameters"].items()) or "-"


def _target(row: dict[str, Any]) -> str:
    return f"{row['metric']} {row['comparison']} {row['target']:g}"


def _baseline(row: dict[str, Any]) -> str:
    return "-" if row["baseline"] is None else f"{row['baseline']:.3g}"


def _guesses(row: dict[str, Any]) -> str:
    from freewalk.tasks.task import Guesses

    return "-" if row["guesses"] is None else str(Guesses(**row["guesses"]))


def _counted(row: dict[str, Any]) -> str:
    """Return how many guesses it takes, and how that was counted."""
    from freewalk.tasks.task import Guesses

    if row["guesses"] is None:
        return "not counted"
    found = Guesses(**row["guesses"])
    command = f"python -m benchmarks.guessing {row['task']} {found.settings} --seeds {found.seeds} --most {found.most}"
    if found.lowest is None:
        return f"more than {found.most:,} with every one of {found.seeds} seeds: {command}"
    return f"{found}, the median of {found.seeds} seeds (from {found.range}): {command}"


def _print_table(rows: list[dict[str, Any]]) -> None:
    from freewalk.harness.terminal.console import make_console, make_table

    table = make_table()
    for heading in ("task", "in", "out", "timesteps", "target", "blind", "guesses", "parameters", "what"):
        table.add_column(heading, no_wrap=heading in ("task", "target"))
    for row in rows:
        sizes = (_sizes(row, "input"), _sizes(row, "output"), str(row["default_timesteps"]))
        table.add_row(
            row["task"], *sizes, _target(row), _baseline(row), _guesses(row), _parameters(row), row["summary"]
        )
    make_console().print(table)
    click.echo("Sizes and timesteps are those of the default parameters; any may be set with --grid.")
    click.echo("blind: the metric of the best answer that does not look at the input.")
    click.echo(
        "guesses: how many random weight sets it takes, the median over seeds, with the network that NAME shows."
    )
    click.echo("A layered network goes from in to out: architecture=2-8-1 for xor; a sequence needs architecture=free.")
    click.echo("harness tasks NAME says what is known of how hard a task is.")


def _print_one(row: dict[str, Any]) -> None:
    from freewalk.harness.terminal.console import print_facts

    blind = f"{_baseline(row)} ({row['baseline_text']})" if row["baseline"] is not None else "not known"
    facts = {
        "what": row["summary"],
        "input": _sizes(row, "input"),
        "output": _sizes(row, "output"),
        "timesteps": f"{row['default_timesteps']} by default",
        "parameters": _parameters(row),
        "learned at": f"{_target(row)}: {row['metric_description']}",
        "judged on": row["judged_on"],
        "blind": blind,
        "how hard": row["difficulty"] or "no published figure",
        "guesses": _counted(row),
    }
    print_facts(row["task"], facts)

"""The end of a sweep for people, per task the best cells, and for programs as JSON."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

import click
import pandas as pd
from rich.console import Console
from rich.table import Table

from freewalk.harness.base.text import counted, duration, significant
from freewalk.harness.sweep import Sweep
from freewalk.harness.terminal.console import make_console, make_table, print_line
from freewalk.harness.terminal.leaderboard import varying_parameters
from freewalk.results.analysis.cells import counted_once
from freewalk.results.analysis.summary import best_cells
from freewalk.results.base.numbers import is_missing, value_order
from freewalk.results.report.remedy import heldout_losses, remedies
from freewalk.results.report.resolution import share_of_cost
from freewalk.results.store.store import Store
from freewalk.tasks.registry import TASKS

_CELLS_SHOWN = 5
_WHOLE_TABLE = 8
_VALUES_SHOWN = 12
_UNBOUNDED = 10_000
_LEFT_OUT_WHEN_NARROW = ("95 % interval", "steps", "time", "loss", "resolution")
_HOW_TO_READ = (
    "Best first: by trials reached, then evaluations, then loss. Evaluations, steps and time: expected until the target"
    " is reached, failures counted in. Resolution: how much too high they may be, since trials are measured now and"
    " then (*: some met the target at the first measurement). Loss: median at the end."
)


def print_table(sweep: Sweep) -> None:
    """Print per task the best cells with success rate and cost, then what became of all trials."""
    trials, summary = sweep.tables["trials"], sweep.tables["summary"]
    best = best_cells(summary, per_task=_WHOLE_TABLE)
    console = make_console()
    varying = varying_parameters(sweep.whole[1], sweep.whole[0])
    for name, cells in best.groupby("task", sort=False):
        of_task = summary[summary["task"] == name]
        if len(of_task) > _WHOLE_TABLE:
            cells = cells.head(_CELLS_SHOWN)
        n_values = {p: len(of_task[_column(p)].unique()) for p in varying}
        shown = [p for p in varying if n_values[p] > 1]
        finished = cells[cells["n_complete"] > 0]
        if finished.empty:
            console.print(f"{name}: no trial has finished\n", style="bold", highlight=False)
            continue
        console.print(_fitting_table(console, str(name), finished, shown, len(of_task)))
        for parameter in shown:
            if n_values[parameter] > _VALUES_SHOWN or _follows_method(of_task, parameter):
                continue  # a line that fills the screen, or repeats another, helps nobody; summary.csv has it all
            console.print(f"  reached by {parameter}: {_by_value(of_task, parameter)}", highlight=False)
        own = trials[trials["task"] == name]
        for line in (*_best_against_best(own, of_task), *_why_not(sweep, of_task, own)):
            console.print(f"  {line}", highlight=False, markup=False)
        console.print()
    if summary["n_complete"].any():
        console.print(_HOW_TO_READ, style="dim", highlight=False)
    if n := int(summary["n_unconfirmed"].sum()):
        console.print(
            f"{counted(n, 'measurement')} met the target, but not on fresh datapoints: the trials went on.", style="dim"
        )
    console.print(_outcomes(trials), highlight=False)
    print_line(console, f"tables in {sweep.directory}")
    print_line(console, f"as a page: harness report {shlex.quote(str(sweep.directory))}")


def _best_against_best(trials: pd.DataFrame, cells: pd.DataFrame) -> Iterator[str]:
    """Say how the methods compare, each by its best cell; nothing for a single one."""
    if cells[cells["n_complete"] > 0]["method"].nunique() < 2 or not cells["n_reached"].any():
        return
    from freewalk.results.analysis.methods import best_of_methods  # loads scipy.stats
    from freewalk.results.analysis.ranking import ranking

    counted_trials = counted_once(trials.reset_index(drop=True))
    rows = best_of_methods(counted_trials, ranking(counted_trials))
    first, others = rows.iloc[0], rows.iloc[1:]
    yield f"best against best: {first['method']} {significant(float(first['ert_evaluations']))} evaluations"
    for _, row in others.iterrows():
        ratio, low, high = (float(row[f"cost_ratio{end}"]) for end in ("", "_low", "_high"))
        if not int(row["n_reached"]):
            least = float(row["ratio_low"])
            cost = f"never reached{f', at least {significant(least, 2)} times' if least > 1 else ''}"
        else:
            cost = f"{significant(float(row['ert_evaluations']))} evaluations"
            if math.isfinite(ratio):
                bounded = f" (95 % interval {significant(low, 2)} to {significant(high, 2)})" if high < math.inf else ""
                cost += f", {significant(ratio, 2)} times where both reached{bounded}"
        yield f"  {row['method']}: {cost}: {row['verdict']}"


def _why_not(sweep: Sweep, cells: pd.DataFrame, trials: pd.DataFrame) -> Iterator[str]:
    """Say of each method that never reached a task's target what its trials' numbers blame."""
    reached = cells.groupby("method", sort=False)["n_reached"].sum()
    if reached.all():
        return
    with Store.open(sweep.directory, read_only=True) as store:
        losses = heldout_losses(store.curves_in_parts())
    for method in reached.index[reached == 0]:
        if why := remedies(trials[trials["method"] == method], losses):
            yield f"{f'{method}: ' if len(reached) > 1 else ''}{why}"


def _column(name: str) -> str:
    """Return the tables' column of a parameter, or of the method."""
    return name if name == "method" else f"param_{name}"


def _follows_method(cells: pd.DataFrame, parameter: str) -> bool:
    """Tell whether a parameter has one value with each method, so that it says what the method says."""
    by_method = cells.groupby("method")[_column(parameter)]
    return parameter != "method" and all(len(values.unique()) == 1 for _, values in by_method)


def _by_value(cells: pd.DataFrame, parameter: str) -> str:
    """Return, for each value of a parameter, in how many of its trials the target was reached."""
    groups = cells.groupby(_column(parameter), dropna=False)[["n_reached", "n_complete"]].sum()
    rows = sorted(groups.iterrows(), key=lambda row: value_order("" if is_missing(row[0]) else row[0]))
    return ", ".join(f"{_value(value)}: {row['n_reached']}/{row['n_complete']}" for value, row in rows)


def _fitting_table(console: Console, name: str, cells: pd.DataFrame, shown: list[str], n_cells: int) -> Table:
    """Return the table of a task with as many measures as the terminal has room for."""
    unbounded = console.options.update(width=_UNBOUNDED)
    for n_left_out in range(len(_LEFT_OUT_WHEN_NARROW) + 1):
        table = _task_table(name, cells, shown, n_cells, _LEFT_OUT_WHEN_NARROW[:n_left_out])
        if console.measure(table, options=unbounded).maximum <= console.width:
            break
    return table


def _task_table(name: str, cells: pd.DataFrame, columns: list[str], n_cells: int, left_out: Sequence[str]) -> Table:
    task = TASKS[name]
    target = float(cells["target"].iloc[0])
    which = f"the best {len(cells)} of {n_cells} cells" if len(cells) < n_cells else counted(n_cells, "cell")
    table = make_table(f"{name}: {which}; target {task.metric} {task.comparison} {target:g}")
    measures = [_measures(cell) for _, cell in cells.iterrows()]
    headings = [heading for heading in measures[0] if heading not in left_out]
    for heading in [*columns, *headings]:
        table.add_column(heading, justify="right", no_wrap=True)
    for (_, cell), measured in zip(cells.iterrows(), measures, strict=True):
        table.add_row(*(_value(cell[_column(p)]) for p in columns), *(measured[heading] for heading in headings))
    return table


def _value(value: Any) -> str:
    if is_missing(value):  # what does not apply
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _measures(cell: pd.Series[Any]) -> dict[str, str]:
    low, high = float(cell["success_rate_low"]), float(cell["success_rate_high"])
    seconds = float(cell["ert_seconds"])
    return {
        "reached": f"{cell['n_reached']}/{cell['n_complete']}",
        "95 % interval": f"{low:.0%} to {high:.0%}",
        "evaluations": significant(float(cell["ert_evaluations"])),
        "resolution": _resolution(cell),
        "steps": significant(float(cell["ert_steps"])),
        "time": "-" if not math.isfinite(seconds) else _short_time(seconds),
        "loss": significant(float(cell["loss_final_median"])),
    }


def _resolution(cell: pd.Series[Any]) -> str:
    """Return how much too high the evaluations may be, since nobody measured before; a star where nobody ever had."""
    share = share_of_cost({str(name): value for name, value in cell.items()})
    if math.isnan(share):
        return "-"
    at_first = not is_missing(cell["n_first_look"]) and int(cell["n_first_look"]) > 0
    return f"{share:.0%}{' *' if at_first else ''}"


def _short_time(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else duration(seconds)


def _outcomes(trials: pd.DataFrame) -> str:
    kinds = trials["outcome"].fillna(trials["state"]).value_counts()
    kinds_text = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    return f"{counted(len(trials), 'trial')}: {kinds_text}"


def print_json(sweep: Sweep) -> None:
    """Print the result as one JSON object: where it lies, what became of the trials, and the summary's rows."""
    trials, summary = sweep.tables["trials"], sweep.tables["summary"]
    rows = json.loads(summary.to_json(orient="records", double_precision=15))
    result = {
        "sweep_id": sweep.sweep_id,
        "directory": str(sweep.directory),
        "n_trials": len(trials),
        "states": trials["state"].value_counts().to_dict(),
        "outcomes": trials["outcome"].value_counts().to_dict(),
        "summary": rows,
    }
    click.echo(json.dumps(result, indent=2))

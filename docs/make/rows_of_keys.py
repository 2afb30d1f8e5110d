"""Rows of the tables in docs/sweeps.md and docs/tasks.md: `python docs/make/rows_of_keys.py` prints them."""

from __future__ import annotations

import re
import sys

from freewalk.harness.methods.registered import METHODS
from freewalk.harness.parameters.parameters import CONDITIONS, PARAMETERS, Parameter, uses
from freewalk.tasks.registry import TASKS
from freewalk.tasks.task import METRIC_DESCRIPTIONS


def parameter_rows() -> list[str]:
    """Return a Markdown table row for each parameter: key, values and default, meaning."""
    return [f"| `{name}` | {_values(parameter)} | {parameter.help} |" for name, parameter in PARAMETERS.items()]


_TECHNICAL_LIMIT = re.compile(r" and at most \d{10,}")


def _values(parameter: Parameter) -> str:
    values = _TECHNICAL_LIMIT.sub("", parameter.range).removeprefix("one of ").replace(", ", " or ")
    return f"{values} (default: {parameter.default_text}){_where(parameter)}"


def _where(parameter: Parameter) -> str:
    """Return for which methods it is and what it needs, such as ``, for walk``; empty where that is nothing."""
    users = parameter.methods or tuple(METHODS)
    *others, last = users
    listed = f"{', '.join(others)} and {last}" if others else last
    words = "" if len(users) == len(METHODS) else f", for {listed}"
    if parameter.name in CONDITIONS:
        bound = [method for method in users if uses(CONDITIONS[parameter.name][0], method)]
        words += f", needs {parameter.condition}"
        words += "" if len(bound) == len(users) else f" with method {' or '.join(bound)}"
    return words


def task_rows() -> list[str]:
    """Return a Markdown table row for each task: name, when it counts as learned, what it is."""
    return [
        f"| `{name}` | {METRIC_DESCRIPTIONS[task.metric]} {task.comparison} {task.target:g} | {task.summary} |"
        for name, task in TASKS.items()
    ]


if __name__ == "__main__":
    sys.stdout.write("\n".join([*parameter_rows(), "", *task_rows(), ""]))

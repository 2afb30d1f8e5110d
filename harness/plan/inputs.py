"""What a sweep reads besides its configuration, plug-ins and data: their SHA-256 lets a resume notice a change."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from freewalk.harness.base.errors import UsageError
from freewalk.harness.plan.configuration import SweepConfiguration
from freewalk.harness.plan.plan import Plan
from freewalk.harness.plan.plugins import entry_point_facts, text_of
from freewalk.results.base.text import clean_text
from freewalk.results.schema.environment import read_environment
from freewalk.results.store.data import DataRow, file_entries, recorded
from freewalk.tasks.registry import TASKS
from freewalk.tasks.stored import Source


def inputs(configuration: SweepConfiguration, plan: Plan) -> dict[str, Any]:
    """Return the plug-ins, from files and packages, and the data's sources, for JSON; loads the data."""
    found: dict[str, dict[str, Source]] = {}
    for cell in plan.cells:
        for source in TASKS[cell.task].problem(cell.parameters).sources:
            found.setdefault(cell.task, {})[source.path] = source
    return {
        "plugins": [_entry(text["path"], text["sha256"]) for text in map(text_of, configuration.plugins)],
        "entry_points": entry_point_facts(),
        "data": {task: [_entry(one.path, one.sha256) for one in by_path.values()] for task, by_path in found.items()},
    }


def _entry(path: str, sha256: str) -> dict[str, str]:
    return {"path": path, "sha256": sha256}


def data_rows(plan: Plan) -> list[DataRow]:
    """Return which data the cells are trained on, as a store notes it; loads the data."""
    rows: dict[str, DataRow] = {}
    for cell in plan.cells:
        task = TASKS[cell.task]
        problem = task.problem(cell.parameters)
        own = {name: cell.parameters.get(name) for name in task.parameters}
        name = f"{cell.task} {own}"
        if name not in rows and (content := problem.content) is not None:
            plain = {key: clean_text(value) if isinstance(value, str) else value for key, value in own.items()}
            rows[name] = DataRow(cell.task, plain, list(task.places), content)
    return list(rows.values())


def refuse_other_data(directory: Path, present: dict[str, Any], rows: Sequence[DataRow]) -> None:
    """Refuse, with a UsageError, to go on with a sweep whose data have changed since it began."""
    then = {(task, path): sha256 for task, path, sha256 in file_entries(read_environment(directory))}
    for task, path, sha256 in file_entries(present):
        before = then.get((task, path), sha256)
        if before != sha256:
            raise _changed(directory, task, path, sha256, before)
    noted = recorded(directory)
    for row in rows:
        for one in noted:
            if (one.task, one.parameters) == (row.task, row.parameters) and one.content != row.content:
                where = ", ".join(str(row.parameters[key]) for key in row.places) or "what they come from"
                raise _changed(directory, row.task, where, row.content, one.content)


def _changed(directory: Path, task: str, where: str, now: str, before: str) -> UsageError:
    return UsageError(
        f"--out {directory}: the data of task {task!r} have changed since this sweep began:"
        f" {where} has the SHA-256 {now[:12]}… and had {before[:12]}…;"
        " put the old data back, or choose another --out"
    )

"""What a sweep reads besides its configuration, plug-ins and data: their SHA-256 lets a resume notice a change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from freewalk.harness.configuration import SweepConfiguration
from freewalk.harness.errors import UsageError
from freewalk.harness.plan import Plan
from freewalk.harness.plugins import Plugin, entry_point_facts
from freewalk.results.environment import read_environment
from freewalk.tasks.registry import TASKS
from freewalk.tasks.stored import Source


def inputs(configuration: SweepConfiguration, plan: Plan) -> dict[str, Any]:
    """Return the plug-ins, from files and packages, and the data's sources, for JSON; loads the data."""
    found: dict[str, dict[str, Source]] = {}
    for cell in plan.cells:
        for source in TASKS[cell.task].problem(cell.parameters).sources:
            found.setdefault(cell.task, {})[source.path] = source
    return {
        "plugins": [_entry(str(plugin.path), plugin.sha256) for plugin in map(Plugin.of, configuration.plugins)],
        "entry_points": entry_point_facts(),
        "data": {task: [_entry(one.path, one.sha256) for one in by_path.values()] for task, by_path in found.items()},
    }


def _entry(path: str, sha256: str) -> dict[str, str]:
    return {"path": path, "sha256": sha256}


def refuse_other_data(directory: Path, present: dict[str, Any]) -> None:
    """Refuse to go on with a sweep whose data have changed since it began.

    Raises
    ------
    UsageError
        Naming the task and its source.
    """
    then = (read_environment(directory) or {}).get("data")
    if not isinstance(then, dict):
        return  # a new sweep, or one of a time before
    for task, entries in present["data"].items():
        for entry in entries:
            before = _sha256_of(entry["path"], then.get(task, ()))
            if before not in (None, entry["sha256"]):
                raise UsageError(
                    f"--out {directory}: the data of task {task!r} have changed since this sweep began:"
                    f" {entry['path']} has the SHA-256 {entry['sha256'][:12]}… and had {str(before)[:12]}…;"
                    " put the old data back, or choose another --out"
                )


def _sha256_of(path: str, entries: object) -> object:
    known = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return next((entry.get("sha256") for entry in known if entry.get("path") == path), None)

"""Where the data of a sweep lie: the same files under another path, or a copy of them, are the same data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from freewalk.harness.base.errors import UsageError
from freewalk.harness.parameters.parameters import Axes, Scalar
from freewalk.harness.plan.configuration import SweepConfiguration, sweep_id
from freewalk.results.store.data import DataRow
from freewalk.tasks.errors import DataError
from freewalk.tasks.registry import TASKS
from freewalk.tasks.task import Place


def place_of(task: str, key: str, value: Scalar | None) -> Place | None:
    """Return what a value of a parameter names; None if that is no file and no folder. Loads the data.

    Raises
    ------
    UsageError
        If they cannot be read or do not fit the task.
    """
    find = TASKS[task].places.get(key) if task in TASKS else None
    if find is None or value is None:
        return None
    try:
        return find(str(value))
    except DataError as error:
        raise UsageError(f"task {task!r}: {error}") from None


def located(configuration: SweepConfiguration) -> SweepConfiguration:
    """Return the configuration with absolute paths, one for equal data, so that it means the same in any folder."""
    paths: dict[str, str] = {}
    return _renamed(configuration, lambda place: paths.setdefault(place.content, place.path))


def by_content(configuration: SweepConfiguration) -> SweepConfiguration:
    """Return the configuration with SHA-256 in place of paths: equal wherever the data lie."""
    return _renamed(configuration, content_name)


def named_as_here(stored: Mapping[str, Any], noted: Sequence[DataRow], here: SweepConfiguration) -> dict[str, Any]:
    """Return what a store says of its sweep, with the paths that a configuration has for the same data.

    `noted` are the data of its trials, `here` is the configuration, located.
    """
    paths = {name: path for (_, _, path), name in stored_names(noted, here).items()}
    grid = stored.get("grid")
    if not paths or not isinstance(grid, list):
        return dict(stored)
    keys = {key for row in noted for key in row.places}
    tables = [
        {key: [paths.get(v, v) for v in values] if key in keys else values for key, values in table.items()}
        for table in grid
    ]
    return {**stored, "grid": tables}


def stored_names(noted: Sequence[DataRow], here: SweepConfiguration) -> dict[tuple[str, str, Scalar | None], Scalar]:
    """Return the paths that a store has for data, by (task, parameter, path of a configuration for the same data)."""
    names: dict[tuple[str, str, Scalar | None], Scalar] = {}
    for row in noted:
        for key in row.places:
            for table in here.grid:
                for value in table.get(key, ()) if row.task in table["task"] else ():
                    place = place_of(row.task, key, value)
                    if place is not None and place.content == row.content:
                        names.setdefault((row.task, key, value), row.parameters[key])
    return names


def content_name(place: Place) -> str:
    """Name data by what they are."""
    return f"sha256:{place.content}"


def default_directory(configuration: SweepConfiguration) -> Path:
    """Return the folder of a sweep that was given none: the same for the same configuration, so that it resumes."""
    first, older = (
        Path("runs") / f"{configuration.name or 'sweep'}-{sweep_id(one)}"
        for one in (by_content(configuration), configuration)
    )
    return older if older.exists() and not first.exists() else first


def _renamed(configuration: SweepConfiguration, name: Callable[[Place], str]) -> SweepConfiguration:
    return configuration.model_copy(update={"grid": tuple(_renamed_table(table, name) for table in configuration.grid)})


def _renamed_table(table: Axes, name: Callable[[Place], str]) -> dict[str, tuple[Scalar, ...]]:
    tasks = [str(task) for task in table["task"]]

    def renamed(key: str, value: Scalar) -> Scalar:
        places = (place_of(task, key, value) for task in tasks)
        place = next((place for place in places if place is not None), None)
        return value if place is None else name(place)

    return {key: tuple(dict.fromkeys(renamed(key, value) for value in values)) for key, values in table.items()}

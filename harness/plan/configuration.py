"""A sweep's resolved configuration: from the command line, a file and defaults; to TOML and back."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError, field_validator, model_validator

from freewalk.harness.base.errors import UsageError
from freewalk.harness.methods.space import Range
from freewalk.harness.parameters.parameters import DEFAULT_METHOD, Axes, Scalar, check_axis, number_type, requirement
from freewalk.harness.parameters.presets import preset_names
from freewalk.harness.parameters.seeds import checked_seeds, format_seeds, read_seeds
from freewalk.harness.plan.grid import SEEDS, own_seeds, parse_grid
from freewalk.harness.plan.plugins import load_plugins, sha256_of
from freewalk.harness.plan.registry import BuiltInRegistry
from freewalk.harness.plan.settings import RIVALS, Settings, earlier_values, words_of
from freewalk.results.base.names import nearest
from freewalk.tasks.files import forget_files

STEPS_LIMIT = 2**32


class SweepConfiguration(Settings):
    """Everything that decides a sweep, checked."""

    grid: tuple[dict[str, tuple[int | float | str, ...]], ...]
    """Axes by key, also seeds of a table's own; each is a cross product, and the sweep is their union."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks of all tables, each once, in the order given."""
        return tuple(dict.fromkeys(str(task) for table in self.grid for task in table["task"]))

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods of all tables, each once, in the order given."""
        return tuple(dict.fromkeys(str(method) for table in self.grid for method in table["method"]))

    @field_validator("grid")
    @classmethod
    def _check_grid(cls, grid: tuple[Axes, ...]) -> tuple[dict[str, tuple[Scalar, ...]], ...]:
        if not grid:
            raise UsageError("the sweep has no grid; give at least one table with a task")
        return tuple(_ordered(table, number if len(grid) > 1 else None) for number, table in enumerate(grid, 1))

    @model_validator(mode="after")
    def _check_steps(self) -> "SweepConfiguration":
        steps = self.epochs * self.steps_per_epoch
        if self.evaluations is not None:
            if "steps_per_epoch" in self.model_fields_set:
                raise UsageError("evaluations and steps_per_epoch both say how long trials train; give one of them")
        elif steps >= STEPS_LIMIT:
            raise UsageError(
                f"epochs={self.epochs} times steps_per_epoch={self.steps_per_epoch} is {steps:,} steps; "
                "lower one of them: a trial has fewer than 2**32 steps"
            )
        return self


def refuse_ranges(tables: Sequence[Axes]) -> Sequence[Axes]:
    """Return tables that have values only.

    Raises
    ------
    UsageError
        If one has a range.
    """
    for key, values in (item for table in tables for item in table.items()):
        if isinstance(values, Range):
            function = "geomspace" if values.scale == "log" else "linspace"
            some = f"{function}({values.low:g},{values.high:g},5)"
            if number_type(key) is int:
                some = ",".join(dict.fromkeys(str(round(values.value(place))) for place in (0, 0.5, 1)))
            raise UsageError(f"{key}={values} is a range, which harness tune takes; write {key}={some}")
    return tables


def _ordered(table: Axes, number: int | None) -> dict[str, tuple[Scalar, ...]]:
    """Check a table and put the task and the method first, so that they vary slowest."""
    where = f"[[grid]] table {number}: " if number else ""
    if "task" not in table:
        raise UsageError(f"{where}no task; add --task NAME or a task to the table")
    axes = {"task": table["task"], "method": table.get("method", (DEFAULT_METHOD,)), **table}
    return {
        key: checked_seeds([int(seed) for seed in values]) if key == SEEDS else check_axis(key, values, where)
        for key, values in axes.items()
    }


def resolve(
    grid_specs: Sequence[str] = (),
    *,
    tables: Sequence[Axes] = (),
    registry: BuiltInRegistry | None = None,
    tasks: Sequence[str] = (),
    methods: Sequence[str] = (),
    seeds: str | Sequence[int] | None = None,
    plugins: Sequence[str | Path] = (),
    concrete: Callable[[Sequence[Axes]], Sequence[Axes]] = refuse_ranges,
    **settings: Any,
) -> SweepConfiguration:
    """Put a configuration together: command line over file over defaults.

    It is checked, but for the names of tasks and methods, which `plan.expand` knows.

    Parameters
    ----------
    grid_specs
        The ``--grid`` arguments.
    tables
        Grids whose union is the sweep, in place of a file's.
    registry
        Makes messages name the tasks; see also `parse_grid`.
    tasks, methods
        Replace these axes in every table.
    seeds
        As `parse_seeds` reads them, or ready.
    plugins
        Files with tasks and methods of one's own, besides those that the files name; see `load_plugins`.
    concrete
        Makes tables of values of those that have ranges.
    **settings
        Those of `RunSettings`; None leaves them to the file and the defaults. `evaluations` replace a file's
        `steps_per_epoch`, and the other way round.

    Raises
    ------
    UsageError
        When anything is malformed or out of range, or no task is given.
    """
    forget_files()
    given_plugins = load_plugins(plugins)
    spec = parse_grid(grid_specs, tables=tables, tasks=tasks, methods=methods, registry=registry, plugins=given_plugins)
    if not any("task" in table for table in spec.tables):
        known = f" (known: {', '.join(registry.task_names())})" if registry else ""
        presets = ", ".join(preset_names())
        raise UsageError(f"no task given; add --task NAME{known}, or --grid with a preset: {presets}")
    axes = concrete(spec.tables)
    named = tuple(dict.fromkeys((*given_plugins, *spec.plugins)))
    explicit = {**settings, "seeds": seeds, "plugins": named or None}
    given = {key: value for key, value in explicit.items() if value is not None}
    tables = [{key: values for key, values in table.items() if seeds is None or key != SEEDS} for table in axes]
    values = {key: value for key, value in spec.settings.items() if RIVALS.get(key) not in given} | given
    if "seeds" in values:
        where = "--seeds" if "seeds" in given else f"--grid {spec.source!r}: seeds ="
        values["seeds"] = read_seeds(values["seeds"], where)
    try:
        return SweepConfiguration.model_validate({**values, "grid": tables})
    except ValidationError as error:
        raise _first_error(error, given, spec.source) from None


def _first_error(error: ValidationError, given: Mapping[str, object], source: str | None) -> UsageError:
    details = error.errors()[0]
    key, value = str(details["loc"][0]), details["input"]
    field = SweepConfiguration.model_fields[key]
    option = f"--{key.replace('_', '-')} {value}" if key in given else f"--grid {source!r}: {key} = {value!r}"
    hint = nearest(value, words) if (words := words_of(field)) and isinstance(value, str) else ""
    return UsageError(f"{option}{hint}: must be {requirement(field)}")


def configuration_dict(configuration: SweepConfiguration) -> dict[str, Any]:
    """Return the configuration as plain values that JSON and TOML can hold.

    Seeds have the form of `format_seeds`; ``grid`` comes last; what is None or does not count is left out.
    """
    idle = {"grid", "seeds"}
    idle |= {"steps_per_epoch"} if configuration.evaluations else set()
    idle |= set() if configuration.plugins else {"plugins"}
    values = configuration.model_dump(exclude_none=True, exclude=idle)
    first = {"name": values.pop("name")} if configuration.name is not None else {}
    plain = {**first, "seeds": format_seeds(configuration.seeds), **values}
    plain["grid"] = [
        {key: format_seeds(own_seeds(table)) if key == SEEDS else list(values) for key, values in table.items()}
        for table in configuration.grid
    ]
    return plain


def identity(configuration: SweepConfiguration) -> dict[str, Any]:
    """Return what decides a sweep's results, the same for configurations that differ in nothing else.

    As `configuration_dict`, but without the name, and with tables, axes, values and seeds in a fixed order.
    """
    grid = [{key: sorted(values, key=_numbers_first) for key, values in table.items()} for table in configuration.grid]
    ordered = configuration.model_copy(update={"seeds": sorted(configuration.seeds), "grid": grid})
    plain = configuration_dict(ordered)
    if configuration.plugins:
        plain["plugins"] = plugin_digests(configuration)
    plain["grid"].sort(key=lambda table: json.dumps(table, sort_keys=True))
    left_out = earlier_values() | {"name": configuration.name}
    return {key: value for key, value in plain.items() if key not in left_out or value != left_out[key]}


def _numbers_first(value: Scalar) -> tuple[bool, Scalar]:
    return isinstance(value, str), value


def plugin_digests(configuration: SweepConfiguration) -> list[str]:
    """Return the SHA-256 of each plug-in, sorted: where the files lie decides nothing."""
    return sorted(sha256_of(pinned) for pinned in configuration.plugins)


def sweep_id(configuration: SweepConfiguration) -> str:
    """Return the name of a sweep, 12 hex digits of a digest of its `identity`."""
    text = json.dumps(identity(configuration), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def to_toml(configuration: SweepConfiguration) -> str:
    """Return a TOML document that ``--grid`` reads back to an equal configuration."""
    return tomli_w.dumps(configuration_dict(configuration))

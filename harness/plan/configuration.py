"""A sweep's resolved configuration: from the command line, a file and defaults; to TOML and back."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from freewalk.harness.base.errors import UsageError, nearest
from freewalk.harness.parameters.parameters import DEFAULT_METHOD, Axes, Registry, Scalar, check_axis, requirement
from freewalk.harness.parameters.presets import preset_names
from freewalk.harness.parameters.seeds import checked_seeds, format_seeds, read_seeds
from freewalk.harness.plan.grid import SEEDS, own_seeds, parse_grid
from freewalk.harness.plan.plugins import load_plugins, sha256_of
from freewalk.tasks.files import forget_files

STEPS_LIMIT = 2**32

RIVALS = {"steps_per_epoch": "evaluations", "evaluations": "steps_per_epoch"}
"""Two ways to say how long a trial trains: on the command line, one replaces what a file says of the other."""

Looks = Literal["growing", "epochs"]
BackendChoice = Literal["auto", "cuda", "cpu", "reference"]
BACKENDS: tuple[str, ...] = get_args(BackendChoice)


class SweepConfiguration(BaseModel):
    """Everything that decides a sweep, checked; ranges are in the fields' descriptions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None = Field(None, description="a name for reports; decides nothing")
    seeds: tuple[int, ...] = Field((0, 1, 2), description="every cell runs once with each seed")
    epochs: int = Field(40, ge=1, description="equal parts of a trial, by which a plateau is counted")
    steps_per_epoch: int = Field(100, ge=1, description="weight updates of an epoch")
    evaluations: int | None = Field(
        None,
        ge=1,
        le=2**63 - 1,
        description="forward passes of one datapoint that every trial may spend; its epochs share them equally, "
        "in place of steps_per_epoch",
    )
    target: float | None = Field(
        None, allow_inf_nan=False, description="stop a trial that reaches this; without it, each task's own"
    )
    plateau: int | None = Field(
        None,
        ge=1,
        le=2**63 - 1,
        description="stop a trial after this many epochs without improvement; without it, never",
    )
    looks: Looks = Field(
        "growing",
        description="when a trial is judged on held-out data; growing: after its first step, then whenever its cost "
        "has grown by 5 %; epochs: after every epoch",
    )
    evaluation_points: int = Field(2048, ge=1, le=2**32 - 1, description="held-out datapoints of a look")
    backend: BackendChoice = Field("auto", description="what computes")
    plugins: tuple[str, ...] = Field((), description="files with tasks and methods of one's own, each with its SHA-256")
    grid: tuple[dict[str, tuple[int | float | str, ...]], ...] = Field(
        description="axes by key, also seeds of a table's own; each is a cross product, and the sweep is their union"
    )

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks of all tables, each once, in the order given."""
        return tuple(dict.fromkeys(str(task) for table in self.grid for task in table["task"]))

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods of all tables, each once, in the order given."""
        return tuple(dict.fromkeys(str(method) for table in self.grid for method in table["method"]))

    @field_validator("seeds")
    @classmethod
    def _check_seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        return checked_seeds(seeds)

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
    registry: Registry | None = None,
    tasks: Sequence[str] = (),
    methods: Sequence[str] = (),
    seeds: str | Sequence[int] | None = None,
    epochs: int | None = None,
    steps_per_epoch: int | None = None,
    evaluations: int | None = None,
    target: float | None = None,
    plateau: int | None = None,
    looks: str | None = None,
    evaluation_points: int | None = None,
    backend: str | None = None,
    plugins: Sequence[str | Path] = (),
) -> SweepConfiguration:
    """Put a configuration together: command line over file over defaults.

    Parameters
    ----------
    grid_specs : sequence of str
        The ``--grid`` arguments.
    tables : sequence of mappings
        Grids whose union is the sweep, in place of a file's.
    registry : Registry, optional
        Makes messages name the tasks; see also `parse_grid`.
    tasks, methods : sequence of str
        Replace these axes in every table.
    seeds : str or sequence of int, optional
        As `parse_seeds` reads them, or ready.
    epochs, steps_per_epoch, evaluations, target, plateau, looks, evaluation_points, backend : optional
        Fields of `SweepConfiguration`; None leaves them to the file and the defaults. `evaluations` replace a file's
        `steps_per_epoch`, and the other way round.
    plugins : sequence of str or Path
        Files with tasks and methods of one's own, besides those that the files name; see `load_plugins`.

    Returns
    -------
    SweepConfiguration
        Checked, but for the names of tasks and methods, which `plan.expand` knows.

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
    explicit: dict[str, object] = {
        "seeds": seeds,
        "epochs": epochs,
        "steps_per_epoch": steps_per_epoch,
        "evaluations": evaluations,
        "target": target,
        "plateau": plateau,
        "looks": looks,
        "evaluation_points": evaluation_points,
        "backend": backend,
        "plugins": tuple(dict.fromkeys((*given_plugins, *spec.plugins))) or None,
    }
    given = {key: value for key, value in explicit.items() if value is not None}
    tables = [{key: values for key, values in table.items() if seeds is None or key != SEEDS} for table in spec.tables]
    settings = {key: value for key, value in spec.settings.items() if RIVALS.get(key) not in given}
    values = {**settings, **given}
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
    words = {"backend": BACKENDS, "looks": get_args(Looks)}.get(key, ())
    hint = nearest(value, words) if isinstance(value, str) else ""
    return UsageError(f"{option}{hint}: must be {requirement(field)}")


def configuration_dict(configuration: SweepConfiguration) -> dict[str, Any]:
    """Give the configuration as plain values that JSON and TOML can hold.

    Parameters
    ----------
    configuration : SweepConfiguration
        The configuration.

    Returns
    -------
    dict
        Seeds in the form of `format_seeds`; ``grid`` last; what is None or does not count is left out.
    """
    idle = {"grid"} if configuration.evaluations is None else {"grid", "steps_per_epoch"}
    plain = configuration.model_dump(exclude_none=True, exclude=idle)
    plain["seeds"] = format_seeds(configuration.seeds)
    if not configuration.plugins:
        del plain["plugins"]
    plain["grid"] = [
        {key: format_seeds(own_seeds(table)) if key == SEEDS else list(values) for key, values in table.items()}
        for table in configuration.grid
    ]
    return plain


def identity(configuration: SweepConfiguration) -> dict[str, Any]:
    """Give what decides a sweep's results, the same for configurations that differ in nothing else.

    Parameters
    ----------
    configuration : SweepConfiguration
        The configuration.

    Returns
    -------
    dict
        As `configuration_dict`, but without the name, and with tables, axes, values and seeds in a fixed order.
    """
    plain = configuration_dict(configuration)
    plain.pop("name", None)
    if configuration.looks == "epochs":  # as all sweeps did before there was a choice
        del plain["looks"]
    if configuration.plugins:
        plain["plugins"] = plugin_digests(configuration)
    plain["seeds"] = format_seeds(sorted(configuration.seeds))
    grid = [
        {
            key: format_seeds(sorted(own_seeds(table))) if key == SEEDS else sorted(values)
            for key, values in table.items()
        }
        for table in configuration.grid
    ]
    plain["grid"] = sorted(grid, key=lambda table: json.dumps(table, sort_keys=True))
    return plain


def plugin_digests(configuration: SweepConfiguration) -> list[str]:
    """Give the SHA-256 of each plug-in, sorted: where the files lie decides nothing."""
    return sorted(sha256_of(pinned) for pinned in configuration.plugins)


def sweep_id(configuration: SweepConfiguration) -> str:
    """Identify a sweep by what decides its results.

    Parameters
    ----------
    configuration : SweepConfiguration
        The configuration.

    Returns
    -------
    str
        12 hex digits of a digest of its `identity`.
    """
    text = json.dumps(identity(configuration), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def to_toml(configuration: SweepConfiguration) -> str:
    """Write a configuration as a TOML document that ``--grid`` reads back to an equal one.

    Parameters
    ----------
    configuration : SweepConfiguration
        The configuration.

    Returns
    -------
    str
        The document.
    """
    plain = configuration_dict(configuration)
    tables = plain.pop("grid")
    lines = [f"{key} = {_toml_value(value)}" for key, value in plain.items()]
    for table in tables:
        lines += ["", "[[grid]]", *(f"{key} = {_toml_value(values)}" for key, values in table.items())]
    return "\n".join(lines) + "\n"


def _toml_value(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml_value(item) for item in value)}]"
    if isinstance(value, str):
        # JSON's escapes are TOML's too; DEL alone must be escaped in TOML only.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("configurations hold finite numbers only")
    return repr(value)

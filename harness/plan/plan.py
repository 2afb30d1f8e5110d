"""The plan: a configuration written out as trials, without duplicates, in a fixed order."""

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from freewalk.harness.base.errors import UsageError, unknown_own
from freewalk.harness.methods.registered import METHODS
from freewalk.harness.parameters.fields import is_met, is_of
from freewalk.harness.parameters.parameters import (
    CONDITIONS,
    LATER_PARAMETERS,
    PARAMETERS,
    Axes,
    Parameter,
    Scalar,
    check_value,
    default_of,
    uses,
)
from freewalk.harness.parameters.presets.relatives import RELATIVES
from freewalk.harness.parameters.values import MAX_TRIALS
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.configuration import STEPS_LIMIT, SweepConfiguration, plugin_digests
from freewalk.harness.plan.effects import refuse_without_effect
from freewalk.harness.plan.grid import SEEDS, own_seeds
from freewalk.harness.plan.places import content_name, located, place_of
from freewalk.harness.plan.registry import BuiltInRegistry
from freewalk.harness.plan.settings import naming_values
from freewalk.tasks.errors import DataError

__all__ = ["MAX_TRIALS", "Cell", "Plan", "Trial", "expand", "fill"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One point of the grid."""

    task: str
    method: str
    parameters: Mapping[str, Scalar | None]
    """Every parameter in the order of `PARAMETERS`; None for one that does not apply."""

    @property
    def key(self) -> tuple[str, str, tuple[Scalar | None, ...]]:
        """What makes two cells equal, in a form that can be hashed."""
        return self.task, self.method, tuple(self.parameters.values())

    @property
    def learner(self) -> tuple[str, Scalar | None]:
        """Its method and architecture, which decide what backends have kernels for."""
        return self.method, self.parameters["architecture"]

    def __hash__(self) -> int:
        """Hash like `key`, so that cells can be keys although a mapping cannot."""
        return hash(self.key)


@dataclass(frozen=True, slots=True)
class Trial:
    """A cell with a seed."""

    trial_id: str
    """16 hex digits that depend on all that decides the trial's result, and on nothing else."""
    position: int
    """Its place in the plan, from 0."""
    cell: Cell
    seed: int


@dataclass(frozen=True)
class Plan:
    """All trials of a sweep."""

    cells: tuple[Cell, ...]
    """Each cell once, in the order of the grid: task and method vary slowest."""
    trials: tuple[Trial, ...]
    """Cell by cell, the seeds of one cell together."""
    n_merged: int
    """Grid points that came out equal to an earlier one and were dropped."""
    tables: tuple[int, ...] = ()
    """Of each cell, the place of the first table of the grid that makes it."""

    @cached_property
    def parameter_names(self) -> tuple[str, ...]:
        """Parameters that apply to at least one cell, in the order of `PARAMETERS`."""
        used = {name for cell in self.cells for name, value in cell.parameters.items() if value is not None}
        return tuple(name for name in PARAMETERS if name in used)


def expand(
    configuration: SweepConfiguration,
    registry: BuiltInRegistry,
    plugins: Sequence[str] | None = None,
    *,
    as_spelled: bool = False,
) -> Plan:
    """Write a configuration out as trials.

    Parameters
    ----------
    configuration, registry
        What to run, and the tasks and methods there are.
    plugins
        The SHA-256 of the plug-ins that the trials are named by; those of their present texts unless given.
    as_spelled
        Whether trials are named by the paths of their data as they are written, as stores of before have them, and not
        by what lies there.

    Raises
    ------
    UsageError
        When a task or method is unknown, a parameter has no effect anywhere, values do not fit each other or
        their task, or there are more than `MAX_TRIALS` trials.
    """
    for kind, given, known in (
        ("task", configuration.tasks, registry.task_names()),
        ("method", configuration.methods, registry.method_names()),
    ):
        for name in given:
            if kind == "method" and name in RELATIVES and name not in known:
                raise UsageError(f"--method {name}: {name} is the walk with certain settings; give --grid {name}")
            if name not in known:
                raise unknown_own(kind, name, known)
    refuse_without_effect(configuration.grid, registry)
    _refuse_too_large(configuration)
    configuration = configuration if as_spelled else located(configuration)
    task_parameters = {task: _task_parameters(task, registry) for task in configuration.tasks}
    cells: dict[Cell, tuple[int, ...]] = {}
    tables: list[int] = []
    n_points = 0
    budget = Budget.of(configuration)
    for place, table in enumerate(configuration.grid):
        axes = {key: values for key, values in table.items() if key != SEEDS}
        seeds = own_seeds(table, configuration.seeds)
        for cell in _points(axes, registry, task_parameters):
            n_points += 1
            if cell not in cells:
                _check(cell, registry, budget)
                cells[cell] = seeds
                tables.append(place)
            elif cells[cell] != seeds:
                cells[cell] = tuple(dict.fromkeys((*cells[cell], *seeds)))
    digests = plugin_digests(configuration) if plugins is None else plugins
    trials = tuple(_trials(cells, configuration, digests, as_spelled))
    return Plan(tuple(cells), trials, n_points - len(cells), tuple(tables))


def _task_parameters(task: str, registry: BuiltInRegistry) -> dict[str, Scalar]:
    defaults = registry.task_parameters(task)
    foreign = [name for name in defaults if name not in PARAMETERS or PARAMETERS[name].group != "task"]
    if foreign:
        raise ValueError(f"task {task!r} has the parameter {foreign[0]!r}, which TaskParameters does not describe")
    return {name: check_value(name, value, f"default of task {task!r}: ") for name, value in defaults.items()}


def _points(table: Axes, registry: BuiltInRegistry, of_tasks: Mapping[str, Mapping[str, Scalar]]) -> Iterator[Cell]:
    for point in itertools.product(*table.values()):
        given = dict(zip(table, point, strict=True))
        task, method = str(given["task"]), str(given["method"])
        parameters = fill(method, given, of_tasks[task])
        cell = Cell(task, method, parameters)
        if parameters["timesteps"] is None and is_met("timesteps", parameters["architecture"]):
            with _refusing(cell):
                parameters["timesteps"] = registry.default_timesteps(task, parameters)
        yield cell


def fill(method: str, given: Mapping[str, Scalar], task_parameters: Mapping[str, Scalar]) -> dict[str, Scalar | None]:
    """Complete one point of a grid: defaults where it is silent, None where a parameter does not apply.

    Keys of the point that are no parameters are ignored. `task_parameters` are the task's own with their defaults. The
    `timesteps` of a free network stay None where they are not given: only the task knows their default.
    """
    filled: dict[str, Scalar | None] = {}
    for name, parameter in PARAMETERS.items():
        if not _applies(parameter, method, filled, task_parameters):
            filled[name] = None
        elif name in given:
            filled[name] = given[name]
        elif parameter.group == "task":
            filled[name] = task_parameters[name]
        elif name == "learning_rate" and METHODS[method].learning_rates:
            filled[name] = METHODS[method].learning_rates[str(filled["optimizer"])]
        else:
            filled[name] = default_of(name, method)
    return filled


def _applies(
    parameter: Parameter,
    method: str,
    filled: Mapping[str, Scalar | None],
    task_parameters: Mapping[str, Scalar],
) -> bool:
    if parameter.group == "task":
        return parameter.name in task_parameters
    if not uses(parameter.name, method):
        return False
    if not is_of(parameter.name, filled.get("architecture")):
        return False
    parent, _ = CONDITIONS.get(parameter.name, ("", ""))
    # A method without the parent (a gradient method has no `update`) is not bound by the condition.
    return not parent or not uses(parent, method) or is_met(parameter.name, filled[parent])


def _check(cell: Cell, registry: BuiltInRegistry, budget: Budget) -> None:
    """Refuse a cell whose values do not fit each other, the task or the budget."""
    parameters = cell.parameters
    with _refusing(cell):
        stddev = parameters["stddev"]
        if isinstance(stddev, float) and stddev * stddev == math.inf:
            raise ValueError(f"stddev={stddev} is too large to be squared; use a smaller stddev")
        if parameters["update"] == "normalised" and isinstance(stddev, float) and stddev**2 == 0:
            raise ValueError("update=normalised divides by stddev squared; use a greater stddev or update=raw")
        steps = budget.steps(registry.evaluations_per_step(cell.task, cell.method, parameters))
        if steps >= STEPS_LIMIT:
            raise ValueError(f"evaluations={budget.evaluations} is {steps:,} steps, the limit is 2**32; give fewer")


@contextmanager
def _refusing(cell: Cell) -> Iterator[None]:
    """Turn what a task says against a cell's values into one line with the cell."""
    try:
        yield
    except DataError as error:  # it names the data; no other value of the cell has to do with it
        raise UsageError(f"task {cell.task!r}: {error}") from None
    except ValueError as error:
        values = ", ".join(f"{name}={value}" for name, value in cell.parameters.items() if value is not None)
        raise UsageError(
            f"task {cell.task!r}: {error} (cell: {cell.method}, {values}); change the value, or give it a "
            "[[grid]] table of its own in a TOML file"
        ) from None


def _content(task: str, name: str, value: Scalar) -> Scalar:
    """Return what a parameter's value stands for: the data of a path, wherever they lie."""
    place = place_of(task, name, value)
    return value if place is None else content_name(place)


def _refuse_too_large(configuration: SweepConfiguration) -> None:
    sizes = [
        math.prod(len(values) for values in ({SEEDS: configuration.seeds} | table).values())
        for table in configuration.grid
    ]
    total = sum(sizes)
    if total <= MAX_TRIALS:
        return
    largest = configuration.grid[sizes.index(max(sizes))]
    n_seeds = len(largest.get(SEEDS, configuration.seeds))
    axes = sorted(((len(v), key) for key, v in largest.items() if len(v) > 1 and key != SEEDS), reverse=True)
    factors = " x ".join([*(f"{key} ({length})" for length, key in axes), f"seeds ({n_seeds})"])
    raise UsageError(f"the plan has {total:,} trials, the limit is {MAX_TRIALS:,}; give fewer values of {factors}")


def _trials(
    cells: Mapping[Cell, Sequence[int]], configuration: SweepConfiguration, plugins: Sequence[str], as_spelled: bool
) -> Iterator[Trial]:
    budget = naming_values(configuration)
    if plugins:
        budget["plugins"] = " ".join(plugins)
    position = itertools.count()
    for cell, seeds in cells.items():
        applicable = {
            name: value if as_spelled else _content(cell.task, name, value)
            for name, value in cell.parameters.items()
            if value is not None and value != LATER_PARAMETERS.get(name)
        }
        content = [cell.task, cell.method, applicable, budget]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
        # The seed comes last, so that one hash state serves all trials of a cell.
        common = hashlib.sha256(f"{text[:-1]},".encode())
        for seed in seeds:
            digest = common.copy()
            digest.update(f"{seed}]".encode())
            yield Trial(digest.hexdigest()[:16], next(position), cell, seed)

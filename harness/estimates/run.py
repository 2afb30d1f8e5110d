"""The estimators of a grid, one after another: rows of tables, as soon as a cell is done."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.base.errors import UsageError
from freewalk.harness.engine.choice import backend_for
from freewalk.harness.estimates.measures import cosine_rows, group_row
from freewalk.harness.estimates.places import At, Place, places_of
from freewalk.harness.estimates.sampling import Sampled, descending, sample
from freewalk.harness.estimates.stddev_costs import UNKNOWN, stddev_costs
from freewalk.harness.estimates.timesteps import timestep_groups
from freewalk.harness.methods.gradient import GradientMethod
from freewalk.harness.methods.method import Method, Scalar
from freewalk.harness.methods.own_networks import refuse_own
from freewalk.harness.methods.problem import ResolvedProblem, resolve_problem
from freewalk.harness.methods.registered import METHODS
from freewalk.harness.parameters.parameters import PARAMETERS
from freewalk.harness.plan.plan import Cell
from freewalk.kernels.backend import Backend

DEFAULT_GRID = Path(__file__).with_name("estimators.toml")
"""What is measured where nobody names a method."""
NO_MATTER = ("update", "optimizer", "learning_rate", "momentum", "schedule", "backward_cost")
"""Parameters that turn an estimate into a step, or count its cost: not the estimate's."""
_TIMED_SECONDS = 0.02
_TIMED_RUNS = 3


@dataclass(frozen=True)
class Settings:
    """How a grid is measured."""

    at: tuple[At, ...]
    seed: int
    precision: float
    most_steps: int
    backend: str
    weights: NDArray[np.float64] | None = None
    """Of a file, for the place of that name."""


@dataclass(frozen=True)
class Measured:
    """What was found of a cell at one place."""

    cell: Cell
    place: Place
    rows: Sequence[Mapping[str, Any]]
    """Of the table `estimates`: all weights first."""
    cosines: Sequence[Mapping[str, Any]]
    """Of the table `cosines`."""


def estimators(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells whose estimates differ, the first of those that do not.

    Raises
    ------
    UsageError
        If a method estimates no gradient.
    """
    kept: dict[Cell, Cell] = {}
    for cell in cells:
        _refuse(METHODS[cell.method], cell)
        kept.setdefault(Cell(cell.task, cell.method, mattering(cell)), cell)
    return list(kept.values())


def mattering(cell: Cell) -> dict[str, Scalar]:
    """Return the parameters of a cell that an estimate depends on."""
    return {k: value for k, value in cell.parameters.items() if value is not None and k not in NO_MATTER}


def _refuse(method: Method, cell: Cell) -> None:
    if method.gradient == "unknown" and not isinstance(method, GradientMethod):
        known = [name for name, one in METHODS.items() if one.gradient != "unknown" or isinstance(one, GradientMethod)]
        raise UsageError(
            f"--method {method.name} takes no estimate of a gradient that could be measured; those that do:"
            f" {', '.join(known)}"
        )
    if cell.parameters.get("stddev") == 0:
        raise UsageError("stddev=0 estimates no gradient; give one above 0")


def measure(cells: Sequence[Cell], settings: Settings) -> Iterator[Measured]:
    """Yield what is found of each cell at each place, in order.

    Raises
    ------
    UsageError
        If a file's weights are of another network, or a backend cannot be used.
    """
    places: dict[tuple[Any, ...], list[Place]] = {}
    for cell in cells:
        architecture = cell.parameters["architecture"]
        refuse_own("estimate", architecture, "freewalk.estimate takes a loss and a gradient of your own")
        problem = resolve_problem(cell.task, cell.method, cell.parameters)
        backend = backend_for(settings.backend, cell.method)
        problem.warm_up(backend)
        given = settings.weights
        if given is not None and given.shape != (problem.network.n_from, problem.network.n_to):
            raise UsageError("--weights holds another network than these options make; leave them out")
        network = (cell.task, tuple(value for name, value in cell.parameters.items() if _makes_network(name)))
        if network not in places:
            made = places_of(problem, cell.parameters, settings.seed, settings.at, given)
            places[network] = list(made)
        seconds = seconds_per_step(problem, backend, places[network][0], settings.seed)
        for place in places[network]:
            yield _measured(cell, problem, backend, place, settings, seconds)


def _makes_network(name: str) -> bool:
    return PARAMETERS[name].group != "method" and name != "batch_size"


def _measured(
    cell: Cell, problem: ResolvedProblem, backend: Backend, place: Place, settings: Settings, seconds: float
) -> Measured:
    how = {"seed": settings.seed, "precision": settings.precision, "most_steps": settings.most_steps}
    sampled = sample(problem, backend, place, **how)  # type: ignore[arg-type]
    costs = {
        "evaluations_per_step": problem.evaluations_per_step,
        "seconds_per_step": seconds,
        "numbers_per_step": problem.method.numbers_per_step(problem),
    }
    about = {"task": cell.task, "method": cell.method, "at": place.at, "seed": settings.seed}
    gradient = problem.method.gradient
    kind = "predicted" if gradient == "unknown" or getattr(problem.configuration, "activity", False) else gradient
    shared = {**about, "kind": kind, **_facts(backend, place, sampled), **costs}
    unbiased = kind == "estimated" and cell.parameters.get("shaping") in (None, "none")
    groups = [*sampled.groups, *timestep_groups(problem, place, settings.seed)]
    rows = [{**shared, **UNKNOWN, **group_row(group, sampled, costs, unbiased=unbiased)} for group in groups]
    if (of_stddev := stddev_costs(problem, backend, place, settings.seed)) is not None:
        rows[0] |= asdict(of_stddev)
    cosines = [{**about, **row} for row in cosine_rows(sampled, costs["evaluations_per_step"])]
    return Measured(cell, place, rows, cosines)


def _facts(backend: Backend, place: Place, sampled: Sampled) -> dict[str, Any]:
    return {
        "backend": backend.name,
        "dtype": backend.dtype,
        "trained_steps": place.steps,
        "trained_reached": place.reached,
        "loss": place.loss,
        "gradient_length": float(np.sqrt(max(0.0, place.square))),
        "n_steps": sampled.n_steps,
        "is_precise": sampled.is_precise,
    }


def seconds_per_step(problem: ResolvedProblem, backend: Backend, place: Place, seed: int) -> float:
    """Return the median time of a step, taken many at a time."""
    trainer, n = descending(problem, backend, place, seed), 1
    trainer.train(1)

    def timed() -> float:
        start = time.perf_counter()
        trainer.train(n)
        return time.perf_counter() - start

    while timed() < _TIMED_SECONDS:
        n *= 2
    return statistics.median(timed() for _ in range(_TIMED_RUNS)) / n

"""What a plan will cost: time from a model of a step that is measured on this machine, memory from the sizes."""

from __future__ import annotations

import math
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from freewalk.harness.base.environment import memory_bytes
from freewalk.harness.base.errors import UsageError
from freewalk.harness.base.text import counted
from freewalk.harness.engine.packing import works_of
from freewalk.harness.methods.cost import draw_cost, judging_cost, step_cost, takes_products
from freewalk.harness.methods.own_networks import is_own
from freewalk.harness.methods.problem import ResolvedProblem, resolve_problem
from freewalk.harness.methods.registered import METHODS
from freewalk.harness.parameters.parameters import FREE, Scalar
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.plan import Cell, Plan, Trial
from freewalk.harness.trial.trial import start_trial
from freewalk.harness.trial.watch import peak_memory_mb
from freewalk.kernels.backend import Backend, BackendName
from freewalk.kernels.cpu.layout import most_bytes
from freewalk.kernels.machine.lanes import LANES
from freewalk.kernels.model.layered import parse_architecture
from freewalk.kernels.model.walk import Trainer

_MEASURED_SECONDS = 0.2
# What one process does about each trial, its rows above all; tests/harness/sweep/test_load.py measures it.
_SECONDS_PER_TRIAL = 0.004
# Arrays of the size of the activations, and of the matrix of weights, that a layered trial holds at once.
_ACTIVATION_ARRAYS = 4
_WEIGHT_ARRAYS = 10
# Of a walk of low rank, at its start; what lasts is half of it.
_BYTES_OF_A_WEIGHT = 100
_MOST_BYTES_OF_FACTORS = 1 << 26
_REMEDIES = {
    "hidden": "fewer hidden neurons",
    "architecture": "fewer hidden neurons",
    "batch_size": "a smaller batch",
    "timesteps": "fewer timesteps",
    "bits": "fewer bits",
    "pairs": "fewer pairs",
}
_MUCH_LESS = 0.8
_MUCH_MB = 1000.0
_REFERENCE_ARRAYS = 3
"""Of the batch's perturbed weights, which NumPy holds at once."""


@dataclass(frozen=True)
class Estimate:
    """An upper bound on a plan's cost: trials that reach their target stop earlier."""

    seconds: float
    memory_mb: float


def seconds_per_step(cell: Cell) -> float:
    """Return the model's time of one step of a cell on one thread, in seconds, unscaled."""
    return step_cost(resolve_problem(cell.task, cell.method, cell.parameters))


class Course:
    """The model's time of a trial of a cell, steps and measurements on held-out data, as it goes on; unscaled.

    Measurements that grow apart take much of the time at first and little later on.
    """

    def __init__(self, cell: Cell, budget: Budget) -> None:
        problem = resolve_problem(cell.task, cell.method, cell.parameters)
        self.steps = budget.steps(problem.evaluations_per_step)
        self._ends = np.fromiter(budget.ends(problem.evaluations_per_step), dtype=np.int64)
        self.draw_seconds = self.steps * draw_cost(problem)
        """Of its time, what trials that run together draw once."""
        self._seconds_per_step = step_cost(problem)
        self._seconds_per_measurement = judging_cost(
            problem, problem.problem.evaluation_points(budget.evaluation_points)
        )

    def seconds(self, step: int) -> float:
        """Return the time until a step is behind."""
        n_measurements = 1 + int(np.searchsorted(self._ends, step, side="right"))
        return step * self._seconds_per_step + n_measurements * self._seconds_per_measurement

    @property
    def whole(self) -> float:
        """The time of all steps."""
        return self.seconds(self.steps)

    def share(self, step: int) -> float:
        """Return the part of the time that is behind after a step."""
        return self.seconds(step) / self.whole if step else 0.0


def memory_mb(cell: Cell, backend: BackendName = "cpu") -> float:
    """Return the memory of one trial of a cell on a backend, in MB.

    Noise of a tile, partial sums, and what a backward pass has to know of every timestep, whatever the batch size; but
    where a step takes matrix products, activations of the whole batch; of perturbations of low rank, factors; what some
    methods carry forward in time; and NumPy holds a matrix of weights for each pair of a perturbation and a datapoint.
    """
    problem = resolve_problem(cell.task, cell.method, cell.parameters)
    network, configuration = problem.network, problem.configuration
    if problem.method.draws_noise and backend == "reference":
        return _REFERENCE_ARRAYS * configuration.batch_size * network.n_weights * 8 / 1e6
    if problem.layers is not None and takes_products(problem):
        activations = _ACTIVATION_ARRAYS * configuration.batch_size * sum(problem.layers.widths)
        return 8 * (activations + _WEIGHT_ARRAYS * network.n_weights) / 1e6
    through_time = problem.timesteps * (network.n_from + network.n_to) * LANES * 4 * problem.method.keeps_timesteps
    if problem.method.draws_noise and getattr(configuration, "rank", None) is not None:
        return _bytes_of_low_rank(problem) / 1e6
    carried = problem.method.bytes_carried(problem, float64=backend == "reference")
    return (most_bytes(network, problem.timesteps) + through_time + carried) / 1e6


def _bytes_of_low_rank(problem: ResolvedProblem) -> int:
    """Return the memory of a walk of low rank: its weights, while they are set up, and factors in single precision."""
    walk: Any = problem.configuration
    factors = walk.n_perturbations * walk.rank * (problem.network.n_from + problem.network.n_to) * 4
    return int(_BYTES_OF_A_WEIGHT * problem.network.n_weights + min(factors, _MOST_BYTES_OF_FACTORS))


def refuse_too_large(plan: Plan, backend: Backend) -> str | None:
    """Refuse a plan whose largest trials do not fit into this machine's memory together.

    Returns
    -------
    str or None
        What they need, where it is much.

    Raises
    ------
    UsageError
        Naming the cell's network and what it needs.
    """
    available = memory_bytes()
    sizes_mb = [memory_mb(cell, backend.name) for cell in plan.cells]
    largest = plan.cells[int(np.argmax(sizes_mb))]
    n_together = min(backend.workers, len(plan.trials))
    needed = max(sizes_mb) * n_together
    if available is not None and needed > available / 1e6:
        culprits = _culprits(largest, backend.name)
        sizes = ", ".join(f"{name}={largest.parameters[name]}" for name in culprits)
        remedies = dict.fromkeys(_REMEDIES.get(name, f"a smaller {name}") for name in culprits)
        raise UsageError(
            f"{sizes} on task {largest.task!r} needs about"
            f" {needed / 1e3:,.0f} GB of memory, this machine has {available / 1e9:,.0f} GB;"
            f" give {' or '.join(remedies)}"
        )
    if needed < _MUCH_MB:
        return None
    return f"{counted(n_together, 'trial')} at once: about {needed / 1e3:,.1f} GB of memory"


def _culprits(cell: Cell, backend: BackendName) -> list[str]:
    """Return the parameters that decide a cell's memory: half of one would need much less."""
    needed = memory_mb(cell, backend)
    decisive = [
        name
        for name in cell.parameters
        if (smaller := _halved(cell, name)) is not None and memory_mb(smaller, backend) < _MUCH_LESS * needed
    ]
    sizes = {name: value for name, value in cell.parameters.items() if isinstance(value, int)}
    # where none can be halved alone, as a sequence's length without its timesteps, it is the largest together
    return decisive or [name for name, value in sizes.items() if value > max(sizes.values()) / 2]


def _halved(cell: Cell, name: str) -> Cell | None:
    """Return the cell with half of one of its sizes; None if that is no size, cannot be halved or does not fit."""
    value = cell.parameters[name]
    half: Scalar
    if name == "architecture" and value != FREE and not is_own(value):
        first, *hidden, last = parse_architecture(str(value))
        half = "-".join(map(str, (first, *(max(1, width // 2) for width in hidden), last)))
    elif isinstance(value, int) and not isinstance(value, bool):
        half = max(1, value // 2)
    else:
        return None
    smaller = replace(cell, parameters={**cell.parameters, name: half})
    try:
        step_cost(resolve_problem(smaller.task, smaller.method, smaller.parameters))
    except ValueError:
        return None
    return None if half == value else smaller


def estimate(trials: Sequence[Trial], budget: Budget, backend: Backend) -> Estimate:
    """Return the time and memory that trials take at most, after timing a few real steps of each kind of trial."""
    kinds = {_kind(trial.cell): trial for trial in reversed(trials)}  # of each kind the first
    scales = {kind: _measured_scale(trial, budget, backend) for kind, trial in kinds.items()}
    cells = {trial.cell for trial in trials}
    costs = {cell: (course.whole, course.draw_seconds) for cell in cells for course in [Course(cell, budget)]}
    total = 0.0
    for work in works_of(trials, budget, backend):
        shares = work.together and backend.most_sharing_noise
        alone, draws = zip(*(costs[trial.cell] for trial in work.trials), strict=True)
        seconds = sum(alone) - sum(draws) + max(draws) if shares else sum(alone)
        total += seconds * scales[_kind(work.trials[0].cell)]
    memory = max(memory_mb(cell, backend.name) for cell in cells) * backend.workers + peak_memory_mb()
    return Estimate(total / backend.workers + len(trials) * _SECONDS_PER_TRIAL, memory)


def _kind(cell: Cell) -> tuple[Hashable, ...]:
    """Return what decides by which kernels a cell is trained: the model's error is the same within a kind."""
    kernels = METHODS[cell.method].kernels(cell.parameters)
    architecture = cell.parameters["architecture"]
    return kernels, architecture if is_own(architecture) else architecture == FREE, cell.parameters.get("directions")


def _measured_scale(trial: Trial, budget: Budget, backend: Backend) -> float:
    """Return how much slower than the model this machine takes a trial's step."""
    cell = _short_step(trial.cell)
    resolve_problem(cell.task, cell.method, cell.parameters).warm_up(backend)
    trainer = start_trial(cell, trial.seed, budget, backend).trainer
    trainer.train(1)
    seconds, steps = _timed(trainer, 1)
    if seconds < _MEASURED_SECONDS:
        seconds, steps = _timed(trainer, math.ceil(_MEASURED_SECONDS / seconds))
    return seconds / steps / seconds_per_step(cell)


def _short_step(cell: Cell) -> Cell:
    """Return the cell with sizes so small that a step, which nothing can interrupt, takes a moment."""
    batch_size = _integer(cell.parameters, "batch_size")
    fitting = int(_MEASURED_SECONDS * batch_size / seconds_per_step(cell))
    cell = _with_batch(cell, min(batch_size, max(fitting, LANES)))
    for name in ("timesteps", "hidden", "architecture"):
        while _long(cell) and (smaller := _halved(cell, name)) is not None:
            cell = smaller
    return cell


def _long(cell: Cell) -> bool:
    """Tell whether a step takes more than a moment; one datapoint takes what a vector of them does."""
    batch_size = max(LANES, _integer(cell.parameters, "batch_size"))
    return seconds_per_step(_with_batch(cell, batch_size)) > _MEASURED_SECONDS


def _with_batch(cell: Cell, batch_size: int) -> Cell:
    """Return the cell with a batch of about this size: of two perturbations or more, if each has its datapoints."""
    changes: dict[str, Scalar] = {"batch_size": batch_size}
    if isinstance(each := cell.parameters.get("datapoints"), int):
        fewer = min(each, max(1, batch_size // 2))
        changes = {"batch_size": batch_size // fewer * fewer, "datapoints": fewer}
    return replace(cell, parameters={**cell.parameters, **changes})


def _timed(trainer: Trainer, n_steps: int) -> tuple[float, int]:
    start = time.perf_counter()
    steps = trainer.train(n_steps).steps
    return time.perf_counter() - start, steps


def _integer(parameters: Mapping[str, Scalar | None], name: str) -> int:
    return int(parameters[name] or 0)

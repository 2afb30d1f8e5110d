"""What a plan will cost: time from a model of a step that is measured once on this machine, memory from the sizes."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from freewalk.harness.environment import memory_bytes
from freewalk.harness.errors import UsageError
from freewalk.harness.parameters import Scalar
from freewalk.harness.plan import Cell, Plan, Trial
from freewalk.harness.trial import Budget, peak_memory_mb, start_trial
from freewalk.kernels.backend import Backend
from freewalk.kernels.cpu.layout import most_bytes, shape_of
from freewalk.kernels.network import FreeNetwork
from freewalk.kernels.walk import Walk
from freewalk.tasks.registry import TASKS

# Seconds on one core of an AVX-512 processor at 2.6 GHz; only their ratios matter, since a measurement scales the sum.
_SECONDS_PER_DRAW = {"gaussian": 0.65e-9, "rademacher": 0.05e-9}
_SECONDS_PER_ACCUMULATION = 0.08e-9
_SECONDS_PER_MULTIPLY_ADD = 0.05e-9
_SECONDS_PER_DATAPOINT = 60e-9
_MEASURED_SECONDS = 0.2


@dataclass(frozen=True)
class Estimate:
    """An upper bound on a plan's cost: trials that reach their target stop earlier."""

    seconds: float
    memory_mb: float


def seconds_per_step(cell: Cell) -> float:
    """Return the model's time of one step of a cell on one thread, in seconds, unscaled."""
    parameters = cell.parameters
    network = _network(cell)
    timesteps, batch_size = _integer(parameters, "timesteps"), _integer(parameters, "batch_size")
    draw = _SECONDS_PER_DRAW[str(parameters["noise"] or "gaussian")] + _SECONDS_PER_ACCUMULATION
    work = 2 * timesteps * _SECONDS_PER_MULTIPLY_ADD
    return batch_size * (network.n_weights * (draw + work) + _SECONDS_PER_DATAPOINT)


def memory_mb(cell: Cell) -> float:
    """Return the memory of one trial of a cell, in MB: noise of a tile and partial sums, whatever the batch size."""
    return most_bytes(shape_of(_network(cell), _integer(cell.parameters, "timesteps"))) / 1e6


def _network(cell: Cell) -> FreeNetwork:
    return TASKS[cell.task].problem(cell.parameters).network(_integer(cell.parameters, "hidden"))


def refuse_too_large(plan: Plan, backend: Backend) -> None:
    """Refuse a plan whose largest trials do not fit into this machine's memory together.

    Raises
    ------
    UsageError
        Naming the cell's hidden neurons and what they need.
    """
    available = memory_bytes()
    largest = max(plan.cells, key=memory_mb)
    needed = memory_mb(largest) * min(backend.workers, len(plan.trials))
    if available is not None and needed > available / 1e6:
        raise UsageError(
            f"hidden={largest.parameters['hidden']} on task {largest.task!r} needs about {needed / 1e3:,.0f} GB of"
            f" memory, this machine has {available / 1e9:,.0f} GB; give fewer hidden neurons"
        )


def estimate(trials: Sequence[Trial], budget: Budget, backend: Backend) -> Estimate:
    """Return the time and memory that trials take at most, after timing a few real steps of the first one."""
    costs = {trial.cell: seconds_per_step(trial.cell) for trial in trials}
    total = sum(costs[trial.cell] for trial in trials) * budget.steps
    scale = _measured_scale(trials[0], budget, backend)
    memory = max(memory_mb(cell) for cell in costs) * backend.workers + peak_memory_mb()
    return Estimate(total * scale / backend.workers, memory)


def _measured_scale(trial: Trial, budget: Budget, backend: Backend) -> float:
    """Return how much slower than the model this machine takes the first trial's step."""
    backend.warm_up()
    cell = _short_step(trial.cell)
    run = start_trial(cell.task, cell.parameters, trial.seed, budget, backend)
    run.walk.train(1)
    seconds, steps = _timed(run.walk, 1)
    if seconds < _MEASURED_SECONDS:
        seconds, steps = _timed(run.walk, math.ceil(_MEASURED_SECONDS / seconds))
    return seconds / steps / seconds_per_step(cell)


def _short_step(cell: Cell) -> Cell:
    """Return the cell with a batch so small that a step, which nothing can interrupt, takes a moment."""
    batch_size = _integer(cell.parameters, "batch_size")
    fitting = int(_MEASURED_SECONDS * batch_size / seconds_per_step(cell))
    return replace(cell, parameters={**cell.parameters, "batch_size": min(batch_size, max(fitting, 1))})


def _timed(walk: Walk, n_steps: int) -> tuple[float, int]:
    start = time.perf_counter()
    steps = walk.train(n_steps).steps
    return time.perf_counter() - start, steps


def _integer(parameters: Mapping[str, Scalar | None], name: str) -> int:
    return int(parameters[name] or 0)

"""Measures of saved weights on a task's held-out data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from freewalk.harness.base.errors import UsageError
from freewalk.harness.weights.outputs import Measures
from freewalk.harness.weights.weights_file import SavedWeights
from freewalk.kernels.data.datapoints import draw
from freewalk.kernels.model.noise import Stream


def measure_held_out(
    saved: SavedWeights, path: Path, *, task: str | None, points: int, seed: int | None
) -> tuple[Measures, dict[str, Any]]:
    """Return the measures, and where the data come from: the task, the seed and the task's own metric.

    Parameters
    ----------
    saved, path
        The weights and their file.
    task
        Whose data; None: that of the weights.
    points
        Datapoints; a task with few different ones shows each once.
    seed
        Of the data; None: that of the training, or 0.

    Raises
    ------
    UsageError
        If there is no such task, or its data do not fit the network.
    """
    name = saved.task if task is None else task
    if name is None:
        raise UsageError(f"{path} knows no task; give --task NAME, or your own data with --data FILE")
    if points < 1:
        raise UsageError(f"--evaluation-points {points}: must be at least 1")
    trained_with = saved.record.get("seed")
    chosen = (trained_with if isinstance(trained_with, int) else 0) if seed is None else seed
    if not 0 <= chosen < 2**64:
        raise UsageError(f"--seed {chosen}: must be from 0 to below 2**64")
    problem = saved.problem(name)
    network, timesteps = saved.network, saved.n_timesteps
    sizes = (problem.n_input, problem.n_output, problem.sequence_input, problem.sequence_output)
    own = (network.n_input, network.n_output, network.sequence_input, network.sequence_output)
    most = timesteps if problem.most_timesteps is None else problem.most_timesteps
    has_timesteps = network.sequence_input or network.sequence_output
    if sizes != own or (has_timesteps and not problem.least_timesteps <= timesteps <= most):
        raise UsageError(f"--task {name} has data of another shape than the network in {path}; give another task")
    x, y = draw(
        network,
        problem.data(),
        timesteps,
        seed=chosen,
        stream=Stream.EVALUATION_DATA,
        step=0,
        n_datapoints=problem.evaluation_points(points),
    )
    return saved.evaluate(x, y), {"task": name, "seed": chosen}

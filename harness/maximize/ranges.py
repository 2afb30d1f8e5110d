"""The range of a task's inputs, where weights know their task."""

from __future__ import annotations

import numpy as np

from freewalk.harness.base.errors import UsageError
from freewalk.harness.maximize.box import Box
from freewalk.harness.weights.weights_file import SavedWeights
from freewalk.kernels.data.datapoints import draw
from freewalk.kernels.model.noise import Stream
from freewalk.tasks.registry import TASKS

_DATAPOINTS = 4096


def box_of_task(saved: SavedWeights, shape: tuple[int, ...]) -> Box:
    """Return the box that a task's inputs lie in: as the task says, or what many of its datapoints span.

    Raises
    ------
    UsageError
        If the weights know no task, or one that is not there.
    """
    name = saved.task
    if name is None or name not in TASKS:
        whose = "these weights know no task" if name is None else f"no task {name} is loaded (--plugin FILE)"
        raise UsageError(f"{whose}, so the range of the inputs is unknown; give --bounds LOW,HIGH or none")
    problem = saved.problem(name)
    if problem.input_range is not None:
        low, high = problem.input_range
        return Box(
            np.full(shape, float(low)), np.full(shape, float(high)), f"{low:g} to {high:g}, as task {name} has it"
        )
    network, timesteps = saved.network, saved.n_timesteps
    if (problem.n_input, problem.sequence_input) != (network.n_input, network.sequence_input):
        raise UsageError(f"task {name} has other inputs than these weights; give --bounds LOW,HIGH or none")
    x, _ = draw(
        network,
        problem.data(),
        timesteps,
        seed=0,
        stream=Stream.EVALUATION_DATA,
        step=0,
        n_datapoints=_DATAPOINTS,
    )
    lower, upper = x.min(axis=0).astype(np.float64), x.max(axis=0).astype(np.float64)
    return Box(lower, upper, f"what {_DATAPOINTS:,} datapoints of task {name} span")

"""The original program's task: sigmoids of two sums, from a vector that grows by one every timestep."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from freewalk.kernels.data.task_functions import data_words, uniform
from freewalk.tasks.task import Problem, Task

_TWO, _ONE = np.float32(2.0), np.float32(1.0)


def datapoint(seed: int, stream: int, step: int, index: int, timesteps: int, argument: int, x: Any, y: Any) -> None:
    """Write x_0 uniform in [-1, 1)^3, x_t = x_0 + t, and y = sigmoid of x_0[0] + x_0[1], of x_0[0] + x_0[2]."""
    w0, w1, w2, _ = data_words(seed, stream, step, index, 0)
    a, b, c = _TWO * uniform(w0) - _ONE, _TWO * uniform(w1) - _ONE, _TWO * uniform(w2) - _ONE
    for t in range(timesteps):
        x[t, 0] = a + np.float32(t)
        x[t, 1] = b + np.float32(t)
        x[t, 2] = c + np.float32(t)
    y[0, 0] = 1.0 / (1.0 + math.exp(-(a + b)))
    y[0, 1] = 1.0 / (1.0 + math.exp(-(a + c)))


TASK = Task(
    name="shifted-sums",
    summary="the original program's task: sigmoid(a + b) and sigmoid(a + c) from (a, b, c) + t",
    metric="loss",
    target=1e-3,
    baseline=0.0662,
    baseline_text="1/2 always: twice the variance of sigmoid(a + b), by numerical integration",
    make_problem=lambda: Problem(n_input=3, n_output=2, datapoint=datapoint, sequence_input=True, default_timesteps=4),
)

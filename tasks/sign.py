"""The sign of a number."""

from __future__ import annotations

from typing import Any

import numpy as np

from freewalk.kernels.data.task_functions import data_words, uniform
from freewalk.tasks.task import Guesses, Problem, Task

_TWO, _ONE = np.float32(2.0), np.float32(1.0)


def datapoint(seed: int, stream: int, step: int, index: int, timesteps: int, argument: int, x: Any, y: Any) -> None:
    """Write x uniform in [-1, 1) and y = 1 for x > 0, else 0."""
    word, _, _, _ = data_words(seed, stream, step, index, 0)
    value = _TWO * uniform(word) - _ONE
    x[0, 0] = value
    y[0, 0] = value > 0


TASK = Task(
    name="sign",
    summary="1 for a positive number of [-1, 1], else 0",
    metric="bit_accuracy",
    target=0.99,
    make_problem=lambda: Problem(n_input=1, n_output=1, datapoint=datapoint, input_range=(-1, 1)),
    baseline=0.5,
    baseline_text="chance: either answer always",
    guesses=Guesses("architecture=1-1 batch_size=100 tolerance=0.4", 322, 19, 4_038),
)

"""The adding problem: the sum of the two numbers that were marked among many.

After Hochreiter and Schmidhuber (Neural Computation 9, 1997, 1735-1780) in the form of Le, Jaitly and Hinton
(arXiv:1504.00941, 2015) and Arjovsky, Shah and Bengio (arXiv:1511.06464, 2016): values uniform in [0, 1), one marker in
the first half of the sequence, one in the second. The answer here is half the sum, because outputs lie in (0, 1); so
squared errors are a quarter of theirs. The constant answer has the variance of the target, (1/12 + 1/12) / 4 = 1/24: of
the sum itself 1/6 = 0.167, where Le, Jaitly and Hinton print 0.1767.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from freewalk.kernels.data.task_functions import data_words, uniform
from freewalk.tasks.stored import drawn
from freewalk.tasks.task import Problem, Task

_ZERO, _ONE, _HALF = np.float32(0.0), np.float32(1.0), np.float32(0.5)
_MARKERS = 0  # block of words of the two places; the values' blocks follow


def datapoint(seed: int, stream: int, step: int, index: int, timesteps: int, length: int, x: Any, y: Any) -> None:
    """Write a value and a marker a timestep, zeros after the last, and y: half the sum of the two marked values."""
    place_0, place_1, _, _ = data_words(seed, stream, step, index, _MARKERS)
    half = length >> 1
    first = drawn(place_0, half)
    second = half + drawn(place_1, length - half)
    total = _ZERO
    for block in range((length + 3) >> 2):
        w0, w1, w2, w3 = data_words(seed, stream, step, index, block + 1)
        for k in range(min(4, length - 4 * block)):
            t = 4 * block + k
            value = uniform(w0 if k == 0 else w1 if k == 1 else w2 if k == 2 else w3)
            is_marked = t in (first, second)
            x[t, 0] = value
            x[t, 1] = _ONE if is_marked else _ZERO
            if is_marked:
                total += value
    for t in range(length, timesteps):
        x[t, 0] = _ZERO
        x[t, 1] = _ZERO
    y[0, 0] = _HALF * total


def _make_problem(length: int) -> Problem:
    if length < 2:
        raise ValueError(f"length={length} does not fit task adding: at least 2 timesteps")
    return Problem(
        n_input=2,
        n_output=1,
        datapoint=datapoint,
        argument=length,
        sequence_input=True,
        default_timesteps=length + 1,
        least_timesteps=length,
    )


TASK = Task(
    name="adding",
    summary="the adding problem: half the sum of the two marked ones of `length` numbers",
    metric="loss",
    target=0.0025,
    make_problem=_make_problem,
    parameters={"length": 5},
    also_recorded=("max_error",),
    baseline=1 / 24,
    baseline_text="1/2 always: the variance of half the sum, 1/24 at any length",
    difficulty=(
        "published at lengths of 100 to 1,000 for LSTM, where an error below 0.04 on every sequence counts as solved"
        " (Hochreiter, Schmidhuber, Neural Computation 9, 1997, 1735-1780), and for networks of rectified linear units"
        " (Le, Jaitly, Hinton, arXiv:1504.00941, 2015); length=5 is a beginning of ours, learned in seconds"
    ),
)

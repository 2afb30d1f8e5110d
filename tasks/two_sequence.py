"""The 2-sequence problem: the first element says the class, hundreds of noisy ones follow.

The form of Hochreiter and Schmidhuber (NIPS 9, 1997, "LSTM can solve hard long time lag problems"), after Bengio,
Simard and Frasconi (IEEE Trans. Neural Networks 5, 1994, 157-166): x_0 is 1 for class 1 and -1 for class 0, all later
elements are normal with mean 0 and variance 0.2, and the target at the end is the class; of 500 to 600 elements with
the default `length`. Of `freewalk.tasks.timed` in all else.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from freewalk.tasks.task import Problem, Task
from freewalk.tasks.timed import (
    MOST_MORE,
    length_and_class,
    timed_problem,
    unpacked,
    which,
    write_answer,
    write_normals,
)
from freewalk.tasks.wiring import wired

VARIANCE = 0.2
"""Of the noise, as published."""
VARIANCE_STEPS = 10_000
"""Of a variance, that make 1."""
_ONE = np.float32(1.0)


def datapoint(seed: int, stream: Any, step: Any, index: Any, timesteps: int, argument: int, x: Any, y: Any) -> None:
    """Write 1 or -1, noise up to a length uniform from 5/6 of the longest to all of it, zeros, and y: the class."""
    longest, delay, sequences, variance = unpacked(argument)
    fixed, step, index = which(stream, step, index, sequences)
    n, kind = length_and_class(seed, stream, step, index, (5 * longest + 5) // 6, longest, fixed)
    write_normals(seed, stream, step, index, 1, n, variance / VARIANCE_STEPS, 0, x)
    x[0, 0] = _ONE if kind else -_ONE
    write_answer(n - 1 + delay, kind, y)


def variance_in_steps(task: str, variance: float) -> int:
    """Return a variance in `VARIANCE_STEPS`.

    Raises
    ------
    ValueError
        If it is no whole number of them, or too large.
    """
    steps = round(variance * VARIANCE_STEPS)
    if not 0 <= steps <= MOST_MORE or abs(steps - variance * VARIANCE_STEPS) > 1e-6:
        least, most = 1 / VARIANCE_STEPS, MOST_MORE / VARIANCE_STEPS
        raise ValueError(
            f"noise_variance={variance} does not fit task {task}: a multiple of {least:g}, at most {most:g}"
        )
    return steps


def _make_problem(length: int, delay: int, sequences: int, wiring: str, noise_variance: float) -> Problem:
    more = variance_in_steps(TASK.name, noise_variance)
    return timed_problem(TASK.name, datapoint, length, delay, sequences, more=more, **wired(TASK.name, wiring))


TASK = Task(
    name="two-sequence",
    summary="the 2-sequence problem: which of two numbers came first, before 5/6 `length` to `length` noisy ones",
    metric="bit_accuracy",
    target=0.99,
    make_problem=_make_problem,
    parameters={"length": 600, "delay": 0, "sequences": 0, "wiring": "full", "noise_variance": VARIANCE},
    baseline=0.5,
    baseline_text="chance: either answer always",
    difficulty=(
        "guesses of all weights from -100 to 100 until 100 training sequences are right, mean of 10 runs: 1,247 with"
        " wiring=a1 hidden=1, 718 with wiring=a2 hidden=10; 2,900 trials of expectation maximisation at 100 elements"
        " (Hochreiter, Schmidhuber, NIPS 9, 1997, 473-479)"
    ),
)

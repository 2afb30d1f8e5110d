"""Delayed XOR: two lines of random bits, and the XOR of the pair that came some timesteps ago.

The pipelined XOR of Williams and Zipser (Neural Computation 1, 1989, 270-280), judged at the end of the sequence. After
a delay of d timesteps a signal has passed through the recurrent layer d times; XOR needs two.
"""

from __future__ import annotations

from typing import Any

from freewalk.tasks.bits import random_bit
from freewalk.tasks.task import Guesses, Problem, Task


def datapoint(seed: int, stream: int, step: int, index: int, timesteps: int, delay: int, x: Any, y: Any) -> None:
    """Write two random bits a timestep, and y: the XOR of those that were fed `delay` timesteps before the answer."""
    for t in range(timesteps):
        x[t, 0] = random_bit(seed, stream, step, index, 2 * t)
        x[t, 1] = random_bit(seed, stream, step, index, 2 * t + 1)
    then = 2 * (timesteps - delay)
    y[0, 0] = random_bit(seed, stream, step, index, then) ^ random_bit(seed, stream, step, index, then + 1)


def _make_problem(delay: int) -> Problem:
    if delay < 2:
        raise ValueError(f"delay={delay} does not fit task delayed-xor: at least 2, as XOR needs two layers")
    return Problem(
        n_input=2,
        n_output=1,
        datapoint=datapoint,
        argument=delay,
        sequence_input=True,
        default_timesteps=delay + 2,
        least_timesteps=delay,
    )


TASK = Task(
    name="delayed-xor",
    summary="XOR of the two bits that came `delay` timesteps before the answer, random bits before and after",
    metric="bit_accuracy",
    target=0.99,
    make_problem=_make_problem,
    parameters={"delay": 2},
    baseline=0.5,
    baseline_text="chance: either bit always, at any delay",
    guesses=Guesses("hidden=3 batch_size=100", None, None, None, seeds=10, most=300_000),
    difficulty=(
        "real-time recurrent learning does it at a delay of 2 with three neurons, at 3 and 4 with more"
        " (Williams, Zipser, Neural Computation 1, 1989, 270-280)"
    ),
)

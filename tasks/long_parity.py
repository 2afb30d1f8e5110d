"""Parity of several hundred bits: the long sequences on which random weight guessing beat gradients.

Hochreiter and Schmidhuber (NIPS 9, 1997, "LSTM can solve hard long time lag problems") count it, as posed by Bengio and
others, among the problems that are trivial for guessing: a tiny recurrent network that holds one bit solves it at any
length, and gradients over so many timesteps vanish. Inputs are 1 and -1, lengths vary so that nothing can be read off
the place of a bit, and the target is 1 for an odd number of ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from freewalk.kernels.data.task_functions import data_words
from freewalk.tasks.bits import random_bit
from freewalk.tasks.stored import drawn
from freewalk.tasks.task import Problem, Task

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
_LENGTH_BLOCK = 2**31  # of words; those of the bits start at 0


def datapoint(seed: int, stream: int, step: int, index: int, timesteps: int, longest: int, x: Any, y: Any) -> None:
    """Write zeros, then 1 or -1 for each of n bits, n uniform from 5/6 of the longest to all of it; y: 1 if odd."""
    shortest = (5 * longest + 5) // 6
    word, _, _, _ = data_words(seed, stream, step, index, _LENGTH_BLOCK)
    start = timesteps - (shortest + drawn(word, longest - shortest + 1))
    odd = np.int64(0)
    for t in range(timesteps):
        bit = random_bit(seed, stream, step, index, t) if t >= start else np.int64(0)
        odd ^= bit
        x[t, 0] = _ZERO if t < start else _ONE if bit else -_ONE
    y[0, 0] = odd


def _make_problem(length: int) -> Problem:
    if length < 2:
        raise ValueError(f"length={length} does not fit task long-parity: at least 2 bits")
    return Problem(
        n_input=1,
        n_output=1,
        datapoint=datapoint,
        argument=length,
        sequence_input=True,
        default_timesteps=length,
        least_timesteps=length,
    )


TASK = Task(
    name="long-parity",
    summary="parity of 5/6 `length` to `length` bits, 1 or -1 a timestep",
    metric="bit_accuracy",
    target=0.99,
    make_problem=_make_problem,
    parameters={"length": 600},
    baseline=0.5,
    baseline_text="chance: either answer always",
    difficulty=(
        "trivial for random weight guessing, beyond gradients through hundreds of timesteps (Hochreiter, Schmidhuber,"
        " NIPS 9, 1997, 473-479; Bengio, Simard, Frasconi, IEEE Trans. Neural Networks 5, 1994, 157-166)"
    ),
)

"""Sparse parity: the product of a few of many signs, the others being noise.

x holds `bits` signs, and y is 1 if the product of the first `relevant` ones is 1, else 0. Which ones they are is the
same to a network that is not told. Fewer than all of the relevant signs say nothing of y, so that parities are what
statistical queries cannot learn (Kearns, J. ACM 45, 1998, 983-1006).

With `sequences` training shows so many fixed patterns and no others, every second one of class 1: in turn, the first of
a step drawn. So a batch of that size holds each once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from freewalk.kernels.data.task_functions import data_words
from freewalk.kernels.model.noise import Stream
from freewalk.tasks.bits import random_bit
from freewalk.tasks.stored import drawn
from freewalk.tasks.task import Problem, Task

_ONE = np.float32(1.0)
_TRAINING = np.uint32(Stream.DATA)
_TURN_BLOCK = 2**31  # of words; those of the bits start at 0
_SEQUENCES_SHIFT = 31  # the argument holds the number of relevant bits below it
_RELEVANT_MASK, _MOST_SEQUENCES = 2**31 - 1, 2**31 - 1


def datapoint(seed: int, stream: Any, step: Any, index: Any, timesteps: int, argument: int, x: Any, y: Any) -> None:
    """Write random signs, and y: 1 if the product of the first of them is 1; of fixed patterns the last one decides."""
    relevant, patterns = argument & _RELEVANT_MASK, argument >> _SEQUENCES_SHIFT
    fixed = patterns > 0 and stream == _TRAINING
    if fixed:
        word, _, _, _ = data_words(seed, stream, step, 0, _TURN_BLOCK)
        step, index = np.int64(0), (np.int64(index) + drawn(word, patterns)) % patterns
    odd = np.int64(0)  # number of -1 among the relevant
    for k in range(x.shape[1]):
        negative = random_bit(seed, stream, step, index, k)
        if fixed and k == relevant - 1:
            negative = odd ^ 1 ^ (np.int64(index) & 1)
        if k < relevant:
            odd ^= negative
        x[0, k] = -_ONE if negative else _ONE
    y[0, 0] = 1 - odd


def _make_problem(bits: int, relevant: int, sequences: int) -> Problem:
    if not 1 <= relevant <= bits:
        raise ValueError(f"relevant={relevant} does not fit task sparse-parity: from 1 to bits={bits}")
    return Problem(
        n_input=bits,
        n_output=1,
        datapoint=datapoint,
        argument=relevant | sequences << _SEQUENCES_SHIFT,
        input_range=(-1, 1),
    )


TASK = Task(
    name="sparse-parity",
    summary="is the product of the first `relevant` of `bits` signs 1?",
    metric="bit_accuracy",
    target=0.95,
    make_problem=_make_problem,
    parameters={"bits": 20, "relevant": 3, "sequences": 0},
    baseline=0.5,
    baseline_text="chance: either answer always",
    difficulty=(
        "with bits=20 relevant=5 and 2,000 fixed patterns, 200 hidden relu neurons, until 0.95 of 200 others are right:"
        " gradient descent 5 of 5 seeds, 70 epochs on average, Forward-Forward 2 of 5 within 500 epochs; with bits=50"
        " relevant=3 58 and 73 epochs (github.com/cybertronai/SutroYaro, pull requests 78 and 79)"
    ),
)

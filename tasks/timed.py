"""What the tasks share that show a sequence from the first timestep on and are judged at its end.

As Hochreiter and Schmidhuber (NIPS 9, 1997, "LSTM can solve hard long time lag problems") run them, a sequence finds
all activations at 0, and its answer is read at its last element, or `delay` timesteps later; no other timestep has a
target. Lengths vary, so that nothing can be read off the place of an element. Training shows endless sequences, or with
`sequences` so many and no others, the first ones of a batch the first, in turn, whatever the step; every second one is
of class 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from freewalk.kernels.data.task_functions import data_words
from freewalk.kernels.machine.jit import data_function
from freewalk.kernels.model.noise import Stream
from freewalk.tasks.normals import two_normals
from freewalk.tasks.stored import drawn
from freewalk.tasks.task import Problem

LENGTH_BLOCK = 2**31
"""Of words: for a sequence's length and class. Those of its elements start at 0."""
_LENGTH_BITS, _DELAY_BITS, _SEQUENCES_BITS, _MORE_BITS = 20, 8, 19, 16  # of the argument, the lowest first
_DELAY_SHIFT = _LENGTH_BITS
_SEQUENCES_SHIFT = _DELAY_SHIFT + _DELAY_BITS
_MORE_SHIFT = _SEQUENCES_SHIFT + _SEQUENCES_BITS
_LENGTH_MASK, _DELAY_MASK, _SEQUENCES_MASK, MOST_MORE = (
    2**bits - 1 for bits in (_LENGTH_BITS, _DELAY_BITS, _SEQUENCES_BITS, _MORE_BITS)
)
_TRAINING = np.uint32(Stream.DATA)
_ZERO, _NAN = np.float32(0.0), np.float32(np.nan)


@data_function
def unpacked(argument: int) -> tuple[int, int, int, int]:
    """Return the longest length, the delay, the number of training sequences and a task's own number."""
    return (
        argument & _LENGTH_MASK,
        (argument >> _DELAY_SHIFT) & _DELAY_MASK,
        (argument >> _SEQUENCES_SHIFT) & _SEQUENCES_MASK,
        argument >> _MORE_SHIFT,
    )


@data_function
def which(stream: Any, step: Any, index: Any, sequences: int) -> tuple[bool, Any, Any]:
    """Return whether a sequence is a fixed one, and the step and the datapoint that its words go by."""
    fixed = sequences > 0 and stream == _TRAINING
    return fixed, (np.int64(0) if fixed else np.int64(step)), (index % sequences if fixed else np.int64(index))


@data_function
def length_and_class(
    seed: int, stream: Any, step: Any, index: Any, shortest: int, longest: int, fixed: bool
) -> tuple[int, Any]:
    """Return a length, uniform from the shortest to the longest, and a class, 0 or 1."""
    word, other, _, _ = data_words(seed, stream, step, index, LENGTH_BLOCK)
    by_chance = np.int64(other) & 1
    return shortest + drawn(word, longest - shortest + 1), (index & 1 if fixed else by_chance)


@data_function
def write_normals(
    seed: int, stream: Any, step: Any, index: Any, first: int, end: int, variance: float, column: int, x: Any
) -> None:
    """Write normal numbers of mean 0 into x at the timesteps first .. end - 1 of a column, and zeros elsewhere.

    Block k of words gives those of the timesteps 4 k to 4 k + 3.
    """
    scale = math.sqrt(variance)
    rows = x.shape[0]
    for block in range((rows + 3) >> 2):
        a = b = c = d = 0.0
        if 4 * block < end:
            w0, w1, w2, w3 = data_words(seed, stream, step, index, block)
            a, b = two_normals(w0, w1)
            c, d = two_normals(w2, w3)
        for k in range(min(4, rows - 4 * block)):
            t = 4 * block + k
            normal = a if k == 0 else b if k == 1 else c if k == 2 else d
            x[t, column] = np.float32(scale * normal) if first <= t < end else _ZERO


@data_function
def write_answer(at: int, answer: Any, y: Any) -> None:
    """Write the answer at a timestep, and NaN, which does not count, at all others."""
    for t in range(y.shape[0]):
        y[t, 0] = np.float32(answer) if t == at else _NAN


def timed_problem(
    task: str,
    datapoint: Callable[..., None],
    length: int,
    delay: int,
    sequences: int,
    *,
    least: int = 2,
    more: int = 0,
    **fields: Any,
) -> Problem:
    """Return the problem of a task of such sequences.

    Parameters
    ----------
    task, datapoint
        Its name and its data function.
    length, delay, sequences
        Its parameters.
    least
        The smallest `length` that it has.
    more
        Its own number, at most `MOST_MORE`.
    fields
        Others of `Problem`.

    Raises
    ------
    ValueError
        If a parameter does not fit.
    """
    bounds = {"length": (length, least, _LENGTH_MASK), "delay": (delay, 0, _DELAY_MASK)}
    for name, (value, low, high) in (bounds | {"sequences": (sequences, 0, _SEQUENCES_MASK)}).items():
        if not low <= value <= high:
            raise ValueError(f"{name}={value} does not fit task {task}: at least {low}, at most {high}")
    return Problem(
        n_output=1,
        datapoint=datapoint,
        argument=length | delay << _DELAY_SHIFT | sequences << _SEQUENCES_SHIFT | more << _MORE_SHIFT,
        default_timesteps=length + delay,
        least_timesteps=length + delay,
        **{"n_input": 1, "sequence_input": True, "sequence_output": True} | fields,
    )

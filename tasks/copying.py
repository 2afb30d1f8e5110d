"""The copying memory task: keep some symbols for a long time, then say them in order.

The definition of Arjovsky, Shah and Bengio (arXiv:1511.06464, 2016), after Hochreiter and Schmidhuber (1997). Ten input
categories: eight symbols, a blank and a delimiter. A sequence is `length` symbols, drawn uniformly, `delay` - 1 blanks,
the delimiter and `length` blanks; the answer is blank until the last `length` timesteps, where it is the symbols. They
take length=10 and delays from 100; memory-less answers then cost 10 log(8) / (delay + 20) nats a timestep.

Here a blank answer is all zeros, so that there are eight outputs, the loss is the sum of squared errors, and accuracy
looks at the last `length` timesteps alone: 1/8 by chance, whatever the delay. With counted=answer the loss does, too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from freewalk.kernels.machine.jit import data_function
from freewalk.tasks.bits import random_bit
from freewalk.tasks.task import Problem, Task

N_SYMBOLS = 8
_BLANK, _DELIMITER = N_SYMBOLS, N_SYMBOLS + 1
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
_NAN = np.float32(np.nan)
_LENGTH_SHIFT = 32  # the argument holds the delay below it, and above it the number of symbols
_ANSWER_SHIFT = 62  # and whether the answer alone counts
_DELAY_MASK, _LENGTH_MASK = (1 << _LENGTH_SHIFT) - 1, (1 << (_ANSWER_SHIFT - _LENGTH_SHIFT)) - 1
_LONGEST = 2**20


@data_function
def _symbol(seed: int, stream: int, step: int, index: int, k: int) -> np.int64:
    """Return symbol k of a datapoint: three random bits."""
    b0, b1 = random_bit(seed, stream, step, index, 3 * k), random_bit(seed, stream, step, index, 3 * k + 1)
    return b0 + 2 * b1 + 4 * random_bit(seed, stream, step, index, 3 * k + 2)


def datapoint(seed: int, stream: int, step: int, index: int, timesteps: int, argument: int, x: Any, y: Any) -> None:
    """Write one-hot symbols, blanks and the delimiter, and y: zeros, or NaN, and one-hot symbols at the end."""
    length, delay = (argument >> _LENGTH_SHIFT) & _LENGTH_MASK, argument & _DELAY_MASK
    blank = _NAN if argument >> _ANSWER_SHIFT else _ZERO
    for t in range(timesteps):
        recalled = t - length - delay
        for k in range(N_SYMBOLS + 2):
            x[t, k] = _ZERO
        for k in range(N_SYMBOLS):
            y[t, k] = _ZERO if 0 <= recalled < length else blank
        if t < length:
            x[t, _symbol(seed, stream, step, index, t)] = _ONE
        elif recalled == -1:
            x[t, _DELIMITER] = _ONE
        else:
            x[t, _BLANK] = _ONE
        if 0 <= recalled < length:
            y[t, _symbol(seed, stream, step, index, recalled)] = _ONE


def _make_problem(length: int, delay: int, counted: str) -> Problem:
    for name, value in (("length", length), ("delay", delay)):
        if not 1 <= value <= _LONGEST:
            raise ValueError(f"{name}={value} does not fit task copy: from 1 to {_LONGEST:,}")
    timesteps = 2 * length + delay
    return Problem(
        n_input=N_SYMBOLS + 2,
        n_output=N_SYMBOLS,
        datapoint=datapoint,
        argument=int(counted == "answer") << _ANSWER_SHIFT | length << _LENGTH_SHIFT | delay,
        sequence_input=True,
        sequence_output=True,
        default_timesteps=timesteps,
        least_timesteps=timesteps,
    )


TASK = Task(
    name="copy",
    summary="the copying memory task: `length` symbols of 8, repeated `delay` timesteps later",
    metric="accuracy",
    target=0.99,
    make_problem=_make_problem,
    parameters={"length": 10, "delay": 10, "counted": "all"},
    also_recorded=("row_accuracy",),
    baseline=1 / N_SYMBOLS,
    baseline_text="chance: any symbol always, at any length and delay",
    difficulty=(
        "published with length=10 at delays of 100 to 500, where LSTM and networks of tanh units stay near the"
        " memory-less answer (Arjovsky, Shah, Bengio, arXiv:1511.06464, 2016); delay=10 is a beginning of ours"
    ),
)

"""Parity of several hundred bits: the long sequences on which random weight guessing beat gradients.

Hochreiter and Schmidhuber (NIPS 9, 1997, "LSTM can solve hard long time lag problems") count it, as posed by Bengio and
others, among the problems that are trivial for guessing: a tiny recurrent network that holds one bit solves it at any
length, and gradients over so many timesteps vanish. Inputs are 1 and -1, lengths vary so that nothing can be read off
the place of a bit, and the target is 1 for an odd number of ones. With `sequences` training shows so many and no
others, half of each class.

No layer gives the exclusive or of what it holds and what it is being shown, so a free network needs delay=1: a timestep
after the last bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from freewalk.kernels.data.task_functions import data_words
from freewalk.kernels.model.noise import Stream
from freewalk.tasks.bits import random_bit
from freewalk.tasks.stored import drawn
from freewalk.tasks.task import Guesses, Problem, Task

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
_LENGTH_BLOCK = 2**31  # of words; those of the bits start at 0
_TRAINING = np.uint32(Stream.DATA)
# the argument holds the length, the delay from bit 31 on and the number of training sequences from bit 39 on
_DELAY_SHIFT, _SEQUENCES_SHIFT = 31, 39
_LENGTH_MASK, _MOST_DELAY, _MOST_SEQUENCES = 2**31 - 1, 2**8 - 1, 2**24 - 1


def datapoint(seed: int, stream: Any, step: Any, index: Any, timesteps: int, argument: int, x: Any, y: Any) -> None:
    """Write zeros, then 1 or -1 for each of n bits, n uniform from 5/6 of the longest to all of it; y: 1 if odd.

    `delay` zeros follow. Fixed training sequences come in turn, whatever the step; their last bit makes every second
    one odd.
    """
    longest, sequences = argument & _LENGTH_MASK, argument >> _SEQUENCES_SHIFT
    end = timesteps - (argument >> _DELAY_SHIFT & _MOST_DELAY)
    fixed = sequences > 0 and stream == _TRAINING
    if fixed:
        step, index = np.uint32(0), np.uint32(index % sequences)
    shortest = (5 * longest + 5) // 6
    word, _, _, _ = data_words(seed, stream, step, index, _LENGTH_BLOCK)
    start = end - (shortest + drawn(word, longest - shortest + 1))
    odd = np.int64(0)
    for t in range(timesteps):
        bit = random_bit(seed, stream, step, index, t) if start <= t < end else np.int64(0)
        if fixed and t == end - 1:
            bit = odd ^ (np.int64(index) & 1)
        odd ^= bit
        x[t, 0] = (_ONE if bit else -_ONE) if start <= t < end else _ZERO
    y[0, 0] = odd


def _make_problem(length: int, delay: int, sequences: int) -> Problem:
    bounds = {"length": (length, 2, _LENGTH_MASK), "delay": (delay, 0, _MOST_DELAY)}
    for name, (value, least, most) in (bounds | {"sequences": (sequences, 0, _MOST_SEQUENCES)}).items():
        if not least <= value <= most:
            raise ValueError(f"{name}={value} does not fit task long-parity: at least {least}, at most {most}")
    return Problem(
        n_input=1,
        n_output=1,
        datapoint=datapoint,
        argument=length | delay << _DELAY_SHIFT | sequences << _SEQUENCES_SHIFT,
        sequence_input=True,
        default_timesteps=length + delay,
        least_timesteps=length + delay,
    )


TASK = Task(
    name="long-parity",
    summary="parity of 5/6 `length` to `length` bits, 1 or -1 a timestep",
    metric="bit_accuracy",
    target=0.99,
    make_problem=_make_problem,
    parameters={"length": 600, "delay": 0, "sequences": 0},
    baseline=0.5,
    baseline_text="chance: either answer always",
    difficulty=(
        "trivial for random weight guessing, beyond gradients through hundreds of timesteps (Hochreiter, Schmidhuber,"
        " NIPS 9, 1997, 473-479; Bengio, Simard, Frasconi, IEEE Trans. Neural Networks 5, 1994, 157-166); a free"
        " network needs delay=1"
    ),
    guesses=Guesses("hidden=1 delay=1 sequences=100 batch_size=100", 22_160, 195, 103_173),
)

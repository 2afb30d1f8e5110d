"""Parity of several hundred bits: the long sequences on which random weight guessing beat gradients.

Hochreiter and Schmidhuber (NIPS 9, 1997, "LSTM can solve hard long time lag problems") count it, as posed by Bengio and
others, among the problems that are trivial for guessing: a tiny recurrent network that holds one bit solves it at any
length, and gradients over so many timesteps vanish. Inputs are 1 and -1, lengths vary so that nothing can be read off
the place of a bit, and the target is 1 for an odd number of ones. With `sequences` training shows so many and no
others, half of each class. With `input_noise` r a number uniform in [-r, r) is added to every bit, in fixed sequences
always the same; Schmidhuber, Hochreiter and Bengio (2001) take r = 0.2.

With wiring=full zeros come before the sequence, and the answer is read after the last timestep. No layer gives the
exclusive or of what it holds and what it is being shown, so such a network needs delay=1: a timestep after the last
bit. With the wirings of the paper (`freewalk.tasks.wiring`) the sequence comes first, to activations of 0, and the
answer is read at its end, as in `freewalk.tasks.timed`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from freewalk.kernels.data.task_functions import data_words, uniform
from freewalk.kernels.machine.jit import data_function
from freewalk.tasks.bits import random_bit
from freewalk.tasks.stored import drawn
from freewalk.tasks.task import Guesses, Problem, Task
from freewalk.tasks.timed import LENGTH_BLOCK, MOST_MORE, timed_problem, unpacked, which, write_answer
from freewalk.tasks.wiring import FULL, wired

_ZERO, _ONE, _TWO = np.float32(0.0), np.float32(1.0), np.float32(2.0)
_NOISE_BLOCK = 2**30  # of words: the first of the noise; those of the bits start at 0
# without noise, of wiring=full, the argument holds the length, the delay from bit 31 on and the number of training
# sequences from bit 39 on; otherwise it is that of `timed_problem`, with the noise as its own number
_DELAY_SHIFT, _SEQUENCES_SHIFT = 31, 39
_LENGTH_MASK, _MOST_DELAY, _MOST_SEQUENCES = 2**31 - 1, 2**8 - 1, 2**24 - 1
_NOISE_STEPS = 10_000  # of input_noise, that make 1


@data_function
def _length(seed: int, stream: Any, step: Any, index: Any, longest: int) -> int:
    """Return a length, uniform from 5/6 of the longest to all of it."""
    shortest = (5 * longest + 5) // 6
    word, _, _, _ = data_words(seed, stream, step, index, LENGTH_BLOCK)
    return shortest + drawn(word, longest - shortest + 1)


@data_function
def _write_bits(
    seed: int, stream: Any, step: Any, index: Any, start: int, end: int, fixed: bool, noise: float, x: Any
) -> np.int64:
    """Write 1 or -1 with noise for each bit at the timesteps start .. end - 1, zeros elsewhere; return 1 if odd."""
    odd = np.int64(0)
    for t in range(x.shape[0]):
        bit = random_bit(seed, stream, step, index, t) if start <= t < end else np.int64(0)
        if fixed and t == end - 1:
            bit = odd ^ (np.int64(index) & 1)
        odd ^= bit
        value = (_ONE if bit else -_ONE) if start <= t < end else _ZERO
        if noise > 0 and start <= t < end:
            w0, w1, w2, w3 = data_words(seed, stream, step, index, _NOISE_BLOCK + (t >> 2))
            which_word = t & 3
            word = w0 if which_word == 0 else w1 if which_word == 1 else w2 if which_word == 2 else w3
            value += np.float32(noise) * (_TWO * uniform(word) - _ONE)
        x[t, 0] = value
    return odd


def datapoint(seed: int, stream: Any, step: Any, index: Any, timesteps: int, argument: int, x: Any, y: Any) -> None:
    """Write zeros, then 1 or -1 for each of n bits, n uniform from 5/6 of the longest to all of it; y: 1 if odd.

    `delay` zeros follow. Fixed training sequences come in turn, whatever the step; their last bit makes every second
    one odd.
    """
    longest, sequences = argument & _LENGTH_MASK, argument >> _SEQUENCES_SHIFT
    end = timesteps - (argument >> _DELAY_SHIFT & _MOST_DELAY)
    fixed, step, index = which(stream, step, index, sequences)
    start = end - _length(seed, stream, step, index, longest)
    y[0, 0] = _write_bits(seed, stream, step, index, start, end, fixed, 0.0, x)


def noisy(seed: int, stream: Any, step: Any, index: Any, timesteps: int, argument: int, x: Any, y: Any) -> None:
    """Write what `datapoint` does, with noise on the bits."""
    longest, delay, sequences, noise = unpacked(argument)
    fixed, step, index = which(stream, step, index, sequences)
    end = timesteps - delay
    start = end - _length(seed, stream, step, index, longest)
    y[0, 0] = _write_bits(seed, stream, step, index, start, end, fixed, noise / _NOISE_STEPS, x)


def timed(seed: int, stream: Any, step: Any, index: Any, timesteps: int, argument: int, x: Any, y: Any) -> None:
    """Write bits with noise from the first timestep on, then zeros; y: 1 if odd, `delay` after the last bit."""
    longest, delay, sequences, noise = unpacked(argument)
    fixed, step, index = which(stream, step, index, sequences)
    n = _length(seed, stream, step, index, longest)
    odd = _write_bits(seed, stream, step, index, 0, n, fixed, noise / _NOISE_STEPS, x)
    write_answer(n - 1 + delay, odd, y)


def _make_problem(length: int, delay: int, sequences: int, wiring: str, input_noise: float) -> Problem:
    noise = round(input_noise * _NOISE_STEPS)
    if not 0 <= noise <= MOST_MORE or not math.isclose(noise, input_noise * _NOISE_STEPS):
        most = MOST_MORE / _NOISE_STEPS
        raise ValueError(
            f"input_noise={input_noise} does not fit task long-parity: a multiple of {1 / _NOISE_STEPS:g},"
            f" at most {most}"
        )
    connected = wired(TASK.name, wiring)
    if wiring != FULL:
        return timed_problem(TASK.name, timed, length, delay, sequences, more=noise, **connected)
    if noise:
        return timed_problem(TASK.name, noisy, length, delay, sequences, more=noise, sequence_output=False)
    bounds = {"length": (length, 2, _LENGTH_MASK), "delay": (delay, 0, _MOST_DELAY)}
    for name, (value, least, most_of_it) in (bounds | {"sequences": (sequences, 0, _MOST_SEQUENCES)}).items():
        if not least <= value <= most_of_it:
            raise ValueError(f"{name}={value} does not fit task long-parity: at least {least}, at most {most_of_it}")
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
    parameters={"length": 600, "delay": 0, "sequences": 0, "wiring": "full", "input_noise": 0.0},
    baseline=0.5,
    baseline_text="chance: either answer always",
    difficulty=(
        "trivial for random weight guessing, beyond gradients through hundreds of timesteps (Hochreiter, Schmidhuber,"
        " NIPS 9, 1997, 473-479; Bengio, Simard, Frasconi, IEEE Trans. Neural Networks 5, 1994, 157-166); a free"
        " network needs delay=1 with wiring=full. Guesses until 100 sequences are right, mean of 10 runs: 2,906 with"
        " wiring=a1 hidden=1, 41,400 with input_noise=0.2 besides, 2,797 with wiring=a2 hidden=10, 250 with a2-no-self"
        " (Schmidhuber, Hochreiter, Bengio, 2001)"
    ),
    guesses=Guesses("hidden=1 delay=1 sequences=100 batch_size=100", 22_160, 195, 103_173),
)

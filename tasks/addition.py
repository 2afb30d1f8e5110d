"""Binary addition: two numbers below 2**(bits - 1), so that their sum has `bits` bits."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from freewalk.kernels.data.task_functions import data_words
from freewalk.kernels.machine.jit import data_function
from freewalk.kernels.model.noise import Stream
from freewalk.tasks.bits import lowest_bits
from freewalk.tasks.task import Guesses, Problem, Task, check_form

_MOST_BITS = 32
_MOST_PAIRS = 2**31 - 1
_PAIRS_SHIFT = 8  # the argument holds the bits below it and the number of pairs above it
_BITS_MASK = (1 << _PAIRS_SHIFT) - 1
_TRAINING = np.uint32(Stream.DATA)
_EVALUATION = np.uint32(Stream.EVALUATION_DATA)
_FRESH, _CHOICE, _FIXED = range(3)  # blocks of words: of a fresh pair, of a choice among fixed pairs, of a fixed pair


@data_function
def _summands(seed: int, stream: Any, step: Any, index: Any, bits: int, pairs: int) -> tuple[np.int64, np.int64]:
    """Return two numbers below 2**(bits - 1): a fresh pair, or one of the fixed pairs.

    Training draws the fixed pairs with replacement, a measurement shows each in turn.
    """
    block = _FRESH
    if pairs:
        chosen = index if stream == _EVALUATION else np.int64(data_words(seed, stream, step, index, _CHOICE)[0])
        stream, step, index, block = _TRAINING, np.uint32(0), chosen % pairs, _FIXED
    w0, w1, _, _ = data_words(seed, stream, step, index, block)
    return lowest_bits(w0, bits - 1), lowest_bits(w1, bits - 1)


def static(seed: int, stream: int, step: int, index: int, timesteps: int, argument: int, x: Any, y: Any) -> None:
    """Write both numbers, `bits` bits each, most significant first, one after the other; y: their sum likewise."""
    bits = argument & _BITS_MASK
    a, b = _summands(seed, stream, step, index, bits, argument >> _PAIRS_SHIFT)
    for k in range(bits):
        place = bits - 1 - k
        x[0, k] = (a >> place) & 1
        x[0, bits + k] = (b >> place) & 1
        y[0, k] = ((a + b) >> place) & 1


def sequence(seed: int, stream: int, step: int, index: int, timesteps: int, argument: int, x: Any, y: Any) -> None:
    """Write a bit of each number a timestep, least significant first; y: the sum's bits in the same order.

    With more timesteps than bits the inputs end with zeros and the answers come that many timesteps later: 0 first.
    """
    bits = argument & _BITS_MASK
    a, b = _summands(seed, stream, step, index, bits, argument >> _PAIRS_SHIFT)
    delay = timesteps - bits
    for t in range(timesteps):
        x[t, 0] = (a >> min(t, 62)) & 1
        x[t, 1] = (b >> min(t, 62)) & 1
        y[t, 0] = ((a + b) >> (t - delay)) & 1 if t >= delay else 0


def _make_problem(bits: int, form: str, pairs: int) -> Problem:
    check_form("addition", form)
    if not 2 <= bits <= _MOST_BITS:
        raise ValueError(f"bits={bits} does not fit task addition: from 2 to {_MOST_BITS} bits")
    if not 0 <= pairs <= _MOST_PAIRS:
        raise ValueError(f"pairs={pairs} does not fit task addition: from 0, fresh pairs without end, to {_MOST_PAIRS}")
    argument = bits | pairs << _PAIRS_SHIFT
    problem = partial(Problem, argument=argument, domain_size=pairs or None, input_range=(0, 1))
    if form == "static":
        return problem(n_input=2 * bits, n_output=bits, datapoint=static)
    return problem(
        n_input=2,
        n_output=1,
        datapoint=sequence,
        sequence_input=True,
        sequence_output=True,
        default_timesteps=bits + 1,
        least_timesteps=bits,
    )


TASK = Task(
    name="addition",
    summary="binary addition; form=sequence: two bits a timestep, lowest first, form=static: both numbers at once",
    metric="bit_accuracy",
    target=0.99,
    make_problem=_make_problem,
    parameters={"bits": 4, "form": "sequence", "pairs": 0},
    also_recorded=("row_accuracy",),
    guesses=Guesses("hidden=3 batch_size=100", None, None, None, seeds=10, most=300_000),
    baseline=0.6125,
    baseline_text="the likelier bit always: 0 first, then three even chances, 36 of 64 sums without a carry",
)

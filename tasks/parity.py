"""Parity: is the number of ones odd? All bits at once, or one bit a timestep."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from freewalk.kernels.machine.jit import data_function
from freewalk.kernels.model.noise import Stream
from freewalk.tasks.bits import random_bit
from freewalk.tasks.task import Guesses, Problem, Task, check_form

_EVALUATION = np.uint32(Stream.EVALUATION_DATA)
_MOST_ENUMERATED = 10  # up to 1,024 patterns, a measurement shows every one
_SCRAMBLE = np.int64(0x9E3779B1)  # odd, so that multiples modulo a power of two visit every pattern


@data_function
def _bit(seed: int, stream: int, step: int, datapoint: int, bits: int, k: int) -> np.int64:
    """Return bit k of a datapoint: random, or in a measurement over few patterns that of the datapoint's own number."""
    if stream == _EVALUATION and bits <= _MOST_ENUMERATED:
        return ((np.int64(datapoint) * _SCRAMBLE) >> np.int64(k)) & 1
    return random_bit(seed, stream, step, datapoint, k)


def static(seed: int, stream: int, step: int, index: int, timesteps: int, bits: int, x: Any, y: Any) -> None:
    """Write `bits` inputs of 0 or 1, and y = 1 if their sum is odd."""
    odd = np.int64(0)
    for k in range(bits):
        bit = _bit(seed, stream, step, index, bits, k)
        x[0, k] = bit
        odd ^= bit
    y[0, 0] = odd


def sequence(seed: int, stream: int, step: int, index: int, timesteps: int, bits: int, x: Any, y: Any) -> None:
    """Write bit t at timestep t and zeros after the last, and y = 1 if their sum is odd."""
    odd = np.int64(0)
    for t in range(timesteps):
        bit = _bit(seed, stream, step, index, bits, t) if t < bits else np.int64(0)
        x[t, 0] = bit
        odd ^= bit
    y[0, 0] = odd


def _make_problem(bits: int, form: str) -> Problem:
    check_form("parity", form)
    if bits < 1:
        raise ValueError(f"bits={bits} does not fit task parity: at least 1 bit")
    domain_size = 2**bits if bits <= _MOST_ENUMERATED else None
    problem = partial(Problem, n_output=1, argument=bits, domain_size=domain_size, input_range=(0, 1))
    if form == "static":
        return problem(n_input=bits, datapoint=static)
    return problem(n_input=1, datapoint=sequence, sequence_input=True, default_timesteps=bits + 1, least_timesteps=bits)


TASK = Task(
    name="parity",
    summary="1 if an odd number of bits is set; form=static: all bits at once, form=sequence: one a timestep",
    metric="bit_accuracy",
    target=0.99,
    make_problem=_make_problem,
    parameters={"bits": 3, "form": "static"},
    baseline=0.5,
    baseline_text="chance: either answer always",
    guesses=Guesses("architecture=3-3-1 batch_size=100", 343_338, 84_705, 907_267, seeds=10),
)
